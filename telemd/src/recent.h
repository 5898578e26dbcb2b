/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recent: what telemd remembers of the records it took last: their ids, to know a RESEND again, and the few facts of
 * each that the journal of records shows. Memory only; the hub is the authority on duplicates.
 */
#ifndef TELEMD_RECENT_H
#define TELEMD_RECENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "telemetry.h"

#define RECENT_IDS 65536u
#define RECENT_MARKS 128u

/* One line of the journal. */
struct recent_mark {
        uint8_t record_id[TM_ID_SIZE];
        uint8_t event_id[TM_ID_SIZE];
        int64_t created_us;
        uint8_t class_len;
        char classification[TM_CLASSIFICATION_MAX];
};

struct recent;

struct recent *recent_new(void);
struct recent *recent_free(struct recent *recent);

bool recent_has(const struct recent *recent, const uint8_t id[TM_ID_SIZE]);
void recent_add(struct recent *recent, const uint8_t id[TM_ID_SIZE]);

/* marks[serial % RECENT_MARKS] is mark number serial; *total counts all that were ever added. */
void recent_mark(struct recent *recent, const struct recent_mark *mark);
const struct recent_mark *recent_marks(const struct recent *recent, uint64_t *total);

#endif
