/* SPDX-License-Identifier: Apache-2.0 */
/* A whole record of either format -> an entry of the batch; what is wrong with its form -> a refusal. */
#include <string.h>
#include <sys/random.h>

#include "intake_inside.h"

static struct batch_entry *entry_add(struct intake *intake, struct batch *batch, uint32_t slot)
{
        struct connection *c = &intake->places.all[slot];
        struct batch_entry *entry = &batch->entries[batch->entry_count++];

        *entry = (struct batch_entry){
                .run = BATCH_NO_RUN,
                .pid = c->pid,
                .connection = slot,
                .serial = c->serial,
                .verdict = TM_REFUSED,
        };
        c->unanswered++;
        return entry;
}

void record_refuse(struct intake *intake, struct batch *batch, uint32_t slot, enum tm_reason reason, const uint8_t *bytes,
                   uint32_t len)
{
        struct batch_entry *entry = entry_add(intake, batch, slot);
        struct wire_record record = { 0 };

        entry->reason = (uint16_t)reason;
        if (intake->places.all[slot].format == 5) {
                (void)wire5_decode(bytes, len, &record); /* it is refused in any case */
                memcpy(entry->record_id, record.record_id, TM_ID_SIZE);
        }
}

void unfinished_refuse(struct intake *intake, struct batch *batch, uint32_t slot, enum tm_reason reason)
{
        const struct connection *c = &intake->places.all[slot];

        record_refuse(intake, batch, slot, reason, c->buffer, c->have);
}

static bool random_bytes(struct intake *intake, uint8_t *out, uint32_t len)
{
        if (intake->random_left < len) {
                if (getrandom(intake->random, INTAKE_RANDOM_POOL, 0) != (ssize_t)INTAKE_RANDOM_POOL)
                        return false;
                intake->random_left = INTAKE_RANDOM_POOL;
        }
        intake->random_left -= len;
        memcpy(out, intake->random + intake->random_left, len);
        return true;
}

/* A record of format 4 has no id, and sometimes no event id. */
static bool ids_fill(struct intake *intake, struct wire_record *record)
{
        static const uint8_t no_id[TM_ID_SIZE];

        if (!random_bytes(intake, record->record_id + 6, TM_ID_SIZE - 6))
                return false;
        record->record_id[6] = (uint8_t)((record->record_id[6] & 0x0f) | 0x70);
        record->record_id[8] = (uint8_t)((record->record_id[8] & 0x3f) | 0x80);
        return memcmp(record->event_id, no_id, TM_ID_SIZE) != 0 || random_bytes(intake, record->event_id, TM_ID_SIZE);
}

/* The record lies at out, where its frame will be. */
static void entry_join(struct intake *intake, struct batch *batch, uint32_t slot, struct batch_entry *entry, uint32_t len,
                       const struct wire_record *record, const uint8_t *classification)
{
        entry->reason = TM_REASON_IO; /* until the spool has it */
        entry->record_len = len;
        entry->offset = batch->used;
        batch->used += frame_length(len);
        batch_join(batch, entry, record, place_uid(&intake->places, slot), (const char *)classification);
}

static void record5_take(struct intake *intake, struct batch *batch, uint32_t slot, const uint8_t *bytes, uint32_t len)
{
        struct connection *c = &intake->places.all[slot];
        struct batch_entry *entry = entry_add(intake, batch, slot);
        uint8_t *out = batch->arena + batch->used + FRAME_HEADER_LEN;
        struct wire_record record = { 0 };
        enum tm_reason reason = wire5_decode(bytes, len, &record);

        memcpy(entry->record_id, record.record_id, TM_ID_SIZE);
        c->closing = c->closing || (record.flags & WIRE5_FLAG_LAST);
        if (reason != TM_REASON_NONE) {
                entry->reason = (uint16_t)reason;
                return;
        }
        if ((record.flags & WIRE5_FLAG_RESEND) && recent_has(intake->recent, record.record_id)) {
                entry->verdict = TM_DUPLICATE;
                return;
        }
        memcpy(out, bytes, len);
        entry_join(intake, batch, slot, entry, len, &record, out + (record.classification.data - bytes));
}

/* Written anew as format 5. */
static void record4_take(struct intake *intake, struct batch *batch, uint32_t slot, const uint8_t *bytes, uint32_t len)
{
        struct batch_entry *entry = entry_add(intake, batch, slot);
        uint8_t *out = batch->arena + batch->used + FRAME_HEADER_LEN;
        struct wire_record record = { 0 };
        enum tm_reason reason = wire4_decode(bytes, len, &intake->facts, intake->attributes, &record);
        uint32_t written = 0;

        if (reason == TM_REASON_NONE && !ids_fill(intake, &record))
                reason = TM_REASON_IO;
        if (reason == TM_REASON_NONE) {
                memcpy(entry->record_id, record.record_id, TM_ID_SIZE);
                written = (uint32_t)wire5_encode(&record, out, TM_RECORD_MAX);
                /* what we wrote is read as any other's, and its slices lie in the arena then */
                reason = written == 0 ? TM_REASON_TOO_LARGE : wire5_decode(out, written, &record);
        }
        if (reason == TM_REASON_NONE)
                entry_join(intake, batch, slot, entry, written, &record, record.classification.data);
        else
                entry->reason = (uint16_t)reason;
}

void record_take(struct intake *intake, struct batch *batch, uint32_t slot, const uint8_t *bytes, uint32_t len)
{
        (intake->places.all[slot].format == 5 ? record5_take : record4_take)(intake, batch, slot, bytes, len);
}
