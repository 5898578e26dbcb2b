/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is picked out of many records: their ids, those of a class, those that name a file, the refused ones of a batch.
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

/* A record of that user's that names the path (NULL: none) and has a fact beside it. */
struct naming {
        const char *path;
        uint32_t uid;
};

static size_t fill_named(const struct naming *each, size_t n)
{
        size_t at = 0, offset = 0;

        for (size_t i = 0; i < n; i++) {
                uint8_t attributes[256];
                size_t used = wire_attribute_put(attributes, 0, sizeof attributes, TM_ATTR_BUILD, "12", 2);

                if (each[i].path)
                        used = wire_attribute_put(attributes, used, sizeof attributes, TM_ATTR_CONFIG_PATH, each[i].path,
                                                  strlen(each[i].path));
                struct wire_record record = {
                        .record_id = { 1 },
                        .severity = 1,
                        .classification = { (const uint8_t *)"a/b/c", 5 },
                        .attributes = { attributes, (uint32_t)used },
                };
                const struct frame_stamp stamp = { .seq = i + 1, .uid = each[i].uid };
                size_t len = wire5_encode(&record, segment + at + FRAME_HEADER_LEN, ROOM - at - FRAME_HEADER_LEN);

                NEED(len > 0);
                frame_write(segment + at, (uint32_t)len, GENERATION, &stamp);
                at += frame_length((uint32_t)len);
        }
        size_t found = frame_scan(segment, at, GENERATION, 0, SIZE_MAX, spans, RECORDS + 1, &offset);
        NEED(found == n);
        return n;
}

static void names(const struct naming *each, size_t n, size_t expected)
{
        struct wire_slice path = { (const uint8_t *)"x", 1 };
        size_t same = pick_named(segment, spans, fill_named(each, n), &path);

        CHECK(same == expected);
        CHECK((path.data == NULL) == (each[0].path == NULL));
        if (each[0].path)
                CHECK(path.len == strlen(each[0].path) && memcmp(path.data, each[0].path, path.len) == 0);
}

static void those_that_name_the_same_file_stand_together(void)
{
        names((struct naming[]){ { NULL, 1 } }, 1, 1);
        names((struct naming[]){ { NULL, 1 }, { NULL, 2 }, { "/a", 1 } }, 3, 2);
        names((struct naming[]){ { "/a", 1 }, { "/a", 1 }, { "/a", 1 } }, 3, 3);
        names((struct naming[]){ { "/a", 1 }, { "/a", 2 } }, 2, 1);
        names((struct naming[]){ { "/a", 1 }, { "/b", 1 } }, 2, 1);
        names((struct naming[]){ { "/a", 1 }, { "/ab", 1 } }, 2, 1);
        names((struct naming[]){ { "/a", 1 }, { NULL, 1 }, { "/a", 1 } }, 3, 1);

        struct wire_slice path;
        size_t n = fill(CLASSES);
        CHECK(pick_named(segment, spans, n, &path) == n && path.data == NULL); /* also of the one that is cut short */
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
        those_that_name_the_same_file_stand_together();
        refused_ones_are_the_newest();
        return check_end();
}
