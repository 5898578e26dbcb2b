/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation on telemd.sock (docs/protocol.md, section 2), over real sockets: what is answered to which record, what
 * is remembered of it, and when the connection ends.
 */
#include "intake_fixture.h"

static uint8_t record[RECORD_ROOM];

/* ---- flags ---- */

static void last_ends(void)
{
        struct house *house = house_new(8);
        int fd = dial(house, 5), other = dial(house, 5);
        struct tm_ack acks[200];
        int state;
        size_t len = 0;
        static uint8_t many[40000];

        check_about = "LAST";
        for (uint32_t i = 0; i < 150; i++) /* over two sends of answers; what comes behind is not looked at */
                len += make5(many + len, i, i == 139 ? WIRE5_FLAG_LAST : 0, CLASS, "x", 1);
        give(fd, many, len);
        CHECK_EQ(house_round(house), 140);
        CHECK_EQ(hear(fd, acks, 200, &state), 140);
        CHECK_EQ(number_of(acks[139].record_id), 139);
        CHECK_EQ(state, ENDED);

        len = make5(record, 9, WIRE5_FLAG_LAST, CLASS, "x", 1); /* in two pieces */
        give(other, record, len - 1);
        CHECK_EQ(house_round(house), 0);
        give(other, record + len - 1, 1);
        CHECK_EQ(house_round(house), 1);
        HEARS(other, TM_DURABLE, TM_REASON_NONE, ENDED);
        CHECK_EQ(house_connections(house), 0);
        close(fd);
        close(other);
        house_free(house);
}

/* LAST holds for a record that is refused too, by the codec or by admission: nothing behind it is looked at. */
static void last_refused(void)
{
        static const struct { size_t at; uint8_t value; uint16_t reason; } wrongs[] = {
                { 60, 5, TM_REASON_SEVERITY }, { 63, 1, TM_REASON_MALFORMED }, { 72, '/', TM_REASON_CLASSIFICATION },
                { 60, 2, TM_REASON_RATE_LIMIT },
        };

        check_about = "LAST, refused";
        for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++)
                for (int pieces = 0; pieces < 2; pieces++) {
                        struct house *house = house_new(8);
                        int fd = dial(house, 5);
                        size_t len = make5(record, 1, WIRE5_FLAG_LAST, CLASS, "hello", 5);

                        record[wrongs[i].at] = wrongs[i].value;
                        give(fd, record, pieces ? 70 : len);
                        if (pieces) {
                                CHECK_EQ(house_round(house), 0);
                                give(fd, record + 70, len - 70);
                        }
                        give_small(fd, 2, 1);
                        CHECK_EQ(house_drain(house), 1);
                        if (wrongs[i].reason == TM_REASON_RATE_LIMIT)
                                house->batch->runs[0].reason = TM_REASON_RATE_LIMIT;
                        house_answer(house);
                        HEARS(fd, TM_REFUSED, wrongs[i].reason, ENDED);
                        CHECK_EQ(house_connections(house), 0);
                        close(fd);
                        house_free(house);
                }
}

/* The journal is told of the last that were taken, whatever was refused behind and between them. */
static void marks_of_the_taken(void)
{
        enum { TAKEN = 300, REFUSED = 200 };
        struct house *house = house_new(8);
        int fd = dial(house, 5);
        uint64_t marks;

        check_about = "marks";
        static uint8_t all[RECORD_ROOM * 2];
        size_t len = 0;
        for (uint32_t i = 0; i < TAKEN; i++) {
                len += make5(all + len, i, 0, i % 3 ? CLASS : "a/b/refused", "x", 1);
                len += make_small(all + len, i);
        }
        for (uint32_t i = 0; i < REFUSED; i++)
                len += make5(all + len, i, 0, "a/b/refused", "x", 1);
        give(fd, all, len);
        CHECK_EQ(house_drain(house), 2 * TAKEN + REFUSED);
        for (uint32_t i = 0; i < house->batch->run_count; i++)
                if (house->batch->runs[i].class_len == 11)
                        house->batch->runs[i].reason = TM_REASON_RATE_LIMIT;
        house_answer(house);
        const struct recent_mark *ring = recent_marks(house->recent, &marks);
        CHECK_EQ(house_counts(house).durable, TAKEN + TAKEN * 2 / 3);
        CHECK_EQ(marks, RECENT_MARKS);
        CHECK_EQ(number_of(ring[(marks - 1) % RECENT_MARKS].record_id), TAKEN - 1);
        CHECK_EQ(number_of(ring[(marks - 2) % RECENT_MARKS].record_id), TAKEN - 1);
        CHECK_EQ(number_of(ring[(marks - 3) % RECENT_MARKS].record_id), TAKEN - 2);
        for (uint64_t i = 1; i < RECENT_MARKS; i++) /* in the order of their coming */
                CHECK(number_of(ring[i].record_id) >= number_of(ring[i - 1].record_id));
        CHECK(number_of(ring[0].record_id) >= TAKEN - 1 - RECENT_MARKS * 2 / 3); /* five of three pairs are taken */

        give_small(fd, 1000, 2); /* and a small batch adds what it has */
        house_rounds(house);
        recent_marks(house->recent, &marks);
        CHECK_EQ(marks, RECENT_MARKS + 2);
        close(fd);
        house_free(house);
}

static void sent_again(void)
{
        struct house *house = house_new(8);
        int fd = dial(house, 5);
        uint64_t marks;

        check_about = "RESEND";
        give(fd, record, make_small(record, 1));
        house_round(house);
        HEARS(fd, TM_DURABLE, TM_REASON_NONE, OPEN);
        give(fd, record, make5(record, 1, WIRE5_FLAG_RESEND, CLASS, "hello", 5));
        CHECK_EQ(house_drain(house), 1);
        CHECK_EQ(house->batch->run_count, 0);
        house_answer(house);
        HEARS(fd, TM_DUPLICATE, TM_REASON_NONE, OPEN);
        give(fd, record, make5(record, 2, WIRE5_FLAG_RESEND, CLASS, "hello", 5)); /* not known: taken */
        house_round(house);
        HEARS(fd, TM_DURABLE, TM_REASON_NONE, OPEN);
        give(fd, record, make_small(record, 1)); /* without the flag nobody looks */
        house_round(house);
        HEARS(fd, TM_DURABLE, TM_REASON_NONE, OPEN);

        /* what was refused isn't known either */
        give(fd, record, make_small(record, 3));
        CHECK_EQ(house_drain(house), 1);
        house->batch->runs[0].reason = TM_REASON_RATE_LIMIT;
        house_answer(house);
        HEARS(fd, TM_REFUSED, TM_REASON_RATE_LIMIT, OPEN);
        give(fd, record, make5(record, 3, WIRE5_FLAG_RESEND, CLASS, "hello", 5));
        house_round(house);
        HEARS(fd, TM_DURABLE, TM_REASON_NONE, OPEN);

        struct intake_counts counts = house_counts(house);
        CHECK_EQ(counts.durable, 4);
        CHECK_EQ(counts.duplicate, 1);
        CHECK_EQ(counts.refused[TM_REASON_RATE_LIMIT], 1);
        const struct recent_mark *ring = recent_marks(house->recent, &marks);
        CHECK_EQ(marks, 4);
        CHECK_EQ(number_of(ring[3].record_id), 3);
        CHECK_EQ(number_of(ring[3].event_id), ~3u);
        CHECK_EQ(ring[3].created_us, 1760000000000000);
        CHECK_TEXT(ring[3].classification, ring[3].class_len, CLASS);
        close(fd);
        house_free(house);
}

/* ---- what is wrong ---- */

static void broken_frame(void)
{
        static const struct { size_t at; uint8_t value; uint16_t reason; } breaks[] = {
                { 0, 'X', TM_REASON_MALFORMED }, { 3, '4', TM_REASON_MALFORMED }, { 6, 4, TM_REASON_MALFORMED },
                { 4, 71, TM_REASON_MALFORMED }, { 12, 99, TM_REASON_MALFORMED }, { 11, 1, TM_REASON_TOO_LARGE },
        };

        check_about = "broken frame";
        for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++)
                for (int pieces = 0; pieces < 3; pieces++) {
                        struct house *house = house_new(8);
                        int fd = dial(house, 5);
                        size_t len = make_small(record, 1), cut = pieces == 0 ? len : pieces == 1 ? 1 : 71;

                        struct tm_ack acks[4];
                        int state;

                        give_small(fd, 0, 1);
                        record[breaks[i].at] = breaks[i].value;
                        give(fd, record, cut);
                        if (house_round(house) == 1) {
                                give(fd, record + cut, len - cut);
                                CHECK_EQ(house_round(house), 1);
                        }
                        CHECK_EQ(hear(fd, acks, 4, &state), 2);
                        CHECK_EQ(acks[0].verdict, TM_DURABLE);
                        CHECK_EQ(acks[1].verdict, TM_REFUSED);
                        CHECK_EQ(acks[1].reason, breaks[i].reason);
                        CHECK_EQ(number_of(acks[1].record_id), pieces == 1 && breaks[i].at == 0 ? 0 : 1);
                        CHECK_EQ(state, ENDED);
                        CHECK_EQ(house_counts(house).refused[breaks[i].reason], 1);
                        CHECK_EQ(house_connections(house), 0);
                        close(fd);
                        house_free(house);
                }

        /* the refusal is heard even where much behind it was never read */
        struct house *house = house_new(8);
        int fd = dial(house, 5);
        static uint8_t garbage[150000];
        give(fd, garbage, sizeof garbage);
        CHECK_EQ(house_round(house), 1);
        HEARS(fd, TM_REFUSED, TM_REASON_MALFORMED, ENDED);
        close(fd);
        house_free(house);
}

static void wrong_content(void)
{
        struct house *house = house_new(8);
        int fd = dial(house, 5);
        static const struct { size_t at; uint8_t value; uint16_t reason; } wrongs[] = {
                { 60, 0, TM_REASON_SEVERITY }, { 60, 5, TM_REASON_SEVERITY }, { 61, 4, TM_REASON_PAYLOAD_KIND },
                { 55, 0x80, TM_REASON_CREATED }, { 72, '/', TM_REASON_CLASSIFICATION }, { 63, 1, TM_REASON_MALFORMED },
        };
        const size_t n = sizeof wrongs / sizeof *wrongs;
        uint8_t all[4000];
        struct tm_ack acks[32];
        int state;
        size_t len = 0;

        check_about = "wrong content";
        for (uint32_t i = 0; i < n; i++) {
                len += make_small(all + len, 2 * i);
                size_t bad = make_small(all + len, 2 * i + 1);
                all[len + wrongs[i].at] = wrongs[i].value;
                len += bad;
        }
        give(fd, all, len);
        CHECK_EQ(house_round(house), 2 * n);
        CHECK_EQ(hear(fd, acks, 32, &state), 2 * n);
        CHECK_EQ(state, OPEN);
        for (uint32_t i = 0; i < n; i++) {
                CHECK_EQ(acks[2 * i].verdict, TM_DURABLE);
                CHECK_EQ(number_of(acks[2 * i].record_id), 2 * i);
                CHECK_EQ(acks[2 * i + 1].verdict, TM_REFUSED);
                CHECK_EQ(acks[2 * i + 1].reason, wrongs[i].reason);
                CHECK_EQ(number_of(acks[2 * i + 1].record_id), 2 * i + 1);
        }
        close(fd);
        house_free(house);
}

/* ---- the end ---- */

static void end_in_the_middle(void)
{
        size_t len = make_small(record, 1);

        check_about = "end in the middle";
        for (size_t cut = 1; cut < len; cut++)
                for (int drained = 0; drained < 2; drained++) {
                        struct house *house = house_new(2);
                        int fd = dial(house, 5);

                        give(fd, record, cut);
                        if (drained)
                                CHECK_EQ(house_round(house), 0);
                        shutdown(fd, SHUT_WR);
                        CHECK_EQ(house_rounds(house), 1);
                        struct tm_ack ack;
                        int state;
                        CHECK_EQ(hear(fd, &ack, 1, &state), 1);
                        CHECK_EQ(ack.verdict, TM_REFUSED);
                        CHECK_EQ(ack.reason, TM_REASON_MALFORMED);
                        CHECK_EQ(number_of(ack.record_id), cut < 32 ? 0 : 1); /* so that its sender knows what was refused */
                        CHECK_EQ(state, ENDED);
                        CHECK_EQ(house_connections(house), 0);
                        close(fd);
                        house_free(house);
                }
}

static void half_closed(void)
{
        struct house *house = house_new(8);
        int fd = dial(house, 5), gone = dial(house, 5), silent = dial(house, 5);
        uint32_t heard = 0;

        check_about = "half closed";
        give_small(fd, 0, 300);
        shutdown(fd, SHUT_WR);
        give_small(gone, 1000, 300); /* taken all the same: nothing says that its sender doesn't want it */
        close(gone);
        shutdown(silent, SHUT_WR);
        CHECK_EQ(house_rounds(house), 600);
        hears_in_order(fd, &heard, ENDED);
        CHECK_EQ(heard, 300);
        HEARS_NOTHING(silent, ENDED);
        CHECK_EQ(house_connections(house), 0);
        close(fd);
        close(silent);
        house_free(house);
}

int main(void)
{
        last_ends();
        last_refused();
        marks_of_the_taken();
        sent_again();
        broken_frame();
        wrong_content();
        end_in_the_middle();
        half_closed();
        return check_end();
}
