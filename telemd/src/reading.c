/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: what recv() brings -> whole records, over as many pieces as they come in. */
#include <errno.h>
#include <sys/socket.h>

#include "intake_inside.h"

#define BYTES_A_DRAIN (512u << 10)      /* of one connection, so that one sender can't keep the others waiting */

static enum wire_peek peek(const struct connection *c, const uint8_t *bytes, size_t len, uint32_t *total,
                           enum tm_reason *reason)
{
        return (c->format == 5 ? wire5_peek : wire4_peek)(bytes, len, total, reason);
}

/* Parse what one recv brought. False where the connection is to be closed. */
static bool bytes_take(struct intake *intake, struct batch *batch, uint32_t slot, const uint8_t *bytes, uint32_t len,
                       int64_t now_ms)
{
        struct connection *c = &intake->places.all[slot];

        while (len > 0 && !c->closing) {
                uint32_t total = 0;
                enum tm_reason reason = TM_REASON_NONE;

                switch (peek(c, bytes, len, &total, &reason)) {
                case WIRE_WHOLE:
                        record_take(intake, batch, slot, bytes, total);
                        if (c->format == 4)
                                return false;
                        bytes += total;
                        len -= total;
                        break;
                case WIRE_MORE:
                        if (total == 0)
                                total = len < WIRE5_HEADER_LEN ? WIRE5_HEADER_LEN : len * 2;
                        if (unfinished_begin(&intake->places, slot, bytes, len, total, now_ms))
                                return true;
                        record_refuse(intake, batch, slot, TM_REASON_RATE_LIMIT, bytes, len);
                        return false;
                case WIRE_BROKEN:
                        record_refuse(intake, batch, slot, reason, bytes, len);
                        return false;
                }
        }
        return !c->closing;
}

/* Parse the unfinished record, of which more has come. False where the connection is to be closed. */
static bool unfinished_take(struct intake *intake, struct batch *batch, uint32_t slot, int64_t now_ms)
{
        struct connection *c = &intake->places.all[slot];
        uint32_t total = 0;
        enum tm_reason reason = TM_REASON_NONE;

        switch (peek(c, c->buffer, c->have, &total, &reason)) {
        case WIRE_WHOLE:
                record_take(intake, batch, slot, c->buffer, total);
                unfinished_end(&intake->places, slot, now_ms);
                return c->format == 5 && !c->closing;
        case WIRE_MORE:
                if (total == 0)
                        total = c->have < c->size ? c->size : c->size * 2; /* its length isn't known yet */
                if (total <= c->size || (total <= TM_RECORD_MAX && unfinished_grow(&intake->places, slot, total)))
                        return true;
                reason = TM_REASON_RATE_LIMIT;
                break;
        case WIRE_BROKEN:
                break;
        }
        unfinished_refuse(intake, batch, slot, reason);
        return false;
}

void connection_end(struct intake *intake, uint32_t slot, int64_t now_ms)
{
        struct connection *c = &intake->places.all[slot];

        if (c->format != 5 || c->unanswered == 0) {
                place_leave(&intake->places, slot);
                return;
        }
        c->closing = true; /* intake_answer() closes it */
        if (c->have > 0)
                unfinished_end(&intake->places, slot, now_ms);
}

static void connection_register(struct intake *intake, uint32_t slot, int64_t now_ms)
{
        struct connection *c = &intake->places.all[slot];
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)c->serial << 32 | slot };

        if (epoll_ctl(intake->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
                connection_end(intake, slot, now_ms);
        else
                c->registered = true;
}

void connection_read(struct intake *intake, struct batch *batch, uint32_t slot, int64_t now_ms)
{
        struct connection *c = &intake->places.all[slot];

        if (c->drain != intake->drain) {
                c->drain = intake->drain;
                c->taken = 0;
        }
        while (!c->closing && !batch_full(batch) && c->taken < BYTES_A_DRAIN) {
                bool collecting = c->have > 0;
                uint8_t *into = collecting ? c->buffer + c->have : intake->scratch;
                uint32_t room = collecting ? c->size - c->have : INTAKE_SCRATCH_SIZE, left = BYTES_A_DRAIN - c->taken;
                uint32_t asked = room < left ? room : left;
                ssize_t n = recv(c->fd, into, asked, MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n <= 0) {
                        if (collecting)
                                unfinished_refuse(intake, batch, slot, TM_REASON_MALFORMED); /* it ended in the middle */
                        connection_end(intake, slot, now_ms);
                        return;
                }
                c->taken += (uint32_t)n;
                if (collecting)
                        c->have += (uint32_t)n; /* exactly up to the record's end at most */
                bool on = collecting ? unfinished_take(intake, batch, slot, now_ms)
                                     : bytes_take(intake, batch, slot, into, (uint32_t)n, now_ms);
                if (!on) {
                        connection_end(intake, slot, now_ms);
                        return;
                }
                if (c->have == 0)
                        place_touch(&intake->places, slot, now_ms);
                if ((uint32_t)n < asked)
                        break;
        }
        if (!c->registered)
                connection_register(intake, slot, now_ms);
}
