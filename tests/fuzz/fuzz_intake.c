/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intake under senders who do anything, in any order: the fuzzer's bytes are a script of connects, pieces of records,
 * garbage, ends, drains, answers and time. Whatever it is, a sender who sent nothing but records hears of them in order and of
 * no others, every entry is counted once, and in the end nothing is left open.
 */
#include "intake_fixture.h"

#define PLACES 4u
#define SENDERS 7u
#define STEPS_MAX 400

struct sender {
        int fd;                         /* -1: none */
        int format;
        bool clean;                     /* nothing but whole records, or the begin of one */
        bool over;                      /* heard a refusal, LAST was answered, or it hangs up: nothing more comes */
        uint32_t serial;
        uint32_t made;                  /* records that were begun */
        uint32_t heard;                 /* answers */
        size_t len, at;                 /* the record that is being sent, and how far it is */
        uint8_t *record;
};

struct script {
        const uint8_t *at, *end;
};

static struct sender senders[SENDERS];
static uint32_t serials;

static uint8_t next_byte(struct script *script)
{
        return script->at < script->end ? *script->at++ : 0;
}

static void hang_up(struct sender *sender)
{
        if (sender->fd >= 0)
                close(sender->fd);
        sender->fd = -1;
}

/* Where we may, as user so-and-so: 0 is ourselves, the others have shares of places and memory. */
static void connect_again(const struct house *house, struct sender *sender, int format, uid_t uid)
{
        bool other = uid != 0 && getuid() == 0;
        uint8_t *kept = sender->record;

        hang_up(sender);
        NEED(!other || seteuid(uid) == 0);
        *sender = (struct sender){ .fd = dial(house, format), .format = format, .clean = true, .serial = ++serials, .record = kept };
        NEED(!other || seteuid(0) == 0);
}

static uint32_t number_at(const struct sender *sender, uint32_t index)
{
        return sender->serial << 12 | (index + 1);
}

static void begin_record(struct sender *sender)
{
        static const uint8_t payload[60000];
        uint32_t index = sender->made++, number = number_at(sender, index);
        uint8_t flags = (uint8_t)((index % 5 == 3 ? WIRE5_FLAG_RESEND : 0) | (index % 23 == 22 ? WIRE5_FLAG_LAST : 0));

        sender->len = make5(sender->record, number, flags, index % 3 ? CLASS : "a/b/c", payload, index % 11 == 7 ? 60000 : index % 300);
        sender->at = 0;
}

static void send_records(struct sender *sender, size_t bytes)
{
        while (bytes > 0 && sender->fd >= 0 && sender->made < 4000) {
                if (sender->at == sender->len)
                        begin_record(sender);
                size_t left = sender->len - sender->at, some = left < bytes ? left : bytes;
                ssize_t n = send(sender->fd, sender->record + sender->at, some, MSG_NOSIGNAL);

                if (n <= 0)
                        return;
                sender->at += (size_t)n;
                bytes -= (size_t)n;
        }
}

static void send_garbage(struct sender *sender, struct script *script, size_t bytes)
{
        size_t left = (size_t)(script->end - script->at), some = bytes < left ? bytes : left;

        sender->clean = false;
        if (sender->fd >= 0 && some > 0)
                (void)!send(sender->fd, script->at, some, MSG_NOSIGNAL);
        script->at += some;
}

static void listen_to_answers(struct sender *sender)
{
        static struct tm_ack acks[8192];
        int state;

        if (sender->fd < 0)
                return;
        size_t count = hear(sender->fd, acks, 8192, &state);
        CHECK(count == 0 || sender->format == 5);
        for (size_t i = 0; i < count && sender->clean; i++, sender->heard++) {
                bool refused = acks[i].verdict == TM_REFUSED;
                uint32_t number = number_of(acks[i].record_id);

                CHECK(!sender->over);
                CHECK(sender->heard < sender->made);
                CHECK(number == number_at(sender, sender->heard) || (refused && number == 0));
                CHECK(!refused || acks[i].reason == TM_REASON_TIMEOUT || acks[i].reason == TM_REASON_MALFORMED ||
                      acks[i].reason == TM_REASON_RATE_LIMIT || acks[i].reason == TM_REASON_NO_SPACE);
                sender->over = (refused && acks[i].reason != TM_REASON_NO_SPACE) || sender->heard % 23 == 22;
        }
}

static void step(struct house *house, struct script *script, uint64_t *entries)
{
        uint8_t op = next_byte(script), much = next_byte(script);
        struct sender *sender = &senders[(op >> 4) % SENDERS];

        switch (op & 15) {
        case 0: case 1:
                connect_again(house, sender, 5, much % 3 * (op & 1));
                break;
        case 2:
                connect_again(house, sender, 4, much % 2);
                break;
        case 3: case 4:
                send_records(sender, much);
                break;
        case 5:
                send_records(sender, much * 512u);
                break;
        case 6:
                send_garbage(sender, script, much % 100);
                break;
        case 7:
                if (sender->fd >= 0)
                        shutdown(sender->fd, SHUT_WR);
                break;
        case 8:
                hang_up(sender);
                break;
        case 9:
                house->now_ms += much * 16;
                break;
        case 10:
                listen_to_answers(sender);
                break;
        case 11: /* admission says no to some; between drain and answer things happen */
                *entries += house_drain(house);
                if (house->batch->run_count > 0 && much & 1)
                        house->batch->runs[much % house->batch->run_count].reason = TM_REASON_NO_SPACE;
                if (much & 2)
                        hang_up(sender);
                if (much & 4)
                        send_records(sender, much);
                house_answer(house);
                break;
        default:
                *entries += house_round(house);
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        struct script script = { bytes, bytes + len };
        int before = descriptors();
        struct house *house = house_new(PLACES);
        uint64_t entries = 0, counted = 0;

        for (uint32_t i = 0; i < SENDERS; i++) {
                uint8_t *kept = senders[i].record ? senders[i].record : malloc(RECORD_ROOM);
                NEED(kept);
                senders[i] = (struct sender){ .fd = -1, .record = kept };
        }
        serials = 0;
        for (int i = 0; i < STEPS_MAX && script.at < script.end; i++)
                step(house, &script, &entries);

        for (uint32_t i = 0; i < SENDERS; i++) {
                listen_to_answers(&senders[i]);
                hang_up(&senders[i]);
        }
        for (int i = 0; i < 200 && (house_connections(house) > 0 || house_has_work(house) ||
                                    intake_timeout_ms(house->intake, house->now_ms) >= 0); i++) {
                entries += house_round(house);
                house->now_ms += PLACES_GRACE_MS;
        }
        struct intake_counts counts = house_counts(house);
        counted = counts.durable + counts.duplicate;
        for (int i = 0; i < TM_REASON_COUNT; i++)
                counted += counts.refused[i];
        CHECK_EQ(counted, entries);
        CHECK_EQ(counts.connections, 0);
        CHECK_EQ(counts.refused[TM_REASON_NONE], 0);
        CHECK_EQ(intake_timeout_ms(house->intake, house->now_ms), -1);
        house_free(house);
        CHECK_EQ(descriptors(), before);
        if (check_failures > 0)
                abort();
        return 0;
}
