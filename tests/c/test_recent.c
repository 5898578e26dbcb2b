/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What telemd remembers of the last 65,536 records, against a model that is too simple to be wrong.
 */
#include "recent.c" /* for its key alone: with it ids can be made that collide */

#include "check.h"

#define UNIVERSE 150000u
#define NOWHERE UINT32_MAX

static uint64_t state = 0x2545f4914f6cdd1dull;

static uint64_t dice(void)
{
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
}

/* ---- ids whose digest is as wanted ---- */

static uint64_t inverse(uint64_t odd)
{
        uint64_t x = odd; /* Newton: each step doubles the number of right bits */

        for (int i = 0; i < 6; i++)
                x *= 2 - odd * x;
        return x;
}

static uint64_t unmix(uint64_t x)
{
        x ^= x >> 33;
        x *= inverse(0xc4ceb9fe1a85ec53ULL);
        x ^= x >> 33;
        x *= inverse(0xff51afd7ed558ccdULL);
        return x ^ (x >> 33);
}

static void id_with_digest(const struct recent *recent, uint64_t digest, uint8_t id[TM_ID_SIZE])
{
        uint64_t low = dice(), high = unmix(digest) ^ mix(low ^ recent->key[0]) ^ recent->key[1];

        memcpy(id, &low, 8);
        memcpy(id + 8, &high, 8);
}

/* ---- the model ---- */

struct model {
        uint8_t ids[UNIVERSE][TM_ID_SIZE];
        bool known[UNIVERSE];
        uint32_t ring[RECENT_IDS];
        uint32_t next;
};

static struct model *model_new(void)
{
        struct model *model = calloc(1, sizeof *model);

        NEED(model);
        memset(model->ring, 0xff, sizeof model->ring);
        return model;
}

static void model_add(struct model *model, uint32_t which)
{
        if (model->known[which])
                return;
        if (model->ring[model->next] != NOWHERE)
                model->known[model->ring[model->next]] = false;
        model->known[which] = true;
        model->ring[model->next] = which;
        model->next = (model->next + 1) % RECENT_IDS;
}

static void table_is_sound(const struct recent *recent)
{
        uint32_t filled = 0, reachable = 0;

        for (uint32_t slot = 0; slot < SLOTS; slot++)
                filled += recent->slots[slot] != EMPTY;
        for (uint32_t at = 0; at < recent->used; at++)
                reachable += recent->slots[slot_of(recent, recent->digests[at])] == at + 1;
        CHECK_EQ(filled, recent->used);
        CHECK_EQ(reachable, recent->used);
}

static void like_the_model(struct recent *recent, struct model *model, int steps)
{
        uint32_t agreed = 0;
        bool same = true;

        for (int i = 0; i < steps && same; i++) {
                uint32_t which = (uint32_t)(dice() % UNIVERSE);

                if (dice() % 4) {
                        recent_add(recent, model->ids[which]);
                        model_add(model, which);
                }
                uint32_t other = (uint32_t)(dice() % UNIVERSE);
                same = recent_has(recent, model->ids[other]) == model->known[other];
        }
        CHECK(same);
        while (agreed < UNIVERSE && recent_has(recent, model->ids[agreed]) == model->known[agreed])
                agreed++;
        CHECK_EQ(agreed, UNIVERSE);
        table_is_sound(recent);
}

/* ---- tests ---- */

static void window(void)
{
        struct recent *recent = recent_new();
        uint8_t id[TM_ID_SIZE] = { 1 };

        check_about = "window";
        NEED(recent);
        CHECK(!recent_has(recent, id));
        for (uint32_t i = 0; i < 3 * RECENT_IDS; i++) {
                memcpy(id + 4, &i, 4);
                CHECK(!recent_has(recent, id));
                recent_add(recent, id);
                CHECK(recent_has(recent, id));
                for (uint32_t back = RECENT_IDS - 1; back <= RECENT_IDS; back++) {
                        uint32_t old = i - back;

                        memcpy(id + 4, &old, 4);
                        if (i >= back)
                                CHECK_EQ(recent_has(recent, id), back < RECENT_IDS);
                }
        }
        table_is_sound(recent);
        recent_free(recent);
}

/* To add again what is known neither forgets another nor makes it younger. */
static void added_again(void)
{
        struct recent *recent = recent_new();
        uint8_t first[TM_ID_SIZE] = { 0xff }, id[TM_ID_SIZE] = { 2 };

        check_about = "added again";
        NEED(recent);
        recent_add(recent, first);
        for (uint32_t i = 1; i < RECENT_IDS; i++) {
                memcpy(id + 4, &i, 4);
                recent_add(recent, id);
                recent_add(recent, id);
                recent_add(recent, first);
        }
        CHECK(recent_has(recent, first));
        memset(id, 3, sizeof id);
        recent_add(recent, id);
        CHECK(!recent_has(recent, first));
        recent_free(recent);
}

static void random_ids(void)
{
        struct recent *recent = recent_new();
        struct model *model = model_new();

        check_about = "random ids";
        NEED(recent);
        for (uint32_t which = 0; which < UNIVERSE; which++)
                for (int half = 0; half < 2; half++) {
                        uint64_t bits = dice();
                        memcpy(model->ids[which] + 8 * half, &bits, 8);
                }
        like_the_model(recent, model, 400000);
        free(model);
        recent_free(recent);
}

/* All ids in a few runs of hundreds of slots, one of which goes over the end of the table. */
static void colliding_ids(void)
{
        struct recent *recent = recent_new();
        struct model *model = model_new();

        check_about = "colliding ids";
        NEED(recent);
        for (uint32_t which = 0; which < UNIVERSE; which++) {
                uint64_t run = dice() % 128, home = (run * (SLOTS / 128) - 4 + dice() % 16) & (SLOTS - 1);

                id_with_digest(recent, (dice() & ~(uint64_t)(SLOTS - 1)) | home, model->ids[which]);
        }
        CHECK_EQ(digest_of(recent, model->ids[0]) >> 17 != 0, 1);
        like_the_model(recent, model, 300000);
        free(model);
        recent_free(recent);
}

/* The window is never full here: holes are made at both ends of one run again and again. */
static void one_run_over_the_end(void)
{
        check_about = "one run";
        for (int turn = 0; turn < 300; turn++) {
                struct recent *recent = recent_new();
                uint8_t ids[24][TM_ID_SIZE];
                bool gone[24] = { false };

                NEED(recent);
                for (uint32_t i = 0; i < 24; i++) {
                        id_with_digest(recent, (dice() << 17) | ((SLOTS - 6 + dice() % 12) & (SLOTS - 1)), ids[i]);
                        recent_add(recent, ids[i]);
                }
                for (uint32_t i = 0; i < 24; i++) {
                        uint32_t which = (uint32_t)(dice() % 24);

                        forget(recent, digest_of(recent, ids[which]));
                        gone[which] = true;
                        for (uint32_t other = 0; other < 24; other++)
                                CHECK_EQ(recent_has(recent, ids[other]), !gone[other]);
                }
                recent_free(recent);
        }
}

static void keyed(void)
{
        struct recent *a = recent_new(), *b = recent_new();
        uint8_t id[TM_ID_SIZE] = { 0 };

        check_about = "key";
        NEED(a && b);
        CHECK(digest_of(a, id) != digest_of(b, id));
        recent_free(a);
        recent_free(b);
        CHECK(recent_free(NULL) == NULL);
}

static void marks(void)
{
        struct recent *recent = recent_new();
        uint64_t total = 99;

        check_about = "marks";
        NEED(recent);
        CHECK(recent_marks(recent, &total) != NULL);
        CHECK_EQ(total, 0);
        for (uint32_t i = 0; i < 3 * RECENT_MARKS + 7; i++) {
                struct recent_mark mark = { .created_us = i, .class_len = TM_CLASSIFICATION_MAX };

                memset(mark.classification, 'a' + (int)(i % 26), sizeof mark.classification);
                recent_mark(recent, &mark);
                const struct recent_mark *ring = recent_marks(recent, &total);
                CHECK_EQ(total, i + 1);
                for (uint64_t serial = total > RECENT_MARKS ? total - RECENT_MARKS : 0; serial < total; serial++) {
                        CHECK_EQ(ring[serial % RECENT_MARKS].created_us, serial);
                        CHECK_EQ(ring[serial % RECENT_MARKS].classification[TM_CLASSIFICATION_MAX - 1], 'a' + serial % 26);
                }
        }
        recent_free(recent);
}

int main(void)
{
        window();
        added_again();
        random_ids();
        colliding_ids();
        one_run_over_the_end();
        keyed();
        marks();
        return check_end();
}
