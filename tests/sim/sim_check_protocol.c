/* Programs of different age (P.1 to P.4): what of which protocol is where. What is newer is told
 * here by what it says, and not by the functions that the nodes go by. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/sim_int.h"

/* So long after its end an older program may still be what a refusal is about. */
#define OLDER_US (10 * UINT64_C(1000000))

/* ---- what takes which protocol */

static uint8_t form_of_command(const struct pc_blob *body)
{
    struct pc_command command;
    bool is_conditional = body != NULL &&
                          pc_wire_decode_command(pc_blob_slice(body), &command) == PC_OK &&
                          command.condition != PC_IF_ANY;
    return is_conditional ? PC_PROTOCOL_CONDITIONS : PC_PROTOCOL_FIRST;
}

static uint8_t form_of_config(const struct pc_blob *body)
{
    struct pc_cluster_config config;
    bool is_newer = false;
    if (pc_wire_decode_config(pc_blob_slice(body), &config) == PC_OK) {
        for (size_t i = 0; i < config.members_n; i++) {
            const struct pc_cluster_member *member = &config.members[i];
            is_newer |= !member->votes || member->want != PC_WANT_VOTER;
        }
    }
    return is_newer ? PC_PROTOCOL_MEMBERS : PC_PROTOCOL_FIRST;
}

static uint8_t form_of_entry(const struct pc_entry *entry)
{
    return entry->kind == PC_ENTRY_COMMAND  ? form_of_command(entry->body)
           : entry->kind == PC_ENTRY_CONFIG ? form_of_config(entry->body)
                                            : PC_PROTOCOL_FIRST;
}

static uint8_t form_of_entries(const struct pc_entries *entries, uint8_t form)
{
    for (size_t i = 0; i < entries->n; i++) {
        uint8_t more = form_of_entry(&entries->v[i]);
        form = more > form ? more : form;
    }
    return form;
}

static uint8_t form_of_raft(const struct pc_raft_msg *m)
{
    bool is_newer = m->type == PC_RAFT_MSG_SNAPSHOT ||
                    (m->type == PC_RAFT_MSG_APPEND_RESP && m->u.append_resp.fetching != 0);
    return form_of_entries(&m->entries, is_newer ? PC_PROTOCOL_MEMBERS : PC_PROTOCOL_FIRST);
}

static uint8_t form_of_msg(const struct pc_msg *msg)
{
    uint8_t form = msg->type > PC_MSG_FORM ? PC_PROTOCOL_MEMBERS : PC_PROTOCOL_FIRST;
    if (msg->type == PC_MSG_RAFT) {
        return form_of_raft(&msg->raft);
    }
    if (msg->type == PC_MSG_FORM) {
        return form_of_entry(&msg->form);
    }
    if (msg->type == PC_MSG_DISK && msg->disk.total_bytes != 0) {
        return PC_PROTOCOL_DISK_SIZE;
    }
    for (size_t i = 0; i < msg->forward.items_n && form == PC_PROTOCOL_FIRST; i++) {
        form = form_of_command(msg->forward.items[i].body);
    }
    return msg->forward.reason == PC_REFUSAL_PROTOCOL ? PC_PROTOCOL_CONDITIONS : form;
}

/* ---- P.1: what is said */

void sim_protocol_check_said(
    struct pc_sim *sim, const struct sim_node *node, uint8_t protocol, const struct pc_msg *msg)
{
    if (!sim->ages) {
        return;
    }
    uint8_t form = msg != NULL ? form_of_msg(msg) : 0;
    if (form > protocol || protocol < node->speaks.min || protocol > node->speaks.max) {
        sim_fail(sim, PC_SIM_P1,
            "a message (type %d) of protocol %u goes over a link of protocol %u of %s, which speaks"
            " %u to %u",
            msg != NULL ? (int)msg->type : -1, form, protocol, node->name, node->speaks.min,
            node->speaks.max);
    }
}

void sim_protocol_check_refusal(struct pc_sim *sim, const struct sim_node *to,
    const struct sim_node *from, const struct pc_error *error)
{
    bool has_none = pc_protocols_common(to->speaks, from->speaks) == 0;
    bool names = strstr(error->text, from->name) != NULL &&
                 (!has_none || strstr(error->text, to->name) != NULL);
    if (error->code == PC_E_VERSION && (!sim->ages || !names)) {
        sim_fail(sim, PC_SIM_P1, "%s refuses %s for its age with \"%s\"", to->name, from->name,
            error->text);
    }
}

/* ---- P.2, P.3: what is written */

/* Is there, at this node's end, a link to that one, since before what is written now was made? Then
 * what it speaks at the other end. */
static uint8_t linked_speaks(struct pc_sim *sim, const struct sim_node *node, uint32_t other)
{
    const struct sim_conn *conn = sim_net_conn(sim, node->index, other);
    size_t end = node->index < other ? 0 : 1;
    bool is_older_link = node->turn_from == 0 || conn->up_from[end] < node->turn_from;
    return conn->up[end] && is_older_link ? conn->hello[end].protocols.max : UINT8_MAX;
}

static bool is_member(struct pc_sim *sim, const struct sim_node *maker, uint32_t index)
{
    if (maker->config == NULL) {
        return index < sim_founders(&sim->params);
    }
    uint32_t end = maker->index < index ? 0 : 1;
    pc_node_id id = sim_net_conn(sim, maker->index, index)->hello[end].id;
    for (size_t i = 0; i < maker->config->members.members_n && id != 0; i++) {
        if (maker->config->members.members[i].id == id) {
            return true;
        }
    }
    return false;
}

static void check_made(
    struct pc_sim *sim, const struct sim_node *maker, const struct pc_entry *entry, uint8_t form)
{
    for (uint32_t i = 0; i < sim->params.nodes_n; i++) {
        if (i != maker->index && is_member(sim, maker, i) && linked_speaks(sim, maker, i) < form) {
            sim_fail(sim, PC_SIM_P3,
                "%s makes entry %" PRIu64 " of protocol %u, linked to %s, which speaks %u",
                maker->name, entry->index, form, sim->nodes[i].name, linked_speaks(sim, maker, i));
            return;
        }
    }
}

void sim_protocol_check_write(
    struct pc_sim *sim, struct sim_node *node, const struct pc_entry *entry)
{
    uint8_t *known = sim->ages ? sim_ghost_form(&sim->ghost, entry->index, entry->term) : NULL;
    if (known == NULL) {
        return;
    }
    uint8_t form = form_of_entry(entry);
    if (form > node->speaks.max) {
        sim_fail(sim, PC_SIM_P2, "%s, which speaks %u, writes entry %" PRIu64 " of protocol %u",
            node->name, node->speaks.max, entry->index, form);
    } else if (*known == 0) {
        sim->stats.newer_entries += form > PC_PROTOCOL_FIRST ? 1 : 0;
        check_made(sim, node, entry, form);
    }
    *known = form;
}

void sim_protocol_check_applied(
    struct pc_sim *sim, const struct sim_node *node, pc_index before, pc_index applied)
{
    pc_index loaded = node->disk.snap.index;
    before = before < loaded && loaded <= applied ? loaded : before; /* a snapshot took the place */
    for (pc_index i = before + 1; sim->ages && i <= applied && i <= sim->ghost.last; i++) {
        const uint8_t *form = sim_ghost_form(&sim->ghost, i, sim->ghost.v[i].term);
        if (form != NULL && *form > node->speaks.max) {
            sim_fail(sim, PC_SIM_P2,
                "%s, which speaks %u, applies entry %" PRIu64 " of protocol %u", node->name,
                node->speaks.max, i, *form);
            return;
        }
    }
}

/* ---- P.3: what is refused */

bool sim_protocol_owes(const struct sim_op *op, const struct pc_reply *reply)
{
    return reply->status == PC_REPLY_REFUSED && op->type == PC_REQUEST_WRITE;
}

void sim_protocol_check_refused(
    struct pc_sim *sim, const struct sim_op *op, const struct pc_reply *reply)
{
    bool is_about_old = false;
    if (!sim_protocol_owes(op, reply)) {
        return;
    }
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *node = &sim->nodes[i];
        bool runs = node->node != NULL && node->speaks.max < PC_PROTOCOL_CONDITIONS;
        bool ran = node->older_until_us != 0 && node->older_until_us + OLDER_US > sim->now_us;
        char name[sizeof node->name + 1];
        (void)snprintf(name, sizeof name, "%s ", node->name);
        bool is_named = strncmp(reply->text, name, strlen(name)) == 0 ||
                        strncmp(reply->text, "a member linked", 15) == 0;
        is_about_old |= is_named && (runs || ran);
    }
    sim->stats.refused_for_age++;
    if (op->condition == PC_IF_ANY || !is_about_old) {
        sim_fail(sim, PC_SIM_P3, "a write%s is refused with \"%s\"",
            op->condition == PC_IF_ANY ? " without a condition" : "", reply->text);
    }
}

/* ---- P.4: what works in the end */

static bool all_done(struct pc_sim *sim, void *arg)
{
    (void)arg;
    return sim_client_all_done(sim);
}

void sim_protocol_check_new(struct pc_sim *sim)
{
    if (!sim->ages || sim->failed) {
        return;
    }
    size_t first = sim->ops_n;
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (sim_member_counts(sim, node) && sim_check_spare_serves(sim, node)) {
            (void)pc_sim_write_if(sim, i, i % sim->params.keys_n, PC_IF_PRESENT, 0);
        }
    }
    bool is_done = pc_sim_run_until(sim, all_done, NULL, 5000);
    for (size_t i = first; i < sim->ops_n && is_done; i++) {
        if (sim->ops[i].result.status != PC_REPLY_OK) {
            sim_fail(sim, PC_SIM_P4, "%s, as all others of this age, answers a condition with %d",
                sim->nodes[sim->ops[i].node].name, (int)sim->ops[i].result.status);
        }
    }
}
