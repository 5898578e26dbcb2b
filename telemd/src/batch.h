/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch: the records that one drain took in, laid out in memory as the frames they will be on disk, and the share of
 * them that goes to one lane. Intake fills it, admission decides on its runs, the spool stamps and writes shares, intake answers.
 */
#ifndef TELEMD_BATCH_H
#define TELEMD_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "telemetry.h"
#include "wire.h"

#define BATCH_RECORDS_MAX 1024u         /* a drain takes nothing more once it has so many */
#define BATCH_ENTRIES_MAX 2048u         /* … but finishes what one recv brought */
#define BATCH_ARENA_SIZE (2u << 20)
#define BATCH_NO_RUN UINT32_MAX
#define BATCH_NOBODY UINT32_MAX         /* the connection of a record that nobody waits for the answer of */

/* One record, in the order in which it must be answered. */
struct batch_entry {
        uint32_t offset;                /* of its frame in the arena */
        uint32_t record_len;            /* 0 where there is no frame: refused by the codec, or a duplicate */
        uint32_t run;                   /* BATCH_NO_RUN for the same */
        uint32_t pid;
        uint32_t connection;            /* slot, and its serial to know the slot was not given to another; or BATCH_NOBODY */
        uint32_t serial;
        uint8_t verdict;                /* enum tm_verdict */
        uint8_t reserved;
        uint16_t reason;                /* enum tm_reason */
        uint8_t record_id[TM_ID_SIZE];
        int64_t not_before_us;          /* admission's answer for this one: not to be sent earlier; 0: at once */
        int64_t admitted_us;            /* where its age counts from an earlier time than the stamp's; 0 elsewhere */
};

/* Neighbours of one class, kind and user: admission decides once for all of them. */
struct batch_run {
        uint32_t first;                 /* the first entry; others of the run may have refused ones between them */
        uint32_t count;                 /* records */
        uint32_t bytes;                 /* of their records */
        uint32_t uid;
        uint8_t payload_kind;
        uint8_t class_len;
        uint8_t lane;                   /* admission's answer: where to, */
        uint8_t first_of_kind;          /* the run's first frame that is written carries FRAME_FIRST */
        uint16_t reason;                /* or why not */
        uint16_t reserved2;
        const char *classification;     /* class_len bytes, no NUL */
};

struct batch {
        uint8_t *arena;
        uint32_t used;                  /* bytes of the arena */
        uint32_t entry_count;
        uint32_t run_count;
        struct batch_entry entries[BATCH_ENTRIES_MAX];
        struct batch_run runs[BATCH_ENTRIES_MAX];
};

/* What goes to one segment in one write. */
struct batch_share {
        uint32_t frames;
        uint32_t bytes;
        uint32_t entry_from;            /* the entries looked at: [from, to) */
        uint32_t entry_to;
        int64_t oldest_us;              /* the earliest of their times of admission; 0 where there is none */
        uint32_t chunk_count;
        struct iovec chunks[BATCH_ENTRIES_MAX];
};

struct batch *batch_new(void);
struct batch *batch_free(struct batch *batch);

/* Forget the records. */
void batch_clear(struct batch *batch);

/* Give the arena's pages back to the kernel; only when the batch is clear. */
void batch_trim(struct batch *batch);

/* One good record's entry becomes part of the last run, or begins the next. classification lies where the batch's do. */
void batch_join(struct batch *batch, struct batch_entry *entry, const struct wire_record *record, uint32_t uid,
                const char *classification);

/* Put in what may be one whole record of format 5 and came over no connection; the codec judges it as any other.
 * admitted_us: see struct batch_entry. False where the batch has no room for it. */
bool batch_add(struct batch *batch, const uint8_t *bytes, size_t len, uint32_t uid, int64_t admitted_us);

/* The same for a file of telemetrics-client's spool; record_id is the one it gets, and its event id where it has none. */
bool batch_add_spooled(struct batch *batch, const uint8_t *bytes, size_t len, const struct wire_facts *host,
                       const uint8_t record_id[TM_ID_SIZE], uint32_t uid, int64_t admitted_us);

/* Stamp the entries of a lane from entry_from on, in order, as long as their frames fit into room bytes. seq is that of
 * the first. The share's chunks point into the arena. */
void batch_stamp(struct batch *batch, uint8_t lane, uint32_t entry_from, uint64_t seq, int64_t admitted_us,
                 uint64_t generation, uint64_t room, struct batch_share *share);

/* Write the share at offset of fd, without a sync: 0, or -errno. */
int batch_write(const struct batch_share *share, int fd, uint64_t offset);

/* The share is durable (reason 0), or lost for this reason. */
void batch_settle(struct batch *batch, uint8_t lane, const struct batch_share *share, uint16_t reason);

#endif
