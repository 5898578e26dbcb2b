/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch_folder: a folder of the test's own, removed at its end.
 */
#ifndef TESTS_SCRATCH_FOLDER_H
#define TESTS_SCRATCH_FOLDER_H

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static char scratch_folder[64]; /* short: Unix sockets go in here */

static inline void scratch_folder_make(void)
{
        snprintf(scratch_folder, sizeof scratch_folder, "/tmp/telemetry-test-XXXXXX");
        NEED(mkdtemp(scratch_folder));
}

static inline int scratch_folder_remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
        (void)status, (void)flag, (void)walk;
        return remove(path);
}

static inline void scratch_folder_remove(void)
{
        nftw(scratch_folder, scratch_folder_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The path of a file or folder in it; the result holds until the next call. */
static inline const char *in_scratch(const char *name)
{
        static char path[PATH_MAX];

        NEED(snprintf(path, sizeof path, "%s/%s", scratch_folder, name) < (int)sizeof path);
        return path;
}

/* Write a file, with the folders above it. */
static inline void scratch_write(const char *name, const void *content, size_t len)
{
        char path[PATH_MAX];

        snprintf(path, sizeof path, "%s", in_scratch(name));
        for (char *slash = path + strlen(scratch_folder) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
                *slash = 0;
                NEED(mkdir(path, 0755) == 0 || errno == EEXIST);
                *slash = '/';
        }
        FILE *file = fopen(path, "we");
        NEED(file && fwrite(content, 1, len, file) == len && fclose(file) == 0);
}

static inline void scratch_write_text(const char *name, const char *text)
{
        scratch_write(name, text, strlen(text));
}

#endif
