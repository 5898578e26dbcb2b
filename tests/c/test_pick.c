/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is picked out of many records: their ids, those of a class, the refused ones of a batch.
 */
#include "pick.h"

#include "check.h"
#include "wire.h"

#define RECORDS 4u
#define ROOM 65536u
#define GENERATION 3u

static uint8_t segment[ROOM];
static struct frame_span spans[RECORDS + 1];

/* A frame for each class, the id being its number; and one more whose record is cut short. */
static size_t fill(const char *const classes[RECORDS])
{
        size_t at = 0;

        for (uint32_t i = 0; i < RECORDS + 1; i++) {
                struct wire_record record = {
                        .severity = 1,
                        .classification = { (const uint8_t *)classes[i % RECORDS], (uint32_t)strlen(classes[i % RECORDS]) },
                        .payload = { (const uint8_t *)"payload", 7 },
                };
                const struct frame_stamp stamp = { .seq = i + 1 };

                memset(record.record_id, (int)(i + 1), TM_ID_SIZE);
                size_t len = wire5_encode(&record, segment + at + FRAME_HEADER_LEN, ROOM - at - FRAME_HEADER_LEN);
                NEED(len > 0);
                len = i == RECORDS ? 20 : len;
                frame_write(segment + at, (uint32_t)len, GENERATION, &stamp);
                at += frame_length((uint32_t)len);
        }
        size_t offset = 0;
        size_t found = frame_scan(segment, at, GENERATION, 0, SIZE_MAX, spans, RECORDS + 1, &offset);
        NEED(found == RECORDS + 1);
        return found;
}

static const char *const CLASSES[RECORDS] = { "a/b/c", "a/b/cd", "a/x/c", "b/b/c" };

static void ids_are_those_of_the_records(void)
{
        uint8_t ids[(RECORDS + 1) * TM_ID_SIZE];
        uint8_t expected[TM_ID_SIZE];

        pick_ids(segment, spans, fill(CLASSES), ids);
        for (uint32_t i = 0; i < RECORDS + 1; i++) {
                memset(expected, i < RECORDS ? (int)(i + 1) : 0, TM_ID_SIZE);
                CHECK(memcmp(ids + i * TM_ID_SIZE, expected, TM_ID_SIZE) == 0);
        }
}

static void picked(const char *pattern, const char *expected)
{
        uint8_t chosen[RECORDS + 1];
        size_t n = fill(CLASSES), count = 0;

        size_t said = pick_class(segment, spans, n, pattern, strlen(pattern), chosen);
        for (uint32_t i = 0; i < n; i++) {
                CHECK(chosen[i] == (expected[i] == '1'));
                count += chosen[i];
        }
        CHECK(said == count);
}

static void classes_are_matched_whole_or_by_their_begin(void)
{
        picked("a/b/c", "10000");
        picked("a/b/*", "11000");
        picked("a/b/c*", "11000");
        picked("a/*", "11100");
        picked("*", "11110");
        picked("a/b", "00000");
        picked("", "00000");
        picked("a/b/c/longer/than/any/of/them/is*", "00000");
}

static void refused_ones_are_the_newest(void)
{
        struct batch *batch = batch_new();
        uint8_t ids[8 * TM_ID_SIZE], reasons[8];

        NEED(batch);
        batch->runs[0] = (struct batch_run){ .reason = TM_REASON_RATE_LIMIT };
        batch->runs[1] = (struct batch_run){ .reason = TM_REASON_NONE };
        batch->run_count = 2;
        const struct batch_entry entries[] = {
                { .verdict = TM_REFUSED, .reason = TM_REASON_SEVERITY, .run = BATCH_NO_RUN, .record_id = { 1 } },
                { .verdict = TM_DURABLE, .run = 1, .record_id = { 2 } },
                { .verdict = TM_REFUSED, .reason = TM_REASON_IO, .run = 0, .record_id = { 3 } },
                { .verdict = TM_REFUSED, .reason = TM_REASON_MALFORMED, .run = BATCH_NO_RUN },
                { .verdict = TM_REFUSED, .reason = TM_REASON_NO_SPACE, .run = 1, .record_id = { 5 } },
                { .verdict = TM_DUPLICATE, .run = BATCH_NO_RUN, .record_id = { 6 } },
        };
        memcpy(batch->entries, entries, sizeof entries);
        batch->entry_count = sizeof entries / sizeof *entries;

        CHECK(pick_refused(batch, ids, reasons, 8) == 3);
        CHECK(ids[0] == 1 && ids[TM_ID_SIZE] == 3 && ids[2 * TM_ID_SIZE] == 5);
        CHECK(reasons[0] == TM_REASON_SEVERITY && reasons[1] == TM_REASON_RATE_LIMIT && reasons[2] == TM_REASON_NO_SPACE);
        CHECK(pick_refused(batch, ids, reasons, 2) == 2);
        CHECK(ids[0] == 3 && ids[TM_ID_SIZE] == 5);
        CHECK(pick_refused(batch, ids, reasons, 0) == 0);
        batch->entry_count = 0;
        CHECK(pick_refused(batch, ids, reasons, 8) == 0);
        batch_free(batch);
}

int main(void)
{
        ids_are_those_of_the_records();
        classes_are_matched_whole_or_by_their_begin();
        refused_ones_are_the_newest();
        return check_end();
}
