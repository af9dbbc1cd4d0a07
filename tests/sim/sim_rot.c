/* Damage at rest (D4, D5, D7), and the repair of it as the daemon drives it.
 *
 * A disk is damaged while its node is down. Before the damage is left there it is tried on a copy,
 * and a budget is kept, so that the cluster can help itself:
 *   every committed entry that one node has lost, another one has whole;
 *   where the end of a log is lost, or what may never have been committed, fewer than half of the
 *   nodes are in that state.
 * Whole sectors go only where a later record vouches for them, for a sector lost behind that looks
 * like one never written (docs/LOGFORMAT.md); single bits may turn anywhere.
 *
 * B.35: what such a log serves is what was written. B.36: what was synced is there, or is said to
 * be lost; after the repair it is there. B.38 follows from the node having no Raft machine
 * meanwhile, or, under doubt, one that never votes: checked with every message it sends. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_int.h"

#define ROT_DIR "/data/log"
#define FILES_MAX 64
#define TRIES 6
#define FIRST_RECORD_BYTES_MAX (24u << 10)

struct files {
    char path[FILES_MAX][64];
    size_t n;
};

static void add_file(void *arg, const char *name)
{
    struct files *files = arg;
    bool wanted = strncmp(name, "log-", 4) == 0 || strncmp(name, "fix-0", 5) == 0;
    if (wanted && files->n < FILES_MAX && strlen(name) < 40) {
        (void)snprintf(files->path[files->n++], 64, ROT_DIR "/%.40s", name);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Offset in the newest segment before which later records vouch for everything. */
struct vouched {
    char segment[64];
    uint64_t before;
    struct {
        pc_index index;
        uint64_t offset;
    } entries[4096];
    size_t n;
    bool truncates;
};

static void note_record(void *arg, const struct pc_wal_record_info *record)
{
    struct vouched *v = arg;
    if (strncmp(record->segment, "log-", 4) == 0 && strcmp(record->segment, v->segment) != 0) {
        (void)snprintf(v->segment, sizeof v->segment, "%.60s", record->segment);
        v->n = 0;
        v->before = 0;
        v->truncates = false;
    }
    v->truncates = v->truncates || record->type == PC_WAL_RECORD_TRUNCATE;
    if (record->type == PC_WAL_RECORD_ENTRY && v->n < 4096) {
        v->entries[v->n].index = record->index;
        v->entries[v->n++].offset = record->offset;
    }
    for (size_t i = v->n; i > 0 && !v->truncates; i--) {
        if (v->entries[i - 1].index <= record->durable_upto) {
            v->before = v->entries[i - 1].offset > v->before ? v->entries[i - 1].offset : v->before;
            break;
        }
    }
    v->before = v->truncates ? 0 : v->before;
}

static void damage_sector(
    struct pc_sim_fs *fs, const char *path, uint64_t sectors, struct pc_prng *rng)
{
    uint8_t bytes[8 * 512] = {0};
    uint64_t at = pc_prng_below(rng, sectors);
    size_t len = (size_t)pc_prng_between(rng, 1, 8) * 512;
    len = at * 512 + len > sectors * 512 ? 512 : len;
    if (pc_prng_chance(rng, 500000)) { /* else: a write that was lost */
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (uint8_t)pc_prng_next(rng);
        }
    }
    if (pc_prng_chance(rng, 200000)) { /* a write that went to another place */
        struct pc_error error;
        const struct pc_fs *port = pc_sim_fs_port(fs);
        pc_fd fd;
        size_t got = 0;
        if (port->open_read(port->context, path, &fd, &error) == PC_OK) {
            pc_err err = port->read_at(
                port->context, fd, pc_prng_below(rng, sectors) * 512, bytes, 512, &got, &error);
            port->close(port->context, fd);
            len = err == PC_OK && got == 512 ? 512 : len;
        }
    }
    (void)pc_sim_fs_overwrite(fs, path, at * 512, pc_slice_of(bytes, len));
}

static void damage(
    struct pc_sim_fs *fs, const struct files *files, const struct vouched *v, struct pc_prng *rng)
{
    const char *path = files->path[pc_prng_below(rng, files->n)];
    uint64_t bytes = pc_sim_fs_file_bytes(fs, path);
    bool newest = strstr(path, v->segment) != NULL;
    uint64_t sectors = newest ? v->before / 512 : bytes / 512;
    uint64_t dice = pc_prng_below(rng, 100);
    if (dice < 4) {
        (void)pc_sim_fs_remove(fs, path);
    } else if (dice < 60 && sectors > 1) {
        damage_sector(fs, path, sectors, rng);
    } else if (bytes > 0) {
        (void)pc_sim_fs_flip_bit(
            fs, path, pc_prng_below(rng, bytes), (unsigned)pc_prng_below(rng, 8));
    }
}

/* ---- the budget */

static bool is_in_gap(const struct sim_rot *rot, pc_index index)
{
    for (size_t i = 0; i < rot->gaps_n; i++) {
        if (index >= rot->gaps[i].first && index <= rot->gaps[i].last) {
            return true;
        }
    }
    return false;
}

static bool another_has(const struct pc_sim *sim, const struct sim_node *node, pc_index index)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *other = &sim->nodes[i];
        if (other != node && !other->is_lost && !other->rot.doubt &&
            !is_in_gap(&other->rot, index) && index <= other->disk.durable &&
            sim_image_has(&other->disk.written, index, &sim->ghost.v[index].chain)) {
            return true;
        }
    }
    return false;
}

/* What the damage means for the cluster. */
static bool fits_budget(
    const struct pc_sim *sim, const struct sim_node *node, const struct pc_wal_recovered *found)
{
    struct sim_rot rot = {.doubt = found->open || found->doubt != 0};
    size_t weak = 1;
    pc_index floor = found->open ? found->last : UINT64_MAX;
    for (size_t i = 0; i < found->gaps_n; i++) {
        rot.doubt = rot.doubt || found->gaps[i].last > sim->ghost.last;
        floor = found->gaps[i].floor < floor ? found->gaps[i].floor : floor;
    }
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *other = &sim->nodes[i];
        weak += other != node && (other->rot.doubt || other->is_lost) ? 1 : 0;
    }
    if (rot.doubt && weak > (sim->params.nodes_n - 1) / 2) {
        return false;
    }
    pc_index upto =
        sim->ghost.last < node->disk.written.last ? sim->ghost.last : node->disk.written.last;
    for (pc_index i = floor + 1; floor != UINT64_MAX && i <= upto; i++) {
        if (!another_has(sim, node, i)) {
            return false;
        }
    }
    return true;
}

static const struct pc_raft_base *base_of(const struct sim_node *node)
{
    return node->disk.snap.index > 0 ? &node->disk.snap : NULL;
}

/* One try on a copy; true when the damage may stay. */
static bool try_damage(struct pc_sim *sim, struct sim_node *node, struct pc_sim_fs *copy,
    const struct pc_wal_recovered *before)
{
    pc_index last = before->last;
    struct pc_wal_recovered found;
    struct pc_error error;
    pc_err err =
        pc_wal_scan(pc_sim_fs_port(copy), ROT_DIR, base_of(node), NULL, NULL, &found, &error);
    if (err == PC_E_NOT_FOUND) {
        return false; /* nothing left of it */
    }
    if (err != PC_OK) {
        sim_fail(sim, PC_SIM_B36, "%s: damage at rest is not taken: %s", node->name, error.text);
        return false;
    }
    bool may = fits_budget(sim, node, &found);
    bool is_silent = found.gaps_n == 0 && !found.open && found.doubt < before->term;
    if (is_silent && found.last < last) {
        sim_fail(sim, PC_SIM_B36,
            "%s: damage at rest makes %" PRIu64 " entries of %" PRIu64 " pass for absent",
            node->name, last - found.last, last);
    }
    pc_wal_recovered_clear(&found);
    return may && !sim->failed;
}

/* The budget knows what nodes have found in their logs, and not what they would find. */
static bool damage_is_pending(const struct pc_sim *sim)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        if (sim->nodes[i].rot.is_struck) {
            return true;
        }
    }
    return false;
}

void sim_rot_strike(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_prng *rng = &sim->rng_rot;
    if (!sim->chaos || sim->params.rot_ppm == 0 || node->must_refuse || node->is_old_copy ||
        !pc_prng_chance(rng, sim->params.rot_ppm) || damage_is_pending(sim)) {
        return;
    }
    struct files files = {0};
    struct pc_error error;
    const struct pc_fs *port = pc_sim_fs_port(node->fs);
    struct vouched *v = pc_xalloc(sizeof *v);
    struct pc_wal_recovered before;
    bool good = port->list(port->context, ROT_DIR, add_file, &files, &error) == PC_OK &&
                files.n > 0 &&
                pc_wal_scan(port, ROT_DIR, base_of(node), note_record, v, &before, &error) == PC_OK;
    if (!good) {
        free(v);
        return;
    }
    qsort(files.path, files.n, sizeof files.path[0], by_name);
    bool done = before.open || before.gaps_n > 0; /* enough for one life */
    for (size_t i = 0; i < TRIES && !done && !sim->failed; i++) {
        struct pc_prng dice = *rng;
        struct pc_sim_fs *copy = pc_sim_fs_clone(node->fs);
        damage(copy, &files, v, rng);
        done = try_damage(sim, node, copy, &before);
        if (done) {
            damage(node->fs, &files, v, &dice);
            node->rot.is_struck = true;
            sim_trace_line(sim, "%s: its log rots", node->name);
        }
        pc_sim_fs_delete(copy);
    }
    pc_wal_recovered_clear(&before);
    free(v);
}

/* Behind the snapshot committed entries are lost, between others; in front of it only whoever has
 * no snapshot would miss them. */
static bool is_wanted_place(const struct pc_wal_recovered *found, pc_index base, bool in_front)
{
    if (found->open) {
        return false;
    }
    return in_front ? found->gaps_n == 0 && found->damages > 0 && found->first == base + 1
                    : found->gaps_n == 1 && found->gaps[0].first > 1 &&
                          found->gaps[0].last <= found->commit;
}

bool sim_rot_now(struct sim_node *node, bool in_front)
{
    static const uint8_t zeros[512];
    struct files files = {0};
    struct pc_error error;
    const struct pc_fs *port = pc_sim_fs_port(node->fs);
    bool done = port->list(port->context, ROT_DIR, add_file, &files, &error) != PC_OK;
    qsort(files.path, files.n, sizeof files.path[0], by_name);
    size_t segments_n = in_front && files.n > 0 ? files.n - 1 : files.n;
    for (size_t i = in_front ? 64 : 0; i < 64 * segments_n && !done; i++) {
        const char *path = files.path[i / 64];
        uint64_t at = i % 64 * 1024;
        if (in_front && at < FIRST_RECORD_BYTES_MAX) {
            continue; /* a start looks at the first record */
        }
        struct pc_sim_fs *copy = pc_sim_fs_clone(node->fs);
        struct pc_wal_recovered found;
        struct pc_slice bytes = pc_slice_of(zeros, sizeof zeros);
        if (pc_sim_fs_overwrite(copy, path, at, bytes) &&
            pc_wal_scan(pc_sim_fs_port(copy), ROT_DIR, base_of(node), NULL, NULL, &found, &error) ==
                PC_OK) {
            done = is_wanted_place(&found, node->disk.snap.index, in_front) &&
                   pc_sim_fs_overwrite(node->fs, path, at, bytes);
            pc_wal_recovered_clear(&found);
        }
        pc_sim_fs_delete(copy);
    }
    node->rot.is_struck = done;
    return done;
}

/* ---- what a damaged log says */

/* What it serves is what was written; the rest it says to be lost. */
static void check_served(
    struct pc_sim *sim, struct sim_node *node, const struct pc_wal_recovered *found)
{
    for (pc_index i = found->first; i <= found->last && i <= node->disk.durable && !sim->failed;
         i++) {
        struct pc_entries one = {0};
        struct pc_error error;
        pc_err err = pc_wal_load(node->wal, i, i, 1, &one, &error);
        bool lost = is_in_gap(&node->rot, i);
        if (err == PC_OK && lost) {
            sim_fail(
                sim, PC_SIM_B36, "%s serves entry %" PRIu64 " and calls it lost", node->name, i);
        } else if (err == PC_OK && !sim_image_has(&node->disk.written, i, &one.v[0].chain) &&
                   i <= found->gaps[0].floor) {
            sim_fail(
                sim, PC_SIM_B36, "%s: entry %" PRIu64 " reads back as another one", node->name, i);
        } else if (err != PC_OK && !(lost && err == PC_E_NOT_FOUND)) {
            sim_fail(sim, PC_SIM_B36, "%s: entry %" PRIu64 " of a log with gaps: %s", node->name, i,
                error.text);
        }
        pc_entries_clear(&one);
    }
}

/* The last entry that is still the one that was synced: a cut in front of a lost truncation brings
 * back what that had taken away. */
static pc_index agrees_upto(const struct sim_node *node, pc_index last)
{
    pc_index at = last < node->disk.kept ? last : node->disk.kept;
    bool same = false;
    while (at > 0 && !same) {
        struct pc_entries one = {0};
        struct pc_error error;
        same = pc_wal_load(node->wal, at, at, 1, &one, &error) == PC_OK && one.n == 1 &&
               sim_image_has(&node->disk.written, at, &one.v[0].chain);
        pc_entries_clear(&one);
        at -= same ? 0 : 1;
    }
    return at;
}

bool sim_rot_found(struct pc_sim *sim, struct sim_node *node, const struct pc_wal_recovered *found)
{
    struct sim_rot *rot = &node->rot;
    free(rot->gaps);
    pc_entries_clear(&rot->job.entries); /* its disk did not come to it any more */
    *rot = (struct sim_rot){.doubt = found->doubt != 0};
    pc_index same = found->doubt != 0 ? agrees_upto(node, found->last) : node->disk.kept;
    if (same < node->disk.kept) {
        node->disk.kept = same; /* known to be lost: B.36 */
        node->disk.durable = same;
        node->disk.torn = false;
        sim_image_truncate(&node->disk.written, same + 1);
    }
    if (found->gaps_n == 0) {
        return false;
    }
    if (found->last >= node->disk.kept) {
        /* Nobody looks at the entries until they are whole; what went with the power is gone. */
        sim_image_truncate(&node->disk.written, found->last + 1);
    }
    rot->gaps_n = found->gaps_n;
    rot->gaps = pc_xalloc(found->gaps_n * sizeof *rot->gaps);
    for (size_t i = 0; i < found->gaps_n; i++) {
        const struct pc_wal_gap *gap = &found->gaps[i];
        rot->gaps[i] = (struct pc_node_gap){.first = gap->first,
            .last = gap->last,
            .before = gap->before,
            .anchor = gap->anchor,
            .floor = gap->floor,
            .floor_chain = gap->floor_chain,
            .last_term = gap->last_term};
        rot->doubt = rot->doubt || gap->last > sim->ghost.last;
        sim_trace_line(
            sim, "%s has lost entries %" PRIu64 "..%" PRIu64, node->name, gap->first, gap->last);
    }
    pc_sim_fs_hold(node->fs, true);
    check_served(sim, node, found);
    pc_sim_fs_hold(node->fs, false);
    sim_image_truncate(&node->mem, 1);
    return true;
}

/* ---- the repair */

void sim_rot_queue(struct pc_sim *sim, struct sim_node *node, struct pc_node_repair *repair)
{
    pc_entries_clear(&node->rot.job.entries);
    node->rot.job = *repair;
    repair->entries = (struct pc_entries){0};
    struct sim_load *load = pc_xalloc(sizeof *load);
    *load = (struct sim_load){.tag = SIM_TAG_REPAIR};
    sim_at(sim, sim_exponential_us(&sim->rng_disk, sim->params.disk_sync_us),
        (struct sim_event){
            .type = SIM_EV_LOAD, .node = node->index, .life = node->life, .data = load});
}

static void power_cut(struct pc_sim *sim, struct sim_node *node)
{
    sim->stats.crashes_in_write++;
    sim_node_crash(sim, node, PC_SIM_FS_POWER_CUT);
    sim_node_start_later(sim, node);
}

static void put(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_error error;
    struct pc_node_event event = {.type = PC_NODE_REPAIR_DONE};
    const struct pc_node_repair *job = &node->rot.job;
    pc_err err = pc_wal_repair_put(
        node->wal, job->gap, job->entries.v, job->entries.n, &event.u.repair.closed, &error);
    if (pc_sim_fs_is_off(node->fs)) {
        power_cut(sim, node);
        return;
    }
    if (err != PC_OK && err != PC_E_NO_SPACE) {
        sim_fail(sim, PC_SIM_B36, "%s: repair: %s", node->name, error.text);
        return;
    }
    event.u.repair.ok = err == PC_OK;
    sim_node_step(sim, node, &event);
}

static void reopen(struct pc_sim *sim, struct sim_node *node, bool cut)
{
    struct pc_error error;
    struct pc_wal_recovered found;
    pc_err err = cut ? pc_wal_repair_cut(node->wal, &error) : PC_OK;
    if (err == PC_OK) {
        const struct pc_raft_base *base = &node->rot.job.base;
        err = pc_wal_reopen(&node->wal, base->index > 0 ? base : NULL, &found, &error);
    }
    if (err == PC_OK && pc_sim_fs_is_off(node->fs)) {
        pc_wal_recovered_clear(&found);
    }
    if (pc_sim_fs_is_off(node->fs) || err == PC_E_NO_SPACE) {
        power_cut(sim, node);
        return;
    }
    if (err != PC_OK) {
        sim_fail(sim, PC_SIM_B36, "%s: not whole after its repair: %s", node->name, error.text);
        return;
    }
    sim_trace_line(sim, "%s: %s", node->name, cut ? "cut what nobody has" : "repaired");
    sim_restored(sim, node, &found);
    pc_wal_recovered_clear(&found);
}

void sim_rot_repair(struct pc_sim *sim, struct sim_node *node)
{
    if (sim->chaos && pc_prng_chance(&sim->rng_rot, 100000)) {
        pc_sim_fs_power_off_after(node->fs, pc_prng_below(&sim->rng_rot, 12));
    }
    if (node->rot.job.type == PC_NODE_REPAIR_PUT) {
        put(sim, node);
    } else {
        reopen(sim, node, node->rot.job.type == PC_NODE_REPAIR_CUT);
    }
}

void sim_rot_destroy(struct sim_node *node)
{
    free(node->rot.gaps);
    pc_entries_clear(&node->rot.job.entries);
    node->rot = (struct sim_rot){0};
}

/* B.38: who has lost entries promises nothing by them. */
void sim_rot_check_send(struct pc_sim *sim, struct sim_node *node, const struct pc_msg *msg)
{
    if (msg->type != PC_MSG_RAFT) {
        return;
    }
    struct pc_raft_status status;
    pc_raft_status(pc_node_raft(node->node), &status);
    bool asks = msg->raft.type == PC_RAFT_MSG_VOTE;
    bool grants = msg->raft.type == PC_RAFT_MSG_VOTE_RESP && msg->raft.u.vote_resp.granted;
    bool tells_term = msg->raft.type == PC_RAFT_MSG_APPEND_RESP &&
                      !msg->raft.u.append_resp.accepted && msg->raft.u.append_resp.round == 0 &&
                      msg->raft.u.append_resp.match == 0 && msg->raft.term == node->term;
    if ((node->rot.gaps_n > 0 && !tells_term) || (status.doubt != 0 && (asks || grants))) {
        sim_fail(sim, PC_SIM_B36, "%s has lost entries and takes part in Raft", node->name);
    }
    node->rot.doubt = node->rot.gaps_n > 0 ? node->rot.doubt : status.doubt != 0;
}
