/* The bus: one stream in each direction between two nodes that are connected.
 *
 * A stream is first in, first out, and complete up to the point where its connection breaks: what
 * the network loses is sent again and only late. A line that is cut stands still; when it stands
 * for too long the connection is reset, and what was under way may be gone. Raft messages may
 * besides arrive twice or out of order: Raft has to bear that. Every message goes through the
 * codec. */
#include <stdlib.h>
#include <string.h>

#include "sim/sim_int.h"

#define RETRY_US 20000

void sim_packet_free(struct sim_packet *packet)
{
    if (packet != NULL) {
        pc_buf_destroy(&packet->bytes);
        free(packet);
    }
}

struct sim_conn *sim_net_conn(struct pc_sim *sim, uint32_t a, uint32_t b)
{
    PC_ASSERT(a != b);
    return a < b ? &sim->conns[a][b] : &sim->conns[b][a];
}

/* Which end of the pair's connection `self` is. */
static int conn_end(uint32_t self, uint32_t other)
{
    return self < other ? 0 : 1;
}

uint64_t sim_net_delay_us(struct pc_sim *sim)
{
    const struct pc_sim_params *p = &sim->params;
    uint64_t delay = p->delay_min_us + sim_exponential_us(&sim->rng_net, p->delay_mean_us);
    if (sim->chaos && pc_prng_chance(&sim->rng_net, p->late_ppm)) {
        delay += pc_prng_below(&sim->rng_net, p->late_max_us);
    }
    return delay;
}

static void link_arm(struct pc_sim *sim, uint32_t from, uint32_t to, uint64_t delay_us)
{
    struct sim_link *link = &sim->links[from][to];
    link->armed = true;
    sim_at(sim, delay_us,
        (struct sim_event){.type = SIM_EV_LINK, .node = to, .peer = from, .a = ++link->token});
}

static void link_push(
    struct pc_sim *sim, uint32_t from, uint32_t to, struct sim_packet *packet, uint64_t delay_us)
{
    struct sim_link *link = &sim->links[from][to];
    packet->at_us = sim->now_us + delay_us;
    if (packet->at_us < link->last_at_us) {
        packet->at_us = link->last_at_us;
    }
    link->last_at_us = packet->at_us;
    if (link->last != NULL) {
        link->last->next = packet;
    } else {
        link->first = packet;
    }
    link->last = packet;
    if (!link->armed) {
        link_arm(sim, from, to, packet->at_us - sim->now_us);
    }
}

static struct sim_packet *link_pop(struct sim_link *link)
{
    struct sim_packet *packet = link->first;
    link->first = packet->next;
    if (link->first == NULL) {
        link->last = NULL;
    }
    return packet;
}

static void link_drop_all(struct sim_link *link)
{
    while (link->first != NULL) {
        sim_packet_free(link_pop(link));
    }
    link->armed = false;
    link->token++;
    link->stalled_us = 0;
    link->last_at_us = 0;
}

void sim_net_clear(struct pc_sim *sim)
{
    for (size_t i = 0; i < PC_SIM_NODES_MAX; i++) {
        for (size_t j = 0; j < PC_SIM_NODES_MAX; j++) {
            link_drop_all(&sim->links[i][j]);
        }
    }
}

void sim_net_hurry(struct pc_sim *sim)
{
    uint64_t soon_us = sim->now_us + sim->params.delay_min_us;
    for (uint32_t i = 0; i < sim->params.nodes_n; i++) {
        for (uint32_t j = 0; j < sim->params.nodes_n; j++) {
            struct sim_link *link = &sim->links[i][j];
            for (struct sim_packet *p = link->first; p != NULL; p = p->next) {
                p->at_us = p->at_us < soon_us ? p->at_us : soon_us;
            }
            link->last_at_us = link->last_at_us < soon_us ? link->last_at_us : soon_us;
            if (link->armed) {
                link_arm(sim, i, j, soon_us - sim->now_us);
            }
        }
    }
}

/* ---- connections */

void sim_net_connect_soon(struct pc_sim *sim, uint32_t a, uint32_t b, uint64_t delay_us)
{
    struct sim_conn *conn = sim_net_conn(sim, a, b);
    sim_at(sim, delay_us,
        (struct sim_event){.type = SIM_EV_CONNECT, .node = a, .peer = b, .a = ++conn->try_token});
}

static bool node_answers(const struct sim_node *node)
{
    return node->node != NULL && !node->paused;
}

static void push_hello(struct pc_sim *sim, uint32_t from, uint32_t to)
{
    struct sim_packet *packet = pc_xalloc(sizeof *packet);
    packet->type = SIM_PACKET_HELLO;
    pc_node_hello(sim->nodes[from].node, &packet->hello);
    sim->links[from][to].last_at_us = 0;
    link_push(sim, from, to, packet, sim_net_delay_us(sim) + sim_net_delay_us(sim));
}

static bool is_cut(const struct pc_sim *sim, uint32_t from, uint32_t to)
{
    return sim->cuts[from][to] != 0 || sim->stream_cuts[from][to] != 0;
}

void sim_net_connect(struct pc_sim *sim, const struct sim_event *event)
{
    uint32_t a = event->node, b = event->peer;
    struct sim_conn *conn = sim_net_conn(sim, a, b);
    if (conn->try_token != event->a || conn->state != SIM_CONN_CLOSED) {
        return;
    }
    bool reachable = node_answers(&sim->nodes[a]) && node_answers(&sim->nodes[b]) &&
                     !is_cut(sim, a, b) && !is_cut(sim, b, a);
    if (!reachable) {
        sim_net_connect_soon(sim, a, b, pc_prng_between(&sim->rng_net, 20000, 150000));
        return;
    }
    conn->state = SIM_CONN_OPEN;
    conn->epoch++;
    conn->up[0] = conn->up[1] = false;
    conn->knows[0] = conn->knows[1] = false;
    conn->admits[0] = conn->admits[1] = false;
    push_hello(sim, a, b);
    push_hello(sim, b, a);
}

static void push_end(struct pc_sim *sim, uint32_t from, uint32_t to, uint64_t delay_us)
{
    struct sim_packet *packet = pc_xalloc(sizeof *packet);
    packet->type = SIM_PACKET_END;
    packet->goodbye = sim->nodes[from].says_goodbye;
    link_push(sim, from, to, packet, delay_us);
}

static void conn_maybe_closed(struct pc_sim *sim, uint32_t a, uint32_t b)
{
    struct sim_conn *conn = sim_net_conn(sim, a, b);
    if (conn->state == SIM_CONN_CLOSING && conn->knows[0] && conn->knows[1]) {
        conn->state = SIM_CONN_CLOSED;
        conn->up[0] = conn->up[1] = false;
        link_drop_all(&sim->links[a][b]);
        link_drop_all(&sim->links[b][a]);
        sim_net_connect_soon(sim, a, b, pc_prng_between(&sim->rng_net, 1000, 100000));
    }
}

/* The end of the stream from -> to, which `to` will see. */
static void close_towards(struct pc_sim *sim, uint32_t from, uint32_t to, uint64_t delay_us)
{
    struct sim_conn *conn = sim_net_conn(sim, from, to);
    int end = conn_end(to, from);
    if (sim->nodes[to].node == NULL) {
        conn->knows[end] = true;
        return;
    }
    if (pc_prng_chance(&sim->rng_net, 500000) && !sim->nodes[from].says_goodbye) {
        link_drop_all(&sim->links[from][to]);
    }
    push_end(sim, from, to, delay_us);
}

void sim_net_reset(struct pc_sim *sim, uint32_t a, uint32_t b)
{
    struct sim_conn *conn = sim_net_conn(sim, a, b);
    if (conn->state != SIM_CONN_OPEN) {
        return;
    }
    sim->stats.resets++;
    conn->state = SIM_CONN_CLOSING;
    close_towards(sim, a, b, sim_net_delay_us(sim));
    close_towards(sim, b, a, sim_net_delay_us(sim));
    conn_maybe_closed(sim, a, b);
}

/* The process at `index` is gone. Its kernel says so at once, unless the host is gone too: then the
 * others find out when a timeout of theirs strikes. */
void sim_net_died(struct pc_sim *sim, uint32_t index, bool host_too)
{
    for (uint32_t j = 0; j < sim->params.nodes_n; j++) {
        struct sim_conn *conn = j == index ? NULL : sim_net_conn(sim, index, j);
        if (conn == NULL || conn->state == SIM_CONN_CLOSED) {
            continue;
        }
        link_drop_all(&sim->links[j][index]);
        bool already = conn->state == SIM_CONN_CLOSING;
        conn->state = SIM_CONN_CLOSING;
        conn->up[conn_end(index, j)] = false;
        conn->knows[conn_end(index, j)] = true;
        uint64_t silence = host_too ? pc_prng_below(&sim->rng_net, sim->params.stall_max_us) : 0;
        if (!already) {
            close_towards(sim, index, j, sim_net_delay_us(sim) + silence);
        }
        conn_maybe_closed(sim, index, j);
    }
}

/* Who is at the other end of the last connection to be admitted, by its own word: that machine may
 * have become somebody else since. */
static pc_node_id peer_id(struct pc_sim *sim, uint32_t self, uint32_t other)
{
    return sim_net_conn(sim, self, other)->hello[conn_end(self, other)].id;
}

void sim_net_lost(struct pc_sim *sim, struct sim_node *node, const struct sim_event *event)
{
    const struct sim_conn *conn = sim_net_conn(sim, node->index, event->peer);
    if (conn->epoch != event->a || conn->up[conn_end(node->index, event->peer)]) {
        return;
    }
    struct pc_node_event lost = {.type = PC_NODE_PEER_LOST};
    lost.u.peer = peer_id(sim, node->index, event->peer);
    sim_trace_line(sim, "%s: %s is lost", node->name, sim->nodes[event->peer].name);
    sim_node_step(sim, node, &lost);
}

/* ---- messages */

static struct sim_packet *packet_of(struct pc_sim *sim, const struct sim_node *from,
    const struct sim_node *to, const struct pc_msg *msg)
{
    struct sim_packet *packet = pc_xalloc(sizeof *packet);
    packet->type = SIM_PACKET_MSG;
    packet->from_life = from->life;
    packet->to_life = to->life;
    packet->protocol = sim_net_conn(sim, from->index, to->index)->protocol;
    sim_protocol_check_said(sim, from, packet->protocol, NULL);
    pc_wire_encode_msg_as(msg, packet->protocol, &packet->bytes);
    sim->stats.messages++;
    sim->stats.refusals += msg->type == PC_MSG_FORWARD_REFUSED ? 1 : 0;
    return packet;
}

static void send_loose(struct pc_sim *sim, const struct sim_node *from, const struct sim_node *to,
    struct sim_packet *packet)
{
    uint64_t delay = sim_net_delay_us(sim);
    if (pc_prng_chance(&sim->rng_net, 100000)) {
        delay += pc_prng_below(&sim->rng_net, sim->params.late_max_us);
    }
    sim_at(sim, delay,
        (struct sim_event){.type = SIM_EV_LOOSE,
            .node = to->index,
            .peer = from->index,
            .life = to->life,
            .data = packet});
}

static bool is_doubled(struct pc_sim *sim, const struct pc_msg *msg)
{
    if (sim->params.plant == PC_SIM_PLANT_DUP_FORWARD && msg->type == PC_MSG_FORWARD) {
        return pc_prng_chance(&sim->rng_net, 100000);
    }
    return sim->chaos && msg->type == PC_MSG_RAFT &&
           pc_prng_chance(&sim->rng_net, sim->params.duplicate_ppm);
}

void sim_net_send(struct pc_sim *sim, struct sim_node *from, const struct pc_msg *msg)
{
    struct sim_node *to = sim_node_by_id(sim, msg->to);
    if (to == NULL || to == from) {
        return;
    }
    const struct sim_conn *conn = sim_net_conn(sim, from->index, to->index);
    if (conn->state != SIM_CONN_OPEN || !conn->up[conn_end(from->index, to->index)]) {
        return;
    }
    if (pc_wire_msg_protocol(msg) > conn->protocol) {
        sim->stats.withheld++;
        return;
    }
    if (is_doubled(sim, msg)) {
        send_loose(sim, from, to, packet_of(sim, from, to, msg));
    }
    struct sim_packet *packet = packet_of(sim, from, to, msg);
    packet->is_damaged = sim->chaos && pc_prng_chance(&sim->rng_class[PC_SIM_FAULT_CORRUPT],
                                           sim->params.corrupt_ppm / 100);
    if (sim->chaos && !packet->is_damaged && msg->type == PC_MSG_RAFT &&
        pc_prng_chance(&sim->rng_net, sim->params.reorder_ppm)) {
        send_loose(sim, from, to, packet);
        return;
    }
    uint64_t delay = sim_net_delay_us(sim);
    if (sim->chaos && pc_prng_chance(&sim->rng_net, sim->params.loss_ppm)) {
        delay += pc_prng_between(&sim->rng_net, 20000, 250000); /* sent again by the kernel */
    }
    link_push(sim, from->index, to->index, packet, delay);
    if (sim->chaos && pc_prng_chance(&sim->rng_net, sim->params.reset_ppm)) {
        sim_net_reset(sim, from->index, to->index);
    }
}

/* Decodes and gives it to the node; what was encoded must decode, and to the same bytes again. */
static void recv_bytes(
    struct pc_sim *sim, struct sim_node *to, uint32_t from, const struct sim_packet *packet)
{
    struct pc_msg msg = {0};
    struct pc_slice bytes = pc_slice_of(packet->bytes.data, packet->bytes.len);
    pc_err err =
        pc_wire_decode_msg_as(bytes, packet->protocol, peer_id(sim, to->index, from), to->id, &msg);
    if (err != PC_OK) {
        sim_fail(sim, PC_SIM_W1, "a message of %s to %s does not decode: %s", sim->nodes[from].name,
            to->name, pc_err_text(err));
        return;
    }
    sim_malformed_bytes(sim, bytes);
    if (sim->stats.events % 16 == 0) {
        struct pc_buf again = {0};
        pc_wire_encode_msg_as(&msg, packet->protocol, &again);
        if (!pc_slice_equal(bytes, pc_slice_of(again.data, again.len))) {
            sim_fail(sim, PC_SIM_W1, "a message of %s to %s (type %d) encodes differently again",
                sim->nodes[from].name, to->name, (int)msg.type);
        }
        pc_buf_destroy(&again);
    }
    sim_protocol_check_said(sim, to, packet->protocol, &msg);
    if (msg.type == PC_MSG_RAFT) {
        sim_check_spare_heard(to, from, &msg.raft, sim->now_us);
    }
    struct pc_node_event event = {.type = PC_NODE_RECV};
    event.u.msg = &msg;
    sim_node_step(sim, to, &event);
    pc_msg_clear(&msg);
}

void sim_net_loose(struct pc_sim *sim, struct sim_node *to, uint32_t from, struct sim_packet *p)
{
    bool alive = p->from_life == sim->nodes[from].life && p->to_life == to->life;
    if (alive && !is_cut(sim, from, to->index)) {
        recv_bytes(sim, to, from, p);
    }
}

static void refuse(
    struct pc_sim *sim, struct sim_node *to, uint32_t from, const struct pc_error *error)
{
    struct sim_node *peer = &sim->nodes[from];
    sim_protocol_check_refusal(sim, to, peer, error);
    if (strcmp(peer->refusal, error->text) != 0) {
        memcpy(peer->refusal, error->text, sizeof peer->refusal);
        sim_trace_line(sim, "%s refuses %s: %s", to->name, peer->name, error->text);
    }
    sim_net_reset(sim, to->index, from);
    if (node_answers(peer)) {
        struct pc_node_event event = {.type = PC_NODE_PEER_REFUSED};
        event.u.text = error->text;
        sim_node_step(sim, peer, &event);
    }
    if (error->code != PC_E_STALE && error->code != PC_E_SUPERSEDED) {
        return;
    }
    if (!peer->is_old_copy) {
        sim_fail(sim, PC_SIM_I1, "%s, on its own disk, is refused by %s: %s", peer->name, to->name,
            error->text);
    } else if (node_answers(peer)) {
        sim_medium_found_out(sim, peer);
    }
}

static void recv_hello(
    struct pc_sim *sim, struct sim_node *to, uint32_t from, const struct sim_packet *packet)
{
    struct sim_conn *conn = sim_net_conn(sim, to->index, from);
    struct pc_error error;
    if (conn->state != SIM_CONN_OPEN) {
        return;
    }
    conn->protocol = pc_protocols_common(to->speaks, packet->hello.protocols);
    if (conn->protocol == 0) {
        (void)pc_protocols_refuse(
            packet->hello.name, packet->hello.protocols, to->name, to->speaks, &error);
        refuse(sim, to, from, &error);
        return;
    }
    bool is_stranger = sim->nodes[from].is_stranger;
    bool admits = sim->params.plant == PC_SIM_PLANT_WIPED_ADMITTED && is_stranger;
    if (!admits && pc_node_admit(to->node, &packet->hello, &error) != PC_OK) {
        refuse(sim, to, from, &error);
        return;
    }
    struct pc_peer_hello own;
    static const uint8_t none[sizeof own.history];
    pc_node_hello(to->node, &own);
    bool has_no_place = is_stranger && !sim->params.replaces_lost;
    if (has_no_place && memcmp(own.history, none, sizeof none) != 0) {
        sim_fail(
            sim, PC_SIM_B14, "%s admits %s, whose disk is empty", to->name, sim->nodes[from].name);
        return;
    }
    if (sim->nodes[from].is_old_copy && memcmp(own.history, none, sizeof none) != 0) {
        sim_fail(sim, PC_SIM_B14, "%s admits %s, whose disk is an older copy", to->name,
            sim->nodes[from].name);
        return;
    }
    conn->admits[conn_end(to->index, from)] = true;
    conn->hello[conn_end(to->index, from)] = packet->hello;
    struct pc_node_event event = {.type = PC_NODE_PEER_MET};
    event.u.hello = &packet->hello;
    sim_node_step(sim, to, &event);
    struct sim_packet *welcome = pc_xalloc(sizeof *welcome);
    welcome->type = SIM_PACKET_WELCOME;
    link_push(sim, to->index, from, welcome, sim_net_delay_us(sim));
}

/* The other side has admitted this one, and this one the other before: HELLO came first. */
static void recv_welcome(struct pc_sim *sim, struct sim_node *to, uint32_t from)
{
    struct sim_conn *conn = sim_net_conn(sim, to->index, from);
    int end = conn_end(to->index, from);
    if (conn->state != SIM_CONN_OPEN || !conn->admits[end]) {
        return;
    }
    conn->up[end] = true;
    conn->up_from[end] = sim->stats.events;
    struct pc_node_event event = {.type = PC_NODE_PEER_UP};
    event.u.hello = &conn->hello[end];
    sim_node_step(sim, to, &event);
}

static void recv_end(struct pc_sim *sim, struct sim_node *to, uint32_t from, bool goodbye)
{
    struct sim_conn *conn = sim_net_conn(sim, to->index, from);
    int end = conn_end(to->index, from);
    bool was_up = conn->up[end];
    uint64_t epoch = conn->epoch;
    conn->up[end] = false;
    conn->knows[end] = true;
    conn_maybe_closed(sim, to->index, from);
    if (!was_up) {
        return;
    }
    if (goodbye || pc_prng_chance(&sim->rng_net, sim->params.lost_ppm)) {
        sim_at(sim, goodbye ? 0 : sim->params.lost_delay_us,
            (struct sim_event){.type = SIM_EV_LOST,
                .node = to->index,
                .peer = from,
                .life = to->life,
                .a = epoch});
    }
    struct pc_node_event event = {.type = PC_NODE_PEER_DOWN};
    event.u.peer = peer_id(sim, to->index, from);
    sim_node_step(sim, to, &event);
}

static void deliver(
    struct pc_sim *sim, struct sim_node *to, uint32_t from, const struct sim_packet *packet)
{
    const struct sim_conn *conn = sim_net_conn(sim, to->index, from);
    if (packet->type == SIM_PACKET_HELLO) {
        recv_hello(sim, to, from, packet);
    } else if (packet->type == SIM_PACKET_WELCOME) {
        recv_welcome(sim, to, from);
    } else if (packet->type == SIM_PACKET_END) {
        recv_end(sim, to, from, packet->goodbye);
    } else if (packet->is_damaged) {
        sim->stats.damaged++;
        sim_net_reset(sim, to->index, from); /* the seal of the frame does not open */
    } else if (conn->up[conn_end(to->index, from)]) {
        recv_bytes(sim, to, from, packet);
    }
}

/* The head of the stream is due, or the line is looked at again. True: it stands still. */
static bool link_stands(struct pc_sim *sim, uint32_t from, uint32_t to)
{
    struct sim_link *link = &sim->links[from][to];
    bool closing = sim_net_conn(sim, from, to)->state == SIM_CONN_CLOSING;
    if (!is_cut(sim, from, to)) {
        link->stalled_us = 0;
        return false;
    }
    while (closing && link->first->type != SIM_PACKET_END) {
        sim_packet_free(link_pop(link)); /* lost; the end is found out by a timeout */
        PC_ASSERT(link->first != NULL);
    }
    if (closing) {
        return false;
    }
    link->stalled_us = link->stalled_us == 0 ? sim->now_us : link->stalled_us;
    if (sim->now_us - link->stalled_us > sim->params.stall_max_us) {
        sim_net_reset(sim, from, to);
    }
    return true;
}

void sim_net_link(struct pc_sim *sim, const struct sim_event *event)
{
    uint32_t from = event->peer, to = event->node;
    struct sim_link *link = &sim->links[from][to];
    if (link->token != event->a || !link->armed) {
        return;
    }
    PC_ASSERT(link->first != NULL);
    if (link_stands(sim, from, to)) {
        if (link->armed) {
            link_arm(sim, from, to, RETRY_US);
        }
        return;
    }
    struct sim_packet *packet = link_pop(link);
    link->armed = false;
    if (link->first != NULL) {
        uint64_t at_us = link->first->at_us;
        link_arm(sim, from, to, at_us > sim->now_us ? at_us - sim->now_us : 0);
    }
    deliver(sim, &sim->nodes[to], from, packet);
    sim_packet_free(packet);
}
