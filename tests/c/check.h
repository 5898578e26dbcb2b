/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: assertions for one test program. A failure is printed and counted; main() ends with `return check_end();`, so that
 * one run shows all that is wrong.
 */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned check_count, check_failures;
static const char *check_about = ""; /* what is being looked at; printed with a failure */

static inline bool check_that(bool good, const char *text, const char *file, int line)
{
        check_count++;
        if (!good) {
                check_failures++;
                fprintf(stderr, "%s:%d: %s%s%s\n", file, line, check_about, *check_about ? ": " : "", text);
        }
        return good;
}

#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)

#define CHECK_EQ(got, wanted) check_equal((long long)(got), (long long)(wanted), #got " is " #wanted, __FILE__, __LINE__)

static inline bool check_equal(long long got, long long wanted, const char *text, const char *file, int line)
{
        bool good = check_that(got == wanted, text, file, line);

        if (!good)
                fprintf(stderr, "        got %lld, wanted %lld\n", got, wanted);
        return good;
}

#define CHECK_TEXT(got, len, wanted) \
        check_text((const char *)(got), (len), (wanted), #got " is " #wanted, __FILE__, __LINE__)

static inline bool check_text(const char *got, size_t len, const char *wanted, const char *text, const char *file, int line)
{
        bool good = check_that(len == strlen(wanted) && memcmp(got, wanted, len) == 0, text, file, line);

        if (!good)
                fprintf(stderr, "        got \"%.*s\", wanted \"%s\"\n", (int)len, got, wanted);
        return good;
}

/* For what a test can't go on without. */
#define NEED(condition)                                                                      \
        do {                                                                                 \
                if (!(condition)) {                                                          \
                        fprintf(stderr, "%s:%d: needs %s\n", __FILE__, __LINE__, #condition); \
                        exit(2);                                                             \
                }                                                                            \
        } while (0)

static inline int check_end(void)
{
        fprintf(stderr, "%u checks, %u failed\n", check_count, check_failures);
        return check_failures > 0 || check_count == 0;
}

#endif
