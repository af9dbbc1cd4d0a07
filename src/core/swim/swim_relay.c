/* Pings on behalf of others.
 *
 *     asker                      helper                     target
 *       |------- PING_REQ ------->|--------- PING ----------->|
 *       |<------ ACK -------------|<-------- ACK -------------|
 *       |                         |
 *       |<------ NACK ------------|  no ack within probe_timeout
 *
 * The nack says that helper, asker and the path between them work: it lets the asker blame the
 * target rather than itself. An ack that comes after it is passed on all the same. */
#include "swim_int.h"

#include "pcache/assert.h"

static void relay_add(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg, size_t target)
{
    struct swim_relay *relay = &swim->relays[swim->relay_next];
    PC_ASSERT(swim->relay_next < SWIM_RELAYS_MAX);
    swim->relay_next = (swim->relay_next + 1) % SWIM_RELAYS_MAX;
    *relay = (struct swim_relay){
        .nonce = pc_prng_next(&swim->prng),
        .asked_nonce = msg->nonce,
        .target = msg->target_id,
        .asker = msg->from,
        .asker_addr = *from,
        .nack_at = pc_instant_add_ms(swim->now, swim->opts.probe_timeout_ms),
    };
    swim->nack_at = pc_instant_min(swim->nack_at, relay->nack_at);
    pc_swim_send_ping(swim, target, relay->nonce, false);
}

void pc_swim_recv_ping_req(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg)
{
    PC_ASSERT(msg->type == PC_SWIM_PING_REQ);
    if (msg->target_id == swim->opts.self.id) {
        (void)pc_swim_send_answer(swim, PC_SWIM_ACK, msg->from, from, msg->nonce, msg->target_id);
        return;
    }
    /* Only to a member, at its own address: nobody directs our packets anywhere else. */
    size_t i = pc_swim_index(swim, msg->target_id);
    if (i == 0 || swim->members[0].state != PC_MEMBER_ALIVE) {
        swim->stats.messages_ignored++;
        return;
    }
    relay_add(swim, from, msg, i);
}

bool pc_swim_relay_ack(struct pc_swim *swim, const struct pc_swim_msg *msg)
{
    PC_ASSERT(msg->type == PC_SWIM_ACK);
    for (size_t k = 0; k < SWIM_RELAYS_MAX; k++) {
        struct swim_relay relay = swim->relays[k];
        if (relay.target != 0 && relay.target == msg->from && relay.nonce == msg->nonce) {
            PC_ASSERT(relay.asker != 0);
            swim->relays[k] = (struct swim_relay){0};
            (void)pc_swim_send_answer(
                swim, PC_SWIM_ACK, relay.asker, &relay.asker_addr, relay.asked_nonce, relay.target);
            return true;
        }
    }
    return false;
}

void pc_swim_relay_tick(struct pc_swim *swim)
{
    if (!pc_instant_is_due(swim->nack_at, swim->now)) {
        return;
    }
    swim->nack_at = PC_INSTANT_NEVER;
    for (size_t k = 0; k < SWIM_RELAYS_MAX; k++) {
        struct swim_relay *relay = &swim->relays[k];
        if (relay->target == 0) {
            continue;
        }
        if (pc_instant_is_due(relay->nack_at, swim->now)) {
            relay->nack_at = PC_INSTANT_NEVER;
            (void)pc_swim_send_answer(swim, PC_SWIM_NACK, relay->asker, &relay->asker_addr,
                relay->asked_nonce, relay->target);
        }
        swim->nack_at = pc_instant_min(swim->nack_at, relay->nack_at);
    }
}
