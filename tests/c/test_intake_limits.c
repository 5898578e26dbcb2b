/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sender may take from the others: places, time, memory, turns. Senders that never read, never finish, never stop
 * or never come to the point; and what happens when places or descriptors run out.
 */
#include <sys/resource.h>

#include "intake_fixture.h"

static uint8_t record[RECORD_ROOM];
static uint8_t payload[TM_PAYLOAD_MAX];

/* ---- time ---- */

static void unfinished_in_time(void)
{
        struct house *house = house_new(8);
        int fd = dial(house, 5), idle = dial(house, 5), old = dial(house, 4);
        size_t len = make_small(record, 1);
        const int64_t begin = house->now_ms;

        check_about = "unfinished";
        CHECK_EQ(intake_timeout_ms(house->intake, house->now_ms), -1);
        house_round(house);
        CHECK_EQ(intake_timeout_ms(house->intake, house->now_ms), -1); /* idle ones have no end */
        give(fd, record, 10);
        give(old, record, 3);
        house_round(house);
        for (int i = 0; i < 19; i++) { /* a byte now and then buys no time */
                house->now_ms = begin + 100 * i + 99;
                give(fd, record + 10 + i, 1);
                CHECK_EQ(house_round(house), 0);
                CHECK_EQ(intake_timeout_ms(house->intake, house->now_ms), begin + INTAKE_UNFINISHED_MS - house->now_ms);
        }
        house->now_ms = begin + INTAKE_UNFINISHED_MS - 1;
        CHECK_EQ(house_round(house), 0);
        CHECK_EQ(intake_timeout_ms(house->intake, house->now_ms), 1);
        house->now_ms++;
        CHECK_EQ(intake_timeout_ms(house->intake, house->now_ms), 0);
        CHECK_EQ(house_round(house), 2);
        HEARS(fd, TM_REFUSED, TM_REASON_TIMEOUT, ENDED);
        HEARS_NOTHING(old, ENDED);
        HEARS_NOTHING(idle, OPEN);
        CHECK_EQ(intake_timeout_ms(house->intake, house->now_ms), -1);
        CHECK_EQ(house_counts(house).refused[TM_REASON_TIMEOUT], 2);
        CHECK_EQ(house_connections(house), 1);
        give(idle, record, len); /* much later it still works */
        house->now_ms += 3600 * 1000;
        CHECK_EQ(house_round(house), 1);
        HEARS(idle, TM_DURABLE, TM_REASON_NONE, OPEN);

        give(idle, record, len - 1); /* and the time of the next record counts from its own begin */
        house_round(house);
        house->now_ms += 1999;
        give(idle, record + len - 1, 1);
        CHECK_EQ(house_round(house), 1);
        give(idle, record, 1);
        house_round(house);
        house->now_ms += 1999;
        give(idle, record + 1, len - 1);
        CHECK_EQ(house_round(house), 1);
        close(fd);
        close(idle);
        close(old);
        house_free(house);
}

/* telemd was kept from its sockets (by a slow sync): what had come in time isn't too late. */
static void slow_ourselves(void)
{
        struct house *house = house_new(64);
        size_t len = make_small(record, 1);
        int fd[40];
        struct tm_ack acks[8];
        int state;

        check_about = "slow ourselves";
        for (int i = 0; i < 40; i++) {
                fd[i] = dial(house, 5);
                give(fd[i], record, 30);
        }
        CHECK_EQ(house_round(house), 0);
        for (int i = 0; i < 38; i++)
                give(fd[i], record + 30, len - 30);
        give(fd[0], record, len); /* a further one, and the begin of a third */
        give(fd[0], record, 9);
        shutdown(fd[38], SHUT_WR);
        house->now_ms += 5000;
        CHECK_EQ(house_rounds(house), 41);
        CHECK_EQ(hear(fd[0], acks, 8, &state), 2);
        CHECK_EQ(acks[1].verdict, TM_DURABLE);
        CHECK_EQ(state, OPEN);
        for (int i = 1; i < 38; i++)
                HEARS(fd[i], TM_DURABLE, TM_REASON_NONE, OPEN);
        HEARS(fd[38], TM_REFUSED, TM_REASON_MALFORMED, ENDED);
        HEARS(fd[39], TM_REFUSED, TM_REASON_TIMEOUT, ENDED);
        house->now_ms += INTAKE_UNFINISHED_MS;
        CHECK_EQ(house_round(house), 1);
        HEARS(fd[0], TM_REFUSED, TM_REASON_TIMEOUT, ENDED);
        for (int i = 0; i < 40; i++)
                close(fd[i]);
        house_free(house);
}

/* ---- turns ---- */

/* Keep the socket as full as it gets, with one record after another. *at is where the stream is in its record. */
static void pour(int fd, size_t *at)
{
        static uint8_t stream[200000];
        size_t len = make_small(record, 1);
        ssize_t n;

        for (size_t i = 0; i + len <= sizeof stream; i += len)
                memcpy(stream + i, record, len);
        while ((n = send(fd, stream + *at, 100000, MSG_NOSIGNAL)) > 0)
                *at = (*at + (size_t)n) % len;
}

static void drink(int fd)
{
        uint8_t bytes[65536];

        while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
                ;
}

/* Two who always have more than a drain takes, and others who want to say one thing. */
static void everybody_has_a_turn(void)
{
        struct house *house = house_new(64);
        int loud[2] = { dial(house, 5), dial(house, 5) }, quiet[10], late = -1;
        uint32_t rounds = 0, served = 0;
        size_t at[2] = { 0, 0 };
        bool heard[10] = { false };

        check_about = "turns";
        for (int i = 0; i < 10; i++)
                quiet[i] = dial(house, 5);
        house_round(house);
        for (int i = 0; i < 10; i++)
                give_small(quiet[i], 1u << 30, 1);
        for (; served < 11 && rounds < 12; rounds++) {
                struct tm_ack ack;
                int state;

                for (int i = 0; i < 2; i++) {
                        pour(loud[i], &at[i]);
                        drink(loud[i]);
                }
                if (rounds == 1) {
                        late = dial(house, 5);
                        give_small(late, 1, 1);
                }
                CHECK(house_round(house) > 0);
                for (int i = 0; i < 10; i++)
                        if (!heard[i] && hear(quiet[i], &ack, 1, &state) == 1) {
                                heard[i] = true;
                                served++;
                        }
                served += late >= 0 && hear(late, &ack, 1, &state) == 1;
        }
        CHECK_EQ(served, 11);
        for (int i = 0; i < 10; i++)
                close(quiet[i]);
        close(loud[0]);
        close(loud[1]);
        close(late);
        house_free(house);
}

/* However much one has ready, and though two of its events may stand in one drain: no more than 512 KiB of it is taken
 * before it is answered. */
static void one_helping_a_drain(void)
{
        struct house *house = house_new(8);
        int filler = dial(house, 5), loud = dial(house, 5), buffer = 4 << 20;
        size_t at = 0;
        uint32_t most = 0;

        check_about = "one helping";
        (void)setsockopt(loud, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer); /* without the right to: less at once */
        const uint32_t len = (uint32_t)make5(record, 1, 0, CLASS, payload, 3000);
        house_round(house);
        for (int turn = 0; turn < 6; turn++) {
                give_small(filler, 0, BATCH_RECORDS_MAX); /* fills a batch, so that the event of the other stays for the next */
                make5(record, 1, 0, CLASS, payload, 3000);
                for (ssize_t n; (n = send(loud, record + at, len - at, MSG_NOSIGNAL)) > 0;)
                        at = (at + (size_t)n) % len;
                for (int i = 0; i < 3; i++) {
                        uint32_t bytes = 0, count = house_drain(house);

                        for (uint32_t k = 0; k < count; k++)
                                bytes += house->batch->entries[k].record_len == len ? len : 0;
                        CHECK(bytes <= (512u << 10) + len); /* one of them had begun before */
                        most = bytes > most ? bytes : most;
                        house_answer(house);
                        drink(loud);
                        drink(filler);
                }
        }
        CHECK(most > (100u << 10));
        CHECK_EQ(house_connections(house), 2);
        close(loud);
        close(filler);
        house_free(house);
}

/* One who sends and sends and never reads is let go; the others notice nothing. */
static void never_reads(void)
{
        struct house *house = house_new(8);
        int deaf = dial(house, 5), other = dial(house, 5);
        uint32_t rounds = 0;
        size_t at = 0;

        check_about = "never reads";
        house_round(house);
        for (; house_connections(house) == 2 && rounds < 1000; rounds++) {
                pour(deaf, &at);
                give_small(other, rounds, 1);
                for (int i = 0; i < 5; i++)
                        house_round(house);
                HEARS(other, TM_DURABLE, TM_REASON_NONE, OPEN);
        }
        CHECK_EQ(house_connections(house), 1);
        CHECK(rounds > 1);
        errno = 0;
        CHECK(send(deaf, record, 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
        give_small(other, 1, 1);
        house_round(house);
        HEARS(other, TM_DURABLE, TM_REASON_NONE, OPEN);
        close(deaf);
        close(other);
        house_free(house);
}

/* ---- memory ---- */

/* Each says that a record of 70 KB comes, and sends its first 80 bytes. */
static void unfinished_memory(void)
{
        enum { SENDERS = 200 };
        const uint32_t len = (uint32_t)make5(record, 1, 0, CLASS, payload, 60000), fit = USERS_BYTES_MAX / len;
        struct house *house = house_new(SENDERS + 1);
        int fd[SENDERS], other = dial(house, 5);

        check_about = "unfinished memory";
        NEED(fit < SENDERS);
        for (int turn = 0; turn < 3; turn++) { /* what was held is given back: by the end of time, of the record, of the sender */
                uint32_t refused = 0;

                for (uint32_t i = 0; i < SENDERS; i++) {
                        fd[i] = dial(house, 5);
                        give(fd[i], record, 80);
                }
                refused += house_rounds(house);
                CHECK_EQ(refused, SENDERS - fit);
                give_small(other, 5, 1); /* whole records need nothing of it */
                CHECK_EQ(house_rounds(house), 1);
                HEARS(other, TM_DURABLE, TM_REASON_NONE, OPEN);
                for (uint32_t i = 0; i < SENDERS; i++) {
                        if (i >= fit)
                                HEARS(fd[i], TM_REFUSED, TM_REASON_RATE_LIMIT, ENDED);
                        else if (turn == 1)
                                give(fd[i], record + 80, len - 80);
                        else if (turn == 2)
                                close(fd[i]);
                }
                if (turn == 0)
                        house->now_ms += INTAKE_UNFINISHED_MS;
                uint32_t sum = house_round(house);
                sum += house_rounds(house);
                CHECK_EQ(sum, fit);
                for (uint32_t i = 0; i < SENDERS; i++)
                        if (turn < 2 || i >= fit)
                                close(fd[i]);
                house_rounds(house);
                CHECK_EQ(house_connections(house), 1);
        }
        struct intake_counts counts = house_counts(house);
        CHECK_EQ(counts.refused[TM_REASON_RATE_LIMIT], 3 * (SENDERS - fit));
        CHECK_EQ(counts.refused[TM_REASON_TIMEOUT], fit);
        CHECK_EQ(counts.refused[TM_REASON_MALFORMED], fit);
        CHECK_EQ(counts.durable, fit + 3);

        /* a record that grows: its length is known only when memory has run out */
        int grower = dial(house, 5);
        give(grower, record, 20);
        for (uint32_t i = 0; i < fit; i++) {
                fd[i] = dial(house, 5);
                give(fd[i], record, 80);
        }
        uint32_t refused = house_rounds(house);
        give(grower, record + 20, 60);
        refused += house_rounds(house);
        CHECK_EQ(refused, 1 + (USERS_BYTES_MAX - fit * len < 80));
        struct tm_ack ack;
        int state;
        CHECK_EQ(hear(grower, &ack, 1, &state), 1);
        CHECK_EQ(ack.reason, TM_REASON_RATE_LIMIT);
        CHECK_EQ(number_of(ack.record_id), 1);
        CHECK_EQ(state, ENDED);
        for (uint32_t i = 0; i < fit; i++)
                close(fd[i]);
        close(grower);
        close(other);
        house_rounds(house);
        house_free(house);
}

/* ---- many ---- */

static void ten_thousand_connections(void)
{
        struct house *house = house_new(64);
        int before = descriptors();

        check_about = "10,000 connections";
        for (uint32_t i = 0; i < 10000; i++) {
                int fd = dial(house, i % 3 ? 5 : 4);

                if (i % 3 == 1)
                        give(fd, record, make5(record, i, i % 2 ? WIRE5_FLAG_LAST : 0, CLASS, "x", 1));
                else if (i % 3 == 2)
                        give(fd, record, i % 80);
                if (i % 7 == 0)
                        house_round(house);
                close(fd);
                if (i % 50 == 0)
                        house_rounds(house);
        }
        house_rounds(house);
        CHECK_EQ(house_connections(house), 0);
        CHECK_EQ(house_counts(house).durable, 3333);
        CHECK_EQ(house_counts(house).closed_for_room, 0);
        CHECK_EQ(descriptors(), before);

        int fd[30]; /* and none is left behind by intake_free() */
        for (int i = 0; i < 30; i++) {
                fd[i] = dial(house, 5);
                give(fd[i], record, 20);
        }
        house_round(house);
        CHECK_EQ(house_connections(house), 30);
        CHECK_EQ(descriptors(), before + 60);
        intake_free(house->intake);
        CHECK_EQ(descriptors(), before + 30 - 1);
        for (int i = 0; i < 30; i++)
                close(fd[i]);
        house->intake = NULL;
        house_free(house);
}

static void too_many_listeners(void)
{
        struct house *house = house_new(4);
        int spare[3];

        check_about = "listeners";
        for (int i = 0; i < 3; i++)
                spare[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_EQ(intake_listen(house->intake, spare[0], 5), 0);
        CHECK_EQ(intake_listen(house->intake, spare[0], 5), -EEXIST);
        CHECK_EQ(intake_listen(house->intake, -1, 5), -EBADF);
        CHECK_EQ(intake_listen(house->intake, spare[1], 5), 0);
        CHECK_EQ(intake_listen(house->intake, spare[2], 5), -E2BIG);
        house_free(house);
        for (int i = 0; i < 3; i++)
                CHECK_EQ(close(spare[i]), 0); /* they stayed ours */
}

/* A start without a descriptor to spare says so, and closes nothing that isn't its own. */
static void no_descriptor_at_all(void)
{
        struct recent *recent = recent_new();
        struct rlimit before;
        int input = dup(STDIN_FILENO); /* whatever it is: there must be a descriptor 0 to lose */

        check_about = "no descriptor";
        NEED(recent && input >= 0 && getrlimit(RLIMIT_NOFILE, &before) == 0);
        const struct rlimit none = { .rlim_cur = 0, .rlim_max = before.rlim_max };
        NEED(setrlimit(RLIMIT_NOFILE, &none) == 0);
        errno = 0;
        struct intake *intake = intake_new(8, recent);
        int said = errno;
        NEED(setrlimit(RLIMIT_NOFILE, &before) == 0);
        CHECK(intake == NULL);
        CHECK_EQ(said, EMFILE);
        CHECK(fcntl(STDIN_FILENO, F_GETFD) >= 0);
        CHECK(intake_free(NULL) == NULL);
        close(input);
        recent_free(recent);
}

int main(void)
{
        unfinished_in_time();
        slow_ourselves();
        everybody_has_a_turn();
        one_helping_a_drain();
        never_reads();
        unfinished_memory();
        ten_thousand_connections();
        too_many_listeners();
        no_descriptor_at_all();
        return check_end();
}
