/* Entries that this node's disk has lost are fetched from peers before anything else is done: as
 * long as one is missing there is no Raft machine, and hence no vote, no acknowledgement, no
 * campaign and no answer to a client.
 *
 *            gaps                      all filled, or a snapshot helps
 *   START ---------> FETCHING ---------------------------> REOPEN --- RESTORED ---> Raft
 *                      |  ^  next peer, on any mismatch      ^
 *                      |  +-- silence, or nothing there      |
 *                      |                                     |
 *                      +--> the leader has others: CUT ------+   (Raft then begins under doubt)
 *
 * Any peer that is admitted may answer, whatever it holds itself, for the hash chain proves what it
 * says: entries that lead from the one in front of the gap to the one behind it are those that were
 * lost, or the hash is broken. So nodes that have lost different entries help each other.
 *
 * Peers may have none of them any more: entries that a snapshot stands for are dropped. When all
 * were asked in vain, and one of them has nothing, such a snapshot is fetched beside the questions
 * (node_snapshot_fetch.c). It stands for committed entries only. The log is opened anew behind it,
 * and what it does not cover stays missing.
 *
 * A truncation may be among what was lost: then the entry in front of the gap is not the one that
 * the lost ones follow. Where a peer's entries do not link there, they are fetched from behind the
 * gap's floor on, which is known committed.
 *
 * Entries that link to the ones before are not thereby the right ones: a peer's uncommitted tail
 * does. Only the gap's last entry tells. So when what one peer gives does not fit behind what
 * another one gave, the gap is begun anew with the one that was asked last.
 *
 * When nobody can have the entries: e is the gap's last one, of term t. Either of two answers
 * proves that e is not committed, and cannot be any more:
 *   - the leader of a term T >= t, which has committed an entry c of its term, has another entry in
 *     its place, or a log that ends before;
 *   - any node has another entry in its place and knows that to be committed (its word is as of the
 *     question, its entries are of later: what was committed then is what it sends).
 *   1. The second is plain: of two entries at one index at most one is ever committed.
 *   2. In the first e is not of term T: a leader has everything that it made itself. So t < T.
 *   3. Were e committed by a leader of a term below T, the leader of T would have it (Leader
 *      Completeness).
 *   4. Were it committed by the leader of a term above T, that one would have c, too, and e, being
 *      of a lower term, in front of c. Then the leader of T would have e in front of c as well (Log
 *      Matching).
 * t is in what the log has kept of e, or is not known; then it is at most this node's own term.
 * Only where a cut was begun and not ended, that term is one above the doubt noted with it, no
 * leader ever spoke to this node in it, and the doubt is the bound: in it stands what the node had
 * seen before. (Should it have heard a leader of that very term after an earlier cut, a leader of
 * the doubt's own term may be believed that knows nothing of e. That cuts without need, see below.)
 *
 * A leader whose term is below that bound proves nothing, and may stay for ever. It is told this
 * node's term as any leader of the past is, which ends its term, and the next one's is above. That
 * promises nothing, and happens at most once for a term.
 *
 * What is in front of e in the gap may be committed nevertheless, and this node lacks it. So it
 * does not start as if all were well: the log is cut in front of the gap and comes under doubt (see
 * raft.h), which ends when a leader has brought everything. No committed entry depends on the
 * proof: the doubt makes any cut safe (src/edge/wal/wal_cut.c), a needless one costs time. */
#include <stdlib.h>
#include <string.h>

#include "node_int.h"

bool node_repair_is_on(const struct pc_node *n)
{
    return n->repair.gaps_n > 0;
}

static const struct pc_node_gap *gap_now(const struct pc_node *n)
{
    const struct node_repair *r = &n->repair;
    return r->at < r->gaps_n ? &r->gaps[r->at] : NULL;
}

static void forget_answers(struct pc_node *n)
{
    memset(n->repair.asked_in_vain, 0, sizeof n->repair.asked_in_vain);
}

/* From the start of the gap, or from behind its floor. */
static void gap_begin(struct pc_node *n, bool from_floor)
{
    struct node_repair *r = &n->repair;
    const struct pc_node_gap *gap = gap_now(n);
    r->peer = 0;
    r->giver = 0;
    r->probing = false;
    r->from_floor = from_floor;
    if (gap != NULL) {
        r->next = from_floor ? gap->floor + 1 : gap->first;
        r->chain = from_floor ? gap->floor_chain : gap->before;
    }
}

void node_repair_begin(
    struct pc_node *n, const struct pc_node_gap *gaps, size_t gaps_n, pc_term doubt)
{
    struct node_repair *r = &n->repair;
    uint64_t nonce = r->nonce;
    free(r->gaps);
    *r = (struct node_repair){
        .gaps_n = gaps_n, .doubt = doubt, .nonce = nonce + 1, .ask_at = n->now};
    r->is_news = gaps_n > 0 || doubt != 0;
    if (gaps_n == 0) {
        return;
    }
    r->gaps = pc_xalloc(gaps_n * sizeof *gaps);
    memcpy(r->gaps, gaps, gaps_n * sizeof *gaps);
    gap_begin(n, false);
}

/* Says once what is going on; at a start there are no effects to say it in. */
static void tell(struct pc_node *n, pc_node_id peer, const char *text)
{
    const struct pc_node_gap *gap = gap_now(n);
    if (gap != NULL) {
        node_note_add(n, PC_NOTE_REPAIR, peer, gap->first, gap->last, text);
    }
}

static struct pc_node_repair *effect_add(struct pc_node *n, enum pc_node_repair_type type)
{
    struct pc_node_effects *fx = n->fx;
    PC_ASSERT(!n->repair.busy);
    n->repair.busy = true;
    if (fx->repairs_n == fx->repairs_cap) {
        fx->repairs_cap = fx->repairs_cap == 0 ? 2 : fx->repairs_cap * 2;
        fx->repairs = pc_xrealloc(fx->repairs, fx->repairs_cap * sizeof *fx->repairs);
    }
    struct pc_node_repair *repair = &fx->repairs[fx->repairs_n++];
    *repair = (struct pc_node_repair){.type = type, .gap = n->repair.at};
    if (type != PC_NODE_REPAIR_PUT && n->snapshot.newest.base.index > n->repair.opened_at) {
        repair->base = n->snapshot.newest.base;
        n->repair.opened_at = repair->base.index;
    }
    return repair;
}

/* A snapshot came that the log was not opened with yet, and that stands for what is missing next,
 * all of it or some. */
static bool snapshot_helps(const struct pc_node *n)
{
    const struct pc_node_gap *gap = gap_now(n);
    pc_index base = n->snapshot.newest.base.index;
    return gap != NULL && base >= gap->first && base > n->repair.opened_at;
}

/* ---- asking */

static struct node_peer *peer_to_ask(struct pc_node *n)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        size_t at = (i + n->repair.turn) % n->peers_n;
        if (n->peers[at].up && !n->repair.asked_in_vain[at]) {
            return &n->peers[at];
        }
    }
    return NULL;
}

static void ask(struct pc_node *n, struct node_peer *peer, pc_index first, pc_index last)
{
    struct node_repair *r = &n->repair;
    struct pc_msg *msg = node_msg_add(n, PC_MSG_FETCH, peer->hello.id);
    msg->fetch.nonce = ++r->nonce;
    msg->fetch.first = first;
    msg->fetch.last = last;
    r->peer = peer->hello.id;
    r->ask_at = pc_instant_add_ms(n->now, NODE_REPAIR_ANSWER_MS);
}

/* The peer asked has nothing to give: another one, and all of them again after a while. */
static void pass_over(struct pc_node *n)
{
    struct node_repair *r = &n->repair;
    for (size_t i = 0; i < n->peers_n; i++) {
        if (n->peers[i].hello.id == r->peer) {
            r->asked_in_vain[i] = true;
            r->turn = i + 1;
        }
    }
    r->peer = 0;
    r->probing = false;
    r->ask_at = n->now;
    if (peer_to_ask(n) == NULL) {
        if (r->is_dropped && node_repair_is_on(n)) {
            node_fetch_want(n, r->next);
        }
        forget_answers(n);
        r->ask_at = pc_instant_add_ms(n->now, NODE_REPAIR_RETRY_MS);
    }
}

/* Entry 1 is lost with the whole log: only its history tells the right one. */
static bool wants_first(const struct pc_node *n)
{
    return !node_repair_is_on(n) && n->has_history && !node_is_formed(n) && !n->joined;
}

void node_repair_turn(struct pc_node *n)
{
    struct node_repair *r = &n->repair;
    if (r->is_news && !node_repair_is_on(n)) {
        r->is_news = false;
        node_repair_tell_doubt(n);
    }
    if ((!node_repair_is_on(n) && !wants_first(n)) || r->busy) {
        return;
    }
    if (r->is_news) {
        r->is_news = false;
        tell(n, 0, "lost, fetching from peers");
    }
    if (node_repair_is_on(n) && (gap_now(n) == NULL || snapshot_helps(n))) {
        (void)effect_add(n, PC_NODE_REPAIR_REOPEN);
        return;
    }
    if (!pc_instant_is_due(r->ask_at, n->now)) {
        return;
    }
    if (r->peer != 0) {
        pass_over(n); /* it did not answer in time */
    }
    struct node_peer *peer = pc_instant_is_due(r->ask_at, n->now) ? peer_to_ask(n) : NULL;
    if (peer == NULL) {
        r->ask_at = pc_instant_add_ms(n->now, NODE_REPAIR_RETRY_MS);
    } else if (node_repair_is_on(n)) {
        pc_index last = gap_now(n)->last;
        ask(n, peer, r->probing ? last : r->next, last);
    } else {
        ask(n, peer, 1, 1);
    }
}

struct pc_instant node_repair_wake_at(const struct pc_node *n)
{
    bool waits = (node_repair_is_on(n) || wants_first(n)) && !n->repair.busy;
    return waits ? n->repair.ask_at : PC_INSTANT_NEVER;
}

void node_repair_peer_changed(struct pc_node *n, pc_node_id peer, bool up)
{
    struct node_repair *r = &n->repair;
    if (up) {
        forget_answers(n);
        r->ask_at = r->peer == 0 ? n->now : r->ask_at;
    } else if (peer == r->peer) {
        r->peer = 0;
        r->ask_at = n->now;
    }
}

/* ---- answers */

/* Are the entries those that follow, and those that the gap ends with? */
static bool entries_fit(const struct pc_node *n, const struct pc_entries *v, struct pc_hash *chain)
{
    const struct node_repair *r = &n->repair;
    const struct pc_node_gap *gap = gap_now(n);
    *chain = r->chain;
    for (size_t i = 0; i < v->n; i++) {
        const struct pc_entry *entry = &v->v[i];
        struct pc_hash follows = pc_entry_chain(chain, entry);
        if (entry->index != r->next + i || entry->index > gap->last ||
            !pc_hash_equal(&follows, &entry->chain)) {
            return false;
        }
        *chain = follows;
    }
    return r->next + v->n <= gap->last || pc_hash_equal(chain, &gap->anchor);
}

/* What the term of the gap's last entry is at most. */
static pc_term gap_term(const struct pc_node *n)
{
    const struct node_repair *r = &n->repair;
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status); /* of the term and vote that stood on disk */
    if (gap_now(n)->last_term != 0) {
        return gap_now(n)->last_term;
    }
    bool was_cutting = r->doubt != 0 && status.term == r->doubt + 1 && status.vote == 0;
    return was_cutting ? r->doubt : status.term;
}

/* Another entry stands where the gap's last one was. */
static bool has_other(const struct pc_node *n, const struct pc_fetch *fetch)
{
    const struct pc_node_gap *gap = gap_now(n);
    for (size_t i = 0; i < fetch->v.n; i++) {
        const struct pc_entry *entry = &fetch->v.v[i];
        if (entry->index == gap->last && !pc_hash_equal(&entry->chain, &gap->anchor)) {
            return true;
        }
    }
    return false;
}

/* A leader that knows nothing of this node's term: as any node answers one, without having taken
 * anything. */
static void tell_term(struct pc_node *n, pc_node_id peer)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    struct pc_msg *msg = node_msg_add(n, PC_MSG_RAFT, peer);
    msg->raft = (struct pc_raft_msg){
        .type = PC_RAFT_MSG_APPEND_RESP, .from = n->opts.id, .to = peer, .term = status.term};
}

/* See the head of this file. */
static bool proves_uncommitted(struct pc_node *n, pc_node_id from, const struct pc_fetch *fetch)
{
    bool other = has_other(n, fetch);
    if (other && fetch->commit >= gap_now(n)->last) {
        return true;
    }
    if (!fetch->leads || !(other || fetch->has_last < gap_now(n)->last)) {
        return false;
    }
    if (fetch->term < gap_term(n)) {
        tell_term(n, from);
        return false;
    }
    return true;
}

static void take_entries(struct pc_node *n, const struct pc_msg *msg, const struct pc_hash *chain)
{
    struct node_repair *r = &n->repair;
    const struct pc_node_gap *gap = gap_now(n);
    bool begins = r->next == (r->from_floor ? gap->floor + 1 : gap->first);
    struct pc_node_repair *put = effect_add(n, PC_NODE_REPAIR_PUT);
    for (size_t i = 0; i < msg->fetch.v.n; i++) {
        pc_entries_push(&put->entries, &msg->fetch.v.v[i]);
    }
    r->giver = begins || r->giver == msg->from ? msg->from : 0;
    r->chain = *chain;
    r->next += msg->fetch.v.n;
    r->peer = 0;
    r->ask_at = n->now;
    forget_answers(n);
}

/* What the peer has does not fit: it is asked again, from further back, until it is certain that it
 * has nothing to give; then for the gap's last entry alone. */
static void misfit(struct pc_node *n, pc_node_id from)
{
    struct node_repair *r = &n->repair;
    const struct pc_node_gap *gap = gap_now(n);
    pc_index start = r->from_floor ? gap->floor + 1 : gap->first;
    if (r->next != start && r->giver != from) {
        gap_begin(n, false);
    } else if (!r->from_floor && gap->floor + 1 < gap->first) {
        gap_begin(n, true); /* a lost truncation, perhaps */
    } else if (!r->probing) {
        gap_begin(n, r->from_floor);
        r->probing = true;
    } else {
        tell(n, from, "this peer has other entries");
        pass_over(n);
        gap_begin(n, false);
        return;
    }
    r->ask_at = n->now;
}

static void take_first(struct pc_node *n, const struct pc_msg *msg)
{
    struct pc_cluster_config config;
    n->repair.peer = 0;
    n->repair.ask_at = pc_instant_add_ms(n->now, NODE_REPAIR_RETRY_MS);
    if (msg->fetch.v.n == 0 && msg->fetch.has_last > 0) {
        node_join_back(n);
        return;
    }
    bool has = msg->fetch.v.n == 1 && msg->fetch.v.v[0].kind == PC_ENTRY_CONFIG &&
               pc_wire_decode_config(pc_blob_slice(msg->fetch.v.v[0].body), &config) == PC_OK;
    if (has && memcmp(config.history, n->history, sizeof n->history) == 0) {
        struct pc_msg form = {.type = PC_MSG_FORM, .from = msg->from, .form = msg->fetch.v.v[0]};
        node_form_recv(n, &form);
    }
}

void node_repair_entries(struct pc_node *n, const struct pc_msg *msg)
{
    struct node_repair *r = &n->repair;
    if (r->busy || r->peer != msg->from || r->nonce != msg->fetch.nonce) {
        return;
    }
    if (!node_repair_is_on(n)) {
        if (wants_first(n)) {
            take_first(n, msg);
        }
        return;
    }
    if (proves_uncommitted(n, msg->from, &msg->fetch)) {
        tell(n, msg->from, "not committed: other entries are");
        (void)effect_add(n, PC_NODE_REPAIR_CUT);
        return;
    }
    struct pc_hash chain;
    if (r->probing || !entries_fit(n, &msg->fetch.v, &chain)) {
        misfit(n, msg->from);
    } else if (msg->fetch.v.n == 0) {
        r->is_dropped = true;
        pass_over(n);
    } else {
        take_entries(n, msg, &chain);
    }
}

void node_repair_done(struct pc_node *n, bool ok, bool closed)
{
    struct node_repair *r = &n->repair;
    r->busy = false;
    r->ask_at = n->now;
    if (!ok) {
        /* What was put aside of this gap is gone; whatever was short may be there again later. */
        gap_begin(n, r->from_floor);
        r->ask_at = pc_instant_add_ms(n->now, NODE_REPAIR_RETRY_MS);
        return;
    }
    if (closed) {
        tell(n, 0, "repaired");
        r->at++;
        gap_begin(n, false);
    }
}
