/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The older way in (docs/protocol.md, section 3): one record a connection, never answered, rewritten as format 5.
 */
#include "intake_fixture.h"

#define TIMES "1760000000"

static uint8_t message[TM_RECORD_MAX + 16];

/* What a test says about a record; NULL means what the host says too. */
struct said {
        const char *config_path;
        const char *severity;
        const char *build;
        const char *event_id;
        const uint8_t *payload;
        size_t payload_len;
        bool without_nul;
};

static const char *const host[WIRE_FACT_COUNT] = {
        "x86_64", "host|type", "12", "6.1.0-13-amd64", "debian", "board", "cpu", "bios",
};

static size_t make4(const struct said *said)
{
        char header[12000];
        uint32_t size, header_size = (uint32_t)snprintf(
                header, sizeof header,
                "record_format_version: 4\nclassification: " CLASS "\nseverity: %s\nmachine_id: 0123456789\n"
                "creation_timestamp: " TIMES "\narch: %s\nhost_type: %s\nbuild: %s\nkernel_version: %s\n"
                "payload_format_version: 3\nsystem_name: %s\nboard_name: %s\ncpu_model: %s\nbios_version: %s\nevent_id: %s\n",
                said->severity ? said->severity : "3", host[0], host[1], said->build ? said->build : host[2], host[3], host[4],
                host[5], host[6], host[7], said->event_id ? said->event_id : "00112233445566778899aabbccddeeff");
        size_t at = 4;

        NEED(header_size < sizeof header);
        if (said->config_path)
                at += (size_t)snprintf((char *)message + at, 8000, "CFG:%s", said->config_path) + 1;
        memcpy(message + at, &header_size, 4);
        memcpy(message + at + 4, header, header_size);
        at += 4 + header_size;
        NEED(at + said->payload_len < sizeof message);
        if (said->payload_len)
                memcpy(message + at, said->payload, said->payload_len);
        at += said->payload_len;
        if (!said->without_nul)
                message[at++] = 0;
        size = (uint32_t)at;
        memcpy(message, &size, 4);
        return at;
}

static struct house *house_with_facts(void)
{
        struct house *house = house_new(8);
        struct wire_facts facts;

        for (int i = 0; i < (int)WIRE_FACT_COUNT; i++)
                facts.value[i] = (struct wire_slice){ (const uint8_t *)host[i], (uint32_t)strlen(host[i]) };
        NEED(intake_set_facts(house->intake, &facts) == 0);
        return house;
}

/* Send it, and look at the record that telemd made of it. False where it was refused. */
static bool taken(struct house *house, const struct said *said, struct wire_record *record)
{
        int fd = dial(house, 4);
        const struct batch_entry *entry = &house->batch->entries[0];

        give(fd, message, make4(said));
        CHECK_EQ(house_drain(house), 1);
        HEARS_NOTHING(fd, ENDED); /* it is let go before the disk has it */
        close(fd);
        CHECK_EQ(house_connections(house), 0);
        if (entry->record_len == 0)
                return false;
        CHECK_EQ(wire5_decode(house->batch->arena + entry->offset + FRAME_HEADER_LEN, entry->record_len, record), 0);
        return true;
}

static void what_becomes_of_it(void)
{
        struct house *house = house_with_facts();
        struct wire_record record;
        static const uint8_t event_id[TM_ID_SIZE] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                                      0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

        check_about = "conversion";
        NEED(taken(house, &(struct said){ .payload = (const uint8_t *)"a\0b\xff\n", .payload_len = 5 }, &record));
        CHECK_EQ(record.created_us, 1760000000000000);
        CHECK_EQ(record.payload_version, 3);
        CHECK_EQ(record.severity, 3);
        CHECK_EQ(record.payload_kind, TM_PAYLOAD_TEXT);
        CHECK_EQ(record.flags, 0);
        CHECK_TEXT(record.classification.data, record.classification.len, CLASS);
        CHECK_EQ(record.attributes.len, 0); /* all facts are the host's */
        CHECK_EQ(record.payload.len, 5);
        CHECK(memcmp(record.payload.data, "a\0b\xff\n", 5) == 0);
        CHECK(memcmp(record.event_id, event_id, TM_ID_SIZE) == 0);
        CHECK_EQ(house->batch->runs[0].uid, getuid());
        CHECK_EQ(house->batch->entries[0].pid, getpid());
        house_answer(house);

        CHECK(taken(house, &(struct said){ .payload = (const uint8_t *)"abc", .payload_len = 3, .without_nul = true }, &record));
        CHECK_TEXT(record.payload.data, record.payload.len, "abc");
        house_answer(house);
        CHECK(taken(house, &(struct said){ 0 }, &record));
        CHECK_EQ(record.payload.len, 0);
        house_answer(house);
        CHECK_EQ(house_counts(house).durable, 3);
        house_free(house);
}

static void differing_facts(void)
{
        struct house *house = house_with_facts();
        struct wire_record record;
        struct wire_slice value;
        size_t offset = 0;
        uint16_t key;

        check_about = "facts";
        NEED(taken(house, &(struct said){ .build = "13", .config_path = "/etc/my.conf" }, &record));
        CHECK_EQ(wire_attribute_next(record.attributes, &offset, &key, &value), 1);
        CHECK_EQ(key, TM_ATTR_BUILD);
        CHECK_TEXT(value.data, value.len, "13");
        CHECK_EQ(wire_attribute_next(record.attributes, &offset, &key, &value), 1);
        CHECK_EQ(key, TM_ATTR_CONFIG_PATH);
        CHECK_TEXT(value.data, value.len, "/etc/my.conf");
        CHECK_EQ(wire_attribute_next(record.attributes, &offset, &key, &value), 0);
        house_answer(house);

        /* The slices are copied: the host's facts may be set again and again. */
        for (int turn = 0; turn < 3; turn++) {
                char *text = strdup("13");
                struct wire_facts facts = { 0 };

                NEED(text);
                facts.value[TM_ATTR_BUILD - 1] = (struct wire_slice){ (uint8_t *)text, 2 };
                CHECK_EQ(intake_set_facts(house->intake, &facts), 0);
                free(text);
        }
        NEED(taken(house, &(struct said){ .build = "13" }, &record));
        for (offset = 0; wire_attribute_next(record.attributes, &offset, &key, &value) > 0;)
                CHECK(key != TM_ATTR_BUILD && key <= TM_ATTR_BIOS_VERSION);
        CHECK_EQ(offset, record.attributes.len);
        house_answer(house);
        house_free(house);

        house = house_new(2); /* no facts were set: every one is kept */
        NEED(taken(house, &(struct said){ 0 }, &record));
        int count = 0;
        for (offset = 0; wire_attribute_next(record.attributes, &offset, &key, &value) > 0; count++)
                CHECK_TEXT(value.data, value.len, host[key - 1]);
        CHECK_EQ(count, WIRE_FACT_COUNT);
        house_answer(house);
        house_free(house);
}

/* Ids are made, each another: of more records than one call for randomness serves. */
static void ids(void)
{
        enum { COUNT = 300 };
        struct house *house = house_with_facts();
        static const char *const unusable[] = { "", "xyz", "0011", "00000000000000000000000000000000" };
        static uint8_t seen[COUNT][2][TM_ID_SIZE];
        static const uint8_t none[TM_ID_SIZE];

        check_about = "ids";
        for (int i = 0; i < COUNT; i++) {
                struct wire_record record;

                NEED(taken(house, &(struct said){ .event_id = unusable[i % 4] }, &record));
                CHECK(memcmp(record.record_id, none, 6) == 0);
                CHECK_EQ(record.record_id[6] >> 4, 7);
                CHECK_EQ(record.record_id[8] >> 6, 2);
                CHECK(memcmp(record.event_id, none, TM_ID_SIZE) != 0);
                memcpy(seen[i][0], record.record_id, TM_ID_SIZE);
                memcpy(seen[i][1], record.event_id, TM_ID_SIZE);
                for (int k = 0; k < i; k++) {
                        CHECK(memcmp(seen[k][0], seen[i][0], TM_ID_SIZE) != 0);
                        CHECK(memcmp(seen[k][1], seen[i][1], TM_ID_SIZE) != 0);
                }
                house_answer(house);
        }
        house_free(house);
}

static void byte_by_byte(void)
{
        struct house *house = house_with_facts();

        check_about = "byte by byte, format 4";
        for (int turn = 0; turn < 2; turn++) {
                size_t len = make4(&(struct said){ .payload = (const uint8_t *)"hello", .payload_len = 5,
                                                   .config_path = turn ? "/c" : NULL });
                int fd = dial(house, 4);

                for (size_t i = 0; i < len; i++) {
                        give(fd, message + i, 1);
                        CHECK_EQ(house_round(house), i + 1 == len);
                }
                HEARS_NOTHING(fd, ENDED);
                close(fd);
        }
        CHECK_EQ(house_counts(house).durable, 2);
        CHECK_EQ(house_connections(house), 0);
        house_free(house);
}

/* In two pieces, cut anywhere; and with bytes behind it that belong to nothing. */
static void in_pieces(void)
{
        struct house *house = house_with_facts();
        size_t len = make4(&(struct said){ .payload = (const uint8_t *)"hello", .payload_len = 5 }), count = 0;

        check_about = "pieces, format 4";
        memset(message + len, 'z', 10);
        for (size_t cut = 1; cut < len; cut++)
                for (size_t more = 0; more <= 10; more += 10, count++) {
                        int fd = dial(house, 4);

                        give(fd, message, cut);
                        CHECK_EQ(house_round(house), 0);
                        give(fd, message + cut, len - cut + more);
                        CHECK_EQ(house_round(house), 1);
                        close(fd);
                }
        CHECK_EQ(house_counts(house).durable, count);
        CHECK_EQ(house_connections(house), 0);
        house_free(house);
}

/* A record of format 4 may be longer as format 5: every fact another, a long path, the longest payload. */
static void longest(void)
{
        struct house *house = house_new(70);
        char path[4200];
        static uint8_t payload[TM_PAYLOAD_MAX + 1];
        struct wire_record record;

        check_about = "longest, format 4";
        memset(payload, 'p', sizeof payload);
        memset(path, 'c', sizeof path);
        const char *text[WIRE_FACT_COUNT];
        size_t facts_len = 0;
        for (int i = 0; i < (int)WIRE_FACT_COUNT; i++) {
                text[i] = host[i];
                facts_len += 4 + strlen(text[i]);
        }
        path[TM_ATTRIBUTES_MAX - facts_len - 4] = 0;
        NEED(taken(house, &(struct said){ .config_path = path, .payload = payload, .payload_len = TM_PAYLOAD_MAX }, &record));
        CHECK_EQ(record.attributes.len, TM_ATTRIBUTES_MAX);
        CHECK_EQ(record.payload.len, TM_PAYLOAD_MAX);
        house_answer(house);

        /* so many at once that the arena is full */
        size_t len = make4(&(struct said){ .config_path = path, .payload = payload, .payload_len = TM_PAYLOAD_MAX });
        int fd[60];
        uint32_t sum = 0;
        for (int i = 0; i < 60; i++) {
                fd[i] = dial(house, 4);
                give(fd[i], message, len);
        }
        while (house_has_work(house))
                sum += house_round(house);
        CHECK_EQ(sum, 60);
        for (int i = 0; i < 60; i++)
                close(fd[i]);
        CHECK_EQ(house_counts(house).durable, 61);

        path[TM_ATTRIBUTES_MAX - facts_len - 4] = 'c';
        path[TM_ATTRIBUTES_MAX - facts_len - 3] = 0;
        CHECK(!taken(house, &(struct said){ .config_path = path }, &record));
        CHECK_EQ(house->batch->entries[0].reason, TM_REASON_TOO_LARGE);
        house_answer(house);
        CHECK(!taken(house, &(struct said){ .payload = payload, .payload_len = TM_PAYLOAD_MAX + 1 }, &record));
        CHECK_EQ(house->batch->entries[0].reason, TM_REASON_TOO_LARGE);
        house_answer(house);
        CHECK_EQ(house_counts(house).refused[TM_REASON_TOO_LARGE], 2);
        house_free(house);
}

static void refused(void)
{
        static const struct { const char *severity; uint16_t reason; } wrongs[] = {
                { "0", TM_REASON_SEVERITY }, { "99", TM_REASON_SEVERITY }, { "high", TM_REASON_SEVERITY }, { "", TM_REASON_HEADER },
                { "1\nseverity: 2", TM_REASON_HEADER },
        };
        struct house *house = house_with_facts();
        struct wire_record record;

        check_about = "refused, format 4";
        for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
                CHECK(!taken(house, &(struct said){ .severity = wrongs[i].severity }, &record));
                CHECK_EQ(house->batch->entries[0].reason, wrongs[i].reason);
                house_answer(house);
        }
        static const uint32_t sizes[] = { 0, 7, TM_RECORD_MAX + 1, UINT32_MAX };
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                int fd = dial(house, 4);

                give(fd, (const uint8_t *)&sizes[i], 4);
                CHECK_EQ(house_drain(house), 1);
                CHECK_EQ(house->batch->entries[0].reason, sizes[i] > 7 ? TM_REASON_TOO_LARGE : TM_REASON_MALFORMED);
                house_answer(house);
                HEARS_NOTHING(fd, ENDED);
                close(fd);
        }
        /* a record of format 5 at the wrong door: its magic is no size */
        int fd = dial(house, 4);
        give_small(fd, 1, 1);
        CHECK_EQ(house_round(house), 1);
        HEARS_NOTHING(fd, ENDED);
        close(fd);
        /* one that ends too early */
        fd = dial(house, 4);
        give(fd, message, make4(&(struct said){ 0 }) - 1);
        CHECK_EQ(house_round(house), 0);
        close(fd);
        CHECK_EQ(house_rounds(house), 1);
        CHECK_EQ(house_counts(house).durable, 0);
        CHECK_EQ(house_connections(house), 0);
        house_free(house);
}

int main(void)
{
        what_becomes_of_it();
        differing_facts();
        ids();
        byte_by_byte();
        in_pieces();
        longest();
        refused();
        return check_end();
}
