/* The leader's work on the members: requests, changes that are due by themselves, invitations.
 *
 * A leader begins with it when it is ready (an entry of its own term is committed), and changes one
 * thing at a time: the next one waits until the last one is committed (pc_raft_can_change_config).
 *
 * A member counts as gone only when nothing speaks for it: no link to it, no answer of Raft, SWIM
 * does not know it alive, and this leader has been at work long enough to have heard of it. After a
 * restart of everybody nobody has met the others yet: to be unknown is not to be gone. */
#include <stdio.h>
#include <string.h>

#include "node_int.h"

/* ---- who is there */

static pc_ms member_silent_ms(const struct pc_node *n, pc_node_id id)
{
    struct pc_raft_peer_status peer;
    return pc_raft_peer(n->raft, id, n->now, &peer) ? peer.silent_ms : UINT64_MAX;
}

bool node_member_is_alive(const struct pc_node *n, pc_node_id id)
{
    return id == n->opts.id ||
           (pc_node_peer_is_up(n, id) && member_silent_ms(n, id) < NODE_MEMBER_ALIVE_MS);
}

/* Alive, as of so short a time ago that it may be counted on for a change of votes. */
bool node_member_is_fresh(const struct pc_node *n, pc_node_id id)
{
    return node_member_is_alive(n, id) &&
           (id == n->opts.id || member_silent_ms(n, id) < n->opts.raft.election_min_ms);
}

bool node_member_is_gone(struct pc_node *n, pc_node_id id)
{
    if (id == n->opts.id || pc_node_peer_is_up(n, id) || n->leading.term == 0 ||
        pc_instant_ms_between(n->leading.since, n->now) < n->opts.dead_after_ms ||
        member_silent_ms(n, id) < n->opts.dead_after_ms) {
        return false;
    }
    const struct pc_member *seen = pc_swim_find(n->swim, id);
    return seen == NULL || seen->state == PC_MEMBER_DEAD || seen->state == PC_MEMBER_LEFT;
}

/* ---- how learners keep up */

static struct node_learner *learner_of(struct pc_node *n, pc_node_id id)
{
    for (size_t i = 0; i < n->leading.learners_n; i++) {
        if (n->leading.learners[i].id == id) {
            return &n->leading.learners[i];
        }
    }
    if (n->leading.learners_n == PC_CLUSTER_MEMBERS_MAX) {
        return NULL;
    }
    struct node_learner *learner = &n->leading.learners[n->leading.learners_n++];
    *learner = (struct node_learner){.id = id, .mark_at = n->now, .mark = UINT64_MAX};
    return learner;
}

/* Under load a learner is never at the end, but always where the end was a moment ago. */
static void learner_look(struct pc_node *n, struct node_learner *learner, pc_index last)
{
    struct pc_raft_peer_status peer;
    bool is_there = pc_node_peer_is_up(n, learner->id) &&
                    pc_raft_peer(n->raft, learner->id, n->now, &peer) &&
                    peer.silent_ms < NODE_MEMBER_ALIVE_MS &&
                    node_disk_peer_has_room(n, learner->id); /* a vote takes storing */
    pc_ms round = pc_instant_ms_between(learner->mark_at, n->now);
    bool was_reached = is_there && peer.match >= learner->mark;
    bool is_near = is_there && peer.match + NODE_CAUGHT_UP_LAG >= last && peer.match > 0;
    if (is_near || (was_reached && round <= NODE_CAUGHT_UP_ROUND_MS)) {
        learner->good_since = learner->is_good ? learner->good_since : n->now;
        learner->is_good = true;
    } else if (!is_there || round > NODE_CAUGHT_UP_ROUND_MS) {
        learner->is_good = false;
    }
    if (was_reached || is_near || round > NODE_CAUGHT_UP_ROUND_MS) {
        learner->mark = last;
        learner->mark_at = n->now;
    }
}

static void learners_look(struct pc_node *n)
{
    struct node_leading *l = &n->leading;
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    for (size_t i = l->learners_n; i-- > 0;) {
        const struct pc_cluster_member *member = node_config_get(&n->config, l->learners[i].id);
        if (member == NULL || member->votes) {
            l->learners[i] = l->learners[--l->learners_n];
        }
    }
    for (size_t i = 0; i < n->config.members_n; i++) {
        const struct pc_cluster_member *member = &n->config.members[i];
        struct node_learner *learner =
            member->id != 0 && !member->votes ? learner_of(n, member->id) : NULL;
        if (learner != NULL) {
            learner_look(n, learner, status.last);
        }
    }
}

bool node_member_is_caught_up(const struct pc_node *n, pc_node_id id)
{
    for (size_t i = 0; i < n->leading.learners_n; i++) {
        const struct node_learner *learner = &n->leading.learners[i];
        if (learner->id == id) {
            return learner->is_good &&
                   pc_instant_ms_between(learner->good_since, n->now) >= NODE_CAUGHT_UP_MS;
        }
    }
    return false;
}

bool node_member_may_vote(const struct pc_node *n, pc_node_id id)
{
    return node_member_is_caught_up(n, id) && node_member_is_fresh(n, id);
}

/* ---- changes */

/* Returns the index of the entry. */
static pc_index member_propose(struct pc_node *n, const struct pc_cluster_config *config)
{
    struct pc_buf buf = {0};
    struct pc_raft_proposal proposal = {.kind = PC_ENTRY_CONFIG};
    pc_wire_encode_config(config, &buf);
    pc_err err = pc_blob_new(pc_slice_of(buf.data, buf.len), &proposal.body);
    pc_buf_destroy(&buf);
    if (err != PC_OK) {
        pc_out_of_memory(sizeof(struct pc_blob));
    }
    struct pc_raft_event event = {.type = PC_RAFT_PROPOSE};
    event.u.propose.v = &proposal;
    event.u.propose.n = 1;
    node_raft_step(n, &event);
    pc_blob_unref(proposal.body);
    n->proposed_at = n->now;
    return n->configs[n->configs_n - 1].index;
}

static void member_hand_over(struct pc_node *n)
{
    struct pc_raft_event event = {.type = PC_RAFT_TRANSFER}; /* to the most advanced voter */
    if (pc_instant_is_due(n->hand_over_at, n->now)) {
        n->hand_over_at = pc_instant_add_ms(n->now, NODE_HAND_OVER_MS);
        node_raft_step(n, &event);
    }
}

static void member_answer(struct pc_node *n, pc_node_id asker, uint64_t nonce,
    enum pc_member_result result, const char *text)
{
    struct pc_member_msg answer = {.nonce = nonce, .result = result};
    (void)snprintf(answer.text, sizeof answer.text, "%s", text);
    if (asker == n->opts.id) {
        node_member_answered(n, n->opts.id, &answer);
    } else if (pc_node_peer_is_up(n, asker)) {
        struct pc_msg *msg = node_msg_add(n, PC_MSG_MEMBER_RESULT, asker);
        msg->member = pc_xalloc(sizeof *msg->member);
        *msg->member = answer;
    }
}

/* Takes part in leading: ready, and not about to stop. */
static bool member_may_lead(const struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    return status.leader_ready && !status.transferring && !n->draining && !n->log_full;
}

#define NOT_A_MEMBER "the asking node is not a member"

void node_member_handle(struct pc_node *n, pc_node_id asker, const struct pc_member_msg *ask)
{
    struct pc_member_change change = {.op = ask->op, .want = ask->want};
    memcpy(change.name, ask->name, sizeof change.name);
    if (!member_may_lead(n)) {
        member_answer(n, asker, ask->nonce, PC_MEMBER_RETRY, "");
        return;
    }
    if (n->leading.asker == asker && n->leading.nonce == ask->nonce) {
        /* Heard twice: what was done at its word is no reason to refuse it. */
        if (n->leading.change_index == 0) {
            member_answer(n, asker, ask->nonce, PC_MEMBER_DONE, "");
        }
        return;
    }
    /* Asked again, it may have been removed by the very request: that is looked at, not refused. */
    bool is_stranger = node_config_get(&n->config, asker) == NULL;
    if (is_stranger && !ask->again) {
        member_answer(n, asker, ask->nonce, PC_MEMBER_REFUSED, NOT_A_MEMBER);
        return;
    }
    if (ask->op == PC_MEMBER_YIELD && strcmp(ask->name, node_name_of(n, asker)) != 0) {
        return; /* it speaks for itself alone */
    }
    struct pc_cluster_config config = n->config;
    bool changed, hand_over;
    char text[PC_MEMBER_TEXT_BYTES_MAX + 1];
    enum pc_member_result result =
        node_member_plan(n, &change, ask->again, &config, &changed, &hand_over, text);
    if (is_stranger && (changed || hand_over)) {
        member_answer(n, asker, ask->nonce, PC_MEMBER_REFUSED, NOT_A_MEMBER);
        return;
    }
    if (result == PC_MEMBER_DONE && (changed || ask->op != PC_MEMBER_YIELD)) {
        if (!pc_raft_can_change_config(n->raft)) {
            member_answer(n, asker, ask->nonce, PC_MEMBER_RETRY,
                "another change of the members is under way, and not committed yet");
            return;
        }
        if (!node_member_config_lives(n, &config)) {
            member_answer(n, asker, ask->nonce, PC_MEMBER_RETRY,
                "so few voters answer that it could not be committed");
            return;
        }
        /* Also where nothing is left to be done: a leader that was deposed does not know what has
         * become of it since, and only that this entry is committed proves that it was not. */
        n->leading.change_index = member_propose(n, &config);
        n->leading.asker = asker;
        n->leading.nonce = ask->nonce;
        return;
    }
    if (hand_over) {
        member_hand_over(n);
    }
    member_answer(n, asker, ask->nonce, result, text);
}

/* Whoever waits hears it when the entry is committed. A leader that is deposed answers nothing: the
 * asking node sees its term end. */
static void change_watch(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (n->leading.change_index == 0 || status.commit < n->leading.change_index) {
        return;
    }
    n->leading.change_index = 0;
    member_answer(n, n->leading.asker, n->leading.nonce, PC_MEMBER_DONE, "");
}

static bool change_next(struct pc_node *n)
{
    struct pc_cluster_config config = n->config;
    bool hand_over;
    char why[PC_MEMBER_TEXT_BYTES_MAX + 1];
    if (!node_member_next(n, &config, &hand_over, why)) {
        return false;
    }
    if (node_protocol_lacks(n, PC_PROTOCOL_MEMBERS, why, sizeof why)) {
        return true; /* once it speaks it */
    }
    if (hand_over) {
        member_hand_over(n);
    } else if (pc_raft_can_change_config(n->raft)) {
        pc_index index = member_propose(n, &config);
        if (why[0] != '\0') {
            n->leading.calm_at = pc_instant_add_ms(n->now, n->opts.dead_after_ms);
            node_note_add(n, PC_NOTE_DEATH, 0, index, 0, why);
        }
    }
    return true;
}

/* ---- telling others */

/* Members that have nothing yet, by a config that will not be rolled back. What entry 1 names gets
 * entry 1 itself (node_form.c), as long as it is there. */
static bool member_is_to_be_invited(const struct pc_node *n, const struct node_peer *peer)
{
    const struct node_config *settled = &n->configs[0];
    const struct pc_cluster_member *member = node_config_get(&settled->members, peer->hello.id);
    /* One that was invited and started anew knows the history, and still has nothing of it. */
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    return peer->up && (settled->index > 1 || status.first > 1) && member != NULL &&
           (node_peer_is_empty(peer) || !member->votes) &&
           !node_peer_has_acknowledged(n, peer->hello.id);
}

static void member_invite(struct pc_node *n, struct node_peer *peer)
{
    peer->invite_at = pc_instant_add_ms(n->now, NODE_INVITE_MS);
    struct pc_msg *msg = node_msg_add(n, PC_MSG_INVITE, peer->hello.id);
    msg->member = pc_xalloc(sizeof *msg->member);
    memcpy(msg->member->history, n->config.history, sizeof msg->member->history);
    memcpy(msg->member->name, peer->hello.name, sizeof msg->member->name);
}

static void stranger_tell(struct pc_node *n, struct node_peer *peer)
{
    size_t count;
    char text[PC_MEMBER_TEXT_BYTES_MAX + 1];
    const struct pc_cluster_member *same = node_config_named(&n->config, peer->hello.name, &count);
    if (node_peer_is_empty(peer) && same != NULL) {
        (void)snprintf(text, sizeof text,
            "%s is known here by id %016llx, which is not gone; this one has id %016llx: give it a"
            " name of its own, or stop the other one",
            peer->hello.name, (unsigned long long)same->id, (unsigned long long)peer->hello.id);
    } else {
        (void)snprintf(text, sizeof text,
            "%s (id %016llx) was removed from this cluster: to have it back, add it again and start"
            " it with an empty data directory",
            peer->hello.name, (unsigned long long)peer->hello.id);
    }
    peer->stranger_at = pc_instant_add_ms(n->now, NODE_STRANGER_MS);
    member_answer(n, peer->hello.id, 0, PC_MEMBER_REMOVED, text);
}

static bool member_tell(struct pc_node *n)
{
    bool has_work = false;
    for (size_t i = 0; i < n->peers_n; i++) {
        struct node_peer *peer = &n->peers[i];
        if (peer->up && node_config_get(&n->config, peer->hello.id) == NULL) {
            has_work = true;
            if (n->configs_n == 1 && pc_instant_is_due(peer->stranger_at, n->now)) {
                stranger_tell(n, peer);
            }
        } else if (member_is_to_be_invited(n, peer)) {
            has_work = true;
            if (pc_instant_is_due(peer->invite_at, n->now)) {
                member_invite(n, peer);
            }
        }
    }
    return has_work;
}

/* ---- turns */

/* Something that time alone may bring on. */
static bool member_is_unfinished(struct pc_node *n)
{
    for (size_t i = 0; i < n->config.members_n; i++) {
        const struct pc_cluster_member *member = &n->config.members[i];
        bool is_to_vote = !member->votes && member->id != 0 && member->want == PC_WANT_VOTER;
        if (is_to_vote || node_member_is_leaving(member) || node_member_is_relieved(member)) {
            return true;
        }
    }
    return node_member_awaits_death(n);
}

static void leading_begin(struct pc_node *n, pc_term term)
{
    n->leading = (struct node_leading){.term = term, .since = n->now, .turn_at = n->now};
    for (size_t i = 0; i < n->peers_n; i++) { /* strangers get a moment to find their place */
        n->peers[i].stranger_at = pc_instant_add_ms(n->now, 2 * n->opts.dead_after_ms);
    }
}

void node_member_turn(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    struct node_leading *l = &n->leading;
    if (!status.leader_ready) {
        l->term = 0;
        l->has_work = false;
        return;
    }
    if (l->term != status.term) {
        leading_begin(n, status.term);
    }
    change_watch(n);
    /* What follows on a change comes at once: between the loss of a dead one's vote and the vote of
     * the spare no other node may be missed. */
    bool is_settled_now = l->is_open && n->configs_n == 1;
    l->is_open = n->configs_n > 1;
    if (!is_settled_now && !pc_instant_is_due(l->turn_at, n->now)) {
        return;
    }
    l->turn_at = pc_instant_add_ms(n->now, NODE_MEMBER_TURN_MS);
    learners_look(n);
    bool has_work = member_may_lead(n) && n->configs_n == 1 && change_next(n);
    has_work |= member_tell(n);
    l->is_open = n->configs_n > 1;
    l->has_work = has_work || l->is_open || member_is_unfinished(n);
}

struct pc_instant node_member_wake_at(const struct pc_node *n)
{
    struct pc_instant wake = node_member_ask_wake_at(n);
    return n->leading.has_work ? pc_instant_min(wake, n->leading.turn_at) : wake;
}

void node_member_poke(struct pc_node *n)
{
    n->leading.turn_at = n->now;
    n->leading.has_work = n->leading.term != 0;
}
