/* One node: create, step, look in. Each event is one call; what it does lives in the file named
 * after the noun it is about. */
#include <stdlib.h>
#include <string.h>

#include "node_int.h"

void pc_node_opts_default(struct pc_node_opts *opts)
{
    *opts = (struct pc_node_opts){
        .leader_wait_ms = 2000,
        .request_timeout_ms = 3000,
        .ready_leader_grace_ms = 5000,
        .snapshot_log_bytes = UINT64_C(64) << 20,
        .snapshot_percent = 100,
        .log_keep_bytes = UINT64_C(256) << 20,
        .catchup_entries = 2000,
        .catchup_unsynced_bytes = 24 << 20,
        .replaces_lost = true,
        .dead_after_ms = 5000,
        .solo_after_ms = 15000,
        .space_soft = {.bytes = UINT64_C(1) << 30, .percent = 10},
        .space_hard = {.bytes = UINT64_C(128) << 20, .percent = 2},
    };
    opts->protocols = pc_protocols_spoken();
    pc_raft_opts_default(&opts->raft);
    pc_swim_opts_default(&opts->swim);
}

static void node_create_swim(struct pc_node *n)
{
    struct pc_swim_opts swim = n->opts.swim;
    swim.self = (struct pc_member){
        .id = n->opts.id,
        .addr = n->opts.advertise,
        .generation = n->opts.generation,
        .state = PC_MEMBER_ALIVE,
    };
    memcpy(swim.self.name, n->opts.name, sizeof swim.self.name);
    swim.seed = n->opts.seed + 1;
    n->swim = pc_swim_new(&swim, n->now);
}

/* It is the only voter. */
static bool node_is_alone(const struct pc_node *n)
{
    const struct pc_cluster_member *self = node_config_get(&n->config, n->opts.id);
    return self != NULL && self->votes && node_config_voters(&n->config) == 1;
}

/* Takes over what stood on disk: at creation, and again after a repair. */
static pc_err node_restore(
    struct pc_node *n, const struct pc_node_restored *restored, struct pc_error *error)
{
    struct pc_raft_restored raft_restored = restored->raft;
    raft_restored.config = (struct pc_raft_config){0};
    if (restored->history != NULL) {
        memcpy(n->history, restored->history, sizeof n->history);
        n->has_history = true;
    }
    pc_err err = node_form_restore(n, restored, &raft_restored.config, error);
    if (err != PC_OK) {
        return err;
    }
    bool is_alone = node_is_alone(n);
    if (restored->gaps_n > 0 && is_alone) {
        return pc_error_set(error, PC_E_CORRUPT,
            "entries %llu..%llu of the log are lost, and there is no other voter to have them",
            (unsigned long long)restored->gaps[0].first,
            (unsigned long long)restored->gaps[0].last);
    }
    if (restored->gaps_n > 0) {
        /* A machine that only remembers term and vote; it is never stepped into anything. */
        raft_restored = (struct pc_raft_restored){.term = restored->raft.term,
            .vote = restored->raft.vote,
            .wall_ms = restored->raft.wall_ms};
    } else if (is_alone && n->opts.accept_data_loss) {
        raft_restored.doubt = 0;
    }
    struct pc_raft_opts raft = n->opts.raft;
    raft.id = n->opts.id;
    raft.seed = n->opts.seed;
    raft.config_of = pc_wire_raft_config;
    raft.suspend_alone = n->opts.auto_shrink;
    pc_raft_delete(n->raft);
    n->raft = pc_raft_new(&raft, &raft_restored, n->now);
    n->disk.written_seq = n->disk.stored_seq = 0; /* raft counts anew */
    n->replay_until = raft_restored.commit;
    n->repair_last = restored->raft.last;
    pc_index opened_at = n->repair.opened_at;
    node_repair_begin(n, restored->gaps, restored->gaps_n, restored->raft.doubt);
    if (restored->snapshot != NULL && n->snapshot.newest.base.index == 0) {
        node_snapshot_take_newest(n, restored->snapshot);
        opened_at = n->snapshot.newest.base.index;
    }
    n->repair.opened_at = restored->gaps_n > 0 ? opened_at : 0;
    if (restored->gaps_n == 0 && n->snapshot.newest.base.index > n->applied) {
        node_load_begin(n);
    }
    return PC_OK;
}

pc_err pc_node_new(const struct pc_node_opts *opts, const struct pc_node_restored *restored,
    struct pc_instant now, struct pc_node **out, struct pc_error *error)
{
    PC_ASSERT(opts->id != 0 && opts->generation != 0 && opts->name[0] != '\0');
    PC_ASSERT(opts->members_n <= PC_VOTERS_MAX);
    struct pc_node *n = pc_xalloc(sizeof *n);
    n->opts = *opts;
    n->now = now;
    n->next_seq = 1;
    /* Numbers of different lives lie far apart (golden ratio): an answer to a read of the life
     * before, which the leader sends over the new connection, must match no read of this one. */
    n->next_ctx = (opts->generation * UINT64_C(0x9e3779b97f4a7c15)) | 1;
    n->repair.nonce = n->next_ctx;
    n->next_nonce = n->next_ctx;
    n->catchup.nonce = ~n->next_ctx; /* far from those of a repair */
    n->leader_seen_at = now;
    struct node_solo_start start;
    pc_err err = node_restore(n, node_solo_restore(n, restored, &start), error);
    if (err != PC_OK) {
        node_solo_destroy(n);
        free(n->configs);
        free(n);
        return err;
    }
    node_lives_restore(n, restored);
    node_load_adopt(n, restored->preload);
    node_apply_adopt(n, restored->preload);
    struct pc_store_opts store = {{0}};
    memcpy(store.hash_seed, opts->store_seed, sizeof store.hash_seed);
    n->store = pc_store_new(&store);
    node_create_swim(n);
    *out = n;
    return PC_OK;
}

void pc_node_delete(struct pc_node *n)
{
    if (n == NULL) {
        return;
    }
    while (n->waiting.first != NULL) {
        node_write_remove(n, n->waiting.first);
    }
    while (n->sent.first != NULL) {
        node_write_remove(n, n->sent.first);
    }
    struct node_read *next;
    for (struct node_read *read = n->reads_first; read != NULL; read = next) {
        next = read->next;
        pc_blob_unref(read->key);
        free(read);
    }
    node_solo_destroy(n);
    free(n->repair.gaps);
    node_catchup_destroy(n);
    free(n->configs);
    node_apply_destroy(n);
    pc_store_delete(n->load.store);
    pc_blob_unref(n->fetch.meta);
    node_snapshot_destroy(n);
    pc_raft_effects_destroy(&n->raft_fx);
    pc_raft_delete(n->raft);
    pc_store_delete(n->store);
    pc_swim_delete(n->swim);
    free(n);
}

static bool node_wants_no_leadership(const struct pc_node *n)
{
    return n->draining || n->log_full || node_digest_is_coming_back(n) ||
           node_load_is_waited_for(n);
}

void node_recv_raft(struct pc_node *n, const struct pc_raft_msg *msg)
{
    struct pc_raft_status status;
    struct pc_raft_event event = {.type = PC_RAFT_RECV};
    pc_raft_status(n->raft, &status);
    event.u.recv = msg;
    node_raft_step(n, &event);
    node_lives_count(n, msg, status.role == PC_RAFT_CANDIDATE);
    node_quorum_told(n, msg);
}

static void node_hear_commit(struct pc_node *n, const struct pc_raft_msg *msg)
{
    bool appends = msg->type == PC_RAFT_MSG_APPEND;
    if ((!appends && msg->type != PC_RAFT_MSG_SNAPSHOT) || !node_is_formed(n)) {
        return;
    }
    pc_index commit = appends ? msg->u.append.commit : msg->u.snapshot.commit;
    n->heard_leader = true;
    n->leader_commit = commit > n->leader_commit ? commit : n->leader_commit;
}

static void node_recv(struct pc_node *n, const struct pc_msg *msg)
{
    node_peer_heard(n, msg);
    if (node_peer_is_foreign(n, msg->from)) {
        return; /* they met before this node was invited elsewhere */
    }
    if (msg->type == PC_MSG_RAFT && !node_lives_may_speak(n, msg->from)) {
        node_lives_hold(n, &msg->raft);
        return; /* as if it were lost: Raft repeats what matters */
    }
    switch (msg->type) {
    case PC_MSG_RAFT: {
        if (msg->raft.type == PC_RAFT_MSG_APPEND) {
            node_join_heard(n, &msg->raft);
        }
        node_hear_commit(n, &msg->raft);
        if (msg->raft.type == PC_RAFT_MSG_TIMEOUT_NOW && node_wants_no_leadership(n)) {
            break; /* or two such nodes would pass it to and fro */
        }
        node_recv_raft(n, &msg->raft);
        break;
    }
    case PC_MSG_FORWARD:
        node_forward_recv(n, msg);
        break;
    case PC_MSG_FORWARD_REFUSED:
        node_forward_refused(n, msg);
        break;
    case PC_MSG_FORM:
        node_form_recv(n, msg);
        break;
    case PC_MSG_FETCH:
        node_entries_asked(n, msg);
        break;
    case PC_MSG_ENTRIES:
        node_catchup_entries(n, msg);
        break;
    case PC_MSG_SNAP_ASK:
        node_give_ask(n, msg);
        break;
    case PC_MSG_SNAP_META:
        node_fetch_meta(n, msg);
        break;
    case PC_MSG_SNAP_GET:
        node_give_get(n, msg);
        break;
    case PC_MSG_SNAP_CHUNK:
        node_fetch_chunk(n, msg);
        break;
    case PC_MSG_MEMBER:
        node_member_handle(n, msg->from, msg->member);
        break;
    case PC_MSG_MEMBER_RESULT:
        if (msg->member->result == PC_MEMBER_REMOVED) {
            node_join_refused(n, msg->member->text);
        } else {
            node_member_answered(n, msg->from, msg->member);
        }
        break;
    case PC_MSG_INVITE:
        node_join_invited(n, msg->member);
        break;
    case PC_MSG_DISK:
        node_disk_recv(n, msg);
        break;
    case PC_MSG_DIGEST:
        node_digest_recv(n, msg);
        break;
    }
}

static void node_transfer(struct pc_node *n, pc_node_id target)
{
    struct pc_raft_event event = {.type = PC_RAFT_TRANSFER};
    event.u.transfer_target = target;
    node_raft_step(n, &event);
}

/* A leader that drains, or whose disk is full, keeps trying to hand over; so does one that knows of
 * a better disk. */
void node_hand_over_maybe(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool may = status.role == PC_RAFT_LEADER && !status.transferring &&
               pc_instant_is_due(n->hand_over_at, n->now);
    if (!may) {
        return;
    }
    bool must = node_wants_no_leadership(n);
    pc_node_id better = node_disk_successor(n);
    if (must || better != 0) {
        bool hurries = must || node_disk_space(n) >= PC_SPACE_HARD;
        n->hand_over_at =
            pc_instant_add_ms(n->now, hurries ? NODE_HAND_OVER_MS : NODE_HAND_OVER_SLOW_MS);
        node_transfer(n, better);
    }
}

static void node_wake(struct pc_node *n)
{
    struct pc_raft_event event = {.type = PC_RAFT_WAKE};
    node_raft_step(n, &event);
    node_hand_over_maybe(n);
    struct pc_swim_event swim = {.type = PC_SWIM_WAKE, .now = n->now};
    pc_swim_step(n->swim, &swim, &n->fx->swim);
    node_client_tick(n);
}

/* Everything that was marked in this turn happens here, in the order that lets one turn carry a
 * request as far as it can go. */
static void node_turn(struct pc_node *n)
{
    node_client_expire(n);
    node_read_expire(n);
    node_member_expire(n);
    node_form_maybe(n);
    node_repair_turn(n);
    node_fetch_turn(n);
    node_load_turn(n);
    node_catchup_turn(n);
    node_entries_turn(n);
    node_solo_turn(n);
    node_client_send(n);
    node_read_ask(n);
    node_member_send(n);
    node_member_yield(n);
    struct pc_raft_event turn = {.type = PC_RAFT_TURN};
    node_raft_step(n, &turn);
    node_apply(n);
    node_digest_turn(n);
    node_member_turn(n);
    node_snapshot_turn(n);
    node_order_turn(n);
    node_read_answer_ready(n);
    node_form_spread(n);
    node_raft_watch(n);
    node_catchup_update(n);
    node_disk_turn(n);
    node_progress_turn(n);
    node_quorum_turn(n);
    node_protocol_turn(n);
    if (n->members_edited) { /* found at start, where there are no effects to note it in */
        n->members_edited = false;
        node_note_add(n, PC_NOTE_MEMBERS_EDITED, 0, 0, 0, "");
    }
    node_note_members(n);
}

static void node_restored(struct pc_node *n, const struct pc_node_restored *restored)
{
    struct pc_error error;
    node_apply_destroy(n); /* it is of the log before */
    if (node_restore(n, restored, &error) != PC_OK) {
        node_note_add(n, PC_NOTE_REPAIR, 0, 0, 0, error.text);
        node_log_failed(n);
    }
}

static void node_recv_repairing(struct pc_node *n, const struct pc_msg *msg)
{
    node_peer_heard(n, msg);
    if (msg->type == PC_MSG_FETCH) {
        node_entries_asked(n, msg);
    } else if (msg->type == PC_MSG_ENTRIES) {
        node_repair_entries(n, msg);
    } else if (msg->type == PC_MSG_SNAP_ASK) {
        node_give_ask(n, msg);
    } else if (msg->type == PC_MSG_SNAP_GET) {
        node_give_get(n, msg);
    } else if (msg->type == PC_MSG_SNAP_META) {
        node_fetch_meta(n, msg);
    } else if (msg->type == PC_MSG_SNAP_CHUNK) {
        node_fetch_chunk(n, msg);
    } else if (msg->type == PC_MSG_FORWARD) {
        node_forward_recv(n, msg); /* refused: it does not lead */
    }
}

/* While entries are lost: peers, membership and the repair go on, and nothing else. */
static void node_dispatch_repairing(struct pc_node *n, const struct pc_node_event *event)
{
    struct pc_swim_event swim = {.type = PC_SWIM_WAKE, .now = n->now};
    switch (event->type) {
    case PC_NODE_WAKE:
        pc_swim_step(n->swim, &swim, &n->fx->swim);
        break;
    case PC_NODE_TURN:
        node_repair_turn(n);
        node_fetch_turn(n);
        node_note_members(n);
        break;
    case PC_NODE_CLIENT:
        (void)node_reply_add(n, event->u.request->tag, PC_REPLY_NO_LEADER);
        break;
    case PC_NODE_PEER_UP:
        node_peer_up(n, event->u.hello);
        break;
    case PC_NODE_PEER_DOWN:
        node_peer_down(n, event->u.peer);
        break;
    case PC_NODE_PEER_REFUSED:
        node_peer_refused(n, event->u.text);
        break;
    case PC_NODE_RECV:
        node_recv_repairing(n, event->u.msg);
        break;
    case PC_NODE_SWIM:
        pc_swim_step(n->swim, event->u.swim, &n->fx->swim);
        break;
    case PC_NODE_LOADED:
        node_entries_loaded(n, event);
        break;
    case PC_NODE_LOG_FAILED:
        node_log_failed(n);
        break;
    case PC_NODE_DRAIN:
        n->draining = true;
        break;
    case PC_NODE_REPAIR_DONE:
        node_repair_done(n, event->u.repair.ok, event->u.repair.closed);
        break;
    case PC_NODE_RESTORED:
        node_restored(n, event->u.restored);
        break;
    case PC_NODE_PEER_MET:
        node_lives_meet(n, event->u.hello);
        break;
    case PC_NODE_LIFE_NOTED:
        node_lives_noted(n, &event->u.life);
        break;
    case PC_NODE_SNAP:
        (void)(node_fetch_event(n, event->u.snap) || node_give_event(n, event->u.snap));
        break;
    case PC_NODE_SNAPSHOT:
    case PC_NODE_LOG_DROPPED:
    case PC_NODE_BRANCH:
    case PC_NODE_PEER_LOST:
    case PC_NODE_SYNCED:
    case PC_NODE_VOTED:
    case PC_NODE_LOG_FULL:
    case PC_NODE_LOG_FULL_END:
    case PC_NODE_DISK:
    case PC_NODE_TRANSFER:
        break;
    }
}

static void node_dispatch(struct pc_node *n, const struct pc_node_event *event)
{
    switch (event->type) {
    case PC_NODE_WAKE:
        node_wake(n);
        break;
    case PC_NODE_TURN:
        node_turn(n);
        break;
    case PC_NODE_CLIENT:
        node_client_request(n, event->u.request);
        break;
    case PC_NODE_PEER_UP:
        node_peer_up(n, event->u.hello);
        break;
    case PC_NODE_PEER_DOWN:
        node_peer_down(n, event->u.peer);
        break;
    case PC_NODE_PEER_LOST:
        node_peer_lost(n, event->u.peer);
        break;
    case PC_NODE_PEER_REFUSED:
        node_peer_refused(n, event->u.text);
        break;
    case PC_NODE_RECV:
        node_recv(n, event->u.msg);
        break;
    case PC_NODE_SWIM:
        pc_swim_step(n->swim, event->u.swim, &n->fx->swim);
        node_solo_gossiped(n, event->u.swim);
        break;
    case PC_NODE_TRANSFER:
        node_transfer(n, event->u.transfer_target);
        break;
    case PC_NODE_DRAIN:
        n->draining = true;
        node_hand_over_maybe(n);
        break;
    case PC_NODE_PEER_MET:
        node_lives_meet(n, event->u.hello);
        break;
    case PC_NODE_SYNCED:
    case PC_NODE_VOTED:
    case PC_NODE_LOADED:
    case PC_NODE_LOG_FULL:
    case PC_NODE_LOG_FULL_END:
    case PC_NODE_DISK:
    case PC_NODE_LOG_FAILED:
    case PC_NODE_LIFE_NOTED:
    case PC_NODE_SNAP:
    case PC_NODE_SNAPSHOT:
    case PC_NODE_LOG_DROPPED:
    case PC_NODE_BRANCH:
        node_log_event(n, event);
        break;
    case PC_NODE_REPAIR_DONE:
    case PC_NODE_RESTORED:
        break; /* nothing is being repaired */
    }
}

void pc_node_step(
    struct pc_node *n, const struct pc_node_event *event, struct pc_node_effects *effects)
{
    PC_ASSERT(event->now.us >= n->now.us);
    node_quorum_pass(n, event->now);
    n->fx = effects;
    /* After a failed write nothing may be promised any more; only clients still get an answer. */
    if (node_repair_is_on(n) && !n->failed) {
        node_dispatch_repairing(n, event);
    } else if (!n->failed || event->type == PC_NODE_CLIENT) {
        node_dispatch(n, event);
    }
    n->fx = NULL;
}

struct pc_instant pc_node_wake_at(const struct pc_node *n)
{
    if (n->failed) {
        return PC_INSTANT_NEVER;
    }
    struct pc_instant wake = pc_raft_wake_at(n->raft);
    wake = pc_instant_min(wake, pc_swim_wake_at(n->swim));
    wake = pc_instant_min(wake, node_repair_wake_at(n));
    wake = pc_instant_min(wake, node_snapshot_wake_at(n));
    wake = pc_instant_min(wake, node_order_wake_at(n));
    wake = pc_instant_min(wake, node_fetch_wake_at(n));
    wake = pc_instant_min(wake, node_catchup_wake_at(n));
    wake = pc_instant_min(wake, node_entries_wake_at(n));
    wake = pc_instant_min(wake, node_load_wake_at(n));
    wake = pc_instant_min(wake, node_apply_wake_at(n));
    wake = pc_instant_min(wake, node_client_wake_at(n));
    wake = pc_instant_min(wake, node_read_wake_at(n));
    wake = pc_instant_min(wake, node_member_wake_at(n));
    wake = pc_instant_min(wake, node_member_yield_wake_at(n));
    wake = pc_instant_min(wake, node_solo_wake_at(n));
    return pc_instant_min(wake, node_form_wake_at(n));
}

const struct pc_store *pc_node_store(const struct pc_node *n)
{
    return n->store;
}

const struct pc_raft *pc_node_raft(const struct pc_node *n)
{
    return n->raft;
}

const struct pc_swim *pc_node_swim(const struct pc_node *n)
{
    return n->swim;
}

void pc_node_check(const struct pc_node *n)
{
    pc_raft_check(n->raft);
    pc_swim_check(n->swim);
    node_lives_check(n);
    node_catchup_check(n);
    node_solo_check(n);
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    PC_ASSERT(n->applied <= status.commit);
    pc_index in_force = pc_raft_config_get(n->raft)->index;
    PC_ASSERT_IMPLIES(status.last > 0, node_is_formed(n) || n->joined);
    PC_ASSERT_IMPLIES(
        !node_repair_is_on(n) && n->configs_n > 0, n->configs[n->configs_n - 1].index == in_force);
    for (size_t i = 1; i < n->configs_n; i++) {
        PC_ASSERT(n->configs[i - 1].index < n->configs[i].index);
        PC_ASSERT(n->configs[i].index > status.commit);
    }
    PC_ASSERT_IMPLIES(n->configs_n > 0, pc_wire_config_is_valid(&n->config));
    PC_ASSERT((n->waiting.first == NULL) == (n->waiting.last == NULL));
    PC_ASSERT(n->writes_n <= PC_PENDING_REQUESTS_MAX && n->reads_n <= PC_PENDING_REQUESTS_MAX);
    size_t unasked = 0, reads = 0;
    for (const struct node_read *read = n->reads_first; read != NULL; read = read->next) {
        reads++;
        unasked += read->ctx == 0 ? 1 : 0;
        PC_ASSERT_IMPLIES(read->ctx == 0, read->index == 0);
    }
    PC_ASSERT(reads == n->reads_n && unasked == n->reads_unasked);
}
