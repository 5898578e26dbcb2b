/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the generated extension is compiled with: the headers of the C core, and for each thing Python asks often one
 * function that answers it in one call, since a call from Python costs more than what most of them do. No layout and no
 * rule of its own may come in here: those are wire.c's and record.c's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "ndjson.h"
#include "record.h"
#include "telemetry.h"
#include "wire.h"

#define BINDING_CLASSIFICATION (-EINVAL)
#define BINDING_PAYLOAD_TOO_LARGE (-EMSGSIZE)

struct binding_decoded {
        uint8_t ids[2 * TM_ID_SIZE];
        int64_t fields[11];
};

/* A whole record; event_id is 32 hex characters or NULL. NULL and *error where a part is refused: BINDING_CLASSIFICATION,
 * BINDING_PAYLOAD_TOO_LARGE, or -ENOMEM. */
static struct telem_ref *binding_record(const uint8_t *classification, size_t classification_len, uint32_t severity,
                                        uint32_t payload_version, uint8_t payload_kind, const uint8_t *payload,
                                        size_t payload_len, const uint8_t *event_id, int *error)
{
        struct telem_ref *record = NULL;
        char text[TM_CLASSIFICATION_MAX + 1];

        if (classification_len > TM_CLASSIFICATION_MAX || memchr(classification, 0, classification_len) != NULL) {
                *error = BINDING_CLASSIFICATION;
                return NULL;
        }
        memcpy(text, classification, classification_len);
        text[classification_len] = '\0';

        *error = tm_create_record(&record, severity, text, payload_version);
        if (*error != 0)
                return NULL;
        *error = tm_set_payload_bytes(record, payload_kind, payload, payload_len);
        if (*error == 0 && event_id != NULL) {
                char id[2 * TM_ID_SIZE + 1];

                memcpy(id, event_id, 2 * TM_ID_SIZE);
                id[2 * TM_ID_SIZE] = '\0';
                *error = tm_set_event_id(record, id);
        }
        if (*error != 0) {
                tm_free_record(record);
                return NULL;
        }
        return record;
}

/* As it would be sent. The number of bytes, or 0 where it doesn't fit into size. */
static size_t binding_encode(const struct telem_ref *record, uint8_t *out, size_t size)
{
        const struct wire_record view = record_view(record);

        return wire5_encode(&view, out, size);
}

/* An enum tm_reason. Slices are given as start and end within bytes. */
static int binding_decode(const uint8_t *bytes, size_t len, struct binding_decoded *decoded)
{
        struct wire_record record;
        enum tm_reason reason = wire5_decode(bytes, len, &record);

        if (reason != TM_REASON_NONE)
                return (int)reason;

        const struct wire_slice slices[] = { record.classification, record.attributes, record.payload };

        memcpy(decoded->ids, record.record_id, TM_ID_SIZE);
        memcpy(decoded->ids + TM_ID_SIZE, record.event_id, TM_ID_SIZE);
        decoded->fields[0] = record.created_us;
        decoded->fields[1] = record.payload_version;
        decoded->fields[2] = record.severity;
        decoded->fields[3] = record.payload_kind;
        decoded->fields[4] = record.flags;
        for (size_t i = 0; i < 3; i++) {
                int64_t start = slices[i].len == 0 ? 0 : (int64_t)(slices[i].data - bytes);

                decoded->fields[5 + 2 * i] = start;
                decoded->fields[6 + 2 * i] = start + slices[i].len;
        }
        return TM_REASON_NONE;
}

/* (key, start, end) of each attribute into found, which has room for so many numbers. How many attributes; -1 where they
 * are malformed or don't fit. */
static int binding_attributes(const uint8_t *attributes, size_t len, uint32_t *found, size_t room)
{
        const struct wire_slice all = { .data = attributes, .len = (uint32_t)len };
        struct wire_slice value;
        uint16_t key;
        size_t offset = 0;
        size_t n = 0;
        int more;

        if (len > TM_ATTRIBUTES_MAX)
                return -1;
        while ((more = wire_attribute_next(all, &offset, &key, &value)) == 1) {
                if (3 * (n + 1) > room)
                        return -1;

                uint32_t start = value.len == 0 ? 0 : (uint32_t)(value.data - attributes);

                found[3 * n] = key;
                found[3 * n + 1] = start;
                found[3 * n + 2] = start + value.len;
                n++;
        }
        return more == 0 ? (int)n : -1;
}

/* Where whole records end, at most room of them. Less than room and *reason TM_REASON_NONE: that is all; a broken or an
 * unfinished record sets *reason. */
static size_t binding_split(const uint8_t *bytes, size_t len, uint64_t *ends, size_t room, int *reason)
{
        size_t at = 0;
        size_t n = 0;

        *reason = TM_REASON_NONE;
        while (at < len && n < room) {
                enum tm_reason why = TM_REASON_NONE;
                uint32_t total = 0;
                enum wire_peek peek = wire5_peek(bytes + at, len - at, &total, &why);

                if (peek != WIRE_WHOLE) {
                        *reason = (int)(peek == WIRE_BROKEN ? why : TM_REASON_MALFORMED);
                        return n;
                }
                at += total;
                ends[n++] = at;
        }
        return n;
}

static size_t binding_ndjson(const uint8_t *bytes, size_t len, char *out, size_t size, size_t *count, int *reason)
{
        enum tm_reason why = TM_REASON_NONE;
        size_t needed = wire5_batch_to_ndjson(bytes, len, out, size, count, &why);

        *reason = (int)why;
        return needed;
}
