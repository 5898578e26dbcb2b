/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is put into a batch without a connection: records as they are, and files of the older spool.
 */
#include <unistd.h>

#include "batch_fixture.h"

/* A record of format 5 with that many bytes of payload. */
static uint32_t record_of(uint8_t *out, uint8_t number, uint32_t payload_len, const char *classification)
{
        static uint8_t payload[TM_PAYLOAD_MAX];
        struct wire_record record = {
                .record_id = { [6] = 0x70, [8] = 0x80, [15] = number },
                .severity = 1,
                .classification = { .data = (const uint8_t *)classification, .len = (uint32_t)strlen(classification) },
                .payload = { .data = payload, .len = payload_len },
        };

        memset(payload, number, payload_len);
        size_t len = wire5_encode(&record, out, TM_RECORD_MAX);
        NEED(len > 0);
        return (uint32_t)len;
}

static void added_without_connection(void)
{
        static uint8_t bytes[TM_RECORD_MAX + 1];
        static struct frame_span spans[8];
        struct batch *batch = batch_new();
        uint32_t len = 0;

        check_about = "added";
        NEED(batch);
        for (uint8_t i = 0; i < 4; i++) {
                len = record_of(bytes, i, 100u + i, i < 2 ? "a/b/c" : "a/b/d");
                CHECK(batch_add(batch, bytes, len, 7, i == 3 ? 444 : 0));
        }
        CHECK(batch_add(batch, bytes, len, 8, 0));              /* another user's: a run of its own */
        CHECK(batch_add(batch, bytes, len - 1, 7, 0));
        CHECK(batch_add(batch, bytes, 0, 7, 0));
        CHECK(batch_add(batch, bytes, sizeof bytes, 7, 0));
        CHECK_EQ(batch->entry_count, 8);
        CHECK_EQ(batch->run_count, 3);
        CHECK_EQ(batch->runs[0].count, 2);
        CHECK_EQ(batch->runs[1].count, 2);
        CHECK_EQ(batch->runs[1].uid, 7);
        CHECK_EQ(batch->runs[2].uid, 8);
        CHECK_TEXT(batch->runs[1].classification, batch->runs[1].class_len, "a/b/d");
        for (uint32_t i = 0; i < 8; i++) {
                CHECK_EQ(batch->entries[i].connection, BATCH_NOBODY);
                CHECK_EQ(batch->entries[i].verdict, TM_REFUSED);
                CHECK_EQ(batch->entries[i].reason, i < 5 ? TM_REASON_IO : i < 7 ? TM_REASON_MALFORMED : TM_REASON_TOO_LARGE);
                CHECK_EQ(batch->entries[i].run == BATCH_NO_RUN, i >= 5);
        }
        int fd = memory_file();
        stamp(batch, 0, 0, 1, NO_ROOM_LIMIT);
        CHECK_EQ(share.frames, 5);
        CHECK_EQ(share.oldest_us, 444);
        CHECK_EQ(batch_write(&share, fd, 0), 0);
        uint8_t *data = malloc(share.bytes);
        size_t at = 0;
        NEED(data && pread(fd, data, share.bytes, 0) == (ssize_t)share.bytes);
        CHECK_EQ(frame_scan(data, share.bytes, GENERATION, 0, SIZE_MAX, spans, 8, &at), 5);
        for (uint32_t i = 0; i < 5; i++) {
                CHECK_EQ(spans[i].admitted_us, i == 3 ? 444 : 555);
                CHECK_EQ(data[spans[i].offset + FRAME_HEADER_LEN + 16 + 15], i < 4 ? i : 3);
        }
        free(data);
        close(fd);
        batch_settle(batch, 0, &share, TM_REASON_NONE);
        stamp(batch, 0, 0, 1, NO_ROOM_LIMIT);
        CHECK_EQ(share.frames, 0);
        CHECK_EQ(share.oldest_us, 0);
        batch_free(batch);
}

/* It says when it is full, by records and by bytes, and nothing is written beyond the arena. */
static void added_until_full(void)
{
        static uint8_t bytes[TM_RECORD_MAX];
        static const uint32_t payloads[] = { 0, 10, 3000, TM_PAYLOAD_MAX };

        check_about = "full";
        for (size_t i = 0; i < 4; i++) {
                struct batch *batch = batch_new();
                NEED(batch);
                uint32_t len = record_of(bytes, 1, payloads[i], "a/b/c"), count = 0;
                while (batch_add(batch, bytes, len, 0, 0))
                        count++;
                uint32_t by_bytes = BATCH_ARENA_SIZE / frame_length(len);
                CHECK_EQ(count, by_bytes < BATCH_RECORDS_MAX ? by_bytes : BATCH_RECORDS_MAX);
                CHECK(batch->used <= BATCH_ARENA_SIZE);
                CHECK_EQ(batch_add(batch, bytes, 3, 0, 0), count < BATCH_RECORDS_MAX); /* needs no bytes there */
                batch_free(batch);
        }
}

static void added_from_old_spool(void)
{
        static const char file[] =
                "CFG:/etc/other.conf\nrecord_format_version: 4\nclassification: a/b/c\nseverity: 3\nmachine_id: x\n"
                "creation_timestamp: 1500000000\narch: x86_64\nhost_type: t\nbuild: 1\nkernel_version: 6\n"
                "payload_format_version: 2\nsystem_name: s\nboard_name: b\ncpu_model: c\nbios_version: v\nevent_id: \nbody\n";
        static const uint8_t id[TM_ID_SIZE] = { [6] = 0x7a, [8] = 0x9b, [15] = 1 };
        struct wire_facts host = { .value[0] = { (const uint8_t *)"x86_64", 6 } };
        struct batch *batch = batch_new();
        struct wire_record record;

        check_about = "old spool";
        NEED(batch);
        CHECK(batch_add_spooled(batch, (const uint8_t *)file, sizeof file - 1, &host, id, 9, 333));
        CHECK(batch_add_spooled(batch, (const uint8_t *)file, 200, &host, id, 9, 333));
        CHECK_EQ(batch->entry_count, 2);
        CHECK_EQ(batch->run_count, 1);
        CHECK_EQ(batch->entries[1].reason, TM_REASON_HEADER);
        const struct batch_entry *entry = &batch->entries[0];
        CHECK_EQ(entry->admitted_us, 333);
        CHECK_EQ(wire5_decode(batch->arena + FRAME_HEADER_LEN, entry->record_len, &record), TM_REASON_NONE);
        CHECK(memcmp(record.record_id, id, sizeof id) == 0 && memcmp(record.event_id, id, sizeof id) == 0);
        CHECK(memcmp(entry->record_id, id, sizeof id) == 0);
        CHECK_EQ(record.created_us, 1500000000000000);
        CHECK_EQ(record.severity, 3);
        CHECK_EQ(record.payload_version, 2);
        CHECK_TEXT(record.payload.data, record.payload.len, "body\n");
        CHECK_TEXT(batch->runs[0].classification, batch->runs[0].class_len, "a/b/c");
        struct wire_slice value;
        size_t offset = 0, count = 0;
        uint16_t key;
        for (; wire_attribute_next(record.attributes, &offset, &key, &value) == 1; count++)
                CHECK(key != TM_ATTR_ARCH);             /* this host's own */
        CHECK_EQ(count, 8);
        CHECK_TEXT(value.data, value.len, "/etc/other.conf");
        batch_free(batch);
}

int main(void)
{
        added_without_connection();
        added_until_full();
        added_from_old_spool();
        return check_end();
}
