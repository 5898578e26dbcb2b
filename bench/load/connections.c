/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connections: a connection a record, as many at a time as asked, as fast as the other side takes them.
 *
 *   connections answered PATH RECORDS CLIENTS PAYLOAD [any-id]   format 5 with LAST, each answer awaited (epoll)
 *   connections silent   PATH RECORDS 1       PAYLOAD            format 4: connect, write, close; nothing comes back
 *
 * One line of JSON tells when it began and ended and what was answered.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define CLIENTS_MAX 4096u

struct slot {
        int fd;
        uint32_t answer_len;
        uint8_t id[TM_ID_SIZE];
        uint8_t answer[WIRE_ANSWER_LEN];
};

struct run {
        const char *path;
        uint64_t wanted, started, ended;
        bool any_id;
        int epoll_fd;
        uint32_t *idle; /* stack of the slots that have no connection */
        uint32_t idle_count;
        struct slot *slots;
        struct load_record record;
        struct load_tally tally;
        uint8_t bytes[TM_RECORD_MAX];
};

/* False where the backlog is full. */
static bool slot_start(struct run *run, uint32_t index)
{
        struct slot *slot = &run->slots[index];
        int fd = load_connect(run->path, true);
        if (fd < 0 && errno == EAGAIN)
                return false;
        if (fd < 0)
                load_die(run->path);
        size_t len = load_record_next(&run->record, WIRE5_FLAG_LAST, run->bytes, sizeof(run->bytes), slot->id);
        /* A fresh socket's buffer takes any one record of a bench whole. */
        if (send(fd, run->bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
                load_die("send");
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
        if (epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
                load_die("epoll_ctl");
        slot->fd = fd;
        slot->answer_len = 0;
        return true;
}

/* True when this connection is done with. */
static bool slot_read(struct run *run, struct slot *slot)
{
        ssize_t got = recv(slot->fd, slot->answer + slot->answer_len, WIRE_ANSWER_LEN - slot->answer_len, 0);
        if (got < 0) {
                if (errno == EAGAIN || errno == EINTR)
                        return false;
                if (errno != ECONNRESET)
                        load_die("recv");
                got = 0;
        }
        if (got == 0) {
                run->tally.lost++;
                return true;
        }
        slot->answer_len += (uint32_t)got;
        if (slot->answer_len < WIRE_ANSWER_LEN)
                return false;
        load_tally_answer(&run->tally, slot->answer, run->any_id ? NULL : slot->id);
        return true;
}

static void start_all_idle(struct run *run)
{
        while (run->idle_count > 0 && run->started < run->wanted) {
                if (!slot_start(run, run->idle[run->idle_count - 1])) {
                        run->tally.backlog_full++;
                        return;
                }
                run->idle_count--;
                run->started++;
        }
}

static void run_answered(struct run *run, uint32_t clients)
{
        struct epoll_event events[256];
        run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (run->epoll_fd < 0)
                load_die("epoll_create1");
        while (run->ended < run->wanted) {
                start_all_idle(run);
                if (run->idle_count == clients) { /* not one got in: other people's connections fill the backlog */
                        (void)poll(NULL, 0, 1);
                        continue;
                }
                int ready = epoll_wait(run->epoll_fd, events, 256, LOAD_TIMEOUT_MS);
                if (ready < 0 && errno == EINTR)
                        continue;
                if (ready <= 0) {
                        errno = ready == 0 ? ETIMEDOUT : errno;
                        load_die("waiting for answers");
                }
                for (int i = 0; i < ready; i++) {
                        uint32_t index = events[i].data.u32;
                        if (!slot_read(run, &run->slots[index]))
                                continue;
                        (void)close(run->slots[index].fd);
                        run->idle[run->idle_count++] = index;
                        run->ended++;
                }
        }
        (void)close(run->epoll_fd);
}

static void run_silent(struct run *run)
{
        size_t len = load_record_format4(&run->record, run->bytes, sizeof(run->bytes));
        for (; run->ended < run->wanted; run->ended++) {
                int fd = load_connect(run->path, false); /* waits while the backlog is full */
                if (fd < 0)
                        load_die(run->path);
                if (send(fd, run->bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
                        load_die("send");
                (void)close(fd);
        }
}

int main(int argc, char **argv)
{
        bool answered = argc >= 6 && strcmp(argv[1], "answered") == 0;
        bool any_id = answered && argc == 7 && strcmp(argv[6], "any-id") == 0;
        if (!(argc == 6 || any_id) || !(answered || strcmp(argv[1], "silent") == 0)) {
                (void)fprintf(stderr, "usage: connections answered|silent PATH RECORDS CLIENTS PAYLOAD [any-id]\n");
                return 2;
        }
        uint32_t clients = (uint32_t)load_number(argv[4], CLIENTS_MAX);
        struct run *run = calloc(1, sizeof(*run));
        if (run == NULL)
                load_die("calloc");
        run->path = argv[2];
        run->wanted = load_number(argv[3], UINT32_MAX);
        run->any_id = any_id;
        run->slots = calloc(clients, sizeof(*run->slots));
        run->idle = calloc(clients, sizeof(*run->idle));
        if (run->slots == NULL || run->idle == NULL)
                load_die("calloc");
        for (uint32_t i = 0; i < clients; i++)
                run->idle[run->idle_count++] = i;
        load_record_init(&run->record, load_number(argv[5], TM_PAYLOAD_MAX));
        load_raise_descriptor_limit();

        double start_s = load_now_s();
        if (answered)
                run_answered(run, clients);
        else
                run_silent(run);
        load_report(run->ended, start_s, load_now_s(), &run->tally, "");
        free(run->idle);
        free(run->slots);
        free(run);
        return 0;
}
