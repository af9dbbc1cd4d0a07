/* Datagrams of SWIM: lost, doubled and reordered as it comes. A node has one address for all of its
 * lives, so an old datagram may well reach a new one. */
#include <stdlib.h>

#include "pcache/wire_swim.h"
#include "sim/sim_int.h"

struct pc_addr sim_node_addr(uint32_t index)
{
    struct pc_addr addr = {.port = 7946};
    addr.ip[10] = addr.ip[11] = 0xff;
    addr.ip[12] = 10;
    addr.ip[15] = (uint8_t)(index + 1);
    return addr;
}

static int addr_index(const struct pc_sim *sim, const struct pc_addr *addr)
{
    for (uint32_t i = 0; i < sim->params.nodes_n; i++) {
        struct pc_addr own = sim_node_addr(i);
        if (pc_addr_equal(&own, addr)) {
            return (int)i;
        }
    }
    return -1;
}

static void send_one(
    struct pc_sim *sim, const struct sim_node *from, uint32_t to, const struct pc_swim_msg *msg)
{
    struct sim_packet *packet = pc_xalloc(sizeof *packet);
    packet->type = SIM_PACKET_MSG;
    if (pc_wire_encode_swim(msg, &packet->bytes) != PC_OK) {
        sim_fail(sim, PC_SIM_W1, "%s: a SWIM message of type %d with %u updates does not fit",
            from->name, (int)msg->type, msg->updates_n);
    }
    sim->stats.datagrams++;
    sim_seal_pack(sim, from, to, packet);
    sim_at(sim, sim_net_delay_us(sim),
        (struct sim_event){
            .type = SIM_EV_DATAGRAM, .node = to, .peer = from->index, .data = packet});
}

void sim_udp_send(struct pc_sim *sim, struct sim_node *from, const struct pc_swim_out *out)
{
    int to = addr_index(sim, &out->to);
    if (to < 0 || (uint32_t)to == from->index || sim->cuts[from->index][to] != 0) {
        return;
    }
    if (sim->chaos && pc_prng_chance(&sim->rng_net, sim->params.loss_ppm)) {
        return;
    }
    send_one(sim, from, (uint32_t)to, &out->msg);
    if (sim->chaos && pc_prng_chance(&sim->rng_net, sim->params.duplicate_ppm)) {
        send_one(sim, from, (uint32_t)to, &out->msg);
    }
}

void sim_udp_recv(
    struct pc_sim *sim, struct sim_node *to, uint32_t from, const struct sim_packet *packet)
{
    struct pc_swim_msg msg;
    struct pc_slice bytes;
    if (!sim_seal_unpack(sim, to, packet, &bytes)) {
        return;
    }
    pc_err err = pc_wire_decode_swim(bytes, &msg);
    if (err != PC_OK) {
        sim_fail(sim, PC_SIM_W1, "a SWIM message of %s does not decode: %s", sim->nodes[from].name,
            pc_err_text(err));
        return;
    }
    struct pc_swim_event event = {.type = PC_SWIM_RECV, .addr = sim_node_addr(from), .msg = &msg};
    sim_node_swim(sim, to, &event);
    sim_check_swim_recv(sim, to, &msg);
}
