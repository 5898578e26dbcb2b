/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare: the yardstick. The least a server can do for a connection: accept, read, (answer,) close. It keeps nothing, checks
 * nothing and syncs nothing, so its rate is what the kernel's sockets alone allow on this machine.
 *
 *   bare silent|answered PATH RECORDS
 *
 * Prints "ready" when it listens, and one line of JSON after RECORDS connections.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "load.h"

#define BACKLOG 4096

static int listen_at(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        size_t len = strlen(path);
        if (len >= sizeof(address.sun_path)) {
                errno = ENAMETOOLONG;
                load_die(path);
        }
        memcpy(address.sun_path, path, len + 1);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, BACKLOG) != 0)
                load_die(path);
        return fd;
}

int main(int argc, char **argv)
{
        bool answered = argc == 4 && strcmp(argv[1], "answered") == 0;
        if (argc != 4 || !(answered || strcmp(argv[1], "silent") == 0)) {
                (void)fprintf(stderr, "usage: bare silent|answered PATH RECORDS\n");
                return 2;
        }
        uint64_t wanted = load_number(argv[3], UINT32_MAX);
        int listener = listen_at(argv[2]);
        (void)puts("ready");
        (void)fflush(stdout);

        uint8_t bytes[16384], answer[WIRE_ANSWER_LEN];
        struct tm_ack ack = {.verdict = TM_DURABLE};
        struct load_tally tally = {0};
        wire_answer_encode(&ack, answer);
        double start_s = 0;
        for (uint64_t n = 0; n < wanted; n++) {
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                if (fd < 0)
                        load_die("accept4");
                if (n == 0)
                        start_s = load_now_s();
                if (recv(fd, bytes, sizeof(bytes), 0) <= 0)
                        tally.lost++;
                if (answered && send(fd, answer, sizeof(answer), MSG_NOSIGNAL) != (ssize_t)sizeof(answer))
                        load_die("send");
                (void)close(fd);
        }
        load_report(wanted, start_s, load_now_s(), &tally, "");
        (void)unlink(argv[2]);
        return 0;
}
