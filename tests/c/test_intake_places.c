/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places for connections: what happens when all are taken or no descriptor is left, who has to go, and that who comes next
 * on a place never hears what was meant for the one before.
 */
#include <sys/resource.h>

#include "intake_fixture.h"

#define PAUSE_MS 20

static uint8_t record[RECORD_ROOM];

/* How many of them have ended. */
static int ended(const int *fd, int count)
{
        int sum = 0;

        for (int i = 0; i < count; i++) {
                struct tm_ack ack;
                int state;

                hear(fd[i], &ack, 1, &state);
                sum += state == ENDED;
        }
        return sum;
}

static void close_all(const int *fd, int count)
{
        for (int i = 0; i < count; i++)
                close(fd[i]);
}

/* 8 places, 20 who come at once and each want to say two things, some time apart. */
static void more_than_places(void)
{
        struct house *house = house_new(8);
        int fd[20];
        uint32_t answered = 0;

        check_about = "more than places";
        for (uint32_t i = 0; i < 20; i++) {
                fd[i] = dial(house, 5);
                give_small(fd[i], i, 1);
        }
        CHECK_EQ(house_rounds(house), 8);
        CHECK_EQ(house_connections(house), 8);
        CHECK_EQ(ended(fd, 8), 0);
        CHECK(!house_has_work(house)); /* the listener waits: no busy loop */
        int timeout = intake_timeout_ms(house->intake, house->now_ms);
        CHECK(timeout > 0 && timeout <= PAUSE_MS);
        house->now_ms += PLACES_GRACE_MS - 1; /* so young they are not closed */
        CHECK_EQ(house_round(house), 0);
        CHECK_EQ(house_counts(house).closed_for_room, 0);

        house->now_ms += PAUSE_MS;
        CHECK_EQ(house_round(house), 8);
        CHECK_EQ(house_counts(house).closed_for_room, 8);
        CHECK_EQ(ended(fd, 8), 8); /* the longest idle ones */
        house->now_ms += PLACES_GRACE_MS + PAUSE_MS;
        CHECK_EQ(house_round(house), 4);
        CHECK_EQ(house_counts(house).closed_for_room, 12); /* no more than were needed */
        house->now_ms += PAUSE_MS;
        CHECK_EQ(house_round(house), 0);
        CHECK_EQ(house_connections(house), 8);
        answered = (uint32_t)house_counts(house).durable;
        CHECK_EQ(answered, 20);
        close_all(fd, 20);
        house_rounds(house);
        CHECK_EQ(house_connections(house), 0);
        CHECK_EQ(intake_timeout_ms(house->intake, house->now_ms), -1);
        house_free(house);
}

/* The last place is free: who takes it drives nobody away, however old the others are. */
static void exactly_full(void)
{
        struct house *house = house_new(4);
        int fd[5];

        check_about = "exactly full";
        for (int i = 0; i < 3; i++)
                fd[i] = dial(house, 5);
        house_round(house);
        house->now_ms += 60000;
        fd[3] = dial(house, 5);
        house_round(house);
        CHECK_EQ(house_connections(house), 4);
        CHECK_EQ(house_counts(house).closed_for_room, 0);
        CHECK_EQ(ended(fd, 4), 0);
        CHECK_EQ(intake_timeout_ms(house->intake, house->now_ms), -1);
        give_small(fd[0], 1, 1); /* a sign of life: now another is the longest idle */
        house_round(house);
        HEARS(fd[0], TM_DURABLE, TM_REASON_NONE, OPEN);
        fd[4] = dial(house, 5);
        house_round(house);
        CHECK_EQ(house_counts(house).closed_for_room, 1);
        HEARS_NOTHING(fd[1], ENDED);
        CHECK_EQ(ended(fd, 5), 1);
        close_all(fd, 5);
        house_free(house);
}

/* Nobody is idle: the longest unfinished one goes, and is counted as refused. */
static void unfinished_makes_room(void)
{
        struct house *house = house_new(4);
        int fd[5];

        check_about = "unfinished makes room";
        make_small(record, 1);
        for (int i = 0; i < 4; i++) {
                fd[i] = dial(house, 5);
                give(fd[i], record, 20);
                house_round(house);
                house->now_ms += 10;
        }
        house->now_ms += PLACES_GRACE_MS;
        fd[4] = dial(house, 5);
        give_small(fd[4], 9, 1);
        CHECK_EQ(house_round(house), 2); /* both of place 0 */
        CHECK_EQ(house_counts(house).refused[TM_REASON_TIMEOUT], 1);
        CHECK_EQ(house_counts(house).closed_for_room, 1);
        HEARS_NOTHING(fd[0], ENDED);
        HEARS(fd[4], TM_DURABLE, TM_REASON_NONE, OPEN); /* its own answer and no other */
        CHECK_EQ(ended(fd, 5), 1);
        close_all(fd, 5);
        house_free(house);
}

/* One place, and in one drain a sender who leaves it and another who comes. */
static void place_given_on(void)
{
        struct house *house = house_new(1);
        int last[3], next;
        size_t len = make5(record, 3, WIRE5_FLAG_LAST, CLASS, "x", 1);

        check_about = "place given on";
        for (uint32_t turn = 0; turn < 50; turn++) {
                int old = dial(house, 4);
                const uint32_t garbage = 3;

                give(old, (const uint8_t *)&garbage, 4); /* ended and refused at once: its entry outlives it */
                next = dial(house, 5);
                give_small(next, turn, 1);
                CHECK_EQ(house_rounds(house), 2);
                HEARS(next, TM_DURABLE, TM_REASON_NONE, OPEN);
                HEARS_NOTHING(old, ENDED);
                close(old);
                close(next);
                house_rounds(house);
                CHECK_EQ(house_connections(house), 0);
        }
        for (int i = 0; i < 3; i++) { /* after LAST the place is free only when the answer was sent */
                last[i] = dial(house, 5);
                give(last[i], record, len);
        }
        for (int i = 0; i < 3; i++) {
                CHECK_EQ(house_round(house), 1);
                HEARS(last[i], TM_DURABLE, TM_REASON_NONE, ENDED);
                house->now_ms += PAUSE_MS;
        }
        close_all(last, 3);
        house_free(house);
}

/* Who has said its LAST is the longest idle, and another wants the place at that moment: the answer comes first. */
static void answer_before_place(void)
{
        struct house *house = house_new(1);
        int fd = dial(house, 5), next;

        check_about = "answer before place";
        house_round(house);
        house->now_ms += 60000;
        give(fd, record, make5(record, 3, WIRE5_FLAG_LAST, CLASS, "x", 1));
        next = dial(house, 5);
        CHECK_EQ(house_round(house), 1);
        HEARS(fd, TM_DURABLE, TM_REASON_NONE, ENDED);
        house->now_ms += PAUSE_MS;
        give_small(next, 4, 1);
        CHECK_EQ(house_round(house), 1);
        HEARS(next, TM_DURABLE, TM_REASON_NONE, OPEN);
        CHECK_EQ(house_counts(house).closed_for_room, 0);
        close(fd);
        close(next);
        house_free(house);

        house = house_new(1); /* and one of format 4, who doesn't send again, isn't thrown out with a record unread */
        static const uint32_t garbage = 3;
        fd = dial(house, 4);
        house_round(house);
        house->now_ms += 60000;
        give(fd, (const uint8_t *)&garbage, 4);
        next = dial(house, 5);
        give_small(next, 5, 1);
        CHECK_EQ(house_rounds(house), 2);
        CHECK_EQ(house_counts(house).refused[TM_REASON_MALFORMED], 1);
        HEARS(next, TM_DURABLE, TM_REASON_NONE, OPEN);
        close(fd);
        close(next);
        house_free(house);
}

/* Between drain and answer the sender goes, and more of the same place come and go in the drains after it. */
static void gone_before_the_answer(void)
{
        struct house *house = house_new(2);

        check_about = "gone before the answer";
        for (uint32_t i = 0; i < 200; i++) {
                int fd = dial(house, 5);

                give_small(fd, i, 1 + i % 100);
                CHECK_EQ(house_drain(house), 1 + i % 100);
                close(fd);
                house_answer(house);
                house_rounds(house);
                CHECK_EQ(house_connections(house), 0);
        }
        house_free(house);
}

/* ---- descriptors ---- */

static struct rlimit descriptors_limited(int spare)
{
        struct rlimit before;
        int next = dup(STDERR_FILENO); /* the lowest that is free */

        NEED(next >= 0 && close(next) == 0 && getrlimit(RLIMIT_NOFILE, &before) == 0);
        const struct rlimit lowered = { .rlim_cur = (rlim_t)(next + spare), .rlim_max = before.rlim_max };
        NEED(setrlimit(RLIMIT_NOFILE, &lowered) == 0);
        return before;
}

static void out_of_descriptors(void)
{
        struct house *house = house_new(100);
        int fd[12];

        check_about = "descriptors";
        for (uint32_t i = 0; i < 12; i++) {
                fd[i] = dial(house, 5);
                give_small(fd[i], i, 1);
        }
        struct rlimit before = descriptors_limited(5);
        CHECK_EQ(house_rounds(house), 5);
        CHECK_EQ(house_connections(house), 5);
        CHECK(!house_has_work(house)); /* no busy loop */
        int timeout = intake_timeout_ms(house->intake, house->now_ms);
        CHECK(timeout > 0 && timeout <= PAUSE_MS);
        for (int i = 0; i < 5; i++) /* and those who are there are served */
                HEARS(fd[i], TM_DURABLE, TM_REASON_NONE, OPEN);
        give_small(fd[0], 50, 1);
        CHECK_EQ(house_round(house), 1);
        HEARS(fd[0], TM_DURABLE, TM_REASON_NONE, OPEN);

        house->now_ms += PAUSE_MS; /* still none */
        CHECK_EQ(house_rounds(house), 0);
        CHECK_EQ(house_connections(house), 5);
        shutdown(fd[4], SHUT_WR); /* one leaves */
        house->now_ms += PAUSE_MS;
        house_rounds(house);
        house->now_ms += PAUSE_MS;
        house_rounds(house);
        CHECK_EQ(house_counts(house).durable, 7);
        CHECK_EQ(house_connections(house), 5);

        for (int i = 0; i < 10; i++) { /* all are idle: the longest idle ones make room, as where places run out */
                house->now_ms += PLACES_GRACE_MS;
                house_round(house);
        }
        CHECK_EQ(house_counts(house).durable, 13);
        CHECK_EQ(house_counts(house).closed_for_room, 6);
        CHECK_EQ(house_connections(house), 5);
        NEED(setrlimit(RLIMIT_NOFILE, &before) == 0);
        close_all(fd, 12);
        house->now_ms += PAUSE_MS;
        house_rounds(house);
        CHECK_EQ(house_connections(house), 0);
        house_free(house);
}

/* What paused is tried again until it works. */
static void resume_that_fails(void)
{
        struct house *house = house_new(1);
        int fd[2] = { dial(house, 5), dial(house, 5) };
        int kept = fcntl(house->listener[5], F_DUPFD_CLOEXEC, 0);

        check_about = "resume";
        NEED(kept >= 0);
        for (uint32_t i = 0; i < 2; i++)
                give(fd[i], record, make5(record, i, WIRE5_FLAG_LAST, CLASS, "x", 1));
        CHECK_EQ(house_round(house), 1);
        CHECK(intake_timeout_ms(house->intake, house->now_ms) > 0);
        close(house->listener[5]); /* as if the kernel had no memory for it: epoll refuses it for a while */
        house->now_ms += PAUSE_MS;
        CHECK_EQ(house_round(house), 0);
        CHECK(intake_timeout_ms(house->intake, house->now_ms) >= 0);
        NEED(dup3(kept, house->listener[5], O_CLOEXEC) == house->listener[5]);
        house->now_ms += PAUSE_MS;
        CHECK_EQ(house_round(house), 1);
        HEARS(fd[1], TM_DURABLE, TM_REASON_NONE, ENDED);
        close_all(fd, 2);
        close(kept);
        house_free(house);
}

/* ---- users ---- */

/* As another user, where we may; the rules for numbers of users are test_places.c's. */
static int dial_as(const struct house *house, uid_t uid)
{
        NEED(seteuid(uid) == 0);
        int fd = dial(house, 5);
        NEED(seteuid(0) == 0);
        return fd;
}

/* One user asks for all places and keeps them busy; another, who is quiet, keeps its own, and newcomers get in. */
static void crowd_of_one_user(void)
{
        struct house *house = house_new(8);
        int quiet[2], loud[40], newcomer;
        size_t len = make_small(record, 1);

        check_about = "crowd of one user";
        for (int i = 0; i < 2; i++)
                quiet[i] = dial_as(house, 2000);
        house_rounds(house);
        house->now_ms += 60000;
        for (int i = 0; i < 40; i++)
                loud[i] = dial_as(house, 1000);
        newcomer = dial_as(house, 2001);
        give_small(newcomer, 7, 1);
        for (int round = 0; round < 40; round++) {
                for (uint32_t i = 0; i < 40; i++)
                        (void)!send(loud[i], record, len, MSG_NOSIGNAL); /* as far as it wasn't closed */
                house->now_ms += PLACES_GRACE_MS / 2;
                house_round(house);
                house_rounds(house);
        }
        HEARS_NOTHING(quiet[0], OPEN);
        HEARS_NOTHING(quiet[1], OPEN);
        HEARS(newcomer, TM_DURABLE, TM_REASON_NONE, OPEN);
        CHECK(house_connections(house) <= 8);
        CHECK(house_counts(house).closed_for_room >= 35);
        give_small(quiet[0], 8, 1);
        house_rounds(house);
        HEARS(quiet[0], TM_DURABLE, TM_REASON_NONE, OPEN);
        close_all(loud, 40);
        close_all(quiet, 2);
        close(newcomer);
        house_free(house);
}

/* And one who begins as many records as it can keeps nobody else's from being read in pieces. */
static void unfinished_of_one_user(void)
{
        enum { SENDERS = 150 };
        static uint8_t payload[60000];
        const uint32_t len = (uint32_t)make5(record, 1, 0, CLASS, payload, sizeof payload), fit = USERS_SHARE_MAX / len;
        struct house *house = house_new(SENDERS + 2);
        int greedy[SENDERS], other[2] = { dial_as(house, 2000), dial(house, 5) };

        check_about = "unfinished of one user";
        NEED(fit > 1 && SENDERS * len > USERS_BYTES_MAX);
        for (int i = 0; i < SENDERS; i++) {
                greedy[i] = dial_as(house, 1000);
                give(greedy[i], record, 80);
        }
        CHECK_EQ(house_rounds(house), SENDERS - fit);
        for (uint32_t i = 0; i < SENDERS; i++)
                if (i < fit)
                        HEARS_NOTHING(greedy[i], OPEN);
                else
                        HEARS(greedy[i], TM_REFUSED, TM_REASON_RATE_LIMIT, ENDED);
        for (int i = 0; i < 2; i++)
                give(other[i], record, 80);
        CHECK_EQ(house_rounds(house), 0);
        for (int i = 0; i < 2; i++)
                give(other[i], record + 80, len - 80);
        CHECK_EQ(house_rounds(house), 2);
        HEARS(other[0], TM_DURABLE, TM_REASON_NONE, OPEN);
        HEARS(other[1], TM_DURABLE, TM_REASON_NONE, OPEN);
        close_all(greedy, SENDERS);
        close_all(other, 2);
        house_free(house);
}

int main(void)
{
        more_than_places();
        exactly_full();
        unfinished_makes_room();
        place_given_on();
        answer_before_place();
        gone_before_the_answer();
        out_of_descriptors();
        resume_that_fails();
        if (geteuid() == 0) {
                crowd_of_one_user();
                unfinished_of_one_user();
        }
        return check_end();
}
