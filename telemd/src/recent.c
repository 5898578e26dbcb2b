/* SPDX-License-Identifier: Apache-2.0 */
#include "recent.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SLOTS (RECENT_IDS * 2u)
#define EMPTY 0u

/* A ring of 64-bit digests, and an open-addressed table from digest to ring place + 1. The digest is keyed, so that a
 * sender can't choose ids that collide. */
struct recent {
        uint64_t key[2];
        uint32_t used;                  /* ring places filled */
        uint32_t next;                  /* ring place to be filled */
        uint64_t digests[RECENT_IDS];
        uint32_t slots[SLOTS];
        uint64_t mark_total;
        struct recent_mark marks[RECENT_MARKS];
};

struct recent *recent_new(void)
{
        struct recent *recent = calloc(1, sizeof(*recent));

        if (recent && getrandom(recent->key, sizeof(recent->key), 0) != (ssize_t)sizeof(recent->key))
                return recent_free(recent);
        return recent;
}

struct recent *recent_free(struct recent *recent)
{
        free(recent);
        return NULL;
}

static uint64_t mix(uint64_t x)
{
        /* MurmurHash3's 64-bit finaliser */
        x ^= x >> 33;
        x *= 0xff51afd7ed558ccdULL;
        x ^= x >> 33;
        x *= 0xc4ceb9fe1a85ec53ULL;
        return x ^ (x >> 33);
}

static uint64_t digest_of(const struct recent *recent, const uint8_t id[TM_ID_SIZE])
{
        uint64_t low, high;

        memcpy(&low, id, 8);
        memcpy(&high, id + 8, 8);
        return mix(mix(low ^ recent->key[0]) ^ high ^ recent->key[1]);
}

/* The slot that holds the digest, or the empty one where it would go. */
static uint32_t slot_of(const struct recent *recent, uint64_t digest)
{
        uint32_t slot = (uint32_t)digest & (SLOTS - 1);

        while (recent->slots[slot] != EMPTY && recent->digests[recent->slots[slot] - 1] != digest)
                slot = (slot + 1) & (SLOTS - 1);
        return slot;
}

bool recent_has(const struct recent *recent, const uint8_t id[TM_ID_SIZE])
{
        return recent->slots[slot_of(recent, digest_of(recent, id))] != EMPTY;
}

/* Linear probing without tombstones: close the hole by moving later members of the run back (Knuth 6.4, algorithm R). */
static void forget(struct recent *recent, uint64_t digest)
{
        uint32_t hole = slot_of(recent, digest);

        if (recent->slots[hole] == EMPTY)
                return;
        for (uint32_t at = hole;;) {
                at = (at + 1) & (SLOTS - 1);
                if (recent->slots[at] == EMPTY)
                        break;
                uint32_t home = (uint32_t)recent->digests[recent->slots[at] - 1] & (SLOTS - 1);
                if (((at - home) & (SLOTS - 1)) < ((at - hole) & (SLOTS - 1)))
                        continue;
                recent->slots[hole] = recent->slots[at];
                hole = at;
        }
        recent->slots[hole] = EMPTY;
}

void recent_add(struct recent *recent, const uint8_t id[TM_ID_SIZE])
{
        uint64_t digest = digest_of(recent, id);
        uint32_t slot = slot_of(recent, digest);

        if (recent->slots[slot] != EMPTY)
                return;
        if (recent->used == RECENT_IDS) {
                forget(recent, recent->digests[recent->next]);
                slot = slot_of(recent, digest);
        } else {
                recent->used++;
        }
        recent->digests[recent->next] = digest;
        recent->slots[slot] = recent->next + 1;
        recent->next = (recent->next + 1) % RECENT_IDS;
}

void recent_mark(struct recent *recent, const struct recent_mark *mark)
{
        recent->marks[recent->mark_total++ % RECENT_MARKS] = *mark;
}

const struct recent_mark *recent_marks(const struct recent *recent, uint64_t *total)
{
        *total = recent->mark_total;
        return recent->marks;
}
