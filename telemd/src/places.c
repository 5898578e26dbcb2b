/* SPDX-License-Identifier: Apache-2.0 */
#include "places.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- lists ---- */

static void list_remove(struct places *places, struct list *list, uint32_t slot, enum place_link which)
{
        const struct link *link = &places->all[slot].links[which];

        *(link->older == PLACES_NONE ? &list->oldest : &places->all[link->older].links[which].newer) = link->newer;
        *(link->newer == PLACES_NONE ? &list->newest : &places->all[link->newer].links[which].older) = link->older;
}

static void list_append(struct places *places, struct list *list, uint32_t slot, enum place_link which)
{
        places->all[slot].links[which] = (struct link){ .older = list->newest, .newer = PLACES_NONE };
        *(list->newest == PLACES_NONE ? &list->oldest : &places->all[list->newest].links[which].newer) = slot;
        list->newest = slot;
}

static struct list *own_lists(struct places *places, uint32_t slot)
{
        return places->users.all[places->all[slot].user].lists;
}

static void enlist(struct places *places, uint32_t slot, enum place_list to)
{
        list_append(places, &places->lists[to], slot, AMONG_ALL);
        list_append(places, &own_lists(places, slot)[to], slot, AMONG_OWN);
}

static void delist(struct places *places, uint32_t slot)
{
        enum place_list from = places->all[slot].have > 0 ? PLACE_UNFINISHED : PLACE_IDLE;

        list_remove(places, &places->lists[from], slot, AMONG_ALL);
        list_remove(places, &own_lists(places, slot)[from], slot, AMONG_OWN);
}

static void move(struct places *places, uint32_t slot, enum place_list to, int64_t now_ms)
{
        delist(places, slot);
        places->all[slot].since_ms = now_ms;
        enlist(places, slot, to);
}

/* ---- places ---- */

bool places_init(struct places *places, uint32_t capacity, uid_t own_uid)
{
        *places = (struct places){
                .all = calloc(capacity, sizeof(*places->all)),
                .capacity = capacity,
                .free = PLACES_NONE,
                .lists = { { PLACES_NONE, PLACES_NONE }, { PLACES_NONE, PLACES_NONE } },
        };
        return users_init(&places->users, capacity, own_uid) && places->all;
}

void places_release(struct places *places)
{
        for (uint32_t slot = 0; slot < places->touched; slot++)
                if (places->all[slot].fd >= 0)
                        place_leave(places, slot);
        users_release(&places->users);
        free(places->all);
        places->all = NULL;
}

uint32_t place_take(struct places *places, int fd, const struct ucred *peer, uint8_t format, int64_t now_ms)
{
        uint32_t slot = places->free != PLACES_NONE ? places->free : places->touched++;
        struct connection *c = &places->all[slot];

        if (slot == places->free)
                places->free = c->links[AMONG_ALL].newer;
        *c = (struct connection){
                .fd = fd,
                .serial = c->serial,
                .user = user_enter(&places->users, peer->uid),
                .uid = peer->uid,
                .pid = (uint32_t)peer->pid,
                .format = format,
                .opened_ms = now_ms,
                .since_ms = now_ms,
        };
        enlist(places, slot, PLACE_IDLE);
        places->count++;
        return slot;
}

static void buffer_drop(struct places *places, struct connection *c)
{
        user_let_go(&places->users, c->user, c->size);
        free(c->buffer);
        c->buffer = NULL;
        c->size = c->have = 0;
}

void place_leave(struct places *places, uint32_t slot)
{
        struct connection *c = &places->all[slot];

        delist(places, slot);
        buffer_drop(places, c);
        user_leave(&places->users, c->user);
        close(c->fd);
        c->fd = -1;
        c->serial = (c->serial + 1) & INT32_MAX; /* never all ones: that marks a listener */
        c->links[AMONG_ALL].newer = places->free;
        places->free = slot;
        places->count--;
}

void place_touch(struct places *places, uint32_t slot, int64_t now_ms)
{
        move(places, slot, PLACE_IDLE, now_ms);
}

/* ---- unfinished records ---- */

bool unfinished_begin(struct places *places, uint32_t slot, const uint8_t *bytes, uint32_t len, uint32_t size, int64_t now_ms)
{
        struct connection *c = &places->all[slot];

        if (!unfinished_grow(places, slot, size))
                return false;
        move(places, slot, PLACE_UNFINISHED, now_ms);
        memcpy(c->buffer, bytes, len);
        c->have = len;
        return true;
}

bool unfinished_grow(struct places *places, uint32_t slot, uint32_t size)
{
        struct connection *c = &places->all[slot];

        if (!user_hold(&places->users, c->user, size - c->size))
                return false;
        uint8_t *buffer = realloc(c->buffer, size);
        if (!buffer) {
                user_let_go(&places->users, c->user, size - c->size);
                return false;
        }
        c->buffer = buffer;
        c->size = size;
        return true;
}

void unfinished_end(struct places *places, uint32_t slot, int64_t now_ms)
{
        move(places, slot, PLACE_IDLE, now_ms);
        buffer_drop(places, &places->all[slot]);
}

/* ---- who has to go ---- */

uint32_t places_leaver(const struct places *places, int64_t now_ms)
{
        uint32_t owed = PLACES_NONE;
        const bool crowded = places->users.crowd != USERS_NONE;
        const struct list *lists = crowded ? places->users.all[places->users.crowd].lists : places->lists;

        for (enum place_list list = PLACE_IDLE; list <= PLACE_UNFINISHED; list++) {
                uint32_t slot = lists[list].oldest;

                if (slot == PLACES_NONE)
                        continue;
                const struct connection *c = &places->all[slot];
                if (now_ms - (crowded ? c->opened_ms : c->since_ms) < PLACES_GRACE_MS)
                        continue;
                if (c->unanswered == 0)
                        return slot;
                if (crowded && owed == PLACES_NONE)
                        owed = slot;
        }
        return owed;
}
