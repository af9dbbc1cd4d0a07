/* What the state of disks means for the cluster: the own one, as the driver measures it, and those
 * of the peers, as they tell it.
 *
 * - Space. A leader takes writes that let the log grow only while its own disk and those of a
 *   majority are above the hard mark. Deletes go on below it, so that there is a way out, and so do
 *   elections: the first entry of a new leader finds room that clients were kept from. Only where a
 *   majority has no room at all are deletes refused too, at once, for they could not be stored.
 * - Speed. A leader whose syncs take far longer than those of others hands over. Its disk slows
 *   nothing down as long as the others make the majority, but in the end it must stop taking
 *   writes. One that hangs altogether is seen by raft itself (raft_transfer.c).
 *
 * What peers say is soft state: it is said again with every measurement and soon forgotten. It only
 * ever makes this node more careful with new writes, and picks among successors: nothing that was
 * promised rests on it. A node that was never measured, or does not say, passes for well.
 *
 * The level of space falls at a mark and rises again an eighth above it, so that a file that comes
 * and goes does not open and close the cluster with it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node_int.h"

/* What a peer says holds so long: several measurements. */
#define DISK_TOLD_MS 5000
/* A median sync as long as this is slow, and well again below half of it ... */
#define DISK_SLOW_US 100000
/* ... in so many measurements in a row: seconds. */
#define DISK_SLOW_ROUNDS 3
/* A disk is worth handing over to when it is so many times as fast. */
#define DISK_FASTER 4
/* Something waits to be stored and nothing has been for so long: the disk hangs. */
#define DISK_STALLED_MS 1000

/* ---- the own disk */

static uint64_t mark_bytes(const struct pc_space_mark *mark, uint64_t total_bytes)
{
    uint64_t share = total_bytes / 100 * mark->percent + total_bytes % 100 * mark->percent / 100;
    return share < mark->bytes ? share : mark->bytes;
}

/* Is the free space below the mark; or, once it was, not well above it yet? */
static bool is_below(
    const struct pc_space_mark *mark, const struct pc_disk_report *report, bool was_below)
{
    uint64_t bytes = mark_bytes(mark, report->total_bytes);
    return report->free_bytes < bytes + (was_below ? bytes / 8 : 0);
}

static enum pc_space_level disk_level(const struct pc_node *n, const struct pc_disk_report *report)
{
    enum pc_space_level was = n->disk.level;
    if (report->total_bytes == 0) {
        return PC_SPACE_OK;
    }
    if (is_below(&n->opts.space_hard, report, was >= PC_SPACE_HARD)) {
        return PC_SPACE_HARD;
    }
    return is_below(&n->opts.space_soft, report, was >= PC_SPACE_SOFT) ? PC_SPACE_SOFT
                                                                       : PC_SPACE_OK;
}

bool node_disk_has_room(const struct pc_node *n, uint64_t bytes)
{
    const struct pc_disk_report *report = &n->disk.report;
    uint64_t kept = mark_bytes(&n->opts.space_hard, report->total_bytes);
    return report->total_bytes == 0 ||
           (report->free_bytes > kept && report->free_bytes - kept > bytes);
}

enum pc_space_level node_disk_space(const struct pc_node *n)
{
    return n->log_full ? PC_SPACE_FULL : n->disk.level;
}

pc_ms node_disk_waits_ms(const struct pc_node *n, struct pc_instant now)
{
    if (n->log_full || n->disk.written_seq == n->disk.stored_seq) {
        return 0;
    }
    pc_ms waits = pc_instant_ms_between(n->disk.stored_at, now);
    return waits >= DISK_STALLED_MS ? waits : 0;
}

bool node_disk_is_slow(const struct pc_node *n, struct pc_instant now)
{
    return n->disk.is_slow || node_disk_waits_ms(n, now) > 0;
}

void node_disk_written(struct pc_node *n, uint64_t seq)
{
    PC_ASSERT(seq > n->disk.written_seq);
    if (n->disk.written_seq == n->disk.stored_seq) {
        n->disk.stored_at = n->now; /* nothing has waited up to now */
    }
    n->disk.written_seq = seq;
    node_pace_written(n, seq);
}

void node_disk_stored(struct pc_node *n, uint64_t seq)
{
    PC_ASSERT(seq <= n->disk.written_seq);
    if (seq > n->disk.stored_seq) {
        n->disk.stored_seq = seq;
        n->disk.stored_at = n->now;
        node_pace_stored(n, seq);
    }
}

static void disk_judge_speed(struct pc_node *n, uint64_t sync_us)
{
    struct node_disk *disk = &n->disk;
    bool differs = disk->is_slow ? sync_us < DISK_SLOW_US / 2 : sync_us >= DISK_SLOW_US;
    disk->rounds = differs ? disk->rounds + 1 : 0;
    if (disk->rounds >= DISK_SLOW_ROUNDS) {
        disk->is_slow = !disk->is_slow;
        disk->rounds = 0;
    }
}

static void disk_tell(struct pc_node *n, const struct node_peer *peer)
{
    if (peer->up && pc_raft_is_voter(n->raft, peer->hello.id)) {
        node_msg_add(n, PC_MSG_DISK, peer->hello.id)->disk =
            (struct pc_disk_msg){.level = node_disk_space(n),
                .free_bytes = n->disk.report.free_bytes,
                .sync_us = n->disk.report.sync_us,
                .total_bytes = n->disk.report.total_bytes};
    }
}

void node_disk_tell_all(struct pc_node *n)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        disk_tell(n, &n->peers[i]);
    }
}

void node_disk_report(struct pc_node *n, const struct pc_disk_report *report)
{
    n->disk.level = disk_level(n, report);
    n->disk.report = *report;
    disk_judge_speed(n, report->sync_us);
    node_disk_tell_all(n);
    if (node_disk_space(n) >= PC_SPACE_SOFT) {
        node_snapshot_disk_is_low(n);
    }
}

/* ---- everybody's */

void node_disk_recv(struct pc_node *n, const struct pc_msg *msg)
{
    struct node_peer *peer = node_peer_find(n, msg->from);
    if (peer != NULL) {
        peer->disk = msg->disk;
        peer->disk_at = n->now;
        peer->disk_told = true;
    }
}

static bool peer_tells(const struct node_peer *peer, struct pc_instant now)
{
    return peer->up && peer->disk_told && pc_instant_ms_between(peer->disk_at, now) < DISK_TOLD_MS;
}

void node_disk_fill(const struct pc_node *n, struct pc_instant now, struct pc_node_member *member)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        const struct node_peer *peer = &n->peers[i];
        if (peer->hello.id == member->id && peer_tells(peer, now)) {
            member->disk_free_bytes = peer->disk.free_bytes;
            member->disk_total_bytes = peer->disk.total_bytes;
        }
    }
    if (member->id == n->opts.id) {
        member->disk_free_bytes = n->disk.report.free_bytes;
        member->disk_total_bytes = n->disk.report.total_bytes;
    }
}

static enum pc_space_level peer_space(const struct node_peer *peer, struct pc_instant now)
{
    return peer_tells(peer, now) ? peer->disk.level : PC_SPACE_OK;
}

bool node_disk_peer_has_room(const struct pc_node *n, pc_node_id id)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        if (n->peers[i].hello.id == id) {
            return peer_space(&n->peers[i], n->now) < PC_SPACE_HARD;
        }
    }
    return true;
}

/* Voters whose disks have less than `level`, and those that are worse. One that is away stores
 * nothing, but its disk is not to blame. */
struct disk_count {
    size_t good, bad;
};

static struct disk_count disk_count(const struct pc_node *n, enum pc_space_level level)
{
    struct disk_count count = {0};
    for (size_t i = 0; i < n->peers_n; i++) {
        const struct node_peer *peer = &n->peers[i];
        if (!peer->up || !pc_raft_is_voter(n->raft, peer->hello.id)) {
            continue;
        }
        bool is_good = peer_space(peer, n->now) < level;
        count.good += is_good ? 1 : 0;
        count.bad += is_good ? 0 : 1;
    }
    return count;
}

/* Are there too few voters whose disks have less than `level`, this one included? */
static bool disk_lacks_majority(const struct pc_node *n, enum pc_space_level level)
{
    struct disk_count count = disk_count(n, level);
    if (node_disk_space(n) >= level) {
        return true; /* the leader's own disk: it hands over where that helps */
    }
    size_t quorum = pc_raft_config_get(n->raft)->voters_n / 2 + 1;
    return count.bad > 0 && count.good + 1 < quorum;
}

static bool command_grows(struct pc_slice body)
{
    struct pc_command command;
    return pc_wire_decode_command(body, &command) == PC_OK && command.op != PC_OP_DELETE;
}

enum pc_space_level node_disk_verdict(const struct pc_node *n)
{
    if (disk_lacks_majority(n, PC_SPACE_FULL)) {
        return PC_SPACE_FULL;
    }
    return disk_lacks_majority(n, PC_SPACE_HARD) ? PC_SPACE_HARD : PC_SPACE_OK;
}

bool node_disk_refuses(enum pc_space_level verdict, const struct pc_blob *body)
{
    return verdict == PC_SPACE_FULL ||
           (verdict == PC_SPACE_HARD && command_grows(pc_blob_slice(body)));
}

/* ---- handing over */

static bool successor_is_better(
    const struct pc_node *n, const struct node_peer *peer, bool for_space)
{
    if (!peer_tells(peer, n->now) || peer->disk.level >= PC_SPACE_HARD) {
        return false;
    }
    uint64_t sync_us = peer->disk.sync_us;
    return for_space || (sync_us > 0 && sync_us <= n->disk.report.sync_us / DISK_FASTER);
}

pc_node_id node_disk_successor(const struct pc_node *n)
{
    size_t quorum = pc_raft_config_get(n->raft)->voters_n / 2 + 1;
    bool for_space =
        node_disk_space(n) >= PC_SPACE_HARD && disk_count(n, PC_SPACE_HARD).good >= quorum;
    if (!for_space && !n->disk.is_slow) {
        return 0;
    }
    pc_node_id best = 0;
    pc_index best_match = 0;
    for (size_t i = 0; i < n->peers_n; i++) {
        const struct node_peer *peer = &n->peers[i];
        struct pc_raft_peer_status status;
        if (!pc_raft_is_voter(n->raft, peer->hello.id) ||
            !successor_is_better(n, peer, for_space) ||
            !pc_raft_peer(n->raft, peer->hello.id, n->now, &status)) {
            continue;
        }
        if (best == 0 || status.match > best_match) {
            best = peer->hello.id;
            best_match = status.match;
        }
    }
    return best;
}

/* ---- words */

static void add_name(char *out, size_t max, const char *name)
{
    size_t used = strlen(out);
    (void)snprintf(out + used, max - used, "%s%s", used > 0 ? ", " : "", name);
}

void pc_node_full_disks(const struct pc_node *n, struct pc_instant now, char *out, size_t max)
{
    PC_ASSERT(max > 0);
    out[0] = '\0';
    if (node_disk_space(n) >= PC_SPACE_HARD) {
        add_name(out, max, n->opts.name);
    }
    for (size_t i = 0; i < n->peers_n; i++) {
        if (peer_space(&n->peers[i], now) >= PC_SPACE_HARD) {
            add_name(out, max, n->peers[i].hello.name);
        }
    }
}

static void disk_space_text(const struct pc_node *n, char *out, size_t max)
{
    unsigned long long free_mib = n->disk.report.free_bytes >> 20;
    unsigned long long total_mib = n->disk.report.total_bytes >> 20;
    switch (node_disk_space(n)) {
    case PC_SPACE_FULL:
        (void)snprintf(out, max, "disk full: nothing can be stored");
        break;
    case PC_SPACE_HARD:
        (void)snprintf(
            out, max, "disk full but for its reserve: %llu of %llu MiB free", free_mib, total_mib);
        break;
    case PC_SPACE_SOFT:
        (void)snprintf(out, max, "disk space is low: %llu of %llu MiB free", free_mib, total_mib);
        break;
    case PC_SPACE_OK:
        break;
    }
}

void node_disk_text(const struct pc_node *n, struct pc_instant now, char *out, size_t max)
{
    PC_ASSERT(max > 0);
    out[0] = '\0';
    disk_space_text(n, out, max);
    pc_ms waits = node_disk_waits_ms(n, now);
    char slow[96] = "";
    if (waits > 0) {
        (void)snprintf(slow, sizeof slow,
            "disk hangs: nothing was stored for %" PRIu64 ".%" PRIu64 " s", waits / 1000,
            waits % 1000 / 100);
    } else if (n->disk.is_slow) {
        (void)snprintf(slow, sizeof slow, "disk slow: a sync takes %" PRIu64 " ms",
            n->disk.report.sync_us / 1000);
    }
    if (slow[0] != '\0') {
        size_t used = strlen(out);
        (void)snprintf(out + used, max - used, "%s%s", used > 0 ? "; " : "", slow);
    }
}

/* Once per change: FULL is told by the driver, with the reason. */
void node_disk_turn(struct pc_node *n)
{
    bool is_slow = node_disk_is_slow(n, n->now);
    if (n->disk.level == n->disk.level_noted && is_slow == n->disk.slow_noted) {
        return;
    }
    bool is_worse = n->disk.level > n->disk.level_noted || (is_slow && !n->disk.slow_noted);
    n->disk.level_noted = n->disk.level;
    n->disk.slow_noted = is_slow;
    char text[192];
    node_disk_text(n, n->now, text, sizeof text);
    node_note_add(
        n, PC_NOTE_DISK, 0, is_worse ? 1 : 0, 0, text[0] != '\0' ? text : "disk well again");
}
