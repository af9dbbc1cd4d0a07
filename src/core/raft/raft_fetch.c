/* Entries from peers that are not the leader: a node that was away asks whoever has them, and the
 * leader's own time goes to new ones.
 *
 * Why an OFFER loses nothing that was acknowledged, and makes nothing count that should not.
 *
 * 1. It only appends, and only what links by chain to the last entry here. Nothing is removed, no
 *    acknowledgement that was given becomes untrue.
 * 2. The giver knows the entries committed, and the chain says that everything here is what it has
 *    before them. So afterwards the whole log here is committed entries: as a voter this node
 *    refuses only logs that lack some of them, and no such log may win; as a candidate it has more
 *    of what every leader has to have.
 * 3. It raises no commit index, and is not acknowledged. An answer to the leader says `match` only
 *    for what the leader itself asked about with (prev_index, prev_term, prev_chain), or sent; the
 *    own end goes into `hint`, of which a leader makes questions and never counts.
 * 4. Where the leader of this term has other entries (only one that is deposed and does not know
 *    it has: the entries are committed), its APPEND replaces them. No acknowledgement of them was
 *    given in this term, or it would be of this leader's own log. The leader that committed them
 *    counted others: what this node acknowledged to it, it did in its term, and that is over
 *    when this node still listens to the older one.
 * 5. Should a giver be wrong, and the entries were never committed, they are a tail like any that a
 *    failed leader leaves behind: terms do not fall and are not above this node's, so a later
 *    (index, term) of the leader's that is not here is answered with a refusal, and truncates them.
 * 6. Doubt about the own log's end goes when an entry of a later term is durable, whoever gave it:
 *    by its chain everything before it is what the leader of that term had. */
#include "raft_int.h"

/* ---- the follower */

static bool offer_fits(
    const struct pc_raft *r, const struct pc_entry *entry, const struct pc_hash *chain)
{
    struct pc_hash follows = pc_entry_chain(chain, entry);
    return entry->index == raft_log_last(&r->log) + 1 && entry->term > 0 &&
           entry->term >= raft_log_last_term(&r->log) && entry->term <= r->term &&
           entry->stamp_ms >= raft_log_last_stamp(&r->log) &&
           pc_hash_equal(&follows, &entry->chain) && raft_config_is_readable(r, entry);
}

bool pc_raft_takes_offers(const struct pc_raft *r)
{
    bool takes_part = r->config.index > 0 || r->joining;
    return r->role == PC_RAFT_FOLLOWER && takes_part && !raft_disk_is_behind(r);
}

void raft_offer(struct pc_raft *r, const struct pc_entries *entries)
{
    if (!pc_raft_takes_offers(r)) {
        return;
    }
    struct pc_hash chain;
    bool known = raft_log_chain_at(&r->log, raft_log_last(&r->log), &chain);
    PC_ASSERT(known); /* the last one is in memory, or the base is it */
    for (size_t i = 0; i < entries->n; i++) {
        const struct pc_entry *entry = &entries->v[i];
        if (entry->index <= raft_log_last(&r->log)) {
            continue; /* the leader, or another peer, was faster */
        }
        if (!offer_fits(r, entry, &chain)) {
            return;
        }
        raft_write_append(r, entry);
        chain = entry->chain;
    }
}

/* Until the leader has asked about all of it: then it knows where to go on. */
pc_index raft_fetching_until(const struct pc_raft *r)
{
    return r->fetching > r->acked ? r->fetching : 0;
}

/* ---- the leader */

/* The peer's log goes on behind what it has acknowledged: the next heartbeat asks about its end. */
static void fetch_ask_about(struct pc_raft *r, struct raft_progress *p, const struct pc_raft_msg *m)
{
    pc_index end =
        raft_log_agree_at_most(&r->log, m->u.append_resp.hint, m->u.append_resp.hint_term);
    if (p->state == RAFT_SNAPSHOT || end <= p->match || end < p->next) {
        return;
    }
    PC_ASSERT(end <= raft_log_last(&r->log));
    raft_progress_on_rejected(p, end + 1);
    p->beat = false; /* at the pace of heartbeats */
}

void raft_fetch_note(struct pc_raft *r, struct raft_progress *p, const struct pc_raft_msg *m)
{
    if (m->u.append_resp.fetching == 0) {
        p->fetching = 0;
        p->fetch_end = 0;
        p->fetch_failed = false;
        return;
    }
    if (p->fetch_failed) {
        return;
    }
    pc_index end = m->u.append_resp.accepted ? m->u.append_resp.match : 0;
    end = end > m->u.append_resp.hint ? end : m->u.append_resp.hint;
    if (p->fetching == 0 || end > p->fetch_end) {
        p->fetch_end = end;
        p->fetch_grew_at = r->now;
    }
    p->fetching = m->u.append_resp.fetching;
    if (m->u.append_resp.accepted) {
        fetch_ask_about(r, p, m);
    }
}

bool raft_fetch_waits(const struct pc_raft *r, struct raft_progress *p)
{
    if (p->fetching < p->next) {
        return false;
    }
    if (pc_instant_ms_between(p->fetch_grew_at, r->now) >= RAFT_FETCH_STALLED_MS) {
        p->fetching = 0;
        p->fetch_failed = true; /* until it says that it has ended */
    }
    return p->fetching > 0;
}
