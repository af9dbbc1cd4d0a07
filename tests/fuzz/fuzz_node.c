/* A whole node (raft, swim, store, requests, formation) among peers that may say anything: raft
 * messages near its log, commands forwarded and refused, entry 1 of clusters it is no part of,
 * changes of the members and what became of them, invitations, and what comes from the bus, from
 * clients, from a disk that stalls and fills up.
 *
 * Nothing reaches an assertion; what is sent has an encoding that decodes; what is written follows
 * what was written; every request is answered at most once. */
#include "fuzz/kit/raft_craft.h"

#include <stdio.h>

#include "pcache/node.h"
#include "pcache/wire_swim.h"

#define OPS_MAX 256
#define WRITES_MAX 1024
#define LOADS_MAX 64
#define TAGS_MAX 256
#define RUNS_MAX 2048
/* From here to CRAFT_CODE_NEW; a program of the corpus uses those below. */
#define CODE_MEMBER 192

struct world {
    struct pc_node *node;
    struct pc_node_effects fx;
    struct pc_instant now;
    uint64_t starts;
    bool alone;
    /* Durable. */
    struct pc_entries disk;
    pc_term term;
    pc_node_id vote;
    uint64_t voted_seq; /* up to this write term and vote are durable */
    pc_index noted_commit;
    bool has_history;
    uint8_t history[16];
    /* Handed out. */
    struct pc_raft_write queue[WRITES_MAX];
    size_t queue_n;
    pc_index queued_last;
    struct pc_node_load loads[LOADS_MAX];
    size_t loads_n;
    bool waits[TAGS_MAX]; /* a request with this tag has no answer yet */
    uint64_t tags_n;
    pc_index applied;
};

/* ---- life */
static pc_err start(struct world *w)
{
    struct pc_term_run runs[RUNS_MAX];
    struct pc_node_opts opts = {0};
    pc_node_opts_default(&opts);
    pc_raft_opts_default(&opts.raft);
    pc_swim_opts_default(&opts.swim);
    opts.id = CRAFT_SELF;
    opts.generation = opts.seed = ++w->starts;
    opts.swim.packet_bytes_max = 1340;
    opts.history_seed[0] = 9;
    opts.members_n = w->alone ? 1 : 3;
    (void)snprintf(opts.name, sizeof opts.name, "node1");
    for (size_t i = 0; i < opts.members_n; i++) {
        (void)snprintf(opts.members[i], sizeof opts.members[i], "node%zu", i + 1);
    }
    struct pc_node_restored restored = {
        .raft = {
            .term = w->term, .vote = w->vote, .last = w->disk.n, .wall_ms = 5000, .terms = runs}};
    struct pc_raft_restored *raft = &restored.raft;
    raft->commit = w->noted_commit < w->disk.n ? w->noted_commit : w->disk.n;
    for (size_t i = 0; i < w->disk.n; i++) {
        if (raft->terms_n == 0 || runs[raft->terms_n - 1].term != w->disk.v[i].term) {
            PC_ASSERT(raft->terms_n < RUNS_MAX);
            runs[raft->terms_n++] = (struct pc_term_run){.first = i + 1, .term = w->disk.v[i].term};
        }
    }
    struct pc_raft_base base = {0};
    if (raft->commit > 0) {
        base = pc_raft_base_of(&w->disk.v[raft->commit - 1]);
        raft->base = &base;
    }
    raft->tail_n = w->disk.n - raft->commit;
    raft->tail = raft->tail_n > 0 ? &w->disk.v[raft->commit] : NULL;
    restored.config_entry = w->disk.n > 0 ? &w->disk.v[0] : NULL;
    restored.history = w->has_history ? w->history : NULL;
    struct pc_error error = {0};
    pc_err err = pc_node_new(&opts, &restored, w->now, &w->node, &error);
    FUZZ_CHECK("an error says what", err == PC_OK || error.text[0] != '\0');
    w->queued_last = w->disk.n;
    w->voted_seq = 0;
    w->loads_n = 0;
    w->applied = 0;
    memset(w->waits, 0, sizeof w->waits);
    return err;
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
    pc_node_delete(w->node);
    w->node = NULL;
}

/* ---- what a step does */
static void check_msg(const struct pc_msg *msg)
{
    struct pc_buf bytes = {0};
    struct pc_msg twin;
    pc_wire_encode_msg(msg, &bytes);
    FUZZ_CHECK("a frame holds it", bytes.len <= PC_FRAME_BYTES_MAX);
    FUZZ_CHECK("sent to a peer", msg->from == CRAFT_SELF && msg->to != CRAFT_SELF);
    /* From the last term that bytes may carry there is no way on, which is the peer's doing. */
    bool is_last = msg->type == PC_MSG_RAFT && msg->raft.term > PC_TERM_MAX;
    if (is_last) {
        pc_buf_destroy(&bytes);
        return;
    }
    FUZZ_CHECK("what is sent decodes",
        pc_wire_decode_msg(pc_slice_of(bytes.data, bytes.len), msg->from, msg->to, &twin) == PC_OK);
    pc_msg_clear(&twin);
    pc_buf_destroy(&bytes);
}

static void take_write(struct world *w, struct pc_raft_write *write)
{
    if (write->truncate_from > 0) {
        FUZZ_CHECK("truncation is of something", write->truncate_from <= w->queued_last);
        w->queued_last = write->truncate_from - 1;
    }
    for (size_t i = 0; i < write->entries.n; i++) {
        FUZZ_CHECK("entries follow", write->entries.v[i].index == ++w->queued_last);
    }
    FUZZ_CHECK("noted commit is in the log", write->commit <= w->queued_last);
    PC_ASSERT(w->queue_n < WRITES_MAX);
    w->queue[w->queue_n++] = *write;
    write->entries = (struct pc_entries){0};
}

/* As the daemon does: before the first entry is written. */
static void note_history(struct world *w)
{
    struct pc_node_status status;
    for (size_t i = 0; i < w->fx.notes_n; i++) {
        if (w->fx.notes[i].type == PC_NOTE_JOINED) {
            pc_node_status(w->node, w->now, &status);
            w->has_history = true;
            memcpy(w->history, status.history, sizeof w->history);
        }
    }
}

static void take_effects(struct world *w)
{
    struct pc_node_effects *fx = &w->fx;
    note_history(w);
    for (size_t i = 0; i < fx->msgs_n; i++) {
        check_msg(&fx->msgs[i]);
    }
    for (size_t i = 0; i < fx->writes_n; i++) {
        take_write(w, &fx->writes[i]);
    }
    for (size_t i = 0; i < fx->replies_n; i++) {
        uint64_t tag = fx->replies[i].tag;
        FUZZ_CHECK("R.1 one answer", tag < TAGS_MAX && w->waits[tag]);
        w->waits[tag] = false;
    }
    for (size_t i = 0; i < fx->loads_n && w->loads_n < LOADS_MAX; i++) {
        w->loads[w->loads_n++] = fx->loads[i];
    }
    for (size_t i = 0; i < fx->swim.out_n; i++) {
        struct pc_buf bytes = {0};
        FUZZ_CHECK("a datagram holds it",
            pc_wire_encode_swim(&fx->swim.out[i].msg, &bytes) == PC_OK && bytes.len <= 1340);
        pc_buf_destroy(&bytes);
    }
    pc_node_effects_clear(fx);
}

static void step(struct world *w, struct pc_node_event *event)
{
    event->now = w->now;
    pc_node_step(w->node, event, &w->fx);
    struct pc_node_event turn = {.type = PC_NODE_TURN, .now = w->now};
    pc_node_step(w->node, &turn, &w->fx);
    take_effects(w);
    pc_node_check(w->node);
    struct pc_node_status status;
    pc_node_status(w->node, w->now, &status);
    FUZZ_CHECK("B.6", status.applied >= w->applied && status.applied <= status.raft.commit);
    w->applied = status.applied;
}

/* ---- messages */
static void recv(struct world *w, struct pc_msg *msg)
{
    struct pc_node_event event = {.type = PC_NODE_RECV, .u.msg = msg};
    step(w, &event);
    pc_msg_clear(msg);
}

static void recv_forward(struct world *w, const struct fuzz_op *op)
{
    bool refused = (op->a & 1) != 0;
    struct pc_msg out, msg = {.type = refused ? PC_MSG_FORWARD_REFUSED : PC_MSG_FORWARD,
                           .from = 2 + (op->a >> 1) % CRAFT_PEERS,
                           .to = CRAFT_SELF};
    msg.forward.boot = refused ? w->starts : op->b % 3;
    msg.forward.reason = refused ? (enum pc_refusal)(1 + op->b % 3) : PC_REFUSAL_NONE;
    msg.forward.items_n = 1 + op->c % 3;
    msg.forward.items = pc_xalloc(3 * sizeof *msg.forward.items);
    for (size_t i = 0; i < msg.forward.items_n; i++) {
        msg.forward.items[i].seq = op->d % 64 + i;
        msg.forward.items[i].attempt = (op->d >> 8) % 4;
        if (!refused) {
            msg.forward.items[i].body =
                craft_body(PC_ENTRY_COMMAND, op->c & 0x4f, op->d >> (i * 5));
        }
    }
    if (craft_through_wire(&msg, &out)) {
        recv(w, &out);
    }
}

static void recv_form(struct world *w, const struct fuzz_op *op)
{
    static const struct pc_hash none;
    struct pc_msg out,
        msg = {.type = PC_MSG_FORM, .from = 2 + op->a % CRAFT_PEERS, .to = CRAFT_SELF};
    msg.form = (struct pc_entry){.index = 1 + (op->b & 1) * op->d,
        .term = 1 + (op->b >> 1) % 4,
        .stamp_ms = op->d,
        .kind = PC_ENTRY_CONFIG,
        .body = craft_body(PC_ENTRY_CONFIG, op->c, op->d)};
    msg.form.chain = pc_entry_chain(&none, &msg.form);
    msg.form.chain.b[0] ^= (op->b & 128) != 0;
    if (craft_through_wire(&msg, &out)) {
        recv(w, &out);
    }
}

/* A question for entries, or an answer to none. */
static void recv_fetch(struct world *w, const struct fuzz_op *op)
{
    bool answers = (op->a & 1) != 0;
    struct pc_msg out, msg = {.type = answers ? PC_MSG_ENTRIES : PC_MSG_FETCH,
                           .from = 2 + (op->a >> 1) % CRAFT_PEERS,
                           .to = CRAFT_SELF};
    msg.fetch.nonce = op->b;
    msg.fetch.first = fuzz_near(w->disk.n, op->c & 15, op->d);
    msg.fetch.last = fuzz_near(msg.fetch.first, op->c >> 4, op->d);
    if (answers) {
        msg.fetch.leads = (op->b & 1) != 0;
        msg.fetch.has_last = op->d % 100;
    }
    if (craft_through_wire(&msg, &out)) {
        recv(w, &out);
    }
}

/* A change of the members for the leader, what became of one, or an invitation. */
static void recv_member(struct world *w, const struct fuzz_op *op)
{
    static const enum pc_msg_type types[] = {
        PC_MSG_MEMBER, PC_MSG_MEMBER_RESULT, PC_MSG_INVITE, PC_MSG_MEMBER};
    struct pc_msg out,
        msg = {.type = types[op->a % 4], .from = 2 + (op->a >> 2) % CRAFT_PEERS, .to = CRAFT_SELF};
    struct pc_member_msg *m = pc_xalloc(sizeof *m);
    msg.member = m;
    if (msg.type == PC_MSG_MEMBER) {
        m->nonce = op->d;
        m->op = (enum pc_member_op)(1 + op->b % 6);
        m->want = m->op == PC_MEMBER_ADD ? (enum pc_member_want)(op->b >> 3 & 3) : PC_WANT_VOTER;
        m->again = (op->b & 128) != 0;
    } else if (msg.type == PC_MSG_MEMBER_RESULT) {
        m->nonce = op->d % 16;
        m->result = (enum pc_member_result)(1 + op->b % 4);
        (void)snprintf(m->text, sizeof m->text, "%s", (op->b & 8) != 0 ? "no" : "");
    } else {
        m->history[0] = (uint8_t)(op->b % 4 * 9);
    }
    if (msg.type != PC_MSG_MEMBER_RESULT) {
        (void)snprintf(m->name, sizeof m->name, "node%u", 1u + op->c % 8u);
    }
    if (craft_through_wire(&msg, &out)) {
        recv(w, &out);
    }
}

/* The same from a client of this node. */
static void request_member(struct world *w, const struct fuzz_op *op)
{
    if (w->tags_n == TAGS_MAX) {
        return;
    }
    struct pc_request request = {.tag = w->tags_n++, .type = PC_REQUEST_MEMBER};
    request.member.op = (enum pc_member_op)(1 + op->b % 5);
    request.member.want =
        request.member.op == PC_MEMBER_ADD ? (enum pc_member_want)(op->b / 8 % 3) : PC_WANT_VOTER;
    (void)snprintf(request.member.name, sizeof request.member.name, "node%u", 1u + op->c % 8u);
    w->waits[request.tag] = true;
    struct pc_node_event event = {.type = PC_NODE_CLIENT, .u.request = &request};
    step(w, &event);
}

static void request(struct world *w, const struct fuzz_op *op)
{
    char key[8];
    if (w->tags_n == TAGS_MAX) {
        return;
    }
    struct pc_request request = {.tag = w->tags_n++,
        .type = (op->a & 1) != 0 ? PC_REQUEST_GET : PC_REQUEST_WRITE,
        .consistency = (op->a & 2) != 0 ? PC_CONSISTENCY_LOCAL : PC_CONSISTENCY_LINEARIZABLE};
    struct pc_blob *body = craft_body(PC_ENTRY_COMMAND, op->b % 4, op->d);
    (void)snprintf(key, sizeof key, "k%u", op->d % 7);
    request.key = pc_slice_str(key);
    PC_ASSERT(pc_wire_decode_command(pc_blob_slice(body), &request.command) == PC_OK);
    w->waits[request.tag] = true;
    struct pc_node_event event = {.type = PC_NODE_CLIENT, .u.request = &request};
    step(w, &event);
    pc_blob_unref(body);
}

/* ---- the disk */
static void disk_take(struct world *w, const struct pc_raft_write *write)
{
    /* What sync_votes has stored is newer. */
    if (write->has_vote && write->seq > w->voted_seq) {
        w->term = write->term;
        w->vote = write->vote;
    }
    while (write->truncate_from > 0 && w->disk.n >= write->truncate_from) {
        pc_entry_clear(&w->disk.v[--w->disk.n]);
    }
    for (size_t i = 0; i < write->entries.n; i++) {
        pc_entries_push(&w->disk, &write->entries.v[i]);
    }
    w->noted_commit = write->commit > w->noted_commit ? write->commit : w->noted_commit;
}

static void sync_some(struct world *w, size_t count, bool told)
{
    count = count < w->queue_n ? count : w->queue_n;
    if (count == 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        disk_take(w, &w->queue[i]);
    }
    struct pc_node_event event = {.type = PC_NODE_SYNCED, .u.seq = w->queue[count - 1].seq};
    queue_drop(w, count);
    if (told) {
        step(w, &event);
    }
}

static void answer_load(struct world *w, const struct fuzz_op *op)
{
    if (w->loads_n == 0) {
        return;
    }
    struct pc_node_load load = w->loads[--w->loads_n];
    struct pc_entries entries = {0};
    for (pc_index i = load.first; i <= load.last && i <= w->disk.n && entries.n < op->a % 9u; i++) {
        pc_entries_push(&entries, &w->disk.v[i - 1]);
    }
    struct pc_node_event event = {.type = PC_NODE_LOADED};
    event.u.loaded.tag = load.tag;
    event.u.loaded.entries = &entries;
    step(w, &event);
    pc_entries_clear(&entries);
}

/* ---- the rest */
static void peer_event(struct world *w, const struct fuzz_op *op)
{
    static const enum pc_node_event_type types[] = {
        PC_NODE_PEER_UP, PC_NODE_PEER_DOWN, PC_NODE_PEER_LOST, PC_NODE_PEER_REFUSED};
    struct pc_node_event event = {.type = types[op->a % 4]};
    struct pc_error error = {0};
    struct pc_peer_hello hello = {.id = 2 + op->b % CRAFT_PEERS,
        .generation = op->c % 8,
        .history = {(uint8_t)(op->d % 3 * 9)}};
    (void)snprintf(hello.name, sizeof hello.name, "node%u", 2 + (op->b >> 3) % CRAFT_PEERS);
    if (event.type == PC_NODE_PEER_UP) {
        if (pc_node_admit(w->node, &hello, &error) != PC_OK) {
            FUZZ_CHECK("an error says what", error.text[0] != '\0');
            return;
        }
        event.u.hello = &hello;
    } else if (event.type == PC_NODE_PEER_REFUSED) {
        event.u.text = "no";
    } else {
        event.u.peer = hello.id;
    }
    step(w, &event);
}

static void plain_event(struct world *w, const struct fuzz_op *op)
{
    static const enum pc_node_event_type types[] = {PC_NODE_LOG_FULL, PC_NODE_LOG_FULL_END,
        PC_NODE_TRANSFER, PC_NODE_WAKE, PC_NODE_DRAIN, PC_NODE_WAKE, PC_NODE_WAKE,
        PC_NODE_LOG_FAILED};
    struct pc_node_event event = {.type = types[op->a % 8]};
    if (event.type == PC_NODE_LOG_FAILED && (op->b & 7) != 0) {
        return; /* after it nothing more is to be seen: rarely */
    }
    if (event.type == PC_NODE_TRANSFER) {
        event.u.transfer_target = op->b % 6;
    }
    step(w, &event);
}

static void sleep_until_wake(struct world *w)
{
    struct pc_instant at = pc_node_wake_at(w->node);
    w->now = at.us != UINT64_MAX && at.us > w->now.us ? at : w->now;
    struct pc_node_event wake = {.type = PC_NODE_WAKE};
    step(w, &wake);
}

static void sync_votes(struct world *w)
{
    if (w->queue_n == 0) {
        return;
    }
    for (size_t i = 0; i < w->queue_n; i++) {
        if (w->queue[i].has_vote) {
            w->term = w->queue[i].term;
            w->vote = w->queue[i].vote;
        }
        w->voted_seq = w->queue[i].seq;
    }
    struct pc_node_event event = {.type = PC_NODE_VOTED, .u.seq = w->queue[w->queue_n - 1].seq};
    step(w, &event);
}

/* False: the log's members are not this node's any more, and it refuses to start. */
static bool run_op(struct world *w, const struct fuzz_op *op)
{
    struct pc_msg msg;
    if (op->code >= CODE_MEMBER && op->code < CRAFT_CODE_NEW) {
        (op->code % 4 == 3 ? request_member : recv_member)(w, op);
        return true;
    }
    switch (op->code % 15) {
    case 0:
    case 1:
    case 2:
        if (craft_raft_msg(pc_node_raft(w->node), op, &msg)) {
            recv(w, &msg);
        }
        break;
    case 3:
        recv_forward(w, op);
        break;
    case 4:
        recv_form(w, op);
        break;
    case 5:
        request(w, op);
        break;
    case 6:
        sync_some(w, 1 + op->a % 8, true);
        break;
    case 7:
        answer_load(w, op);
        break;
    case 8:
        peer_event(w, op);
        break;
    case 9:
        plain_event(w, op);
        break;
    case 10:
        sleep_until_wake(w);
        break;
    case 11:
        w->now = pc_instant_add_ms(w->now, op->d % 3000);
        break;
    case 12:
        sync_votes(w);
        break;
    case 13:
        recv_fetch(w, op);
        break;
    default:
        sync_some(w, op->a % 4, false);
        stop(w);
        return start(w) == PC_OK;
    }
    return true;
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
    w->alone = (op.code & 3) == 3;
    if ((op.code & 1) == 0) {
        static const struct pc_hash none;
        struct pc_entry entry = {.index = 1,
            .term = 1,
            .stamp_ms = 1000,
            .kind = PC_ENTRY_CONFIG,
            .body = craft_body(PC_ENTRY_CONFIG, 0, 2)};
        entry.chain = pc_entry_chain(&none, &entry);
        pc_entries_push(&w->disk, &entry);
        pc_entry_clear(&entry);
        w->term = 1;
    }
    bool runs = start(w) == PC_OK;
    for (int i = 0; i < OPS_MAX && runs && w->queue_n < WRITES_MAX - 8 && fuzz_next(&in, &op);
         i++) {
        runs = run_op(w, &op);
    }
    stop(w);
    pc_node_effects_destroy(&w->fx);
    pc_entries_clear(&w->disk);
    free(w);
    return 0;
}
