/* Which disk is in which node (D9): emptied, incomplete, exchanged with another node's, or an old
 * copy of itself. A node that starts on such a disk must be refused, or refuse to start; its own
 * disk, put back as it was, makes it the node that it was.
 *
 *   own disk in the node -- exchange --> in the drawer -- restore --> in the node
 *                                              | is_lost
 *                                              +----------> stays there
 *
 * No more disks are lost for good than the cluster may lose: the others alone can go on. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_int.h"

#define AWAY_MS_MAX 4000

enum medium_exchange {
    MEDIUM_WIPED,
    MEDIUM_NO_LOG,
    MEDIUM_NO_IDENTITY,
    MEDIUM_SWAPPED,
    MEDIUM_N,
};

struct pc_sim_fs *sim_medium_new_fs(struct pc_sim *sim)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(pc_prng_next(&sim->rng_disk));
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    bool ok = port->mkdir(port->context, "/data", &error) == PC_OK &&
              port->sync_dir(port->context, "/", &error) == PC_OK;
    PC_ASSERT(ok);
    return fs;
}

static void medium_take(struct sim_node *node, struct sim_medium *out)
{
    struct sim_disk *disk = &node->disk;
    PC_ASSERT(node->node == NULL && node->wal == NULL && disk->n == 0 && !out->used);
    *out = (struct sim_medium){
        .used = true,
        .id = node->disk_id,
        .machine = node->index,
        .fs = node->fs,
        .written = disk->written,
        .durable = disk->durable,
        .term = disk->term,
        .vote = disk->vote,
        .snap = disk->snap,
        .kept = disk->kept,
        .torn = disk->torn,
        .torn_term = disk->torn_term,
        .torn_vote = disk->torn_vote,
    };
    struct sim_disk empty = {.queue = disk->queue, .resets = disk->resets, .cap = disk->cap};
    *disk = empty;
    node->fs = NULL;
}

static void medium_put(struct sim_node *node, struct sim_medium *medium)
{
    struct sim_disk *disk = &node->disk;
    PC_ASSERT(node->fs == NULL && medium->used);
    node->fs = medium->fs;
    node->disk_id = medium->id;
    disk->written = medium->written;
    disk->durable = medium->durable;
    disk->term = medium->term;
    disk->vote = medium->vote;
    disk->snap = medium->snap;
    disk->kept = medium->kept;
    disk->torn = medium->torn;
    disk->torn_term = medium->torn_term;
    disk->torn_vote = medium->torn_vote;
    *medium = (struct sim_medium){0};
    node->faults_seen = pc_sim_fs_faults(node->fs);
}

void sim_medium_destroy(struct sim_medium *medium)
{
    if (medium->used) {
        pc_sim_fs_delete(medium->fs);
        sim_image_destroy(&medium->written);
        *medium = (struct sim_medium){0};
    }
}

static struct sim_image image_copy(const struct sim_image *image)
{
    struct sim_image copy = {0};
    for (pc_index i = 1; i <= image->last; i++) {
        sim_image_append(&copy, i, image->term[i], &image->chain[i]);
    }
    return copy;
}

static void medium_copy(const struct sim_node *node, struct sim_medium *out)
{
    const struct sim_disk *disk = &node->disk;
    *out = (struct sim_medium){
        .used = true,
        .id = node->disk_id,
        .fs = pc_sim_fs_clone(node->fs),
        .written = image_copy(&disk->written),
        .durable = disk->durable,
        .term = disk->term,
        .vote = disk->vote,
        .snap = disk->snap,
        .kept = disk->kept,
        .torn = disk->torn,
        .torn_term = disk->torn_term,
        .torn_vote = disk->torn_vote,
    };
}

static void put_empty(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_medium empty = {.used = true, .fs = sim_medium_new_fs(sim)};
    medium_put(node, &empty);
}

/* ---- files that are missing */

struct doomed {
    char paths[64][64];
    size_t n;
};

static void doom(void *arg, const char *name)
{
    struct doomed *doomed = arg;
    PC_ASSERT(doomed->n < 64);
    int used = snprintf(doomed->paths[doomed->n++], 64, "/data/log/%s", name);
    PC_ASSERT(used > 0 && used < 64);
}

/* A copy of the disk without its log, or without its identity. */
static void put_incomplete(struct sim_node *node, enum medium_exchange kind)
{
    struct sim_medium copy = {
        .used = true, .id = node->drawer.id, .fs = pc_sim_fs_clone(node->drawer.fs)};
    struct doomed doomed = {.n = 0};
    struct pc_error error;
    const struct pc_fs *port = pc_sim_fs_port(copy.fs);
    if (kind == MEDIUM_NO_LOG) {
        pc_err err = port->list(port->context, "/data/log", doom, &doomed, &error);
        PC_ASSERT(err == PC_OK);
        for (size_t i = 0; i < doomed.n; i++) {
            PC_ASSERT(pc_sim_fs_remove(copy.fs, doomed.paths[i]));
        }
    } else {
        PC_ASSERT(pc_sim_fs_remove(copy.fs, "/data/identity"));
    }
    medium_put(node, &copy);
}

/* ---- exchanging */

/* May one more disk be lost, or be empty for a while? All of them empty at once are a new cluster.
 */
static bool may_lose_one(const struct pc_sim *sim)
{
    size_t n = 0;
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *node = &sim->nodes[i];
        n += node->is_lost || node->is_stranger || node->is_old_copy ? 1 : 0;
    }
    return n < (sim->params.nodes_n - 1) / 2;
}

/* A member of a cluster that exists, on its own disk, which says so. */
static bool is_exchangeable(const struct pc_sim *sim, const struct sim_node *node)
{
    return sim->ghost.last >= 1 && !node->drawer.used && node->identity.has_log &&
           node->disk.durable >= 1;
}

static struct sim_node *other_to_swap(struct pc_sim *sim, const struct sim_node *node)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        struct sim_node *other = &sim->nodes[i];
        if (other != node && other->node == NULL && is_exchangeable(sim, other)) {
            return other;
        }
    }
    return NULL;
}

/* Its own disk comes back some time, unless it is lost. */
static void go_away(struct pc_sim *sim, struct sim_node *node)
{
    node->exchange++;
    sim->stats.disks_exchanged++;
    if (sim->chaos && !node->is_lost) {
        uint64_t ms = pc_prng_between(&sim->rng_class[PC_SIM_FAULT_DISK_LOST], 50, AWAY_MS_MAX);
        sim_at(sim, ms * 1000,
            (struct sim_event){.type = SIM_EV_OWN_DISK, .node = node->index, .a = node->exchange});
    }
}

/* Each gets a copy of what the other has; their own wait in the drawers. */
void sim_medium_swap(struct pc_sim *sim, struct sim_node *a, struct sim_node *b)
{
    struct sim_medium copies[2];
    medium_copy(a, &copies[1]);
    medium_copy(b, &copies[0]);
    struct sim_node *nodes[2] = {a, b};
    sim_trace_line(sim, "%s and %s exchange their disks", a->name, b->name);
    for (size_t i = 0; i < 2; i++) {
        medium_take(nodes[i], &nodes[i]->drawer);
        medium_put(nodes[i], &copies[i]);
        nodes[i]->must_refuse = true;
        go_away(sim, nodes[i]);
    }
}

static void exchange(struct pc_sim *sim, struct sim_node *node, enum medium_exchange kind)
{
    static const char *const words[] = {"is empty", "has lost its log", "has lost its identity"};
    struct pc_prng *rng = &sim->rng_class[PC_SIM_FAULT_DISK_LOST];
    bool may_lose = may_lose_one(sim);
    if (kind == MEDIUM_WIPED && !may_lose) {
        return;
    }
    node->is_lost = sim->chaos && pc_prng_chance(rng, 400000) && may_lose;
    sim_trace_line(
        sim, "%s: the disk %s%s", node->name, words[kind], node->is_lost ? ", for good" : "");
    sim->stats.disks_lost += node->is_lost ? 1 : 0;
    medium_take(node, &node->drawer);
    if (kind == MEDIUM_WIPED) {
        put_empty(sim, node);
        node->is_stranger = true;
    } else {
        put_incomplete(node, kind);
        node->must_refuse = true;
    }
    go_away(sim, node);
}

void sim_medium_lose(struct pc_sim *sim, struct sim_node *node, bool log)
{
    PC_ASSERT(node->node == NULL && is_exchangeable(sim, node));
    exchange(sim, node, log ? MEDIUM_NO_LOG : MEDIUM_NO_IDENTITY);
}

/* ---- older copies */

/* Wild clocks would give the copy's lives, and its disk's behind them, numbers in any order, and
 * then SWIM believes whoever has the highest: that is no matter of the log. */
static bool has_copies(const struct pc_sim *sim)
{
    return sim->params.disk_lost_ppm > 0 && !sim->params.wall_wild &&
           !sim->params.fault[PC_SIM_FAULT_WALL_CLOCK];
}

void sim_medium_keep_copy(struct sim_node *node)
{
    PC_ASSERT(node->node == NULL);
    sim_medium_destroy(&node->copy);
    medium_copy(node, &node->copy);
    node->copy_generation = node->identity.generation;
}

/* Has everybody, on his own disk, a later life of this node than the copy knows? Whoever has not
 * cannot tell the copy from the disk; nor can one who runs on an older copy himself. */
static bool is_known_older(const struct pc_sim *sim, const struct sim_node *node)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *other = &sim->nodes[i];
        if (other->is_old_copy ||
            (other != node && other->noted[node->index] <= node->copy_generation)) {
            return false;
        }
    }
    return true;
}

void sim_medium_put_copy(struct pc_sim *sim, struct sim_node *node)
{
    PC_ASSERT(node->node == NULL && node->copy.used && !node->drawer.used);
    sim_trace_line(
        sim, "%s: the disk is an older copy%s", node->name, node->is_lost ? ", for good" : "");
    sim->stats.old_copies++;
    medium_take(node, &node->drawer);
    medium_put(node, &node->copy);
    sim_image_truncate(&node->mem, 1);
    node->is_old_copy = true;
    go_away(sim, node);
}

/* True when it was put back. */
static bool maybe_put_copy(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_prng *rng = &sim->rng_class[PC_SIM_FAULT_DISK_LOST];
    bool may = node->copy.used && is_known_older(sim, node) && may_lose_one(sim);
    if (!may || !pc_prng_chance(rng, 500000)) {
        return false;
    }
    node->is_lost = pc_prng_chance(rng, 400000);
    sim->stats.disks_lost += node->is_lost ? 1 : 0;
    sim_medium_put_copy(sim, node);
    return true;
}

void sim_medium_after_death(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_prng *rng = &sim->rng_class[PC_SIM_FAULT_DISK_LOST];
    bool is_own = !node->drawer.used && !node->is_stranger && node->identity.has_log;
    if (sim->chaos && has_copies(sim) && is_own && node->disk.durable > 0 &&
        pc_prng_chance(rng, node->copy.used ? 200000 : 700000)) {
        sim_medium_keep_copy(node);
    }
}

void sim_medium_found_out(struct pc_sim *sim, struct sim_node *node)
{
    PC_ASSERT(node->is_old_copy && node->node != NULL);
    sim->stats.refused_copies++;
    sim_trace_line(sim, "%s ends: its disk is an older copy", node->name);
    node->has_refused = true;
    sim_node_end(sim, node, PC_SIM_FS_KILL, node->disk.durable);
}

void sim_medium_before_start(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_prng *rng = &sim->rng_class[PC_SIM_FAULT_DISK_LOST];
    if (!sim->chaos || !is_exchangeable(sim, node) || maybe_put_copy(sim, node) ||
        !pc_prng_chance(rng, sim->params.disk_lost_ppm)) {
        return;
    }
    enum medium_exchange kind = (enum medium_exchange)pc_prng_below(rng, MEDIUM_N);
    struct sim_node *other = other_to_swap(sim, node);
    if (kind != MEDIUM_SWAPPED) {
        exchange(sim, node, kind);
    } else if (other != NULL) {
        sim_medium_swap(sim, node, other);
    }
}

void sim_medium_restore(struct pc_sim *sim, struct sim_node *node)
{
    if (!node->drawer.used || node->is_lost) {
        return;
    }
    if (node->node != NULL) {
        sim_node_crash(sim, node, PC_SIM_FS_KILL);
    }
    struct sim_medium other = {0};
    sim_trace_line(sim, "%s has its own disk again", node->name);
    medium_take(node, &other);
    sim_medium_destroy(&other);
    medium_put(node, &node->drawer);
    node->is_stranger = false;
    node->is_old_copy = false;
    node->must_refuse = false;
    node->has_refused = false;
    node->exchange++;
}

void sim_medium_wipe(struct pc_sim *sim, struct sim_node *node)
{
    medium_take(node, &node->drawer);
    put_empty(sim, node);
    node->is_lost = true;
    node->is_stranger = true;
    sim_trace_line(sim, "%s wiped", node->name);
}

static bool medium_has(
    const struct sim_medium *medium, pc_node_id id, pc_index index, const struct pc_hash *chain)
{
    return medium->used && medium->id == id && index <= medium->durable &&
           sim_image_has(&medium->written, index, chain);
}

void sim_medium_renew(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_medium other = {0};
    bool is_own = !node->is_stranger;
    PC_ASSERT(node->node == NULL && (!is_own || !node->drawer.used));
    medium_take(node, is_own ? &node->drawer : &other);
    sim_medium_destroy(&other);
    put_empty(sim, node);
    sim_image_truncate(&node->mem, 1);
    node->config = NULL;
    node->has_history = false;
    node->is_lost = node->is_stranger = true;
    sim_trace_line(sim, "%s has an empty disk", node->name);
}

void sim_medium_adopt(struct pc_sim *sim, struct sim_node *node)
{
    PC_ASSERT(node->is_stranger && node->node != NULL);
    if (node->drawer.used) {
        sim->attic = pc_xrealloc(sim->attic, (sim->attic_n + 1) * sizeof *sim->attic);
        sim->attic[sim->attic_n++] = node->drawer;
        node->drawer = (struct sim_medium){0};
    }
    node->own_id = node->id;
    node->own_generation = node->generation;
    node->is_lost = node->is_stranger = false;
}

void sim_medium_old_disk(struct pc_sim *sim, const struct sim_node *from, struct sim_node *into)
{
    struct sim_medium fresh = {0};
    PC_ASSERT(into->is_absent && into->node == NULL && sim->attic_n > 0);
    size_t at = sim->attic_n;
    while (at > 0 && sim->attic[at - 1].machine != from->index) {
        at--;
    }
    PC_ASSERT(at > 0);
    medium_take(into, &fresh);
    sim_medium_destroy(&fresh);
    medium_put(into, &sim->attic[at - 1]);
    sim->attic[at - 1] = sim->attic[--sim->attic_n];
    memcpy(into->name, from->name, sizeof into->name);
    into->id = into->own_id = into->disk_id;
    into->is_absent = into->is_stranger = into->is_lost = false;
    into->joins = from->joins;
}

bool sim_medium_has(
    const struct pc_sim *sim, pc_node_id id, pc_index index, const struct pc_hash *chain)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *node = &sim->nodes[i];
        const struct sim_disk *disk = &node->disk;
        bool is_in = node->disk_id == id && index <= disk->durable &&
                     sim_image_has(&disk->written, index, chain);
        if (is_in || medium_has(&node->drawer, id, index, chain)) {
            return true;
        }
    }
    for (size_t i = 0; i < sim->attic_n; i++) {
        if (medium_has(&sim->attic[i], id, index, chain)) {
            return true;
        }
    }
    return false;
}
