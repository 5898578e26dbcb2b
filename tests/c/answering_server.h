/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answering_server: a telemd of a test's own on a real Unix socket, in a thread. Each connection that it accepts behaves as the
 * script says for it; what it received is kept for the test to look at after server_stop().
 */
#ifndef TESTS_ANSWERING_SERVER_H
#define TESTS_ANSWERING_SERVER_H

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "wire.h"

enum behaviour {
        ANSWERS,          /* every record, durable */
        ANSWERS_BYTEWISE, /* the same, a byte at a time */
        REFUSES,          /* every record, for no-space */
        SILENT,           /* reads and says nothing until the client leaves */
        DEAF,             /* doesn't even read */
        LATE,             /* answers when the client has gone */
        WRONG_ID,
        NO_ANSWER_TYPE, /* 24 bytes that aren't an answer */
        TWICE,          /* two answers to one record */
        CLOSES,         /* at once */
        CLOSES_AFTER_ONE_RECORD,
        CLOSES_AFTER_ONE_ANSWER,
        CLOSES_AFTER_TEN_ANSWERS,
        CLOSES_WITHIN_ANSWER,
        FILLS_WINDOW, /* answers nothing before TM_WINDOW_MAX records are there, and sees whether more come */
        READS_FORMAT4,
};

#define SERVER_RECORDS_MAX 4096
#define SERVER_BUFFER (2 * TM_RECORD_MAX)

struct server {
        pthread_t thread;
        int listener;
        int stop[2];
        const enum behaviour *script;
        size_t script_len;
        size_t connections;
        size_t records;
        size_t over_window;
        struct {
                uint8_t flags;
                uint8_t id[TM_ID_SIZE];
                uint32_t payload_len;
        } got[SERVER_RECORDS_MAX];
        uint8_t format4[SERVER_BUFFER]; /* the last record of format 4 */
        size_t format4_len;
};

static inline int server_listen(const char *path, int backlog)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        NEED(fd >= 0 && strlen(path) < sizeof address.sun_path);
        strcpy(address.sun_path, path);
        unlink(path);
        NEED(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, backlog) == 0);
        return fd;
}

/* True where fd is readable (or at its end); false where nothing comes and the server is to stop, or the time is over.
 * What had come before the stop is still taken: a test counts it, however late this thread had its turn. */
static inline bool server_readable(const struct server *server, int fd, int timeout_ms)
{
        struct pollfd wait[2] = {{.fd = fd, .events = POLLIN}, {.fd = server->stop[0], .events = POLLIN}};

        return poll(wait, 2, timeout_ms) > 0 && wait[0].revents && fd != server->stop[0];
}

static inline void server_answer(const struct server *server, int fd, enum behaviour behaviour, const uint8_t id[TM_ID_SIZE])
{
        struct tm_ack ack = {.verdict = TM_DURABLE};
        uint8_t answer[2 * WIRE_ANSWER_LEN];
        size_t len = WIRE_ANSWER_LEN, piece;

        memcpy(ack.record_id, id, TM_ID_SIZE);
        if (behaviour == REFUSES)
                ack = (struct tm_ack){.verdict = TM_REFUSED, .reason = TM_REASON_NO_SPACE};
        if (behaviour == REFUSES)
                memcpy(ack.record_id, id, TM_ID_SIZE);
        if (behaviour == WRONG_ID)
                ack.record_id[15] ^= 1;
        wire_answer_encode(&ack, answer);
        wire_answer_encode(&ack, answer + WIRE_ANSWER_LEN);
        if (behaviour == NO_ANSWER_TYPE)
                answer[4] = 9;
        if (behaviour == TWICE)
                len *= 2;
        if (behaviour == CLOSES_WITHIN_ANSWER)
                len = 11;
        piece = behaviour == ANSWERS_BYTEWISE ? 1 : len;
        for (size_t sent = 0; sent < len; sent += piece) {
                if (send(fd, answer + sent, piece, MSG_NOSIGNAL) < 0)
                        return;
                if (piece == 1)
                        server_readable(server, server->stop[0], 2);
        }
}

static inline void server_keep(struct server *server, const struct wire_record *record)
{
        if (server->records < SERVER_RECORDS_MAX) {
                server->got[server->records].flags = record->flags;
                server->got[server->records].payload_len = record->payload.len;
                memcpy(server->got[server->records].id, record->record_id, TM_ID_SIZE);
        }
        server->records++;
}

/* One connection of format 5, until it or the server ends. */
static inline void server_serve5(struct server *server, int fd, enum behaviour behaviour, uint8_t *buffer)
{
        uint8_t unanswered[TM_WINDOW_MAX][TM_ID_SIZE];
        size_t len = 0, here = 0, held = 0;
        bool window_shut = behaviour == FILLS_WINDOW;

        if (behaviour == CLOSES)
                return;
        if (behaviour == DEAF) {
                server_readable(server, server->stop[0], -1);
                return;
        }
        while (server_readable(server, fd, -1)) {
                ssize_t n = read(fd, buffer + len, SERVER_BUFFER - len);
                size_t offset = 0;
                uint32_t total;
                enum tm_reason reason;

                if (n <= 0)
                        return;
                len += (size_t)n;
                while (wire5_peek(buffer + offset, len - offset, &total, &reason) == WIRE_WHOLE) {
                        struct wire_record record = {0};

                        NEED(wire5_decode(buffer + offset, total, &record) == TM_REASON_NONE);
                        offset += total;
                        here++;
                        server_keep(server, &record);
                        if (behaviour == CLOSES_AFTER_ONE_RECORD)
                                return;
                        if (window_shut) {
                                server->over_window += held == TM_WINDOW_MAX;
                                if (held < TM_WINDOW_MAX)
                                        memcpy(unanswered[held++], record.record_id, TM_ID_SIZE);
                        } else if (behaviour != SILENT && behaviour != LATE) {
                                server_answer(server, fd, behaviour, record.record_id);
                        }
                        if ((behaviour == CLOSES_AFTER_ONE_ANSWER && here == 1) || behaviour == CLOSES_WITHIN_ANSWER ||
                            (behaviour == CLOSES_AFTER_TEN_ANSWERS && here == 10))
                                return;
                        if (behaviour == LATE && server_readable(server, fd, -1))
                                server_answer(server, fd, behaviour, record.record_id);
                }
                memmove(buffer, buffer + offset, len - offset);
                len -= offset;
                if (window_shut && held == TM_WINDOW_MAX && !server_readable(server, fd, 100)) {
                        window_shut = false;
                        for (size_t i = 0; i < held; i++)
                                server_answer(server, fd, behaviour, unanswered[i]);
                }
        }
}

static inline void server_serve4(struct server *server, int fd)
{
        ssize_t n;

        server->format4_len = 0;
        while ((n = read(fd, server->format4 + server->format4_len, SERVER_BUFFER - server->format4_len)) > 0)
                server->format4_len += (size_t)n;
        server->records++;
}

static inline void *server_run(void *argument)
{
        struct server *server = argument;
        uint8_t *buffer = malloc(SERVER_BUFFER);

        NEED(buffer);
        while (server_readable(server, server->listener, -1)) {
                int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
                /* the last behaviour of the script goes on for ever */
                size_t step = server->connections < server->script_len ? server->connections : server->script_len - 1;

                NEED(fd >= 0);
                server->connections++;
                if (server->script[step] == READS_FORMAT4)
                        server_serve4(server, fd);
                else
                        server_serve5(server, fd, server->script[step], buffer);
                close(fd);
        }
        free(buffer);
        return NULL;
}

static inline struct server *server_start(const char *path, const enum behaviour *script, size_t script_len)
{
        struct server *server = calloc(1, sizeof *server);

        NEED(server && pipe(server->stop) == 0);
        server->listener = server_listen(path, 128);
        server->script = script;
        server->script_len = script_len;
        NEED(pthread_create(&server->thread, NULL, server_run, server) == 0);
        return server;
}

/* The counters hold still from here on; free() what it returns. */
static inline struct server *server_stop(struct server *server, const char *path)
{
        NEED(write(server->stop[1], "x", 1) == 1 && pthread_join(server->thread, NULL) == 0);
        close(server->listener);
        close(server->stop[0]);
        close(server->stop[1]);
        unlink(path);
        return server;
}

#endif
