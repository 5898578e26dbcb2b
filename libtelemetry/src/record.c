/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: build and validate one record. See record.h.
 */
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define SEVERITY_MAX 4u
#define EVENT_ID_HEX (2 * TM_ID_SIZE)

struct telem_ref {
        uint8_t record_id[TM_ID_SIZE];
        uint8_t event_id[TM_ID_SIZE];
        int64_t created_us;
        uint32_t payload_version;
        uint32_t payload_len;
        uint32_t attributes_len;
        uint8_t severity;
        uint8_t payload_kind;
        uint8_t classification_len;
        bool sent;
        uint8_t classification[TM_CLASSIFICATION_MAX];
        uint8_t *attributes; /* NULL or TM_ATTRIBUTES_MAX bytes */
        uint8_t *payload;
};

/* ---- pure --------------------------------------------------------------------------------------------------- */

/* UUIDv7 with no time in it (docs/protocol.md, section 1.2). */
static void shape_record_id(uint8_t id[TM_ID_SIZE])
{
        memset(id, 0, 6);
        id[6] = (uint8_t)(0x70 | (id[6] & 0x0f));
        id[8] = (uint8_t)(0x80 | (id[8] & 0x3f));
}

int record_new(struct telem_ref **ref, uint32_t severity, const char *classification, uint32_t payload_version,
               int64_t created_us, const uint8_t random[RECORD_RANDOM_LEN])
{
        struct telem_ref *record;
        size_t len;

        *ref = NULL;
        if (!classification)
                return -EINVAL;
        len = strnlen(classification, TM_CLASSIFICATION_MAX + 1);
        if (!wire_classification_valid((const uint8_t *)classification, len))
                return -EINVAL;
        record = calloc(1, sizeof *record);
        if (!record)
                return -ENOMEM;

        memcpy(record->record_id, random, TM_ID_SIZE);
        shape_record_id(record->record_id);
        memcpy(record->event_id, random + TM_ID_SIZE, TM_ID_SIZE);
        record->created_us = created_us < 0 ? 0 : created_us;
        record->payload_version = payload_version;
        record->severity = (uint8_t)(severity < 1 ? 1 : severity > SEVERITY_MAX ? SEVERITY_MAX : severity);
        record->payload_kind = TM_PAYLOAD_TEXT;
        record->classification_len = (uint8_t)len;
        memcpy(record->classification, classification, len);
        *ref = record;
        return 0;
}

struct wire_record record_view(const struct telem_ref *ref)
{
        struct wire_record view = {
                .created_us = ref->created_us,
                .payload_version = ref->payload_version,
                .severity = ref->severity,
                .payload_kind = ref->payload_kind,
                .flags = ref->sent ? WIRE5_FLAG_RESEND : 0,
                .classification = {.data = ref->classification, .len = ref->classification_len},
                .attributes = {.data = ref->attributes, .len = ref->attributes_len},
                .payload = {.data = ref->payload, .len = ref->payload_len},
        };

        memcpy(view.record_id, ref->record_id, TM_ID_SIZE);
        memcpy(view.event_id, ref->event_id, TM_ID_SIZE);
        return view;
}

void record_mark_sent(struct telem_ref *ref)
{
        ref->sent = true;
}

static bool is_text(uint8_t c)
{
        return (c >= 0x20 && c <= 0x7e) || (c >= '\t' && c <= '\r');
}

/* The old payload stays where there is no memory for the new one. */
static int replace_payload(struct telem_ref *ref, uint8_t kind, const void *bytes, size_t len)
{
        uint8_t *copy = NULL;

        if (len > 0) {
                copy = malloc(len);
                if (!copy)
                        return -ENOMEM;
                memcpy(copy, bytes, len);
        }
        free(ref->payload);
        ref->payload = copy;
        ref->payload_len = (uint32_t)len;
        ref->payload_kind = kind;
        return 0;
}

static int nibble(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The new length; the attributes after the one taken out move down. */
static uint32_t without_attribute(uint8_t *attributes, uint32_t len, uint16_t key)
{
        struct wire_slice all = {.data = attributes, .len = len}, value;
        size_t offset = 0, start = 0;
        uint16_t found;

        while (wire_attribute_next(all, &offset, &found, &value) > 0) {
                if (found == key) {
                        memmove(attributes + start, attributes + offset, len - offset);
                        return len - (uint32_t)(offset - start);
                }
                start = offset;
        }
        return len;
}

/* ---- telemetry.h -------------------------------------------------------------------------------------------- */

static int fill_random(uint8_t *bytes, size_t len)
{
        while (len > 0) {
                ssize_t n = getrandom(bytes, len, 0);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        bytes += n;
                        len -= (size_t)n;
                }
        }
        return 0;
}

int tm_create_record(struct telem_ref **t_ref, uint32_t severity, char *classification, uint32_t payload_version)
{
        uint8_t random[RECORD_RANDOM_LEN];
        struct timespec now;
        int r;

        if (!t_ref)
                return -EINVAL;
        *t_ref = NULL;
        r = fill_random(random, sizeof random);
        if (r < 0)
                return r;
        if (clock_gettime(CLOCK_REALTIME, &now) < 0)
                return -errno;
        return record_new(t_ref, severity, classification, payload_version,
                          (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, random);
}

int tm_set_payload(struct telem_ref *t_ref, char *payload)
{
        size_t len;

        if (!t_ref || !payload)
                return -EINVAL;
        len = strnlen(payload, TM_TEXT_PAYLOAD_MAX);
        for (size_t i = 0; i < len; i++)
                if (!is_text((uint8_t)payload[i]))
                        return -EINVAL;
        return replace_payload(t_ref, TM_PAYLOAD_TEXT, payload, len);
}

int tm_set_payload_bytes(struct telem_ref *t_ref, uint8_t payload_kind, const void *payload, size_t len)
{
        if (!t_ref || payload_kind > TM_PAYLOAD_JSON_ZSTD || (!payload && len > 0))
                return -EINVAL;
        if (len > TM_PAYLOAD_MAX)
                return -EMSGSIZE;
        return replace_payload(t_ref, payload_kind, payload, len);
}

int tm_set_event_id(struct telem_ref *t_ref, char *event_id)
{
        uint8_t id[TM_ID_SIZE];

        if (!t_ref || !event_id || strnlen(event_id, EVENT_ID_HEX + 1) != EVENT_ID_HEX)
                return -1;
        for (size_t i = 0; i < TM_ID_SIZE; i++) {
                int high = nibble(event_id[2 * i]), low = nibble(event_id[2 * i + 1]);

                if (high < 0 || low < 0)
                        return -1;
                id[i] = (uint8_t)(high << 4 | low);
        }
        memcpy(t_ref->event_id, id, sizeof id);
        return 0;
}

int tm_set_attribute(struct telem_ref *t_ref, uint16_t key, const void *value, size_t len)
{
        uint8_t next[TM_ATTRIBUTES_MAX];
        size_t next_len;

        if (!t_ref || (!value && len > 0))
                return -EINVAL;
        if (len > TM_ATTRIBUTES_MAX)
                return -EMSGSIZE;
        if (!wire_attribute_valid(key, value, len))
                return len > TM_ATTRIBUTES_MAX - 4 ? -EMSGSIZE : -EINVAL;
        if (!t_ref->attributes) {
                t_ref->attributes = malloc(TM_ATTRIBUTES_MAX);
                if (!t_ref->attributes)
                        return -ENOMEM;
        }
        /* on a copy, so that one that doesn't fit leaves the record as it was */
        memcpy(next, t_ref->attributes, t_ref->attributes_len);
        next_len = wire_attribute_put(next, without_attribute(next, t_ref->attributes_len, key), sizeof next, key, value, len);
        if (next_len == 0)
                return -EMSGSIZE;
        memcpy(t_ref->attributes, next, next_len);
        t_ref->attributes_len = (uint32_t)next_len;
        return 0;
}

int tm_set_record_id(struct telem_ref *t_ref, const uint8_t record_id[TM_ID_SIZE])
{
        static const uint8_t none[TM_ID_SIZE];

        if (!t_ref || !record_id || memcmp(record_id, none, TM_ID_SIZE) == 0)
                return -EINVAL;
        memcpy(t_ref->record_id, record_id, TM_ID_SIZE);
        t_ref->sent = false;
        return 0;
}

void tm_get_record_id(const struct telem_ref *t_ref, uint8_t record_id[TM_ID_SIZE])
{
        memcpy(record_id, t_ref->record_id, TM_ID_SIZE);
}

void tm_get_event_id(const struct telem_ref *t_ref, uint8_t event_id[TM_ID_SIZE])
{
        memcpy(event_id, t_ref->event_id, TM_ID_SIZE);
}

int tm_set_created_us(struct telem_ref *t_ref, int64_t created_us)
{
        if (!t_ref || created_us < 0)
                return -EINVAL;
        t_ref->created_us = created_us;
        return 0;
}

void tm_free_record(struct telem_ref *t_ref)
{
        if (!t_ref)
                return;
        free(t_ref->attributes);
        free(t_ref->payload);
        free(t_ref);
}
