/* SPDX-License-Identifier: Apache-2.0 */
#include "intake.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

#define NONE UINT32_MAX
#define LISTENERS_MAX 4u
#define SCRATCH_SIZE (64u << 10)
#define BYTES_A_DRAIN (512u << 10)      /* of one connection, so that one sender can't keep the others waiting */
#define RANDOM_POOL 256u                /* so much getrandom() gives whole, whatever signal comes */
#define ANSWERS_A_SEND 64u
#define PAUSE_MS 20                     /* how long to leave a listener alone when there is no place */

/* Room that must be left in the arena before a recv: all that a full scratch buffer can turn into (each record brings
 * the overhead of a frame), and one record that was being collected. */
#define RECORD_MIN WIRE5_HEADER_LEN     /* of one that wire5_peek() calls whole */
#define ARENA_MARGIN (SCRATCH_SIZE + (SCRATCH_SIZE / RECORD_MIN + 2u) * (FRAME_HEADER_LEN + FRAME_ALIGN) + 2u * TM_RECORD_MAX)
_Static_assert(BATCH_ENTRIES_MAX >= BATCH_RECORDS_MAX + SCRATCH_SIZE / RECORD_MIN + 2u, "one recv fits behind a full batch");
_Static_assert(BATCH_ARENA_SIZE > 2u * ARENA_MARGIN, "a drain can take something");

struct connection {
        int fd;                         /* -1: the slot is free */
        uint32_t serial;
        uint32_t uid;
        uint32_t pid;
        uint8_t format;
        bool registered;                /* with epoll */
        bool closing;                   /* after the answers */
        uint32_t unanswered;            /* entries in the batch */
        uint8_t *buffer;                /* an unfinished record, */
        uint32_t have;                  /* so many bytes of it; 0: the connection is idle */
        uint32_t size;
        int64_t since_ms;               /* begin of the unfinished record, or last sign of life */
        uint32_t older, newer;          /* in the list of unfinished or of idle ones; next free slot */
};

struct list {
        uint32_t oldest, newest;
};

struct listener {
        int fd;
        int format;
        bool paused;
};

struct intake {
        int epoll_fd;
        struct recent *recent;
        struct listener listeners[LISTENERS_MAX];
        uint32_t listener_count;
        int64_t paused_until_ms;        /* 0: no listener is paused */
        uint32_t capacity;
        uint32_t free_slot;
        struct connection *connections;
        struct list unfinished, idle;
        uint64_t unfinished_bytes;
        struct intake_counts counts;
        struct epoll_event events[INTAKE_CONNECTIONS_A_DRAIN];
        uint32_t event_next, event_count;       /* those from event_next on still wait for their turn */
        struct wire_facts facts;
        uint8_t *facts_bytes;
        uint32_t random_left;
        uint8_t random[RANDOM_POOL];
        uint8_t attributes[TM_ATTRIBUTES_MAX];
        uint8_t scratch[SCRATCH_SIZE];
};

/* ---- places ---- */

static void list_remove(struct intake *intake, struct list *list, uint32_t slot)
{
        struct connection *c = &intake->connections[slot];

        *(c->older == NONE ? &list->oldest : &intake->connections[c->older].newer) = c->newer;
        *(c->newer == NONE ? &list->newest : &intake->connections[c->newer].older) = c->older;
}

static void list_append(struct intake *intake, struct list *list, uint32_t slot)
{
        struct connection *c = &intake->connections[slot];

        c->older = list->newest;
        c->newer = NONE;
        *(list->newest == NONE ? &list->oldest : &intake->connections[list->newest].newer) = slot;
        list->newest = slot;
}

static struct list *list_of(struct intake *intake, const struct connection *c)
{
        return c->have > 0 ? &intake->unfinished : &intake->idle;
}

static void buffer_drop(struct intake *intake, struct connection *c)
{
        intake->unfinished_bytes -= c->size;
        free(c->buffer);
        c->buffer = NULL;
        c->size = c->have = 0;
}

static void connection_close(struct intake *intake, uint32_t slot)
{
        struct connection *c = &intake->connections[slot];

        list_remove(intake, list_of(intake, c), slot);
        buffer_drop(intake, c);
        close(c->fd);
        c->fd = -1;
        c->serial = (c->serial + 1) & INT32_MAX; /* never NONE: that marks a listener */
        c->newer = intake->free_slot;
        intake->free_slot = slot;
        intake->counts.connections--;
}

struct intake *intake_new(uint32_t connections_max, struct recent *recent)
{
        struct intake *intake = calloc(1, sizeof(*intake));

        if (!intake)
                return NULL;
        intake->recent = recent;
        intake->capacity = connections_max;
        intake->unfinished = intake->idle = (struct list){ NONE, NONE };
        intake->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        int error = errno;
        intake->connections = calloc(connections_max, sizeof(*intake->connections));
        intake->free_slot = NONE;
        for (uint32_t slot = intake->connections ? connections_max : 0; slot-- > 0;) {
                intake->connections[slot].fd = -1;
                intake->connections[slot].newer = intake->free_slot;
                intake->free_slot = slot;
        }
        if (intake->epoll_fd >= 0 && intake->connections)
                return intake;
        error = intake->connections ? error : ENOMEM;
        intake_free(intake);
        errno = error;
        return NULL;
}

struct intake *intake_free(struct intake *intake)
{
        if (!intake)
                return NULL;
        for (uint32_t slot = 0; intake->connections && slot < intake->capacity; slot++)
                if (intake->connections[slot].fd >= 0)
                        connection_close(intake, slot);
        if (intake->epoll_fd >= 0)
                close(intake->epoll_fd);
        free(intake->connections);
        free(intake->facts_bytes);
        free(intake);
        return NULL;
}

int intake_fd(const struct intake *intake)
{
        return intake->epoll_fd;
}

int intake_listen(struct intake *intake, int fd, int format)
{
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)NONE << 32 | intake->listener_count };

        if (intake->listener_count == LISTENERS_MAX)
                return -E2BIG;
        if (epoll_ctl(intake->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                return -errno;
        intake->listeners[intake->listener_count++] = (struct listener){ .fd = fd, .format = format };
        return 0;
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

/* ---- records -> batch ---- */

static bool batch_full(const struct batch *batch)
{
        return batch->entry_count >= BATCH_RECORDS_MAX || batch->used + ARENA_MARGIN > BATCH_ARENA_SIZE;
}

static struct batch_entry *entry_add(struct intake *intake, struct batch *batch, uint32_t slot)
{
        struct connection *c = &intake->connections[slot];
        struct batch_entry *entry = &batch->entries[batch->entry_count++];

        *entry = (struct batch_entry){
                .run = BATCH_NO_RUN,
                .pid = c->pid,
                .connection = slot,
                .serial = c->serial,
                .verdict = TM_REFUSED,
        };
        c->unanswered++;
        return entry;
}

/* The record that begins with these bytes. Its sender is told the id, where so much of it has come. */
static void refuse(struct intake *intake, struct batch *batch, uint32_t slot, enum tm_reason reason, const uint8_t *bytes,
                   uint32_t len)
{
        struct batch_entry *entry = entry_add(intake, batch, slot);
        struct wire_record record = { 0 };

        entry->reason = (uint16_t)reason;
        if (intake->connections[slot].format == 5) {
                (void)wire5_decode(bytes, len, &record); /* it is refused in any case */
                memcpy(entry->record_id, record.record_id, TM_ID_SIZE);
        }
}

static void refuse_unfinished(struct intake *intake, struct batch *batch, uint32_t slot, enum tm_reason reason)
{
        const struct connection *c = &intake->connections[slot];

        refuse(intake, batch, slot, reason, c->buffer, c->have);
}

static bool random_bytes(struct intake *intake, uint8_t *out, uint32_t len)
{
        if (intake->random_left < len) {
                if (getrandom(intake->random, RANDOM_POOL, 0) != (ssize_t)RANDOM_POOL)
                        return false;
                intake->random_left = RANDOM_POOL;
        }
        intake->random_left -= len;
        memcpy(out, intake->random + intake->random_left, len);
        return true;
}

static const uint8_t no_id[TM_ID_SIZE];

/* A record of format 4 has no id, and sometimes no event id. */
static bool ids_fill(struct intake *intake, struct wire_record *record)
{
        if (!random_bytes(intake, record->record_id + 6, TM_ID_SIZE - 6))
                return false;
        record->record_id[6] = (uint8_t)((record->record_id[6] & 0x0f) | 0x70);
        record->record_id[8] = (uint8_t)((record->record_id[8] & 0x3f) | 0x80);
        return memcmp(record->event_id, no_id, TM_ID_SIZE) != 0 || random_bytes(intake, record->event_id, TM_ID_SIZE);
}

/* One whole record of either format. */
static void record_take(struct intake *intake, struct batch *batch, uint32_t slot, const uint8_t *bytes, uint32_t len)
{
        struct connection *c = &intake->connections[slot];
        struct batch_entry *entry = entry_add(intake, batch, slot);
        uint8_t *out = batch->arena + batch->used + FRAME_HEADER_LEN;
        struct wire_record record = { 0 };
        enum tm_reason reason;

        if (c->format == 5) {
                reason = wire5_decode(bytes, len, &record);
                memcpy(entry->record_id, record.record_id, TM_ID_SIZE);
                if (reason == TM_REASON_NONE) {
                        c->closing = c->closing || (record.flags & WIRE5_FLAG_LAST);
                        if ((record.flags & WIRE5_FLAG_RESEND) && recent_has(intake->recent, record.record_id)) {
                                entry->verdict = TM_DUPLICATE;
                                return;
                        }
                        memcpy(out, bytes, len);
                        entry->record_len = len;
                }
        } else {
                reason = wire4_decode(bytes, len, &intake->facts, intake->attributes, &record);
                if (reason == TM_REASON_NONE && !ids_fill(intake, &record))
                        reason = TM_REASON_IO;
                if (reason == TM_REASON_NONE) {
                        entry->record_len = (uint32_t)wire5_encode(&record, out, TM_RECORD_MAX);
                        reason = entry->record_len ? TM_REASON_NONE : TM_REASON_TOO_LARGE;
                        memcpy(entry->record_id, record.record_id, TM_ID_SIZE);
                }
        }
        entry->reason = (uint16_t)reason;
        if (reason != TM_REASON_NONE)
                return;
        entry->reason = TM_REASON_IO; /* until the spool has it */
        entry->offset = batch->used;
        batch->used += frame_length(entry->record_len);
        const struct wire_record *final = &record;
        const char *classification = (const char *)out + (record.classification.data - bytes);
        struct wire_record written;
        if (c->format != 5 && wire5_decode(out, entry->record_len, &written) == TM_REASON_NONE) {
                final = &written;
                classification = (const char *)written.classification.data;
        }
        batch_join(batch, entry, final, c->uid, classification);
}

/* ---- bytes -> records ---- */

static enum wire_peek peek(const struct connection *c, const uint8_t *bytes, size_t len, uint32_t *total,
                           enum tm_reason *reason)
{
        return (c->format == 5 ? wire5_peek : wire4_peek)(bytes, len, total, reason);
}

static void connection_list_move(struct intake *intake, uint32_t slot, bool unfinished, int64_t now_ms)
{
        struct connection *c = &intake->connections[slot];

        list_remove(intake, list_of(intake, c), slot);
        c->since_ms = now_ms;
        list_append(intake, unfinished ? &intake->unfinished : &intake->idle, slot);
}

/* Keep the beginning of a record until the rest comes. False where there is no memory for it. */
static bool unfinished_begin(struct intake *intake, uint32_t slot, const uint8_t *bytes, uint32_t len, uint32_t total,
                             int64_t now_ms)
{
        struct connection *c = &intake->connections[slot];
        uint32_t size = total ? total : len < WIRE5_HEADER_LEN ? WIRE5_HEADER_LEN : len * 2;

        if (intake->unfinished_bytes + size > INTAKE_UNFINISHED_BYTES_MAX)
                return false;
        uint8_t *buffer = malloc(size);
        if (!buffer)
                return false;
        connection_list_move(intake, slot, true, now_ms);
        memcpy(buffer, bytes, len);
        c->buffer = buffer;
        c->size = size;
        c->have = len;
        intake->unfinished_bytes += size;
        return true;
}

static void unfinished_end(struct intake *intake, uint32_t slot, int64_t now_ms)
{
        connection_list_move(intake, slot, false, now_ms);
        buffer_drop(intake, &intake->connections[slot]);
}

/* Parse what one recv brought. False where the connection is to be closed. */
static bool bytes_take(struct intake *intake, struct batch *batch, uint32_t slot, const uint8_t *bytes, uint32_t len,
                       int64_t now_ms)
{
        struct connection *c = &intake->connections[slot];

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
                        if (unfinished_begin(intake, slot, bytes, len, total, now_ms))
                                return true;
                        refuse(intake, batch, slot, TM_REASON_RATE_LIMIT, bytes, len);
                        return false;
                case WIRE_BROKEN:
                        refuse(intake, batch, slot, reason, bytes, len);
                        return false;
                }
        }
        return !c->closing;
}

/* Go on with an unfinished record: read exactly up to its end. What recv() said, or 0 with *lost where the record can't
 * become one. */
static ssize_t unfinished_read(struct intake *intake, struct batch *batch, uint32_t slot, int64_t now_ms, bool *lost)
{
        struct connection *c = &intake->connections[slot];
        uint32_t total = 0;
        enum tm_reason reason = TM_REASON_NONE;
        ssize_t n = recv(c->fd, c->buffer + c->have, c->size - c->have, MSG_DONTWAIT);

        if (n <= 0)
                return n;
        c->have += (uint32_t)n;
        switch (peek(c, c->buffer, c->have, &total, &reason)) {
        case WIRE_WHOLE:
                record_take(intake, batch, slot, c->buffer, total);
                unfinished_end(intake, slot, now_ms);
                c->closing = c->closing || c->format == 4;
                break;
        case WIRE_MORE:
                if (total <= c->size && (total != 0 || c->have < c->size))
                        break;
                uint32_t size = total ? total : c->size * 2;
                uint8_t *buffer = size <= TM_RECORD_MAX &&
                                  intake->unfinished_bytes + size - c->size <= INTAKE_UNFINISHED_BYTES_MAX ?
                                  realloc(c->buffer, size) : NULL;
                if (!buffer) {
                        reason = TM_REASON_RATE_LIMIT;
                        *lost = true;
                        break;
                }
                intake->unfinished_bytes += size - c->size;
                c->buffer = buffer;
                c->size = size;
                break;
        case WIRE_BROKEN:
                *lost = true;
                break;
        }
        if (*lost)
                refuse_unfinished(intake, batch, slot, reason);
        return n;
}

/* ---- connections ---- */

static void connection_end(struct intake *intake, uint32_t slot, int64_t now_ms)
{
        struct connection *c = &intake->connections[slot];

        if (c->format != 5 || c->unanswered == 0) {
                connection_close(intake, slot);
                return;
        }
        c->closing = true; /* intake_answer() closes it */
        if (c->have > 0)
                unfinished_end(intake, slot, now_ms);
}

static void connection_read(struct intake *intake, struct batch *batch, uint32_t slot, int64_t now_ms)
{
        struct connection *c = &intake->connections[slot];
        uint32_t taken = 0;

        while (!c->closing && !batch_full(batch) && taken < BYTES_A_DRAIN) {
                bool collecting = c->have > 0, lost = false;
                uint32_t asked = collecting ? c->size - c->have : SCRATCH_SIZE;
                ssize_t n = collecting ? unfinished_read(intake, batch, slot, now_ms, &lost)
                                       : recv(c->fd, intake->scratch, SCRATCH_SIZE, MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n > 0 && !collecting)
                        lost = !bytes_take(intake, batch, slot, intake->scratch, (uint32_t)n, now_ms);
                if (n <= 0 || lost || c->closing) {
                        if (n <= 0 && collecting)
                                refuse_unfinished(intake, batch, slot, TM_REASON_MALFORMED); /* it ended in the middle */
                        connection_end(intake, slot, now_ms);
                        return;
                }
                taken += (uint32_t)n;
                if (c->have == 0 && taken > 0)
                        connection_list_move(intake, slot, false, now_ms);
                if ((uint32_t)n < asked)
                        break;
        }
        if (!c->registered) {
                struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)c->serial << 32 | slot };

                if (epoll_ctl(intake->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
                        connection_end(intake, slot, now_ms);
                else
                        c->registered = true;
        }
}

/* A place for one more: that of the longest idle, else of the longest unfinished, if it had its chance. */
static bool place_make(struct intake *intake, struct batch *batch, int64_t now_ms)
{
        const struct list *const lists[] = { &intake->idle, &intake->unfinished };

        for (size_t i = 0; i < 2; i++)
                for (uint32_t slot; (slot = lists[i]->oldest) != NONE && !batch_full(batch);) {
                        const struct connection *c = &intake->connections[slot];
                        uint32_t before = intake->counts.connections;

                        if (now_ms - c->since_ms < INTAKE_GRACE_MS || c->unanswered > 0)
                                break;
                        connection_read(intake, batch, slot, now_ms); /* what it has said and we haven't heard counts */
                        if (intake->counts.connections < before)
                                return true;
                        if (lists[i]->oldest != slot || now_ms - c->since_ms < INTAKE_GRACE_MS || c->unanswered > 0)
                                continue;
                        if (c->have > 0)
                                refuse_unfinished(intake, batch, slot, TM_REASON_TIMEOUT);
                        connection_close(intake, slot);
                        intake->counts.closed_for_room++;
                        return true;
                }
        return false;
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
                struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)NONE << 32 | i };

                if (!intake->listeners[i].paused)
                        continue;
                if (epoll_ctl(intake->epoll_fd, EPOLL_CTL_ADD, intake->listeners[i].fd, &event) == 0)
                        intake->listeners[i].paused = false;
                else
                        intake->paused_until_ms = now_ms + PAUSE_MS; /* no memory for it: once more, then */
        }
}

static bool connection_open(struct intake *intake, const struct listener *listener, int fd, int64_t now_ms, uint32_t *slot)
{
        struct ucred peer;
        socklen_t len = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
                return false;
        *slot = intake->free_slot;
        struct connection *c = &intake->connections[*slot];
        intake->free_slot = c->newer;
        *c = (struct connection){
                .fd = fd,
                .serial = c->serial,
                .uid = peer.uid,
                .pid = (uint32_t)peer.pid,
                .format = (uint8_t)listener->format,
                .since_ms = now_ms,
        };
        list_append(intake, &intake->idle, *slot);
        intake->counts.connections++;
        return true;
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

static void listener_accept(struct intake *intake, struct batch *batch, const struct listener *listener, int64_t now_ms)
{
        for (int i = 0; i < INTAKE_CONNECTIONS_A_DRAIN && !batch_full(batch); i++) {
                int fd = -1, error = EMFILE; /* no place left is as good as no descriptor */
                uint32_t slot;

                if (intake->free_slot != NONE) {
                        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                        error = errno;
                }
                if (fd < 0 && (error == EINTR || error == ECONNABORTED))
                        continue;
                if (fd < 0) {
                        if (error == EAGAIN || !somebody_waits(listener)) /* EMFILE comes before a look at who waits */
                                return;
                        if (means_no_room(error) && place_make(intake, batch, now_ms))
                                continue;
                        listeners_pause(intake, now_ms + PAUSE_MS); /* let some connections end first */
                        return;
                }
                if (connection_open(intake, listener, fd, now_ms, &slot))
                        connection_read(intake, batch, slot, now_ms);
                else
                        close(fd);
        }
}

static void unfinished_expire(struct intake *intake, struct batch *batch, int64_t now_ms)
{
        while (intake->unfinished.oldest != NONE && !batch_full(batch)) {
                uint32_t slot = intake->unfinished.oldest;
                const struct connection *c = &intake->connections[slot];

                if (now_ms - c->since_ms < INTAKE_UNFINISHED_MS)
                        return;
                connection_read(intake, batch, slot, now_ms); /* what came while we were busy isn't late */
                if (intake->unfinished.oldest != slot || now_ms - c->since_ms < INTAKE_UNFINISHED_MS)
                        continue;
                refuse_unfinished(intake, batch, slot, TM_REASON_TIMEOUT);
                connection_end(intake, slot, now_ms);
        }
}

static void event_take(struct intake *intake, struct batch *batch, uint64_t data, int64_t now_ms)
{
        uint32_t low = (uint32_t)data, high = (uint32_t)(data >> 32);

        if (high == NONE) {
                if (!intake->listeners[low].paused)
                        listener_accept(intake, batch, &intake->listeners[low], now_ms);
                return;
        }
        const struct connection *c = &intake->connections[low];
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

        if (intake->unfinished.oldest != NONE) {
                int64_t due_ms = intake->connections[intake->unfinished.oldest].since_ms + INTAKE_UNFINISHED_MS;
                at_ms = due_ms < at_ms ? due_ms : at_ms;
        }
        if (at_ms == INT64_MAX)
                return -1;
        return at_ms <= now_ms ? 0 : (int)(at_ms - now_ms);
}

/* ---- answers ---- */

static void mark(struct intake *intake, const struct batch *batch, const struct batch_entry *entry)
{
        const struct batch_run *run = &batch->runs[entry->run];
        struct wire_record record;

        if (wire5_decode(batch->arena + entry->offset + FRAME_HEADER_LEN, entry->record_len, &record) != TM_REASON_NONE)
                return;
        struct recent_mark made = { .created_us = record.created_us, .class_len = run->class_len };
        memcpy(made.record_id, entry->record_id, TM_ID_SIZE);
        memcpy(made.event_id, record.event_id, TM_ID_SIZE);
        memcpy(made.classification, run->classification, run->class_len);
        recent_mark(intake->recent, &made);
}

static void entry_count(struct intake *intake, const struct batch *batch, struct batch_entry *entry)
{
        if (entry->verdict == TM_DURABLE) {
                intake->counts.durable++;
                recent_add(intake->recent, entry->record_id);
                if (batch->entry_count - (uint32_t)(entry - batch->entries) <= RECENT_MARKS)
                        mark(intake, batch, entry); /* the others would be pushed out at once */
        } else if (entry->verdict == TM_DUPLICATE) {
                intake->counts.duplicate++;
        } else {
                if (entry->run != BATCH_NO_RUN && batch->runs[entry->run].reason != TM_REASON_NONE)
                        entry->reason = batch->runs[entry->run].reason;
                if (entry->connection == BATCH_NOBODY &&
                    (entry->reason == TM_REASON_NO_SPACE || entry->reason == TM_REASON_IO))
                        return; /* it is kept where it came from, and is received when it comes again */
                intake->counts.refused[entry->reason < TM_REASON_COUNT ? entry->reason : TM_REASON_IO]++;
        }
}

static void connection_answer(struct intake *intake, uint32_t slot, const uint8_t *answers, uint32_t count)
{
        struct connection *c = &intake->connections[slot];
        size_t len = (size_t)count * WIRE_ANSWER_LEN;
        ssize_t n;

        do
                n = send(c->fd, answers, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        c->unanswered -= count;
        /* a sender that doesn't read its answers is let go */
        if (n != (ssize_t)len || (c->closing && c->unanswered == 0))
                connection_close(intake, slot);
}

/* Entries of one connection mostly stand together: neighbours are answered with one send. */
void intake_answer(struct intake *intake, struct batch *batch)
{
        uint8_t answers[ANSWERS_A_SEND * WIRE_ANSWER_LEN];
        uint32_t count = 0;

        for (uint32_t i = 0; i < batch->entry_count; i++) {
                struct batch_entry *entry = &batch->entries[i];
                const struct batch_entry *next = i + 1 < batch->entry_count ? entry + 1 : NULL;

                entry_count(intake, batch, entry);
                if (entry->connection == BATCH_NOBODY)
                        continue;
                const struct connection *c = &intake->connections[entry->connection];
                if (c->fd < 0 || c->serial != entry->serial || c->format != 5)
                        continue;
                struct tm_ack ack = { .verdict = entry->verdict, .reason = entry->reason };
                memcpy(ack.record_id, entry->record_id, TM_ID_SIZE);
                wire_answer_encode(&ack, answers + count++ * WIRE_ANSWER_LEN);
                if (count < ANSWERS_A_SEND && next && next->connection == entry->connection && next->serial == entry->serial)
                        continue;
                connection_answer(intake, entry->connection, answers, count);
                count = 0;
        }
        batch_clear(batch);
}

void intake_count(const struct intake *intake, struct intake_counts *counts)
{
        *counts = intake->counts;
}
