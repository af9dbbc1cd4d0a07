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

void pc_swim_send_ping(struct pc_swim *swim, size_t i, uint64_t nonce, bool introduced)
{
    const struct pc_member *target = &swim->members[i];
    PC_ASSERT(i > 0 && i < swim->n);
    PC_ASSERT(!pc_addr_is_none(&target->addr));
    struct pc_swim_msg *msg = pc_swim_send(swim, &target->addr, PC_SWIM_PING);
    msg->nonce = nonce;
    msg->target_id = target->id;
    if (introduced) {
        msg->updates[msg->updates_n++] = swim->members[0];
    }
    pc_swim_piggyback(swim, msg, target->id);
}

struct pc_swim_msg *pc_swim_send_answer(struct pc_swim *swim, enum pc_swim_msg_type type,
    pc_node_id to, const struct pc_addr *addr, uint64_t nonce, pc_node_id who)
{
    PC_ASSERT(type == PC_SWIM_ACK || type == PC_SWIM_NACK);
    struct pc_swim_msg *msg = pc_swim_send(swim, addr, type);
    msg->nonce = nonce;
    msg->target_id = who;
    pc_swim_piggyback(swim, msg, to);
    return msg;
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

/* Puts the indices of all records that are news into swim->news, and returns how many. Members
 * do not need news of themselves, except what was added first. */
static size_t collect_news(struct pc_swim *swim, pc_node_id to_id)
{
    uint32_t limit = pc_swim_transmit_limit(pc_swim_live_n(swim));
    size_t n = 0;
    for (size_t i = 0; i < swim->n && !swim->no_news; i++) {
        if (swim->peers[i].sent < limit && swim->members[i].id != to_id) {
            swim->news[n++] = (uint32_t)i;
        }
    }
    PC_ASSERT(n <= swim->n);
    return n;
}

static bool is_fresher(const struct swim_peer *a, const struct swim_peer *b)
{
    return a->sent < b->sent || (a->sent == b->sent && a->change > b->change);
}

/* Takes the freshest of the n indices out of swim->news. */
static size_t take_freshest(struct pc_swim *swim, size_t n)
{
    uint32_t *news = swim->news;
    PC_ASSERT(n > 0);
    size_t best = 0;
    for (size_t k = 1; k < n; k++) {
        if (is_fresher(&swim->peers[news[k]], &swim->peers[news[best]])) {
            best = k;
        }
    }
    size_t i = news[best];
    news[best] = news[n - 1];
    return i;
}

void pc_swim_piggyback(struct pc_swim *swim, struct pc_swim_msg *msg, pc_node_id to_id)
{
    PC_ASSERT(msg->updates_n <= 1);
    size_t left = pc_swim_updates_budget(swim);
    for (uint32_t k = 0; k < msg->updates_n; k++) {
        left -= pc_swim_update_bytes(&msg->updates[k]);
    }
    size_t to = to_id != 0 ? pc_swim_index(swim, to_id) : 0;
    if (to != 0 && swim->members[to].state != PC_MEMBER_ALIVE) {
        (void)maybe_add(swim, msg, to, &left);
    }
    for (size_t n = collect_news(swim, to_id); n > 0; n--) {
        size_t i = take_freshest(swim, n);
        if (!holds(msg, swim->members[i].id)) {
            if (!maybe_add(swim, msg, i, &left)) {
                return;
            }
            swim->peers[i].sent++;
        }
    }
}

bool pc_swim_has_news(struct pc_swim *swim)
{
    uint32_t limit = pc_swim_transmit_limit(pc_swim_live_n(swim));
    for (size_t i = 0; i < swim->n && !swim->no_news; i++) {
        if (swim->peers[i].sent < limit) {
            return true;
        }
    }
    swim->no_news = true;
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
