/* Names of keys. A key that many clients share is left after a while, and earlier when outcomes on
 * it became unknown: each of those doubles what a search for an order may have to try. */
#define _GNU_SOURCE
#include "chaosclient/chaos_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pcache/assert.h"

/* Requests under way when the limit is met may add to it. */
#define UNKNOWN_MAX 4

static const struct {
    char letter;
    size_t slots_n;
} families[CHAOS_FAMILIES_N] = {{'r', CHAOS_SLOTS_MAX}, {'c', 4}, {'t', 6}};

void chaos_keys_create(struct chaos_keys *keys, const char *prefix, uint64_t rotate_ms)
{
    *keys = (struct chaos_keys){.prefix = prefix, .rotate_us = rotate_ms * 1000};
    PC_ASSERT(pthread_mutex_init(&keys->lock, NULL) == 0);
}

size_t chaos_keys_count(enum chaos_family family)
{
    PC_ASSERT(family < CHAOS_FAMILIES_N);
    return families[family].slots_n;
}

static void slot_renew(struct chaos_slot *slot, uint64_t now_us)
{
    slot->generation++;
    slot->since_us = now_us;
    slot->unknown_n = 0;
}

uint64_t chaos_keys_name(struct chaos_keys *keys, enum chaos_family family, size_t number,
    uint64_t now_us, char *out, size_t max)
{
    PC_ASSERT(number < chaos_keys_count(family));
    struct chaos_slot *slot = &keys->slot[family][number];
    PC_ASSERT(pthread_mutex_lock(&keys->lock) == 0);
    /* Not all slots at the same moment. */
    uint64_t age_us = keys->rotate_us + keys->rotate_us * number / (4 * CHAOS_SLOTS_MAX);
    if (slot->since_us == 0 || now_us > slot->since_us + age_us || slot->unknown_n >= UNKNOWN_MAX) {
        slot_renew(slot, now_us);
    }
    uint64_t generation = slot->generation;
    PC_ASSERT(pthread_mutex_unlock(&keys->lock) == 0);
    int used = snprintf(
        out, max, "%s/%c%zu.%" PRIu64, keys->prefix, families[family].letter, number, generation);
    PC_ASSERT(used > 0 && (size_t)used < max);
    return generation;
}

void chaos_keys_unknown(
    struct chaos_keys *keys, enum chaos_family family, size_t number, uint64_t generation)
{
    struct chaos_slot *slot = &keys->slot[family][number];
    PC_ASSERT(pthread_mutex_lock(&keys->lock) == 0);
    slot->unknown_n += slot->generation == generation ? 1 : 0;
    PC_ASSERT(pthread_mutex_unlock(&keys->lock) == 0);
}
