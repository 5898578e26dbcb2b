/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake: connections of senders -> a batch of records, and the answers back (docs/protocol.md, sections 2 and 3). It
 * owns every descriptor of a sender and bounds what they may take: connections, bytes of unfinished records, time. It
 * decides nothing about a record beyond what the codec says of its form.
 */
#ifndef TELEMD_INTAKE_H
#define TELEMD_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "batch.h"
#include "recent.h"
#include "wire.h"

#define INTAKE_CONNECTIONS_A_DRAIN 256
#define INTAKE_UNFINISHED_MS 2000       /* how long a record that has begun may take */

struct intake;

struct intake_counts {
        uint64_t durable;
        uint64_t duplicate;
        uint64_t refused[TM_REASON_COUNT];
        uint32_t connections;           /* open now */
        uint64_t closed_for_room;       /* idle or slow ones, closed when all places were taken */
};

/* NULL with errno. recent stays the caller's. */
struct intake *intake_new(uint32_t connections_max, struct recent *recent);
struct intake *intake_free(struct intake *intake);

/* Becomes readable when there is something to drain. */
int intake_fd(const struct intake *intake);

/* Accept on this listening socket, which stays the caller's; format is 4 or 5. 0 or -errno. */
int intake_listen(struct intake *intake, int fd, int format);

/* Facts of this host; records of format 4 keep only what differs. Slices are copied. */
int intake_set_facts(struct intake *intake, const struct wire_facts *facts);

/* Take what has come into the batch, which must be clear. The number of entries. */
uint32_t intake_drain(struct intake *intake, struct batch *batch, int64_t now_ms);

/* Milliseconds until intake_drain() must be called even if nothing comes; -1 for never. */
int intake_timeout_ms(const struct intake *intake, int64_t now_ms);

/* Send every entry's verdict, remember what became durable, clear the batch. */
void intake_answer(struct intake *intake, struct batch *batch);

void intake_count(const struct intake *intake, struct intake_counts *counts);

#endif
