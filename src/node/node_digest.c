/* Do all nodes hold the same state? At one index they must have one digest, and every node tells
 * the others about once a second which digest it had where: at the last entry when nothing goes on,
 * else at the newest that all of them have noted: the first of each second of cluster time, and
 * every multiple of NODE_DIGEST_EVERY. Besides, each looks through its own memory all
 * the time (store_scrub.c): what a bit has flipped in is not in the digest before an entry touches
 * it, and is served to clients meanwhile.
 *
 * A digest is a sum over items. So what two nodes differ by stays the same number while entries go
 * on, and two peers that differ from this node by the same number agree with each other, even if
 * they spoke of different indexes.
 *
 *   comparing, looking through the memory  <------------------------------+
 *      |             |                                                    |
 *      |             | a majority of the voters agrees on another state,  | all of it is
 *      |             | or the memory is not sound                         | applied again
 *      |             v                                                    |
 *      |          coming back: from the disk, snapshot and log; ----------+
 *      |                       from a snapshot of a peer, where a
 *      |                       majority says so a second time
 *      |
 *      +--> somebody else holds another state: alarm, until all hold one
 *
 * What is on the disk is right when the memory is not: entries are chained, and a snapshot that was
 * made of damaged items does not come to its digest. It takes a mistake in applying to have written
 * another state; then only a peer helps. While a node comes back it answers no reads, does not
 * lead, and takes part in everything else. Without a majority for any state (two nodes that differ,
 * or three different ones) nobody can tell who is right: alarm, and nothing else. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node_int.h"

#define SCRUB_PASS_S 600 /* one pass takes as many reports, and one report comes a second */
#define SCRUB_ITEMS_MIN 64
#define SCRUB_ITEMS_MAX 4096

/* ---- what was where */

void node_digest_applied(struct pc_node *n)
{
    struct node_digest *d = &n->digest;
    uint64_t second = n->snapshot.applied.stamp_ms / 1000;
    bool is_first = second != d->second;
    d->second = second;
    if (is_first || n->applied % NODE_DIGEST_EVERY == 0) {
        d->marks[d->marks_n++ % NODE_DIGEST_MARKS] =
            (struct node_digest_mark){.index = n->applied, .hash = pc_store_digest(n->store)};
    }
}

static const struct node_digest_mark *newest_mark(const struct node_digest *d)
{
    return d->marks_n > 0 ? &d->marks[(d->marks_n - 1) % NODE_DIGEST_MARKS] : NULL;
}

static bool digest_at(const struct pc_node *n, pc_index index, struct pc_hash *out)
{
    const struct node_digest *d = &n->digest;
    size_t kept = d->marks_n < NODE_DIGEST_MARKS ? d->marks_n : NODE_DIGEST_MARKS;
    if (index == n->applied && index != 0) {
        *out = pc_store_digest(n->store);
        return true;
    }
    for (size_t i = 0; i < kept; i++) {
        if (d->marks[i].index == index) {
            *out = d->marks[i].hash;
            return true;
        }
    }
    return false;
}

/* a - b, modulo 2^128. */
static struct pc_hash hash_minus(const struct pc_hash *a, const struct pc_hash *b)
{
    struct pc_hash out;
    uint64_t low = pc_get_u64(a->b), minus = pc_get_u64(b->b);
    pc_put_u64(out.b, low - minus);
    pc_put_u64(out.b + 8, pc_get_u64(a->b + 8) - pc_get_u64(b->b + 8) - (low < minus ? 1 : 0));
    return out;
}

static bool hash_is_equal(const struct pc_hash *a, const struct pc_hash *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

/* ---- coming back */

bool node_digest_is_coming_back(const struct pc_node *n)
{
    return n->digest.back_at != 0;
}

bool node_digest_waits_for_peer(const struct pc_node *n)
{
    return n->digest.wants_peer && n->applied == 0;
}

static void forget_comparisons(struct pc_node *n)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        n->peers[i].digest = (struct node_peer_digest){0};
    }
    n->digest.marks_n = 0;
    n->digest.text[0] = '\0';
}

static void come_back(struct pc_node *n, const char *why)
{
    struct node_digest *d = &n->digest;
    d->resyncs++;
    d->back_at = n->applied;
    d->wants_peer = d->tries > 1 && node_config_voters(&n->config) > 1;
    node_note_add(n, PC_NOTE_DIGEST, 0, n->applied, 1, why);
    node_snapshot_give_up(n, "given up: the state it is made of is not right");
    n->snapshot.retry_at = n->now; /* that of the new state has nothing to wait for */
    forget_comparisons(n);
    struct pc_store_opts opts = {{0}};
    memcpy(opts.hash_seed, n->opts.store_seed, sizeof opts.hash_seed);
    pc_store_delete(n->store);
    n->store = pc_store_new(&opts);
    n->applied = 0;
    n->was_fresh = n->caught_up = false;
    node_snapshot_forget(n);
    if (d->wants_peer || n->snapshot.newest.is_damaged) {
        node_fetch_want(n, d->back_at);
    } else if (n->snapshot.newest.base.index > 0) {
        node_load_begin(n);
    }
    node_hand_over_maybe(n);
}

void node_digest_turn(struct pc_node *n)
{
    struct node_digest *d = &n->digest;
    if (d->back_at != 0 && n->applied >= d->back_at) {
        d->back_at = 0;
        d->wants_peer = false;
        node_note_add(n, PC_NOTE_DIGEST, 0, n->applied, 0, "the state was made anew");
    }
}

/* ---- judging */

static bool may_judge(const struct pc_node *n)
{
    return n->digest.back_at == 0 && n->applied > 0 && !node_load_is_on(n) &&
           !node_fetch_is_on(n) && !node_solo_holds(n);
}

static bool peer_votes(const struct pc_node *n, const struct node_peer *peer)
{
    const struct pc_cluster_member *member = node_config_get(&n->config, peer->hello.id);
    return member != NULL && member->votes;
}

/* How many voters are known to hold the state that is `diff` from this node's. */
static size_t count_holders(const struct pc_node *n, const struct pc_hash *diff)
{
    static const struct pc_hash none;
    const struct pc_cluster_member *self = node_config_get(&n->config, n->opts.id);
    size_t count = self != NULL && self->votes && hash_is_equal(diff, &none) ? 1 : 0;
    for (size_t i = 0; i < n->peers_n; i++) {
        const struct node_peer *peer = &n->peers[i];
        bool counts = peer->up && peer->digest.is_known && peer_votes(n, peer);
        count += counts && hash_is_equal(&peer->digest.diff, diff) ? 1 : 0;
    }
    return count;
}

static void alarm_say(struct pc_node *n, const struct node_peer *peer, bool is_in_majority)
{
    struct node_digest *d = &n->digest;
    char text[sizeof d->text];
    (void)snprintf(text, sizeof text, "%s holds another state at entry %" PRIu64 "%s",
        peer->hello.name, peer->digest.index,
        is_in_majority ? "" : ", and no majority says which one is right");
    if (d->text[0] == '\0') {
        d->alarms++;
        node_note_add(n, PC_NOTE_DIGEST, peer->hello.id, peer->digest.index, 1, text);
    }
    memcpy(d->text, text, sizeof d->text);
}

static void alarm_end(struct pc_node *n)
{
    if (n->digest.text[0] != '\0') {
        n->digest.text[0] = '\0';
        node_note_add(n, PC_NOTE_DIGEST, 0, n->applied, 0, "all hold the same state again");
    }
}

static void judge(struct pc_node *n)
{
    static const struct pc_hash none;
    size_t quorum = node_config_voters(&n->config) / 2 + 1;
    bool is_in_majority = count_holders(n, &none) >= quorum;
    bool any = false;
    for (size_t i = 0; i < n->peers_n; i++) {
        const struct node_peer *peer = &n->peers[i];
        if (!peer->up || !peer->digest.is_known || hash_is_equal(&peer->digest.diff, &none)) {
            continue;
        }
        any = true;
        alarm_say(n, peer, is_in_majority);
        if (count_holders(n, &peer->digest.diff) >= quorum) {
            n->digest.tries++;
            come_back(n, "a majority holds another state: this node makes its own anew");
            return;
        }
    }
    if (!any) {
        alarm_end(n);
        n->digest.tries = is_in_majority ? 0 : n->digest.tries;
    }
}

static void peer_compare(struct pc_node *n, struct node_peer *peer)
{
    struct node_peer_digest *p = &peer->digest;
    struct pc_hash mine;
    if (p->told_index != 0 && digest_at(n, p->told_index, &mine)) {
        p->is_known = true;
        p->index = p->told_index;
        p->diff = hash_minus(&p->told, &mine);
        p->told_index = 0;
    }
}

void node_digest_recv(struct pc_node *n, const struct pc_msg *msg)
{
    struct node_peer *peer = node_peer_find(n, msg->from);
    if (peer == NULL || node_config_get(&n->config, msg->from) == NULL) {
        return;
    }
    peer->digest.told_index = msg->digest.index;
    peer->digest.told = msg->digest.hash;
    if (may_judge(n)) {
        peer_compare(n, peer);
        judge(n);
    }
}

/* Says nothing about the disk, however often it happens. */
void node_digest_unsound(struct pc_node *n)
{
    if (may_judge(n)) {
        n->digest.alarms++;
        come_back(n, "the memory does not hold what was put into it: the state is made anew");
    }
}

/* ---- about once a second */

static void scrub(struct pc_node *n)
{
    struct pc_store_stats stats;
    pc_store_stats(n->store, &stats);
    uint64_t items = stats.items / SCRUB_PASS_S + SCRUB_ITEMS_MIN;
    bool is_sound = true;
    if (!pc_store_scrub(
            n->store, items < SCRUB_ITEMS_MAX ? (size_t)items : SCRUB_ITEMS_MAX, &is_sound)) {
        return;
    }
    n->digest.passes++;
    if (!is_sound) {
        node_digest_unsound(n);
    }
}

static void tell(struct pc_node *n)
{
    struct node_digest *d = &n->digest;
    bool is_idle = d->told_applied == n->applied;
    const struct node_digest_mark *mark = newest_mark(d);
    d->told_applied = n->applied;
    if (!is_idle && mark == NULL) {
        return;
    }
    for (size_t i = 0; i < n->peers_n; i++) {
        const struct node_peer *peer = &n->peers[i];
        if (!peer->up || node_config_get(&n->config, peer->hello.id) == NULL) {
            continue;
        }
        struct pc_digest_msg *msg = &node_msg_add(n, PC_MSG_DIGEST, peer->hello.id)->digest;
        msg->index = is_idle ? n->applied : mark->index;
        msg->hash = is_idle ? pc_store_digest(n->store) : mark->hash;
    }
}

void node_digest_report(struct pc_node *n)
{
    if (may_judge(n)) {
        scrub(n);
    }
    if (!may_judge(n)) {
        return;
    }
    for (size_t i = 0; i < n->peers_n; i++) {
        peer_compare(n, &n->peers[i]);
    }
    judge(n);
    if (may_judge(n)) {
        tell(n);
    }
}

/* ---- words */

void node_digest_text(const struct pc_node *n, char *out, size_t max)
{
    const struct node_digest *d = &n->digest;
    if (d->back_at != 0) {
        (void)snprintf(out, max, "the state was not right and is made anew%s: %" PRIu64 "%%",
            d->wants_peer ? " from a peer's" : "", n->applied * 100 / d->back_at);
    } else {
        (void)snprintf(out, max, "%s", d->text);
    }
}
