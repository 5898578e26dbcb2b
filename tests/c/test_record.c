/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be put into a record, and what is refused; that what was built can always be sent and read.
 */
#include "record.h"

#include <errno.h>
#include <time.h>

#include "check.h"

static const uint8_t random_bytes[RECORD_RANDOM_LEN] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,   16,
};

static struct telem_ref *new_record(void)
{
        struct telem_ref *ref;

        NEED(record_new(&ref, 1, "a/b/c", 7, 1000, random_bytes) == 0);
        return ref;
}

static int create(const char *classification)
{
        struct telem_ref *ref = (struct telem_ref *)&ref; /* not NULL */
        char *copy = strdup(classification);
        int r = tm_create_record(&ref, 1, copy, 1);

        free(copy);
        CHECK_EQ(ref != NULL, r == 0);
        tm_free_record(ref);
        return r;
}

static void creation(void)
{
        static const uint8_t wanted_id[TM_ID_SIZE] = {0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
        static const struct {
                uint32_t given, kept;
        } severities[] = {{0, 1}, {1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 4}, {99, 4}, {UINT32_MAX, 4}};
        struct telem_ref *ref = new_record();
        struct wire_record view = record_view(ref);

        CHECK(memcmp(view.record_id, wanted_id, TM_ID_SIZE) == 0);
        CHECK(memcmp(view.event_id, random_bytes + TM_ID_SIZE, TM_ID_SIZE) == 0);
        CHECK_EQ(view.created_us, 1000);
        CHECK_EQ(view.payload_version, 7);
        CHECK_EQ(view.payload_kind, TM_PAYLOAD_TEXT);
        CHECK_EQ(view.flags, 0);
        CHECK_EQ(view.payload.len + view.attributes.len, 0);
        tm_free_record(ref);

        for (size_t i = 0; i < sizeof severities / sizeof *severities; i++) {
                NEED(record_new(&ref, severities[i].given, "a/b/c", 1, -1, random_bytes) == 0);
                view = record_view(ref);
                CHECK_EQ(view.severity, severities[i].kept);
                CHECK_EQ(view.created_us, 0);
                tm_free_record(ref);
        }
        tm_free_record(NULL);
}

static void classifications(void)
{
        char longest[123], part_of_41[64];

        memset(longest, 'x', 122);
        longest[122] = 0;
        longest[40] = longest[81] = '/';
        snprintf(part_of_41, sizeof part_of_41, "a/%s/c", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        CHECK_EQ(create("org.clearlinux/hello/world"), 0);
        CHECK_EQ(create(longest), 0);
        CHECK_EQ(create(part_of_41), -EINVAL);
        CHECK_EQ(create(""), -EINVAL);
        CHECK_EQ(create("a/b"), -EINVAL);
        CHECK_EQ(create("a/b/c/d"), -EINVAL);
        CHECK_EQ(create("a/../c"), -EINVAL);
        CHECK_EQ(create("a/b c/d"), -EINVAL);
        CHECK_EQ(create("a/b/"), -EINVAL);
        char *endless = calloc(1, 1000001);
        NEED(endless);
        memset(endless, 'x', 1000000);
        CHECK_EQ(create(endless), -EINVAL);
        free(endless);

        struct telem_ref *ref;
        CHECK_EQ(tm_create_record(&ref, 1, NULL, 1), -EINVAL);
        CHECK(ref == NULL);
        CHECK_EQ(tm_create_record(NULL, 1, longest, 1), -EINVAL);
}

/* The functions on top of record_new() fetch a clock and random bytes. */
static void clock_and_random(void)
{
        static char classification[] = "a/b/c";
        struct telem_ref *one, *two;
        uint8_t id[TM_ID_SIZE], other[TM_ID_SIZE];
        struct timespec before, after;

        clock_gettime(CLOCK_REALTIME, &before);
        NEED(tm_create_record(&one, 1, classification, 1) == 0 && tm_create_record(&two, 1, classification, 1) == 0);
        clock_gettime(CLOCK_REALTIME, &after);
        int64_t created_us = record_view(one).created_us;
        CHECK(created_us >= (int64_t)before.tv_sec * 1000000 + before.tv_nsec / 1000);
        CHECK(created_us <= (int64_t)after.tv_sec * 1000000 + after.tv_nsec / 1000);
        tm_get_record_id(one, id);
        tm_get_record_id(two, other);
        CHECK(memcmp(id, other, TM_ID_SIZE) != 0);
        CHECK(memcmp(id, "\0\0\0\0\0\0", 6) == 0);
        CHECK_EQ(id[6] >> 4, 7);
        CHECK_EQ(id[8] >> 6, 2);
        tm_get_event_id(one, id);
        tm_get_event_id(two, other);
        CHECK(memcmp(id, other, TM_ID_SIZE) != 0);
        tm_free_record(one);
        tm_free_record(two);
}

static void payloads(void)
{
        struct telem_ref *ref = new_record();
        char *text = malloc(10001);
        struct wire_record view;

        NEED(text);
        memset(text, 'p', 10000);
        for (size_t len = 8186; len <= 8194; len++) {
                text[len] = 0;
                CHECK_EQ(tm_set_payload(ref, text), 0);
                CHECK_EQ(record_view(ref).payload.len, len < 8192 ? len : 8192);
                text[len] = 'p';
        }
        text[10000] = 0;
        CHECK_EQ(tm_set_payload(ref, text), 0);
        CHECK_EQ(record_view(ref).payload.len, 8192);

        char white[] = " ~\t\n\v\f\r";
        CHECK_EQ(tm_set_payload(ref, white), 0);
        CHECK_TEXT(record_view(ref).payload.data, record_view(ref).payload.len, white);
        char refused[][3] = {"\x01", "\x1f", "\x7f", "\xe9", "a\b"};
        for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
                CHECK_EQ(tm_set_payload(ref, refused[i]), -EINVAL);
        CHECK_TEXT(record_view(ref).payload.data, record_view(ref).payload.len, white);
        CHECK_EQ(tm_set_payload(ref, NULL), -EINVAL);
        CHECK_EQ(tm_set_payload(NULL, white), -EINVAL);
        free(text);

        uint8_t *bytes = calloc(1, TM_PAYLOAD_MAX + 1);
        NEED(bytes);
        CHECK_EQ(tm_set_payload_bytes(ref, TM_PAYLOAD_METRIC, bytes, TM_PAYLOAD_MAX), 0);
        CHECK_EQ(tm_set_payload_bytes(ref, TM_PAYLOAD_JSON, bytes, TM_PAYLOAD_MAX + 1), -EMSGSIZE);
        CHECK_EQ(tm_set_payload_bytes(ref, TM_PAYLOAD_JSON_ZSTD + 1, bytes, 1), -EINVAL);
        CHECK_EQ(tm_set_payload_bytes(ref, TM_PAYLOAD_JSON, NULL, 1), -EINVAL);
        CHECK_EQ(tm_set_payload_bytes(NULL, TM_PAYLOAD_JSON, bytes, 1), -EINVAL);
        view = record_view(ref);
        CHECK_EQ(view.payload_kind, TM_PAYLOAD_METRIC);
        CHECK_EQ(view.payload.len, TM_PAYLOAD_MAX);
        CHECK_EQ(tm_set_payload_bytes(ref, TM_PAYLOAD_TEXT, NULL, 0), 0);
        CHECK_EQ(record_view(ref).payload.len, 0);
        free(bytes);
        tm_free_record(ref);
}

static void ids(void)
{
        struct telem_ref *ref = new_record();
        char good[] = "00112233445566778899aabbccddeeff";
        char bad[][40] = {"", "0", "00112233445566778899aabbccddeef", "00112233445566778899aabbccddeeff0",
                          "00112233445566778899AABBCCDDEEFF", "00112233445566778899aabbccddeefg"};
        uint8_t id[TM_ID_SIZE] = {0}, found[TM_ID_SIZE];

        CHECK_EQ(tm_set_event_id(ref, good), 0);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                CHECK_EQ(tm_set_event_id(ref, bad[i]), -1);
        CHECK_EQ(tm_set_event_id(ref, NULL), -1);
        CHECK_EQ(tm_set_event_id(NULL, good), -1);
        tm_get_event_id(ref, found);
        CHECK(memcmp(found, "\0\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", TM_ID_SIZE) == 0);

        CHECK_EQ(tm_set_record_id(ref, id), -EINVAL);
        CHECK_EQ(tm_set_record_id(ref, NULL), -EINVAL);
        record_mark_sent(ref);
        CHECK_EQ(record_view(ref).flags, WIRE5_FLAG_RESEND);
        id[15] = 1;
        CHECK_EQ(tm_set_record_id(ref, id), 0);
        CHECK_EQ(record_view(ref).flags, 0); /* that id was never sent */
        tm_get_record_id(ref, found);
        CHECK(memcmp(found, id, TM_ID_SIZE) == 0);

        CHECK_EQ(tm_set_created_us(ref, -1), -EINVAL);
        CHECK_EQ(tm_set_created_us(ref, INT64_MAX), 0);
        CHECK_EQ(record_view(ref).created_us, INT64_MAX);
        tm_free_record(ref);
}

static void attributes(void)
{
        struct telem_ref *ref = new_record();
        uint8_t *value = calloc(1, 5000);
        struct wire_slice found;
        size_t offset = 0;
        uint16_t key;

        NEED(value);
        CHECK_EQ(tm_set_attribute(ref, TM_ATTR_ARCH, "x86_64", 6), 0);
        CHECK_EQ(tm_set_attribute(ref, 500, "opaque\0\xff", 8), 0);
        CHECK_EQ(tm_set_attribute(ref, TM_ATTR_BUILD, "12", 2), 0);
        CHECK_EQ(tm_set_attribute(ref, TM_ATTR_ARCH, "riscv64", 7), 0); /* replaced */
        CHECK_EQ(tm_set_attribute(ref, TM_ATTR_ARCH, "a\nb", 3), -EINVAL);
        CHECK_EQ(tm_set_attribute(ref, TM_ATTR_ARCH, "\xff", 1), -EINVAL);
        CHECK_EQ(tm_set_attribute(ref, TM_ATTR_CONFIG_PATH, "", 0), -EINVAL);
        CHECK_EQ(tm_set_attribute(ref, 501, NULL, 1), -EINVAL);
        CHECK_EQ(tm_set_attribute(NULL, 501, "", 0), -EINVAL);
        CHECK_EQ(tm_set_attribute(ref, 501, value, 4096), -EMSGSIZE);
        CHECK_EQ(tm_set_attribute(ref, 501, value, 5000), -EMSGSIZE);
        CHECK_EQ(tm_set_attribute(ref, 500, value, 4096 - 4 - 11 - 6), 0); /* arch takes 11, build 6 */
        CHECK_EQ(tm_set_attribute(ref, 500, value, 4096 - 4 - 11 - 5), -EMSGSIZE);
        CHECK_EQ(record_view(ref).attributes.len, 4096);
        CHECK_EQ(tm_set_attribute(ref, 500, NULL, 0), 0);

        static const uint16_t keys[] = {TM_ATTR_BUILD, TM_ATTR_ARCH, 500};
        for (size_t i = 0; i < 3; i++) {
                NEED(wire_attribute_next(record_view(ref).attributes, &offset, &key, &found) == 1);
                CHECK_EQ(key, keys[i]);
        }
        CHECK_EQ(wire_attribute_next(record_view(ref).attributes, &offset, &key, &found), 0);
        free(value);
        tm_free_record(ref);
}

/* The largest record that can be built goes over the wire and back. */
static void largest(void)
{
        struct telem_ref *ref = new_record();
        uint8_t *bytes = calloc(1, TM_PAYLOAD_MAX), *out = malloc(TM_RECORD_MAX);
        struct wire_record view, found;

        NEED(bytes && out);
        NEED(tm_set_payload_bytes(ref, TM_PAYLOAD_JSON_ZSTD, bytes, TM_PAYLOAD_MAX) == 0);
        NEED(tm_set_attribute(ref, 500, bytes, TM_ATTRIBUTES_MAX - 4) == 0);
        view = record_view(ref);
        size_t len = wire5_encode(&view, out, TM_RECORD_MAX);
        CHECK_EQ(len, 72 + 5 + 4096 + 65536);
        CHECK_EQ(wire5_decode(out, len, &found), TM_REASON_NONE);
        CHECK(memcmp(found.record_id, view.record_id, TM_ID_SIZE) == 0);
        free(bytes);
        free(out);
        tm_free_record(ref);
}

int main(void)
{
        creation();
        classifications();
        clock_and_random();
        payloads();
        ids();
        attributes();
        largest();
        return check_end();
}
