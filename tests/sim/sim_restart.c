/* From the disk to a running node, as the daemon does it; and the comparison of what was recovered
 * with what was promised. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pcached/config/config.h"
#include "pcached/history.h"
#include "sim/sim_int.h"

#define LOAD_BYTES (256 << 10)

/* What others think of a member is followed under the identity that it runs by, and no other. */
static void set_id(struct pc_sim *sim, struct sim_node *node, pc_node_id id)
{
    for (size_t i = 0; i < sim->params.nodes_n && node->id != id; i++) {
        sim->nodes[i].seen[node->index].blind = true;
    }
    node->id = id;
}

/* Who does not run is nobody else, whatever disk it was started on. */
static void forget_identity(struct pc_sim *sim, struct sim_node *node)
{
    set_id(sim, node, node->own_id);
    node->generation = node->own_generation;
}

/* This start came to nothing; the next one may do better. */
static bool start_failed(struct pc_sim *sim, struct sim_node *node, const char *why)
{
    forget_identity(sim, node);
    sim_trace_line(sim, "%s does not start: %s", node->name, why);
    sim->stats.failed_starts++;
    sim_snap_close(node);
    pc_wal_close(node->wal);
    node->wal = NULL;
    pc_sim_fs_crash(node->fs, PC_SIM_FS_KILL);
    node->disk.kept = node->disk.durable;
    sim_node_start_later(sim, node);
    return false;
}

/* A disk that is not one to start on is refused, and no other is. */
static bool start_refused(struct pc_sim *sim, struct sim_node *node, const char *why)
{
    if (!node->must_refuse) {
        sim_fail(sim, PC_SIM_B36, "%s does not start: %s", node->name, why);
        return false;
    }
    sim_trace_line(sim, "%s refuses to start: %s", node->name, why);
    sim->stats.refused_starts++;
    node->has_refused = true;
    forget_identity(sim, node);
    sim_snap_close(node);
    pc_wal_close(node->wal);
    node->wal = NULL;
    pc_sim_fs_crash(node->fs, PC_SIM_FS_KILL);
    return false;
}

static bool start_cut(struct pc_sim *sim, struct sim_node *node)
{
    sim->stats.recoveries_cut++;
    forget_identity(sim, node);
    sim_trace_line(sim, "%s: power cut while recovering", node->name);
    pc_sim_fs_crash(node->fs, PC_SIM_FS_POWER_CUT);
    sim_snap_close(node);
    pc_wal_close(node->wal);
    node->wal = NULL;
    node->disk.kept = node->disk.durable;
    sim_node_start_later(sim, node);
    return false;
}

/* What it has is written by a later program. */
static bool start_unreadable(struct pc_sim *sim, struct sim_node *node, const char *why)
{
    forget_identity(sim, node);
    sim_snap_close(node);
    pc_wal_close(node->wal);
    node->wal = NULL;
    pc_sim_fs_crash(node->fs, PC_SIM_FS_KILL);
    node->disk.kept = node->disk.durable;
    sim_protocol_unreadable(sim, node, why);
    return false;
}

/* Sorts out why a start came to nothing; always false. Space is for the first start to ask for. */
static bool start_ended(
    struct pc_sim *sim, struct sim_node *node, pc_err err, const struct pc_error *error)
{
    bool had_fault = sim_disk_had_fault(sim, node);
    if (err == PC_E_VERSION) {
        return start_unreadable(sim, node, error->text);
    }
    if (pc_sim_fs_is_off(node->fs)) {
        return start_cut(sim, node);
    }
    /* A damaged log is not written on: it needs a new segment. So does one that a snapshot is to
     * replace, which was fetched just before. */
    bool is_replaced = node->disk.snap.index > node->disk.durable;
    if (err == PC_E_NO_SPACE && node->identity.has_log && sim->params.rot_ppm == 0 &&
        !is_replaced) {
        sim_fail(sim, PC_SIM_B40, "%s does not start: %s", node->name, error->text);
        return false;
    }
    bool may_fail = (err == PC_E_IO && had_fault) || err == PC_E_NO_SPACE;
    return may_fail ? start_failed(sim, node, error->text) : start_refused(sim, node, error->text);
}

/* Who is this, by its disk? */
static bool identify(struct pc_sim *sim, struct sim_node *node)
{
    uint64_t before = node->identity.generation;
    pc_node_id fresh = pc_prng_next(&sim->rng_node) | 1;
    node->identity = (struct identity){
        .fs = pc_sim_fs_port(node->fs), .data_dir = "/data", .log_dir = "/data/log"};
    struct pc_error error;
    pc_err err = lives_open(node->identity.fs, "/data", &node->identity.lives, &error);
    if (err != PC_OK || pc_sim_fs_is_off(node->fs)) {
        return start_ended(sim, node, err, &error);
    }
    err = identity_load(&node->identity, node->is_stranger ? fresh : node->own_id,
        sim_node_wall_ms(sim, node), &error);
    if (err != PC_OK || pc_sim_fs_is_off(node->fs)) {
        return start_ended(sim, node, err, &error);
    }
    if (sim->params.plant == PC_SIM_PLANT_GENERATION_KEPT && before > 0) {
        node->identity.generation = before;
        node->identity.prev_generation = before - 1;
    } else {
        node->mark = pc_prng_next(&sim->rng_node) | 1;
    }
    node->generation = node->identity.generation;
    set_id(sim, node, node->identity.id);
    node->disk_id = node->id;
    if (sim->params.replaces_lost) {
        node->has_history =
            history_read(node->identity.fs, "/data", node->history, &error) == PC_OK;
    }
    if (node->id == node->own_id) {
        node->own_generation = node->generation;
    }
    return true;
}

/* By what the daemon goes by: its settings. */
static bool is_alone(const struct pc_sim *sim, const struct sim_node *node)
{
    struct pc_config config = {0};
    config.cluster.members_n = sim_founders(&sim->params);
    config.cluster.spares_n = sim->params.spares_n;
    config.cluster.join = node->joins;
    return pc_config_is_alone(&config);
}

static bool is_base_whole(void *context)
{
    const struct sim_node *node = context;
    struct pc_hash sum = {{0}};
    pc_sim_fs_hold(node->fs, true);
    bool is_whole =
        sim_snap_sum(node->snap.newest, &sum) && pc_hash_equal(&sum, &node->snap.found.meta.digest);
    pc_sim_fs_hold(node->fs, false);
    return is_whole;
}

/* As log_open.c does, whose threads are not for here. */
static void choose_reading(
    const struct pc_sim *sim, struct sim_node *node, struct pc_wal_opts *opts)
{
    bool may_ask = node->snap.newest != NULL && opts->damage == PC_WAL_DAMAGE_REFUSE;
    if (is_alone(sim, node)) {
        opts->reads_all = !may_ask;
        opts->is_base_whole = may_ask ? is_base_whole : NULL;
        opts->is_base_whole_context = node;
    }
}

static bool recover(struct pc_sim *sim, struct sim_node *node, struct pc_wal_recovered *found)
{
    struct pc_wal_opts opts = {
        .dir = node->identity.log_dir,
        .segment_bytes = sim->params.segment_bytes,
        .fsync = PC_FSYNC_ALWAYS,
        .early_bytes_max = sim->params.segment_bytes / 2,
        .damage = sim->params.rot_ppm > 0 && !node->must_refuse ? PC_WAL_DAMAGE_REPAIR
                                                                : PC_WAL_DAMAGE_REFUSE,
    };
    struct pc_error error;
    pc_err err = sim_snap_find(sim, node, &error);
    if (err == PC_OK) {
        opts.base = node->snap.found.meta.base;
        choose_reading(sim, node, &opts);
        err = pc_wal_open(pc_sim_fs_port(node->fs), &opts, &node->wal, found, &error);
    }
    if (err != PC_OK) {
        node->wal = NULL;
        return start_ended(sim, node, err, &error);
    }
    node->had_log = node->identity.has_log;
    err = identity_check_log(&node->identity, found->last, found->term, &error);
    err = err == PC_OK ? sim_branch_find(sim, node, &error) : err;
    if (err != PC_OK || pc_sim_fs_is_off(node->fs)) {
        pc_wal_recovered_clear(found);
        return start_ended(sim, node, err, &error);
    }
    return true;
}

static void check_vote(
    struct pc_sim *sim, const struct sim_node *node, const struct pc_wal_recovered *found)
{
    const struct sim_disk *disk = &node->disk;
    bool torn = disk->torn && found->term == disk->torn_term && found->vote == disk->torn_vote;
    bool same =
        found->term > disk->term || (found->term == disk->term && found->vote == disk->vote);
    if (!torn && !same) {
        sim_fail(sim, PC_SIM_B36,
            "%s synced term %" PRIu64 " and a vote for %016" PRIx64 ", but recovered term %" PRIu64
            " and %016" PRIx64,
            node->name, disk->term, disk->vote, found->term, found->vote);
    }
}

static bool may_rot(const struct pc_sim *sim, const struct sim_node *node)
{
    return sim->params.rot_ppm > 0 || node->rot.is_struck;
}

/* Reads first..last into the image of the disk; each entry must be one that was handed out. */
static void load_image(
    struct pc_sim *sim, struct sim_node *node, pc_index first, pc_index last, bool compare)
{
    struct sim_image *written = &node->disk.written;
    while (first <= last && !sim->failed) {
        struct pc_entries entries = {0};
        struct pc_error error;
        pc_err err = pc_wal_load(node->wal, first, last, LOAD_BYTES, &entries, &error);
        if (err == PC_E_CORRUPT && first <= node->disk.snap.index && may_rot(sim, node)) {
            /* A start does not read what lies in front of its snapshot. */
            first = node->disk.snap.index + 1;
            if (!compare) {
                sim_image_fill(written, &sim->ghost, first - 1);
            }
            continue;
        }
        if (err != PC_OK) {
            sim_fail(sim, PC_SIM_B36,
                "%s: recovered up to %" PRIu64 ", but loading %" PRIu64 ": %s", node->name, last,
                first, error.text);
            return;
        }
        for (size_t i = 0; i < entries.n; i++) {
            const struct pc_entry *e = &entries.v[i];
            if (compare && !sim_image_has(written, e->index, &e->chain)) {
                sim_fail(sim, PC_SIM_B36, "%s: entry %" PRIu64 " was synced as another one",
                    node->name, e->index);
            } else if (!sim_ghost_knows(&sim->ghost, e->index, e->term, &e->chain)) {
                sim_fail(sim, PC_SIM_B36, "%s: recovered an entry %" PRIu64 " that nobody made",
                    node->name, e->index);
            } else if (!compare) {
                sim_image_append(written, e->index, e->term, &e->chain);
            }
        }
        first += entries.n;
        pc_entries_clear(&entries);
    }
}

/* A snapshot of an entry that the log did not have has taken its place, or will. */
static void settle_on_snapshot(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    if (disk->snap.index > 0 &&
        !sim_image_has(&disk->written, disk->snap.index, &disk->snap.chain)) {
        sim_image_truncate(&disk->written, 1);
        sim_image_fill(&disk->written, &sim->ghost, disk->snap.index);
        disk->durable = disk->snap.index;
        disk->kept = disk->snap.index;
    }
}

/* Everything that was reported synced is there; what comes behind was at least written once. */
static void check_recovered(
    struct pc_sim *sim, struct sim_node *node, const struct pc_wal_recovered *found)
{
    struct sim_disk *disk = &node->disk;
    sim_snap_check_found(sim, node, found);
    if (sim->failed) {
        return;
    }
    settle_on_snapshot(sim, node);
    if (found->last < disk->kept) {
        sim_fail(sim, PC_SIM_B36, "%s had %" PRIu64 " entries on disk, but recovered %" PRIu64,
            node->name, disk->kept, found->last);
        return;
    }
    check_vote(sim, node, found);
    if (disk->durable > 0 && disk->durable >= found->first) {
        load_image(sim, node, disk->durable, disk->durable, true);
    }
    sim_image_truncate(&disk->written, disk->durable + 1);
    if (found->first > 1) {
        sim_image_fill(&disk->written, &sim->ghost, found->first - 1);
    }
    load_image(sim, node, disk->written.last + 1, found->last, false);
    if (sim->failed) {
        return;
    }
    const struct sim_config *members = sim_config_committed(sim);
    if (members == NULL || (members->raft.voters_n == 1 && sim_config_votes(members, node->id))) {
        /* A node that is alone leads before its vote is synced, hence twice in one term: but what
         * it wrote the first time nobody else has seen. */
        sim_ghost_forget_led(&sim->ghost, found->last + 1, found->term, node->id);
    }
    disk->durable = found->last;
    disk->term = found->term;
    disk->vote = found->vote;
    disk->torn = false;
    sim_image_truncate(&node->mem, 1);
    for (pc_index i = 1; i <= found->last; i++) {
        sim_image_append(&node->mem, i, disk->written.term[i], &disk->written.chain[i]);
    }
}

static void fill_spares(
    const struct pc_sim *sim, const struct sim_node *node, struct pc_node_opts *opts)
{
    opts->auto_shrink = sim->params.auto_shrink;
    if (sim->params.dead_after_ms > 0) {
        opts->dead_after_ms = sim->params.dead_after_ms;
    }
    if (node->joins && !sim_is_first_spare(&sim->params, node->index)) {
        return;
    }
    size_t from = sim_founders(&sim->params);
    opts->spares_n = sim->params.spares_n;
    for (size_t i = 0; i < opts->spares_n; i++) {
        memcpy(opts->spares[i], sim->nodes[from + i].name, sizeof sim->nodes[0].name);
    }
}

static void fill_opts(struct pc_sim *sim, const struct sim_node *node, struct pc_node_opts *opts)
{
    pc_node_opts_default(opts);
    /* Otherwise who comes on an empty disk stays a stranger. */
    opts->replaces_lost = sim->params.replaces_lost;
    opts->id = node->id;
    opts->generation = node->generation;
    opts->prev_generation = node->identity.prev_generation;
    opts->mark = node->mark;
    /* A driver that loses what it said was synced, and owns up to it: else the first peer that
     * counted on it finds that out, and what else comes of it is not seen (test_planted.c). */
    opts->is_relaxed = (sim->params.ignored >> PC_SIM_I1 & 1) != 0;
    memcpy(opts->name, node->name, sizeof node->name);
    opts->members_n = node->joins ? 0 : sim_founders(&sim->params);
    for (size_t i = 0; i < opts->members_n; i++) {
        memcpy(opts->members[i], sim->nodes[i].name, sizeof sim->nodes[i].name);
    }
    fill_spares(sim, node, opts);
    opts->seed = pc_prng_next(&sim->rng_node);
    for (size_t i = 0; i < 16; i++) {
        opts->store_seed[i] = (uint8_t)pc_prng_next(&sim->rng_node);
        opts->history_seed[i] = (uint8_t)pc_prng_next(&sim->rng_node);
    }
    opts->solo = sim->params.solo;
    opts->solo_after_ms = sim->params.solo_after_ms;
    for (size_t i = 0; i < sizeof opts->branch_seed; i++) {
        opts->branch_seed[i] = (uint8_t)pc_prng_next(&sim->rng_branch);
    }
    opts->protocols = node->speaks;
    opts->advertise = sim_node_addr(node->index);
    if (sim->params.snapshot_log_bytes > 0 && node->speaks.max >= PC_PROTOCOL_MEMBERS) {
        opts->snapshot_log_bytes = sim->params.snapshot_log_bytes;
        opts->snapshot_percent = sim->params.snapshot_percent;
        opts->log_keep_bytes = sim->params.log_keep_bytes;
    }
    opts->raft.tail_bytes_max = sim->params.tail_bytes_max;
    opts->catchup_entries = sim->params.catchup_entries;
    opts->catchup_unsynced_bytes = sim->params.catchup_unsynced_bytes;
    opts->space_soft = (struct pc_space_mark){2 * sim->params.segment_bytes, 100};
    opts->space_hard = (struct pc_space_mark){sim->params.segment_bytes, 100};
}

/* Borrows *base. */
static struct pc_node_restored restored_of(struct pc_sim *sim, const struct sim_node *node,
    const struct pc_wal_recovered *found, struct pc_raft_base *base)
{
    *base = pc_raft_base_of(&found->base);
    return (struct pc_node_restored){
        .gaps = node->rot.gaps,
        .gaps_n = node->rot.gaps_n,
        .history = node->has_history ? node->history : NULL,
        .had_log = node->had_log,
        .lives = node->identity.lives.v,
        .lives_n = node->identity.lives.n,
        .snapshot = node->snap.newest != NULL ? &node->snap.found : NULL,
        .raft =
            {
                .term = found->term,
                .vote = found->vote,
                .last = found->last,
                .commit = found->commit,
                .first = found->first,
                .wall_ms = sim_node_wall_ms(sim, node),
                .terms = found->terms,
                .terms_n = found->terms_n,
                .base = found->commit > 0 ? base : NULL,
                .tail = found->tail.v,
                .tail_n = found->tail.n,
                .doubt = found->doubt,
            },
    };
}

/* The newest members known committed: in the log, in the snapshot, or in entry 1, unless that is
 * lost. */
static pc_err load_first(const struct pc_sim *sim, struct sim_node *node,
    const struct pc_wal_recovered *found, struct pc_node_restored *restored,
    struct pc_entries *first, struct pc_error *error)
{
    if (found->last == 0) {
        return PC_OK;
    }
    restored->config_entry = sim_snap_config(node, found);
    if (restored->config_entry != NULL) {
        restored->config_entry = found->config.index > 0 ? &found->config : restored->config_entry;
        return PC_OK;
    }
    pc_err err = pc_wal_load(node->wal, 1, 1, LOAD_BYTES, first, error);
    if (err == PC_OK) {
        restored->config_entry = &first->v[0];
        struct pc_cluster_config config;
        if (pc_wire_decode_config(pc_blob_slice(first->v[0].body), &config) == PC_OK) {
            memcpy(node->history, config.history, sizeof node->history);
            node->has_history |= sim->params.rot_ppm > 0; /* it stays on the disk that is its own */
        }
    }
    if (found->config.index > 0) {
        restored->config_entry = &found->config;
    }
    return err == PC_E_NOT_FOUND && node->rot.gaps_n > 0 ? PC_OK : err;
}

/* What the daemon does beside the recovery: it loads the snapshot as far as it gets. That counts
 * when nothing was wrong so far. */
static void preload(struct sim_node *node, const struct pc_node_opts *opts,
    struct pc_wal_recovered *found, struct pc_node_preload *out)
{
    struct pc_store_opts store;
    struct pc_buf room = {0};
    struct pc_slice chunk;
    struct pc_error error;
    const struct pc_node_snapshot *snapshot = &node->snap.found;
    *out = (struct pc_node_preload){.entries = found->early};
    found->early = (struct pc_entries){0};
    if (node->snap.newest == NULL || opts->store_seed[0] % 4 == 0) {
        return;
    }
    uint32_t upto = opts->store_seed[0] % 4 == 1 ? snapshot->chunks / 2 : snapshot->chunks;
    memcpy(store.hash_seed, opts->store_seed, sizeof store.hash_seed);
    out->store = pc_store_new(&store);
    pc_store_load_begin(out->store, snapshot->meta.items);
    bool is_good = true;
    for (; is_good && out->chunks < upto; out->chunks++) {
        is_good =
            pc_snap_reader_chunk(node->snap.newest, out->chunks, &room, &chunk, &error) == PC_OK &&
            pc_node_load_chunk(out->store, snapshot->meta.base.index, chunk) == NULL;
    }
    pc_buf_destroy(&room);
    if (!is_good) {
        pc_store_delete(out->store);
        out->store = NULL;
    }
}

static bool node_new(struct pc_sim *sim, struct sim_node *node, struct pc_wal_recovered *found)
{
    struct pc_raft_base base;
    struct pc_node_restored restored = restored_of(sim, node, found, &base);
    struct pc_entries first = {0};
    struct pc_error error = {0};
    pc_err err = load_first(sim, node, found, &restored, &first, &error);
    if (err == PC_OK) {
        struct pc_node_opts opts;
        struct pc_node_preload ready;
        fill_opts(sim, node, &opts);
        pc_sim_fs_hold(node->fs, true);
        preload(node, &opts, found, &ready);
        pc_sim_fs_hold(node->fs, false);
        restored.preload = &ready;
        restored.branch = sim_branch_given(node);
        err = pc_node_new(&opts, &restored, sim_node_now(sim, node), &node->node, &error);
        pc_store_delete(ready.store);
        pc_entries_clear(&ready.entries);
    }
    pc_entries_clear(&first);
    return err == PC_OK || start_ended(sim, node, err, &error);
}

/* The power may go at any step of a start, and calls may fail. */
static void arm(struct pc_sim *sim, struct sim_node *node)
{
    if (sim->chaos && sim->params.crash_in_write_ppm > 0 &&
        pc_prng_chance(&sim->rng_disk, 100000)) {
        pc_sim_fs_power_off_after(node->fs, pc_prng_below(&sim->rng_disk, 40));
    }
    sim_disk_arm(sim, node, true);
}

void sim_restored(struct pc_sim *sim, struct sim_node *node, const struct pc_wal_recovered *found)
{
    struct pc_entries first = {0};
    struct pc_error error;
    if (!sim_rot_found(sim, node, found)) {
        check_recovered(sim, node, found);
    }
    struct pc_raft_base base;
    struct pc_node_restored restored = restored_of(sim, node, found, &base);
    if (sim->failed || load_first(sim, node, found, &restored, &first, &error) != PC_OK) {
        return;
    }
    node->term = found->term;
    sim_check_started(sim, node, node->rot.gaps_n > 0 ? 0 : found->commit);
    struct pc_node_event event = {.type = PC_NODE_RESTORED};
    event.u.restored = &restored;
    sim_node_step(sim, node, &event);
    pc_entries_clear(&first);
}

bool sim_restart(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_wal_recovered found;
    node->speaks = node->installed;
    node->is_unreadable = false;
    sim_rot_strike(sim, node);
    sim_rot_snap_strike(sim, node);
    arm(sim, node);
    if (!identify(sim, node) || !recover(sim, node, &found)) {
        return false;
    }
    (void)sim_disk_had_fault(sim, node); /* tolerated, or the start would have ended */
    bool started = true;
    if (!node->must_refuse) {
        pc_sim_fs_hold(node->fs, true);
        bool lost = sim_rot_found(sim, node, &found);
        if (!lost) {
            check_recovered(sim, node, &found);
        }
        pc_sim_fs_hold(node->fs, false);
    }
    started = !sim->failed && node_new(sim, node, &found);
    if (started && node->must_refuse) {
        sim_fail(
            sim, PC_SIM_B14, "%s starts on a disk that is not its own, or not whole", node->name);
        started = false;
    }
    if (started) {
        node->term = found.term;
        sim_check_started(sim, node, node->rot.gaps_n > 0 ? 0 : found.commit);
    }
    pc_wal_recovered_clear(&found);
    return started;
}
