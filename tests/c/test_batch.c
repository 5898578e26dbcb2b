/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch and the shares of it that go to a lane: which entries they take, what they write and what a failed write says.
 */
#include "batch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "frame.h"
#include "wire.h"

#define GENERATION 77u
#define NO_ROOM_LIMIT (1ull << 62)

static struct batch_share share;        /* too large for a stack */

/* A record of len bytes of one value, for that lane, as intake and admission would leave it. */
static struct batch_entry *put(struct batch *batch, uint8_t lane, uint32_t len)
{
        struct batch_entry *entry = &batch->entries[batch->entry_count];
        struct batch_run *run = &batch->runs[batch->run_count];

        NEED(batch->entry_count < BATCH_ENTRIES_MAX && batch->used + frame_length(len) <= BATCH_ARENA_SIZE);
        *run = (struct batch_run){ .count = 1, .bytes = len, .uid = 1000u + batch->entry_count, .lane = lane };
        *entry = (struct batch_entry){
                .offset = batch->used,
                .record_len = len,
                .run = batch->run_count++,
                .pid = 2000u + batch->entry_count,
                .verdict = TM_REFUSED,
                .reason = TM_REASON_IO,
        };
        memset(batch->arena + batch->used + FRAME_HEADER_LEN, (int)(batch->entry_count & 0xff), len);
        batch->used += frame_length(len);
        batch->entry_count++;
        return entry;
}

/* An entry that must not reach a disk. */
static struct batch_entry *put_nothing(struct batch *batch, uint8_t verdict, uint16_t reason)
{
        struct batch_entry *entry = &batch->entries[batch->entry_count++];

        *entry = (struct batch_entry){ .run = BATCH_NO_RUN, .verdict = verdict, .reason = reason };
        return entry;
}

static int memory_file(void)
{
        int fd = memfd_create("segment", MFD_CLOEXEC);

        NEED(fd >= 0);
        return fd;
}

/* What the share says of itself is so, and its chunks lie in the arena one behind the other. */
static void share_is_sound(const struct batch *batch)
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

/* The frames that the file holds at offset: their number, after a look at each. */
static size_t frames_in(int fd, uint64_t offset, uint64_t first_seq)
{
        static struct frame_span spans[BATCH_ENTRIES_MAX];
        struct stat status;
        size_t at = 0, found;

        NEED(fstat(fd, &status) == 0);
        size_t len = (size_t)status.st_size > offset ? (size_t)status.st_size - offset : 0;
        uint8_t *bytes = malloc(len ? len : 1);
        NEED(bytes && pread(fd, bytes, len, (off_t)offset) == (ssize_t)len);
        found = frame_scan(bytes, len, GENERATION, first_seq - 1, SIZE_MAX, spans, BATCH_ENTRIES_MAX, &at);
        CHECK_EQ(at, len);
        for (size_t i = 0; i < found; i++) {
                uint32_t number = spans[i].uid - 1000;

                CHECK_EQ(spans[i].seq, first_seq + i);
                CHECK_EQ(spans[i].pid, 2000 + number);
                CHECK_EQ(spans[i].flags, 0);
                CHECK_EQ(spans[i].admitted_us, 555);
                CHECK_EQ(spans[i].not_before_us, 0);
                CHECK_EQ(bytes[spans[i].offset + FRAME_HEADER_LEN], number & 0xff);
                CHECK_EQ(bytes[spans[i].offset + FRAME_HEADER_LEN + spans[i].record_len - 1], number & 0xff);
        }
        free(bytes);
        return found;
}

static void stamp(struct batch *batch, uint8_t lane, uint32_t from, uint64_t seq, uint64_t room)
{
        batch_stamp(batch, lane, from, seq, 555, GENERATION, room, &share);
        share_is_sound(batch);
        CHECK_EQ(share.entry_from, from);
}

static void lanes_interleaved(void)
{
        struct batch *batch = batch_new();

        check_about = "lanes";
        NEED(batch);
        for (uint32_t i = 0; i < 90; i++)
                put(batch, (uint8_t)(i % 3), 77 + i);
        for (uint8_t lane = 0; lane < 3; lane++) {
                int fd = memory_file();

                stamp(batch, lane, 0, 100, NO_ROOM_LIMIT);
                CHECK_EQ(share.frames, 30);
                CHECK_EQ(share.chunk_count, 30);
                CHECK_EQ(share.entry_to, 90);
                CHECK_EQ(batch_write(&share, fd, 4096), 0);
                CHECK_EQ(frames_in(fd, 4096, 100), 30);
                batch_settle(batch, lane, &share, TM_REASON_NONE);
                for (uint32_t i = 0; i < 90; i++)
                        CHECK_EQ(batch->entries[i].verdict, i % 3 <= lane ? TM_DURABLE : TM_REFUSED);
                stamp(batch, lane, 0, 100, NO_ROOM_LIMIT); /* what is durable is not written again */
                CHECK_EQ(share.frames, 0);
                close(fd);
        }
        stamp(batch, 9, 0, 1, NO_ROOM_LIMIT);
        CHECK_EQ(share.frames + share.bytes + share.chunk_count, 0);
        CHECK_EQ(share.entry_to, 90);
        batch_free(batch);
}

static void neighbours_merge(void)
{
        struct batch *batch = batch_new();
        int fd = memory_file();

        check_about = "merge";
        NEED(batch);
        for (uint32_t i = 0; i < 10; i++)
                put(batch, i == 4 || i == 7, 80);
        put_nothing(batch, TM_REFUSED, TM_REASON_SEVERITY);
        put(batch, 0, 80);
        stamp(batch, 0, 0, 1, NO_ROOM_LIMIT);
        CHECK_EQ(share.frames, 9);
        CHECK_EQ(share.chunk_count, 3);
        CHECK_EQ(batch_write(&share, fd, 0), 0);
        CHECK_EQ(frames_in(fd, 0, 1), 9);
        close(fd);
        batch_free(batch);
}

/* Room for a part only: the rest goes on from entry_to, into another segment. */
static void room(void)
{
        struct batch *batch = batch_new();
        const uint32_t one = frame_length(100);

        check_about = "room";
        NEED(batch);
        for (uint32_t i = 0; i < 20; i++)
                put(batch, i % 2, 100);
        for (uint64_t bytes = 0; bytes <= 12 * one; bytes++) {
                uint64_t fit = bytes / one < 10 ? bytes / one : 10;

                stamp(batch, 0, 0, 1, bytes);
                CHECK_EQ(share.frames, fit);
                CHECK(share.bytes <= bytes);
                CHECK_EQ(share.entry_to, fit < 10 ? 2 * fit : 20);
        }
        uint32_t at = 0, files = 0;
        for (uint64_t seq = 1; at < batch->entry_count; seq += share.frames, files++) {
                int fd = memory_file();

                stamp(batch, 0, at, seq, 3 * one + 7);
                CHECK_EQ(batch_write(&share, fd, 0), 0);
                CHECK_EQ(frames_in(fd, 0, seq), seq < 10 ? 3 : 1);
                batch_settle(batch, 0, &share, TM_REASON_NONE);
                at = share.entry_to;
                close(fd);
        }
        CHECK_EQ(files, 4);
        for (uint32_t i = 0; i < 20; i++)
                CHECK_EQ(batch->entries[i].verdict, i % 2 ? TM_REFUSED : TM_DURABLE);
        batch_free(batch);
}

/* More pieces than one pwritev() takes. */
static void many_chunks(void)
{
        struct batch *batch = batch_new();
        int fd = memory_file();

        check_about = "many chunks";
        NEED(batch);
        for (uint32_t i = 0; i < BATCH_ENTRIES_MAX; i++)
                put(batch, i % 2 ? 1 : 2, 77);
        batch->runs[4].lane = 1; /* 3, 4 and 5 stand together */
        stamp(batch, 1, 0, 1, NO_ROOM_LIMIT);
        CHECK_EQ(share.chunk_count, BATCH_ENTRIES_MAX / 2 - 1);
        CHECK_EQ(batch_write(&share, fd, 0), 0);
        CHECK_EQ(frames_in(fd, 0, 1), BATCH_ENTRIES_MAX / 2 + 1);
        close(fd);

        /* Every frame a chunk of its own: the arena is as a hundred odd lanes would leave it. */
        batch_clear(batch);
        for (uint32_t i = 0; i < BATCH_ENTRIES_MAX; i++) {
                put(batch, 1, 77);
                batch->used += i + 1 < BATCH_ENTRIES_MAX ? 8 : 0;
        }
        fd = memory_file();
        stamp(batch, 1, 0, 1, NO_ROOM_LIMIT);
        CHECK_EQ(share.chunk_count, BATCH_ENTRIES_MAX);
        CHECK(share.chunk_count > IOV_MAX);
        CHECK_EQ(batch_write(&share, fd, 24), 0);
        CHECK_EQ(frames_in(fd, 24, 1), BATCH_ENTRIES_MAX);
        close(fd);
        batch_free(batch);
}

static void never_written(void)
{
        struct batch *batch = batch_new();
        int fd = memory_file();

        check_about = "never written";
        NEED(batch);
        put(batch, 0, 80);
        put_nothing(batch, TM_REFUSED, TM_REASON_MALFORMED);
        put_nothing(batch, TM_DUPLICATE, 0);
        struct batch_entry *refused = put(batch, 0, 80);
        batch->runs[refused->run].reason = TM_REASON_RATE_LIMIT;
        put(batch, 0, 90);

        stamp(batch, 0, 0, 5, NO_ROOM_LIMIT);
        CHECK_EQ(share.frames, 2);
        CHECK_EQ(share.entry_to, 5);
        CHECK_EQ(batch_write(&share, fd, 0), 0);
        CHECK_EQ(frames_in(fd, 0, 5), 2);
        batch_settle(batch, 0, &share, TM_REASON_NONE);
        static const uint8_t verdicts[] = { TM_DURABLE, TM_REFUSED, TM_DUPLICATE, TM_REFUSED, TM_DURABLE };
        static const uint16_t reasons[] = { 0, TM_REASON_MALFORMED, 0, TM_REASON_IO, 0 };
        for (int i = 0; i < 5; i++) {
                CHECK_EQ(batch->entries[i].verdict, verdicts[i]);
                CHECK_EQ(batch->entries[i].reason, reasons[i]);
        }
        close(fd);
        batch_free(batch);
}

/* What failed for want of a file that works may be stamped once more, for another, and is durable then; what was refused for
 * a reason stays refused. */
static void settle(void)
{
        struct batch *batch = batch_new();
        int fd = memory_file();

        check_about = "settle";
        NEED(batch);
        for (int i = 0; i < 6; i++)
                put(batch, i >= 4, 80);
        for (int i = 0; i < 6; i++)
                CHECK_EQ(batch->entries[i].reason, TM_REASON_IO); /* until something better is known */
        stamp(batch, 0, 1, 1, frame_length(80));
        batch_settle(batch, 0, &share, TM_REASON_NO_SPACE);
        stamp(batch, 0, 2, 1, frame_length(80));
        batch_settle(batch, 0, &share, TM_REASON_IO);
        for (int i = 0; i < 6; i++) {
                CHECK_EQ(batch->entries[i].verdict, TM_REFUSED);
                CHECK_EQ(batch->entries[i].reason, i == 1 ? TM_REASON_NO_SPACE : TM_REASON_IO);
        }
        stamp(batch, 0, 0, 1, NO_ROOM_LIMIT);
        CHECK_EQ(share.frames, 3);
        CHECK_EQ(batch_write(&share, fd, 0), 0);
        CHECK_EQ(frames_in(fd, 0, 1), 3);
        batch_settle(batch, 0, &share, TM_REASON_NONE);
        for (int i = 0; i < 6; i++) {
                CHECK_EQ(batch->entries[i].verdict, i < 4 && i != 1 ? TM_DURABLE : TM_REFUSED);
                CHECK_EQ(batch->entries[i].reason, i == 1 ? TM_REASON_NO_SPACE : i < 4 ? TM_REASON_NONE : TM_REASON_IO);
        }
        batch_clear(batch);
        CHECK_EQ(batch->entry_count + batch->run_count + batch->used, 0);
        batch_trim(batch);
        put(batch, 0, 80);
        stamp(batch, 0, 0, 9, NO_ROOM_LIMIT);
        CHECK_EQ(share.frames, 1);
        close(fd);
        batch_free(batch);
}

/* The frame of an entry, as it was stamped last. */
static struct frame_span stamped(const struct batch *batch, uint32_t index)
{
        struct frame_span span = { 0 };
        size_t at = 0;
        uint32_t len = frame_length(batch->entries[index].record_len);

        NEED(frame_scan(batch->arena + batch->entries[index].offset, len, GENERATION, 0, SIZE_MAX, &span, 1, &at) == 1);
        return span;
}

/* A run of four, in two shares: its first frame on disk carries FIRST, whichever try brought it there. */
static void first_and_deferred(void)
{
        struct batch *batch = batch_new();
        const uint64_t two = 2 * frame_length(80);

        check_about = "first and deferred";
        NEED(batch);
        for (int i = 0; i < 5; i++)
                put(batch, 0, 80);
        for (int i = 1; i < 5; i++)
                batch->entries[i].run = 1;
        batch->runs[1].first_of_kind = 1;
        batch->entries[2].not_before_us = 777;
        for (int turn = 0; turn < 2; turn++) { /* the first write fails */
                stamp(batch, 0, 1, 1, two);
                CHECK_EQ(share.frames, 2);
                CHECK_EQ(stamped(batch, 1).flags, FRAME_FIRST);
                CHECK_EQ(stamped(batch, 2).flags, FRAME_DEFERRED);
                CHECK_EQ(stamped(batch, 2).not_before_us, 777);
                batch_settle(batch, 0, &share, turn ? TM_REASON_NONE : TM_REASON_IO);
        }
        stamp(batch, 0, 0, 3, NO_ROOM_LIMIT);
        CHECK_EQ(share.frames, 3);
        CHECK_EQ(stamped(batch, 0).flags | stamped(batch, 3).flags | stamped(batch, 4).flags, 0);
        batch_free(batch);
}

/* ---- write errors ---- */

static void with_file_limit(rlim_t bytes, void (*run)(struct batch *batch, int fd), struct batch *batch, int fd)
{
        struct rlimit before;

        NEED(getrlimit(RLIMIT_FSIZE, &before) == 0);
        const struct rlimit lowered = { .rlim_cur = bytes, .rlim_max = before.rlim_max };
        NEED(setrlimit(RLIMIT_FSIZE, &lowered) == 0);
        run(batch, fd);
        NEED(setrlimit(RLIMIT_FSIZE, &before) == 0);
}

static int write_result;

static void write_share(struct batch *batch, int fd)
{
        (void)batch;
        write_result = batch_write(&share, fd, 0);
}

/* At every limit: a file that is full in the middle of a chunk, between two and before the first. */
static void full_file(void)
{
        struct batch *batch = batch_new();

        check_about = "full file";
        NEED(batch);
        for (uint32_t i = 0; i < 12; i++)
                put(batch, i == 3 || i == 4 || i == 9, 80 + i);
        stamp(batch, 0, 0, 1, NO_ROOM_LIMIT);
        CHECK_EQ(share.chunk_count, 3);
        for (uint32_t limit = 0; limit <= share.bytes; limit++) {
                struct stat status;
                int fd = memory_file();

                with_file_limit(limit, write_share, batch, fd);
                CHECK_EQ(write_result, limit < share.bytes ? -EFBIG : 0);
                NEED(fstat(fd, &status) == 0);
                CHECK_EQ(status.st_size, limit); /* short writes went on as far as they could */
                if (limit == share.bytes)
                        CHECK_EQ(frames_in(fd, 0, 1), share.frames);
                close(fd);
        }
        batch_free(batch);
}

static void bad_descriptors(void)
{
        struct batch *batch = batch_new();
        int ends[2];

        check_about = "bad descriptors";
        NEED(batch && pipe(ends) == 0);
        put(batch, 0, 80);
        stamp(batch, 0, 0, 1, NO_ROOM_LIMIT);
        CHECK_EQ(batch_write(&share, ends[1], 0), -ESPIPE);
        close(ends[0]);
        close(ends[1]);
        CHECK_EQ(batch_write(&share, ends[1], 0), -EBADF);
        int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
        NEED(fd >= 0);
        CHECK_EQ(batch_write(&share, fd, 0), -ENOSPC);
        close(fd);
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        NEED(fd >= 0);
        CHECK_EQ(batch_write(&share, fd, 0), -EBADF);
        close(fd);

        /* an empty share writes nothing, so that the descriptor doesn't matter */
        stamp(batch, 5, 0, 1, NO_ROOM_LIMIT);
        CHECK_EQ(batch_write(&share, fd, 0), 0);
        batch_free(batch);
        CHECK(batch_free(NULL) == NULL);
}

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
        signal(SIGXFSZ, SIG_IGN);
        lanes_interleaved();
        neighbours_merge();
        room();
        many_chunks();
        never_written();
        settle();
        first_and_deferred();
        full_file();
        bad_descriptors();
        added_without_connection();
        added_until_full();
        added_from_old_spool();
        return check_end();
}
