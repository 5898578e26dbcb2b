/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vectors: read tests/vectors/NAME.txt, a line `name verdict hex [hex [hex]]` each, `-` for nothing. The working directory is the
 * project's.
 */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

struct bytes {
        uint8_t *data; /* exactly len long, so that a read past its end is seen */
        size_t len;
};

struct vector {
        char *name;
        char *verdict;
        struct bytes columns[3];
};

struct vectors {
        FILE *file;
        char *line;
        size_t size;
        struct vector now;
};

static inline struct bytes bytes_of_hex(const char *hex)
{
        struct bytes bytes = {.len = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2};

        bytes.data = malloc(bytes.len + (bytes.len == 0));
        NEED(bytes.data);
        for (size_t i = 0; i < bytes.len; i++) {
                char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
                bytes.data[i] = (uint8_t)strtoul(pair, NULL, 16);
        }
        return bytes;
}

static inline struct vectors vectors_open(const char *path)
{
        struct vectors vectors = {.file = fopen(path, "re")};

        NEED(vectors.file);
        return vectors;
}

/* False at the end, and then everything is freed. */
static inline bool vectors_next(struct vectors *vectors)
{
        for (size_t i = 0; i < 3; i++) {
                free(vectors->now.columns[i].data);
                vectors->now.columns[i].data = NULL;
        }
        ssize_t len = getline(&vectors->line, &vectors->size, vectors->file);
        if (len <= 0) {
                fclose(vectors->file);
                free(vectors->line);
                check_about = "";
                return false;
        }
        char *rest = NULL;
        vectors->now.name = strtok_r(vectors->line, " \n", &rest);
        vectors->now.verdict = strtok_r(NULL, " \n", &rest);
        for (size_t i = 0; i < 3; i++) {
                char *hex = strtok_r(NULL, " \n", &rest);
                NEED(hex);
                vectors->now.columns[i] = bytes_of_hex(hex);
        }
        check_about = vectors->now.name;
        return true;
}

#endif
