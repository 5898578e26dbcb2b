/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ndjson.c writes what docs/protocol.md, section 6, says, keeps within the room it is given, and asks for exactly the room
 * it needs. That the lines of all vectors are the JSON they should be is tests/unit/test_wire_vectors.py's to check.
 */
#include "check.h"
#include "ndjson.h"
#include "wire.h"

static struct wire_slice slice(const char *text, size_t len)
{
        return (struct wire_slice){.data = (const uint8_t *)text, .len = (uint32_t)len};
}

static struct wire_record plain(const char *payload, size_t len)
{
        return (struct wire_record){
                .record_id = {0, 0, 0, 0, 0, 0, 0x70, 1, 0x80, 2, 3, 4, 5, 6, 0xfe, 0xff},
                .created_us = 17,
                .payload_version = 4294967295u,
                .severity = 4,
                .payload_kind = TM_PAYLOAD_JSON_ZSTD,
                .classification = slice("a/\"\\/c", 6),
                .payload = slice(payload, len),
        };
}

/* Every size from 0 to the right one, each in a buffer of its own: AddressSanitizer sees a byte too many. */
static void check_sizes(const struct wire_record *record, size_t step)
{
        size_t needed = wire5_to_ndjson(record, NULL, 0);

        NEED(needed > 0);
        for (size_t size = 0; size <= needed; size += needed - size < step && size < needed ? needed - size : step) {
                char *out = malloc(size ? size : 1);

                NEED(out != NULL);
                CHECK(wire5_to_ndjson(record, out, size) == needed);
                if (size == needed)
                        CHECK(out[needed - 1] == '\n' && out[0] == '{');
                free(out);
        }
}

static void check_line(const struct wire_record *record, const char *expected)
{
        char out[4096];
        size_t len = wire5_to_ndjson(record, out, sizeof out);

        NEED(len <= sizeof out);
        CHECK_TEXT(out, len, expected);
        check_sizes(record, 1);
}

#define HEAD                                                                                                       \
        "{\"id\": \"0000000000007001800203040506feff\", \"event_id\": \"00000000000000000000000000000000\", "   \
        "\"created_us\": 17, \"severity\": 4, \"classification\": \"a/\\\"\\\\/c\", \"payload_version\": 4294967295, " \
        "\"payload_kind\": \"json-zstd\", "

static void test_payloads(void)
{
        static const struct {
                const char *payload;
                size_t len;
                const char *field;
        } cases[] = {
                {"", 0, "\"payload\": \"\""},
                {"a\"b\\c/\n\r\t\b\f\x01\x1f\x7f", 14, "\"payload\": \"a\\\"b\\\\c/\\n\\r\\t\\u0008\\u000c\\u0001\\u001f\x7f\""},
                {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"payload\": \"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
                {"\0", 1, "\"payload_base64\": \"AA==\""},
                {"a\0", 2, "\"payload_base64\": \"YQA=\""},
                {"\xff\xfe\xfd", 3, "\"payload_base64\": \"//79\""},
                {"abc\xc3", 4, "\"payload_base64\": \"YWJjww==\""},
                {"\xed\xa0\x80", 3, "\"payload_base64\": \"7aCA\""},
                {"\xf4\x90\x80\x80", 4, "\"payload_base64\": \"9JCAgA==\""},
                {"\xc0\xaf", 2, "\"payload_base64\": \"wK8=\""},
        };
        char expected[1024];

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct wire_record record = plain(cases[i].payload, cases[i].len);

                snprintf(expected, sizeof expected, HEAD "%s}\n", cases[i].field);
                check_line(&record, expected);
        }
}

static void test_attributes(void)
{
        uint8_t attributes[TM_ATTRIBUTES_MAX];
        size_t len = 0;
        struct wire_record record = plain("", 0);

        len = wire_attribute_put(attributes, len, sizeof attributes, 300, "\0\1", 2);
        len = wire_attribute_put(attributes, len, sizeof attributes, TM_ATTR_CPU_MODEL, "a \"b\"", 5);
        len = wire_attribute_put(attributes, len, sizeof attributes, TM_ATTR_CONFIG_PATH, "/secret", 7);
        len = wire_attribute_put(attributes, len, sizeof attributes, TM_ATTR_ARCH, "", 0);
        len = wire_attribute_put(attributes, len, sizeof attributes, 0x7fff, "", 0);
        CHECK(len > 0);
        record.attributes = (struct wire_slice){.data = attributes, .len = (uint32_t)len};
        check_line(&record, HEAD "\"payload\": \"\", \"facts\": {\"cpu_model\": \"a \\\"b\\\"\", \"arch\": \"\"}, "
                                 "\"attributes\": {\"300\": \"AAE=\", \"32767\": \"\"}}\n");

        len = wire_attribute_put(attributes, 0, sizeof attributes, TM_ATTR_CONFIG_PATH, "/secret", 7);
        record.attributes.len = (uint32_t)len;
        check_line(&record, HEAD "\"payload\": \"\"}\n");
}

/* A record that no decoder would let through still gives valid JSON. */
static void test_undecoded(void)
{
        uint8_t attributes[16];
        struct wire_record record = plain("", 0);
        size_t len = wire_attribute_put(attributes, 0, sizeof attributes, TM_ATTR_BUILD, "a\xff\n", 3);

        record.attributes = (struct wire_slice){.data = attributes, .len = (uint32_t)len};
        record.created_us = INT64_MIN;
        record.payload_kind = 200;
        record.classification = slice("\xe9\0", 2);
        check_line(&record, "{\"id\": \"0000000000007001800203040506feff\", \"event_id\": \"00000000000000000000000000000000\", "
                            "\"created_us\": -9223372036854775808, \"severity\": 4, \"classification\": \"\xef\xbf\xbd\\u0000\", "
                            "\"payload_version\": 4294967295, \"payload_kind\": \"unknown\", \"payload\": \"\", "
                            "\"facts\": {\"build\": \"a\xef\xbf\xbd\\n\"}}\n");
}

static void test_largest(void)
{
        char *payload = malloc(TM_PAYLOAD_MAX);

        NEED(payload != NULL);
        for (int byte = 0; byte < 256; byte += 51) {
                memset(payload, byte, TM_PAYLOAD_MAX);

                struct wire_record record = plain(payload, TM_PAYLOAD_MAX);

                check_sizes(&record, 9973);
        }
        free(payload);
}

static void test_batch(void)
{
        uint8_t bytes[512];
        char out[2048];
        struct wire_record record = plain("x\n", 2);
        size_t one = wire5_encode(&record, bytes, sizeof bytes);
        size_t line = wire5_to_ndjson(&record, NULL, 0);
        size_t count;
        enum tm_reason reason;

        NEED(one > 0 && 3 * one <= sizeof bytes);
        memcpy(bytes + one, bytes, one);
        memcpy(bytes + 2 * one, bytes, one);

        CHECK(wire5_batch_to_ndjson(bytes, 0, NULL, 0, &count, &reason) == 0);
        CHECK(count == 0 && reason == TM_REASON_NONE);
        CHECK(wire5_batch_to_ndjson(bytes, 3 * one, out, sizeof out, &count, &reason) == 3 * line);
        CHECK(count == 3 && reason == TM_REASON_NONE);
        CHECK(memcmp(out, out + line, line) == 0 && memcmp(out, out + 2 * line, line) == 0);
        CHECK(wire5_batch_to_ndjson(bytes, 3 * one, out, line + 1, &count, &reason) == 3 * line);

        for (size_t cut = 1; cut < one; cut++) {
                uint8_t *exact = malloc(2 * one - cut);

                NEED(exact != NULL);
                memcpy(exact, bytes, 2 * one - cut);
                CHECK(wire5_batch_to_ndjson(exact, 2 * one - cut, out, sizeof out, &count, &reason) == 0);
                CHECK(count == 1 && reason == TM_REASON_MALFORMED);
                free(exact);
        }
        bytes[2 * one] ^= 1;
        CHECK(wire5_batch_to_ndjson(bytes, 3 * one, out, sizeof out, &count, &reason) == 0);
        CHECK(count == 2 && reason == TM_REASON_MALFORMED);
}

static void test_names(void)
{
        size_t named = 0;

        for (uint32_t key = 0; key <= UINT16_MAX; key++)
                named += wire_attribute_name((uint16_t)key) != NULL;
        CHECK(named == WIRE_FACT_COUNT + 1);
        CHECK(strcmp(wire_attribute_name(TM_ATTR_ARCH), "arch") == 0);
        CHECK(strcmp(wire_attribute_name(TM_ATTR_BIOS_VERSION), "bios_version") == 0);
        CHECK(strcmp(wire_payload_kind_name(TM_PAYLOAD_TEXT), "text") == 0);
        CHECK(wire_payload_kind_name(TM_PAYLOAD_JSON_ZSTD + 1) == NULL);
}

int main(void)
{
        test_payloads();
        test_attributes();
        test_undecoded();
        test_largest();
        test_batch();
        test_names();
        return check_end();
}
