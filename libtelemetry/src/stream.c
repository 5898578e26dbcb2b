/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream: see stream.h.
 */
#define _GNU_SOURCE
#include "stream.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int64_t stream_now_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* connect() on a Unix socket waits for room in the listener's queue, and poll() can't wait for that: SO_SNDTIMEO bounds it. */
static int connect_once(int fd, const struct sockaddr_un *address, int64_t deadline_ms)
{
        int64_t left_ms = deadline_ms - stream_now_ms();
        struct timeval left = {.tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};

        if (left_ms <= 0)
                return -ETIMEDOUT;
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left) < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0)
                return errno == EAGAIN ? -ETIMEDOUT : -errno;
        return 0;
}

int stream_connect(const char *path, int64_t deadline_ms)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd, r;

        if (strlen(path) >= sizeof address.sun_path)
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        do
                r = connect_once(fd, &address, deadline_ms);
        while (r == -EINTR);
        if (r < 0) {
                close(fd);
                return r;
        }
        return fd;
}

ptrdiff_t stream_send(int fd, const uint8_t *bytes, size_t len)
{
        for (;;) {
                ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n >= 0)
                        return n;
                if (errno == EAGAIN || errno == EWOULDBLOCK)
                        return 0;
                if (errno != EINTR)
                        return -errno;
        }
}

ptrdiff_t stream_receive(int fd, uint8_t *bytes, size_t size)
{
        for (;;) {
                ssize_t n = recv(fd, bytes, size, MSG_DONTWAIT);

                if (n > 0)
                        return n;
                if (n == 0)
                        return -ECONNRESET;
                if (errno == EAGAIN || errno == EWOULDBLOCK)
                        return 0;
                if (errno != EINTR)
                        return -errno;
        }
}

int stream_wait(int fd, short events, int64_t deadline_ms)
{
        for (;;) {
                struct pollfd wait = {.fd = fd, .events = events};
                int64_t left_ms = deadline_ms - stream_now_ms();

                if (left_ms < 0)
                        left_ms = 0;
                int r = poll(&wait, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
                if (r > 0)
                        return wait.revents;
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r == 0 && stream_now_ms() >= deadline_ms)
                        return -ETIMEDOUT;
        }
}
