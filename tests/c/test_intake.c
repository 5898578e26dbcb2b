/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation on telemd.sock (docs/protocol.md, section 2), over real sockets: what comes in, in which pieces, what is
 * answered, in which order, and when the connection ends.
 */
#include "intake_fixture.h"

static uint8_t record[RECORD_ROOM];
static uint8_t payload[TM_PAYLOAD_MAX];

/* ---- pieces ---- */

static void byte_by_byte(void)
{
        struct house *house = house_new(8);
        int fd = dial(house, 5);
        size_t len = make_small(record, 7);

        check_about = "byte by byte";
        for (int turn = 0; turn < 3; turn++) {
                for (size_t i = 0; i < len; i++) {
                        give(fd, record + i, 1);
                        CHECK_EQ(house_drain(house), i + 1 == len);
                        if (i + 1 == len) {
                                CHECK_EQ(number_of(house->batch->entries[0].record_id), 7);
                                CHECK(memcmp(house->batch->arena + FRAME_HEADER_LEN, record, len) == 0);
                        }
                        house_answer(house);
                }
                HEARS(fd, TM_DURABLE, TM_REASON_NONE, OPEN);
        }
        close(fd);
        house_rounds(house);
        CHECK_EQ(house_connections(house), 0);
        house_free(house);
}

/* The longest record there is, in two pieces cut anywhere, and with another behind it. */
static void longest_record(void)
{
        uint8_t attributes[TM_ATTRIBUTES_MAX], *long_header = malloc(RECORD_ROOM), *two = malloc(2 * RECORD_ROOM);
        size_t attributes_len = 0;

        check_about = "longest record";
        NEED(long_header && two);
        for (uint16_t key = 100; attributes_len + 4 < TM_ATTRIBUTES_MAX; key++) {
                size_t left = TM_ATTRIBUTES_MAX - attributes_len - 4;
                attributes_len = wire_attribute_put(attributes, attributes_len, sizeof attributes, key, payload,
                                                    left < 500 ? left : 500);
                NEED(attributes_len > 0);
        }
        char part[TM_CLASSIFICATION_PART_MAX + 1], classification[TM_CLASSIFICATION_MAX + 1];
        memset(part, 'x', TM_CLASSIFICATION_PART_MAX);
        part[TM_CLASSIFICATION_PART_MAX] = 0;
        snprintf(classification, sizeof classification, "%s/%s/%s", part, part, part);
        struct wire_record made = {
                .created_us = 1, .severity = 4, .payload_kind = TM_PAYLOAD_JSON_ZSTD,
                .classification = { (const uint8_t *)classification, TM_CLASSIFICATION_MAX },
                .attributes = { attributes, (uint32_t)attributes_len }, .payload = { payload, TM_PAYLOAD_MAX },
        };
        id_of(1, made.record_id);
        size_t len = wire5_encode(&made, record, sizeof record);
        NEED(len == 72 + TM_CLASSIFICATION_MAX + attributes_len + TM_PAYLOAD_MAX);

        /* the header grown to 1,024 bytes */
        memcpy(long_header, record, 72);
        memset(long_header + 72, 0xee, 1024 - 72);
        memcpy(long_header + 1024, record + 72, len - 72);
        uint16_t header_len = 1024;
        memcpy(long_header + 4, &header_len, 2);
        len += 1024 - 72;
        uint32_t total = (uint32_t)len;
        memcpy(long_header + 8, &total, 4);
        memcpy(two, long_header, len);
        memcpy(two + len, long_header, len);

        for (size_t cut = 0; cut <= 2 * len; cut = cut < 80 || cut + 80 > 2 * len ? cut + 1 : cut + 4321) {
                struct house *house = house_new(8);
                int fd = dial(house, 5);
                struct tm_ack acks[4];
                int state;

                give(fd, two, cut);
                uint32_t taken = house_round(house);
                CHECK_EQ(taken, cut / len);
                give(fd, two + cut, 2 * len - cut);
                while (taken < 2 && house_has_work(house)) {
                        uint32_t more = house_drain(house);
                        for (uint32_t i = 0; i < more; i++) {
                                const struct batch_entry *entry = &house->batch->entries[i];
                                CHECK_EQ(entry->record_len, len);
                                CHECK(memcmp(house->batch->arena + entry->offset + FRAME_HEADER_LEN, long_header, len) == 0);
                        }
                        taken += more;
                        house_answer(house);
                }
                CHECK_EQ(hear(fd, acks, 4, &state), 2);
                CHECK_EQ(acks[1].verdict, TM_DURABLE);
                CHECK_EQ(state, OPEN);
                close(fd);
                house_free(house);
        }
        free(long_header);
        free(two);
}

/* ---- many ---- */

/* Listen to answers that must be those of the records [*next, …), in order, and move *next. */
static void hears_in_order(int fd, uint32_t *next, int wanted_state)
{
        static struct tm_ack acks[4096];
        int state;
        size_t count = hear(fd, acks, 4096, &state), right = 0;

        while (right < count && acks[right].verdict == TM_DURABLE && number_of(acks[right].record_id) == *next + right)
                right++;
        CHECK_EQ(right, count);
        CHECK_EQ(state, wanted_state);
        *next += (uint32_t)count;
}

static void many_in_one_send(void)
{
        static const uint32_t counts[] = { 1, 2, 63, 64, 65, 127, 128, 129, 500, 1000 };
        struct house *house = house_new(8);
        int fd = dial(house, 5);
        uint32_t given = 0, heard = 0;

        check_about = "many in one send";
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
                give_small(fd, given, counts[i]);
                given += counts[i];
                CHECK_EQ(house_rounds(house), counts[i]);
                hears_in_order(fd, &heard, OPEN);
                CHECK_EQ(heard, given);
        }
        CHECK_EQ(house_counts(house).durable, given);
        close(fd);
        house_free(house);
}

/* A batch holds about 1,024 records: what is more comes with the next drain, with nothing lost and in order. */
static void over_several_drains(void)
{
        enum { SENDERS = 5, EACH = 900 };
        struct house *house = house_new(SENDERS);
        uint32_t heard[SENDERS], drains = 0;
        int fd[SENDERS];

        check_about = "over several drains";
        for (uint32_t i = 0; i < SENDERS; i++) {
                fd[i] = dial(house, 5);
                heard[i] = i * EACH;
                give_small(fd[i], i * EACH, EACH);
        }
        while (house_has_work(house)) {
                uint32_t last[SENDERS], count = house_drain(house);

                memcpy(last, heard, sizeof last);
                CHECK(count < BATCH_RECORDS_MAX + 1000);
                for (uint32_t i = 0; i < count; i++) {
                        uint32_t number = number_of(house->batch->entries[i].record_id);

                        CHECK_EQ(number, last[number / EACH]); /* in the sender's order */
                        last[number / EACH]++;
                }
                house_answer(house);
                for (uint32_t i = 0; i < SENDERS; i++)
                        hears_in_order(fd[i], &heard[i], OPEN);
                drains++;
        }
        CHECK(drains >= SENDERS * EACH / 2000);
        for (uint32_t i = 0; i < SENDERS; i++) {
                CHECK_EQ(heard[i], (i + 1) * EACH);
                close(fd[i]);
        }
        CHECK_EQ(house_counts(house).durable, SENDERS * EACH);
        house_free(house);
}

/* The arena is full long before the batch has its 1,024 records. */
static void large_records_of_many(void)
{
        enum { SENDERS = 64, EACH = 2 };
        struct house *house = house_new(SENDERS);
        uint32_t heard[SENDERS], sum = 0, most = 0;
        int fd[SENDERS];

        check_about = "large records";
        for (uint32_t i = 0; i < SENDERS; i++) {
                fd[i] = dial(house, 5);
                heard[i] = i * EACH;
                for (uint32_t k = 0; k < EACH; k++) {
                        size_t len = make5(record, i * EACH + k, 0, CLASS, payload, TM_PAYLOAD_MAX - i);
                        give(fd[i], record, len);
                }
        }
        while (house_has_work(house)) {
                sum += house_drain(house);
                most = house->batch->used > most ? house->batch->used : most;
                house_answer(house);
        }
        CHECK_EQ(sum, SENDERS * EACH);
        CHECK(most > BATCH_ARENA_SIZE / 2);
        for (uint32_t i = 0; i < SENDERS; i++) {
                hears_in_order(fd[i], &heard[i], OPEN);
                CHECK_EQ(heard[i], (i + 1) * EACH);
                close(fd[i]);
        }
        house_free(house);
}

/* So many large ones that the arena is nearly full, and then all at once the most frames that one recv can make. */
static void fullest_arena(void)
{
        check_about = "fullest arena";
        for (uint32_t large = 20; large < 32; large++) {
                struct house *house = house_new(64);
                uint32_t sum = 0, heard = 100;
                int fd[33];

                for (uint32_t i = 0; i < large; i++) {
                        fd[i] = dial(house, 5);
                        give(fd[i], record, make5(record, i, 0, CLASS, payload, TM_PAYLOAD_MAX));
                }
                fd[large] = dial(house, 5);
                size_t len = 0;
                uint8_t *many = malloc(1000 * 80);
                NEED(many);
                for (uint32_t i = 0; i < 1000; i++)
                        len += make5(many + len, 100 + i, 0, "a/b/c", "", 0);
                give(fd[large], many, len);
                free(many);
                while (house_has_work(house))
                        sum += house_round(house);
                CHECK_EQ(sum, large + 1000);
                hears_in_order(fd[large], &heard, OPEN);
                CHECK_EQ(heard, 1100);
                for (uint32_t i = 0; i <= large; i++)
                        close(fd[i]);
                house_free(house);
        }
}

/* Neighbours of one class, kind and user are one run; where one of these changes a new one begins. */
static void runs(void)
{
        static const char *const classes[] = { "a/b/c", "a/b/c", "a/b/d", "a/b/c", "a/b/cc" };
        struct house *house = house_new(8);
        uint8_t all[2000];
        size_t len = 0;

        check_about = "runs";
        for (uint32_t i = 0; i < 5; i++)
                len += make5(all + len, i, 0, classes[i], payload, i);
        size_t metric = len;
        len += make5(all + len, 5, 0, "a/b/cc", "x", 1);
        all[metric + 61] = TM_PAYLOAD_METRIC;
        int fd = dial(house, 5), other = -1;
        give(fd, all, len);
        if (geteuid() == 0) { /* the other differs from the last of the first in nothing but its user */
                NEED(seteuid(1234) == 0);
                other = dial(house, 5);
                NEED(seteuid(0) == 0);
                give(other, all + metric, len - metric);
        }
        CHECK_EQ(house_drain(house), other < 0 ? 6 : 7);
        static const uint32_t counts[] = { 2, 1, 1, 1, 1, 1 };
        CHECK_EQ(house->batch->run_count, other < 0 ? 5 : 6);
        for (uint32_t i = 0; i < house->batch->run_count; i++) {
                CHECK_EQ(house->batch->runs[i].count, counts[i]);
                CHECK_EQ(house->batch->runs[i].uid, i < 5 ? geteuid() : 1234);
        }
        house_answer(house);
        close(fd);
        if (other >= 0)
                close(other);
        house_free(house);
}

/* As many entries as can be: a batch that lacks one record of being full, and behind it a recv of the shortest frames. */
static void most_entries(void)
{
        struct house *house = house_new(8);
        int a = dial(house, 5), b = dial(house, 5);
        uint8_t *bytes = calloc(4096, WIRE5_HEADER_LEN);
        struct tm_ack acks[2048];
        int state;
        uint32_t heard = 0, short_ones = (64u << 10) / WIRE5_HEADER_LEN;

        check_about = "most entries";
        NEED(bytes);
        house_round(house);
        for (uint32_t i = 0; i < short_ones; i++) { /* without a classification: refused, the conversation goes on */
                uint8_t *at = bytes + i * WIRE5_HEADER_LEN;
                uint32_t total = WIRE5_HEADER_LEN;

                make_small(record, 5000 + i);
                memcpy(at, record, WIRE5_HEADER_LEN);
                memset(at + 12, 0, 4);
                at[62] = 0;
                memcpy(at + 8, &total, 4);
        }
        give_small(a, 0, BATCH_RECORDS_MAX - 1);
        give(b, bytes, short_ones * WIRE5_HEADER_LEN);
        give(b, record, 50);
        CHECK_EQ(house_round(house), BATCH_RECORDS_MAX - 1 + short_ones);
        hears_in_order(a, &heard, OPEN);
        CHECK_EQ(heard, BATCH_RECORDS_MAX - 1);
        CHECK_EQ(hear(b, acks, 2048, &state), short_ones);
        for (uint32_t i = 0; i < short_ones; i++) {
                CHECK_EQ(acks[i].reason, TM_REASON_CLASSIFICATION);
                CHECK_EQ(number_of(acks[i].record_id), 5000 + i);
        }
        CHECK_EQ(state, OPEN);
        close(a);
        close(b);
        free(bytes);
        house_free(house);
}

/* ---- flags ---- */

static void last_ends(void)
{
        struct house *house = house_new(8);
        int fd = dial(house, 5), other = dial(house, 5);
        struct tm_ack acks[200];
        int state;
        size_t len = 0;
        static uint8_t many[40000];

        check_about = "LAST";
        for (uint32_t i = 0; i < 150; i++) /* over two sends of answers; what comes behind is not looked at */
                len += make5(many + len, i, i == 139 ? WIRE5_FLAG_LAST : 0, CLASS, "x", 1);
        give(fd, many, len);
        CHECK_EQ(house_round(house), 140);
        CHECK_EQ(hear(fd, acks, 200, &state), 140);
        CHECK_EQ(number_of(acks[139].record_id), 139);
        CHECK_EQ(state, ENDED);

        len = make5(record, 9, WIRE5_FLAG_LAST, CLASS, "x", 1); /* in two pieces */
        give(other, record, len - 1);
        CHECK_EQ(house_round(house), 0);
        give(other, record + len - 1, 1);
        CHECK_EQ(house_round(house), 1);
        HEARS(other, TM_DURABLE, TM_REASON_NONE, ENDED);
        CHECK_EQ(house_connections(house), 0);
        close(fd);
        close(other);
        house_free(house);
}

/* LAST holds for a record that is refused too, by the codec or by admission: nothing behind it is looked at. */
static void last_refused(void)
{
        static const struct { size_t at; uint8_t value; uint16_t reason; } wrongs[] = {
                { 60, 5, TM_REASON_SEVERITY }, { 63, 1, TM_REASON_MALFORMED }, { 72, '/', TM_REASON_CLASSIFICATION },
                { 60, 2, TM_REASON_RATE_LIMIT },
        };

        check_about = "LAST, refused";
        for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++)
                for (int pieces = 0; pieces < 2; pieces++) {
                        struct house *house = house_new(8);
                        int fd = dial(house, 5);
                        size_t len = make5(record, 1, WIRE5_FLAG_LAST, CLASS, "hello", 5);

                        record[wrongs[i].at] = wrongs[i].value;
                        give(fd, record, pieces ? 70 : len);
                        if (pieces) {
                                CHECK_EQ(house_round(house), 0);
                                give(fd, record + 70, len - 70);
                        }
                        give_small(fd, 2, 1);
                        CHECK_EQ(house_drain(house), 1);
                        if (wrongs[i].reason == TM_REASON_RATE_LIMIT)
                                house->batch->runs[0].reason = TM_REASON_RATE_LIMIT;
                        house_answer(house);
                        HEARS(fd, TM_REFUSED, wrongs[i].reason, ENDED);
                        CHECK_EQ(house_connections(house), 0);
                        close(fd);
                        house_free(house);
                }
}

/* The journal is told of the last that were taken, whatever was refused behind and between them. */
static void marks_of_the_taken(void)
{
        enum { TAKEN = 300, REFUSED = 200 };
        struct house *house = house_new(8);
        int fd = dial(house, 5);
        uint64_t marks;

        check_about = "marks";
        static uint8_t all[RECORD_ROOM * 2];
        size_t len = 0;
        for (uint32_t i = 0; i < TAKEN; i++) {
                len += make5(all + len, i, 0, i % 3 ? CLASS : "a/b/refused", "x", 1);
                len += make_small(all + len, i);
        }
        for (uint32_t i = 0; i < REFUSED; i++)
                len += make5(all + len, i, 0, "a/b/refused", "x", 1);
        give(fd, all, len);
        CHECK_EQ(house_drain(house), 2 * TAKEN + REFUSED);
        for (uint32_t i = 0; i < house->batch->run_count; i++)
                if (house->batch->runs[i].class_len == 11)
                        house->batch->runs[i].reason = TM_REASON_RATE_LIMIT;
        house_answer(house);
        const struct recent_mark *ring = recent_marks(house->recent, &marks);
        CHECK_EQ(house_counts(house).durable, TAKEN + TAKEN * 2 / 3);
        CHECK_EQ(marks, RECENT_MARKS);
        CHECK_EQ(number_of(ring[(marks - 1) % RECENT_MARKS].record_id), TAKEN - 1);
        CHECK_EQ(number_of(ring[(marks - 2) % RECENT_MARKS].record_id), TAKEN - 1);
        CHECK_EQ(number_of(ring[(marks - 3) % RECENT_MARKS].record_id), TAKEN - 2);
        for (uint64_t i = 1; i < RECENT_MARKS; i++) /* in the order of their coming */
                CHECK(number_of(ring[i].record_id) >= number_of(ring[i - 1].record_id));
        CHECK(number_of(ring[0].record_id) >= TAKEN - 1 - RECENT_MARKS * 2 / 3); /* five of three pairs are taken */

        give_small(fd, 1000, 2); /* and a small batch adds what it has */
        house_rounds(house);
        recent_marks(house->recent, &marks);
        CHECK_EQ(marks, RECENT_MARKS + 2);
        close(fd);
        house_free(house);
}

static void sent_again(void)
{
        struct house *house = house_new(8);
        int fd = dial(house, 5);
        uint64_t marks;

        check_about = "RESEND";
        give(fd, record, make_small(record, 1));
        house_round(house);
        HEARS(fd, TM_DURABLE, TM_REASON_NONE, OPEN);
        give(fd, record, make5(record, 1, WIRE5_FLAG_RESEND, CLASS, "hello", 5));
        CHECK_EQ(house_drain(house), 1);
        CHECK_EQ(house->batch->run_count, 0);
        house_answer(house);
        HEARS(fd, TM_DUPLICATE, TM_REASON_NONE, OPEN);
        give(fd, record, make5(record, 2, WIRE5_FLAG_RESEND, CLASS, "hello", 5)); /* not known: taken */
        house_round(house);
        HEARS(fd, TM_DURABLE, TM_REASON_NONE, OPEN);
        give(fd, record, make_small(record, 1)); /* without the flag nobody looks */
        house_round(house);
        HEARS(fd, TM_DURABLE, TM_REASON_NONE, OPEN);

        /* what was refused isn't known either */
        give(fd, record, make_small(record, 3));
        CHECK_EQ(house_drain(house), 1);
        house->batch->runs[0].reason = TM_REASON_RATE_LIMIT;
        house_answer(house);
        HEARS(fd, TM_REFUSED, TM_REASON_RATE_LIMIT, OPEN);
        give(fd, record, make5(record, 3, WIRE5_FLAG_RESEND, CLASS, "hello", 5));
        house_round(house);
        HEARS(fd, TM_DURABLE, TM_REASON_NONE, OPEN);

        struct intake_counts counts = house_counts(house);
        CHECK_EQ(counts.durable, 4);
        CHECK_EQ(counts.duplicate, 1);
        CHECK_EQ(counts.refused[TM_REASON_RATE_LIMIT], 1);
        const struct recent_mark *ring = recent_marks(house->recent, &marks);
        CHECK_EQ(marks, 4);
        CHECK_EQ(number_of(ring[3].record_id), 3);
        CHECK_EQ(number_of(ring[3].event_id), ~3u);
        CHECK_EQ(ring[3].created_us, 1760000000000000);
        CHECK_TEXT(ring[3].classification, ring[3].class_len, CLASS);
        close(fd);
        house_free(house);
}

/* ---- what is wrong ---- */

static void broken_frame(void)
{
        static const struct { size_t at; uint8_t value; uint16_t reason; } breaks[] = {
                { 0, 'X', TM_REASON_MALFORMED }, { 3, '4', TM_REASON_MALFORMED }, { 6, 4, TM_REASON_MALFORMED },
                { 4, 71, TM_REASON_MALFORMED }, { 12, 99, TM_REASON_MALFORMED }, { 11, 1, TM_REASON_TOO_LARGE },
        };

        check_about = "broken frame";
        for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++)
                for (int pieces = 0; pieces < 3; pieces++) {
                        struct house *house = house_new(8);
                        int fd = dial(house, 5);
                        size_t len = make_small(record, 1), cut = pieces == 0 ? len : pieces == 1 ? 1 : 71;

                        struct tm_ack acks[4];
                        int state;

                        give_small(fd, 0, 1);
                        record[breaks[i].at] = breaks[i].value;
                        give(fd, record, cut);
                        if (house_round(house) == 1) {
                                give(fd, record + cut, len - cut);
                                CHECK_EQ(house_round(house), 1);
                        }
                        CHECK_EQ(hear(fd, acks, 4, &state), 2);
                        CHECK_EQ(acks[0].verdict, TM_DURABLE);
                        CHECK_EQ(acks[1].verdict, TM_REFUSED);
                        CHECK_EQ(acks[1].reason, breaks[i].reason);
                        CHECK_EQ(number_of(acks[1].record_id), pieces == 1 && breaks[i].at == 0 ? 0 : 1);
                        CHECK_EQ(state, ENDED);
                        CHECK_EQ(house_counts(house).refused[breaks[i].reason], 1);
                        CHECK_EQ(house_connections(house), 0);
                        close(fd);
                        house_free(house);
                }

        /* the refusal is heard even where much behind it was never read */
        struct house *house = house_new(8);
        int fd = dial(house, 5);
        static uint8_t garbage[150000];
        give(fd, garbage, sizeof garbage);
        CHECK_EQ(house_round(house), 1);
        HEARS(fd, TM_REFUSED, TM_REASON_MALFORMED, ENDED);
        close(fd);
        house_free(house);
}

static void wrong_content(void)
{
        struct house *house = house_new(8);
        int fd = dial(house, 5);
        static const struct { size_t at; uint8_t value; uint16_t reason; } wrongs[] = {
                { 60, 0, TM_REASON_SEVERITY }, { 60, 5, TM_REASON_SEVERITY }, { 61, 4, TM_REASON_PAYLOAD_KIND },
                { 55, 0x80, TM_REASON_CREATED }, { 72, '/', TM_REASON_CLASSIFICATION }, { 63, 1, TM_REASON_MALFORMED },
        };
        const size_t n = sizeof wrongs / sizeof *wrongs;
        uint8_t all[4000];
        struct tm_ack acks[32];
        int state;
        size_t len = 0;

        check_about = "wrong content";
        for (uint32_t i = 0; i < n; i++) {
                len += make_small(all + len, 2 * i);
                size_t bad = make_small(all + len, 2 * i + 1);
                all[len + wrongs[i].at] = wrongs[i].value;
                len += bad;
        }
        give(fd, all, len);
        CHECK_EQ(house_round(house), 2 * n);
        CHECK_EQ(hear(fd, acks, 32, &state), 2 * n);
        CHECK_EQ(state, OPEN);
        for (uint32_t i = 0; i < n; i++) {
                CHECK_EQ(acks[2 * i].verdict, TM_DURABLE);
                CHECK_EQ(number_of(acks[2 * i].record_id), 2 * i);
                CHECK_EQ(acks[2 * i + 1].verdict, TM_REFUSED);
                CHECK_EQ(acks[2 * i + 1].reason, wrongs[i].reason);
                CHECK_EQ(number_of(acks[2 * i + 1].record_id), 2 * i + 1);
        }
        close(fd);
        house_free(house);
}

/* ---- the end ---- */

static void end_in_the_middle(void)
{
        size_t len = make_small(record, 1);

        check_about = "end in the middle";
        for (size_t cut = 1; cut < len; cut++)
                for (int drained = 0; drained < 2; drained++) {
                        struct house *house = house_new(2);
                        int fd = dial(house, 5);

                        give(fd, record, cut);
                        if (drained)
                                CHECK_EQ(house_round(house), 0);
                        shutdown(fd, SHUT_WR);
                        CHECK_EQ(house_rounds(house), 1);
                        struct tm_ack ack;
                        int state;
                        CHECK_EQ(hear(fd, &ack, 1, &state), 1);
                        CHECK_EQ(ack.verdict, TM_REFUSED);
                        CHECK_EQ(ack.reason, TM_REASON_MALFORMED);
                        CHECK_EQ(number_of(ack.record_id), cut < 32 ? 0 : 1); /* so that its sender knows what was refused */
                        CHECK_EQ(state, ENDED);
                        CHECK_EQ(house_connections(house), 0);
                        close(fd);
                        house_free(house);
                }
}

static void half_closed(void)
{
        struct house *house = house_new(8);
        int fd = dial(house, 5), gone = dial(house, 5), silent = dial(house, 5);
        uint32_t heard = 0;

        check_about = "half closed";
        give_small(fd, 0, 300);
        shutdown(fd, SHUT_WR);
        give_small(gone, 1000, 300); /* taken all the same: nothing says that its sender doesn't want it */
        close(gone);
        shutdown(silent, SHUT_WR);
        CHECK_EQ(house_rounds(house), 600);
        hears_in_order(fd, &heard, ENDED);
        CHECK_EQ(heard, 300);
        HEARS_NOTHING(silent, ENDED);
        CHECK_EQ(house_connections(house), 0);
        close(fd);
        close(silent);
        house_free(house);
}

int main(void)
{
        for (size_t i = 0; i < sizeof payload; i++)
                payload[i] = (uint8_t)(i * 7 + (i >> 8));
        byte_by_byte();
        longest_record();
        many_in_one_send();
        over_several_drains();
        large_records_of_many();
        fullest_arena();
        runs();
        most_entries();
        last_ends();
        last_refused();
        marks_of_the_taken();
        sent_again();
        broken_frame();
        wrong_content();
        end_in_the_middle();
        half_closed();
        return check_end();
}
