/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the spool: what was written is found again, what was damaged, torn or forged is not. Buffers are of the exact
 * size, so that AddressSanitizer sees every byte read too far.
 */
#include "frame.h"

#include "check.h"
#include "telemetry.h"

#define GENERATION 0x0000000700000003ull
#define SPANS 64

static uint64_t state = 0x9e3779b97f4a7c15ull;

static uint32_t dice(void)
{
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return (uint32_t)(state >> 32);
}

static uint8_t *exact(const uint8_t *bytes, size_t len)
{
        uint8_t *copy = malloc(len ? len : 1);

        NEED(copy);
        memcpy(copy, bytes, len);
        return copy;
}

/* ---- CRC ---- */

static void crc_is(const void *bytes, size_t len, uint32_t wanted)
{
        CHECK_EQ(crc32c(0, bytes, len), wanted);
        CHECK_EQ(crc32c_portable(0, bytes, len), wanted);
}

static void crc_vectors(void)
{
        /* RFC 3720, B.4 */
        static const uint8_t read_command[48] = {
                0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
                0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
        };
        uint8_t bytes[32];

        check_about = "CRC-32C vectors";
        crc_is("", 0, 0);
        crc_is("123456789", 9, 0xe3069283);
        memset(bytes, 0, sizeof bytes);
        crc_is(bytes, sizeof bytes, 0x8a9136aa);
        memset(bytes, 0xff, sizeof bytes);
        crc_is(bytes, sizeof bytes, 0x62a8ab43);
        for (uint8_t i = 0; i < 32; i++)
                bytes[i] = i;
        crc_is(bytes, sizeof bytes, 0x46dd794e);
        for (uint8_t i = 0; i < 32; i++)
                bytes[i] = (uint8_t)(31 - i);
        crc_is(bytes, sizeof bytes, 0x113fdb5c);
        crc_is(read_command, sizeof read_command, 0xd9963a56);
}

static void crc_both_agree(void)
{
        check_about = "CRC-32C by instruction and without";
        for (int i = 0; i < 3000; i++) {
                size_t len = dice() % (i % 100 ? 200 : 5000), shift = dice() % 8, cut = len ? dice() % len : 0;
                uint8_t *held = malloc(len + shift + 1), *bytes = held + shift;
                uint32_t seed = dice();

                NEED(held);
                for (size_t at = 0; at < len; at++)
                        bytes[at] = (uint8_t)dice();
                uint32_t whole = crc32c(seed, bytes, len);
                CHECK_EQ(whole, crc32c_portable(seed, bytes, len));
                CHECK_EQ(whole, crc32c(crc32c(seed, bytes, cut), bytes + cut, len - cut));
                free(held);
        }
}

/* ---- write and scan ---- */

/* Frames of records of these lengths, numbered from seq on, in a buffer of exactly their size. */
static uint8_t *segment_of(const uint32_t *lens, size_t n, uint64_t seq, uint64_t generation, size_t *len)
{
        size_t total = 0, at = 0;

        for (size_t i = 0; i < n; i++)
                total += frame_length(lens[i]);
        uint8_t *bytes = malloc(total ? total : 1);
        NEED(bytes);
        memset(bytes, 0xaa, total);
        for (size_t i = 0; i < n; i++) {
                const struct frame_stamp stamp = {
                        .flags = (uint32_t)i & 7, .seq = seq + i, .admitted_us = (int64_t)(1000 + i),
                        .uid = (uint32_t)(100 + i), .pid = (uint32_t)(200 + i), .not_before_us = (int64_t)(300 + i),
                };
                for (uint32_t k = 0; k < lens[i]; k++)
                        bytes[at + FRAME_HEADER_LEN + k] = (uint8_t)(i * 31 + k + generation - GENERATION);
                frame_write(bytes + at, lens[i], generation, &stamp);
                at += frame_length(lens[i]);
        }
        *len = total;
        return bytes;
}

static size_t scan(const uint8_t *bytes, size_t len, uint64_t generation, uint64_t floor, struct frame_span *spans,
                   size_t *end)
{
        *end = 0;
        return frame_scan(bytes, len, generation, floor, SIZE_MAX, spans, SPANS, end);
}

static void round_trip(void)
{
        static const uint32_t lens[] = { 77, 1, 8, 7, 9, 100, 4096, TM_RECORD_MAX, 80 };
        const size_t n = sizeof lens / sizeof *lens;
        struct frame_span spans[SPANS];
        size_t len, end, at = 0;
        uint8_t *bytes = segment_of(lens, n, 41, GENERATION, &len);

        check_about = "round trip";
        CHECK_EQ(scan(bytes, len, GENERATION, 40, spans, &end), n);
        CHECK_EQ(end, len);
        for (size_t i = 0; i < n; i++) {
                CHECK_EQ(spans[i].offset, at);
                CHECK_EQ(spans[i].record_len, lens[i]);
                CHECK_EQ(spans[i].flags, i & 7);
                CHECK_EQ(spans[i].seq, 41 + i);
                CHECK_EQ(spans[i].admitted_us, 1000 + i);
                CHECK_EQ(spans[i].uid, 100 + i);
                CHECK_EQ(spans[i].pid, 200 + i);
                CHECK_EQ(spans[i].not_before_us, 300 + i);
                CHECK_EQ(at % FRAME_ALIGN, 0);
                uint32_t unchanged = 0;
                while (unchanged < lens[i] && bytes[at + FRAME_HEADER_LEN + unchanged] == (uint8_t)(i * 31 + unchanged))
                        unchanged++;
                CHECK_EQ(unchanged, lens[i]);
                for (uint32_t k = FRAME_HEADER_LEN + lens[i]; k < frame_length(lens[i]); k++)
                        CHECK_EQ(bytes[at + k], 0);
                at += frame_length(lens[i]);
        }
        free(bytes);
}

static void layout(void)
{
        uint8_t frame[56];
        const struct frame_stamp stamp = { .flags = FRAME_CARRIED, .seq = 0x0102030405060708, .admitted_us = -2, .uid = 3,
                                           .pid = 4, .not_before_us = 5 };
        uint32_t crc, len;
        uint64_t seq;

        check_about = "layout of section 4.1";
        memcpy(frame + 48, "abcde", 5);
        frame_write(frame, 5, GENERATION, &stamp);
        CHECK(memcmp(frame, "TFR5", 4) == 0);
        memcpy(&len, frame + 4, 4);
        CHECK_EQ(len, 5);
        memcpy(&seq, frame + 16, 8);
        CHECK_EQ(seq, stamp.seq);
        memcpy(&crc, frame + 8, 4);
        memset(frame + 8, 0, 4);
        CHECK_EQ(crc, crc32c_portable(0x3u ^ 0x7u, frame, 53));
}

static void every_bit_flip(void)
{
        static const uint32_t lens[] = { 77, 1, 131, 256 };
        struct frame_span spans[SPANS];

        check_about = "bit flips";
        for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
                size_t len, end;
                uint8_t *bytes = segment_of(&lens[i], 1, 5, GENERATION, &len);

                for (size_t bit = 0; bit < len * 8; bit++) {
                        bool padding = bit / 8 >= FRAME_HEADER_LEN + lens[i]; /* not part of the frame's meaning */

                        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
                        CHECK_EQ(scan(bytes, len, GENERATION, 4, spans, &end), padding);
                        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
                }
                CHECK_EQ(scan(bytes, len, GENERATION, 4, spans, &end), 1);
                free(bytes);
        }
}

static size_t reached(const size_t *marks, size_t n, size_t at)
{
        size_t count = 0;

        while (count < n && marks[count] <= at)
                count++;
        return count;
}

static void torn_at_every_length(void)
{
        static const uint32_t lens[] = { 77, 90, 101 };
        struct frame_span spans[SPANS];
        size_t len, end;
        uint8_t *bytes = segment_of(lens, 3, 9, GENERATION, &len), *old = segment_of(lens, 3, 9, GENERATION + 1, &len);
        const size_t ends[] = { frame_length(77), frame_length(77) + frame_length(90), len };
        const size_t record_ends[] = { FRAME_HEADER_LEN + 77, ends[0] + FRAME_HEADER_LEN + 90, ends[1] + FRAME_HEADER_LEN + 101 };

        check_about = "torn";
        for (size_t cut = 0; cut <= len; cut++) {
                size_t whole = reached(ends, 3, cut), complete = reached(record_ends, 3, cut);
                uint8_t *part = exact(bytes, cut), *zeroed = exact(bytes, len), *stale = exact(old, len);

                CHECK_EQ(scan(part, cut, GENERATION, 8, spans, &end), whole);
                CHECK_EQ(end, whole ? ends[whole - 1] : 0);
                CHECK_EQ(frame_find(part, cut, GENERATION, 8 + whole, end), cut);

                /* in a preallocated file, and over what stood there before: the zeros at a frame's end may be lacking */
                memset(zeroed + cut, 0, len - cut);
                CHECK_EQ(scan(zeroed, len, GENERATION, 8, spans, &end), complete);
                memcpy(stale, bytes, cut);
                CHECK_EQ(scan(stale, len, GENERATION, 8, spans, &end), complete);
                free(part);
                free(zeroed);
                free(stale);
        }
        free(bytes);
        free(old);
}

/* ---- limits of a scan ---- */

static void seq_and_generation(void)
{
        static const uint32_t lens[] = { 80, 80, 80, 80 };
        struct frame_span spans[SPANS];
        size_t len, end;
        uint8_t *bytes = segment_of(lens, 4, 10, GENERATION, &len);
        size_t one = frame_length(80);

        check_about = "seq and generation";
        for (uint64_t floor = 0; floor < 10; floor++)
                CHECK_EQ(scan(bytes, len, GENERATION, floor, spans, &end), 4);
        for (uint64_t floor = 10; floor < 15; floor++)
                CHECK_EQ(scan(bytes, len, GENERATION, floor, spans, &end), 0);
        CHECK_EQ(scan(bytes, len, GENERATION, UINT64_MAX, spans, &end), 0);
        CHECK_EQ(frame_find(bytes, len, GENERATION, 11, 0), 2 * one);
        CHECK_EQ(frame_find(bytes, len, GENERATION, 13, 0), len);

        CHECK_EQ(scan(bytes, len, GENERATION + 1, 0, spans, &end), 0);
        CHECK_EQ(scan(bytes, len, GENERATION ^ 1ull << 40, 0, spans, &end), 0);
        CHECK_EQ(scan(bytes, len, 0, 0, spans, &end), 0);
        CHECK_EQ(frame_find(bytes, len, GENERATION + 1, 0, 0), len);

        memcpy(bytes + 2 * one, bytes + one, one); /* the same number twice: the second isn't good */
        CHECK_EQ(scan(bytes, len, GENERATION, 0, spans, &end), 2);
        CHECK_EQ(end, 2 * one);
        CHECK_EQ(frame_find(bytes, len, GENERATION, 11, end), 3 * one);
        free(bytes);
}

static void scan_limits(void)
{
        static const uint32_t lens[] = { 80, 90, 100, 110 };
        struct frame_span spans[SPANS];
        size_t len, at;
        uint8_t *bytes = segment_of(lens, 4, 1, GENERATION, &len);

        check_about = "limits of a scan";
        for (size_t max = 0; max <= 4; max++) {
                struct frame_span *few = malloc(max ? max * sizeof *few : 1);

                NEED(few);
                at = 0;
                CHECK_EQ(frame_scan(bytes, len, GENERATION, 0, SIZE_MAX, few, max, &at), max);
                free(few);
        }
        at = 0;
        CHECK_EQ(frame_scan(bytes, len, GENERATION, 0, 0, spans, SPANS, &at), 1);
        CHECK_EQ(at, frame_length(80));
        at = 0;
        CHECK_EQ(frame_scan(bytes, len, GENERATION, 0, 169, spans, SPANS, &at), 1);
        at = 0;
        CHECK_EQ(frame_scan(bytes, len, GENERATION, 0, 170, spans, SPANS, &at), 2);
        at = frame_length(80); /* go on where the last scan ended */
        CHECK_EQ(frame_scan(bytes, len, GENERATION, 1, SIZE_MAX, spans, SPANS, &at), 3);
        CHECK_EQ(at, len);
        CHECK_EQ(frame_scan(bytes, len, GENERATION, 4, SIZE_MAX, spans, SPANS, &at), 0);
        at = len + 8;
        CHECK_EQ(frame_scan(bytes, len, GENERATION, 0, SIZE_MAX, spans, SPANS, &at), 0);
        CHECK_EQ(frame_find(bytes, len, GENERATION, 0, len), len);
        CHECK_EQ(frame_find(bytes, len, GENERATION, 0, len - 7), len);
        free(bytes);
}

static void gather(void)
{
        static const uint32_t lens[] = { 80, 91, 102 };
        struct frame_span spans[SPANS];
        size_t len, end;
        uint8_t *bytes = segment_of(lens, 3, 1, GENERATION, &len), *out = malloc(273);

        check_about = "gather";
        NEED(out);
        CHECK_EQ(scan(bytes, len, GENERATION, 0, spans, &end), 3);
        CHECK_EQ(frame_gather(bytes, spans, 3, out, 273), 273);
        CHECK(memcmp(out, bytes + FRAME_HEADER_LEN, 80) == 0);
        CHECK(memcmp(out + 80, bytes + spans[1].offset + FRAME_HEADER_LEN, 91) == 0);
        CHECK(memcmp(out + 171, bytes + spans[2].offset + FRAME_HEADER_LEN, 102) == 0);
        for (size_t size = 0; size < 273; size++)
                CHECK_EQ(frame_gather(bytes, spans, 3, out, size), 0);
        CHECK_EQ(frame_gather(bytes, spans, 2, out, 171), 171);
        CHECK_EQ(frame_gather(bytes, spans, 0, out, 0), 0);
        free(out);
        free(bytes);
}

/* ---- damage ---- */

static void find_after_damage(void)
{
        static const uint32_t lens[] = { 77, 300, 120, 4000, 99 };
        const size_t n = 5;
        struct frame_span whole[SPANS], spans[SPANS];
        size_t len, end;
        uint8_t *bytes = segment_of(lens, n, 1, GENERATION, &len);

        check_about = "damage";
        CHECK_EQ(scan(bytes, len, GENERATION, 0, whole, &end), n);
        for (size_t hurt = 0; hurt < n; hurt++)
                for (int i = 0; i < 200; i++) {
                        uint8_t *copy = exact(bytes, len);
                        size_t from = whole[hurt].offset, span = FRAME_HEADER_LEN + lens[hurt];
                        size_t begin = dice() % span, some = 1 + dice() % (span - begin);

                        for (size_t k = 0; k < some; k++)
                                copy[from + begin + k] ^= (uint8_t)(1 + dice() % 255);
                        CHECK_EQ(scan(copy, len, GENERATION, 0, spans, &end), hurt);
                        CHECK_EQ(end, from);
                        size_t next = frame_find(copy, len, GENERATION, hurt, end);
                        CHECK_EQ(next, hurt + 1 < n ? whole[hurt + 1].offset : len);
                        CHECK_EQ(frame_scan(copy, len, GENERATION, hurt, SIZE_MAX, spans, SPANS, &next), n - hurt - 1);
                        CHECK_EQ(frame_find(copy, len, GENERATION, hurt, end + 1), hurt + 1 < n ? whole[hurt + 1].offset : len);
                        free(copy);
                }
        free(bytes);
}

/* A sender who guesses the generation puts whole frames into its payload. */
static void forged_frames(void)
{
        static const uint32_t lens[] = { 80, 48 + 800, 90 };
        static const uint64_t numbers[] = { 1ull << 62, UINT64_MAX, 1000, 20 };
        struct frame_span spans[SPANS];
        size_t len, end;

        check_about = "forged frames";
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
                uint8_t *bytes = segment_of(lens, 3, 1, GENERATION, &len);
                size_t second = frame_length(80), third = second + frame_length(lens[1]);

                for (size_t at = second + FRAME_HEADER_LEN; at + 136 <= second + FRAME_HEADER_LEN + lens[1]; at += 136)
                        frame_write(bytes + at, 88, GENERATION, &(struct frame_stamp){ .seq = numbers[i] + at });
                frame_write(bytes + second, lens[1], GENERATION, &(struct frame_stamp){ .seq = 2 });
                CHECK_EQ(scan(bytes, len, GENERATION, 0, spans, &end), 3);
                CHECK_EQ(frame_find(bytes, len, GENERATION, 1, 8), second);

                bytes[second + 20] ^= 1; /* the frame around them is damaged: no number from nowhere is believed */
                CHECK_EQ(scan(bytes, len, GENERATION, 0, spans, &end), 1);
                CHECK_EQ(frame_find(bytes, len, GENERATION, 1, end), third);
                CHECK_EQ(frame_find(bytes, third, GENERATION, 1, end), third);
                free(bytes);
        }
}

/* What may be sent of a row of frames: not the old ones at its head, nothing behind a gap or a frame that has to wait. */
static void ready(void)
{
        static const struct { uint64_t seq[4]; int64_t admitted_us[4], not_before_us[4]; size_t expired, ready; } rows[] = {
                { { 5, 6, 7, 8 }, { 100, 100, 100, 100 }, { 0, 0, 0, 0 }, 0, 4 },
                { { 5, 6, 7, 8 }, { 49, 49, 50, 50 }, { 0, 0, 0, 0 }, 2, 2 },
                { { 5, 6, 7, 8 }, { 49, 49, 49, 49 }, { 0, 0, 0, 0 }, 4, 0 },
                { { 5, 6, 7, 8 }, { 100, 100, 49, 100 }, { 0, 0, 0, 0 }, 0, 2 },
                { { 5, 6, 9, 10 }, { 100, 100, 100, 100 }, { 0, 0, 0, 0 }, 0, 2 },
                { { 5, 6, 9, 10 }, { 49, 49, 49, 100 }, { 0, 0, 0, 0 }, 2, 0 },
                { { 5, 6, 7, 8 }, { 100, 100, 100, 100 }, { 0, 200, 201, 0 }, 0, 2 },
                { { 5, 6, 7, 8 }, { 49, 100, 100, 100 }, { 300, 300, 0, 0 }, 1, 0 },
        };

        check_about = "ready";
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct frame_span *spans = calloc(4, sizeof *spans);
                size_t expired = 99;

                NEED(spans);
                for (int k = 0; k < 4; k++)
                        spans[k] = (struct frame_span){ .seq = rows[i].seq[k], .admitted_us = rows[i].admitted_us[k],
                                                        .not_before_us = rows[i].not_before_us[k] };
                CHECK_EQ(frame_ready(spans, 4, 200, 50, &expired), rows[i].ready);
                CHECK_EQ(expired, rows[i].expired);
                CHECK_EQ(frame_ready(spans, 0, 200, 50, &expired), 0);
                CHECK_EQ(expired, 0);
                free(spans);
        }
}

/* Bytes of any kind: nothing is read too far, nothing is found. */
static void noise(void)
{
        struct frame_span spans[SPANS];
        size_t end;

        check_about = "noise";
        for (int i = 0; i < 2000; i++) {
                size_t len = dice() % 600;
                uint8_t *bytes = malloc(len ? len : 1);

                NEED(bytes);
                for (size_t at = 0; at < len; at++)
                        bytes[at] = (uint8_t)dice();
                for (size_t at = 0; at + 8 <= len; at += 8 * (1 + dice() % 8)) {
                        uint32_t record_len = i % 3 ? dice() % 700 : i % 2 ? dice() : UINT32_MAX - dice() % 64;

                        memcpy(bytes + at, "TFR5", 4);
                        memcpy(bytes + at + 4, &record_len, 4);
                }
                CHECK_EQ(scan(bytes, len, GENERATION, 0, spans, &end), 0);
                CHECK_EQ(frame_find(bytes, len, GENERATION, 0, 0), len);
                free(bytes);
        }
}

int main(void)
{
        crc_vectors();
        crc_both_agree();
        layout();
        round_trip();
        every_bit_flip();
        torn_at_every_length();
        seq_and_generation();
        scan_limits();
        gather();
        find_after_damage();
        forged_frames();
        ready();
        noise();
        return check_end();
}
