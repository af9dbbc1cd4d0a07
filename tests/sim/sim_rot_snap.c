/* Snapshots that rot at rest: a sector, or a bit, of the chunks of the newest one, while its node
 * is down. What is damaged in header and footer a start notices, and refuses; there is nothing to
 * see of that here.
 *
 * The damage is found when a chunk is read: to be loaded, or for a peer. Nobody may take it for
 * what it was (B.15: every snapshot that becomes durable has the digest of its entry, and every
 * state has the one of its log, B.30). A node whose log goes back to entry 1 replays that instead;
 * else it gets another snapshot from a peer, which must have one: fewer than half of the nodes are
 * in that state at a time. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/sim_int.h"

#define DIR "/data/log"
#define HEADER_BYTES 512
#define TRIES 6

struct newest {
    char path[64];
};

static void note_newest(void *arg, const char *name)
{
    struct newest *newest = arg;
    char path[sizeof newest->path];
    size_t len = strlen(name);
    bool is_whole = len == 25 && strncmp(name, "snap-", 5) == 0 && strcmp(name + 21, ".snp") == 0;
    if (is_whole) {
        (void)snprintf(path, sizeof path, DIR "/%.40s", name);
        if (strcmp(path, newest->path) > 0) { /* names of one length: the greatest is the newest */
            memcpy(newest->path, path, sizeof path);
        }
    }
}

static void damage(struct pc_sim_fs *fs, const char *path, struct pc_prng *rng)
{
    uint8_t bytes[512] = {0};
    uint64_t size = pc_sim_fs_file_bytes(fs, path);
    if (size <= HEADER_BYTES) {
        return;
    }
    uint64_t at = pc_prng_between(rng, HEADER_BYTES, size - 1);
    if (pc_prng_chance(rng, 500000)) {
        (void)pc_sim_fs_flip_bit(fs, path, at, (unsigned)pc_prng_below(rng, 8));
        return;
    }
    for (size_t i = 0; i < sizeof bytes && pc_prng_chance(rng, 990000); i++) {
        bytes[i] = (uint8_t)pc_prng_next(rng);
    }
    at = at / sizeof bytes * sizeof bytes;
    size_t len = size - at < sizeof bytes ? (size_t)(size - at) : sizeof bytes;
    (void)pc_sim_fs_overwrite(fs, path, at, pc_slice_of(bytes, len));
}

/* Header and footer are whole, and of the rest not everything. */
static bool is_of_use(struct pc_sim_fs *fs, const char *path)
{
    struct pc_snap_reader *reader = NULL;
    struct pc_error error;
    if (pc_snap_reader_open(pc_sim_fs_port(fs), path, &reader, &error) != PC_OK) {
        return false;
    }
    bool is_damaged = pc_snap_verify(reader, NULL, NULL, &error) != PC_OK;
    pc_snap_reader_close(reader);
    return is_damaged;
}

static bool fits_budget(const struct pc_sim *sim, const struct sim_node *node)
{
    size_t weak = 1;
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *other = &sim->nodes[i];
        bool is_weak = other->disk.snap_rots || other->rot.doubt || other->rot.is_struck ||
                       other->rot.gaps_n > 0 || other->is_lost;
        weak += other != node && is_weak ? 1 : 0;
    }
    return weak <= (sim->params.nodes_n - 1) / 2;
}

bool sim_rot_snap_now(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_prng *rng = &sim->rng_rot;
    struct newest newest = {{0}};
    struct pc_error error;
    const struct pc_fs *port = pc_sim_fs_port(node->fs);
    if (port->list(port->context, DIR, note_newest, &newest, &error) != PC_OK ||
        newest.path[0] == '\0') {
        return false;
    }
    for (size_t i = 0; i < TRIES && !node->disk.snap_rots; i++) {
        struct pc_prng dice = *rng;
        struct pc_sim_fs *copy = pc_sim_fs_clone(node->fs);
        damage(copy, newest.path, rng);
        if (is_of_use(copy, newest.path)) {
            damage(node->fs, newest.path, &dice);
            node->disk.snap_rots = true;
            sim->stats.snaps_rotten++;
            sim_trace_line(sim, "%s: its snapshot rots", node->name);
        }
        pc_sim_fs_delete(copy);
    }
    return node->disk.snap_rots;
}

void sim_rot_snap_strike(struct pc_sim *sim, struct sim_node *node)
{
    /* Where members change, the voters that are left may all be those without a whole one. */
    bool may = sim->chaos && sim->params.snap_rot_ppm > 0 && !node->disk.snap_rots &&
               !sim->params.replaces_lost;
    if (may && pc_prng_chance(&sim->rng_rot, sim->params.snap_rot_ppm) && fits_budget(sim, node)) {
        (void)sim_rot_snap_now(sim, node);
    }
}
