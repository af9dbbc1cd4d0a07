/* What the branch thread does for a node, over the node's file system: the daemon's own code writes
 * the files, a crash may come at each step, and calls may fail.
 *
 *   effects.branches -> jobs -- BRANCH --> pc_branch_writer_* --> PC_NODE_BRANCH
 *
 * Records that wait together share one sync, as in the daemon. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_int.h"

#define DIR "/data"
#define LATE_PPM 200000
#define LATE_US 400000

static void job_free(struct pc_node_branch *job)
{
    pc_branch_record_clear(&job->record);
}

static void jobs_drop(struct sim_branches *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        job_free(&b->jobs[i]);
    }
    b->jobs_n -= count;
    memmove(b->jobs, b->jobs + count, b->jobs_n * sizeof *b->jobs);
}

void sim_branch_clear(struct sim_node *node)
{
    if (node->branches.jobs_n > 0) {
        jobs_drop(&node->branches, node->branches.jobs_n);
    }
    node->branches.busy = false;
    node->branches.has_failed = false;
    node->branches.is_left = false;
}

void sim_branch_close(struct sim_node *node)
{
    pc_branch_found_clear(&node->branches.found);
}

void sim_branch_destroy(struct sim_node *node)
{
    struct sim_branches *b = &node->branches;
    sim_branch_clear(node);
    sim_branch_close(node);
    for (size_t i = 0; i < b->n; i++) {
        for (size_t k = 0; k < b->v[i].n; k++) {
            pc_blob_unref(b->v[i].v[k].command);
        }
        free(b->v[i].v);
    }
    free(b->v);
    free(b->jobs);
}

static void schedule(struct pc_sim *sim, struct sim_node *node)
{
    node->branches.busy = true;
    uint64_t mean = node->disk.slow ? sim->params.disk_slow_us : sim->params.disk_sync_us;
    if (pc_prng_chance(&sim->rng_branch, LATE_PPM)) { /* much is to happen before it is done */
        mean = LATE_US;
    }
    sim_at(sim, 1 + sim_exponential_us(&sim->rng_branch, mean),
        (struct sim_event){.type = SIM_EV_BRANCH, .node = node->index, .life = node->life});
}

void sim_branch_queue(struct pc_sim *sim, struct sim_node *node, struct pc_node_branch *job)
{
    struct sim_branches *b = &node->branches;
    if (job->type == PC_NODE_BRANCH_BEGIN) {
        sim_check_branch_begins(sim, node, job);
    } else if (job->type == PC_NODE_BRANCH_PUT) {
        sim_check_branch_record(sim, node, job);
    }
    if (b->jobs_n == b->jobs_cap) {
        b->jobs_cap = b->jobs_cap == 0 ? 16 : b->jobs_cap * 2;
        b->jobs = pc_xrealloc(b->jobs, b->jobs_cap * sizeof *b->jobs);
    }
    b->jobs[b->jobs_n++] = *job;
    job->record.command = job->record.before = NULL;
    if (!b->busy) {
        schedule(sim, node);
    }
}

/* Tells the node; nothing but the faults of the run may stand behind an error. */
static void tell(struct pc_sim *sim, struct sim_node *node, struct pc_node_branch_event told,
    const struct pc_error *error)
{
    if (pc_sim_fs_is_off(node->fs)) {
        return;
    }
    if (told.err != PC_OK) {
        told.type = PC_NODE_BRANCH_FAILED;
        told.text = error->text;
        bool had_fault = sim_disk_had_fault(sim, node);
        bool may = told.err == PC_E_NO_SPACE || told.err == PC_E_EXISTS ||
                   (told.err == PC_E_IO && had_fault);
        sim->stats.branches_failed++;
        sim_trace_line(sim, "%s: its branch file fails: %s", node->name, error->text);
        if (!may) {
            sim_fail(
                sim, PC_SIM_A2, "%s: a branch fails without a fault: %s", node->name, error->text);
        }
    }
    struct pc_node_event event = {.type = PC_NODE_BRANCH};
    event.u.branch = told;
    sim_node_step(sim, node, &event);
}

static void settle(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_error ignored;
    if (node->branches.is_left) {
        node->branches.is_left = pc_branch_settle(pc_sim_fs_port(node->fs), DIR,
                                     sim_node_wall_ms(sim, node), &ignored) != PC_OK;
    }
}

static pc_err end_writer(struct pc_sim *sim, struct sim_node *node, struct pc_error *error)
{
    struct sim_branches *b = &node->branches;
    struct pc_branch_info info;
    if (b->found.writer == NULL) {
        settle(sim, node);
        return PC_OK;
    }
    pc_err err = pc_branch_writer_end(b->found.writer, sim_node_wall_ms(sim, node), &info, error);
    pc_branch_writer_close(b->found.writer);
    b->found.writer = NULL;
    b->is_left = err != PC_OK;
    return err;
}

static pc_err begin_new(struct pc_sim *sim, struct sim_node *node, const struct pc_node_branch *job,
    struct pc_error *error)
{
    struct sim_branches *b = &node->branches;
    const struct pc_fs *fs = pc_sim_fs_port(node->fs);
    struct pc_branch_head head = {
        .node = node->id, .base = job->base, .begun_ms = sim_node_wall_ms(sim, node)};
    memcpy(head.name, node->name, sizeof node->name);
    memcpy(head.history, job->history, sizeof head.history);
    memcpy(head.id, job->id, sizeof head.id);
    pc_err err = pc_branch_writer_begin(fs, DIR, &head, &b->found.writer, error);
    if (err == PC_E_EXISTS) {
        b->is_left = true;
        settle(sim, node);
        err = pc_branch_writer_begin(fs, DIR, &head, &b->found.writer, error);
    }
    return err;
}

static void serve_begin(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_branches *b = &node->branches;
    const struct pc_node_branch *job = &b->jobs[0];
    struct pc_error error = {0};
    pc_err err = PC_OK;
    bool is_same = b->found.writer != NULL &&
                   memcmp(pc_branch_writer_head(b->found.writer)->id, job->id, 16) == 0;
    if (b->found.writer != NULL && !is_same) {
        err = end_writer(sim, node, &error);
    }
    if (err == PC_OK) {
        err = is_same
                  ? pc_branch_writer_resume(b->found.writer, sim_node_wall_ms(sim, node), &error)
                  : begin_new(sim, node, job, &error);
    }
    b->has_failed = err != PC_OK;
    sim->stats.branches_opened += err == PC_OK && !is_same ? 1 : 0;
    sim->stats.branches_resumed += err == PC_OK && is_same ? 1 : 0;
    jobs_drop(b, 1);
    tell(
        sim, node, (struct pc_node_branch_event){.type = PC_NODE_BRANCH_BEGUN, .err = err}, &error);
}

static void serve_puts(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_branches *b = &node->branches;
    struct pc_error error = {0};
    uint8_t id[16];
    uint64_t number = 0;
    bool is_taken = !b->has_failed && b->found.writer != NULL;
    size_t count = 0;
    memcpy(id, b->jobs[0].id, sizeof id);
    for (; count < b->jobs_n && b->jobs[count].type == PC_NODE_BRANCH_PUT; count++) {
        number = b->jobs[count].record.number;
        if (is_taken) {
            pc_branch_writer_put(b->found.writer, &b->jobs[count].record);
        }
    }
    jobs_drop(b, count);
    if (!is_taken) {
        return; /* the node knows already */
    }
    pc_err err = pc_branch_writer_sync(b->found.writer, &error);
    b->has_failed = err != PC_OK;
    if (err == PC_OK) {
        sim_check_branch_written(node, id, number);
    }
    tell(sim, node,
        (struct pc_node_branch_event){.type = PC_NODE_BRANCH_WRITTEN, .number = number, .err = err},
        &error);
}

static void serve_end(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_error error = {0};
    pc_err err = end_writer(sim, node, &error);
    node->branches.has_failed = false;
    jobs_drop(&node->branches, 1);
    tell(
        sim, node, (struct pc_node_branch_event){.type = PC_NODE_BRANCH_ENDED, .err = err}, &error);
}

void sim_branch_act(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_branches *b = &node->branches;
    b->busy = false;
    if (node->log_failed || b->jobs_n == 0) {
        return; /* the process is about to end */
    }
    if (b->jobs[0].type == PC_NODE_BRANCH_BEGIN) {
        serve_begin(sim, node);
    } else if (b->jobs[0].type == PC_NODE_BRANCH_PUT) {
        serve_puts(sim, node);
    } else {
        serve_end(sim, node);
    }
    if (pc_sim_fs_is_off(node->fs)) {
        sim_disk_crash(sim, node);
    } else if (node->node != NULL && !b->busy && b->jobs_n > 0) {
        schedule(sim, node);
    }
}

/* ---- at a start */

pc_err sim_branch_find(struct pc_sim *sim, struct sim_node *node, struct pc_error *error)
{
    struct sim_branches *b = &node->branches;
    sim_branch_close(node);
    if (!sim->params.solo) {
        return PC_OK;
    }
    pc_err err = pc_branch_find(pc_sim_fs_port(node->fs), DIR, &b->found, error);
    if (err != PC_OK || pc_sim_fs_is_off(node->fs)) {
        return err;
    }
    b->is_left = b->found.where[0] != '\0';
    pc_sim_fs_hold(node->fs, true);
    sim_check_branch_found(sim, node);
    sim_check_branch_files(sim, node);
    pc_sim_fs_hold(node->fs, false);
    return PC_OK;
}

const struct pc_node_branch_found *sim_branch_given(struct sim_node *node)
{
    struct sim_branches *b = &node->branches;
    if (b->found.writer == NULL) {
        return NULL;
    }
    const struct pc_branch_head *head = pc_branch_writer_head(b->found.writer);
    b->given = (struct pc_node_branch_found){
        .base = head->base, .records = b->found.records, .records_n = b->found.records_n};
    memcpy(b->given.id, head->id, sizeof b->given.id);
    return &b->given;
}
