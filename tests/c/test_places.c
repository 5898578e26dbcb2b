/* SPDX-License-Identifier: Apache-2.0 */
/*
 * places and users alone: what a user may hold, who has to go, and that after any sequence of comings and goings the lists and
 * sums are what a look at every place finds. Users are numbers here, so that it needs no rights.
 */
#include <fcntl.h>
#include <unistd.h>

#include "check.h"
#include "places.h"

#define OWN 900u

static uint32_t come(struct places *places, uid_t uid, int64_t now_ms)
{
        const struct ucred peer = { .pid = 1, .uid = uid, .gid = 1 };
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        NEED(fd >= 0 && !places_full(places));
        return place_take(places, fd, &peer, 5, now_ms);
}

/* ---- what a look at every place finds ---- */

static uint32_t list_is_sound(const struct places *places, const struct list *list, enum place_link which, bool unfinished,
                              uint32_t user)
{
        uint32_t count = 0, before = PLACES_NONE;

        for (uint32_t slot = list->oldest; slot != PLACES_NONE && count <= places->capacity; count++) {
                const struct connection *c = &places->all[slot];

                CHECK_EQ(c->links[which].older, before);
                CHECK(before == PLACES_NONE || places->all[before].since_ms <= c->since_ms);
                CHECK(c->fd >= 0 && (c->have > 0) == unfinished && (user == USERS_NONE || c->user == user));
                before = slot;
                slot = c->links[which].newer;
        }
        CHECK_EQ(list->newest, before);
        return count;
}

static bool same_source(uid_t one, uid_t other)
{
        return one == other || (one >= 65536 && other >= 65536 && one != OWN && other != OWN && one >> 16 == other >> 16);
}

static void places_are_sound(const struct places *places)
{
        const struct users *users = &places->users;
        uint32_t count = 0, bytes = 0, others_bytes = 0, crowd = USERS_NONE;

        for (uint32_t slot = 0; slot < places->touched; slot++) {
                const struct connection *c = &places->all[slot];
                uint32_t own = 0, own_bytes = 0;

                if (c->fd < 0)
                        continue;
                const struct user *user = &users->all[c->user];
                for (uint32_t other = 0; other < places->touched; other++)
                        if (places->all[other].fd >= 0 && same_source(place_uid(places, other), c->uid)) {
                                CHECK_EQ(places->all[other].user, c->user);
                                own++;
                                own_bytes += places->all[other].size;
                        }
                CHECK_EQ(user->connections, own);
                CHECK_EQ(user->bytes, own_bytes);
                CHECK_EQ(list_is_sound(places, &user->lists[PLACE_IDLE], AMONG_OWN, false, c->user) +
                         list_is_sound(places, &user->lists[PLACE_UNFINISHED], AMONG_OWN, true, c->user), own);
                const bool other = c->uid != 0 && c->uid != OWN;
                if (own > places->capacity / 2 && other)
                        crowd = c->user;
                others_bytes += other ? c->size : 0;
                count++;
                bytes += c->size;
        }
        CHECK_EQ(places->count, count);
        CHECK_EQ(users->bytes, bytes);
        CHECK_EQ(users->others_bytes, others_bytes);
        CHECK_EQ(users->crowd, crowd);
        CHECK_EQ(places_full(places), count == places->capacity);
        CHECK_EQ(places->free == PLACES_NONE, count == places->touched);
        CHECK_EQ(list_is_sound(places, &places->lists[PLACE_IDLE], AMONG_ALL, false, USERS_NONE) +
                 list_is_sound(places, &places->lists[PLACE_UNFINISHED], AMONG_ALL, true, USERS_NONE), count);
}

static uint32_t next_random(uint32_t *state)
{
        *state = *state * 1664525u + 1013904223u;
        return *state >> 8;
}

static void anything_in_any_order(void)
{
        static const uid_t uids[] = { 0, OWN, 1000, 1001, 1002, 1000 + (1u << 31), 1001 + (1u << 31), UINT32_MAX - 1 };
        static const uint8_t bytes[64];

        check_about = "any order";
        for (uint32_t seed = 1; seed <= 40; seed++) {
                uint32_t state = seed, capacity = 1 + seed % 13;
                struct places places;
                int64_t now_ms = 1000;

                NEED(places_init(&places, capacity, OWN));
                for (int step = 0; step < 400; step++) {
                        uint32_t what = next_random(&state) % 8, slot = next_random(&state) % capacity;
                        struct connection *c = &places.all[slot];

                        now_ms += next_random(&state) % 200;
                        if (what < 3 && !places_full(&places))
                                come(&places, uids[next_random(&state) % (seed % 2 ? 8 : 3)], now_ms);
                        else if (slot >= places.touched || c->fd < 0)
                                continue;
                        else if (what == 3)
                                place_leave(&places, slot);
                        else if (what == 4 && c->have > 0)
                                unfinished_end(&places, slot, now_ms);
                        else if (what == 5 && c->have > 0)
                                (void)unfinished_grow(&places, slot, c->size * 3);
                        else if (what == 6 && c->have == 0)
                                (void)unfinished_begin(&places, slot, bytes, 64, 64u << next_random(&state) % 12, now_ms);
                        else if (what == 7 && c->have == 0)
                                place_touch(&places, slot, now_ms);
                        places_are_sound(&places);
                }
                places_release(&places);
        }
}

/* More users than buckets, each leaving again: nothing of them stays. */
static void many_users(void)
{
        static uint32_t index[3000];
        struct users users;

        check_about = "many users";
        NEED(users_init(&users, 3000, OWN));
        for (int turn = 0; turn < 3; turn++) {
                for (uint32_t i = 0; i < 3000; i++)
                        index[i] = user_enter(&users, 100000 + i * 65536);
                for (uint32_t i = 0; i < 3000; i += 7)
                        CHECK_EQ(user_enter(&users, 100000 + i * 65536), index[i]);
                for (uint32_t i = 0; i < 3000; i++) {
                        uint32_t at = turn == 1 ? 2999 - i : i;
                        CHECK_EQ(users.all[index[at]].source, 65536 + at * 65536);
                        if (at % 7 == 0)
                                user_leave(&users, index[at]);
                        user_leave(&users, index[at]);
                }
                for (uint32_t i = 0; i < USERS_BUCKETS; i++)
                        CHECK_EQ(users.buckets[i], USERS_NONE);
        }
        CHECK_EQ(users.touched, 3000);
        users_release(&users);
}

/* ---- shares ---- */

static void bytes_of_a_user(void)
{
        struct users users;

        check_about = "bytes of a user";
        NEED(users_init(&users, 100, OWN));
        uint32_t one = user_enter(&users, 1000), two = user_enter(&users, 1001), own = user_enter(&users, OWN), root = user_enter(&users, 0);
        CHECK(user_hold(&users, one, USERS_SHARE_MAX - 1));
        CHECK(!user_hold(&users, one, 2));
        CHECK(user_hold(&users, one, 1));
        CHECK(!user_hold(&users, one, 1));
        CHECK_EQ(user_enter(&users, 1000), one); /* another connection is no other share */
        CHECK(!user_hold(&users, one, 1));
        CHECK(user_hold(&users, two, USERS_SHARE_MAX));
        CHECK(user_hold(&users, own, 3 * USERS_SHARE_MAX));
        CHECK(user_hold(&users, root, 3 * USERS_SHARE_MAX));
        CHECK(!user_hold(&users, root, 1)); /* all of it is taken */
        CHECK(!user_hold(&users, own, UINT32_MAX));
        user_let_go(&users, one, USERS_SHARE_MAX);
        CHECK(user_hold(&users, root, USERS_SHARE_MAX));
        CHECK(!user_hold(&users, one, 1));
        CHECK_EQ(users.bytes, USERS_BYTES_MAX);
        users_release(&users);
}

/* However many they are, root and our own user find room. */
static void bytes_of_all_users(void)
{
        struct users users;
        uint32_t held = 0;

        check_about = "bytes of all users";
        NEED(users_init(&users, 100, OWN));
        for (uint32_t i = 0; i < 20; i++)
                while (user_hold(&users, user_enter(&users, 1000 + i), USERS_SHARE_MAX / 4) && held < USERS_BYTES_MAX)
                        held += USERS_SHARE_MAX / 4;
        CHECK_EQ(held, USERS_OTHERS_MAX);
        CHECK(USERS_OTHERS_MAX < USERS_BYTES_MAX);
        CHECK(user_hold(&users, user_enter(&users, 0), USERS_BYTES_MAX - USERS_OTHERS_MAX));
        CHECK(!user_hold(&users, user_enter(&users, OWN), 1));
        user_let_go(&users, user_enter(&users, 1000), USERS_SHARE_MAX / 4);
        CHECK(user_hold(&users, user_enter(&users, 1050), USERS_SHARE_MAX / 4));
        CHECK_EQ(users.bytes, USERS_BYTES_MAX);
        users_release(&users);
}

/* 65,536 ids are what a user namespace gets: together they are one source, but for an id of our own among them. */
static void ids_of_a_block(void)
{
        static const uid_t owns[] = { 65536, 131071, 70000 };

        check_about = "ids of a block";
        for (uint32_t i = 0; i < 3; i++) {
                struct users users;

                NEED(users_init(&users, 100, owns[i]));
                uint32_t block = user_enter(&users, 65537), own = user_enter(&users, owns[i]);
                CHECK_EQ(user_enter(&users, 131070), block);
                CHECK(user_enter(&users, 131072) != block && user_enter(&users, 65535) != block && own != block);
                CHECK(user_hold(&users, block, USERS_SHARE_MAX));
                CHECK(!user_hold(&users, user_enter(&users, 100000), 1));
                CHECK(user_hold(&users, own, 2 * USERS_SHARE_MAX));
                users_release(&users);
        }
}

/* 8 places, of which one user has taken more than half: it makes room itself, however long others have been silent. */
static void crowd_goes_first(void)
{
        static const uid_t uids[] = { 0, OWN, 1000 };

        check_about = "crowd";
        for (uint32_t i = 0; i < 3; i++)
                for (uint32_t theirs = 3; theirs <= 7; theirs++) {
                        struct places places;
                        uint32_t first = PLACES_NONE;

                        NEED(places_init(&places, 8, OWN));
                        for (uint32_t n = 0; n < 8 - theirs; n++)
                                come(&places, 2000, 1000);
                        for (uint32_t n = 0; n < theirs; n++) {
                                uint32_t slot = come(&places, uids[i], 2000 + n);
                                first = n == 0 ? slot : first;
                        }
                        bool theirs_goes = uids[i] == 1000 && theirs > 4;
                        CHECK_EQ(place_uid(&places, places_leaver(&places, 90000)), theirs_goes ? 1000 : 2000);
                        if (theirs_goes) {
                                CHECK_EQ(places_leaver(&places, 90000), first);
                                place_leave(&places, first);
                                CHECK_EQ(place_uid(&places, places_leaver(&places, 90000)), theirs > 5 ? 1000 : 2000);
                        }
                        places_release(&places);
                }
}

static void crowd_and_time(void)
{
        static const uint8_t bytes[8];
        struct places places;

        check_about = "crowd and time";
        NEED(places_init(&places, 4, OWN));
        uint32_t other = come(&places, 2000, 0), a = come(&places, 1000, 1000), b = come(&places, 1000, 1001), c = come(&places, 1000, 1002);
        CHECK_EQ(places_leaver(&places, 1000 + PLACES_GRACE_MS - 1), PLACES_NONE); /* not the other in their place either */
        CHECK_EQ(places_leaver(&places, 1000 + PLACES_GRACE_MS), a);
        place_touch(&places, a, 1000 + PLACES_GRACE_MS); /* to say something buys no place, only a later turn */
        CHECK_EQ(places_leaver(&places, 1000 + PLACES_GRACE_MS), PLACES_NONE);
        CHECK_EQ(places_leaver(&places, 1001 + PLACES_GRACE_MS), b);
        NEED(unfinished_begin(&places, b, bytes, 8, 100, 1300));
        NEED(unfinished_begin(&places, a, bytes, 8, 100, 1301));
        CHECK_EQ(places_leaver(&places, 1301), c); /* the idle first */
        NEED(unfinished_begin(&places, c, bytes, 8, 100, 1302));
        CHECK_EQ(places_leaver(&places, 1302), b);
        places.all[b].unanswered = 1; /* an answer is owed to it */
        CHECK_EQ(places_leaver(&places, 1302), b); /* who is owed them goes all the same, where there is no other, */
        unfinished_end(&places, c, 1303);
        CHECK_EQ(places_leaver(&places, 1303), c);
        places.all[c].unanswered = 2;
        CHECK_EQ(places_leaver(&places, 1303), c);
        places.all[b].unanswered = 0;
        CHECK_EQ(places_leaver(&places, 1303), b);
        place_leave(&places, b);
        CHECK_EQ(places_leaver(&places, 1303), other); /* no crowd any more */
        place_touch(&places, other, 1304);
        CHECK_EQ(places_leaver(&places, 1301 + PLACES_GRACE_MS - 1), PLACES_NONE); /* and the common grace */
        CHECK_EQ(places_leaver(&places, 1301 + PLACES_GRACE_MS), a);
        CHECK_EQ(places_leaver(&places, 90000), a); /* never c, who is owed answers, nor one who was heard later */
        places_release(&places);
}

int main(void)
{
        anything_in_any_order();
        many_users();
        bytes_of_a_user();
        bytes_of_all_users();
        ids_of_a_block();
        crowd_goes_first();
        crowd_and_time();
        return check_end();
}
