/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream: many records on one connection, at most WINDOW of them without an answer.
 *
 *   stream PATH RECORDS PAYLOAD WINDOW
 *
 * Sends as many records in one call as the window has room for; checks that the answers come in the records' order.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "load.h"

#define WINDOW_LIMIT 1024u

static uint8_t ids[WINDOW_LIMIT][TM_ID_SIZE]; /* of the records in flight, by number modulo WINDOW_LIMIT */

static void send_all(int fd, const uint8_t *bytes, size_t len)
{
        while (len > 0) {
                ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
                if (sent < 0) {
                        if (errno == EINTR)
                                continue;
                        load_die("send");
                }
                bytes += sent;
                len -= (size_t)sent;
        }
}

int main(int argc, char **argv)
{
        if (argc != 5) {
                (void)fprintf(stderr, "usage: stream PATH RECORDS PAYLOAD WINDOW\n");
                return 2;
        }
        uint64_t wanted = load_number(argv[2], UINT32_MAX), sent = 0, answered = 0;
        size_t payload_len = load_number(argv[3], TM_PAYLOAD_MAX);
        uint64_t window = load_number(argv[4], WINDOW_LIMIT);
        struct load_record *record = calloc(1, sizeof(*record));
        size_t room = (size_t)window * (payload_len + WIRE5_HEADER_LEN + TM_CLASSIFICATION_MAX);
        uint8_t *bytes = malloc(room);
        if (record == NULL || bytes == NULL)
                load_die("malloc");
        load_record_init(record, payload_len);

        int fd = load_connect(argv[1], false);
        if (fd < 0)
                load_die(argv[1]);
        struct timeval patience = {.tv_sec = LOAD_TIMEOUT_MS / 1000};
        if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0)
                load_die("setsockopt");

        struct load_tally tally = {0};
        uint8_t answers[WINDOW_LIMIT * WIRE_ANSWER_LEN];
        size_t held = 0; /* bytes of an answer that came in pieces */
        double start_s = load_now_s();
        while (answered < wanted) {
                size_t len = 0;
                for (; sent < wanted && sent - answered < window; sent++)
                        len += load_record_next(record, 0, bytes + len, room - len, ids[sent % WINDOW_LIMIT]);
                send_all(fd, bytes, len);

                ssize_t got = recv(fd, answers + held, sizeof(answers) - held, 0);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        load_die("waiting for answers");
                if (got == 0) {
                        tally.lost += sent - answered;
                        break;
                }
                held += (size_t)got;
                size_t used = 0;
                for (; held - used >= WIRE_ANSWER_LEN && answered < sent; used += WIRE_ANSWER_LEN, answered++)
                        load_tally_answer(&tally, answers + used, ids[answered % WINDOW_LIMIT]);
                held -= used;
                memmove(answers, answers + used, held);
        }
        load_report(answered, start_s, load_now_s(), &tally, "");
        (void)close(fd);
        free(bytes);
        free(record);
        return 0;
}
