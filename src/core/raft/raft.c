/* The face of the machine: create, step, look in. What each event does lives in the file named
 * after it; this one only finds the way there. */
#include "raft_int.h"

#include <stdlib.h>

void pc_raft_opts_default(struct pc_raft_opts *opts)
{
    *opts = (struct pc_raft_opts){
        .heartbeat_ms = 50,
        .election_min_ms = 500,
        .election_max_ms = 1000,
        .lost_leader_jitter_ms = 50,
        .tail_bytes_max = PC_RAFT_TAIL_BYTES_MAX,
    };
}

/* Election timeouts leave time to hear a leader. A node that votes alone has nobody to hear. */
static bool voter_is_alone(const struct pc_raft_config *config, pc_node_id self)
{
    return config->voters_n == 1 && config->voters[0] == self;
}

struct pc_raft *pc_raft_new(
    const struct pc_raft_opts *opts, const struct pc_raft_restored *restored, struct pc_instant now)
{
    PC_ASSERT(opts->id != 0);
    PC_ASSERT(opts->heartbeat_ms > 0 && opts->heartbeat_ms < opts->election_min_ms);
    PC_ASSERT(opts->election_min_ms <= opts->election_max_ms);
    struct pc_raft *r = pc_xalloc(sizeof *r);
    r->opts = *opts;
    r->now = now;
    pc_prng_seed(&r->prng, opts->seed);
    raft_log_create(&r->log, restored);
    r->role = PC_RAFT_FOLLOWER;
    r->term = restored->term;
    r->vote = restored->vote;
    r->commit = restored->commit;
    r->durable = restored->last;
    r->acked = restored->last; /* perhaps all of it, by the process before this one */
    r->doubt = restored->doubt;
    raft_config_create(r, restored);
    if (r->term < raft_log_last_term(&r->log)) {
        /* A snapshot was taken over, and the term with it: no promise of that term was durable, so
         * none was made. */
        r->term = raft_log_last_term(&r->log);
        r->vote = 0;
    }
    PC_ASSERT_IMPLIES(r->doubt != 0, r->term > r->doubt && raft_log_last_term(&r->log) <= r->doubt);
    r->clock_ms = restored->wall_ms;
    r->clock_at = now;
    r->fresh_until = now;
    raft_election_reset(r);
    if (voter_is_alone(&r->config, r->opts.id)) {
        r->election_at = now;
    }
    return r;
}

void pc_raft_delete(struct pc_raft *r)
{
    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < r->held_n; i++) {
        pc_raft_msg_clear(&r->held[i].msg);
    }
    free(r->held);
    pc_entries_clear(&r->building.entries);
    raft_log_destroy(&r->log);
    raft_config_destroy(r);
    free(r->marks);
    free(r->reads);
    free(r);
}

void pc_raft_bootstrap(
    struct pc_raft *r, const struct pc_entry *entry, const struct pc_raft_config *config)
{
    PC_ASSERT(raft_log_last(&r->log) == 0 && r->config.index == 0);
    PC_ASSERT(entry->index == 1 && entry->kind == PC_ENTRY_CONFIG && config->index == 1);
    PC_ASSERT(raft_config_is_valid(config));
    if (r->term < entry->term) {
        r->term = entry->term;
        r->vote = 0;
        raft_write_vote(r);
    }
    raft_write_append(r, entry);
    if (r->config.index == 0) {
        raft_config_push(r, config);
    }
    /* A log of one entry has never had a leader: there is none to hear of or to disturb. Elections
     * are as safe at this hour as at any other; only the wait for a sign of life is left out. */
    r->leader_lost = true;
    bool is_alone = voter_is_alone(config, r->opts.id);
    pc_ms wait = is_alone ? 0 : pc_prng_between(&r->prng, 0, r->opts.lost_leader_jitter_ms);
    r->election_at = pc_instant_add_ms(r->now, wait);
}

static void raft_wake(struct pc_raft *r)
{
    if (r->role == PC_RAFT_LEADER) {
        if (r->transferring && pc_instant_is_due(r->transfer_until, r->now)) {
            raft_transfer_give_up(r);
        }
        if (pc_instant_is_due(r->heartbeat_at, r->now)) {
            raft_heartbeat(r);
        }
    } else if (pc_instant_is_due(r->election_at, r->now)) {
        raft_election_campaign(r);
    }
}

static void raft_recv(struct pc_raft *r, const struct pc_raft_msg *m)
{
    if (m->from == 0 || m->from == r->opts.id) {
        return;
    }
    switch (m->type) {
    case PC_RAFT_MSG_VOTE:
        raft_recv_vote(r, m);
        break;
    case PC_RAFT_MSG_VOTE_RESP:
        raft_recv_vote_resp(r, m);
        break;
    case PC_RAFT_MSG_APPEND:
        raft_recv_append(r, m);
        break;
    case PC_RAFT_MSG_APPEND_RESP:
        raft_recv_append_resp(r, m);
        break;
    case PC_RAFT_MSG_READ:
        raft_recv_read(r, m);
        break;
    case PC_RAFT_MSG_READ_RESP:
        raft_recv_read_resp(r, m);
        break;
    case PC_RAFT_MSG_TIMEOUT_NOW:
        raft_recv_timeout_now(r, m);
        break;
    case PC_RAFT_MSG_SNAPSHOT:
        raft_recv_snapshot(r, m);
        break;
    }
}

static void raft_read(struct pc_raft *r, uint64_t ctx)
{
    if (r->role == PC_RAFT_LEADER) {
        raft_read_add(r, ctx, 0);
    } else if (r->leader != 0) {
        struct pc_raft_msg m = raft_msg(r, PC_RAFT_MSG_READ, r->leader);
        m.u.read.ctx = ctx;
        raft_send(r, &m, 0);
    } else {
        raft_read_report(r, ctx, 0);
    }
}

static void raft_turn(struct pc_raft *r)
{
    if (r->role == PC_RAFT_LEADER) {
        raft_read_begin_round(r);
        raft_replicate(r);
        raft_maybe_retire(r);
    }
    size_t bytes_max = r->opts.tail_bytes_max + RAFT_UNCOMMITTED_BYTES_MAX;
    if (r->log.bytes >= bytes_max) {
        /* Whoever applies slowly (a replay after a start) loads from the disk what is there. */
        raft_log_trim(
            &r->log, r->commit < r->durable ? r->commit : r->durable, r->opts.tail_bytes_max);
    }
    r->is_full = r->log.bytes >= bytes_max;
    raft_write_flush(r);
}

static void raft_take(struct pc_raft *r, const struct pc_raft_event *event)
{
    switch (event->type) {
    case PC_RAFT_WAKE:
        raft_wake(r);
        break;
    case PC_RAFT_RECV:
        raft_recv(r, event->u.recv);
        break;
    case PC_RAFT_PROPOSE:
        raft_propose(r, event->u.propose.v, event->u.propose.n);
        break;
    case PC_RAFT_READ:
        raft_read(r, event->u.read_ctx);
        break;
    case PC_RAFT_SYNCED:
        raft_recv_synced(r, event->u.synced_seq);
        break;
    case PC_RAFT_VOTED:
        raft_recv_voted(r, event->u.synced_seq);
        break;
    case PC_RAFT_LOADED:
        raft_recv_loaded(r, event->u.loaded.peer, event->u.loaded.entries);
        break;
    case PC_RAFT_PEER_RESTARTED:
        raft_peer_restarted(r, event->u.peer);
        break;
    case PC_RAFT_PEER_UP:
        raft_election_peer_up(r, event->u.peer);
        break;
    case PC_RAFT_LEADER_LOST:
        raft_leader_lost(r, event->u.leader_lost);
        break;
    case PC_RAFT_TRANSFER:
        raft_transfer_begin(r, event->u.transfer_target);
        break;
    case PC_RAFT_TURN:
        raft_turn(r);
        break;
    case PC_RAFT_JOIN:
        PC_ASSERT(raft_log_last(&r->log) == 0 && r->config.index == 0);
        r->joining = true;
        break;
    case PC_RAFT_COMPACTED:
        raft_compacted(r, event->u.compacted_first);
        break;
    case PC_RAFT_INSTALL:
        raft_install(r, event->u.install);
        break;
    case PC_RAFT_OFFER:
        raft_offer(r, event->u.offer);
        break;
    case PC_RAFT_FETCHING:
        r->fetching = event->u.fetching_until;
        break;
    }
}

void pc_raft_step(
    struct pc_raft *r, const struct pc_raft_event *event, struct pc_raft_effects *effects)
{
    PC_ASSERT(event->now.us >= r->now.us && r->fx == NULL);
    r->now = event->now;
    r->fx = effects;
    raft_take(r, event);
    r->fx = NULL;
}

struct pc_instant pc_raft_wake_at(const struct pc_raft *r)
{
    if (r->role != PC_RAFT_LEADER) {
        return r->config.index > 0 ? r->election_at : PC_INSTANT_NEVER;
    }
    return r->transferring ? pc_instant_min(r->heartbeat_at, r->transfer_until) : r->heartbeat_at;
}

/* ---- looking in */

void pc_raft_status(const struct pc_raft *r, struct pc_raft_status *status)
{
    *status = (struct pc_raft_status){
        .role = r->role,
        .term = r->term,
        .vote = r->vote,
        .leader = r->leader,
        .first = raft_log_oldest(&r->log),
        .first_in_memory = raft_log_first(&r->log),
        .last = raft_log_last(&r->log),
        .durable = r->durable,
        .commit = r->commit,
        .transferring = r->transferring,
        .suspended = r->suspended,
        .joining = r->joining && r->config.index == 0,
        .doubt = r->doubt,
        .leader_ready = r->role == PC_RAFT_LEADER && r->commit >= r->term_start,
        .elections_started = r->elections_started,
        .elections_won = r->elections_won,
        .divergence = r->divergence,
    };
}

bool pc_raft_can_propose(const struct pc_raft *r)
{
    return r->role == PC_RAFT_LEADER && !r->transferring && !raft_disk_is_behind(r) && !r->is_full;
}

const struct pc_entry *pc_raft_entry(const struct pc_raft *r, pc_index index)
{
    return raft_log_get(&r->log, index);
}

pc_term pc_raft_term_at(const struct pc_raft *r, pc_index index)
{
    return raft_log_term_at(&r->log, index);
}

void pc_raft_applied(struct pc_raft *r, pc_index applied)
{
    PC_ASSERT(applied <= r->commit && applied >= r->applied);
    r->applied = applied;
    /* What is not on this disk yet cannot be loaded from it, even if others made it committed. */
    pc_index upto = applied < r->durable ? applied : r->durable;
    raft_log_trim(&r->log, upto, r->opts.tail_bytes_max);
}
