/* SPDX-License-Identifier: Apache-2.0 */
/*
 * users: what each user of this machine holds of the intake, and how much that may be: half of the places where all are
 * taken, an eighth of the memory for unfinished records. root and telemd's own user may have all of both. Numbers only: no
 * descriptor, no clock, nothing of a record.
 */
#ifndef TELEMD_USERS_H
#define TELEMD_USERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define USERS_NONE UINT32_MAX
#define USERS_BUCKETS 1024u             /* a power of two */
#define USERS_BYTES_MAX (8u << 20)      /* of unfinished records, in all */
#define USERS_OTHERS_MAX (USERS_BYTES_MAX / 2)  /* of that, all but root's and our own */
#define USERS_SHARE_MAX (USERS_BYTES_MAX / 8)   /* one of those */
#define USERS_BLOCK 65536u              /* from this id on so many ids are one source: what a user namespace gets */

/* Connections by their slots, oldest first; places.c links them. */
struct list {
        uint32_t oldest, newest;
};

/* Somebody who has at least one connection: a user id, or the first one of a block. */
struct user {
        uid_t source;
        bool privileged;                /* root, or our own user */
        uint32_t connections;
        uint32_t bytes;                 /* of unfinished records */
        uint32_t next;                  /* of the same bucket; next free one */
        struct list lists[2];           /* by enum place_list */
};

struct users {
        struct user *all;               /* as many as there are places: each holds one */
        uint32_t places;
        uint32_t touched;               /* those from here on were never used */
        uint32_t free;
        uint32_t crowd;                 /* who has more than half of the places and no right to; USERS_NONE */
        uint32_t bytes;
        uint32_t others_bytes;          /* of those who aren't privileged */
        uid_t own_uid;
        uint32_t buckets[USERS_BUCKETS];
};

/* False where there is no memory; users_release() is right in any case. */
bool users_init(struct users *users, uint32_t places, uid_t own_uid);
void users_release(struct users *users);

/* One connection more of this uid, of which there are fewer than places; its index in all. */
uint32_t user_enter(struct users *users, uid_t uid);
/* One less, that holds no bytes. */
void user_leave(struct users *users, uint32_t index);

/* So many bytes more: false, and nothing changes, where that is above the user's share, that of all users or the whole. */
bool user_hold(struct users *users, uint32_t index, uint32_t bytes);
void user_let_go(struct users *users, uint32_t index, uint32_t bytes);

#endif
