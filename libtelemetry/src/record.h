/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: one record under construction. Owns its bytes and checks each as it is set, so that what record_view() gives
 * can always be encoded. No I/O; the clock and random bytes are arguments of record_new(), the functions of telemetry.h
 * are thin ones on top that fetch them.
 */
#ifndef TELEMETRY_RECORD_H
#define TELEMETRY_RECORD_H

#include "wire.h"

#define RECORD_RANDOM_LEN (2 * TM_ID_SIZE) /* for the record id and the event id */

/* As tm_create_record(); created_us below 0 (a clock before 1970) counts as 0. */
int record_new(struct telem_ref **ref, uint32_t severity, const char *classification, uint32_t payload_version,
               int64_t created_us, const uint8_t random[RECORD_RANDOM_LEN]);

/* The slices point into the record and hold until it is changed or freed. flags: RESEND where it was sent before. */
struct wire_record record_view(const struct telem_ref *ref);

/* Some of its bytes have left this process: from now on this id goes out as RESEND. */
void record_mark_sent(struct telem_ref *ref);

#endif
