/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire5: the layout of record format 5 (docs/protocol.md, section 1). Pure.
 */
#include "wire.h"

#include "wire_bytes.h"

static const uint8_t magic[4] = {'T', 'L', 'M', '5'};

enum {
        AT_HEADER_LEN = 4,
        AT_VERSION = 6,
        AT_FLAGS = 7,
        AT_TOTAL_LEN = 8,
        AT_PAYLOAD_LEN = 12,
        AT_RECORD_ID = 16,
        AT_EVENT_ID = 32,
        AT_CREATED_US = 48,
        AT_PAYLOAD_VERSION = 56,
        AT_SEVERITY = 60,
        AT_PAYLOAD_KIND = 61,
        AT_CLASS_LEN = 62,
        AT_RESERVED_A = 63,
        AT_ATTRS_LEN = 64,
        AT_RESERVED_B = 66,
        AT_RESERVED_C = 68,
};

enum wire_peek wire5_peek(const uint8_t *bytes, size_t len, uint32_t *total, enum tm_reason *reason)
{
        *total = 0;
        *reason = TM_REASON_MALFORMED;
        /* a stranger is recognised by its first bytes, not after having been waited for */
        for (size_t i = 0; i < len && i < sizeof magic; i++)
                if (bytes[i] != magic[i])
                        return WIRE_BROKEN;
        if (len < WIRE5_HEADER_LEN)
                return WIRE_MORE;

        uint32_t header_len = get_u16(bytes + AT_HEADER_LEN);
        uint32_t total_len = get_u32(bytes + AT_TOTAL_LEN);
        if (bytes[AT_VERSION] != 5 || header_len < WIRE5_HEADER_LEN || header_len > WIRE5_HEADER_LEN_MAX)
                return WIRE_BROKEN;
        if (total_len > TM_RECORD_MAX) {
                *reason = TM_REASON_TOO_LARGE;
                return WIRE_BROKEN;
        }
        uint64_t sum = (uint64_t)header_len + bytes[AT_CLASS_LEN] + get_u16(bytes + AT_ATTRS_LEN) +
                       get_u32(bytes + AT_PAYLOAD_LEN);
        if (sum != total_len)
                return WIRE_BROKEN;

        *reason = TM_REASON_NONE;
        *total = total_len;
        return len < total_len ? WIRE_MORE : WIRE_WHOLE;
}

static enum tm_reason check_attributes(struct wire_slice attributes)
{
        uint8_t seen[TM_ATTR_CRITICAL / 8]; /* one bit a key: a record of a thousand attributes costs no more than one */
        size_t offset = 0;
        uint16_t key;
        struct wire_slice value;
        int more;

        if (attributes.len == 0)
                return TM_REASON_NONE;
        memset(seen, 0, sizeof seen);
        while ((more = wire_attribute_next(attributes, &offset, &key, &value)) > 0) {
                if (key & TM_ATTR_CRITICAL) /* none is known to this version */
                        return TM_REASON_ATTRIBUTE;
                uint8_t bit = (uint8_t)(1u << (key % 8));
                if (seen[key / 8] & bit)
                        return TM_REASON_ATTRIBUTE;
                seen[key / 8] |= bit;
                if (!wire_attribute_valid(key, value.data, value.len))
                        return TM_REASON_ATTRIBUTE;
        }
        return more < 0 ? TM_REASON_ATTRIBUTE : TM_REASON_NONE;
}

static enum tm_reason check_content(const struct wire_record *record)
{
        static const uint8_t no_id[TM_ID_SIZE];

        if (record->payload.len > TM_PAYLOAD_MAX || record->attributes.len > TM_ATTRIBUTES_MAX)
                return TM_REASON_TOO_LARGE;
        if (memcmp(record->record_id, no_id, TM_ID_SIZE) == 0)
                return TM_REASON_RECORD_ID;
        if (record->created_us < 0)
                return TM_REASON_CREATED;
        if (record->severity < 1 || record->severity > 4)
                return TM_REASON_SEVERITY;
        if (record->payload_kind > TM_PAYLOAD_JSON_ZSTD)
                return TM_REASON_PAYLOAD_KIND;
        if (!wire_classification_valid(record->classification.data, record->classification.len))
                return TM_REASON_CLASSIFICATION;
        return check_attributes(record->attributes);
}

enum tm_reason wire5_decode(const uint8_t *bytes, size_t len, struct wire_record *record)
{
        uint32_t total;
        enum tm_reason reason;

        if (len >= AT_EVENT_ID) {
                memcpy(record->record_id, bytes + AT_RECORD_ID, TM_ID_SIZE);
                record->flags = bytes[AT_FLAGS];
        }
        switch (wire5_peek(bytes, len, &total, &reason)) {
        case WIRE_BROKEN:
                return reason;
        case WIRE_MORE:
                return TM_REASON_MALFORMED;
        case WIRE_WHOLE:
                break;
        }
        if (len != total || bytes[AT_RESERVED_A] != 0 || get_u16(bytes + AT_RESERVED_B) != 0 ||
            get_u32(bytes + AT_RESERVED_C) != 0)
                return TM_REASON_MALFORMED;

        memcpy(record->event_id, bytes + AT_EVENT_ID, TM_ID_SIZE);
        record->created_us = (int64_t)get_u64(bytes + AT_CREATED_US);
        record->payload_version = get_u32(bytes + AT_PAYLOAD_VERSION);
        record->severity = bytes[AT_SEVERITY];
        record->payload_kind = bytes[AT_PAYLOAD_KIND];

        /* wire5_peek() has seen that these add up to len */
        const uint8_t *at = bytes + get_u16(bytes + AT_HEADER_LEN);
        record->classification = (struct wire_slice){.data = at, .len = bytes[AT_CLASS_LEN]};
        at += record->classification.len;
        record->attributes = (struct wire_slice){.data = at, .len = get_u16(bytes + AT_ATTRS_LEN)};
        at += record->attributes.len;
        record->payload = (struct wire_slice){.data = at, .len = get_u32(bytes + AT_PAYLOAD_LEN)};
        return check_content(record);
}

size_t wire5_length(const struct wire_record *record)
{
        if (record->classification.len > TM_CLASSIFICATION_MAX || record->attributes.len > TM_ATTRIBUTES_MAX ||
            record->payload.len > TM_PAYLOAD_MAX)
                return 0;
        return (size_t)WIRE5_HEADER_LEN + record->classification.len + record->attributes.len + record->payload.len;
}

size_t wire5_encode(const struct wire_record *record, uint8_t *out, size_t size)
{
        size_t total = wire5_length(record);

        if (total == 0 || total > size)
                return 0;
        memcpy(out, magic, sizeof magic);
        put_u16(out + AT_HEADER_LEN, WIRE5_HEADER_LEN);
        out[AT_VERSION] = 5;
        out[AT_FLAGS] = record->flags;
        put_u32(out + AT_TOTAL_LEN, (uint32_t)total);
        put_u32(out + AT_PAYLOAD_LEN, record->payload.len);
        memcpy(out + AT_RECORD_ID, record->record_id, TM_ID_SIZE);
        memcpy(out + AT_EVENT_ID, record->event_id, TM_ID_SIZE);
        put_u64(out + AT_CREATED_US, (uint64_t)record->created_us);
        put_u32(out + AT_PAYLOAD_VERSION, record->payload_version);
        out[AT_SEVERITY] = record->severity;
        out[AT_PAYLOAD_KIND] = record->payload_kind;
        out[AT_CLASS_LEN] = (uint8_t)record->classification.len;
        out[AT_RESERVED_A] = 0;
        put_u16(out + AT_ATTRS_LEN, (uint16_t)record->attributes.len);
        put_u16(out + AT_RESERVED_B, 0);
        put_u32(out + AT_RESERVED_C, 0);

        uint8_t *at = out + WIRE5_HEADER_LEN;
        put_bytes(at, record->classification.data, record->classification.len);
        at += record->classification.len;
        put_bytes(at, record->attributes.data, record->attributes.len);
        at += record->attributes.len;
        put_bytes(at, record->payload.data, record->payload.len);
        return total;
}
