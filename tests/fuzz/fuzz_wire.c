/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_wire: any bytes into every function of the codec. The first byte chooses which. Beyond not crashing: what was
 * decoded is encoded to the same bytes, and what is rewritten into the other format keeps what it says.
 */
#include "ndjson.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#define MUST(condition)          \
        do {                     \
                if (!(condition)) \
                        abort(); \
        } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(struct wire_slice a, struct wire_slice b)
{
        return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static struct wire_slice slice(const char *text)
{
        return (struct wire_slice){.data = (const uint8_t *)text, .len = (uint32_t)strlen(text)};
}

static struct wire_facts some_host(void)
{
        struct wire_facts host = {0};

        host.value[TM_ATTR_ARCH - 1] = slice("x86_64");
        host.value[TM_ATTR_SYSTEM_NAME - 1] = slice("debian");
        return host;
}

/* Encodes into a buffer of exactly the right length, and not into a shorter one. free() it. */
static uint8_t *encoded5(const struct wire_record *record, size_t *len)
{
        uint8_t *out;

        *len = wire5_length(record);
        MUST(*len >= WIRE5_HEADER_LEN && *len <= TM_RECORD_MAX);
        out = malloc(*len);
        MUST(out && wire5_encode(record, out, *len - 1) == 0);
        MUST(wire5_encode(record, out, *len) == *len);
        return out;
}

static void try_ndjson(const struct wire_record *record)
{
        size_t len = wire5_to_ndjson(record, NULL, 0);
        char *line = malloc(len);

        MUST(line && wire5_to_ndjson(record, line, len) == len && line[len - 1] == '\n');
        MUST(memchr(line, 0, len) == NULL);
        free(line);
}

static void rewritten_as_format4(const struct wire_record *record, const struct wire_facts *host)
{
        uint8_t scratch[TM_ATTRIBUTES_MAX], *out = malloc(TM_RECORD_MAX);
        struct wire_record found;
        size_t len;

        MUST(out);
        len = wire4_encode(record, host, "/etc/a.conf", out, TM_RECORD_MAX);
        MUST(len > 0 && wire4_encode(record, host, "/etc/a.conf", out, len - 1) == 0);
        MUST(wire4_encode(record, host, "/etc/a.conf", out, len) == len);
        uint8_t *exact = malloc(len);
        MUST(exact);
        memcpy(exact, out, len);
        MUST(wire4_decode(exact, len, host, scratch, &found) == TM_REASON_NONE);
        MUST(same(found.payload, record->payload) && same(found.classification, record->classification));
        MUST(found.severity == record->severity && found.payload_version == record->payload_version);
        MUST(found.created_us / 1000000 == record->created_us / 1000000);
        MUST(memcmp(found.event_id, record->event_id, TM_ID_SIZE) == 0);
        free(exact);
        free(out);
}

static void format5(const uint8_t *data, size_t size)
{
        struct wire_record record;
        uint32_t total;
        enum tm_reason why;
        enum wire_peek peek = wire5_peek(data, size, &total, &why);
        enum tm_reason reason = wire5_decode(data, size, &record);

        MUST((peek == WIRE_BROKEN) == (why != TM_REASON_NONE && peek != WIRE_MORE));
        MUST(peek != WIRE_WHOLE || (total >= WIRE5_HEADER_LEN && total <= size));
        if (reason != TM_REASON_NONE)
                return;
        MUST(peek == WIRE_WHOLE && total == size);
        for (size_t n = 0; n < size; n += 1 + size / 16)
                MUST(wire5_peek(data, n, &total, &why) == WIRE_MORE);

        size_t len;
        uint8_t *again = encoded5(&record, &len);
        if (data[4] == WIRE5_HEADER_LEN && data[5] == 0)
                MUST(len == size && memcmp(again, data, len) == 0);
        free(again);
        try_ndjson(&record);
        rewritten_as_format4(&record, NULL);
}

static void format4(const uint8_t *data, size_t size, const struct wire_facts *host)
{
        uint8_t *scratch = malloc(TM_ATTRIBUTES_MAX);
        struct wire_record record, found;
        uint32_t total;
        enum tm_reason why;
        enum wire_peek peek = wire4_peek(data, size, &total, &why);

        MUST(scratch);
        MUST(peek != WIRE_WHOLE || total <= size);
        if (wire4_decode(data, size, host, scratch, &record) == TM_REASON_NONE) {
                size_t len;

                MUST(peek == WIRE_WHOLE && total == size);
                record.record_id[15] = 1;
                uint8_t *out = encoded5(&record, &len);
                MUST(wire5_decode(out, len, &found) == TM_REASON_NONE);
                MUST(same(found.payload, record.payload) && same(found.attributes, record.attributes));
                MUST(same(found.classification, record.classification));
                rewritten_as_format4(&found, host);
                free(out);
        }
        free(scratch);
}

/* A file of telemetrics-client's spool. */
static void spooled(const uint8_t *data, size_t size, const struct wire_facts *host)
{
        uint8_t *scratch = malloc(TM_ATTRIBUTES_MAX);
        struct wire_record record, found;
        size_t len;

        MUST(scratch);
        if (wire4_decode_spooled(data, size, host, scratch, &record) == TM_REASON_NONE) {
                MUST(record.payload.data + record.payload.len == data + size);
                record.record_id[15] = 1;
                uint8_t *out = encoded5(&record, &len);
                MUST(wire5_decode(out, len, &found) == TM_REASON_NONE);
                MUST(same(found.payload, record.payload) && same(found.attributes, record.attributes));
                rewritten_as_format4(&found, host);
                free(out);
        }
        free(scratch);
}

/* What is walked is put together again, as far as it can be read. */
static void attributes(const uint8_t *data, size_t size)
{
        struct wire_slice all = {.data = data, .len = (uint32_t)size}, value;
        uint8_t *copy = malloc(size + 1);
        size_t offset = 0, len = 0;
        uint16_t key;
        int more;

        MUST(copy);
        while ((more = wire_attribute_next(all, &offset, &key, &value)) > 0) {
                MUST(value.data >= data && value.data + value.len <= data + size);
                wire_attribute_valid(key, value.data, value.len);
                MUST(wire_attribute_put(copy, len, offset - 1, key, value.data, value.len) == 0);
                len = wire_attribute_put(copy, len, size, key, value.data, value.len);
                MUST(len == offset);
        }
        MUST(more < 0 || len == size);
        MUST(memcmp(copy, data, len) == 0);
        offset = size + 1;
        MUST(wire_attribute_next(all, &offset, &key, &value) < 0);
        free(copy);
}

static void answer(const uint8_t *data, size_t size)
{
        struct tm_ack ack;
        uint8_t again[WIRE_ANSWER_LEN];

        if (size != WIRE_ANSWER_LEN || !wire_answer_decode(data, &ack))
                return;
        MUST(ack.verdict <= TM_REFUSED);
        wire_answer_encode(&ack, again);
        MUST(memcmp(again, data, sizeof again) == 0);
}

static void fact(const uint8_t *data, size_t size)
{
        uint8_t clean[WIRE_FACT_MAX], again[WIRE_FACT_MAX];
        size_t len = wire_fact_clean(data, size, clean);

        MUST(len <= WIRE_FACT_MAX && wire_attribute_valid(TM_ATTR_ARCH, clean, len));
        MUST(wire_fact_clean(clean, len, again) == len && memcmp(clean, again, len) == 0);
        if (wire_attribute_valid(TM_ATTR_ARCH, data, size))
                MUST(len == size && memcmp(clean, data, len) == 0);
        wire_attribute_valid(TM_ATTR_CONFIG_PATH, data, size);
        wire_classification_valid(data, size);
}

/* Lengths over their limits, whose bytes don't exist: nothing may look at them. */
static void over_limits(const uint8_t *data, size_t size)
{
        struct wire_record record = {.classification = slice("a/b/c")};
        uint8_t out[128];

        if (size < 4)
                return;
        record.classification.len = data[0];
        record.attributes.len = (uint32_t)data[1] << 8;
        record.payload.len = (uint32_t)(data[2] << 8 | data[3]) << 4;
        size_t len = wire5_length(&record);
        MUST(len <= TM_RECORD_MAX);
        if (len == 0)
                MUST(wire5_encode(&record, out, SIZE_MAX) == 0);
        else if (len > sizeof out)
                MUST(wire5_encode(&record, out, sizeof out) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct wire_facts host = some_host();

        if (size == 0)
                return 0;
        uint8_t choice = *data++;
        size--;
        switch (choice % 10) {
        case 0:
                format5(data, size);
                break;
        case 1:
                format4(data, size, NULL);
                break;
        case 8:
                spooled(data, size, NULL);
                break;
        case 9:
                spooled(data, size, &host);
                break;
        case 2:
                attributes(data, size);
                break;
        case 3:
                answer(data, size);
                break;
        case 4:
                fact(data, size);
                break;
        case 5:
                format4(data, size, &host);
                break;
        default:
                over_limits(data, size);
                break;
        }
        return 0;
}
