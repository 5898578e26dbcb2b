/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk: the other yardstick. What the disk alone allows: write so many bytes at a time into preallocated files, fdatasync each
 * time, and nothing else. No socket, no check, no second copy.
 *
 *   disk DIRECTORY RECORDS RECORD_BYTES RECORDS_A_SYNC
 *
 * The files are left to the caller, as a daemon's would be. "durable" in the line of JSON counts the records written.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

#define FILE_BYTES (4u << 20) /* a segment of the spool at its largest */
#define SYNC_RECORDS_MAX 1024u

static int next_file(int directory, unsigned number)
{
        char name[32];
        (void)snprintf(name, sizeof(name), "disk%u", number);
        int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                load_die(name);
        errno = posix_fallocate(fd, 0, FILE_BYTES);
        if (errno != 0)
                load_die(name);
        if (fsync(directory) != 0)
                load_die("fsync");
        return fd;
}

int main(int argc, char **argv)
{
        if (argc != 5) {
                (void)fprintf(stderr, "usage: disk DIRECTORY RECORDS RECORD_BYTES RECORDS_A_SYNC\n");
                return 2;
        }
        uint64_t wanted = load_number(argv[2], UINT32_MAX);
        size_t record_len = load_number(argv[3], TM_RECORD_MAX);
        uint64_t at_once = load_number(argv[4], SYNC_RECORDS_MAX);
        if (record_len * at_once > FILE_BYTES) {
                errno = EFBIG;
                load_die("RECORD_BYTES x RECORDS_A_SYNC");
        }
        uint8_t *bytes = malloc(record_len * at_once);
        if (bytes == NULL)
                load_die("malloc");
        memset(bytes, 'x', record_len * at_once);
        int directory = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0)
                load_die(argv[1]);

        struct load_tally tally = {0};
        int fd = -1;
        unsigned files = 0;
        size_t offset = FILE_BYTES;
        double start_s = load_now_s();
        while (tally.durable < wanted) {
                uint64_t n = wanted - tally.durable < at_once ? wanted - tally.durable : at_once;
                size_t len = record_len * (size_t)n;
                if (offset + len > FILE_BYTES) {
                        if (fd >= 0)
                                (void)close(fd);
                        fd = next_file(directory, files++);
                        offset = 0;
                }
                if (pwrite(fd, bytes, len, (off_t)offset) != (ssize_t)len || fdatasync(fd) != 0)
                        load_die("writing");
                offset += len;
                tally.durable += n;
        }
        load_report(tally.durable, start_s, load_now_s(), &tally, "");
        (void)close(fd);
        (void)close(directory);
        free(bytes);
        return 0;
}
