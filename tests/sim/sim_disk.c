/* A node's disk: batches wait, are written together, are synced together, and only then is the node
 * told. Between the two a crash finds them written and not synced.
 *
 *   submit -> queue -- DISK_WRITE --> written -- DISK_SYNC --> durable, SYNCED
 *                         | no space: LOG_FULL, the same batch again later; votes that wait
 *                         | are stored and told by VOTED */
#include <stdlib.h>
#include <string.h>

#include "pcache/wire_entry.h"
#include "sim/sim_int.h"

#define FULL_RETRY_US 150000
#define LATENCY_MAX_US 5000000
#define ANY UINT64_MAX
#define EXIT_AFTER_US 200000 /* the last answers leave before the process ends */

static uint64_t latency_us(struct pc_sim *sim, const struct sim_node *node, uint64_t mean_us)
{
    mean_us = node->disk.slow ? sim->params.disk_slow_us : mean_us;
    uint64_t us = 1 + sim_exponential_us(&sim->rng_disk, mean_us);
    return us < LATENCY_MAX_US ? us : LATENCY_MAX_US;
}

static void schedule(
    struct pc_sim *sim, const struct sim_node *node, enum sim_event_type type, uint64_t delay_us)
{
    sim_at(
        sim, delay_us, (struct sim_event){.type = type, .node = node->index, .life = node->life});
}

static void schedule_write(struct pc_sim *sim, struct sim_node *node)
{
    node->disk.busy = true;
    schedule(sim, node, SIM_EV_DISK_WRITE, latency_us(sim, node, sim->params.disk_write_us));
}

void sim_disk_submit(struct pc_sim *sim, struct sim_node *node, struct pc_raft_write *write)
{
    struct sim_disk *disk = &node->disk;
    if (disk->n == disk->cap) {
        disk->cap = disk->cap == 0 ? 16 : disk->cap * 2;
        disk->queue = pc_xrealloc(disk->queue, disk->cap * sizeof *disk->queue);
        disk->resets = pc_xrealloc(disk->resets, disk->cap * sizeof *disk->resets);
    }
    disk->resets[disk->n] = write->has_reset ? write->reset : (struct pc_raft_base){0};
    disk->queue[disk->n++] = (struct pc_wal_batch){
        .seq = write->seq,
        .has_vote = write->has_vote,
        .term = write->term,
        .vote = write->vote,
        .truncate_from = write->truncate_from,
        .commit = write->commit,
        .entries = write->entries,
    };
    write->entries = (struct pc_entries){0};
    if (sim->params.plant == PC_SIM_PLANT_VOTE_NOT_PERSISTED) {
        disk->queue[disk->n - 1].has_vote = false;
    }
    if (!disk->busy) {
        schedule_write(sim, node);
    }
}

void sim_disk_measure(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_disk_report report = {
        .sync_us = node->disk.slow ? sim->params.disk_slow_us : sim->params.disk_sync_us};
    struct pc_error ignored;
    if (!sim->params.disk_measured || node->node == NULL || node->paused || node->log_failed) {
        return;
    }
    const struct pc_fs *port = pc_sim_fs_port(node->fs);
    pc_err err = port->space(port->context, "/", &report.free_bytes, &report.total_bytes, &ignored);
    struct pc_node_event event = {.type = PC_NODE_DISK};
    event.u.disk = &report;
    if (err == PC_OK) {
        sim_node_step(sim, node, &event);
    }
}

/* ---- calls that fail (D6) */

void sim_disk_arm(struct pc_sim *sim, struct sim_node *node, bool on)
{
    uint32_t ppm = on && sim->chaos ? sim->params.io_error_ppm : 0;
    for (size_t op = 0; op < PC_SIM_FS_OPS; op++) {
        pc_sim_fs_fail_randomly(node->fs, (enum pc_sim_fs_op)op, ppm, PC_E_IO);
    }
}

bool sim_disk_had_fault(struct pc_sim *sim, struct sim_node *node)
{
    uint64_t faults = pc_sim_fs_faults(node->fs);
    bool had = faults > node->faults_seen;
    sim->stats.io_errors += faults - node->faults_seen;
    node->faults_seen = faults;
    return had;
}

static uint64_t tries(const struct sim_node *node)
{
    return pc_sim_fs_tries(node->fs, PC_SIM_FS_SYNC) + pc_sim_fs_tries(node->fs, PC_SIM_FS_WRITE);
}

/* The log has failed: nothing is promised any more, clients are told, and the process ends. */
static void fail_log(
    struct pc_sim *sim, struct sim_node *node, const char *what, const struct pc_error *error)
{
    if (error->code == PC_E_CLOSED) {
        sim_fail(sim, PC_SIM_B39, "%s goes on with its log after it has failed", node->name);
        return;
    }
    if (!sim_disk_had_fault(sim, node)) {
        sim_fail(
            sim, PC_SIM_B36, "%s: %s fails without a fault: %s", node->name, what, error->text);
        return;
    }
    sim_trace_line(sim, "%s: %s fails: %s", node->name, what, error->text);
    sim->stats.failed_logs++;
    if (node->turn_due) {
        sim_node_turn(sim, node); /* what was decided before may still leave */
    }
    node->log_failed = true;
    node->failed_tries = tries(node);
    node->disk.busy = true;
    struct pc_node_event event = {.type = PC_NODE_LOG_FAILED};
    sim_node_step(sim, node, &event);
    schedule(sim, node, SIM_EV_EXIT, EXIT_AFTER_US);
}

void sim_disk_exit(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    pc_wal_close(node->wal);
    node->wal = NULL;
    if (node->failed_tries != ANY && tries(node) != node->failed_tries) {
        sim_fail(sim, PC_SIM_B39, "%s writes or syncs after its log has failed", node->name);
    }
    pc_index kept = disk->durable;
    sim_trace_line(sim, "%s ends: its log has failed", node->name);
    sim_node_end(sim, node, PC_SIM_FS_KILL, kept);
    sim_node_start_later(sim, node);
}

static void queue_pop(struct sim_disk *disk, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pc_entries_clear(&disk->queue[i].entries);
    }
    disk->n -= count;
    for (size_t i = 0; i < disk->n; i++) {
        disk->queue[i] = disk->queue[i + count];
        disk->resets[i] = disk->resets[i + count];
    }
}

void sim_disk_clear(struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    queue_pop(disk, disk->n);
    disk->busy = false;
    disk->full = false;
    disk->slow = false;
    disk->written_seq = 0;
    disk->told_seq = 0;
    disk->drop_upto = 0;
}

static void image_vote(struct sim_disk *disk, const struct pc_wal_batch *batch)
{
    if (batch->has_vote) {
        disk->term = batch->term;
        disk->vote = batch->vote;
    }
}

static void image_truncate(struct sim_disk *disk, const struct pc_wal_batch *batch)
{
    if (batch->truncate_from != 0) {
        sim_image_truncate(&disk->written, batch->truncate_from);
        if (disk->durable >= batch->truncate_from) {
            disk->durable = batch->truncate_from - 1;
        }
    }
}

static void image_written(struct sim_disk *disk, const struct pc_wal_batch *batch)
{
    image_vote(disk, batch);
    image_truncate(disk, batch);
    for (size_t i = 0; i < batch->entries.n; i++) {
        const struct pc_entry *entry = &batch->entries.v[i];
        sim_image_append(&disk->written, entry->index, entry->term, &entry->chain);
    }
    disk->written_seq = batch->seq;
}

/* The power went in the middle of a write: any part of it may be on disk. */
static void crash_in_write(
    struct pc_sim *sim, struct sim_node *node, const struct pc_wal_batch *batch)
{
    struct sim_disk *disk = &node->disk;
    disk->torn = batch->has_vote;
    disk->torn_term = batch->term;
    disk->torn_vote = batch->vote;
    image_truncate(disk, batch);
    sim->stats.crashes_in_write++;
    sim_node_crash(sim, node, PC_SIM_FS_POWER_CUT);
    sim_node_start_later(sim, node);
}

void sim_disk_crash(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_wal_batch nothing = {0};
    crash_in_write(sim, node, &nothing);
}

void sim_disk_fail_beside(
    struct pc_sim *sim, struct sim_node *node, const char *what, const struct pc_error *error)
{
    fail_log(sim, node, what, error);
    node->failed_tries = ANY;
}

static void tell_voted(struct pc_sim *sim, struct sim_node *node, uint64_t seq)
{
    struct pc_node_event event = {.type = PC_NODE_VOTED};
    event.u.seq = seq;
    if (sim_note_log(sim, node)) {
        sim_node_step(sim, node, &event);
    }
}

/* Of a write that failed any part may be on the disk; the log takes no more. */
static void write_failed(struct pc_sim *sim, struct sim_node *node,
    const struct pc_wal_batch *batch, const struct pc_error *error)
{
    struct sim_disk *disk = &node->disk;
    disk->torn = batch->has_vote;
    disk->torn_term = batch->term;
    disk->torn_vote = batch->vote;
    image_truncate(disk, batch);
    fail_log(sim, node, "a write", error);
}

/* Entries have no room, but term and vote have files of their own: those of all that waits are
 * stored all the same. False when the node died of it. */
static bool write_votes(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    for (size_t i = 0; i < disk->n && !sim->failed; i++) {
        if (!disk->queue[i].has_vote) {
            continue;
        }
        struct pc_wal_batch vote = disk->queue[i];
        vote.truncate_from = 0;
        vote.commit = 0; /* may be beyond what this log has: that is for its entries to say */
        vote.entries = (struct pc_entries){0};
        struct pc_error error;
        pc_err err = pc_wal_write(node->wal, &vote, &error);
        if (pc_sim_fs_is_off(node->fs)) {
            crash_in_write(sim, node, &vote);
            return false;
        }
        if (err != PC_OK) {
            write_failed(sim, node, &vote, &error);
            return false;
        }
        image_vote(disk, &vote);
        disk->queue[i].has_vote = false;
        tell_voted(sim, node, vote.seq);
        if (node->node == NULL || node->log_failed) {
            return false;
        }
    }
    return !sim->failed;
}

/* The vote of the first batch is stored already; its entries are not. In the middle of a reset the
 * log takes not even votes: they wait here, which a thread would not let them. */
static bool become_full(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    bool resets = disk->resets[0].index > 0;
    bool voted = disk->queue[0].has_vote && !resets;
    uint64_t seq = disk->queue[0].seq;
    if (voted) {
        image_vote(disk, &disk->queue[0]);
        disk->queue[0].has_vote = false;
    }
    if (!disk->full) {
        disk->full = true;
        sim->stats.full_episodes++;
        sim_trace_line(sim, "%s: log full", node->name);
        struct pc_node_event event = {.type = PC_NODE_LOG_FULL};
        sim_node_step(sim, node, &event);
    }
    if (voted) {
        tell_voted(sim, node, seq);
    }
    bool goes_on = node->node != NULL && !node->log_failed;
    return goes_on && (resets || write_votes(sim, node));
}

static bool tells_early(const struct pc_sim *sim, const struct sim_node *node)
{
    return sim->params.plant == PC_SIM_PLANT_ACK_BEFORE_FSYNC ||
           (sim->params.plant == PC_SIM_PLANT_LEADER_SELF && node->role == PC_RAFT_LEADER);
}

static void tell_synced(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    if (disk->told_seq < disk->written_seq && sim_note_log(sim, node)) {
        disk->told_seq = disk->written_seq;
        struct pc_node_event event = {.type = PC_NODE_SYNCED};
        event.u.seq = disk->written_seq;
        sim_node_step(sim, node, &event);
    }
}

/* Writes a batch; what is replaced of the log goes before it. */
static pc_err write_batch(
    struct pc_sim *sim, struct sim_node *node, size_t i, struct pc_error *error)
{
    struct sim_disk *disk = &node->disk;
    struct pc_raft_base *base = &disk->resets[i];
    if (base->index > 0) {
        pc_err err = pc_wal_reset(node->wal, base, error);
        if (pc_sim_fs_is_off(node->fs) || (err != PC_OK && err != PC_E_NO_SPACE)) {
            return err;
        }
        sim_image_truncate(&disk->written, 1);
        sim_image_fill(&disk->written, &sim->ghost, base->index);
        disk->durable = base->index;
        if (err != PC_OK) {
            return err;
        }
        *base = (struct pc_raft_base){0};
    }
    return pc_wal_write(node->wal, &disk->queue[i], error);
}

/* Writes up to `count` batches; returns how many were. Crashes the node when the power goes. */
static size_t write_batches(struct pc_sim *sim, struct sim_node *node, size_t count, bool *full)
{
    struct sim_disk *disk = &node->disk;
    size_t done = 0;
    while (done < count) {
        struct pc_error error;
        pc_err err = write_batch(sim, node, done, &error);
        if (pc_sim_fs_is_off(node->fs)) {
            crash_in_write(sim, node, &disk->queue[done]);
            return 0;
        }
        if (err == PC_E_NO_SPACE) {
            *full = true;
            break;
        }
        if (err != PC_OK) {
            write_failed(sim, node, &disk->queue[done], &error);
            return 0;
        }
        image_written(disk, &disk->queue[done++]);
    }
    queue_pop(disk, done);
    return done;
}

void sim_disk_write(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    bool full = false;
    size_t count = disk->n == 0 ? 0 : (size_t)pc_prng_between(&sim->rng_disk, 1, disk->n);
    bool in_write = sim->chaos && pc_prng_chance(&sim->rng_disk, sim->params.crash_in_write_ppm);
    if (in_write) {
        pc_sim_fs_power_off_after(node->fs, pc_prng_below(&sim->rng_disk, 8));
    }
    if (node->log_failed) {
        return;
    }
    size_t done = write_batches(sim, node, count, &full);
    if (node->node == NULL || node->log_failed || sim->failed) {
        return;
    }
    if (full && !become_full(sim, node)) {
        return;
    }
    if (!full && disk->full) {
        disk->full = false;
        sim_trace_line(sim, "%s: log has space again", node->name);
        struct pc_node_event event = {.type = PC_NODE_LOG_FULL_END};
        sim_node_step(sim, node, &event);
    }
    if (done == 0) {
        schedule(sim, node, SIM_EV_DISK_WRITE, FULL_RETRY_US);
        return;
    }
    uint64_t delay = latency_us(sim, node, sim->params.disk_sync_us);
    if (tells_early(sim, node)) {
        tell_synced(sim, node);
        if (node->node == NULL) {
            return;
        }
        delay += pc_prng_below(&sim->rng_disk, 100000);
    }
    schedule(sim, node, SIM_EV_DISK_SYNC, delay);
}

void sim_disk_drop(struct pc_sim *sim, struct sim_node *node, pc_index upto)
{
    struct sim_disk *disk = &node->disk;
    struct pc_error error;
    if (disk->told_seq < disk->written_seq) {
        disk->drop_upto = upto; /* never between a write and its sync */
        return;
    }
    disk->drop_upto = 0;
    struct pc_node_event event = {.type = PC_NODE_LOG_DROPPED};
    pc_err err = pc_wal_drop(node->wal, upto, &event.u.log_first, &error);
    if (pc_sim_fs_is_off(node->fs)) {
        sim_disk_crash(sim, node);
        return;
    }
    if (err != PC_OK) {
        fail_log(sim, node, "a drop", &error);
        return;
    }
    if (event.u.log_first > disk->snap.index + 1) {
        sim_fail(sim, PC_SIM_B15, "%s drops its log up to %llu, behind its snapshot of %llu",
            node->name, (unsigned long long)event.u.log_first - 1,
            (unsigned long long)disk->snap.index);
        return;
    }
    sim->stats.log_drops++;
    sim_node_step(sim, node, &event);
}

void sim_disk_sync(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    struct pc_error error;
    pc_err err = node->log_failed ? PC_OK : pc_wal_sync(node->wal, &error);
    if (pc_sim_fs_is_off(node->fs)) {
        sim_disk_crash(sim, node);
        return;
    }
    if (err == PC_E_IO && sim->params.plant == PC_SIM_PLANT_SYNC_BELIEVED) {
        (void)sim_disk_had_fault(sim, node);
        err = PC_OK;
    }
    if (err != PC_OK || node->log_failed) {
        if (!node->log_failed) {
            fail_log(sim, node, "a sync", &error);
        }
        return;
    }
    sim->stats.syncs++;
    disk->durable = disk->written.last;
    disk->busy = false;
    if (disk->n > 0) {
        schedule_write(sim, node);
    }
    tell_synced(sim, node);
    if (disk->drop_upto > 0 && node->node != NULL && !node->log_failed && !sim->failed) {
        sim_disk_drop(sim, node, disk->drop_upto);
    }
}

bool sim_disk_finish(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    struct pc_error error;
    pc_err err = PC_OK;
    for (size_t i = 0; i < disk->n && err == PC_OK; i++) {
        err = write_batch(sim, node, i, &error);
        if (pc_sim_fs_is_off(node->fs)) {
            crash_in_write(sim, node, &disk->queue[i]);
            return false;
        }
        if (err == PC_OK) {
            image_written(disk, &disk->queue[i]);
        } else if (err == PC_E_NO_SPACE && disk->resets[i].index == 0) {
            image_vote(disk, &disk->queue[i]);
        } else if (err != PC_E_NO_SPACE) {
            write_failed(sim, node, &disk->queue[i], &error);
            return false;
        }
    }
    (void)sim_disk_had_fault(sim, node);
    pc_wal_close(node->wal);
    node->wal = NULL;
    if (pc_sim_fs_is_off(node->fs)) {
        sim_disk_crash(sim, node);
        return false;
    }
    /* The close of a log with gaps syncs nothing: what a power cut left behind them is unseen yet.
     */
    if (!sim_disk_had_fault(sim, node) && node->rot.gaps_n == 0) {
        disk->durable = disk->written.last;
    }
    return true;
}

/* What is loaded must be what was handed out for these indexes. */
static void check_loaded(
    struct pc_sim *sim, const struct sim_node *node, const struct pc_entries *entries)
{
    for (size_t i = 0; i < entries->n; i++) {
        const struct pc_entry *entry = &entries->v[i];
        if (!sim_image_has(&node->disk.written, entry->index, &entry->chain)) {
            sim_fail(sim, PC_SIM_B36, "%s: entry %llu reads back as another one", node->name,
                (unsigned long long)entry->index);
        }
    }
}

/* The same of what is only passed on; to check it, it is decoded here. */
static void check_loaded_raw(
    struct pc_sim *sim, const struct sim_node *node, const struct pc_raw_entries *raw)
{
    struct pc_mpack_reader reader =
        pc_mpack_reader_of(pc_slice_of(raw->bytes.data, raw->bytes.len));
    struct pc_entries entries = {0};
    for (size_t i = 0; i < raw->n; i++) {
        struct pc_entry entry;
        if (pc_wire_read_entry(&reader, &entry) != PC_OK || entry.index != raw->first + i) {
            sim_fail(sim, PC_SIM_B36, "%s: entry %llu reads back as none", node->name,
                (unsigned long long)(raw->first + i));
            break;
        }
        pc_entries_take(&entries, &entry);
    }
    check_loaded(sim, node, &entries);
    pc_entries_clear(&entries);
}

void sim_disk_load(struct pc_sim *sim, struct sim_node *node, const struct sim_load *load)
{
    if (load->tag == SIM_TAG_REPAIR) {
        sim_rot_repair(sim, node);
        return;
    }
    struct pc_entries entries = {0};
    struct pc_raw_entries raw = {0};
    struct pc_error error;
    pc_err err =
        load->raw
            ? pc_wal_load_raw(node->wal, load->first, load->last, load->bytes_max, &raw, &error)
            : pc_wal_load(node->wal, load->first, load->last, load->bytes_max, &entries, &error);
    bool is_spared = err == PC_E_CORRUPT && pc_node_can_spare(node->node, load->tag, load->first);
    if (err != PC_OK && err != PC_E_NOT_FOUND && !is_spared) {
        if (!node->log_failed) {
            sim_disk_fail_beside(sim, node, "a load", &error);
        }
        return;
    }
    sim->stats.loads++;
    sim->stats.loads_spared += is_spared ? 1 : 0;
    check_loaded(sim, node, &entries);
    check_loaded_raw(sim, node, &raw);
    struct pc_node_event event = {.type = PC_NODE_LOADED};
    event.u.loaded.tag = load->tag;
    event.u.loaded.entries = &entries;
    event.u.loaded.raw = &raw;
    event.u.loaded.is_damaged = is_spared;
    sim_node_step(sim, node, &event);
    pc_entries_clear(&entries);
    pc_raw_entries_clear(&raw);
}
