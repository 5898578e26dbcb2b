/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch and the shares of it that go to a lane: which entries they take, what they write and what a failed write says.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batch_fixture.h"

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
        return check_end();
}
