/* A node that is alone (node_solo_alone.c) goes on in a branch (node_branch.h), when it is told to
 * (opts.solo).
 *
 *          alone for solo_after_ms        BEGUN           a voter is heard
 *     NONE -----------------------> OPENING ----> OPEN -----------------------> CLOSING
 *      ^  ^                           |            |                               |
 *      |  +---- FAILED (or END) ------+            +-- FAILED ------------> all WRITTEN, answered
 *      |                                                                           v
 *      +------------------------------ ENDED, FAILED -------------------------- ENDING
 *                                                                                  ^
 *     start: FOUND --log applied, same base--> RESUMABLE --alone--> OPENING        |
 *              +---- other base, or a voter is heard first ----+-------------------+
 *
 * Raft, the log and the store of the log know nothing of it, and no promise rests on it. What is
 * surprising:
 *
 * - A record counts when its file has it: then it is applied, seen, answered, in this order. What a
 *   condition is judged by must have been applied before: a command with one waits until nothing is
 *   out.
 * - From OPEN to the end the store of the log must not move, for the branch lies on it. Entries
 *   that come meanwhile are appended, acknowledged and committed as ever, and applied when the
 *   branch is gone. The same holds for a snapshot, and for making the state anew (node_digest.c).
 * - A leader without its quorum is not alone: it steps down first, or goes on by itself with
 *   auto_shrink (raft.h, suspend_alone). Nor is a node in doubt about its own log.
 *
 * An interleaving to keep in mind: (1) BEGIN is out, (2) a voter is heard, the leader's entries
 * come and are applied, (3) BEGUN. The base is of no use any more, but was never lain upon: END
 * follows without a record. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node_int.h"
#include "pcache/prng.h"

/* ---- opening */

static void solo_draw_id(struct pc_node *n)
{
    struct node_solo *s = &n->solo;
    for (size_t half = 0; half < sizeof s->id; half += 8) {
        struct pc_prng prng;
        uint64_t seed = pc_get_u64(n->opts.branch_seed + half);
        pc_prng_seed(&prng, seed + (n->opts.generation << 32) + s->drawn);
        pc_put_u64(s->id + half, pc_prng_next(&prng));
    }
    s->drawn++;
}

static void solo_begin(struct pc_node *n)
{
    struct node_solo *s = &n->solo;
    if (s->state == NODE_SOLO_NONE) {
        struct pc_store_stats stats;
        pc_store_stats(n->store, &stats);
        solo_draw_id(n);
        s->base = (struct pc_branch_base){
            .index = n->applied, .term = n->applied_term, .chain = n->applied_chain};
        s->stamp_ms = stats.stamp_ms;
        s->last_number = 0;
    }
    PC_ASSERT(s->records_n == 0 && s->base.index == n->applied && !s->serves);
    s->state = NODE_SOLO_OPENING;
    s->heard = false;
    struct pc_node_branch *begin = node_solo_effect(n, PC_NODE_BRANCH_BEGIN);
    memcpy(begin->history, n->config.history, sizeof begin->history);
    begin->base = s->base;
}

static void solo_begun(struct pc_node *n)
{
    struct node_solo *s = &n->solo;
    if (node_solo_why_not_open(n) != NULL) {
        node_solo_end(n);
        return;
    }
    bool goes_on = s->overlay != NULL;
    if (!goes_on) {
        s->overlay = node_overlay_new(n->opts.store_seed, s->id);
    }
    s->state = NODE_SOLO_OPEN;
    s->serves = true;
    s->opened_at = n->now;
    node_solo_note(n, 1,
        goes_on ? "no other voter is heard: this node goes on with the branch that it had"
                : "no other voter is heard: this node goes on alone, in a branch");
}

/* Waits from now on, if it is alone. */
static void solo_watch(struct pc_node *n)
{
    struct node_solo *s = &n->solo;
    if (!node_solo_is_alone(n)) {
        s->is_alone = false;
        return;
    }
    if (!s->is_alone) {
        s->is_alone = true;
        s->alone_since = n->now;
    }
    if (pc_instant_ms_between(s->alone_since, n->now) >= n->opts.solo_after_ms) {
        s->is_alone = false;
        solo_begin(n);
    }
}

void node_solo_turn(struct pc_node *n)
{
    struct node_solo *s = &n->solo;
    const char *why;
    switch (s->state) {
    case NODE_SOLO_NONE:
        if (n->opts.solo) {
            solo_watch(n);
        }
        break;
    case NODE_SOLO_FOUND:
        node_solo_judge_found(n);
        break;
    case NODE_SOLO_RESUMABLE:
        if (node_solo_why_close(n) != NULL) {
            node_solo_end(n);
        } else {
            solo_watch(n);
        }
        break;
    case NODE_SOLO_OPEN:
        why = node_solo_why_not_open(n);
        if (why != NULL) {
            node_solo_close(n, why);
        }
        break;
    case NODE_SOLO_OPENING:
    case NODE_SOLO_CLOSING:
    case NODE_SOLO_ENDING:
        break;
    }
}

/* Gone, and what the log says is what counts. */
static void solo_drop(struct pc_node *n)
{
    struct node_solo *s = &n->solo;
    PC_ASSERT(s->records_n == 0);
    node_overlay_delete(s->overlay);
    s->overlay = NULL;
    s->serves = false;
    s->is_alone = false;
    s->state = NODE_SOLO_NONE;
}

static void solo_not_begun(struct pc_node *n, pc_err err, const char *text)
{
    struct node_solo *s = &n->solo;
    node_solo_note(n, 4, text);
    if (s->overlay != NULL && err != PC_E_NO_SPACE) { /* who knows what is in the file now? */
        node_solo_end(n);
        return;
    }
    s->is_alone = false; /* the next try comes after another wait */
    s->state = s->overlay != NULL ? NODE_SOLO_RESUMABLE : NODE_SOLO_NONE;
}

void node_solo_event(struct pc_node *n, const struct pc_node_branch_event *event)
{
    enum node_solo_state state = n->solo.state;
    bool has_failed = event->type == PC_NODE_BRANCH_FAILED;
    const char *text = event->text != NULL ? event->text : pc_err_text(event->err);
    if (state == NODE_SOLO_OPENING && event->type == PC_NODE_BRANCH_BEGUN) {
        solo_begun(n);
    } else if (state == NODE_SOLO_OPENING && has_failed) {
        solo_not_begun(n, event->err, text);
    } else if (state == NODE_SOLO_ENDING && (has_failed || event->type == PC_NODE_BRANCH_ENDED)) {
        node_solo_note(n, has_failed ? 4 : 3,
            has_failed ? text : "closed: what is read is what the cluster has");
        solo_drop(n);
    } else if (state == NODE_SOLO_OPEN || state == NODE_SOLO_CLOSING) {
        if (has_failed) {
            node_solo_failed(n, event->err, text);
        } else if (event->type == PC_NODE_BRANCH_WRITTEN) {
            node_solo_written(n, event->number);
        }
    }
}

/* ---- clients */

/* Cluster time, as far as this node knows it; never back behind what is in the branch. */
static pc_ms solo_clock_ms(const struct pc_node *n)
{
    pc_ms clock_ms = pc_raft_clock_ms(n->raft, n->now);
    return clock_ms > n->solo.stamp_ms ? clock_ms : n->solo.stamp_ms;
}

/* What the base had, so that people can see whether the cluster has changed it since. */
static void record_before(
    struct pc_node *n, const struct pc_command *command, struct pc_branch_record *record)
{
    struct pc_item item;
    if (!node_overlay_base_get(n->store, command->key, record->stamp_ms, &item)) {
        return;
    }
    record->has_before = true;
    record->before_version = item.version;
    record->before_deadline_ms = item.deadline_ms;
    if (!node_overlay_has(n->solo.overlay, command->key)) {
        record->before = pc_blob_ref(item.value);
    }
    PC_ASSERT(item.content_type.len <= PC_CONTENT_TYPE_BYTES_MAX);
    if (item.content_type.len > 0) {
        memcpy(record->before_type, item.content_type.data, item.content_type.len);
    }
}

static void solo_record(struct pc_node *n, struct node_write *w, const struct pc_command *command)
{
    struct node_solo *s = &n->solo;
    struct pc_node_branch *put = node_solo_effect(n, PC_NODE_BRANCH_PUT);
    s->stamp_ms = solo_clock_ms(n);
    put->record = (struct pc_branch_record){
        .number = ++s->last_number,
        .stamp_ms = s->stamp_ms,
        .command = pc_blob_ref(w->body),
        .boot = n->opts.generation,
    };
    record_before(n, command, &put->record);
    *node_solo_record_add(n) = (struct node_solo_record){
        .number = s->last_number,
        .stamp_ms = s->stamp_ms,
        .command = pc_blob_ref(w->body),
        .seq = w->seq,
    };
    s->records_bytes += w->body->len;
    node_write_move(n, w, NODE_WRITE_BRANCH);
}

/* Answers a write whose condition does not hold. False: it does. */
static bool solo_is_unmet(struct pc_node *n, struct node_write *w, const struct pc_command *command)
{
    struct pc_item item;
    pc_ms clock_ms = solo_clock_ms(n);
    bool found = node_overlay_get(n->solo.overlay, n->store, command->key, clock_ms, &item);
    if (pc_condition_holds(command, found ? item.version : 0)) {
        return false;
    }
    struct pc_reply *reply = node_reply_add(n, w->tag, PC_REPLY_OK);
    reply->outcome = (struct pc_outcome){.existed = found, .unmet = true};
    if (found) {
        reply->outcome.version = item.version;
        reply->outcome.deadline_ms = item.deadline_ms;
    }
    reply->index = node_overlay_number(n->solo.overlay);
    reply->stamp_ms = clock_ms;
    node_solo_mark(n, reply);
    node_write_remove(n, w);
    return true;
}

/* False: it has to wait. */
static bool solo_take_write(struct pc_node *n, struct node_write *w)
{
    struct node_solo *s = &n->solo;
    struct pc_command command;
    pc_err err = pc_wire_decode_command(pc_blob_slice(w->body), &command);
    PC_ASSERT(err == PC_OK); /* this node has encoded it */
    if (node_disk_space(n) >= PC_SPACE_HARD && node_disk_refuses(PC_SPACE_HARD, w->body)) {
        node_write_answer(n, w, PC_REPLY_LOG_FULL);
        return true;
    }
    bool has_condition = command.condition != PC_IF_ANY;
    bool is_full = s->records_n >= PC_PENDING_REQUESTS_MAX ||
                   s->records_bytes + w->body->len > PC_PENDING_BYTES_MAX;
    if (is_full || (has_condition && s->records_n > 0)) {
        return false;
    }
    if (!has_condition || !solo_is_unmet(n, w, &command)) {
        solo_record(n, w, &command);
    }
    return true;
}

bool node_solo_take_writes(struct pc_node *n)
{
    if (n->solo.state != NODE_SOLO_OPEN) {
        return false;
    }
    while (n->waiting.first != NULL && solo_take_write(n, n->waiting.first)) {
    }
    return true;
}

bool node_solo_read(struct pc_node *n, const struct pc_request *request)
{
    struct node_solo *s = &n->solo;
    bool is_local = request->consistency == PC_CONSISTENCY_LOCAL;
    if (!s->serves || (s->state != NODE_SOLO_OPEN && !is_local)) {
        return false;
    }
    struct pc_item item;
    pc_ms clock_ms = solo_clock_ms(n);
    bool found = node_overlay_get(s->overlay, n->store, request->key, clock_ms, &item);
    struct pc_reply *reply =
        node_reply_add(n, request->tag, found ? PC_REPLY_OK : PC_REPLY_NOT_FOUND);
    reply->index = node_overlay_number(s->overlay);
    reply->stamp_ms = clock_ms;
    pc_node_quorum(n, n->now, &reply->quorum);
    node_solo_mark(n, reply);
    if (found) {
        node_read_fill(reply, &item, item.deadline_ms == 0 ? 0 : item.deadline_ms - clock_ms);
    }
    return true;
}

/* ---- looking in */

bool node_solo_holds(const struct pc_node *n)
{
    return n->solo.serves;
}

bool node_solo_is_open(const struct pc_node *n, char *text, size_t max)
{
    char id[9];
    pc_hex_encode(n->solo.id, 4, id);
    id[8] = '\0';
    if (n->solo.state != NODE_SOLO_OPEN) {
        return false;
    }
    (void)snprintf(text, max, "branch %s of this node alone", id);
    return true;
}

void node_solo_status(const struct pc_node *n, struct pc_instant now, struct pc_node_solo *out)
{
    static const char *const names[] = {
        "waiting", "resumable", "resumable", "opening", "open", "closing", "closing"};
    const struct node_solo *s = &n->solo;
    *out = (struct pc_node_solo){.state = names[s->state]};
    if (s->state == NODE_SOLO_NONE && !n->opts.solo) {
        out->state = "off";
    }
    if (s->state != NODE_SOLO_NONE) {
        memcpy(out->id, s->id, sizeof out->id);
        out->base = s->base.index;
        out->records = s->last_number - s->records_n;
    }
    if (s->serves) {
        out->open_ms = pc_instant_ms_between(s->opened_at, now);
    }
    if (s->is_alone) {
        pc_ms waited = pc_instant_ms_between(s->alone_since, now);
        out->is_due = true;
        out->due_in_ms = waited < n->opts.solo_after_ms ? n->opts.solo_after_ms - waited : 0;
    }
}

struct pc_instant node_solo_wake_at(const struct pc_node *n)
{
    return n->solo.is_alone ? pc_instant_add_ms(n->solo.alone_since, n->opts.solo_after_ms)
                            : PC_INSTANT_NEVER;
}

void node_solo_destroy(struct pc_node *n)
{
    while (n->branched.first != NULL) {
        node_write_remove(n, n->branched.first);
    }
    node_solo_records_clear(n);
    free(n->solo.records);
    node_overlay_delete(n->solo.overlay);
}

void node_solo_check(const struct pc_node *n)
{
    const struct node_solo *s = &n->solo;
    bool is_open = s->state == NODE_SOLO_OPEN || s->state == NODE_SOLO_CLOSING;
    PC_ASSERT_IMPLIES(is_open, s->serves);
    PC_ASSERT_IMPLIES(s->serves, is_open || s->state == NODE_SOLO_ENDING);
    PC_ASSERT_IMPLIES(s->serves || s->state == NODE_SOLO_RESUMABLE, s->overlay != NULL);
    PC_ASSERT_IMPLIES(
        s->state == NODE_SOLO_NONE || s->state == NODE_SOLO_FOUND, s->overlay == NULL);
    PC_ASSERT_IMPLIES(s->records_n > 0, is_open || s->state == NODE_SOLO_FOUND);
    PC_ASSERT_IMPLIES(n->branched.first != NULL, s->records_n > 0);
    PC_ASSERT_IMPLIES(s->state == NODE_SOLO_CLOSING, s->records_n > 0);
    if (s->serves) { /* the branch lies on what it began on */
        PC_ASSERT(n->applied == s->base.index);
        PC_ASSERT(pc_hash_equal(&n->applied_chain, &s->base.chain));
        PC_ASSERT(node_overlay_number(s->overlay) + s->records_n == s->last_number);
        node_overlay_check(s->overlay);
    }
}
