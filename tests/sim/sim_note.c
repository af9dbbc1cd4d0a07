/* What a node notes on its disk beside its log: whose log it is, that there is one, that a peer has
 * met this life, and which lives of peers it has met. The daemon's own code writes it; a crash may
 * come at each step, and a call that fails ends the process as a failed log does. */
#include <string.h>

#include "pcached/history.h"
#include "sim/sim_int.h"

/* The daemon keeps the history in a file of its own, from the first durable write on that comes
 * when it is known: where entry 1 rots away, it tells whose log this was. */
static bool note_history(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_node_status status;
    struct pc_error ignored; /* the next start notes it */
    bool is_file = sim->params.replaces_lost;
    if (node->has_history || (sim->params.rot_ppm == 0 && !is_file)) {
        return true;
    }
    pc_node_status(node->node, sim_node_now(sim, node), &status);
    if (!status.formed) {
        return true;
    }
    memcpy(node->history, status.history, sizeof node->history);
    node->has_history = true;
    const struct pc_fs *fs = node->identity.fs;
    pc_err err = is_file ? history_write(fs, "/data", node->history, &ignored) : PC_OK;
    sim_trace_mix(sim, (uint64_t)err);
    if (pc_sim_fs_is_off(node->fs)) {
        sim_disk_crash(sim, node);
        return false;
    }
    return true;
}

bool sim_note_history(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_node_status status;
    struct pc_error error;
    pc_node_status(node->node, sim_node_now(sim, node), &status);
    memcpy(node->history, status.history, sizeof node->history);
    node->has_history = true;
    pc_err err = history_write(node->identity.fs, "/data", node->history, &error);
    if (pc_sim_fs_is_off(node->fs)) {
        sim_disk_crash(sim, node);
    } else if (err == PC_E_NO_SPACE) {
        sim_trace_line(sim, "%s ends: no space to note the history", node->name);
        sim_node_end(sim, node, PC_SIM_FS_KILL, node->disk.durable);
        sim_node_start_later(sim, node);
    } else if (err != PC_OK) {
        pc_node_effects_clear(&node->fx); /* nothing of it leaves */
        sim_disk_fail_beside(sim, node, "noting the history", &error);
    }
    return err == PC_OK && node->node != NULL;
}

bool sim_note_log(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_error error;
    pc_err err = identity_note_log(&node->identity, &error);
    if (pc_sim_fs_is_off(node->fs)) {
        sim_disk_crash(sim, node);
    } else if (err != PC_OK) {
        sim_disk_fail_beside(sim, node, "noting the log", &error);
    }
    if (err != PC_OK || node->node == NULL) {
        return false;
    }
    return note_history(sim, node);
}

bool sim_note_met(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_error error;
    pc_err err = identity_note_met(&node->identity, &error);
    if (pc_sim_fs_is_off(node->fs)) {
        sim_disk_crash(sim, node);
        return false;
    }
    if (err != PC_OK) {
        pc_node_effects_clear(&node->fx); /* nothing of it leaves */
        sim_disk_fail_beside(sim, node, "noting that this life is met", &error);
    }
    return err == PC_OK;
}

void sim_note_life(struct pc_sim *sim, struct sim_node *node, const struct pc_life *life)
{
    struct pc_error error;
    if (node->log_failed) {
        return;
    }
    pc_node_id kept[PC_LIVES_KEPT_MAX];
    lives_keep(&node->identity.lives, kept, pc_node_lives_kept(node->node, kept));
    pc_err err = lives_note(&node->identity.lives, life, &error);
    if (pc_sim_fs_is_off(node->fs)) {
        sim_disk_crash(sim, node);
        return;
    }
    if (err != PC_OK) {
        sim_disk_fail_beside(sim, node, "noting a life", &error);
        return;
    }
    sim->stats.lives_noted++;
    const struct sim_node *peer = sim_node_by_id(sim, life->id);
    bool is_own = !node->is_stranger && !node->is_old_copy && !node->must_refuse;
    if (peer != NULL && is_own && node->noted[peer->index] < life->generation) {
        node->noted[peer->index] = life->generation;
    }
    struct pc_node_event event = {.type = PC_NODE_LIFE_NOTED};
    event.u.life = *life;
    sim_node_step(sim, node, &event);
}
