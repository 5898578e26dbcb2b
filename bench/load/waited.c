/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waited: stands in core_pattern before another program and notes what that used. It runs argv[0].real with its own
 * arguments and standard input, lets go of the latter itself, and adds a line to argv[0].used: microseconds of processor time, user
 * and system, and the largest resident size of a process in KiB.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static long long microseconds(struct timeval time)
{
        return (long long)time.tv_sec * 1000000 + time.tv_usec;
}

int main(int argc, char **argv)
{
        char real[256], used[256], line[96];
        if (argc < 1 || snprintf(real, sizeof(real), "%s.real", argv[0]) >= (int)sizeof(real) ||
            snprintf(used, sizeof(used), "%s.used", argv[0]) >= (int)sizeof(used))
                return 2;
        pid_t child = fork();
        if (child < 0)
                return 1;
        if (child == 0) {
                argv[0] = real;
                execv(real, argv);
                _exit(127);
        }
        (void)close_range(0, ~0U, 0);
        struct rusage usage;
        int status;
        if (wait4(child, &status, 0, &usage) != child)
                return 1;
        int length = snprintf(line, sizeof(line), "%lld %ld %d\n",
                              microseconds(usage.ru_utime) + microseconds(usage.ru_stime), usage.ru_maxrss, status);
        int fd = open(used, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        return fd < 0 || write(fd, line, (size_t)length) != length;
}
