/* Snapshots: what the snapshot thread does for a node, one job after the other, over the node's
 * file system; and what must be true of every snapshot that there is (B.15).
 *
 *   effects.snaps -> jobs -- SNAP --> pc_snap_* --> PC_NODE_SNAP
 *                                     pc_wal_drop --> PC_NODE_LOG_DROPPED
 *
 * Reads wait in the same line as writes, which the thread would serve first: a snapshot that is
 * given away takes longer here, never less. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_int.h"

#define AGAIN_PPM 20000 /* no descriptor, in runs whose calls fail */

static void job_free(struct pc_node_snap *job)
{
    pc_buf_destroy(&job->chunk);
    pc_blob_unref(job->config);
}

static void end_write(struct sim_snap *snap, bool keep)
{
    if (keep) {
        pc_snap_writer_close(snap->writer);
    } else {
        pc_snap_writer_abort(snap->writer);
    }
    snap->writer = NULL;
    snap->tag = 0;
}

void sim_snap_close(struct sim_node *node)
{
    struct sim_snap *snap = &node->snap;
    for (size_t i = 0; i < snap->n; i++) {
        job_free(&snap->jobs[i]);
    }
    end_write(snap, true);
    pc_snap_reader_close(snap->newest);
    pc_snap_reader_close(snap->held);
    pc_entry_clear(&snap->config);
    free(snap->jobs);
    *snap = (struct sim_snap){0};
}

/* ---- what must be true of a snapshot */

static void check_config(
    struct pc_sim *sim, const struct sim_node *node, const struct pc_snapshot_meta *meta)
{
    pc_index at = sim->ghost.v[meta->base.index].config;
    struct pc_slice config = at > 0 ? pc_blob_slice(sim->ghost.bodies[at]) : (struct pc_slice){0};
    if (meta->config_index != at || meta->config.len != config.len ||
        memcmp(meta->config.data, config.data, config.len) != 0) {
        sim_fail(sim, PC_SIM_B15,
            "%s: the members in the snapshot of entry %" PRIu64 " are those of entry %" PRIu64
            ", not of %" PRIu64,
            node->name, meta->base.index, meta->config_index, at);
    }
}

bool sim_snap_is_committed(const struct pc_sim *sim, const struct pc_raft_base *base)
{
    const struct sim_ghost *ghost = &sim->ghost;
    return base->index > 0 && base->index <= ghost->last &&
           ghost->v[base->index].term == base->term &&
           pc_hash_equal(&ghost->v[base->index].chain, &base->chain);
}

static void check_meta(
    struct pc_sim *sim, const struct sim_node *node, const struct pc_snapshot_meta *meta)
{
    pc_index at = meta->base.index;
    if (!sim_snap_is_committed(sim, &meta->base)) {
        sim_fail(sim, PC_SIM_B15,
            "%s has a snapshot of an entry %" PRIu64 " that is not the committed one", node->name,
            at);
    } else if (!pc_hash_equal(&meta->digest, &sim->ghost.v[at].digest) ||
               meta->base.stamp_ms != sim->ghost.v[at].stamp_ms) {
        sim_fail(sim, PC_SIM_B15, "%s: the snapshot of entry %" PRIu64 " is another state",
            node->name, at);
    } else {
        check_config(sim, node, meta);
    }
}

bool sim_snap_sum(struct pc_snap_reader *reader, struct pc_hash *sum)
{
    struct pc_buf room = {0};
    bool is_read = true;
    for (uint32_t i = 0; i < pc_snap_reader_info(reader)->chunks && is_read; i++) {
        struct pc_slice bytes;
        struct pc_error ignored;
        struct pc_stored_item item;
        is_read = pc_snap_reader_chunk(reader, i, &room, &bytes, &ignored) == PC_OK;
        struct pc_wire_chunk_reader chunk = pc_wire_chunk_reader_of(bytes);
        while (is_read && pc_wire_chunk_next(&chunk, &item)) {
            pc_store_digest_add(sum, &item);
        }
    }
    pc_buf_destroy(&room);
    return is_read;
}

/* ---- at a start */

static void hold_newest(struct sim_snap *snap, struct pc_snap_reader *reader)
{
    const struct pc_snap_info *info = pc_snap_reader_info(reader);
    snap->newest = reader;
    snap->found = (struct pc_node_snapshot){.meta = *pc_snap_reader_meta(reader),
        .hash = info->hash,
        .chunks = info->chunks,
        .bytes = info->bytes};
}

pc_err sim_snap_find(struct pc_sim *sim, struct sim_node *node, struct pc_error *error)
{
    struct sim_snap *snap = &node->snap;
    struct pc_snap_found found;
    PC_ASSERT(snap->newest == NULL && snap->n == 0);
    pc_err err =
        pc_snap_find(pc_sim_fs_port(node->fs), node->identity.log_dir, false, &found, error);
    if (err != PC_OK) {
        return err == PC_E_NOT_FOUND ? PC_OK : err;
    }
    hold_newest(snap, found.reader);
    if (found.damages > 0) {
        sim_fail(
            sim, PC_SIM_B15, "%s: a crash has damaged a snapshot: %s", node->name, found.where);
    }
    return PC_OK;
}

void sim_snap_check_found(
    struct pc_sim *sim, struct sim_node *node, const struct pc_wal_recovered *found)
{
    struct sim_snap *snap = &node->snap;
    pc_index at = snap->newest != NULL ? snap->found.meta.base.index : 0;
    if (at < node->disk.snap.index) {
        sim_fail(sim, PC_SIM_B15,
            "%s had a durable snapshot of entry %" PRIu64 ", but finds one of %" PRIu64, node->name,
            node->disk.snap.index, at);
    } else if (found->first > at + 1) {
        sim_fail(sim, PC_SIM_B15,
            "%s has a log from entry %" PRIu64 " on, and a snapshot of %" PRIu64, node->name,
            found->first, at);
    } else if (at > 0) {
        node->disk.snap = snap->found.meta.base;
        sim->stats.snaps_found++;
        check_meta(sim, node, &snap->found.meta);
    }
}

const struct pc_entry *sim_snap_config(struct sim_node *node, const struct pc_wal_recovered *found)
{
    struct sim_snap *snap = &node->snap;
    const struct pc_snapshot_meta *meta = &snap->found.meta;
    if (snap->newest == NULL) {
        return NULL;
    }
    pc_entry_clear(&snap->config);
    snap->config = (struct pc_entry){.index = meta->config_index, .kind = PC_ENTRY_CONFIG};
    pc_err err = pc_blob_new(meta->config, &snap->config.body);
    PC_ASSERT(err == PC_OK);
    for (size_t i = 0; i < found->terms_n && found->terms[i].first <= meta->config_index; i++) {
        snap->config.term = found->terms[i].term;
    }
    return &snap->config;
}

/* ---- jobs */

static void schedule(struct pc_sim *sim, struct sim_node *node)
{
    node->snap.busy = true;
    uint64_t mean = node->disk.slow ? sim->params.disk_slow_us : sim->params.disk_write_us;
    sim_at(sim, 1 + sim_exponential_us(&sim->rng_snap, mean),
        (struct sim_event){.type = SIM_EV_SNAP, .node = node->index, .life = node->life});
}

void sim_snap_queue(struct pc_sim *sim, struct sim_node *node, struct pc_node_snap *job)
{
    struct sim_snap *snap = &node->snap;
    bool drops = job->type == PC_NODE_SNAP_DROP_LOG;
    if (drops && job->base.index > node->disk.snap.index) {
        sim_fail(sim, PC_SIM_B15, "%s drops its log up to %" PRIu64 " with a snapshot of %" PRIu64,
            node->name, job->base.index, node->disk.snap.index);
    }
    if (snap->n == snap->cap) {
        snap->cap = snap->cap == 0 ? 16 : snap->cap * 2;
        snap->jobs = pc_xrealloc(snap->jobs, snap->cap * sizeof *snap->jobs);
    }
    snap->jobs[snap->n++] = *job;
    job->chunk = (struct pc_buf){0};
    job->config = NULL;
    if (!snap->busy) {
        schedule(sim, node);
    }
}

static void tell(struct pc_sim *sim, struct sim_node *node, const struct pc_node_snap_event *snap)
{
    struct pc_node_event event = {.type = PC_NODE_SNAP};
    event.u.snap = snap;
    sim_node_step(sim, node, &event);
}

/* Nothing but the faults of the run may stand behind an error. */
static void check_error(
    struct pc_sim *sim, struct sim_node *node, pc_err err, const struct pc_error *error)
{
    bool had_fault = sim_disk_had_fault(sim, node);
    bool may = err == PC_E_NO_SPACE || err == PC_E_AGAIN || err == PC_E_NOT_FOUND ||
               (err == PC_E_IO && had_fault) || (err == PC_E_CORRUPT && node->disk.snap_rots);
    if (!may && !pc_sim_fs_is_off(node->fs)) {
        sim_fail(
            sim, PC_SIM_B15, "%s: a snapshot fails without a fault: %s", node->name, error->text);
    }
}

static void write_failed(
    struct pc_sim *sim, struct sim_node *node, pc_err err, const struct pc_error *error)
{
    struct pc_node_snap_event event = {
        .type = PC_NODE_SNAP_FAILED, .tag = node->snap.tag, .err = err, .text = error->text};
    end_write(&node->snap, err == PC_E_NO_SPACE || err == PC_E_AGAIN);
    check_error(sim, node, err, error);
    sim->stats.snaps_failed++;
    sim_trace_line(sim, "%s: a snapshot is not written: %s", node->name, error->text);
    if (!pc_sim_fs_is_off(node->fs)) {
        tell(sim, node, &event);
    }
}

static bool is_short(struct pc_sim *sim, struct pc_error *error)
{
    if (sim->chaos && sim->params.io_error_ppm > 0 && pc_prng_chance(&sim->rng_snap, AGAIN_PPM)) {
        (void)pc_error_set(error, PC_E_AGAIN, "no descriptor");
        return true;
    }
    return false;
}

static void begin(struct pc_sim *sim, struct sim_node *node, const struct pc_node_snap *job)
{
    struct sim_snap *snap = &node->snap;
    struct pc_error error;
    end_write(snap, true);
    snap->tag = job->tag;
    snap->is_fetched = job->has_hash;
    pc_err err = is_short(sim, &error)
                     ? PC_E_AGAIN
                     : pc_snap_writer_open(pc_sim_fs_port(node->fs), node->identity.log_dir,
                           &job->base, job->has_hash ? &job->hash : NULL, &snap->writer, &error);
    if (err != PC_OK) {
        write_failed(sim, node, err, &error);
        return;
    }
    tell(sim, node,
        &(struct pc_node_snap_event){.type = PC_NODE_SNAP_BEGUN,
            .tag = job->tag,
            .chunks = pc_snap_writer_chunks(snap->writer)});
}

static void put(struct pc_sim *sim, struct sim_node *node, const struct pc_node_snap *job)
{
    struct sim_snap *snap = &node->snap;
    struct pc_error error;
    pc_err err =
        pc_snap_writer_put(snap->writer, pc_slice_of(job->chunk.data, job->chunk.len), &error);
    if (err != PC_OK) {
        write_failed(sim, node, err, &error);
        return;
    }
    tell(sim, node,
        &(struct pc_node_snap_event){.type = PC_NODE_SNAP_WRITTEN,
            .tag = job->tag,
            .chunks = pc_snap_writer_chunks(snap->writer)});
}

/* From now on it is the newest. What peers still read of the one before stays open. */
static void take_newest(struct sim_node *node, const struct pc_snap_info *info)
{
    struct sim_snap *snap = &node->snap;
    char path[64];
    struct pc_error ignored;
    int used = snprintf(path, sizeof path, "%s/%s", node->identity.log_dir, info->name);
    PC_ASSERT(used > 0 && (size_t)used < sizeof path);
    pc_snap_reader_close(snap->held);
    snap->held = snap->newest;
    snap->newest = NULL;
    struct pc_snap_reader *reader = NULL;
    if (pc_snap_reader_open(pc_sim_fs_port(node->fs), path, &reader, &ignored) == PC_OK) {
        hold_newest(snap, reader);
    }
}

static void finish(struct pc_sim *sim, struct sim_node *node, const struct pc_node_snap *job)
{
    struct sim_snap *snap = &node->snap;
    struct pc_snap_info info;
    struct pc_error error;
    pc_err err = pc_snap_writer_finish(snap->writer, &job->meta, &info, &error);
    if (err != PC_OK) {
        write_failed(sim, node, err, &error);
        return;
    }
    end_write(snap, true);
    check_meta(sim, node, &job->meta);
    take_newest(node, &info);
    sim_flip_check_snapshot(sim, node);
    if (info.base.index >= node->disk.snap.index) {
        node->disk.snap = info.base;
        node->disk.snap_rots = false;
    }
    sim->stats.snaps_made += snap->is_fetched ? 0 : 1;
    sim->stats.snaps_fetched += snap->is_fetched ? 1 : 0;
    sim_trace_line(sim, "%s has %s a snapshot of entry %" PRIu64, node->name,
        snap->is_fetched ? "fetched" : "made", info.base.index);
    tell(sim, node,
        &(struct pc_node_snap_event){.type = PC_NODE_SNAP_FINISHED,
            .tag = job->tag,
            .hash = info.hash,
            .chunks = info.chunks,
            .bytes = info.bytes});
}

static struct pc_snap_reader *source_of(const struct sim_snap *snap, pc_index index)
{
    struct pc_snap_reader *all[] = {snap->newest, snap->held};
    for (size_t i = 0; i < 2; i++) {
        if (all[i] != NULL && pc_snap_reader_info(all[i])->base.index == index) {
            return all[i];
        }
    }
    return NULL;
}

static void give(struct pc_sim *sim, struct sim_node *node, const struct pc_node_snap *job)
{
    struct pc_snap_reader *source = source_of(&node->snap, job->base.index);
    struct pc_node_snap_event event = {.type = PC_NODE_SNAP_GOT, .tag = job->tag};
    struct pc_buf room = {0};
    struct pc_error error = {0};
    if (is_short(sim, &error)) {
        event.err = PC_E_AGAIN;
    } else if (source == NULL) {
        event.err = pc_error_set(&error, PC_E_NOT_FOUND, "there is no such snapshot");
    } else {
        event.err = pc_snap_reader_chunk(source, job->number, &room, &event.chunk, &error);
    }
    if (event.err != PC_OK) {
        event.text = error.text;
        event.chunk = (struct pc_slice){0};
        check_error(sim, node, event.err, &error);
    }
    if (!pc_sim_fs_is_off(node->fs)) {
        tell(sim, node, &event);
    }
    pc_buf_destroy(&room);
}

static void set_aside(struct pc_sim *sim, struct sim_node *node, const struct pc_node_snap *job)
{
    struct pc_error error;
    pc_err err = pc_snap_set_aside(
        pc_sim_fs_port(node->fs), node->identity.log_dir, job->base.index, &error);
    if (err != PC_OK) {
        check_error(sim, node, err, &error);
    }
    if (job->base.index == node->disk.snap.index) {
        node->disk.snap = (struct pc_raft_base){0};
        node->disk.snap_rots = false;
    }
}

static void serve(struct pc_sim *sim, struct sim_node *node, const struct pc_node_snap *job)
{
    bool is_current = job->tag == node->snap.tag;
    switch (job->type) {
    case PC_NODE_SNAP_BEGIN:
        begin(sim, node, job);
        break;
    case PC_NODE_SNAP_PUT:
        if (is_current) {
            put(sim, node, job);
        }
        break;
    case PC_NODE_SNAP_FINISH:
        if (is_current) {
            finish(sim, node, job);
        }
        break;
    case PC_NODE_SNAP_ABORT:
        if (is_current) {
            end_write(&node->snap, job->keep);
        }
        break;
    case PC_NODE_SNAP_READ:
        give(sim, node, job);
        break;
    case PC_NODE_SNAP_SET_ASIDE:
        set_aside(sim, node, job);
        break;
    case PC_NODE_SNAP_LOST:
        sim_fail(sim, PC_SIM_B36, "%s: alone with a snapshot that is no good", node->name);
        break;
    case PC_NODE_SNAP_DROP_LOG:
        sim_disk_drop(sim, node, job->base.index);
        break;
    }
}

void sim_snap_act(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_snap *snap = &node->snap;
    if (node->log_failed) {
        return; /* the process ends */
    }
    PC_ASSERT(snap->n > 0);
    struct pc_node_snap job = snap->jobs[0];
    snap->n--;
    memmove(snap->jobs, snap->jobs + 1, snap->n * sizeof job);
    if (sim->chaos && pc_prng_chance(&sim->rng_snap, sim->params.crash_in_write_ppm * 4)) {
        pc_sim_fs_power_off_after(node->fs, pc_prng_below(&sim->rng_snap, 12));
    }
    serve(sim, node, &job);
    job_free(&job);
    if (node->node == NULL || sim->failed) {
        return;
    }
    if (pc_sim_fs_is_off(node->fs)) {
        sim->stats.crashes_in_write++;
        sim_node_crash(sim, node, PC_SIM_FS_POWER_CUT);
        sim_node_start_later(sim, node);
        return;
    }
    snap->busy = false;
    if (snap->n > 0) {
        schedule(sim, node);
    }
}
