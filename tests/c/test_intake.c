/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records into the batch, over real sockets (docs/protocol.md, section 2): whatever the pieces in which they come, and however
 * many, each is there whole, once and in its sender's order.
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
        return check_end();
}
