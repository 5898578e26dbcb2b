/* SPDX-License-Identifier: Apache-2.0 */
/*
 * places: the senders who are connected, one slot each, in the order in which they were last heard; the memory in which
 * their unfinished records wait; and who has to go where all places are taken. Owns descriptors and buffers; reads nothing,
 * sends nothing, and knows nothing of what a record looks like.
 */
#ifndef TELEMD_PLACES_H
#define TELEMD_PLACES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "users.h"

#define PLACES_NONE UINT32_MAX
#define PLACES_GRACE_MS 250             /* so long nobody is sent away */

enum place_list { PLACE_IDLE, PLACE_UNFINISHED };       /* lists of connections: by whether a record has begun */
enum place_link { AMONG_ALL, AMONG_OWN };               /* each is in a list of all, and in one of its user */

struct link {
        uint32_t older, newer;
};

struct connection {
        int fd;                         /* -1: the slot is free */
        uint32_t serial;
        uint32_t user;                  /* index in users */
        uid_t uid;
        uint32_t pid;
        uint8_t format;
        bool registered;                /* with epoll */
        bool closing;                   /* after the answers */
        uint32_t unanswered;            /* entries in the batch */
        uint32_t drain;                 /* the last one that read of it, */
        uint32_t taken;                 /* so many bytes */
        uint8_t *buffer;                /* an unfinished record, */
        uint32_t have;                  /* so many bytes of it; 0: the connection is idle */
        uint32_t size;
        int64_t opened_ms;
        int64_t since_ms;               /* begin of the unfinished record, or last sign of life */
        struct link links[2];           /* by enum place_link; the first's newer is the next free slot */
};

struct places {
        struct connection *all;
        uint32_t capacity;
        uint32_t count;                 /* taken */
        uint32_t touched;               /* slots from here on were never used: their memory isn't there yet */
        uint32_t free;                  /* of those before: the one left last, or PLACES_NONE */
        struct list lists[2];           /* by enum place_list */
        struct users users;
};

/* False where there is no memory; places_release() is right in any case. own_uid has all rights, as root has. */
bool places_init(struct places *places, uint32_t capacity, uid_t own_uid);
void places_release(struct places *places);

static inline bool places_full(const struct places *places)
{
        return places->count == places->capacity;
}

/* A place, of which there must be a free one, for this descriptor, which belongs to it from now on. */
uint32_t place_take(struct places *places, int fd, const struct ucred *peer, uint8_t format, int64_t now_ms);
/* Close it, and forget what it had begun to say. */
void place_leave(struct places *places, uint32_t slot);

static inline uid_t place_uid(const struct places *places, uint32_t slot)
{
        return places->all[slot].uid;
}

/* An idle one gave a sign of life. */
void place_touch(struct places *places, uint32_t slot, int64_t now_ms);

/* Keep the len bytes of a record that has begun, in size bytes of memory. False where its user may have no more. */
bool unfinished_begin(struct places *places, uint32_t slot, const uint8_t *bytes, uint32_t len, uint32_t size, int64_t now_ms);
/* More memory for it. False, and it keeps what it has, for the same. */
bool unfinished_grow(struct places *places, uint32_t slot, uint32_t size);
void unfinished_end(struct places *places, uint32_t slot, int64_t now_ms);

/* Who makes room for another: the longest idle, else the longest unfinished, unless it is owed answers or still has its
 * grace, which counts from the last sign of life. Where one user has more than half of the places and no right to, one of
 * its own: there the grace counts from the coming, and where all are owed answers the first of them it is, so that nobody
 * holds the places by always having something to say. PLACES_NONE where there is none. */
uint32_t places_leaver(const struct places *places, int64_t now_ms);

#endif
