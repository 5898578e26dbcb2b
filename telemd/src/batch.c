/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"

struct batch *batch_new(void)
{
        struct batch *batch = calloc(1, sizeof(*batch));

        if (!batch)
                return NULL;
        void *arena = mmap(NULL, BATCH_ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (arena == MAP_FAILED)
                return batch_free(batch);
        batch->arena = arena;
        return batch;
}

struct batch *batch_free(struct batch *batch)
{
        if (batch && batch->arena)
                munmap(batch->arena, BATCH_ARENA_SIZE);
        free(batch);
        return NULL;
}

void batch_clear(struct batch *batch)
{
        batch->used = 0;
        batch->entry_count = 0;
        batch->run_count = 0;
}

void batch_trim(struct batch *batch)
{
        /* Advice: a failure changes nothing but the memory used. */
        (void)madvise(batch->arena, BATCH_ARENA_SIZE, MADV_DONTNEED);
}

static bool belongs(const struct batch *batch, const struct batch_entry *entry, uint8_t lane)
{
        if (entry->run == BATCH_NO_RUN || entry->verdict != TM_REFUSED || entry->reason != TM_REASON_IO)
                return false; /* TM_REASON_IO: not refused by anybody, and not yet on disk */
        const struct batch_run *run = &batch->runs[entry->run];
        return run->reason == TM_REASON_NONE && run->lane == lane;
}

void batch_stamp(struct batch *batch, uint8_t lane, uint32_t entry_from, uint64_t seq, int64_t admitted_us,
                 uint64_t generation, uint64_t room, struct batch_share *share)
{
        uint32_t at = entry_from, run_before = BATCH_NO_RUN;

        share->frames = share->bytes = share->chunk_count = 0;
        share->entry_from = entry_from;
        for (; at < batch->entry_count; at++) {
                const struct batch_entry *entry = &batch->entries[at];

                if (!belongs(batch, entry, lane))
                        continue;
                uint32_t len = frame_length(entry->record_len);
                if (share->bytes + len > room)
                        break;
                uint8_t *frame = batch->arena + entry->offset;
                const struct batch_run *run = &batch->runs[entry->run];
                bool first = run->first_of_kind && entry->run != run_before;
                const struct frame_stamp stamp = {
                        .flags = (first ? FRAME_FIRST : 0) | (entry->not_before_us ? FRAME_DEFERRED : 0),
                        .seq = seq++,
                        .admitted_us = admitted_us,
                        .uid = run->uid,
                        .pid = entry->pid,
                        .not_before_us = entry->not_before_us,
                };
                run_before = entry->run;
                frame_write(frame, entry->record_len, generation, &stamp);

                struct iovec *last = share->chunk_count ? &share->chunks[share->chunk_count - 1] : NULL;
                if (last && (uint8_t *)last->iov_base + last->iov_len == frame)
                        last->iov_len += len;
                else
                        share->chunks[share->chunk_count++] = (struct iovec){ .iov_base = frame, .iov_len = len };
                share->bytes += len;
                share->frames++;
        }
        share->entry_to = at;
}

static int write_chunk(int fd, const uint8_t *bytes, size_t len, uint64_t offset)
{
        while (len > 0) {
                ssize_t n = pwrite(fd, bytes, len, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -ENOSPC;
                bytes += n;
                offset += (uint64_t)n;
                len -= (size_t)n;
        }
        return 0;
}

static int write_chunks(const struct iovec *chunks, uint32_t count, int fd, uint64_t offset)
{
        while (count > 0) {
                uint32_t some = count < IOV_MAX ? count : IOV_MAX;
                ssize_t n = pwritev(fd, chunks, (int)some, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -ENOSPC;
                offset += (uint64_t)n;
                for (; some > 0 && (size_t)n >= chunks->iov_len; chunks++, count--, some--)
                        n -= (ssize_t)chunks->iov_len;
                if (n > 0) { /* a short write in the middle of a chunk: the disk is about to be full */
                        int r = write_chunk(fd, (const uint8_t *)chunks->iov_base + n, chunks->iov_len - (size_t)n, offset);
                        if (r < 0)
                                return r;
                        offset += chunks->iov_len - (size_t)n;
                        chunks++;
                        count--;
                }
        }
        return 0;
}

static uint64_t now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

int batch_write(const struct batch_share *share, int fd, uint64_t offset, uint32_t *sync_us)
{
        int r = write_chunks(share->chunks, share->chunk_count, fd, offset);

        *sync_us = 0;
        if (r < 0)
                return r;
        uint64_t begun_us = now_us();
        r = fdatasync(fd) < 0 ? -errno : 0;
        uint64_t took_us = now_us() - begun_us;
        *sync_us = took_us > UINT32_MAX ? UINT32_MAX : (uint32_t)took_us;
        return r;
}

void batch_settle(struct batch *batch, uint8_t lane, const struct batch_share *share, uint16_t reason)
{
        for (uint32_t at = share->entry_from; at < share->entry_to; at++) {
                struct batch_entry *entry = &batch->entries[at];

                if (!belongs(batch, entry, lane))
                        continue;
                entry->reason = reason;
                if (reason == TM_REASON_NONE) {
                        entry->verdict = TM_DURABLE;
                        batch->runs[entry->run].first_of_kind = 0; /* it is on disk: the next share has none */
                }
        }
}
