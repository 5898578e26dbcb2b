/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire4: the layout of record format 4, telemetrics-client's own (docs/protocol.md, section 3). Pure.
 */
#include "wire.h"

#include "wire_bytes.h"

#define SIZE_FIELD 4u
#define EVENT_ID_HEX 32u
#define US_PER_S 1000000
#define NUMBER_DIGITS_MAX 20u

/* The header's lines, in the order in which they stand there. */
enum line {
        LINE_FORMAT,
        LINE_CLASSIFICATION,
        LINE_SEVERITY,
        LINE_MACHINE_ID,
        LINE_CREATED,
        LINE_ARCH,
        LINE_HOST_TYPE,
        LINE_BUILD,
        LINE_KERNEL_VERSION,
        LINE_PAYLOAD_VERSION,
        LINE_SYSTEM_NAME,
        LINE_BOARD_NAME,
        LINE_CPU_MODEL,
        LINE_BIOS_VERSION,
        LINE_EVENT_ID,
        LINE_COUNT,
};

_Static_assert(LINE_COUNT == WIRE4_HEADER_LINES, "fifteen header lines");

static const struct {
        const char *name;
        uint16_t fact; /* attribute key, 0 for none */
        bool required;
} lines[LINE_COUNT] = {
        [LINE_FORMAT] = {"record_format_version", 0, true},
        [LINE_CLASSIFICATION] = {"classification", 0, true},
        [LINE_SEVERITY] = {"severity", 0, true},
        [LINE_MACHINE_ID] = {"machine_id", 0, false},
        [LINE_CREATED] = {"creation_timestamp", 0, true},
        [LINE_ARCH] = {"arch", TM_ATTR_ARCH, false},
        [LINE_HOST_TYPE] = {"host_type", TM_ATTR_HOST_TYPE, false},
        [LINE_BUILD] = {"build", TM_ATTR_BUILD, false},
        [LINE_KERNEL_VERSION] = {"kernel_version", TM_ATTR_KERNEL_VERSION, false},
        [LINE_PAYLOAD_VERSION] = {"payload_format_version", 0, true},
        [LINE_SYSTEM_NAME] = {"system_name", TM_ATTR_SYSTEM_NAME, false},
        [LINE_BOARD_NAME] = {"board_name", TM_ATTR_BOARD_NAME, false},
        [LINE_CPU_MODEL] = {"cpu_model", TM_ATTR_CPU_MODEL, false},
        [LINE_BIOS_VERSION] = {"bios_version", TM_ATTR_BIOS_VERSION, false},
        [LINE_EVENT_ID] = {"event_id", 0, false},
};

/* ---- bytes -> record ---------------------------------------------------------------------------------------- */

enum wire_peek wire4_peek(const uint8_t *bytes, size_t len, uint32_t *total, enum tm_reason *reason)
{
        *total = 0;
        *reason = TM_REASON_NONE;
        if (len < SIZE_FIELD)
                return WIRE_MORE;

        uint32_t record_size = get_u32_host(bytes);
        if (record_size < 2 * SIZE_FIELD || record_size > TM_RECORD_MAX) {
                *reason = record_size > TM_RECORD_MAX ? TM_REASON_TOO_LARGE : TM_REASON_MALFORMED;
                return WIRE_BROKEN;
        }
        *total = record_size;
        return len < record_size ? WIRE_MORE : WIRE_WHOLE;
}

/* What follows the two sizes. */
struct parts {
        struct wire_slice config_path; /* data is NULL where there is none */
        struct wire_slice header;
        struct wire_slice payload;
};

/* The bytes that "CFG:", a path and its end take at the beginning; 0 where something else stands there, SIZE_MAX where the
 * path has no end. */
static size_t split_config_path(const uint8_t *bytes, size_t len, int path_end, struct wire_slice *path)
{
        static const uint8_t mark[4] = {'C', 'F', 'G', ':'};

        if (len < sizeof mark || memcmp(bytes, mark, sizeof mark) != 0)
                return 0;
        const uint8_t *begin = bytes + sizeof mark;
        const uint8_t *end = memchr(begin, path_end, len - sizeof mark);
        if (!end)
                return SIZE_MAX;
        *path = (struct wire_slice){.data = begin, .len = (uint32_t)(end - begin)};
        return (size_t)(end + 1 - bytes);
}

static enum tm_reason split(const uint8_t *bytes, size_t len, struct parts *parts)
{
        const uint8_t *at = bytes + SIZE_FIELD;
        size_t left = len - SIZE_FIELD;

        *parts = (struct parts){0};
        size_t before = split_config_path(at, left, 0, &parts->config_path);
        if (before == SIZE_MAX)
                return TM_REASON_MALFORMED;
        at += before;
        left -= before;
        if (left < SIZE_FIELD)
                return TM_REASON_MALFORMED;
        uint32_t header_size = get_u32_host(at);
        at += SIZE_FIELD;
        left -= SIZE_FIELD;
        if (header_size > left)
                return TM_REASON_MALFORMED;

        parts->header = (struct wire_slice){.data = at, .len = header_size};
        at += header_size;
        left -= header_size;
        if (left > 0 && at[left - 1] == 0)
                left--;
        parts->payload = (struct wire_slice){.data = at, .len = (uint32_t)left};
        return left > TM_PAYLOAD_MAX ? TM_REASON_TOO_LARGE : TM_REASON_NONE;
}

/* Here the header ends with its fifteenth line. */
static enum tm_reason split_spooled(const uint8_t *bytes, size_t len, struct parts *parts)
{
        *parts = (struct parts){0};
        size_t header = split_config_path(bytes, len, '\n', &parts->config_path), at = header;

        if (header == SIZE_MAX || (parts->config_path.len > 0 && memchr(parts->config_path.data, 0, parts->config_path.len)))
                return TM_REASON_HEADER;
        for (size_t i = 0; i < LINE_COUNT; i++) {
                const uint8_t *newline = at < len ? memchr(bytes + at, '\n', len - at) : NULL;

                if (!newline)
                        return TM_REASON_HEADER;
                at = (size_t)(newline + 1 - bytes);
        }
        parts->header = (struct wire_slice){.data = bytes + header, .len = (uint32_t)(at - header)};
        parts->payload = (struct wire_slice){.data = bytes + at, .len = (uint32_t)(len - at)};
        return len - at > TM_PAYLOAD_MAX ? TM_REASON_TOO_LARGE : TM_REASON_NONE;
}

static bool split_header(struct wire_slice header, struct wire_slice value[LINE_COUNT])
{
        const uint8_t *at = header.data;
        const uint8_t *end = at + header.len;

        if (header.len > 0 && memchr(at, 0, header.len))
                return false;
        for (size_t i = 0; i < LINE_COUNT; i++) {
                const uint8_t *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
                size_t name_len = strlen(lines[i].name);

                if (!newline || (size_t)(newline - at) < name_len + 2 || memcmp(at, lines[i].name, name_len) != 0 ||
                    at[name_len] != ':' || at[name_len + 1] != ' ')
                        return false;
                at += name_len + 2;
                value[i] = (struct wire_slice){.data = at, .len = (uint32_t)(newline - at)};
                if (lines[i].required && value[i].len == 0)
                        return false;
                at = newline + 1;
        }
        return at == end;
}

/* Decimal digits alone, and no more than max. */
static bool parse_number(struct wire_slice text, uint64_t max, uint64_t *number)
{
        uint64_t sum = 0;

        if (text.len == 0 || text.len >= NUMBER_DIGITS_MAX)
                return false;
        for (uint32_t i = 0; i < text.len; i++) {
                if (text.data[i] < '0' || text.data[i] > '9')
                        return false;
                sum = sum * 10 + (uint64_t)(text.data[i] - '0');
        }
        *number = sum;
        return sum <= max;
}

static int hex_digit(uint8_t c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* All zero where the text is unusable. */
static void parse_event_id(struct wire_slice text, uint8_t event_id[TM_ID_SIZE])
{
        memset(event_id, 0, TM_ID_SIZE);
        if (text.len != EVENT_ID_HEX)
                return;
        for (size_t i = 0; i < TM_ID_SIZE; i++) {
                int high = hex_digit(text.data[2 * i]), low = hex_digit(text.data[2 * i + 1]);

                if (high < 0 || low < 0) {
                        memset(event_id, 0, TM_ID_SIZE);
                        return;
                }
                event_id[i] = (uint8_t)(high << 4 | low);
        }
}

static enum tm_reason collect_attributes(const struct wire_slice value[LINE_COUNT], struct wire_slice config_path,
                                         const struct wire_facts *host, uint8_t *scratch, struct wire_slice *attributes)
{
        size_t len = 0;

        for (size_t i = 0; i < LINE_COUNT; i++) {
                uint8_t fact[WIRE_FACT_MAX];
                size_t fact_len;

                if (lines[i].fact == 0)
                        continue;
                fact_len = wire_fact_clean(value[i].data, value[i].len, fact);
                if (host) {
                        struct wire_slice ours = host->value[lines[i].fact - 1];
                        if (ours.len == fact_len && (fact_len == 0 || memcmp(ours.data, fact, fact_len) == 0))
                                continue;
                }
                /* eight of at most 260 bytes: they fit */
                len = wire_attribute_put(scratch, len, TM_ATTRIBUTES_MAX, lines[i].fact, fact, fact_len);
        }
        if (config_path.data) {
                if (config_path.len == 0)
                        return TM_REASON_HEADER;
                len = wire_attribute_put(scratch, len, TM_ATTRIBUTES_MAX, TM_ATTR_CONFIG_PATH, config_path.data,
                                         config_path.len);
                if (len == 0)
                        return TM_REASON_TOO_LARGE;
        }
        *attributes = (struct wire_slice){.data = scratch, .len = (uint32_t)len};
        return TM_REASON_NONE;
}

static enum tm_reason decode_parts(const struct parts *parts, const struct wire_facts *host, uint8_t *scratch,
                                   struct wire_record *record)
{
        struct wire_slice value[LINE_COUNT];
        uint64_t number;

        if (!split_header(parts->header, value) || value[LINE_FORMAT].len != 1 || value[LINE_FORMAT].data[0] != '4')
                return TM_REASON_HEADER;
        if (!wire_classification_valid(value[LINE_CLASSIFICATION].data, value[LINE_CLASSIFICATION].len))
                return TM_REASON_CLASSIFICATION;
        *record = (struct wire_record){
                .classification = value[LINE_CLASSIFICATION],
                .payload = parts->payload,
                .payload_kind = TM_PAYLOAD_TEXT,
        };
        if (!parse_number(value[LINE_SEVERITY], 4, &number) || number < 1)
                return TM_REASON_SEVERITY;
        record->severity = (uint8_t)number;
        if (value[LINE_CREATED].data[0] == '-')
                return TM_REASON_CREATED;
        if (!parse_number(value[LINE_CREATED], INT64_MAX / US_PER_S, &number))
                return TM_REASON_HEADER;
        record->created_us = (int64_t)number * US_PER_S;
        if (!parse_number(value[LINE_PAYLOAD_VERSION], UINT32_MAX, &number))
                return TM_REASON_HEADER;
        record->payload_version = (uint32_t)number;
        parse_event_id(value[LINE_EVENT_ID], record->event_id);
        return collect_attributes(value, parts->config_path, host, scratch, &record->attributes);
}

enum tm_reason wire4_decode(const uint8_t *bytes, size_t len, const struct wire_facts *host, uint8_t *scratch,
                            struct wire_record *record)
{
        struct parts parts;
        uint32_t total;
        enum tm_reason reason;
        enum wire_peek peek = wire4_peek(bytes, len, &total, &reason);

        if (peek == WIRE_BROKEN)
                return reason;
        if (peek == WIRE_MORE || len != total)
                return TM_REASON_MALFORMED;
        reason = split(bytes, len, &parts);
        return reason == TM_REASON_NONE ? decode_parts(&parts, host, scratch, record) : reason;
}

enum tm_reason wire4_decode_spooled(const uint8_t *bytes, size_t len, const struct wire_facts *host, uint8_t *scratch,
                                    struct wire_record *record)
{
        struct parts parts;
        enum tm_reason reason = len > TM_RECORD_MAX ? TM_REASON_TOO_LARGE : split_spooled(bytes, len, &parts);

        return reason == TM_REASON_NONE ? decode_parts(&parts, host, scratch, record) : reason;
}

/* ---- record -> bytes ---------------------------------------------------------------------------------------- */

/* Appends while there is room, and remembers where there was none. */
struct writer {
        uint8_t *out;
        size_t size;
        size_t len;
        bool full;
};

static void append(struct writer *writer, const void *bytes, size_t len)
{
        if (writer->full || len > writer->size - writer->len) {
                writer->full = true;
                return;
        }
        put_bytes(writer->out + writer->len, bytes, len);
        writer->len += len;
}

static void append_size(struct writer *writer, uint32_t value)
{
        append(writer, &value, sizeof value);
}

static void append_number(struct writer *writer, uint64_t number)
{
        char digits[NUMBER_DIGITS_MAX];
        size_t at = sizeof digits;

        do {
                digits[--at] = (char)('0' + number % 10);
                number /= 10;
        } while (number > 0);
        append(writer, digits + at, sizeof digits - at);
}

static void append_hex(struct writer *writer, const uint8_t *bytes, size_t len)
{
        static const char digit[] = "0123456789abcdef";

        for (size_t i = 0; i < len; i++) {
                char pair[2] = {digit[bytes[i] >> 4], digit[bytes[i] & 15]};
                append(writer, pair, sizeof pair);
        }
}

/* A line can't be forged by a fact with a newline in it: every fact is cleaned. */
static void append_fact(struct writer *writer, struct wire_slice fact)
{
        uint8_t clean[WIRE_FACT_MAX];
        size_t len = wire_fact_clean(fact.data, fact.len, clean);

        append(writer, clean, len);
}

static void append_value(struct writer *writer, enum line line, const struct wire_record *record,
                         const struct wire_facts *facts)
{
        switch (line) {
        case LINE_FORMAT:
                append(writer, "4", 1);
                break;
        case LINE_CLASSIFICATION:
                append(writer, record->classification.data, record->classification.len);
                break;
        case LINE_SEVERITY:
                append_number(writer, record->severity);
                break;
        case LINE_MACHINE_ID: /* the daemon puts its own here */
                append(writer, "FFFFFFFF", 8);
                break;
        case LINE_CREATED:
                append_number(writer, record->created_us < 0 ? 0 : (uint64_t)(record->created_us / US_PER_S));
                break;
        case LINE_PAYLOAD_VERSION:
                append_number(writer, record->payload_version);
                break;
        case LINE_EVENT_ID:
                append_hex(writer, record->event_id, TM_ID_SIZE);
                break;
        default:
                append_fact(writer, facts->value[lines[line].fact - 1]);
                break;
        }
}

static struct wire_facts with_overrides(const struct wire_facts *host, struct wire_slice attributes)
{
        struct wire_facts facts = {0};
        struct wire_slice value;
        size_t offset = 0;
        uint16_t key;

        if (host)
                facts = *host;
        while (wire_attribute_next(attributes, &offset, &key, &value) > 0)
                if (key >= TM_ATTR_ARCH && key <= TM_ATTR_BIOS_VERSION)
                        facts.value[key - 1] = value;
        return facts;
}

size_t wire4_encode(const struct wire_record *record, const struct wire_facts *host, const char *config_path,
                    uint8_t *out, size_t size)
{
        struct writer writer = {.out = out, .size = size};
        struct wire_facts facts = with_overrides(host, record->attributes);
        uint32_t total, header_size;

        append_size(&writer, 0); /* known at the end */
        if (config_path) {
                append(&writer, "CFG:", 4);
                append(&writer, config_path, strlen(config_path) + 1);
        }
        append_size(&writer, 0);
        size_t header_start = writer.len;
        for (size_t i = 0; i < LINE_COUNT; i++) {
                append(&writer, lines[i].name, strlen(lines[i].name));
                append(&writer, ": ", 2);
                append_value(&writer, (enum line)i, record, &facts);
                append(&writer, "\n", 1);
        }
        size_t header_end = writer.len;
        append(&writer, record->payload.data, record->payload.len);
        append(&writer, "", 1);
        if (writer.full || writer.len > TM_RECORD_MAX)
                return 0;

        total = (uint32_t)writer.len;
        header_size = (uint32_t)(header_end - header_start);
        memcpy(out, &total, sizeof total);
        memcpy(out + header_start - sizeof header_size, &header_size, sizeof header_size);
        return writer.len;
}
