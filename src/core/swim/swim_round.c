/* Whom to probe, and whom to draw.
 *
 * Every other probe goes to the member whose id follows ours, as in a ring: every member has one
 * that looks after it, so a crash is noticed within two intervals, while chance alone now and then
 * leaves a member alone for many. The rest go round robin over a shuffled list (SWIM 4.3): every
 * member is probed once per round, whichever of its neighbours are down or cut off, and the load is
 * even, which independent draws would not give. A new member goes to a random place of the list: at
 * its end, those who join together would be probed together. Members that are down stay in the list
 * and are passed over, so that one that comes back has its place.
 *
 * Other draws shuffle a copy and take its head. Trying a few random positions instead, and giving
 * up after some, misses the only helper of a three-node cluster now and then. */
#include "swim_int.h"

#include <string.h>

#include "pcache/assert.h"

static size_t order_n(const struct pc_swim *swim)
{
    PC_ASSERT(swim->n > 0);
    return swim->n - 1;
}

/* Called before the member is counted in n, with room for it. */
void pc_swim_round_insert(struct pc_swim *swim, pc_node_id id)
{
    size_t n = order_n(swim);
    PC_ASSERT(n < swim->cap);
    PC_ASSERT(swim->order_next <= n);
    size_t at = (size_t)pc_prng_below(&swim->prng, n + 1);
    memmove(&swim->order[at + 1], &swim->order[at], (n - at) * sizeof *swim->order);
    swim->order[at] = id;
    if (at < swim->order_next) {
        swim->order_next++;
    }
}

/* Called while the member is still counted in n. */
void pc_swim_round_remove(struct pc_swim *swim, pc_node_id id)
{
    size_t n = order_n(swim);
    size_t at = 0;
    while (at < n && swim->order[at] != id) {
        at++;
    }
    PC_ASSERT(at < n);
    memmove(&swim->order[at], &swim->order[at + 1], (n - at - 1) * sizeof *swim->order);
    if (at < swim->order_next) {
        swim->order_next--;
    }
}

static void shuffle_order(struct pc_swim *swim)
{
    for (size_t i = order_n(swim); i > 1; i--) {
        size_t other = (size_t)pc_prng_below(&swim->prng, i);
        pc_node_id id = swim->order[i - 1];
        swim->order[i - 1] = swim->order[other];
        swim->order[other] = id;
    }
}

size_t pc_swim_round_successor(const struct pc_swim *swim)
{
    size_t first = 0;
    for (size_t i = 1; i < swim->n; i++) {
        if (pc_swim_is_live(&swim->members[i])) {
            if (swim->members[i].id > swim->opts.self.id) {
                return i;
            }
            first = first == 0 ? i : first;
        }
    }
    return first;
}

size_t pc_swim_round_next(struct pc_swim *swim)
{
    swim->ring_turn = !swim->ring_turn;
    if (swim->ring_turn) {
        return pc_swim_round_successor(swim);
    }
    size_t n = order_n(swim);
    for (size_t tried = 0; tried < 2 * n; tried++) {
        if (swim->order_next >= n) {
            shuffle_order(swim);
            swim->order_next = 0;
        }
        size_t i = pc_swim_index(swim, swim->order[swim->order_next++]);
        PC_ASSERT(i != 0);
        if (pc_swim_is_live(&swim->members[i])) {
            return i;
        }
    }
    return 0;
}

size_t pc_swim_draw(struct pc_swim *swim, enum swim_kind kind, pc_node_id except, size_t want)
{
    uint32_t *drawn = swim->scratch;
    size_t n = 0;
    for (size_t i = 1; i < swim->n; i++) {
        const struct pc_member *member = &swim->members[i];
        bool fits = kind == SWIM_LIVE ? pc_swim_is_live(member) : member->state == PC_MEMBER_DEAD;
        if (fits && member->id != except) {
            drawn[n++] = (uint32_t)i;
        }
    }
    PC_ASSERT(n < swim->cap);
    want = want < n ? want : n;
    for (size_t i = 0; i < want; i++) {
        size_t other = i + (size_t)pc_prng_below(&swim->prng, n - i);
        uint32_t index = drawn[i];
        drawn[i] = drawn[other];
        drawn[other] = index;
    }
    return want;
}
