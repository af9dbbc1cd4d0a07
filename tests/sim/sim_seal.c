/* Datagrams under the real seal (edge/gossip): damaged on the way (M1) and played back later, also
 * to later lives of the receiver (M2). Nothing damaged may open; nothing that one life of a node
 * has accepted may be accepted by it again. In runs without these faults datagrams go as they are.
 */
#include <stdlib.h>
#include <string.h>

#include "edge/gossip/gossip_int.h"
#include "sim/sim_int.h"

#define KEPT 64

static const struct gossip_cluster cluster = {.key = {7}, .id = {9}};

struct sim_seal {
    struct gossip_life life;
    uint8_t key[GOSSIP_KEY_BYTES];
    uint64_t counter;
    struct gossip_senders senders;
    uint8_t *accepted; /* bit by serial number, in this life */
    size_t accepted_n; /* bytes */
};

struct sim_kept { /* datagrams of late, to be played back */
    struct {
        struct sim_packet *packet;
        uint32_t from, to;
    } v[KEPT];
    uint64_t serial;
};

bool sim_seal_is_used(const struct pc_sim *sim)
{
    return sim->params.fault[PC_SIM_FAULT_CORRUPT] || sim->params.fault[PC_SIM_FAULT_REPLAY];
}

void sim_seal_close(struct sim_node *node)
{
    if (node->seal != NULL) {
        gossip_senders_destroy(&node->seal->senders);
        free(node->seal->accepted);
        free(node->seal);
        node->seal = NULL;
    }
}

void sim_seal_open(struct pc_sim *sim, struct sim_node *node)
{
    PC_ASSERT(node->seal == NULL);
    if (!sim_seal_is_used(sim)) {
        return;
    }
    struct sim_seal *seal = pc_xalloc(sizeof *seal);
    seal->life.sender = node->id;
    seal->life.generation = node->generation;
    for (size_t i = 0; i < GOSSIP_SALT_BYTES; i++) {
        seal->life.salt[i] = (uint8_t)pc_prng_next(&sim->rng_class[PC_SIM_FAULT_CORRUPT]);
    }
    gossip_derive_key(&cluster, &seal->life, seal->key);
    node->seal = seal;
}

/* ---- sending */

static struct sim_packet *packet_copy(const struct sim_packet *packet)
{
    struct sim_packet *copy = pc_xalloc(sizeof *copy);
    copy->type = packet->type;
    copy->serial = packet->serial;
    pc_buf_append(&copy->bytes, packet->bytes.data, packet->bytes.len);
    return copy;
}

static void keep(struct pc_sim *sim, uint32_t from, uint32_t to, const struct sim_packet *packet)
{
    size_t at = (size_t)(packet->serial % KEPT);
    sim_packet_free(sim->kept->v[at].packet);
    sim->kept->v[at].packet = packet_copy(packet);
    sim->kept->v[at].from = from;
    sim->kept->v[at].to = to;
}

void sim_seal_pack(
    struct pc_sim *sim, const struct sim_node *from, uint32_t to, struct sim_packet *packet)
{
    struct sim_seal *seal = from->seal;
    if (seal == NULL) {
        return;
    }
    uint8_t bytes[PC_GOSSIP_PACKET_BYTES_MAX];
    struct gossip_head head = {.life = seal->life, .counter = ++seal->counter};
    size_t len = gossip_seal(
        &cluster, seal->key, &head, pc_slice_of(packet->bytes.data, packet->bytes.len), bytes);
    packet->bytes.len = 0;
    pc_buf_append(&packet->bytes, bytes, len);
    if (sim->kept == NULL) {
        sim->kept = pc_xalloc(sizeof *sim->kept);
    }
    packet->serial = ++sim->kept->serial;
    keep(sim, from->index, to, packet);
    struct pc_prng *dice = &sim->rng_class[PC_SIM_FAULT_CORRUPT];
    if (sim->chaos && pc_prng_chance(dice, sim->params.corrupt_ppm)) {
        packet->is_damaged = true;
        sim->stats.damaged++;
        size_t at = (size_t)pc_prng_below(dice, len);
        packet->bytes.data[at] ^= (uint8_t)pc_prng_between(dice, 1, 255);
    }
}

void sim_seal_replay(struct pc_sim *sim)
{
    struct pc_prng *dice = &sim->rng_class[PC_SIM_FAULT_REPLAY];
    size_t at = (size_t)pc_prng_below(dice, KEPT);
    if (sim->kept == NULL || sim->kept->v[at].packet == NULL) {
        return;
    }
    sim->stats.replayed++;
    sim_at(sim, pc_prng_below(dice, 3000000),
        (struct sim_event){.type = SIM_EV_DATAGRAM,
            .node = sim->kept->v[at].to,
            .peer = sim->kept->v[at].from,
            .data = packet_copy(sim->kept->v[at].packet)});
}

void sim_seal_forget(struct pc_sim *sim)
{
    for (size_t i = 0; sim->kept != NULL && i < KEPT; i++) {
        sim_packet_free(sim->kept->v[i].packet);
    }
    free(sim->kept);
    sim->kept = NULL;
}

/* ---- receiving */

/* As the daemon does it. False: it does not open, or it was seen. */
static bool open_packet(struct sim_seal *seal, uint8_t *bytes, size_t len, struct pc_slice *text)
{
    struct gossip_head head;
    struct gossip_sender *sender = NULL;
    uint8_t key[GOSSIP_KEY_BYTES];
    if (gossip_parse_head(pc_slice_of(bytes, len), &head) != PC_OK ||
        head.life.sender == seal->life.sender) {
        return false;
    }
    enum gossip_verdict verdict = gossip_senders_judge(&seal->senders, &head, &sender);
    if (verdict == GOSSIP_NEW) {
        gossip_derive_key(&cluster, &head.life, key);
    } else if (verdict == GOSSIP_KNOWN) {
        memcpy(key, sender->key, sizeof key);
    } else {
        return false;
    }
    if (gossip_unseal(&cluster, key, &head, bytes, len, text) != PC_OK) {
        return false;
    }
    sender = verdict == GOSSIP_NEW ? gossip_senders_admit(&seal->senders, &head.life, key) : sender;
    gossip_window_mark(&sender->window, head.counter);
    return true;
}

/* Remembers the serial number; false when it was there already. */
static bool accept_once(struct sim_seal *seal, uint64_t serial)
{
    size_t at = (size_t)(serial / 8);
    if (at >= seal->accepted_n) {
        size_t n = 2 * at + 64;
        seal->accepted = pc_xrealloc(seal->accepted, n);
        memset(seal->accepted + seal->accepted_n, 0, n - seal->accepted_n);
        seal->accepted_n = n;
    }
    uint8_t bit = (uint8_t)(1u << serial % 8);
    bool is_first = (seal->accepted[at] & bit) == 0;
    seal->accepted[at] |= bit;
    return is_first;
}

bool sim_seal_unpack(
    struct pc_sim *sim, struct sim_node *to, const struct sim_packet *packet, struct pc_slice *text)
{
    struct sim_seal *seal = to->seal;
    *text = pc_slice_of(packet->bytes.data, packet->bytes.len);
    if (seal == NULL) {
        return true;
    }
    if (sim->params.plant == PC_SIM_PLANT_REPLAY_TAKEN) {
        gossip_senders_destroy(&seal->senders);
        seal->senders = (struct gossip_senders){0};
    }
    if (!open_packet(seal, packet->bytes.data, packet->bytes.len, text)) {
        return false;
    }
    if (packet->is_damaged) {
        sim_fail(sim, PC_SIM_M1, "%s takes a damaged datagram", to->name);
    } else if (!accept_once(seal, packet->serial)) {
        sim_fail(sim, PC_SIM_M2, "%s takes a datagram for the second time", to->name);
    }
    return !sim->failed;
}
