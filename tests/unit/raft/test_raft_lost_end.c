/* A log of which acknowledged entries may be missing; and one whose replay is slow. */
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/raft.h"

#define ME 1
#define DOUBT 5

struct log {
    struct pc_entries v;
    struct pc_term_run run;
};

static void push(struct log *log, pc_term term, struct pc_blob *body)
{
    static const struct pc_hash zero = {{0}};
    size_t n = log->v.n;
    struct pc_entry entry = {.index = n + 1,
        .term = term,
        .stamp_ms = 1000,
        .kind = body == NULL ? PC_ENTRY_NOOP : PC_ENTRY_COMMAND,
        .body = body};
    entry.chain = pc_entry_chain(n == 0 ? &zero : &log->v.v[n - 1].chain, &entry);
    pc_entries_push(&log->v, &entry);
    log->run = (struct pc_term_run){.first = 1, .term = term};
}

static struct pc_raft *raft_of(
    const struct log *log, pc_term term, pc_term doubt, size_t voters, size_t tail_bytes_max)
{
    struct pc_raft_opts opts;
    pc_raft_opts_default(&opts);
    opts.id = ME;
    opts.seed = 1;
    opts.tail_bytes_max = tail_bytes_max;
    struct pc_raft_restored restored = {.term = term,
        .last = log->v.n,
        .wall_ms = 1000,
        .terms = &log->run,
        .terms_n = 1,
        .tail = log->v.v,
        .tail_n = log->v.n,
        .config = {.index = 1, .voters_n = voters, .voters = {1, 2, 3}},
        .doubt = doubt};
    return pc_raft_new(&opts, &restored, (struct pc_instant){1000});
}

static void step(
    struct pc_raft *raft, struct pc_raft_event event, uint64_t at_ms, struct pc_raft_effects *fx)
{
    event.now = (struct pc_instant){at_ms * 1000};
    pc_raft_step(raft, &event, fx);
    pc_raft_step(raft, &(struct pc_raft_event){.type = PC_RAFT_TURN, .now = event.now}, fx);
    pc_raft_check(raft);
}

static size_t sent(const struct pc_raft_effects *fx, enum pc_raft_msg_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < fx->msgs_n; i++) {
        n += fx->msgs[i].type == type ? 1 : 0;
    }
    return n;
}

static void append(struct pc_raft *raft, const struct log *log, pc_index prev, pc_term term,
    uint64_t at_ms, struct pc_raft_effects *fx)
{
    struct pc_raft_msg msg = {.type = PC_RAFT_MSG_APPEND, .from = 2, .to = ME, .term = term};
    msg.u.append.prev_index = prev;
    msg.u.append.prev_term = log->v.v[prev - 1].term;
    msg.u.append.prev_chain = log->v.v[prev - 1].chain;
    for (size_t i = prev; i < log->v.n; i++) {
        pc_entries_push(&msg.entries, &log->v.v[i]);
    }
    struct pc_raft_event event = {.type = PC_RAFT_RECV, .u.recv = &msg};
    step(raft, event, at_ms, fx);
    pc_raft_msg_clear(&msg);
}

static struct pc_raft_msg vote_of(pc_term term, bool pre)
{
    struct pc_raft_msg msg = {.type = PC_RAFT_MSG_VOTE, .from = 3, .to = ME, .term = term};
    msg.u.vote.pre = pre;
    msg.u.vote.last_index = 100;
    msg.u.vote.last_term = term;
    return msg;
}

static void doubt__no_entry_of_a_later_term__neither_votes_nor_stands(void **state)
{
    (void)state;
    struct log log = {0};
    struct pc_raft_effects fx = {0};
    struct pc_raft_status status;
    push(&log, DOUBT, NULL);
    push(&log, DOUBT, NULL);
    struct pc_raft *raft = raft_of(&log, DOUBT + 1, DOUBT, 3, 1 << 20);
    for (uint64_t ms = 2000; ms < 20000; ms += 500) {
        step(raft, (struct pc_raft_event){.type = PC_RAFT_WAKE}, ms, &fx);
    }
    struct pc_raft_msg msg = vote_of(DOUBT + 9, true);
    step(raft, (struct pc_raft_event){.type = PC_RAFT_RECV, .u.recv = &msg}, 20000, &fx);
    msg = vote_of(DOUBT + 9, false);
    step(raft, (struct pc_raft_event){.type = PC_RAFT_RECV, .u.recv = &msg}, 20000, &fx);
    assert_int_equal(fx.msgs_n, 0);
    /* Its old leader, whose count of acknowledgements is not to be trusted, has to stand anew. */
    append(raft, &log, 2, DOUBT, 20001, &fx);
    assert_int_equal(sent(&fx, PC_RAFT_MSG_APPEND_RESP), 1);
    assert_int_equal(fx.msgs[0].term, DOUBT + 1);
    assert_false(fx.msgs[0].u.append_resp.accepted);
    pc_raft_status(raft, &status);
    assert_int_equal(status.doubt, DOUBT);
    pc_raft_effects_destroy(&fx);
    pc_raft_delete(raft);
    pc_entries_clear(&log.v);
}

static void doubt__durable_entry_of_a_later_term__ends_it(void **state)
{
    (void)state;
    struct log log = {0};
    struct pc_raft_effects fx = {0};
    struct pc_raft_status status;
    push(&log, DOUBT, NULL);
    struct pc_raft *raft = raft_of(&log, DOUBT + 1, DOUBT, 3, 1 << 20);
    push(&log, DOUBT, NULL);
    push(&log, DOUBT + 3, NULL);
    append(raft, &log, 1, DOUBT + 3, 2000, &fx);
    pc_raft_status(raft, &status);
    assert_int_equal(status.last, 3);
    assert_int_equal(status.doubt, DOUBT); /* not durable yet */
    assert_int_equal(fx.writes_n, 1);
    uint64_t seq = fx.writes[0].seq;
    pc_raft_effects_clear(&fx);
    step(raft, (struct pc_raft_event){.type = PC_RAFT_SYNCED, .u.synced_seq = seq}, 2001, &fx);
    pc_raft_status(raft, &status);
    assert_int_equal(status.doubt, 0);
    struct pc_raft_msg msg = vote_of(DOUBT + 9, true);
    step(raft, (struct pc_raft_event){.type = PC_RAFT_RECV, .u.recv = &msg}, 9000, &fx);
    assert_int_equal(sent(&fx, PC_RAFT_MSG_VOTE_RESP), 1);
    pc_raft_effects_destroy(&fx);
    pc_raft_delete(raft);
    pc_entries_clear(&log.v);
}

/* 90 MiB are committed and on disk, and nothing of them is applied yet. */
static void leader__of_a_long_replay__takes_writes(void **state)
{
    (void)state;
    struct log log = {0};
    struct pc_raft_effects fx = {0};
    struct pc_raft_status status;
    struct pc_blob *body = NULL;
    char *bytes = calloc(1, 1 << 20);
    assert_non_null(bytes);
    assert_ok(pc_blob_new(pc_slice_of(bytes, 1 << 20), &body));
    free(bytes);
    push(&log, DOUBT, NULL);
    for (int i = 0; i < 90; i++) {
        push(&log, DOUBT, body);
    }
    struct pc_raft *raft = raft_of(&log, DOUBT, 0, 1, 1 << 20);
    pc_entries_clear(&log.v);
    struct pc_instant now = {2000 * 1000};
    pc_raft_step(raft, &(struct pc_raft_event){.type = PC_RAFT_WAKE, .now = now}, &fx);
    pc_raft_step(raft, &(struct pc_raft_event){.type = PC_RAFT_TURN, .now = now}, &fx);
    assert_true(fx.writes_n > 0);
    uint64_t seq = fx.writes[fx.writes_n - 1].seq;
    pc_raft_step(raft,
        &(struct pc_raft_event){.type = PC_RAFT_SYNCED, .now = now, .u.synced_seq = seq}, &fx);
    pc_raft_step(raft, &(struct pc_raft_event){.type = PC_RAFT_TURN, .now = now}, &fx);
    pc_raft_status(raft, &status);
    assert_int_equal(status.commit, 92);
    assert_true(pc_raft_can_propose(raft));
    pc_raft_effects_destroy(&fx);
    pc_raft_delete(raft);
    pc_blob_unref(body);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(doubt__no_entry_of_a_later_term__neither_votes_nor_stands),
    PC_TEST(doubt__durable_entry_of_a_later_term__ends_it),
    PC_TEST(leader__of_a_long_replay__takes_writes),
};
PC_TEST_MAIN("raft_lost_end", tests)
