/* SPDX-License-Identifier: Apache-2.0 */
#include "intake.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "intake_inside.h"

#define LISTENER UINT32_MAX             /* in the place of a serial: the event is a listener's */
#define PAUSE_MS 20                     /* how long to leave a listener alone when there is no place */

/* ---- its life ---- */

struct intake *intake_new(uint32_t connections_max, struct recent *recent)
{
        struct intake *intake = calloc(1, sizeof(*intake));

        if (!intake)
                return NULL;
        intake->recent = recent;
        intake->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        int error = errno;
        bool there = places_init(&intake->places, connections_max, geteuid());
        if (there && intake->epoll_fd >= 0)
                return intake;
        intake_free(intake);
        errno = there ? error : ENOMEM;
        return NULL;
}

struct intake *intake_free(struct intake *intake)
{
        if (!intake)
                return NULL;
        places_release(&intake->places);
        if (intake->epoll_fd >= 0)
                close(intake->epoll_fd);
        free(intake->facts_bytes);
        free(intake);
        return NULL;
}

int intake_fd(const struct intake *intake)
{
        return intake->epoll_fd;
}

int intake_set_facts(struct intake *intake, const struct wire_facts *facts)
{
        uint8_t *bytes = malloc((size_t)WIRE_FACT_COUNT * WIRE_FACT_MAX);

        if (!bytes)
                return -ENOMEM;
        for (uint32_t i = 0; i < WIRE_FACT_COUNT; i++) {
                uint32_t len = facts->value[i].len < WIRE_FACT_MAX ? facts->value[i].len : WIRE_FACT_MAX;
                uint8_t *at = bytes + i * WIRE_FACT_MAX;

                if (len > 0)
                        memcpy(at, facts->value[i].data, len);
                intake->facts.value[i] = (struct wire_slice){ .data = at, .len = len };
        }
        free(intake->facts_bytes);
        intake->facts_bytes = bytes;
        return 0;
}

void intake_count(const struct intake *intake, struct intake_counts *counts)
{
        *counts = intake->counts;
        counts->connections = intake->places.count;
}

/* ---- listeners ---- */

static int listener_register(struct intake *intake, uint32_t index, int fd)
{
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)LISTENER << 32 | index };

        return epoll_ctl(intake->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int intake_listen(struct intake *intake, int fd, int format)
{
        if (intake->listener_count == INTAKE_LISTENERS_MAX)
                return -E2BIG;
        int r = listener_register(intake, intake->listener_count, fd);
        if (r == 0)
                intake->listeners[intake->listener_count++] = (struct listener){ .fd = fd, .format = format };
        return r;
}

static void listeners_pause(struct intake *intake, int64_t until_ms)
{
        for (uint32_t i = 0; i < intake->listener_count; i++)
                if (epoll_ctl(intake->epoll_fd, EPOLL_CTL_DEL, intake->listeners[i].fd, NULL) == 0)
                        intake->listeners[i].paused = true;
        intake->paused_until_ms = until_ms;
}

static void listeners_resume(struct intake *intake, int64_t now_ms)
{
        intake->paused_until_ms = 0;
        for (uint32_t i = 0; i < intake->listener_count; i++) {
                if (!intake->listeners[i].paused)
                        continue;
                if (listener_register(intake, i, intake->listeners[i].fd) == 0)
                        intake->listeners[i].paused = false;
                else
                        intake->paused_until_ms = now_ms + PAUSE_MS; /* no memory for it: once more, then */
        }
}

static void send_away(struct intake *intake, struct batch *batch, uint32_t slot, int64_t now_ms)
{
        struct connection *c = &intake->places.all[slot];
        bool owed = c->unanswered > 0;

        if (c->have > 0)
                unfinished_refuse(intake, batch, slot, TM_REASON_TIMEOUT);
        if (owed)
                connection_end(intake, slot, now_ms);
        else
                place_leave(&intake->places, slot);
        intake->counts.closed_for_room++;
}

enum place { PLACE_HERE, PLACE_AFTER_THE_ANSWERS, PLACE_NOWHERE };

/* A place for one more: that of somebody who may be sent away, and who has nothing to say that we haven't heard. */
static enum place place_make(struct intake *intake, struct batch *batch, int64_t now_ms)
{
        struct places *places = &intake->places;

        for (uint32_t slot; (slot = places_leaver(places, now_ms)) != PLACES_NONE && !batch_full(batch);) {
                const struct connection *c = &places->all[slot];
                uint32_t before = places->count;

                if (c->unanswered > 0) {
                        if (!c->closing)
                                send_away(intake, batch, slot, now_ms);
                        return PLACE_AFTER_THE_ANSWERS;
                }
                connection_read(intake, batch, slot, now_ms);
                if (places->count < before)
                        return PLACE_HERE;
                if (c->unanswered > 0 || places_leaver(places, now_ms) != slot)
                        continue;
                send_away(intake, batch, slot, now_ms);
                return PLACE_HERE;
        }
        return PLACE_NOWHERE;
}

static bool somebody_waits(const struct listener *listener)
{
        struct pollfd wait = { .fd = listener->fd, .events = POLLIN };

        return poll(&wait, 1, 0) > 0;
}

static bool means_no_room(int error)
{
        return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void connection_open(struct intake *intake, struct batch *batch, const struct listener *listener, int fd,
                            int64_t now_ms)
{
        struct ucred peer;
        socklen_t len = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
                close(fd);
                return;
        }
        uint32_t slot = place_take(&intake->places, fd, &peer, (uint8_t)listener->format, now_ms);
        connection_read(intake, batch, slot, now_ms);
}

static void listener_accept(struct intake *intake, struct batch *batch, const struct listener *listener, int64_t now_ms)
{
        for (int i = 0; i < INTAKE_CONNECTIONS_A_DRAIN && !batch_full(batch); i++) {
                int fd = -1, error = EMFILE; /* no place left is as good as no descriptor */

                if (!places_full(&intake->places)) {
                        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                        error = errno;
                }
                if (fd >= 0) {
                        connection_open(intake, batch, listener, fd, now_ms);
                        continue;
                }
                if (error == EINTR || error == ECONNABORTED)
                        continue;
                if (error == EAGAIN || !somebody_waits(listener)) /* EMFILE comes before a look at who waits */
                        return;
                switch (means_no_room(error) ? place_make(intake, batch, now_ms) : PLACE_NOWHERE) {
                case PLACE_HERE:
                        continue;
                case PLACE_NOWHERE:
                        listeners_pause(intake, now_ms + PAUSE_MS); /* let some connections end first */
                        return;
                case PLACE_AFTER_THE_ANSWERS:
                        return;
                }
        }
}

/* ---- the drain ---- */

static void unfinished_expire(struct intake *intake, struct batch *batch, int64_t now_ms)
{
        const struct list *unfinished = &intake->places.lists[PLACE_UNFINISHED];

        while (unfinished->oldest != PLACES_NONE && !batch_full(batch)) {
                uint32_t slot = unfinished->oldest;
                const struct connection *c = &intake->places.all[slot];

                if (now_ms - c->since_ms < INTAKE_UNFINISHED_MS)
                        return;
                connection_read(intake, batch, slot, now_ms); /* what came while we were busy isn't late */
                if (unfinished->oldest != slot || now_ms - c->since_ms < INTAKE_UNFINISHED_MS)
                        continue;
                unfinished_refuse(intake, batch, slot, TM_REASON_TIMEOUT);
                connection_end(intake, slot, now_ms);
        }
}

static void event_take(struct intake *intake, struct batch *batch, uint64_t data, int64_t now_ms)
{
        uint32_t low = (uint32_t)data, high = (uint32_t)(data >> 32);

        if (high == LISTENER) {
                if (!intake->listeners[low].paused)
                        listener_accept(intake, batch, &intake->listeners[low], now_ms);
                return;
        }
        const struct connection *c = &intake->places.all[low];
        if (c->fd >= 0 && c->serial == high && !c->closing)
                connection_read(intake, batch, low, now_ms);
}

static void events_take(struct intake *intake, struct batch *batch, int64_t now_ms)
{
        while (intake->event_next < intake->event_count && !batch_full(batch))
                event_take(intake, batch, intake->events[intake->event_next++].data.u64, now_ms);
}

uint32_t intake_drain(struct intake *intake, struct batch *batch, int64_t now_ms)
{
        intake->drain++;
        if (intake->paused_until_ms && now_ms >= intake->paused_until_ms)
                listeners_resume(intake, now_ms);
        unfinished_expire(intake, batch, now_ms);
        events_take(intake, batch, now_ms); /* who found the batch full the last time comes first */
        if (intake->event_next == intake->event_count) {
                int n = epoll_wait(intake->epoll_fd, intake->events, INTAKE_CONNECTIONS_A_DRAIN, 0);

                intake->event_next = 0;
                intake->event_count = n > 0 ? (uint32_t)n : 0;
                events_take(intake, batch, now_ms);
        }
        return batch->entry_count;
}

int intake_timeout_ms(const struct intake *intake, int64_t now_ms)
{
        int64_t at_ms = intake->paused_until_ms ? intake->paused_until_ms : INT64_MAX;
        uint32_t oldest = intake->places.lists[PLACE_UNFINISHED].oldest;

        if (oldest != PLACES_NONE) {
                int64_t due_ms = intake->places.all[oldest].since_ms + INTAKE_UNFINISHED_MS;
                at_ms = due_ms < at_ms ? due_ms : at_ms;
        }
        if (at_ms == INT64_MAX)
                return -1;
        return at_ms <= now_ms ? 0 : (int)(at_ms - now_ms);
}
