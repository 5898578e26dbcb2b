/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A share of a batch, stamped and looked at, and a file in memory to write it to. Nothing here knows what a test is after.
 */
#ifndef TESTS_BATCH_FIXTURE_H
#define TESTS_BATCH_FIXTURE_H

#include <sys/mman.h>

#include "batch.h"
#include "check.h"
#include "frame.h"
#include "wire.h"

#define GENERATION 77u
#define NO_ROOM_LIMIT (1ull << 62)

static struct batch_share share;        /* too large for a stack */

static inline int memory_file(void)
{
        int fd = memfd_create("segment", MFD_CLOEXEC);

        NEED(fd >= 0);
        return fd;
}

/* What the share says of itself is so, and its chunks lie in the arena one behind the other. */
static inline void share_is_sound(const struct batch *batch)
{
        size_t bytes = 0;
        const uint8_t *end = batch->arena;

        for (uint32_t i = 0; i < share.chunk_count; i++) {
                const uint8_t *begin = share.chunks[i].iov_base;

                CHECK(i == 0 ? begin >= end : begin > end); /* touching ones would be one chunk */
                end = begin + share.chunks[i].iov_len;
                bytes += share.chunks[i].iov_len;
        }
        CHECK(end <= batch->arena + batch->used);
        CHECK_EQ(bytes, share.bytes);
}

static inline void stamp(struct batch *batch, uint8_t lane, uint32_t from, uint64_t seq, uint64_t room)
{
        batch_stamp(batch, lane, from, seq, 555, GENERATION, room, &share);
        share_is_sound(batch);
        CHECK_EQ(share.entry_from, from);
}

#endif
