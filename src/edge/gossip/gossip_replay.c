/* Who has authenticated, in which life, and which of its counters have been seen.
 *
 * State changes only after a datagram has authenticated, so a forger can neither push a window
 * forward nor end a life. Of a sender only the latest life is kept: a datagram recorded from an
 * earlier one never counts again. A sender that is forgotten (PC_MEMBERS_MAX others were heard
 * since) starts anew; only holders of the cluster key can bring that about. */
#include "gossip_int.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

bool gossip_window_is_fresh(const struct gossip_window *window, uint64_t counter)
{
    if (counter > window->top) {
        return true;
    }
    uint64_t bit = counter % GOSSIP_WINDOW;
    bool seen = (window->seen[bit / 64] >> (bit % 64) & 1) != 0;
    return counter > 0 && window->top - counter < GOSSIP_WINDOW && !seen;
}

void gossip_window_mark(struct gossip_window *window, uint64_t counter)
{
    PC_ASSERT(gossip_window_is_fresh(window, counter));
    if (counter > window->top && counter - window->top >= GOSSIP_WINDOW) {
        memset(window->seen, 0, sizeof window->seen);
        window->top = counter;
    }
    while (window->top < counter) {
        window->top++;
        uint64_t bit = window->top % GOSSIP_WINDOW;
        window->seen[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
    }
    uint64_t bit = counter % GOSSIP_WINDOW;
    window->seen[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static struct gossip_sender *find(struct gossip_senders *senders, pc_node_id id)
{
    for (size_t i = 0; i < senders->n; i++) {
        if (senders->v[i].life.sender == id) {
            return &senders->v[i];
        }
    }
    return NULL;
}

enum gossip_verdict gossip_senders_judge(
    struct gossip_senders *senders, const struct gossip_head *head, struct gossip_sender **sender)
{
    struct gossip_sender *known = find(senders, head->life.sender);
    if (known == NULL || head->life.generation > known->life.generation) {
        return GOSSIP_NEW;
    }
    bool same = head->life.generation == known->life.generation &&
                memcmp(head->life.salt, known->life.salt, sizeof known->life.salt) == 0;
    if (!same) {
        return GOSSIP_OLD_LIFE;
    }
    if (!gossip_window_is_fresh(&known->window, head->counter)) {
        return GOSSIP_REPLAY;
    }
    known->used = ++senders->clock;
    *sender = known;
    return GOSSIP_KNOWN;
}

/* A free place, or that of the sender not heard for longest. */
static struct gossip_sender *find_place(struct gossip_senders *senders)
{
    if (senders->n < PC_MEMBERS_MAX) {
        if (senders->n == senders->cap) {
            senders->cap = senders->cap == 0 ? 16 : senders->cap * 2;
            senders->v = pc_xrealloc(senders->v, senders->cap * sizeof *senders->v);
        }
        return &senders->v[senders->n++];
    }
    struct gossip_sender *oldest = &senders->v[0];
    for (size_t i = 1; i < senders->n; i++) {
        if (senders->v[i].used < oldest->used) {
            oldest = &senders->v[i];
        }
    }
    return oldest;
}

struct gossip_sender *gossip_senders_admit(
    struct gossip_senders *senders, const struct gossip_life *life, const uint8_t *key)
{
    struct gossip_sender *sender = find(senders, life->sender);
    PC_ASSERT(sender == NULL || life->generation > sender->life.generation);
    if (sender == NULL) {
        sender = find_place(senders);
    }
    *sender = (struct gossip_sender){.life = *life, .used = ++senders->clock};
    memcpy(sender->key, key, sizeof sender->key);
    return sender;
}

void gossip_senders_destroy(struct gossip_senders *senders)
{
    if (senders->v != NULL) {
        sodium_memzero(senders->v, senders->cap * sizeof *senders->v);
        free(senders->v);
    }
    *senders = (struct gossip_senders){0};
}
