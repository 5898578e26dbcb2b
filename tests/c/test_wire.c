/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec against tests/vectors, and against what no vector can say: streams that come in pieces, limits, the way back.
 */
#include "wire.h"

#include "vectors.h"

static const uint8_t record_id[TM_ID_SIZE] = {0, 0, 0, 0, 0, 0, 0x71, 0x23, 0x89, 0xab, 0xcd, 0xef, 1, 0x23, 0x45, 0x67};

static struct wire_slice slice(const char *text)
{
        return (struct wire_slice){.data = (const uint8_t *)text, .len = (uint32_t)strlen(text)};
}

static struct wire_record example(const char *payload)
{
        struct wire_record record = {
                .created_us = 1760000000123456,
                .payload_version = 1,
                .severity = 1,
                .classification = slice("org.clearlinux/hello/world"),
                .payload = slice(payload),
        };

        memcpy(record.record_id, record_id, sizeof record_id);
        memset(record.event_id, 0xee, sizeof record.event_id);
        return record;
}

static bool same_bytes(const uint8_t *a, size_t a_len, const struct bytes *b)
{
        return a_len == b->len && memcmp(a, b->data, a_len) == 0;
}

static void encodes_to(const struct wire_record *record, const struct bytes *wanted)
{
        size_t len = wire5_length(record);
        uint8_t *out = malloc(len + 1);

        NEED(out);
        CHECK_EQ(wire5_encode(record, out, len), len);
        CHECK(same_bytes(out, len, wanted));
        CHECK_EQ(wire5_encode(record, out, len - 1), 0);
        free(out);
}

/* Byte by byte: MORE until it is whole, at every cut; and BROKEN only where decoding says so too. */
static void peeks_like(enum wire_peek (*peek)(const uint8_t *, size_t, uint32_t *, enum tm_reason *),
                       const struct bytes *raw, bool good)
{
        size_t step = raw->len > 4096 ? 997 : 1;
        uint32_t total;
        enum tm_reason reason;

        for (size_t n = 0; n < raw->len; n += step) {
                enum wire_peek found = peek(raw->data, n, &total, &reason);

                if (good) {
                        CHECK_EQ(found, WIRE_MORE);
                        CHECK(total == 0 || total == raw->len);
                }
                if (found == WIRE_BROKEN) {
                        CHECK(reason != TM_REASON_NONE);
                        return;
                }
        }
        if (good) {
                CHECK_EQ(peek(raw->data, raw->len, &total, &reason), WIRE_WHOLE);
                CHECK_EQ(total, raw->len);
                CHECK_EQ(reason, TM_REASON_NONE);
        }
}

static void format5_vectors(void)
{
        struct vectors vectors = vectors_open("tests/vectors/format5.txt");
        unsigned good = 0, bad = 0;

        while (vectors_next(&vectors)) {
                struct bytes *raw = &vectors.now.columns[0];
                struct wire_record record = {0};
                enum tm_reason reason = wire5_decode(raw->data, raw->len, &record);
                bool is_good = strcmp(vectors.now.verdict, "none") == 0;

                CHECK_TEXT(tm_reason_name((uint16_t)reason), strlen(tm_reason_name((uint16_t)reason)), vectors.now.verdict);
                peeks_like(wire5_peek, raw, is_good);
                if (raw->len >= 32)
                        CHECK(memcmp(record.record_id, raw->data + 16, TM_ID_SIZE) == 0);
                good += is_good;
                bad += !is_good;
                /* a longer header isn't written again */
                if (reason == TM_REASON_NONE && raw->data[4] == WIRE5_HEADER_LEN && raw->data[5] == 0)
                        encodes_to(&record, raw);
        }
        CHECK(good > 30 && bad > 60);
}

/* What the socket carries, as telemetrics-client's spool has it: without sizes and final NUL, and a newline behind the path.
 * The length. */
static size_t as_spooled(const struct bytes *raw, uint8_t *out)
{
        const uint8_t *at = raw->data + 4, *end = raw->data + raw->len;
        size_t len = 0;

        if (memcmp(at, "CFG:", 4) == 0) {
                const uint8_t *nul = memchr(at, 0, (size_t)(end - at));
                len = (size_t)(nul - at);
                memcpy(out, at, len);
                out[len++] = '\n';
                at = nul + 1;
        }
        at += 4;
        if (end[-1] == 0)
                end--;
        memcpy(out + len, at, (size_t)(end - at));
        return len + (size_t)(end - at);
}

/* The same record as from the socket; and cut anywhere before its payload it is none. The bytes are in a buffer of their
 * length, so that a read behind it is seen. */
static void spooled_like(const struct bytes *raw, const struct wire_facts *host, const struct wire_record *wanted)
{
        uint8_t *all = malloc(raw->len + 1), scratch[TM_ATTRIBUTES_MAX];
        struct wire_record found;

        NEED(all);
        size_t len = as_spooled(raw, all), header_end = len - wanted->payload.len;
        for (size_t cut = 0; cut <= len; cut += cut < header_end ? 1 : len - cut > 1000 ? 997 : 1) {
                uint8_t *some = malloc(cut ? cut : 1);
                NEED(some);
                memcpy(some, all, cut);
                enum tm_reason reason = wire4_decode_spooled(some, cut, host, scratch, &found);
                CHECK_EQ(reason, cut < header_end ? TM_REASON_HEADER : TM_REASON_NONE);
                if (cut == len) {
                        CHECK_EQ(found.payload.len, wanted->payload.len);
                        CHECK(memcmp(found.payload.data, wanted->payload.data, found.payload.len) == 0);
                        CHECK_EQ(found.attributes.len, wanted->attributes.len);
                        CHECK(memcmp(found.attributes.data, wanted->attributes.data, found.attributes.len) == 0);
                        CHECK_EQ(found.classification.len, wanted->classification.len);
                        CHECK(memcmp(found.classification.data, wanted->classification.data, found.classification.len) == 0);
                        CHECK(memcmp(found.event_id, wanted->event_id, TM_ID_SIZE) == 0);
                        CHECK_EQ(found.created_us, wanted->created_us);
                        CHECK_EQ(found.severity, wanted->severity);
                        CHECK_EQ(found.payload_version, wanted->payload_version);
                }
                free(some);
        }
        free(all);
}

static void spooled_limits(void)
{
        uint8_t *bytes = calloc(1, TM_RECORD_MAX + 1), scratch[TM_ATTRIBUTES_MAX];
        struct wire_record record;

        NEED(bytes);
        CHECK_EQ(wire4_decode_spooled(bytes, 0, NULL, scratch, &record), TM_REASON_HEADER);
        CHECK_EQ(wire4_decode_spooled(bytes, TM_RECORD_MAX, NULL, scratch, &record), TM_REASON_HEADER);
        CHECK_EQ(wire4_decode_spooled(bytes, TM_RECORD_MAX + 1, NULL, scratch, &record), TM_REASON_TOO_LARGE);
        memset(bytes, '\n', TM_RECORD_MAX);
        CHECK_EQ(wire4_decode_spooled(bytes, 1000, NULL, scratch, &record), TM_REASON_HEADER);
        CHECK_EQ(wire4_decode_spooled(bytes, TM_RECORD_MAX, NULL, scratch, &record), TM_REASON_TOO_LARGE);
        memcpy(bytes, "CFG:/etc/a\0b\n", 13);
        CHECK_EQ(wire4_decode_spooled(bytes, 1000, NULL, scratch, &record), TM_REASON_HEADER);
        free(bytes);
}

static void format4_vectors(void)
{
        struct vectors vectors = vectors_open("tests/vectors/format4.txt");
        struct bytes host_attributes = {0};
        struct wire_facts host = {0};
        unsigned good = 0, bad = 0;

        NEED(vectors_next(&vectors) && strcmp(vectors.now.name, "host") == 0);
        host_attributes = vectors.now.columns[0];
        vectors.now.columns[0].data = NULL;
        struct wire_slice all = {.data = host_attributes.data, .len = (uint32_t)host_attributes.len}, value;
        size_t offset = 0;
        uint16_t key;
        while (wire_attribute_next(all, &offset, &key, &value) == 1)
                host.value[key - 1] = value;

        while (vectors_next(&vectors)) {
                struct bytes *raw = &vectors.now.columns[0];
                bool is_good = strcmp(vectors.now.verdict, "none") == 0;

                peeks_like(wire4_peek, raw, is_good);
                good += is_good;
                bad += !is_good;
                for (int on_host = 0; on_host < 2; on_host++) {
                        uint8_t scratch[TM_ATTRIBUTES_MAX];
                        struct wire_record record;
                        enum tm_reason reason = wire4_decode(raw->data, raw->len, on_host ? &host : NULL, scratch, &record);
                        const char *name = tm_reason_name((uint16_t)reason);

                        CHECK_TEXT(name, strlen(name), vectors.now.verdict);
                        if (reason != TM_REASON_NONE)
                                continue;
                        memcpy(record.record_id, record_id, sizeof record_id);
                        encodes_to(&record, &vectors.now.columns[1 + on_host]);
                        spooled_like(raw, on_host ? &host : NULL, &record);
                }
        }
        CHECK(good > 40 && bad > 60);
        free(host_attributes.data);
}

static void answer_vectors(void)
{
        struct vectors vectors = vectors_open("tests/vectors/answer.txt");

        while (vectors_next(&vectors)) {
                struct bytes *raw = &vectors.now.columns[0];
                struct tm_ack ack;
                uint8_t again[WIRE_ANSWER_LEN];

                NEED(raw->len == WIRE_ANSWER_LEN);
                bool good = wire_answer_decode(raw->data, &ack);
                CHECK_EQ(good, strcmp(vectors.now.verdict, "none") == 0);
                if (!good)
                        continue;
                wire_answer_encode(&ack, again);
                CHECK(memcmp(again, raw->data, sizeof again) == 0);
        }
}

/* What wire4_encode() writes, wire4_decode() reads. */
static void format4_way_back(void)
{
        uint8_t out[16384], scratch[TM_ATTRIBUTES_MAX], attributes[TM_ATTRIBUTES_MAX];
        struct wire_facts host = {0};
        struct wire_record record = example("a payload\n"), found;
        size_t len, attributes_len;

        for (size_t i = 0; i < WIRE_FACT_COUNT; i++)
                host.value[i] = slice("host fact");
        attributes_len = wire_attribute_put(attributes, 0, sizeof attributes, TM_ATTR_BUILD, "\"12\"", 4);
        attributes_len = wire_attribute_put(attributes, attributes_len, sizeof attributes, 777, "not a fact", 10);
        attributes_len = wire_attribute_put(attributes, attributes_len, sizeof attributes, TM_ATTR_BOARD_NAME, "a\nseverity: 4", 13);
        record.attributes = (struct wire_slice){.data = attributes, .len = (uint32_t)attributes_len};

        len = wire4_encode(&record, &host, "/etc/other.conf", out, sizeof out);
        CHECK(len > 0);
        for (size_t size = 0; size < len; size++)
                CHECK_EQ(wire4_encode(&record, &host, "/etc/other.conf", out, size), 0);
        CHECK_EQ(wire4_encode(&record, &host, "/etc/other.conf", out, len), len);
        CHECK(memcmp(out + 4, "CFG:/etc/other.conf", 20) == 0);
        CHECK(memmem(out, len, "machine_id: FFFFFFFF\n", 21) != NULL);
        CHECK_EQ(out[len - 1], 0);

        CHECK_EQ(wire4_decode(out, len, &host, scratch, &found), TM_REASON_NONE);
        CHECK_EQ(found.created_us, 1760000000000000);
        CHECK_EQ(found.severity, 1);
        CHECK_EQ(found.payload_version, 1);
        CHECK(memcmp(found.event_id, record.event_id, TM_ID_SIZE) == 0);
        CHECK_TEXT(found.classification.data, found.classification.len, "org.clearlinux/hello/world");
        CHECK_TEXT(found.payload.data, found.payload.len, "a payload\n");
        struct {
                uint16_t key;
                const char *value;
        } wanted[] = {
                {TM_ATTR_BUILD, "\"12\""}, {TM_ATTR_BOARD_NAME, "a?severity: 4"}, {TM_ATTR_CONFIG_PATH, "/etc/other.conf"},
        };
        size_t offset = 0;
        uint16_t key;
        struct wire_slice value;
        for (size_t i = 0; i < 3; i++) {
                NEED(wire_attribute_next(found.attributes, &offset, &key, &value) == 1);
                CHECK_EQ(key, wanted[i].key);
                CHECK_TEXT(value.data, value.len, wanted[i].value);
        }
        CHECK_EQ(wire_attribute_next(found.attributes, &offset, &key, &value), 0);

        /* no host known, no facts, an event before 1970: still a record */
        record.attributes.len = 0;
        record.created_us = -5;
        len = wire4_encode(&record, NULL, NULL, out, sizeof out);
        CHECK_EQ(wire4_decode(out, len, NULL, scratch, &found), TM_REASON_NONE);
        CHECK_EQ(found.created_us, 0);
}

/* Payloads of 8188 to 8192 bytes were lost by telemetrics-client. */
static void format4_payload_lengths(void)
{
        static const uint32_t lengths[] = {0, 1, 8187, 8188, 8189, 8190, 8191, 8192, 8193, 65535, 65536, 65537};
        uint8_t scratch[TM_ATTRIBUTES_MAX];
        uint8_t *payload = malloc(65537), *out = malloc(TM_RECORD_MAX);

        NEED(payload && out);
        memset(payload, 'p', 65537);
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
                struct wire_record record = example(""), found;
                record.payload = (struct wire_slice){.data = payload, .len = lengths[i]};
                size_t len = wire4_encode(&record, NULL, NULL, out, TM_RECORD_MAX);
                enum tm_reason reason = wire4_decode(out, len, NULL, scratch, &found);

                CHECK_EQ(reason, lengths[i] > TM_PAYLOAD_MAX ? TM_REASON_TOO_LARGE : TM_REASON_NONE);
                if (reason == TM_REASON_NONE)
                        CHECK_EQ(found.payload.len, lengths[i]);
        }
        struct wire_record record = example("");
        record.payload = (struct wire_slice){.data = payload, .len = 65537};
        CHECK_EQ(wire5_length(&record), 0);
        CHECK_EQ(wire5_encode(&record, out, TM_RECORD_MAX), 0);
        free(payload);
        free(out);
}

static void attributes(void)
{
        uint8_t buffer[16];
        struct wire_slice value, all = {.data = buffer};
        size_t offset = 0, len;
        uint16_t key;

        len = wire_attribute_put(buffer, 0, sizeof buffer, 500, "abc", 3);
        CHECK_EQ(len, 7);
        CHECK_EQ(wire_attribute_put(buffer, len, sizeof buffer, 501, "abcdef", 6), 0);
        CHECK_EQ(wire_attribute_put(buffer, len, sizeof buffer, 501, "abcde", 5), 16);
        CHECK_EQ(wire_attribute_put(buffer, 16, sizeof buffer, 502, "", 0), 0);
        CHECK_EQ(wire_attribute_put(buffer, 17, sizeof buffer, 502, "", 0), 0);
        CHECK_EQ(wire_attribute_put(buffer, 0, SIZE_MAX, 502, buffer, 65536), 0);
        all.len = 16;
        CHECK_EQ(wire_attribute_next(all, &offset, &key, &value), 1);
        CHECK_EQ(key, 500);
        CHECK_TEXT(value.data, value.len, "abc");
        CHECK_EQ(wire_attribute_next(all, &offset, &key, &value), 1);
        CHECK_EQ(key, 501);
        CHECK_EQ(wire_attribute_next(all, &offset, &key, &value), 0);
        offset = 17;
        CHECK_EQ(wire_attribute_next(all, &offset, &key, &value), -1);

        CHECK(wire_attribute_valid(500, buffer, TM_ATTRIBUTES_MAX - 4));
        CHECK(!wire_attribute_valid(500, buffer, TM_ATTRIBUTES_MAX - 3));
}

static void reasons(void)
{
        CHECK_EQ(tm_reason_errno(TM_REASON_NONE), 0);
        for (uint16_t reason = 1; reason < 40; reason++)
                CHECK(tm_reason_errno(reason) > 0);
        for (uint16_t reason = 11; reason < 16; reason++)
                CHECK(strcmp(tm_reason_name(reason), "unknown") == 0);
        CHECK(strcmp(tm_reason_name(TM_REASON_COUNT), "unknown") == 0);
        CHECK(strcmp(tm_reason_name(UINT16_MAX), "unknown") == 0);
}

int main(void)
{
        format5_vectors();
        format4_vectors();
        spooled_limits();
        answer_vectors();
        format4_way_back();
        format4_payload_lengths();
        attributes();
        reasons();
        return check_end();
}
