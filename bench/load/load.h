/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: what every load generator needs: a clock, a connection, a record of the wanted size with a fresh id, and the count
 * of the answers. It measures nothing itself and knows no wire layout: that is libtelemetry/src/wire.h's.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#define LOAD_TIMEOUT_MS 30000 /* a daemon silent for this long ends the run */

/* A record that is sent again and again, each time under another id. */
struct load_record {
        struct wire_record fields;
        uint64_t random[2]; /* xorshift128+ state: ids have to differ, not to be secret */
        uint8_t payload[TM_PAYLOAD_MAX];
};

struct load_tally {
        uint64_t durable, duplicate, refused; /* answers by verdict */
        uint64_t foreign;                     /* answers that bear another id than the record's, or can't be read */
        uint64_t lost;                        /* connections that ended without an answer */
        uint64_t backlog_full;                /* connects that had to be tried again */
        uint16_t reason;                      /* of the last refusal */
};

double load_now_s(void); /* CLOCK_MONOTONIC: comparable between processes */

/* Prints a sentence with errno's text and leaves with 1. */
_Noreturn void load_die(const char *what);

/* The number in an argument, 1 .. max; else a sentence and exit code 2. */
uint64_t load_number(const char *text, uint64_t max);

/* As many descriptors as the hard limit gives. */
void load_raise_descriptor_limit(void);

/* A new socket connected to path, or -1 with errno: EAGAIN where a non-blocking one meets a full backlog. */
int load_connect(const char *path, bool nonblocking);

void load_record_init(struct load_record *record, size_t payload_len);

/* The next record in format 5, its id in id; the number of bytes. */
size_t load_record_next(struct load_record *record, uint8_t flags, uint8_t *out, size_t size, uint8_t id[TM_ID_SIZE]);

/* The same in format 4, which has no id. */
size_t load_record_format4(const struct load_record *record, uint8_t *out, size_t size);

/* Count one answer; expected_id may be NULL. */
void load_tally_answer(struct load_tally *tally, const uint8_t bytes[WIRE_ANSWER_LEN], const uint8_t *expected_id);

/* One line of JSON on standard output; more is appended as it is ("" or ", \"name\": value"). */
void load_report(uint64_t records, double start_s, double end_s, const struct load_tally *tally, const char *more);

#endif
