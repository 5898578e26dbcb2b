/* SPDX-License-Identifier: Apache-2.0 */
#include "users.h"

#include <stdlib.h>

bool users_init(struct users *users, uint32_t places, uid_t own_uid)
{
        *users = (struct users){
                .all = calloc(places, sizeof(*users->all)),
                .places = places,
                .free = USERS_NONE,
                .crowd = USERS_NONE,
                .own_uid = own_uid,
        };
        for (uint32_t i = 0; i < USERS_BUCKETS; i++)
                users->buckets[i] = USERS_NONE;
        return users->all != NULL;
}

void users_release(struct users *users)
{
        free(users->all);
        users->all = NULL;
}

static uint32_t *bucket_of(struct users *users, uid_t source)
{
        return &users->buckets[((uint32_t)source * 2654435769u) >> 22]; /* Fibonacci hashing: the upper ten bits */
}
_Static_assert(USERS_BUCKETS == 1u << (32 - 22), "the shift fits the number of buckets");

static bool privileged(const struct users *users, uid_t uid)
{
        return uid == 0 || uid == users->own_uid;
}

/* Of more than half of the places there can be but one holder. */
static bool crowds(const struct users *users, const struct user *user)
{
        return user->connections > users->places / 2 && !user->privileged;
}

static uint32_t user_new(struct users *users, uid_t source, bool is_privileged)
{
        uint32_t *bucket = bucket_of(users, source), index = users->free;

        if (index == USERS_NONE)
                index = users->touched++;
        else
                users->free = users->all[index].next;
        users->all[index] = (struct user){
                .source = source,
                .privileged = is_privileged,
                .next = *bucket,
                .lists = { { USERS_NONE, USERS_NONE }, { USERS_NONE, USERS_NONE } },
        };
        *bucket = index;
        return index;
}

uint32_t user_enter(struct users *users, uid_t uid)
{
        const bool is_privileged = privileged(users, uid);
        const uid_t source = is_privileged || uid < USERS_BLOCK ? uid : uid - uid % USERS_BLOCK;
        uint32_t index = *bucket_of(users, source);

        while (index != USERS_NONE && (users->all[index].source != source || users->all[index].privileged != is_privileged))
                index = users->all[index].next;
        if (index == USERS_NONE)
                index = user_new(users, source, is_privileged);
        users->all[index].connections++;
        if (crowds(users, &users->all[index]))
                users->crowd = index;
        return index;
}

void user_leave(struct users *users, uint32_t index)
{
        struct user *user = &users->all[index];

        user->connections--;
        if (users->crowd == index && !crowds(users, user))
                users->crowd = USERS_NONE;
        if (user->connections > 0)
                return;
        uint32_t *link = bucket_of(users, user->source);
        while (*link != index)
                link = &users->all[*link].next;
        *link = user->next;
        user->next = users->free;
        users->free = index;
}

bool user_hold(struct users *users, uint32_t index, uint32_t bytes)
{
        struct user *user = &users->all[index];

        if (bytes > USERS_BYTES_MAX - users->bytes)
                return false;
        if (!user->privileged) {
                if (bytes > USERS_SHARE_MAX - user->bytes || bytes > USERS_OTHERS_MAX - users->others_bytes)
                        return false;
                users->others_bytes += bytes;
        }
        user->bytes += bytes;
        users->bytes += bytes;
        return true;
}

void user_let_go(struct users *users, uint32_t index, uint32_t bytes)
{
        if (!users->all[index].privileged)
                users->others_bytes -= bytes;
        users->all[index].bytes -= bytes;
        users->bytes -= bytes;
}
