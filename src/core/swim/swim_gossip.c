/* Messages and the news that rides on them.
 *
 * A record that changed is told 3 * ceil(log2(n + 1)) times by each member that learns of it, which
 * reaches everybody with high probability; push-pull sees to the rest. What was told least goes
 * first, of equals the latest. The encoder lives on another floor, so the budget is kept by upper
 * bounds of what an update takes; the wire tests prove that they hold. */
#include "swim_int.h"

#include <string.h>

#include "pcache/assert.h"

/* The multiplier of the paper's prototype. */
#define TRANSMIT_FACTOR 3

uint32_t pc_swim_transmit_limit(size_t live_n)
{
    uint32_t log2 = 0;
    while ((UINT64_C(1) << log2) < (uint64_t)live_n + 1) {
        log2++;
    }
    return TRANSMIT_FACTOR * (log2 > 0 ? log2 : 1);
}

size_t pc_swim_update_bytes(const struct pc_member *member)
{
    size_t name = strlen(member->name);
    PC_ASSERT(name <= PC_NAME_BYTES_MAX);
    return PC_SWIM_UPDATE_BYTES_MAX - PC_NAME_BYTES_MAX + name;
}

size_t pc_swim_updates_budget(const struct pc_swim *swim)
{
    PC_ASSERT(swim->opts.packet_bytes_max > PC_SWIM_HEAD_BYTES_MAX);
    return swim->opts.packet_bytes_max - PC_SWIM_HEAD_BYTES_MAX;
}

struct pc_swim_msg *pc_swim_send(
    struct pc_swim *swim, const struct pc_addr *to, enum pc_swim_msg_type type)
{
    struct pc_swim_effects *effects = swim->effects;
    PC_ASSERT(effects != NULL);
    PC_ASSERT(!pc_addr_is_none(to));
    if (effects->out_n == effects->out_cap) {
        effects->out_cap = effects->out_cap == 0 ? 8 : effects->out_cap * 2;
        effects->out = pc_xrealloc(effects->out, effects->out_cap * sizeof *effects->out);
    }
    struct pc_swim_out *out = &effects->out[effects->out_n++];
    *out = (struct pc_swim_out){.to = *to};
    out->msg.type = type;
    out->msg.from = swim->opts.self.id;
    out->msg.from_generation = swim->opts.self.generation;
    return &out->msg;
}

static bool holds(const struct pc_swim_msg *msg, pc_node_id id)
{
    for (uint32_t i = 0; i < msg->updates_n; i++) {
        if (msg->updates[i].id == id) {
            return true;
        }
    }
    return false;
}

/* Adds the record of members[i] unless it is there already or does not fit into *left bytes. */
static bool maybe_add(struct pc_swim *swim, struct pc_swim_msg *msg, size_t i, size_t *left)
{
    const struct pc_member *member = &swim->members[i];
    size_t bytes = pc_swim_update_bytes(member);
    if (msg->updates_n == PC_SWIM_UPDATES_MAX || bytes > *left || holds(msg, member->id)) {
        return false;
    }
    msg->updates[msg->updates_n++] = *member;
    *left -= bytes;
    return true;
}

/* The index of the record to tell next, or n when there is none. Members do not need news of
 * themselves, except what was added first. */
static size_t next_news(
    const struct pc_swim *swim, const struct pc_swim_msg *msg, pc_node_id to_id, uint32_t limit)
{
    size_t best = swim->n;
    for (size_t i = 0; i < swim->n; i++) {
        const struct swim_peer *peer = &swim->peers[i];
        pc_node_id id = swim->members[i].id;
        if (peer->sent >= limit || id == to_id || holds(msg, id)) {
            continue;
        }
        const struct swim_peer *other = &swim->peers[best < swim->n ? best : i];
        bool fresher =
            peer->sent < other->sent || (peer->sent == other->sent && peer->change > other->change);
        if (best == swim->n || fresher) {
            best = i;
        }
    }
    return best;
}

void pc_swim_piggyback(struct pc_swim *swim, struct pc_swim_msg *msg, pc_node_id to_id)
{
    PC_ASSERT(msg->updates_n == 0);
    size_t left = pc_swim_updates_budget(swim);
    size_t to = to_id != 0 ? pc_swim_index(swim, to_id) : 0;
    if (to != 0 && swim->members[to].state != PC_MEMBER_ALIVE) {
        (void)maybe_add(swim, msg, to, &left);
    }
    if (msg->type == PC_SWIM_PING) {
        bool introduced = maybe_add(swim, msg, 0, &left);
        PC_ASSERT(introduced);
    }
    uint32_t limit = pc_swim_transmit_limit(pc_swim_live_n(swim));
    for (;;) {
        size_t i = next_news(swim, msg, to_id, limit);
        if (i == swim->n || !maybe_add(swim, msg, i, &left)) {
            return;
        }
        swim->peers[i].sent++;
    }
}

bool pc_swim_has_news(const struct pc_swim *swim)
{
    uint32_t limit = pc_swim_transmit_limit(pc_swim_live_n(swim));
    for (size_t i = 0; i < swim->n; i++) {
        if (swim->peers[i].sent < limit) {
            return true;
        }
    }
    return false;
}

void pc_swim_gossip_now(struct pc_swim *swim)
{
    size_t n = pc_swim_draw(swim, SWIM_LIVE, 0, swim->opts.gossip_fanout);
    PC_ASSERT(n <= swim->opts.gossip_fanout);
    for (size_t k = 0; k < n; k++) {
        const struct pc_member *member = &swim->members[swim->scratch[k]];
        struct pc_swim_msg *msg = pc_swim_send(swim, &member->addr, PC_SWIM_GOSSIP);
        pc_swim_piggyback(swim, msg, member->id);
        if (msg->updates_n == 0) {
            swim->effects->out_n--;
        }
    }
    swim->gossip_at = pc_instant_add_ms(swim->now, swim->opts.gossip_interval_ms);
}

void pc_swim_gossip_tick(struct pc_swim *swim)
{
    if (pc_instant_is_due(swim->gossip_at, swim->now) && pc_swim_has_news(swim)) {
        pc_swim_gossip_now(swim);
    }
}
