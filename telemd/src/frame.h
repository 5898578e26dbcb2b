/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame: how one record lies in a segment of the spool (docs/protocol.md, section 4.1). Pure: bytes in memory only.
 */
#ifndef TELEMD_FRAME_H
#define TELEMD_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_LEN 48u
#define FRAME_ALIGN 8u
#define FRAME_FIRST 0x1u        /* first of its kind in the spool */
#define FRAME_DEFERRED 0x2u     /* not to be sent before not_before_us */
#define FRAME_CARRIED 0x4u      /* appended again under a new seq */

struct frame_stamp {
        uint32_t flags;
        uint64_t seq;
        int64_t admitted_us;
        uint32_t uid;
        uint32_t pid;
        int64_t not_before_us;
};

/* Where one good frame lies in a buffer. */
struct frame_span {
        uint32_t offset;        /* of the frame */
        uint32_t record_len;
        uint32_t flags;
        uint32_t uid;
        uint32_t pid;
        uint64_t seq;
        int64_t admitted_us;
        int64_t not_before_us;
};

/* CRC-32C (Castagnoli, RFC 3720 B.4); pass the previous result to go on. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

/* The same without the processor's own instruction: what crc32c() does where there is none. */
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len);

/* Bytes a record of that length takes in a segment. */
static inline uint32_t frame_length(uint32_t record_len)
{
        return (FRAME_HEADER_LEN + record_len + FRAME_ALIGN - 1) & ~(FRAME_ALIGN - 1);
}

/* Write the 48 bytes before a record that already lies at frame + 48, and the zeros after it. */
void frame_write(uint8_t *frame, uint32_t record_len, uint64_t generation, const struct frame_stamp *stamp);

/* Walk good frames with rising seq > seq_floor from *offset on: at most max, at most bytes_max bytes of records (but one in
 * any case). The number found; *offset is behind the last one. A number below max with *offset < len means that what lies
 * there isn't such a frame, or isn't whole. */
size_t frame_scan(const uint8_t *bytes, size_t len, uint64_t generation, uint64_t seq_floor, size_t bytes_max,
                  struct frame_span *spans, size_t max, size_t *offset);

/* The next offset >= from, 8-aligned, where a good frame with seq > seq_floor begins; len where there is none. The frame of
 * seq_floor ends at from: a number that is further away than the bytes between could have held is no frame of ours, but
 * what a sender put into its payload. */
size_t frame_find(const uint8_t *bytes, size_t len, uint64_t generation, uint64_t seq_floor, size_t from);

/* Of n spans: *expired are at the head that were admitted before expired_before_us; the result is how many after those follow
 * one another without a gap in seq, are not expired, and not deferred beyond now_us. */
size_t frame_ready(const struct frame_span *spans, size_t n, int64_t now_us, int64_t expired_before_us, size_t *expired);

/* The records of n spans, back to back. The bytes written, or 0 where they don't fit into size. */
size_t frame_gather(const uint8_t *bytes, const struct frame_span *spans, size_t n, uint8_t *out, size_t size);

#endif
