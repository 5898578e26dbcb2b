/* SPDX-License-Identifier: Apache-2.0 */
/* The batch's verdicts -> counted, remembered, and sent to whoever waits for them. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "intake_inside.h"

#define ANSWERS_A_SEND 64u

/* ---- counted and remembered ---- */

static void mark(struct intake *intake, const struct batch *batch, const struct batch_entry *entry)
{
        const struct batch_run *run = &batch->runs[entry->run];
        struct wire_record record;

        if (wire5_decode(batch->arena + entry->offset + FRAME_HEADER_LEN, entry->record_len, &record) != TM_REASON_NONE)
                return;
        struct recent_mark made = { .created_us = record.created_us, .class_len = run->class_len };
        memcpy(made.record_id, entry->record_id, TM_ID_SIZE);
        memcpy(made.event_id, record.event_id, TM_ID_SIZE);
        memcpy(made.classification, run->classification, run->class_len);
        recent_mark(intake->recent, &made);
}

/* The first of the batch's last RECENT_MARKS durable records: marks of those before it would be pushed out at once. */
static const struct batch_entry *first_marked(const struct batch *batch)
{
        const struct batch_entry *entry = batch->entries + batch->entry_count;

        for (uint32_t marks = 0; entry > batch->entries && marks < RECENT_MARKS;)
                marks += (--entry)->verdict == TM_DURABLE;
        return entry;
}

static void entry_count(struct intake *intake, const struct batch *batch, struct batch_entry *entry)
{
        if (entry->verdict == TM_DURABLE) {
                intake->counts.durable++;
                recent_add(intake->recent, entry->record_id);
        } else if (entry->verdict == TM_DUPLICATE) {
                intake->counts.duplicate++;
        } else {
                if (entry->run != BATCH_NO_RUN && batch->runs[entry->run].reason != TM_REASON_NONE)
                        entry->reason = batch->runs[entry->run].reason;
                if (entry->connection == BATCH_NOBODY &&
                    (entry->reason == TM_REASON_NO_SPACE || entry->reason == TM_REASON_IO))
                        return; /* it is kept where it came from, and is received when it comes again */
                intake->counts.refused[entry->reason < TM_REASON_COUNT ? entry->reason : TM_REASON_IO]++;
        }
}

/* ---- sent ---- */

static bool is_heard(const struct intake *intake, const struct batch_entry *entry)
{
        if (entry->connection == BATCH_NOBODY)
                return false;
        const struct connection *c = &intake->places.all[entry->connection];
        return c->fd >= 0 && c->serial == entry->serial && c->format == 5;
}

static void connection_answer(struct intake *intake, uint32_t slot, const uint8_t *answers, uint32_t count)
{
        struct connection *c = &intake->places.all[slot];
        size_t len = (size_t)count * WIRE_ANSWER_LEN;
        ssize_t n;

        do
                n = send(c->fd, answers, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        c->unanswered -= count;
        /* a sender that doesn't read its answers is let go */
        if (n != (ssize_t)len || (c->closing && c->unanswered == 0))
                place_leave(&intake->places, slot);
}

/* Entries of one connection mostly stand together: neighbours are answered with one send. */
void intake_answer(struct intake *intake, struct batch *batch)
{
        const struct batch_entry *marked = first_marked(batch), *end = batch->entries + batch->entry_count;
        uint8_t answers[ANSWERS_A_SEND * WIRE_ANSWER_LEN];
        uint32_t count = 0;

        for (struct batch_entry *entry = batch->entries; entry < end; entry++) {
                const struct batch_entry *next = entry + 1;

                entry_count(intake, batch, entry);
                if (entry >= marked && entry->verdict == TM_DURABLE)
                        mark(intake, batch, entry);
                if (!is_heard(intake, entry))
                        continue;
                struct tm_ack ack = { .verdict = entry->verdict, .reason = entry->reason };
                memcpy(ack.record_id, entry->record_id, TM_ID_SIZE);
                wire_answer_encode(&ack, answers + count++ * WIRE_ANSWER_LEN);
                if (count < ANSWERS_A_SEND && next < end && next->connection == entry->connection && next->serial == entry->serial)
                        continue;
                connection_answer(intake, entry->connection, answers, count);
                count = 0;
        }
        batch_clear(batch);
}
