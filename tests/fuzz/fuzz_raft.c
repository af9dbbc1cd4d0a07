/* One raft machine among peers that may say anything. The input is a program: messages near the
 * ends of the log, its own disk syncing and failing to, restarts, proposals, reads, time.
 *
 * No peer reaches an assertion, and what the machine promises holds whatever it is told: the
 * properties that one node alone can keep, by their numbers. (Two leaders in a term, or different
 * committed entries, are up to the peers here: see fuzz_raft_net.c.) */
#include "fuzz/kit/raft_craft.h"
#include "fuzz/kit/raft_disk.h"

#define OPS_MAX 256
#define WRITES_MAX 512
#define LOG_MAX 16384
#define LOADS_MAX 16
#define SHORT_LOG 32

struct world {
    struct pc_raft *raft;
    struct pc_raft_opts opts;
    uint32_t first_voters;
    struct pc_instant now;
    uint64_t starts;
    /* What is durable. */
    struct fuzz_disk disk;
    struct pc_raft_base snap; /* the newest durable snapshot; not below the disk's floor */
    struct pc_raft_config snap_config;
    pc_term term;
    pc_node_id vote;
    uint64_t voted_seq; /* up to this write term and vote are durable */
    pc_index noted_commit;
    /* Handed out, not durable; oldest first. */
    struct pc_raft_write queue[WRITES_MAX];
    size_t queue_n;
    pc_index queued_last; /* of the log with the queue */
    uint64_t last_seq;
    struct pc_raft_load loads[LOADS_MAX];
    size_t loads_n;
    /* What was seen. */
    struct pc_hash committed[LOG_MAX];
    pc_index committed_n; /* 1..committed_n are known committed, for ever */
    pc_term voted_term;
    pc_node_id voted_for;
    pc_term highest_term;
    pc_term led_term; /* the last one that it led */
    struct pc_raft_status before;
    unsigned steps;
    pc_index acked[CRAFT_PEERS + 2]; /* by peer id, in the leader's term */
};

static struct pc_raft_status status_of(const struct world *w)
{
    struct pc_raft_status status;
    pc_raft_status(w->raft, &status);
    return status;
}

/* What a restarted node and a message may claim to have: a snapshot is as good as entries. */
static pc_index durable_last(const struct world *w)
{
    pc_index last = fuzz_disk_last(&w->disk);
    return last > w->snap.index ? last : w->snap.index;
}

/* ---- start and end */
static void disk_begin(struct world *w)
{
    struct pc_entry entry = {.index = 1, .term = 1, .stamp_ms = 1000, .kind = PC_ENTRY_CONFIG};
    entry.body = craft_body(PC_ENTRY_CONFIG, 0, w->first_voters - 1);
    struct pc_hash none = {{0}};
    entry.chain = pc_entry_chain(&none, &entry);
    pc_entries_push(&w->disk.entries, &entry);
    pc_entry_clear(&entry);
    w->term = 1;
}

static void start(struct world *w)
{
    struct pc_term_run runs[LOG_MAX / 4];
    if (fuzz_disk_last(&w->disk) < w->snap.index) {
        fuzz_disk_reset(&w->disk, &w->snap, &w->snap_config);
    }
    if (w->term < w->disk.floor.term) {
        w->term = w->disk.floor.term;
        w->vote = 0;
    }
    pc_index commit = w->noted_commit > w->snap.index ? w->noted_commit : w->snap.index;
    struct pc_raft_restored restored = {.term = w->term,
        .vote = w->vote,
        .first = w->disk.floor.index + 1,
        .last = fuzz_disk_last(&w->disk),
        .commit = commit < fuzz_disk_last(&w->disk) ? commit : fuzz_disk_last(&w->disk),
        .wall_ms = 5000,
        .terms = runs};
    restored.terms_n = fuzz_disk_runs(&w->disk, runs, sizeof runs / sizeof runs[0]);
    struct pc_raft_base base = w->disk.floor;
    if (restored.commit > w->disk.floor.index) {
        base = pc_raft_base_of(fuzz_disk_at(&w->disk, restored.commit));
    }
    restored.base = restored.commit > 0 ? &base : NULL;
    restored.config = fuzz_disk_config(&w->disk, restored.commit);
    restored.tail_n = restored.last - restored.commit;
    restored.tail = restored.tail_n > 0 ? fuzz_disk_at(&w->disk, restored.commit + 1) : NULL;
    w->opts.seed = ++w->starts;
    w->raft = pc_raft_new(&w->opts, &restored, w->now);
    w->queued_last = fuzz_disk_last(&w->disk);
    w->voted_seq = 0;
    w->last_seq = 0;
    w->loads_n = 0;
    w->before = status_of(w);
    memset(w->acked, 0, sizeof w->acked);
    /* What was not durable is forgotten, also what others had made committed. */
    w->highest_term = w->term;
    w->committed_n = w->committed_n < restored.commit ? w->committed_n : restored.commit;
}

static void queue_drop(struct world *w, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pc_entries_clear(&w->queue[i].entries);
    }
    w->queue_n -= count;
    memmove(w->queue, w->queue + count, w->queue_n * sizeof w->queue[0]);
}

static void stop(struct world *w)
{
    queue_drop(w, w->queue_n);
    pc_raft_delete(w->raft);
    w->raft = NULL;
}

/* ---- properties */
static void check_vote_promise(struct world *w, const struct pc_raft_msg *m)
{
    if (m->type != PC_RAFT_MSG_VOTE_RESP || !m->u.vote_resp.granted || m->u.vote_resp.pre) {
        return;
    }
    FUZZ_CHECK("B.8", w->term == m->term && w->vote == m->to);
    FUZZ_CHECK("B.10", m->term > w->voted_term || m->to == w->voted_for);
    w->voted_term = m->term;
    w->voted_for = m->to;
}

static void check_sent(struct world *w, const struct pc_raft_msg *m)
{
    bool is_prevote = m->type == PC_RAFT_MSG_VOTE && m->u.vote.pre;
    FUZZ_CHECK("to a peer", m->from == CRAFT_SELF && m->to != CRAFT_SELF && m->to != 0);
    FUZZ_CHECK("B.8", m->term - (is_prevote ? 1 : 0) <= w->term);
    if (m->type == PC_RAFT_MSG_VOTE && !m->u.vote.pre) {
        FUZZ_CHECK("B.8", w->term == m->term && w->vote == CRAFT_SELF);
        FUZZ_CHECK("B.10", m->term > w->voted_term || w->voted_for == CRAFT_SELF);
        w->voted_term = m->term;
        w->voted_for = CRAFT_SELF;
    }
    check_vote_promise(w, m);
    if (m->type == PC_RAFT_MSG_APPEND_RESP && m->u.append_resp.accepted) {
        FUZZ_CHECK("B.9", m->u.append_resp.match <= durable_last(w));
    }
    if (m->type == PC_RAFT_MSG_APPEND) {
        FUZZ_CHECK("only a leader appends, and what it held back goes when it is none any more",
            m->term == w->led_term || status_of(w).role == PC_RAFT_LEADER);
        FUZZ_CHECK("a message holds what a message may", m->entries.n <= PC_APPEND_ENTRIES_MAX);
    }
}

/* What was committed since the truncation was decided on is what the same write brings. */
static void check_truncation(const struct world *w, const struct pc_raft_write *write)
{
    for (pc_index i = write->truncate_from; i <= w->committed_n; i++) {
        pc_index at = write->entries.n > 0 ? i - write->entries.v[0].index : 0;
        FUZZ_CHECK("B.11", at < write->entries.n && write->entries.v[at].index == i);
        FUZZ_CHECK("B.11", pc_hash_equal(&write->entries.v[at].chain, &w->committed[i]));
    }
}

static void check_write(struct world *w, const struct pc_raft_write *write)
{
    FUZZ_CHECK("writes are numbered", write->seq == w->last_seq + 1);
    w->last_seq = write->seq;
    if (write->has_reset) {
        FUZZ_CHECK("the log is replaced by the snapshot taken over",
            write->reset.index <= w->snap.index && write->truncate_from == 0);
        w->queued_last = write->reset.index;
    }
    if (write->truncate_from > 0) {
        check_truncation(w, write);
        FUZZ_CHECK("truncation is of something", write->truncate_from <= w->queued_last);
        w->queued_last = write->truncate_from - 1;
    }
    for (size_t i = 0; i < write->entries.n; i++) {
        FUZZ_CHECK("entries follow", write->entries.v[i].index == ++w->queued_last);
    }
    FUZZ_CHECK("noted commit is in the log", write->commit <= w->queued_last);
}

/* B.7 for one who cannot see the others' disks: each has said that it has the entry. */
static void check_commit_rule(const struct world *w, const struct pc_raft_status *now)
{
    FUZZ_CHECK("B.7", pc_raft_term_at(w->raft, now->commit) == now->term);
    size_t have = 0;
    const struct pc_raft_config *config = pc_raft_config_get(w->raft);
    for (size_t i = 0; i < config->voters_n; i++) {
        pc_node_id id = config->voters[i];
        PC_ASSERT(id < sizeof w->acked / sizeof w->acked[0]);
        have += id == CRAFT_SELF ? now->durable >= now->commit : w->acked[id] >= now->commit;
    }
    FUZZ_CHECK("B.7", have > config->voters_n / 2);
}

static void check_state(struct world *w)
{
    struct pc_raft_status now = status_of(w);
    /* What looks at every entry in memory is for short logs, and now and then for long ones. */
    bool all = now.last + 1 - now.first_in_memory < SHORT_LOG || w->steps++ % 16 == 0;
    if (all) {
        pc_raft_check(w->raft);
    }
    FUZZ_CHECK("terms rise", now.term >= w->highest_term);
    w->highest_term = now.term;
    FUZZ_CHECK("B.6", now.commit >= w->before.commit && now.commit <= now.last);
    FUZZ_CHECK("durable is in the log", now.durable <= now.last);
    w->led_term = now.role == PC_RAFT_LEADER ? now.term : w->led_term;
    bool led = w->before.role == PC_RAFT_LEADER && now.role == PC_RAFT_LEADER &&
               now.term == w->before.term;
    FUZZ_CHECK("B.2", !led || now.last >= w->before.last);
    if (led && now.commit > w->before.commit) {
        check_commit_rule(w, &now);
    }
    for (pc_index i = w->committed_n + 1; i <= now.commit; i++) {
        const struct pc_entry *entry = pc_raft_entry(w->raft, i);
        FUZZ_CHECK("what is newly committed is in memory", entry != NULL && i < LOG_MAX);
        w->committed[i] = entry->chain;
        w->committed_n = i;
    }
    for (pc_index i = now.first_in_memory; all && i <= w->committed_n && i <= now.last; i++) {
        FUZZ_CHECK("B.5", pc_hash_equal(&w->committed[i], &pc_raft_entry(w->raft, i)->chain));
    }
    FUZZ_CHECK("what is committed stays", now.last >= w->committed_n);
    w->before = now;
}

/* ---- steps */
static void take_effects(struct world *w, struct pc_raft_effects *fx)
{
    for (size_t i = 0; i < fx->writes_n; i++) {
        check_write(w, &fx->writes[i]);
        PC_ASSERT(w->queue_n < WRITES_MAX);
        w->queue[w->queue_n++] = fx->writes[i];
        fx->writes[i].entries = (struct pc_entries){0};
    }
    for (size_t i = 0; i < fx->msgs_n; i++) {
        check_sent(w, &fx->msgs[i]);
    }
    for (size_t i = 0; i < fx->loads_n; i++) {
        FUZZ_CHECK("loads are of what is durable", fx->loads[i].last <= durable_last(w));
        if (w->loads_n < LOADS_MAX) {
            w->loads[w->loads_n++] = fx->loads[i];
        }
    }
}

static void step(struct world *w, struct pc_raft_event *event)
{
    struct pc_raft_effects fx = {0};
    event->now = w->now;
    pc_raft_step(w->raft, event, &fx);
    struct pc_raft_status now = status_of(w);
    if (now.term != w->before.term || now.role != w->before.role) {
        memset(w->acked, 0, sizeof w->acked);
    }
    take_effects(w, &fx);
    pc_raft_effects_destroy(&fx);
    check_state(w);
}

static void note_ack(struct world *w, const struct pc_raft_msg *m)
{
    if (m->type == PC_RAFT_MSG_APPEND_RESP && m->u.append_resp.accepted &&
        m->term == w->before.term && m->u.append_resp.match <= w->before.last &&
        m->u.append_resp.match > w->acked[m->from]) {
        w->acked[m->from] = m->u.append_resp.match;
    }
}

static void recv(struct world *w, const struct fuzz_op *op)
{
    struct pc_msg msg;
    if (craft_raft_msg(w->raft, op, &msg)) {
        note_ack(w, &msg.raft);
        struct pc_raft_event event = {.type = PC_RAFT_RECV, .u.recv = &msg.raft};
        step(w, &event);
        pc_msg_clear(&msg);
    }
}

static void propose(struct world *w, const struct fuzz_op *op)
{
    struct pc_raft_proposal proposals[4] = {0};
    size_t n = 1 + op->a % 4;
    if (!pc_raft_can_propose(w->raft)) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        proposals[i].kind = PC_ENTRY_COMMAND;
        proposals[i].body = craft_body(PC_ENTRY_COMMAND, op->b, op->d);
    }
    struct pc_raft_event event = {.type = PC_RAFT_PROPOSE};
    event.u.propose.v = proposals;
    event.u.propose.n = n;
    step(w, &event);
    for (size_t i = 0; i < n; i++) {
        pc_blob_unref(proposals[i].body);
    }
}

static void disk_take(struct world *w, const struct pc_raft_write *write)
{
    /* What sync_votes has stored is newer. */
    if (write->has_vote && write->seq > w->voted_seq) {
        w->term = write->term;
        w->vote = write->vote;
    }
    while (write->truncate_from > 0 && fuzz_disk_last(&w->disk) >= write->truncate_from) {
        pc_entry_clear(&w->disk.entries.v[--w->disk.entries.n]);
    }
    for (size_t i = 0; i < write->entries.n; i++) {
        pc_entries_push(&w->disk.entries, &write->entries.v[i]);
    }
    w->noted_commit = write->commit > w->noted_commit ? write->commit : w->noted_commit;
}

/* The oldest writes become durable; `told`: the machine hears of it. */
static void sync_some(struct world *w, size_t count, bool told)
{
    count = count < w->queue_n ? count : w->queue_n;
    if (count == 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        disk_take(w, &w->queue[i]);
    }
    struct pc_raft_event event = {.type = PC_RAFT_SYNCED};
    event.u.synced_seq = w->queue[count - 1].seq;
    queue_drop(w, count);
    if (told) {
        step(w, &event);
    }
}

static void sync_votes(struct world *w)
{
    struct pc_raft_event event = {.type = PC_RAFT_VOTED};
    for (size_t i = 0; i < w->queue_n; i++) {
        if (w->queue[i].has_vote) {
            w->term = w->queue[i].term;
            w->vote = w->queue[i].vote;
        }
        w->voted_seq = w->queue[i].seq;
        event.u.synced_seq = w->queue[i].seq;
    }
    if (w->queue_n > 0) {
        step(w, &event);
    }
}

static void answer_load(struct world *w, const struct fuzz_op *op)
{
    if (w->loads_n == 0) {
        return;
    }
    struct pc_raft_load load = w->loads[--w->loads_n];
    struct pc_entries entries = {0};
    size_t most = op->a % 8;
    pc_index first =
        load.first > w->disk.floor.index ? load.first : PC_TERM_MAX; /* gone meanwhile */
    for (pc_index i = first; i <= load.last && i <= fuzz_disk_last(&w->disk) && entries.n < most;
         i++) {
        pc_entries_push(&entries, fuzz_disk_at(&w->disk, i));
    }
    struct pc_raft_event event = {.type = PC_RAFT_LOADED};
    event.u.loaded.peer = load.peer;
    event.u.loaded.entries = &entries;
    step(w, &event);
    pc_entries_clear(&entries);
}

static void apply(struct world *w, const struct fuzz_op *op)
{
    /* As a node does: on and on, up to the commit index at most. */
    pc_index applied = status_of(w).commit;
    (void)op;
    pc_raft_applied(w->raft, applied);
    check_state(w);
}

/* ---- changes of members, snapshots, entries from peers */

static void change_config(struct world *w, const struct fuzz_op *op)
{
    struct pc_raft_proposal proposal = {.kind = PC_ENTRY_CONFIG};
    if (!pc_raft_can_change_config(w->raft) || !craft_next_config(w->raft, op, &proposal.body)) {
        return;
    }
    struct pc_raft_event event = {.type = PC_RAFT_PROPOSE};
    event.u.propose.v = &proposal;
    event.u.propose.n = 1;
    step(w, &event);
    pc_blob_unref(proposal.body);
}

/* A snapshot of something committed, and the entries up to it go. */
static void compact(struct world *w, const struct fuzz_op *op)
{
    struct pc_raft_status now = status_of(w);
    pc_index most = now.commit < now.durable ? now.commit : now.durable;
    most = most < fuzz_disk_last(&w->disk) ? most : fuzz_disk_last(&w->disk);
    if (most <= w->disk.floor.index) {
        return;
    }
    pc_index upto = w->disk.floor.index + 1 + op->a % (most - w->disk.floor.index);
    fuzz_disk_compact(&w->disk, upto);
    if (w->snap.index < upto) {
        w->snap = w->disk.floor;
        w->snap_config = w->disk.floor_config;
    }
    struct pc_raft_event event = {.type = PC_RAFT_COMPACTED};
    event.u.compacted_first = upto + 1;
    step(w, &event);
}

static void install(struct world *w, const struct fuzz_op *op)
{
    struct pc_raft_base base = craft_base(w->raft, op);
    const struct pc_entry *mine = pc_raft_entry(w->raft, base.index);
    bool has = mine != NULL && pc_hash_equal(&mine->chain, &base.chain);
    if (pc_raft_config_committed(w->raft)->index == 0 || base.index >= LOG_MAX) {
        return;
    }
    w->snap = base;
    w->snap_config = craft_config_at(w->raft, has ? base.index : 0);
    for (pc_index i = w->committed_n + 1; i < base.index && has; i++) {
        w->committed[i] = pc_raft_entry(w->raft, i)->chain;
    }
    w->committed[base.index] = base.chain;
    w->committed_n = base.index;
    if (!has) {
        fuzz_disk_reset(&w->disk, &w->snap, &w->snap_config);
        for (size_t i = 0; i < w->queue_n; i++) {
            pc_entries_clear(&w->queue[i].entries);
            w->queue[i].truncate_from = 0;
        }
    }
    struct pc_raft_install taken = {.base = base, .config = &w->snap_config};
    struct pc_raft_event event = {.type = PC_RAFT_INSTALL};
    event.u.install = &taken;
    step(w, &event);
    FUZZ_CHECK("B.15", status_of(w).commit == base.index);
    FUZZ_CHECK("B.15", has || status_of(w).last == base.index);
}

static void offer(struct world *w, const struct fuzz_op *op)
{
    struct pc_raft_status now = status_of(w);
    struct pc_entries entries = {0};
    craft_offer(w->raft, op, &w->snap, &entries);
    struct pc_raft_event event = {.type = PC_RAFT_OFFER};
    event.u.offer = &entries;
    step(w, &event);
    FUZZ_CHECK("an offer commits nothing", status_of(w).commit == now.commit);
    FUZZ_CHECK("an offer only appends", status_of(w).last >= now.last);
    pc_entries_clear(&entries);
}

static void run_new_op(struct world *w, const struct fuzz_op *op)
{
    struct pc_raft_event event = {.type = PC_RAFT_FETCHING};
    switch (op->code % 8) {
    case 0:
    case 1:
        recv(w, op);
        break;
    case 2:
        compact(w, op);
        break;
    case 3:
        install(w, op);
        break;
    case 4:
    case 5:
        offer(w, op);
        break;
    case 6:
        change_config(w, op);
        break;
    default:
        event.u.fetching_until = op->a == 0 ? 0 : status_of(w).last + op->a % 32;
        step(w, &event);
        break;
    }
}

static void run_event(struct world *w, const struct fuzz_op *op)
{
    struct pc_raft_event event = {.type = PC_RAFT_TURN};
    switch (op->code % 16) {
    case 6:
        event.type = PC_RAFT_WAKE;
        if (pc_raft_wake_at(w->raft).us != UINT64_MAX && pc_raft_wake_at(w->raft).us > w->now.us) {
            w->now = pc_raft_wake_at(w->raft);
        }
        break;
    case 7:
        event.type = PC_RAFT_READ;
        event.u.read_ctx = 1 + op->a % 15;
        break;
    case 8:
        event.type = PC_RAFT_PEER_RESTARTED;
        event.u.peer = 2 + op->a % CRAFT_PEERS;
        break;
    case 9:
        event.type = PC_RAFT_LEADER_LOST;
        event.u.leader_lost = 2 + op->a % CRAFT_PEERS;
        break;
    case 10:
        event.type = PC_RAFT_TRANSFER;
        event.u.transfer_target = op->a % (CRAFT_PEERS + 2);
        break;
    default:
        break;
    }
    step(w, &event);
}

static void run_op(struct world *w, const struct fuzz_op *op)
{
    if (op->code >= CRAFT_CODE_NEW) {
        run_new_op(w, op);
        return;
    }
    switch (op->code % 16) {
    case 0:
    case 1:
    case 2:
        recv(w, op);
        break;
    case 3:
        propose(w, op);
        break;
    case 4:
        sync_some(w, 1 + op->a % 8, true);
        break;
    case 5:
        sync_votes(w);
        break;
    case 11:
        answer_load(w, op);
        break;
    case 12: /* power cut: some of what was queued made it */
        sync_some(w, op->a % 4, false);
        stop(w);
        start(w);
        check_state(w);
        break;
    case 13:
        w->now = pc_instant_add_ms(w->now, op->d % 3000);
        break;
    case 14:
        apply(w, op);
        break;
    default:
        run_event(w, op);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct fuzz_op op;
    if (!fuzz_next(&in, &op)) {
        return 0;
    }
    struct world *w = pc_xalloc(sizeof *w);
    w->now.us = 1000 * 1000;
    w->first_voters = 1 + op.code % 5;
    pc_raft_opts_default(&w->opts);
    w->opts.id = CRAFT_SELF;
    w->opts.config_of = pc_wire_raft_config;
    w->opts.suspend_alone = (op.a & 2) != 0;
    w->opts.tail_bytes_max = (op.a & 1) != 0 ? 0 : 4096; /* nothing is kept: peers need loads */
    disk_begin(w);
    start(w);
    for (int i = 0; i < OPS_MAX && fuzz_next(&in, &op) && w->queue_n < WRITES_MAX / 2; i++) {
        run_op(w, &op);
    }
    stop(w);
    pc_entries_clear(&w->disk.entries);
    free(w);
    return 0;
}
