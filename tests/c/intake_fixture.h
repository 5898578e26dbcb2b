/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An intake with real listening sockets, the senders that connect to it, and the place of admission and spool, which take
 * everything. Time is a number that the test moves. Nothing here knows what a test is after.
 */
#ifndef TESTS_INTAKE_FIXTURE_H
#define TESTS_INTAKE_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "frame.h"
#include "intake.h"
#include "places.h"

#define CLASS "org.example/probe/kind"
#define RECORD_ROOM 80000u              /* the longest good record and more */

struct house {
        struct recent *recent;
        struct intake *intake;
        struct batch *batch;
        int listener[6];                /* by format */
        struct sockaddr_un address[6];
        socklen_t address_len[6];
        int64_t now_ms;
        uint32_t lately;                /* entries of the last round */
};

/* ---- daemon's side ---- */

static inline void house_listen(struct house *house, int format)
{
        struct sockaddr_un *address = &house->address[format];

        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        NEED(fd >= 0);
        address->sun_family = AF_UNIX;
        NEED(bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)) == 0); /* the kernel makes up a name */
        house->address_len[format] = sizeof *address;
        NEED(getsockname(fd, (struct sockaddr *)address, &house->address_len[format]) == 0);
        NEED(listen(fd, 4096) == 0);
        house->listener[format] = fd;
        NEED(intake_listen(house->intake, fd, format) == 0);
}

static inline struct house *house_new(uint32_t connections_max)
{
        struct house *house = calloc(1, sizeof *house);

        NEED(house);
        house->now_ms = 1000000;
        house->recent = recent_new();
        house->batch = batch_new();
        NEED(house->recent && house->batch);
        house->intake = intake_new(connections_max, house->recent);
        NEED(house->intake);
        house_listen(house, 4);
        house_listen(house, 5);
        return house;
}

static inline void house_free(struct house *house)
{
        intake_free(house->intake);
        recent_free(house->recent);
        batch_free(house->batch);
        close(house->listener[4]);
        close(house->listener[5]);
        free(house);
}

/* The arena is a mapping, in which no sanitizer sees a byte too many: look at every frame's place instead. */
static inline void batch_is_sound(const struct batch *batch)
{
        uint32_t end = 0, runs = 0, counted = 0;

        CHECK(batch->used <= BATCH_ARENA_SIZE);
        CHECK(batch->entry_count <= BATCH_ENTRIES_MAX);
        CHECK(batch->run_count <= batch->entry_count);
        for (uint32_t i = 0; i < batch->entry_count; i++) {
                const struct batch_entry *entry = &batch->entries[i];
                struct wire_record record;

                CHECK(entry->verdict == TM_REFUSED || entry->verdict == TM_DUPLICATE);
                CHECK((entry->run == BATCH_NO_RUN) == (entry->record_len == 0));
                CHECK((entry->reason == TM_REASON_NONE) == (entry->verdict == TM_DUPLICATE));
                if (entry->run == BATCH_NO_RUN)
                        continue;
                CHECK_EQ(entry->offset, end);
                end = entry->offset + frame_length(entry->record_len);
                CHECK(end <= batch->used);
                CHECK(entry->run == runs || entry->run + 1 == runs);
                runs = entry->run + 1;
                CHECK(wire5_decode(batch->arena + entry->offset + FRAME_HEADER_LEN, entry->record_len, &record) == TM_REASON_NONE);
                CHECK(memcmp(record.record_id, entry->record_id, TM_ID_SIZE) == 0);
                const struct batch_run *run = &batch->runs[entry->run];
                CHECK(record.classification.len == run->class_len &&
                      memcmp(record.classification.data, run->classification, run->class_len) == 0);
                CHECK_EQ(record.payload_kind, run->payload_kind);
        }
        CHECK_EQ(end, batch->used);
        CHECK_EQ(runs, batch->run_count);
        for (uint32_t i = 0; i < batch->run_count; i++)
                counted += batch->runs[i].count;
        for (uint32_t i = 0; i < batch->entry_count; i++)
                counted -= batch->entries[i].run != BATCH_NO_RUN;
        CHECK_EQ(counted, 0);
}

static inline uint32_t house_drain(struct house *house)
{
        house->lately = intake_drain(house->intake, house->batch, house->now_ms);
        CHECK_EQ(house->lately, house->batch->entry_count);
        batch_is_sound(house->batch);
        return house->lately;
}

/* Everything is durable; only the disk isn't there. */
static inline void house_answer(struct house *house)
{
        static struct batch_share share;

        batch_stamp(house->batch, 0, 0, 1, 1, 1, 1ull << 62, &share);
        batch_settle(house->batch, 0, &share, TM_REASON_NONE);
        intake_answer(house->intake, house->batch);
        CHECK_EQ(house->batch->entry_count, 0);
}

static inline uint32_t house_round(struct house *house)
{
        uint32_t count = house_drain(house);

        house_answer(house);
        return count;
}

static inline bool house_has_work(const struct house *house)
{
        struct pollfd wait = { .fd = intake_fd(house->intake), .events = POLLIN };

        return poll(&wait, 1, 0) > 0;
}

/* Until nothing comes any more. The number of records. */
static inline uint32_t house_rounds(struct house *house)
{
        uint32_t sum = 0;

        for (int i = 0; house_has_work(house); i++) {
                NEED(i < 100000);
                sum += house_round(house);
        }
        return sum;
}

static inline struct intake_counts house_counts(const struct house *house)
{
        struct intake_counts counts;

        intake_count(house->intake, &counts);
        return counts;
}

static inline uint32_t house_connections(const struct house *house)
{
        return house_counts(house).connections;
}

/* ---- senders ---- */

static inline int dial(const struct house *house, int format)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        NEED(fd >= 0);
        NEED(connect(fd, (const struct sockaddr *)&house->address[format], house->address_len[format]) == 0);
        return fd;
}

static inline void give(int fd, const uint8_t *bytes, size_t len)
{
        NEED(send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len);
}

enum { OPEN = 0, ENDED = 1 };

/* The answers that are there, at most max; *state says whether the connection has ended behind them. */
static inline size_t hear(int fd, struct tm_ack *acks, size_t max, int *state)
{
        uint8_t bytes[WIRE_ANSWER_LEN];
        size_t count = 0;

        *state = OPEN;
        for (;;) {
                ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_WAITALL);

                if (n < 0 && errno == EAGAIN)
                        return count;
                if (n <= 0) {
                        CHECK(n == 0 || errno == ECONNRESET);
                        *state = ENDED;
                        return count;
                }
                CHECK_EQ(n, sizeof bytes);
                NEED(count < max);
                CHECK(wire_answer_decode(bytes, &acks[count++]));
        }
}

/* Exactly one answer, and the state of the connection after it. */
#define HEARS(fd, wanted_verdict, wanted_reason, wanted_state)        \
        do {                                                          \
                struct tm_ack heard_[4] = { { .verdict = 0xff } };    \
                int state_;                                           \
                CHECK_EQ(hear((fd), heard_, 4, &state_), 1);          \
                CHECK_EQ(heard_[0].verdict, (wanted_verdict));        \
                CHECK_EQ(heard_[0].reason, (wanted_reason));          \
                CHECK_EQ(state_, (wanted_state));                     \
        } while (0)

#define HEARS_NOTHING(fd, wanted_state)                               \
        do {                                                          \
                struct tm_ack heard_[4];                              \
                int state_;                                           \
                CHECK_EQ(hear((fd), heard_, 4, &state_), 0);          \
                CHECK_EQ(state_, (wanted_state));                     \
        } while (0)

static inline void id_of(uint32_t number, uint8_t id[TM_ID_SIZE])
{
        memset(id, 0x5a, TM_ID_SIZE);
        memcpy(id + 8, &number, 4);
}

static inline uint32_t number_of(const uint8_t id[TM_ID_SIZE])
{
        uint32_t number;

        memcpy(&number, id + 8, 4);
        return number;
}

/* Listen to answers that must be those of the records [*next, …), in order, and move *next. */
static inline void hears_in_order(int fd, uint32_t *next, int wanted_state)
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

/* Record number so-and-so of format 5; out has RECORD_ROOM. */
static inline size_t make5(uint8_t *out, uint32_t number, uint8_t flags, const char *classification, const void *payload,
                           uint32_t payload_len)
{
        struct wire_record record = {
                .created_us = 1760000000000000,
                .payload_version = 1,
                .severity = 2,
                .flags = flags,
                .classification = { .data = (const uint8_t *)classification, .len = (uint32_t)strlen(classification) },
                .payload = { .data = payload, .len = payload_len },
        };

        id_of(number, record.record_id);
        id_of(~number, record.event_id);
        size_t len = wire5_encode(&record, out, RECORD_ROOM);
        NEED(len > 0);
        return len;
}

static inline size_t make_small(uint8_t *out, uint32_t number)
{
        return make5(out, number, 0, CLASS, "hello", 5);
}

/* Give the small records [from, from + count) in one piece. */
static inline void give_small(int fd, uint32_t from, uint32_t count)
{
        uint8_t *bytes = malloc(count * 128u + RECORD_ROOM);
        size_t len = 0;

        NEED(bytes);
        for (uint32_t i = 0; i < count; i++)
                len += make_small(bytes + len, from + i);
        give(fd, bytes, len);
        free(bytes);
}

/* Descriptors that this process has open. */
static inline int descriptors(void)
{
        DIR *folder = opendir("/proc/self/fd");
        int count = 0;

        NEED(folder);
        while (readdir(folder))
                count++;
        closedir(folder);
        return count;
}

#endif
