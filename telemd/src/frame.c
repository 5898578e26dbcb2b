/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include <stdbool.h>
#include <string.h>

#include "telemetry.h"

#define FRAME_MAGIC 0x35524654u /* "TFR5" */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the spool is written in the byte order of the host");

/* ---- CRC-32C ---- */

static const uint32_t crc_nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len)
{
        const uint8_t *p = bytes;

        crc = ~crc;
        while (len--) {
                crc ^= *p++;
                crc = crc_nibble[crc & 15] ^ (crc >> 4);
                crc = crc_nibble[crc & 15] ^ (crc >> 4);
        }
        return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const uint8_t *p, size_t len)
{
        uint64_t wide = crc;
        for (; len >= 8; p += 8, len -= 8) {
                uint64_t word;
                memcpy(&word, p, 8);
                wide = __builtin_ia32_crc32di(wide, word);
        }
        crc = (uint32_t)wide;
        while (len--)
                crc = __builtin_ia32_crc32qi(crc, *p++);
        return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
#if defined(__x86_64__)
        if (__builtin_cpu_supports("sse4.2"))
                return ~crc_sse42(~crc, bytes, len);
#endif
        return crc32c_portable(crc, bytes, len);
}

/* ---- frames ---- */

struct frame_header {
        uint32_t magic;
        uint32_t len;
        uint32_t crc;
        uint32_t flags;
        uint64_t seq;
        int64_t admitted_us;
        uint32_t uid;
        uint32_t pid;
        int64_t not_before_us;
};
_Static_assert(sizeof(struct frame_header) == FRAME_HEADER_LEN, "docs/protocol.md, 4.1");

static uint32_t frame_crc(const uint8_t *frame, uint32_t record_len, uint64_t generation)
{
        uint8_t header[FRAME_HEADER_LEN];

        memcpy(header, frame, sizeof(header));
        memset(header + offsetof(struct frame_header, crc), 0, 4);
        uint32_t crc = crc32c((uint32_t)generation ^ (uint32_t)(generation >> 32), header, sizeof(header));
        return crc32c(crc, frame + FRAME_HEADER_LEN, record_len);
}

void frame_write(uint8_t *frame, uint32_t record_len, uint64_t generation, const struct frame_stamp *stamp)
{
        struct frame_header header = {
                .magic = FRAME_MAGIC,
                .len = record_len,
                .flags = stamp->flags,
                .seq = stamp->seq,
                .admitted_us = stamp->admitted_us,
                .uid = stamp->uid,
                .pid = stamp->pid,
                .not_before_us = stamp->not_before_us,
        };
        uint32_t used = FRAME_HEADER_LEN + record_len;

        memcpy(frame, &header, sizeof(header));
        header.crc = frame_crc(frame, record_len, generation);
        memcpy(frame, &header, sizeof(header));
        memset(frame + used, 0, frame_length(record_len) - used);
}

/* With seq_floor < seq <= seq_floor + ahead. */
static bool frame_good(const uint8_t *bytes, size_t len, uint64_t generation, uint64_t seq_floor, uint64_t ahead,
                       struct frame_span *span)
{
        struct frame_header header;

        if (len < sizeof(header))
                return false;
        memcpy(&header, bytes, sizeof(header));
        if (header.magic != FRAME_MAGIC || header.len > TM_RECORD_MAX || header.seq <= seq_floor ||
            header.seq - seq_floor > ahead || frame_length(header.len) > len ||
            header.crc != frame_crc(bytes, header.len, generation))
                return false;
        *span = (struct frame_span){
                .record_len = header.len,
                .flags = header.flags,
                .uid = header.uid,
                .pid = header.pid,
                .seq = header.seq,
                .admitted_us = header.admitted_us,
                .not_before_us = header.not_before_us,
        };
        return true;
}

size_t frame_scan(const uint8_t *bytes, size_t len, uint64_t generation, uint64_t seq_floor, size_t bytes_max,
                  struct frame_span *spans, size_t max, size_t *offset)
{
        size_t found = 0, taken = 0;

        while (found < max && *offset < len &&
               frame_good(bytes + *offset, len - *offset, generation, seq_floor, UINT64_MAX, &spans[found])) {
                struct frame_span *span = &spans[found];

                if (found > 0 && taken + span->record_len > bytes_max)
                        break;
                span->offset = (uint32_t)*offset;
                seq_floor = span->seq;
                taken += span->record_len;
                *offset += frame_length(span->record_len);
                found++;
        }
        return found;
}

size_t frame_find(const uint8_t *bytes, size_t len, uint64_t generation, uint64_t seq_floor, size_t from)
{
        struct frame_span span;

        for (size_t at = (from + FRAME_ALIGN - 1) & ~(size_t)(FRAME_ALIGN - 1); at < len; at += FRAME_ALIGN) {
                uint64_t lost_max = (at - from) / FRAME_HEADER_LEN;

                if (frame_good(bytes + at, len - at, generation, seq_floor, lost_max + 1, &span))
                        return at;
        }
        return len;
}

size_t frame_ready(const struct frame_span *spans, size_t n, int64_t now_us, int64_t expired_before_us, size_t *expired)
{
        size_t at = 0;

        while (at < n && spans[at].admitted_us < expired_before_us && spans[at].seq == spans[0].seq + at)
                at++;
        *expired = at;
        while (at < n && spans[at].seq == spans[0].seq + at && spans[at].admitted_us >= expired_before_us &&
               spans[at].not_before_us <= now_us)
                at++;
        return at - *expired;
}

size_t frame_gather(const uint8_t *bytes, const struct frame_span *spans, size_t n, uint8_t *out, size_t size)
{
        size_t used = 0;

        for (size_t i = 0; i < n; i++) {
                if (spans[i].record_len > size - used)
                        return 0;
                memcpy(out + used, bytes + spans[i].offset + FRAME_HEADER_LEN, spans[i].record_len);
                used += spans[i].record_len;
        }
        return used;
}
