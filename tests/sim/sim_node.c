/* The process around a node: its clock, its timer, its turns, its death. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_int.h"

#define PPM INT64_C(1000000)
/* An arbitrary day, well before which no wild clock reaches. */
#define WALL_START_MS UINT64_C(1800000000000)
#define YEAR_MS (INT64_C(365) * 24 * 3600 * 1000)

/* ---- clocks */

static uint64_t local_us(const struct sim_node *node, uint64_t true_us)
{
    int64_t t = (int64_t)true_us;
    return (uint64_t)(node->clock_offset_us + t + t * node->drift_ppm / PPM);
}

struct pc_instant sim_node_now(const struct pc_sim *sim, const struct sim_node *node)
{
    return (struct pc_instant){.us = local_us(node, sim->now_us)};
}

/* The first true time at which the node's clock shows `when`. */
static uint64_t true_us(
    const struct pc_sim *sim, const struct sim_node *node, struct pc_instant when)
{
    if (when.us <= local_us(node, sim->now_us)) {
        return sim->now_us;
    }
    int64_t ahead = (int64_t)(when.us - local_us(node, sim->now_us));
    uint64_t guess = sim->now_us + (uint64_t)(ahead * PPM / (PPM + node->drift_ppm));
    while (local_us(node, guess) < when.us) {
        guess++;
    }
    return guess;
}

pc_ms sim_node_wall_ms(const struct pc_sim *sim, const struct sim_node *node)
{
    return (pc_ms)((int64_t)WALL_START_MS + node->wall_offset_ms + (int64_t)(sim->now_us / 1000));
}

static void draw_clocks(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_prng *rng = &sim->rng_node;
    node->clock_offset_us = (int64_t)pc_prng_between(rng, 1000000, UINT64_C(10000000000000));
    int32_t max = sim->params.drift_ppm_max;
    node->drift_ppm = (int32_t)pc_prng_below(rng, 2 * (uint64_t)max + 1) - max;
    if (sim->params.wall_wild) {
        int64_t range = pc_prng_chance(rng, 300000) ? 10 * YEAR_MS : 3600 * 1000;
        node->wall_offset_ms = (int64_t)pc_prng_below(rng, 2 * (uint64_t)range) - range;
    }
}

/* ---- life */

void sim_node_create(struct pc_sim *sim, uint32_t index)
{
    struct sim_node *node = &sim->nodes[index];
    node->index = index;
    node->own_id = pc_prng_next(&sim->rng_node) | 1;
    node->id = node->own_id;
    node->joins = node->is_stranger = index >= sim_founders(&sim->params);
    node->is_absent = node->joins && !sim_is_first_spare(&sim->params, index);
    node->disk_id = node->joins ? 0 : node->own_id;
    (void)snprintf(node->name, sizeof node->name, "node%u", index + 1);
    node->fs = sim_medium_new_fs(sim);
    node->wake_at_us = UINT64_MAX;
    node->speaks = node->installed = pc_protocols_spoken();
    node->life = 1;
}

static void drop_deferred(struct sim_node *node)
{
    for (size_t i = 0; i < node->deferred_n; i++) {
        sim_event_drop(&node->deferred[i]);
    }
    node->deferred_n = 0;
}

/* Frees what belongs to the process; the disk stays. */
static void process_end(struct sim_node *node)
{
    sim_flip_release(node);
    pc_node_delete(node->node);
    node->node = NULL;
    pc_node_effects_destroy(&node->fx);
    drop_deferred(node);
    sim_disk_clear(node);
    sim_branch_clear(node);
    sim_seal_close(node);
    node->paused = false;
    node->turn_due = false;
    node->turn_from = 0;
    node->log_failed = false;
    node->stop = SIM_STOP_NONE;
    node->wake_at_us = UINT64_MAX;
    node->life++;
}

void sim_node_destroy(struct pc_sim *sim, struct sim_node *node)
{
    (void)sim;
    process_end(node);
    if (node->wal != NULL) {
        pc_sim_fs_crash(node->fs, PC_SIM_FS_KILL);
        pc_wal_close(node->wal);
    }
    sim_rot_destroy(node);
    sim_snap_close(node);
    sim_branch_destroy(node);
    pc_sim_fs_delete(node->fs);
    sim_image_destroy(&node->mem);
    sim_image_destroy(&node->disk.written);
    sim_medium_destroy(&node->drawer);
    sim_medium_destroy(&node->copy);
    free(node->disk.queue);
    free(node->disk.resets);
    free(node->deferred);
}

void sim_node_start(struct pc_sim *sim, struct sim_node *node)
{
    PC_ASSERT(node->node == NULL && !sim->failed);
    if (node->is_absent) {
        return;
    }
    draw_clocks(sim, node);
    sim_medium_before_start(sim, node);
    if (node->has_refused || !sim_restart(sim, node)) {
        return;
    }
    sim->stats.restarts++;
    node->life++;
    node->says_goodbye = false;
    sim_seal_open(sim, node);
    sim_trace_line(sim, "%s starts: life %u, term %" PRIu64 ", last %" PRIu64 ", commit %" PRIu64,
        node->name, node->life, node->term, node->mem.last, node->commit);
    for (uint32_t i = 0; i < sim->params.nodes_n; i++) {
        if (i != node->index) {
            sim_net_connect_soon(sim, node->index, i, pc_prng_between(&sim->rng_net, 500, 20000));
        }
    }
    sim_at(sim, 5000,
        (struct sim_event){.type = SIM_EV_JOIN, .node = node->index, .life = node->life});
    sim_node_turn(sim, node);
}

void sim_node_start_later(struct pc_sim *sim, struct sim_node *node)
{
    if (node->start_pending) {
        return;
    }
    node->start_pending = true;
    bool instant =
        sim->params.fault[PC_SIM_FAULT_INSTANT_RESTART] && pc_prng_chance(&sim->rng_life, 500000);
    uint64_t ms = instant ? pc_prng_between(&sim->rng_life, 1, 50)
                          : pc_prng_between(&sim->rng_life, 50, 50 + sim->params.down_max_ms);
    sim_at(sim, ms * 1000, (struct sim_event){.type = SIM_EV_START, .node = node->index});
}

void sim_node_crash(struct pc_sim *sim, struct sim_node *node, enum pc_sim_fs_crash how)
{
    static const char *const words[] = {"killed", "power cut", "power cut, all unsynced lost"};
    PC_ASSERT(node->node != NULL);
    sim_trace_line(sim, "%s dies: %s%s", node->name, words[how], node->paused ? " (paused)" : "");
    sim->stats.crashes++;
    sim->stats.power_cuts += how != PC_SIM_FS_KILL ? 1 : 0;
    bool stays = how == PC_SIM_FS_KILL && !node->log_failed;
    sim_node_end(sim, node, how, stays ? node->disk.written.last : node->disk.durable);
}

void sim_node_end(
    struct pc_sim *sim, struct sim_node *node, enum pc_sim_fs_crash how, pc_index kept)
{
    process_end(node);
    sim_flip_died(sim, node);
    sim_protocol_died(sim, node);
    sim_net_died(sim, node->index, how != PC_SIM_FS_KILL && !node->says_goodbye);
    sim_client_node_died(sim, node);
    /* While entries are lost, nobody has looked yet at what is behind those that were synced. */
    bool unseen = node->rot.gaps_n > 0 && kept > node->disk.durable;
    node->disk.kept = unseen ? node->disk.durable : kept;
    /* The file system first: closing a log that still can would finish its writes. */
    pc_sim_fs_crash(node->fs, how);
    sim_snap_close(node);
    sim_branch_close(node);
    pc_wal_close(node->wal);
    node->wal = NULL;
    sim_medium_after_death(sim, node);
}

void sim_node_pause(struct pc_sim *sim, struct sim_node *node, uint64_t ms)
{
    sim_trace_line(sim, "%s pauses for %" PRIu64 " ms", node->name, ms);
    sim->stats.pauses++;
    node->paused = true;
    node->paused_at_us = sim->now_us;
    node->pause_token++;
    sim_at(sim, ms * 1000,
        (struct sim_event){.type = SIM_EV_RESUME, .node = node->index, .a = node->pause_token});
}

void sim_node_resume(struct pc_sim *sim, struct sim_node *node)
{
    sim_trace_line(sim, "%s resumes", node->name);
    node->paused = false;
    sim_client_resumed(sim, node, sim->now_us - node->paused_at_us);
    if (pc_prng_chance(&sim->rng_life, 500000)) {
        sim_at(sim, 0,
            (struct sim_event){.type = SIM_EV_WAKE, .node = node->index, .life = node->life});
    }
    for (size_t i = 0; i < node->deferred_n; i++) {
        sim_at(sim, 0, node->deferred[i]);
        node->deferred[i].data = NULL;
    }
    node->deferred_n = 0;
}

/* ---- steps and turns */

static void arm_timer(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_instant wake = pc_node_wake_at(node->node);
    if (wake.us == UINT64_MAX) {
        return;
    }
    uint64_t at_us = true_us(sim, node, wake);
    if (at_us >= node->wake_at_us) {
        return; /* the timer that is set comes before, and will set itself anew */
    }
    node->wake_at_us = at_us;
    sim_at(sim, at_us - sim->now_us,
        (struct sim_event){.type = SIM_EV_WAKE, .node = node->index, .life = node->life});
}

void sim_node_wake(struct pc_sim *sim, struct sim_node *node)
{
    node->wake_at_us = UINT64_MAX;
    if (!pc_instant_is_due(pc_node_wake_at(node->node), sim_node_now(sim, node))) {
        arm_timer(sim, node);
        return;
    }
    struct pc_node_event event = {.type = PC_NODE_WAKE};
    sim_node_step(sim, node, &event);
}

static void mix_status(struct pc_sim *sim, const struct sim_node *node)
{
    sim_trace_mix(sim, node->term * 8 + node->role);
    sim_trace_mix(sim, node->commit << 20 ^ node->mem.last);
    sim_trace_mix(sim, node->applied);
}

void sim_node_step(struct pc_sim *sim, struct sim_node *node, struct pc_node_event *event)
{
    if (node->node == NULL || sim->failed) {
        return;
    }
    event->now = sim_node_now(sim, node);
    node->turn_from = node->turn_from == 0 ? sim->stats.events : node->turn_from;
    sim_check_branch_hears(sim, node, event);
    pc_node_step(node->node, event, &node->fx);
    sim_flip_step(node);
    sim_check_step(sim, node);
    if (node->fx.swim.changed_n > 0) {
        sim_check_swim(sim, node);
    }
    mix_status(sim, node);
    if (sim->params.turn_delay_us == 0) {
        sim_node_turn(sim, node);
    } else if (!node->turn_due) {
        node->turn_due = true;
        sim_at(sim, pc_prng_below(&sim->rng_node, sim->params.turn_delay_us),
            (struct sim_event){.type = SIM_EV_TURN, .node = node->index, .life = node->life});
    }
}

static void note(struct pc_sim *sim, struct sim_node *node, const struct pc_note *n)
{
    static const char *const roles[] = {"?", "follower", "precandidate", "candidate", "leader"};
    static const char *const states[] = {"?", "alive", "suspect", "dead", "left"};
    if (n->type == PC_NOTE_ROLE) {
        sim_trace_line(sim, "%s %s term %" PRIu64 " leader %s", node->name, roles[n->a], n->b,
            n->text[0] != '\0' ? n->text : "-");
    } else if (n->type == PC_NOTE_MEMBER) {
        sim_trace_line(sim, "%s sees %s %s", node->name, n->text, states[n->a]);
        if (n->a == PC_MEMBER_DEAD) {
            sim_lies_believe(sim, node, n->id);
        }
    } else if (n->type == PC_NOTE_FORMED) {
        sim_trace_line(sim, "%s formed, history %s", node->name, n->text);
    } else if (n->type == PC_NOTE_CONFIG) {
        sim_trace_line(sim, "%s: members at %" PRIu64 ": %s", node->name, n->a, n->text);
    } else if (n->type == PC_NOTE_NOT_MEMBER) {
        sim_trace_line(sim, "%s is told: %s", node->name, n->text);
    } else if (n->type == PC_NOTE_WITHHELD) {
        sim_trace_line(sim, "%s withholds: %s", node->name, n->text);
    } else if (n->type == PC_NOTE_UNREADABLE) {
        (void)snprintf(node->refusal, sizeof node->refusal, "%s", n->text);
        sim_at(sim, 0,
            (struct sim_event){.type = SIM_EV_UNREADABLE, .node = node->index, .life = node->life});
    } else if (n->type == PC_NOTE_DIVERGENCE) {
        sim_fail(sim, PC_SIM_B3, "%s: an append does not fit the chain of its log", node->name);
    } else if (n->type == PC_NOTE_DIGEST && n->b != 0) {
        sim_flip_alarm(sim, node, n);
    }
}

static void effects_act(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_node_effects *fx = &node->fx;
    for (size_t i = 0; i < fx->msgs_n && !sim->failed; i++) {
        sim_check_send(sim, node, &fx->msgs[i]);
        sim_rot_check_send(sim, node, &fx->msgs[i]);
        sim->stats.fetches += fx->msgs[i].type == PC_MSG_FETCH ? 1 : 0;
        sim->stats.entries_given += fx->msgs[i].fetch.v.n + fx->msgs[i].fetch.raw.n;
        sim_net_send(sim, node, &fx->msgs[i]);
    }
    for (size_t i = 0; i < fx->repairs_n; i++) {
        sim_rot_queue(sim, node, &fx->repairs[i]);
    }
    for (size_t i = 0; i < fx->snaps_n && !sim->failed; i++) {
        sim_snap_queue(sim, node, &fx->snaps[i]);
    }
    for (size_t i = 0; i < fx->branches_n && !sim->failed; i++) {
        sim_branch_queue(sim, node, &fx->branches[i]);
    }
    for (size_t i = 0; i < fx->loads_n; i++) {
        struct sim_load *load = pc_xalloc(sizeof *load);
        *load = (struct sim_load){fx->loads[i].tag, fx->loads[i].first, fx->loads[i].last,
            fx->loads[i].bytes_max, fx->loads[i].raw};
        sim_at(sim, sim_exponential_us(&sim->rng_disk, sim->params.disk_write_us),
            (struct sim_event){
                .type = SIM_EV_LOAD, .node = node->index, .life = node->life, .data = load});
    }
    for (size_t i = 0; i < fx->lives_n; i++) {
        struct pc_life *life = pc_xalloc(sizeof *life);
        *life = fx->lives[i];
        sim_at(sim, sim_exponential_us(&sim->rng_disk, sim->params.disk_sync_us),
            (struct sim_event){
                .type = SIM_EV_LIFE, .node = node->index, .life = node->life, .data = life});
    }
    for (size_t i = 0; i < fx->replies_n && !sim->failed; i++) {
        sim_client_reply(sim, node, &fx->replies[i]);
    }
    for (size_t i = 0; i < fx->swim.out_n; i++) {
        sim_udp_send(sim, node, &fx->swim.out[i]);
    }
    for (size_t i = 0; i < fx->notes_n; i++) {
        note(sim, node, &fx->notes[i]);
    }
}

/* The first message of Raft to a peer that has admitted this life, as in the daemon. */
static bool speaks_raft(const struct sim_node *node)
{
    const struct pc_node_effects *fx = &node->fx;
    for (size_t i = 0; i < fx->msgs_n && !node->identity.has_met; i++) {
        if (fx->msgs[i].type == PC_MSG_RAFT && pc_node_peer_is_up(node->node, fx->msgs[i].to)) {
            return true;
        }
    }
    return false;
}

static bool is_invited(const struct pc_node_effects *fx)
{
    for (size_t i = 0; i < fx->notes_n; i++) {
        if (fx->notes[i].type == PC_NOTE_JOINED) {
            return true;
        }
    }
    return false;
}

void sim_node_turn(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_node_event turn = {.type = PC_NODE_TURN, .now = sim_node_now(sim, node)};
    node->turn_due = false;
    pc_node_step(node->node, &turn, &node->fx);
    struct pc_node_effects *fx = &node->fx;
    sim_flip_turn(sim, node);
    if (is_invited(fx) && !sim_member_joined(sim, node)) {
        return;
    }
    for (size_t i = 0; i < fx->writes_n; i++) {
        sim_check_write(sim, node, &fx->writes[i]);
        sim_disk_submit(sim, node, &fx->writes[i]);
    }
    sim_check_step(sim, node);
    sim_check_turn(sim, node);
    if (fx->swim.changed_n > 0) {
        sim_check_swim(sim, node);
    }
    node->turn_from = 0;
    mix_status(sim, node);
    if (!sim->failed && speaks_raft(node) && !sim_note_met(sim, node)) {
        return;
    }
    if (!sim->failed) {
        effects_act(sim, node);
    }
    sim_flip_turn_done(sim, node);
    pc_node_effects_clear(fx);
    arm_timer(sim, node);
}

void sim_node_swim(struct pc_sim *sim, struct sim_node *node, struct pc_swim_event *event)
{
    event->now = sim_node_now(sim, node);
    struct pc_node_event outer = {.type = PC_NODE_SWIM};
    outer.u.swim = event;
    sim_node_step(sim, node, &outer);
}

struct sim_node *sim_node_by_id(struct pc_sim *sim, pc_node_id id)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        if (sim->nodes[i].id == id) {
            return &sim->nodes[i];
        }
    }
    return NULL;
}
