/* A node that is far behind gets what it lacks from whoever has it: the leader has new writes to
 * see to, and is left alone.
 *
 *              the leader's commit is `catchup_entries` ahead
 *     OFF ----------------------------------------------------> ON --- FETCHING{until} ---> Raft
 *      ^                                                        |  |
 *      |    committed; or nothing grew for 500 ms; or nobody    |  +-- OFFER, in order ---> Raft
 *      +---- is left to ask; or it leads, or knows no leader ---+
 *                           FETCHING{0}: the leader sends
 *
 *     log | range | range | range | ...        taken in order; asked for, and answered, in any
 *         ^ end     peer 2  peer 3  peer 2     order, a few at a time from each peer
 *
 * Nothing here is believed. Raft takes what links by its chain to the last entry, and neither
 * acknowledges it nor counts it committed before the leader has vouched for it
 * (core/raft/raft_fetch.c has the argument). Entries above what the giver knows committed are
 * ignored nevertheless: they might have to be truncated again, and that is work for nothing. So a
 * peer that is slow, goes away or gives what does not link costs time, at most half a second of
 * it, and then the leader does what it would have done.
 *
 * What is there stays wanted until the leader has asked about it: told that this node fetches no
 * more, it would send everything behind the last answer that it got.
 *
 * The last few entries are the leader's in any case, for peers learn late what is committed, and
 * the end moves while clients write: an attempt is prolonged only if it has come half the way
 * nearer, or the leader would be held off for ever. */
#include <string.h>

#include "node_int.h"

static void raft_tell(struct pc_node *n, pc_index until)
{
    struct pc_raft_event event = {.type = PC_RAFT_FETCHING};
    event.u.fetching_until = until;
    n->catchup.until = until;
    node_raft_step(n, &event);
}

/* ---- ranges */

static void range_forget(struct pc_node *n, struct node_range *range)
{
    PC_ASSERT(n->catchup.held_bytes >= range->got_bytes);
    n->catchup.held_bytes -= range->got_bytes;
    pc_entries_clear(&range->got);
    range->got_bytes = 0;
    range->giver = 0;
}

static void ranges_drop(struct pc_node *n, size_t count)
{
    struct node_catchup *c = &n->catchup;
    PC_ASSERT(count <= c->ranges_n);
    for (size_t i = 0; i < count; i++) {
        range_forget(n, &c->ranges[i]);
    }
    c->ranges_n -= count;
    memmove(c->ranges, c->ranges + count, c->ranges_n * sizeof c->ranges[0]);
}

static pc_index range_next(const struct node_range *range)
{
    return range->first + range->got.n;
}

static bool range_is_complete(const struct node_range *range)
{
    return range_next(range) > range->last;
}

/* ---- peers */

static bool is_source(const struct pc_node *n, const struct node_peer *peer, pc_node_id leader)
{
    return peer->up && !peer->catchup_in_vain && peer->hello.id != leader &&
           node_config_get(&n->config, peer->hello.id) != NULL;
}

static size_t asked_of(const struct pc_node *n, pc_node_id peer)
{
    size_t count = 0;
    for (size_t i = 0; i < n->catchup.ranges_n; i++) {
        count += n->catchup.ranges[i].peer == peer ? 1 : 0;
    }
    return count;
}

/* Who has the fewest ranges to give, and room for another one. */
static struct node_peer *source_pick(struct pc_node *n, pc_node_id leader)
{
    size_t least = n->catchup.entry_bytes == 0 ? 1 : NODE_CATCHUP_WINDOW;
    struct node_peer *found = NULL;
    for (size_t i = 0; i < n->peers_n; i++) {
        struct node_peer *peer = &n->peers[i];
        size_t asked = is_source(n, peer, leader) ? asked_of(n, peer->hello.id) : SIZE_MAX;
        if (asked < least) {
            least = asked;
            found = peer;
        }
    }
    return found;
}

static bool has_source(const struct pc_node *n, pc_node_id leader)
{
    bool found = false;
    for (size_t i = 0; i < n->peers_n; i++) {
        found = found || is_source(n, &n->peers[i], leader);
    }
    return found;
}

static void give_up_on(struct pc_node *n, pc_node_id id)
{
    struct node_peer *peer = node_peer_find(n, id);
    if (peer != NULL) {
        peer->catchup_in_vain = true;
    }
    for (size_t i = 0; i < n->catchup.ranges_n; i++) {
        struct node_range *range = &n->catchup.ranges[i];
        range->peer = range->peer == id ? 0 : range->peer;
    }
}

void node_catchup_peer_changed(struct pc_node *n, pc_node_id id)
{
    for (size_t i = 0; i < n->catchup.ranges_n; i++) {
        struct node_range *range = &n->catchup.ranges[i];
        range->peer = range->peer == id ? 0 : range->peer; /* what was asked is lost */
    }
}

/* ---- begin and end */

static pc_index lack_of(const struct pc_node *n, const struct pc_raft_status *status)
{
    return n->leader_commit > status->last ? n->leader_commit - status->last : 0;
}

static bool may_run(const struct pc_node *n, const struct pc_raft_status *status)
{
    return status->role == PC_RAFT_FOLLOWER && status->leader != 0 && node_is_formed(n) &&
           !n->log_full && !node_fetch_is_on(n) && !node_load_is_on(n) &&
           has_source(n, status->leader);
}

static void choose_end(struct pc_node *n, const struct pc_raft_status *status)
{
    n->catchup.lack = lack_of(n, status);
    raft_tell(n, n->leader_commit - n->opts.catchup_entries / 2);
}

static bool is_far_behind(const struct pc_node *n, const struct pc_raft_status *status)
{
    return lack_of(n, status) > n->opts.catchup_entries;
}

static void begin_maybe(struct pc_node *n, const struct pc_raft_status *status)
{
    struct node_catchup *c = &n->catchup;
    if (!pc_instant_is_due(c->begin_at, n->now) || !is_far_behind(n, status)) {
        return;
    }
    for (size_t i = 0; i < n->peers_n; i++) {
        n->peers[i].catchup_in_vain = false;
    }
    if (!may_run(n, status)) {
        return;
    }
    c->entry_bytes = 0;
    c->end = status->last;
    c->vouched = status->commit;
    c->grew_at = n->now;
    choose_end(n, status);
    node_note_add(
        n, PC_NOTE_CATCHUP, 0, status->last + 1, c->until, "entries asked for from peers");
}

static void finish(struct pc_node *n, const char *why)
{
    struct node_catchup *c = &n->catchup;
    node_note_add(n, PC_NOTE_CATCHUP, 0, c->end + 1, n->leader_commit, why);
    ranges_drop(n, c->ranges_n);
    PC_ASSERT(c->held_bytes == 0);
    c->has_more = false;
    c->begin_at = pc_instant_add_ms(n->now, NODE_CATCHUP_PAUSE_MS);
    raft_tell(n, 0);
}

void node_catchup_destroy(struct pc_node *n)
{
    ranges_drop(n, n->catchup.ranges_n);
}

/* ---- taking */

/* The log may have grown by what the leader sent, or have lost what a new leader does not have. */
static void ranges_follow(struct pc_node *n, pc_index last)
{
    struct node_catchup *c = &n->catchup;
    size_t done = 0;
    while (done < c->ranges_n && c->ranges[done].last <= last) {
        done++;
    }
    ranges_drop(n, done);
    if (c->ranges_n > 0 && c->ranges[0].first > last + 1) {
        ranges_drop(n, c->ranges_n);
    }
}

/* Raft takes what it has of the first range. False when that leads nowhere now. */
static bool offer_first(struct pc_node *n)
{
    struct node_range *range = &n->catchup.ranges[0];
    struct pc_raft_event event = {.type = PC_RAFT_OFFER};
    struct pc_raft_status status;
    pc_index offered = range_next(range) - 1;
    event.u.offer = &range->got;
    node_raft_step(n, &event);
    pc_raft_status(n->raft, &status);
    if (status.last < offered) {
        give_up_on(n, range->giver); /* it does not link, or is of a term that is not known here */
        range_forget(n, range);
        return false;
    }
    range_forget(n, range);
    range->first = offered + 1;
    ranges_follow(n, status.last);
    return true;
}

static bool has_room(const struct pc_node *n, const struct pc_raft_status *status)
{
    PC_ASSERT(status->last >= status->commit);
    pc_index unvouched = status->last - status->commit;
    return n->catchup.entry_bytes == 0 ||
           unvouched <= NODE_CATCHUP_UNVOUCHED_BYTES_MAX / n->catchup.entry_bytes;
}

/* The own disk has enough to do. */
static bool waits_for_disk(const struct pc_node *n, const struct pc_raft_status *status)
{
    PC_ASSERT(status->last >= status->durable);
    pc_index unsynced = status->last - status->durable;
    return n->catchup.entry_bytes > 0 &&
           unsynced > n->opts.catchup_unsynced_bytes / n->catchup.entry_bytes;
}

static void offer_all(struct pc_node *n)
{
    struct node_catchup *c = &n->catchup;
    struct pc_raft_status status;
    c->has_more = false;
    for (size_t done = 0; c->ranges_n > 0 && c->ranges[0].got.n > 0; done++) {
        pc_raft_status(n->raft, &status);
        if (!has_room(n, &status) || waits_for_disk(n, &status) || !pc_raft_takes_offers(n->raft)) {
            return;
        }
        c->has_more = done == NODE_CATCHUP_OFFERS_MAX;
        if (c->has_more || !offer_first(n)) {
            return;
        }
    }
}

/* ---- asking */

static void ask(struct pc_node *n, struct node_range *range, const struct node_peer *peer)
{
    PC_ASSERT(range->peer == 0 && !range_is_complete(range));
    struct pc_msg *msg = node_msg_add(n, PC_MSG_FETCH, peer->hello.id);
    range->peer = peer->hello.id;
    range->nonce = ++n->catchup.nonce;
    range->until = pc_instant_add_ms(n->now, NODE_CATCHUP_ANSWER_MS);
    msg->fetch.nonce = range->nonce;
    msg->fetch.first = range_next(range);
    msg->fetch.last = range->last;
}

/* The part of an answer that the next range is likely to fill. */
static pc_index range_entries(const struct node_catchup *c)
{
    if (c->entry_bytes == 0) {
        return NODE_CATCHUP_FIRST_ENTRIES;
    }
    pc_index fit = PC_APPEND_BYTES_MAX / c->entry_bytes;
    return fit > PC_APPEND_ENTRIES_MAX ? PC_APPEND_ENTRIES_MAX : fit > 0 ? fit : 1;
}

static bool has_room_for_range(const struct node_catchup *c)
{
    size_t each = c->entry_bytes > PC_APPEND_BYTES_MAX ? c->entry_bytes : PC_APPEND_BYTES_MAX;
    size_t asked = 0;
    for (size_t i = 0; i < c->ranges_n; i++) {
        asked += c->ranges[i].peer != 0 ? 1 : 0;
    }
    return c->ranges_n == 0 || (c->ranges_n < NODE_CATCHUP_RANGES &&
                                   c->held_bytes + (asked + 1) * each <= NODE_CATCHUP_BYTES_MAX);
}

static struct node_range *range_add(struct pc_node *n, pc_index last_here)
{
    struct node_catchup *c = &n->catchup;
    pc_index first = c->ranges_n > 0 ? c->ranges[c->ranges_n - 1].last + 1 : last_here + 1;
    if (first > c->until || !has_room_for_range(c)) {
        return NULL;
    }
    pc_index left = c->until - first;
    pc_index count = range_entries(c);
    struct node_range *range = &c->ranges[c->ranges_n++];
    *range =
        (struct node_range){.first = first, .last = first + (left < count - 1 ? left : count - 1)};
    return range;
}

static void ask_all(struct pc_node *n)
{
    struct node_catchup *c = &n->catchup;
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    struct node_peer *peer = source_pick(n, status.leader);
    for (size_t i = 0; i < c->ranges_n && peer != NULL; i++) {
        if (c->ranges[i].peer == 0 && !range_is_complete(&c->ranges[i])) {
            ask(n, &c->ranges[i], peer);
            peer = source_pick(n, status.leader);
        }
    }
    while (peer != NULL) {
        struct node_range *range = range_add(n, status.last);
        if (range == NULL) {
            break;
        }
        ask(n, range, peer);
        peer = source_pick(n, status.leader);
    }
}

static void forget_late(struct pc_node *n)
{
    for (size_t i = 0; i < n->catchup.ranges_n; i++) {
        struct node_range *range = &n->catchup.ranges[i];
        if (range->peer != 0 && pc_instant_is_due(range->until, n->now)) {
            give_up_on(n, range->peer);
        }
    }
}

/* ---- answers */

static void range_take(struct pc_node *n, struct node_range *range, const struct pc_fetch *fetch)
{
    struct node_catchup *c = &n->catchup;
    size_t before = range->got.n, bytes = 0;
    for (size_t i = 0; i < fetch->v.n && !range_is_complete(range); i++) {
        const struct pc_entry *entry = &fetch->v.v[i];
        if (entry->index != range_next(range) || entry->index > fetch->commit) {
            break;
        }
        pc_entries_push(&range->got, entry);
        bytes += pc_entry_bytes(entry);
    }
    size_t taken = range->got.n - before;
    if (taken == 0) {
        give_up_on(n, range->peer);
        return;
    }
    c->entry_bytes = bytes / taken;
    c->held_bytes += bytes;
    range->got_bytes += bytes;
    range->giver = range->peer;
    range->peer = 0;
}

void node_catchup_entries(struct pc_node *n, const struct pc_msg *msg)
{
    for (size_t i = 0; i < n->catchup.ranges_n; i++) {
        struct node_range *range = &n->catchup.ranges[i];
        if (range->peer == msg->from && range->nonce == msg->fetch.nonce) {
            range_take(n, range, &msg->fetch);
            return;
        }
    }
    node_repair_entries(n, msg);
}

/* ---- in time */

static void run(struct pc_node *n)
{
    struct node_catchup *c = &n->catchup;
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (status.last > c->end || status.commit > c->vouched) {
        c->grew_at = n->now;
    }
    c->end = status.last;
    c->vouched = status.commit;
    bool is_there = status.last >= c->until;
    if (is_there && is_far_behind(n, &status) && lack_of(n, &status) <= c->lack / 2) {
        choose_end(n, &status);
    } else if (status.commit >= c->until) {
        finish(n, "peers gave what was asked for");
        return;
    } else if (pc_instant_ms_between(c->grew_at, n->now) >= NODE_CATCHUP_STALL_MS) {
        finish(n, "peers are too slow: the leader is to send");
        return;
    }
    ask_all(n);
}

void node_catchup_turn(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (n->catchup.until == 0) {
        begin_maybe(n, &status);
    } else {
        ranges_follow(n, status.last);
        forget_late(n);
        offer_all(n);
        pc_raft_status(n->raft, &status);
        if (!may_run(n, &status)) {
            finish(n, "peers are not asked any more");
        }
    }
    if (n->catchup.until > 0) {
        run(n);
    }
}

struct pc_instant node_catchup_wake_at(const struct pc_node *n)
{
    const struct node_catchup *c = &n->catchup;
    if (c->until == 0) {
        return PC_INSTANT_NEVER; /* whatever makes it begin is heard from the leader */
    }
    if (c->has_more) {
        return n->now;
    }
    struct pc_instant wake = pc_instant_add_ms(c->grew_at, NODE_CATCHUP_STALL_MS);
    for (size_t i = 0; i < c->ranges_n; i++) {
        wake = c->ranges[i].peer != 0 ? pc_instant_min(wake, c->ranges[i].until) : wake;
    }
    return wake;
}

void node_catchup_check(const struct pc_node *n)
{
    const struct node_catchup *c = &n->catchup;
    size_t held = 0;
    PC_ASSERT(c->ranges_n <= NODE_CATCHUP_RANGES);
    PC_ASSERT_IMPLIES(c->until == 0, c->ranges_n == 0);
    for (size_t i = 0; i < c->ranges_n; i++) {
        const struct node_range *range = &c->ranges[i];
        held += range->got_bytes;
        PC_ASSERT(range->first <= range->last && range_next(range) <= range->last + 1);
        PC_ASSERT_IMPLIES(range_is_complete(range), range->peer == 0);
        PC_ASSERT_IMPLIES(i > 0, range->first == c->ranges[i - 1].last + 1);
        PC_ASSERT_IMPLIES(range->peer != 0, asked_of(n, range->peer) <= NODE_CATCHUP_WINDOW);
    }
    PC_ASSERT(held == c->held_bytes);
    node_pace_check(n);
}
