/* SPDX-License-Identifier: Apache-2.0 */
/*
 * first: knock until a daemon that is being started answers one record, and say when.
 *
 *   first PATH PAYLOAD
 *
 * Knocks every 0.2 ms. A connection that ends without an answer (the daemon before this one) is no answer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

static bool answered(int fd, struct load_record *record, struct load_tally *tally)
{
        static uint8_t bytes[TM_RECORD_MAX];
        uint8_t id[TM_ID_SIZE], answer[WIRE_ANSWER_LEN];
        struct timeval patience = {.tv_sec = LOAD_TIMEOUT_MS / 1000};
        if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0)
                load_die("setsockopt");
        size_t len = load_record_next(record, WIRE5_FLAG_LAST, bytes, sizeof(bytes), id);
        if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
                return false;
        ssize_t got = recv(fd, answer, sizeof(answer), MSG_WAITALL);
        if (got < 0 && errno == EAGAIN)
                load_die("waiting for the first answer");
        if (got != (ssize_t)sizeof(answer))
                return false;
        load_tally_answer(tally, answer, id);
        return true;
}

int main(int argc, char **argv)
{
        if (argc != 3) {
                (void)fprintf(stderr, "usage: first PATH PAYLOAD\n");
                return 2;
        }
        struct load_record *record = calloc(1, sizeof(*record));
        if (record == NULL)
                load_die("calloc");
        load_record_init(record, load_number(argv[2], TM_PAYLOAD_MAX));

        struct load_tally tally = {0};
        const struct timespec pause = {.tv_nsec = 200000};
        double start_s = load_now_s();
        for (;;) {
                int fd = load_connect(argv[1], false);
                if (fd < 0 && errno != ENOENT && errno != ECONNREFUSED)
                        load_die(argv[1]);
                bool done = fd >= 0 && answered(fd, record, &tally);
                if (fd >= 0)
                        (void)close(fd);
                if (done)
                        break;
                if (load_now_s() - start_s > LOAD_TIMEOUT_MS / 1000.0) {
                        errno = ETIMEDOUT;
                        load_die(argv[1]);
                }
                (void)nanosleep(&pause, NULL);
        }
        load_report(1, start_s, load_now_s(), &tally, "");
        free(record);
        return 0;
}
