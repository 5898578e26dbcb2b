/* SPDX-License-Identifier: Apache-2.0 */
#include "ndjson.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"      /* U+FFFD */

static const char HEX[] = "0123456789abcdef";

/* Counts everything and writes what fits: once len has passed size nothing more is written. */
struct sink {
        char *out;
        size_t size;
        size_t len;
};

static void put(struct sink *sink, const void *bytes, size_t n)
{
        if (n != 0 && sink->len <= sink->size && n <= sink->size - sink->len)
                memcpy(sink->out + sink->len, bytes, n);
        sink->len += n;
}

static void put_text(struct sink *sink, const char *text)
{
        put(sink, text, strlen(text));
}

static void put_unsigned(struct sink *sink, uint64_t value)
{
        char digits[20];
        size_t at = sizeof digits;

        do {
                digits[--at] = (char)('0' + value % 10);
                value /= 10;
        } while (value != 0);
        put(sink, digits + at, sizeof digits - at);
}

static void put_signed(struct sink *sink, int64_t value)
{
        if (value < 0)
                put(sink, "-", 1);
        put_unsigned(sink, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static void put_hex(struct sink *sink, const uint8_t *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                const char pair[2] = { HEX[bytes[i] >> 4], HEX[bytes[i] & 15] };

                put(sink, pair, sizeof pair);
        }
}

static void put_base64(struct sink *sink, struct wire_slice bytes)
{
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

        for (uint32_t i = 0; i < bytes.len; i += 3) {
                uint32_t left = bytes.len - i;
                uint32_t group = (uint32_t)bytes.data[i] << 16;

                if (left > 1)
                        group |= (uint32_t)bytes.data[i + 1] << 8;
                if (left > 2)
                        group |= bytes.data[i + 2];

                const char quad[4] = {
                        alphabet[group >> 18],
                        alphabet[(group >> 12) & 63],
                        left > 1 ? alphabet[(group >> 6) & 63] : '=',
                        left > 2 ? alphabet[group & 63] : '=',
                };

                put(sink, quad, sizeof quad);
        }
}

/* Bytes of the UTF-8 sequence at p, 0 where there is none. n is at least 1. */
static uint32_t utf8_step(const uint8_t *p, uint32_t n)
{
        uint32_t code;

        return p[0] < 0x80 ? 1 : (uint32_t)wire_utf8_next(p, n, &code);
}

static bool is_text(struct wire_slice bytes)
{
        for (uint32_t at = 0, step; at < bytes.len; at += step) {
                if (bytes.data[at] == 0)
                        return false;
                step = utf8_step(bytes.data + at, bytes.len - at);
                if (step == 0)
                        return false;
        }
        return true;
}

static bool is_plain(uint8_t byte)
{
        return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

static void put_escaped(struct sink *sink, uint8_t byte)
{
        switch (byte) {
        case '"':
                put(sink, "\\\"", 2);
                return;
        case '\\':
                put(sink, "\\\\", 2);
                return;
        case '\n':
                put(sink, "\\n", 2);
                return;
        case '\r':
                put(sink, "\\r", 2);
                return;
        case '\t':
                put(sink, "\\t", 2);
                return;
        default: {
                const char escape[6] = { '\\', 'u', '0', '0', HEX[byte >> 4], HEX[byte & 15] };

                put(sink, escape, sizeof escape);
        }
        }
}

/* A JSON string; bytes that aren't UTF-8 become U+FFFD. */
static void put_string(struct sink *sink, struct wire_slice bytes)
{
        uint32_t at = 0;

        put(sink, "\"", 1);
        while (at < bytes.len) {
                uint32_t run = at;

                while (run < bytes.len && is_plain(bytes.data[run]))
                        run++;
                put(sink, bytes.data + at, run - at);
                at = run;
                if (at == bytes.len)
                        break;
                if (bytes.data[at] < 0x80) {
                        put_escaped(sink, bytes.data[at]);
                        at++;
                        continue;
                }

                uint32_t step = utf8_step(bytes.data + at, bytes.len - at);

                if (step == 0) {
                        put_text(sink, REPLACEMENT);
                        at++;
                } else {
                        put(sink, bytes.data + at, step);
                        at += step;
                }
        }
        put(sink, "\"", 1);
}

static bool is_fact(uint16_t key)
{
        return key >= TM_ATTR_ARCH && key <= TM_ATTR_BIOS_VERSION;
}

const char *wire_attribute_name(uint16_t key)
{
        static const char *const facts[WIRE_FACT_COUNT] = {
                "arch", "host_type", "build", "kernel_version", "system_name", "board_name", "cpu_model", "bios_version",
        };

        if (is_fact(key))
                return facts[key - TM_ATTR_ARCH];
        return key == TM_ATTR_CONFIG_PATH ? "config_path" : NULL;
}

const char *wire_payload_kind_name(uint8_t payload_kind)
{
        static const char *const names[] = { "text", "json", "metric", "json-zstd" };

        return payload_kind < sizeof names / sizeof names[0] ? names[payload_kind] : NULL;
}

/* `, "facts": {name: string, …}`, or nothing */
static void put_facts(struct sink *sink, struct wire_slice attributes)
{
        bool any = false;
        size_t offset = 0;
        uint16_t key;
        struct wire_slice value;

        while (wire_attribute_next(attributes, &offset, &key, &value) == 1) {
                if (!is_fact(key))
                        continue;
                put_text(sink, any ? ", \"" : ", \"facts\": {\"");
                put_text(sink, wire_attribute_name(key));
                put_text(sink, "\": ");
                put_string(sink, value);
                any = true;
        }
        if (any)
                put(sink, "}", 1);
}

/* `, "attributes": {decimal key: base64, …}`, or nothing. The configuration path of a format 4 record is named by the
 * protocol and therefore not among them: it says something about this host's files and never leaves it. */
static void put_unknown_attributes(struct sink *sink, struct wire_slice attributes)
{
        bool any = false;
        size_t offset = 0;
        uint16_t key;
        struct wire_slice value;

        while (wire_attribute_next(attributes, &offset, &key, &value) == 1) {
                if (wire_attribute_name(key) != NULL)
                        continue;
                put_text(sink, any ? ", \"" : ", \"attributes\": {\"");
                put_unsigned(sink, key);
                put_text(sink, "\": \"");
                put_base64(sink, value);
                put(sink, "\"", 1);
                any = true;
        }
        if (any)
                put(sink, "}", 1);
}

static void put_payload(struct sink *sink, struct wire_slice payload)
{
        if (is_text(payload)) {
                put_text(sink, ", \"payload\": ");
                put_string(sink, payload);
        } else {
                put_text(sink, ", \"payload_base64\": \"");
                put_base64(sink, payload);
                put(sink, "\"", 1);
        }
}

static void put_record(struct sink *sink, const struct wire_record *record)
{
        const char *kind = wire_payload_kind_name(record->payload_kind);

        put_text(sink, "{\"id\": \"");
        put_hex(sink, record->record_id, TM_ID_SIZE);
        put_text(sink, "\", \"event_id\": \"");
        put_hex(sink, record->event_id, TM_ID_SIZE);
        put_text(sink, "\", \"created_us\": ");
        put_signed(sink, record->created_us);
        put_text(sink, ", \"severity\": ");
        put_unsigned(sink, record->severity);
        put_text(sink, ", \"classification\": ");
        put_string(sink, record->classification);
        put_text(sink, ", \"payload_version\": ");
        put_unsigned(sink, record->payload_version);
        put_text(sink, ", \"payload_kind\": \"");
        put_text(sink, kind != NULL ? kind : "unknown");
        put(sink, "\"", 1);
        put_payload(sink, record->payload);
        put_facts(sink, record->attributes);
        put_unknown_attributes(sink, record->attributes);
        put_text(sink, "}\n");
}

size_t wire5_to_ndjson(const struct wire_record *record, char *out, size_t size)
{
        struct sink sink = { .out = out, .size = size };

        put_record(&sink, record);
        return sink.len;
}

size_t wire5_batch_to_ndjson(const uint8_t *bytes, size_t len, char *out, size_t size, size_t *count,
                             enum tm_reason *reason)
{
        struct sink sink = { .out = out, .size = size };
        size_t at = 0;

        *count = 0;
        *reason = TM_REASON_NONE;
        while (at < len) {
                struct wire_record record;
                uint32_t total = 0;

                switch (wire5_peek(bytes + at, len - at, &total, reason)) {
                case WIRE_MORE:
                        *reason = TM_REASON_MALFORMED;
                        return 0;
                case WIRE_BROKEN:
                        return 0;
                case WIRE_WHOLE:
                        break;
                }
                *reason = wire5_decode(bytes + at, total, &record);
                if (*reason != TM_REASON_NONE)
                        return 0;
                put_record(&sink, &record);
                at += total;
                ++*count;
        }
        return sink.len;
}
