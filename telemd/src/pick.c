/* SPDX-License-Identifier: Apache-2.0 */
#include "pick.h"

#include <stdbool.h>
#include <string.h>

#include "telemetry.h"

static enum tm_reason decode(const uint8_t *bytes, const struct frame_span *span, struct wire_record *record)
{
        return wire5_decode(bytes + span->offset + FRAME_HEADER_LEN, span->record_len, record);
}

void pick_ids(const uint8_t *bytes, const struct frame_span *spans, size_t n, uint8_t *ids)
{
        for (size_t i = 0; i < n; i++) {
                struct wire_record record = { 0 };

                (void)decode(bytes, &spans[i], &record); /* fills the id, whatever it says */
                memcpy(ids + i * TM_ID_SIZE, record.record_id, TM_ID_SIZE);
        }
}

size_t pick_class(const uint8_t *bytes, const struct frame_span *spans, size_t n, const char *pattern, size_t len,
                  uint8_t *chosen)
{
        bool open = len > 0 && pattern[len - 1] == '*';
        size_t fixed = open ? len - 1 : len, count = 0;

        for (size_t i = 0; i < n; i++) {
                struct wire_record record;

                chosen[i] = decode(bytes, &spans[i], &record) == TM_REASON_NONE &&
                            (open ? record.classification.len >= fixed : record.classification.len == fixed) &&
                            memcmp(record.classification.data, pattern, fixed) == 0;
                count += chosen[i];
        }
        return count;
}

/* The configuration file that the record of a span names; data is NULL where it names none. */
static struct wire_slice named(const uint8_t *bytes, const struct frame_span *span)
{
        struct wire_record record;
        struct wire_slice path;
        size_t offset = 0;
        uint16_t key;

        if (decode(bytes, span, &record) == TM_REASON_NONE)
                while (wire_attribute_next(record.attributes, &offset, &key, &path) > 0)
                        if (key == TM_ATTR_CONFIG_PATH)
                                return path;
        return (struct wire_slice){ 0 };
}

size_t pick_named(const uint8_t *bytes, const struct frame_span *spans, size_t n, struct wire_slice *path)
{
        size_t same = 1;

        for (*path = named(bytes, &spans[0]); same < n; same++) {
                struct wire_slice other = named(bytes, &spans[same]);

                if ((other.data == NULL) != (path->data == NULL) || other.len != path->len)
                        break;
                if (path->data && (spans[same].uid != spans[0].uid || memcmp(other.data, path->data, path->len) != 0))
                        break;
        }
        return same;
}

/* The batch's entry is refused; its reason. */
static bool refused(const struct batch *batch, const struct batch_entry *entry, uint16_t *reason)
{
        static const uint8_t no_id[TM_ID_SIZE];

        if (entry->verdict != TM_REFUSED || memcmp(entry->record_id, no_id, TM_ID_SIZE) == 0)
                return false;
        *reason = entry->reason;
        if (entry->run != BATCH_NO_RUN && batch->runs[entry->run].reason != TM_REASON_NONE)
                *reason = batch->runs[entry->run].reason;
        return true;
}

uint32_t pick_refused(const struct batch *batch, uint8_t *ids, uint8_t *reasons, uint32_t max)
{
        uint32_t from = batch->entry_count, left = max, count = 0;
        uint16_t reason;

        while (from > 0 && left > 0)
                left -= refused(batch, &batch->entries[--from], &reason);
        for (; from < batch->entry_count; from++) {
                const struct batch_entry *entry = &batch->entries[from];

                if (!refused(batch, entry, &reason))
                        continue;
                memcpy(ids + count * TM_ID_SIZE, entry->record_id, TM_ID_SIZE);
                reasons[count++] = (uint8_t)reason;
        }
        return count;
}
