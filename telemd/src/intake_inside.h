/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rooms of intake share. intake.c: listeners and the drain; reading.c: one connection's bytes -> whole records;
 * records.c: a whole record -> an entry of the batch; answers.c: the verdicts back. Who is connected is places' alone.
 */
#ifndef TELEMD_INTAKE_INSIDE_H
#define TELEMD_INTAKE_INSIDE_H

#include <sys/epoll.h>

#include "frame.h"
#include "intake.h"
#include "places.h"

#define INTAKE_LISTENERS_MAX 4u
#define INTAKE_SCRATCH_SIZE (64u << 10)
#define INTAKE_RANDOM_POOL 256u         /* so much getrandom() gives whole, whatever signal comes */

/* Room that must be left in the arena before a recv: all that a full scratch buffer can turn into (each record brings
 * the overhead of a frame), and one record that was being collected. */
#define INTAKE_RECORD_MIN WIRE5_HEADER_LEN      /* of one that wire5_peek() calls whole */
#define INTAKE_FRAMES_A_RECV (INTAKE_SCRATCH_SIZE / INTAKE_RECORD_MIN + 2u)
#define INTAKE_ARENA_MARGIN \
        (INTAKE_SCRATCH_SIZE + INTAKE_FRAMES_A_RECV * (FRAME_HEADER_LEN + FRAME_ALIGN) + 2u * TM_RECORD_MAX)
_Static_assert(BATCH_ENTRIES_MAX >= BATCH_RECORDS_MAX + INTAKE_FRAMES_A_RECV, "one recv fits behind a full batch");
_Static_assert(BATCH_ARENA_SIZE > 2u * INTAKE_ARENA_MARGIN, "a drain can take something");

struct listener {
        int fd;
        int format;
        bool paused;
};

struct intake {
        int epoll_fd;
        struct recent *recent;
        struct listener listeners[INTAKE_LISTENERS_MAX];
        uint32_t listener_count;
        int64_t paused_until_ms;        /* 0: no listener is paused */
        struct places places;
        struct intake_counts counts;    /* but connections, which places knows */
        struct epoll_event events[INTAKE_CONNECTIONS_A_DRAIN];
        uint32_t event_next, event_count;       /* those from event_next on still wait for their turn */
        uint32_t drain;                 /* number of the one that runs */
        struct wire_facts facts;
        uint8_t *facts_bytes;
        uint32_t random_left;
        uint8_t random[INTAKE_RANDOM_POOL];
        uint8_t attributes[TM_ATTRIBUTES_MAX];
        uint8_t scratch[INTAKE_SCRATCH_SIZE];
};

static inline bool batch_full(const struct batch *batch)
{
        return batch->entry_count >= BATCH_RECORDS_MAX || batch->used + INTAKE_ARENA_MARGIN > BATCH_ARENA_SIZE;
}

/* ---- records.c ---- */

/* One whole record of either format becomes an entry. */
void record_take(struct intake *intake, struct batch *batch, uint32_t slot, const uint8_t *bytes, uint32_t len);

/* The record that begins with these bytes. Its sender is told the id, where so much of it has come. */
void record_refuse(struct intake *intake, struct batch *batch, uint32_t slot, enum tm_reason reason, const uint8_t *bytes,
                   uint32_t len);

/* The same for the one that the connection has begun. */
void unfinished_refuse(struct intake *intake, struct batch *batch, uint32_t slot, enum tm_reason reason);

/* ---- reading.c ---- */

/* Take what has come, as much as this drain may; the connection may be gone then. */
void connection_read(struct intake *intake, struct batch *batch, uint32_t slot, int64_t now_ms);

/* Nothing more is read: close it, after the answers if there are any. */
void connection_end(struct intake *intake, uint32_t slot, int64_t now_ms);

#endif
