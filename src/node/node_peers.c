/* Who may talk to this node, and who is there. A voter is a node id: a known name with another id
 * is a new disk under an old name, and its promises are not the old one's. */
#include <stdio.h>
#include <string.h>

#include "node_int.h"

#define ID_HEX "%016llx"

static unsigned long long hex(uint64_t id)
{
    return (unsigned long long)id;
}

static bool history_is_none(const uint8_t history[16])
{
    static const uint8_t none[16];
    return memcmp(history, none, sizeof none) == 0;
}

bool node_peer_is_empty(const struct node_peer *peer)
{
    return history_is_none(peer->hello.history);
}

struct node_peer *node_peer_find(struct pc_node *n, pc_node_id id)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        if (n->peers[i].hello.id == id) {
            return &n->peers[i];
        }
    }
    return NULL;
}

bool pc_node_peer_is_up(const struct pc_node *n, pc_node_id id)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        if (n->peers[i].hello.id == id) {
            return n->peers[i].up;
        }
    }
    return false;
}

const char *node_name_of(const struct pc_node *n, pc_node_id id)
{
    for (size_t i = 0; i < n->config.members_n; i++) {
        if (n->config.members[i].id == id) {
            return n->config.members[i].name;
        }
    }
    for (size_t i = 0; i < n->peers_n; i++) {
        if (n->peers[i].hello.id == id) {
            return n->peers[i].hello.name;
        }
    }
    return id == n->opts.id ? n->opts.name : "";
}

/* A slot for this peer: its own, one of the same name (an earlier identity, gone), a free one, or
 * one of a peer that is down. NULL when all are up. */
static struct node_peer *peer_slot(struct pc_node *n, const struct pc_peer_hello *hello)
{
    struct node_peer *down = NULL, *earlier = NULL;
    for (size_t i = 0; i < n->peers_n; i++) {
        struct node_peer *peer = &n->peers[i];
        if (peer->hello.id == hello->id) {
            return peer;
        }
        down = peer->up ? down : peer;
        bool is_free = !peer->up || !node_is_formed(n);
        earlier = is_free && strcmp(peer->hello.name, hello->name) == 0 ? peer : earlier;
    }
    if (earlier != NULL) {
        return earlier;
    }
    return n->peers_n < NODE_PEERS_MAX ? &n->peers[n->peers_n++] : down;
}

void node_peer_up(struct pc_node *n, const struct pc_peer_hello *hello)
{
    node_lives_meet(n, hello);
    struct node_peer *peer = hello->id != n->opts.id ? peer_slot(n, hello) : NULL;
    if (peer == NULL) {
        return;
    }
    bool runs_on = peer->hello.id == hello->id && peer->hello.generation == hello->generation;
    *peer = (struct node_peer){
        .hello = *hello,
        .up = true,
        .spoke_raft = !history_is_none(hello->history),
        .kept_log = !history_is_none(hello->history),
        .form_at = n->now,
        .invite_at = n->now,
    };
    peer->stranger_at = pc_instant_add_ms(n->now, peer->kept_log ? 0 : 2 * n->opts.dead_after_ms);
    node_member_poke(n);
    n->refused[0] = '\0';
    struct pc_raft_event event = {.type = PC_RAFT_PEER_RESTARTED};
    event.u.peer = hello->id;
    if (!runs_on) {
        node_raft_step(n, &event);
    }
    event.type = PC_RAFT_PEER_UP;
    node_raft_step(n, &event);
    node_client_give_up(n);
    node_repair_peer_changed(n, hello->id, true);
    node_catchup_peer_changed(n, hello->id);
    node_fetch_peer_changed(n, hello->id);
}

void node_peer_down(struct pc_node *n, pc_node_id id)
{
    struct node_peer *peer = node_peer_find(n, id);
    if (peer != NULL) {
        peer->up = false;
        node_member_poke(n);
        node_client_give_up(n);
        node_repair_peer_changed(n, id, false);
        node_catchup_peer_changed(n, id);
        node_fetch_peer_changed(n, id);
    }
}

bool node_peer_has_acknowledged(const struct pc_node *n, pc_node_id id)
{
    struct pc_raft_peer_status status;
    return pc_raft_peer(n->raft, id, n->now, &status) && status.match > 0;
}

void node_peer_lost(struct pc_node *n, pc_node_id peer)
{
    struct pc_raft_event event = {.type = PC_RAFT_LEADER_LOST};
    event.u.leader_lost = peer;
    node_raft_step(n, &event);
}

void node_peer_refused(struct pc_node *n, const char *text)
{
    (void)snprintf(n->refused, sizeof n->refused, "%s", text); /* for people: may be cut */
    node_note_add(n, PC_NOTE_REFUSED, 0, 0, 0, text);
    node_solo_refused(n);
}

void node_peer_heard(struct pc_node *n, const struct pc_msg *msg)
{
    node_solo_heard(n, msg->from);
    struct node_peer *peer = node_peer_find(n, msg->from);
    if (peer == NULL) {
        return;
    }
    if (msg->type == PC_MSG_RAFT || msg->type == PC_MSG_FORM) {
        peer->spoke_raft = true; /* who sends entry 1 has it */
    }
    if (pc_instant_ms_between(peer->contact_at, n->now) >= NODE_CONTACT_MS) {
        peer->contact_at = n->now;
        struct pc_swim_event event = {.type = PC_SWIM_CONTACT, .now = n->now, .id = msg->from};
        pc_swim_step(n->swim, &event, &n->fx->swim);
    }
}

/* A member that had a log on its disk and comes without one has forgotten what it had acknowledged:
 * it must not count as the voter it was. To speak Raft is not enough: one whose power fails when
 * its vote is durable and entry 1 is not yet, comes back with all that it promised. */
static pc_err admit_known(
    const struct pc_node *n, const struct pc_peer_hello *hello, struct pc_error *error)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        const struct node_peer *peer = &n->peers[i];
        bool had_log = peer->hello.id == hello->id &&
                       (peer->kept_log || node_peer_has_acknowledged(n, hello->id));
        if (had_log && history_is_none(hello->history)) {
            return pc_error_set(error, PC_E_AUTH,
                "%s (id " ID_HEX ") had a log and comes without one: restore its data directory",
                hello->name, hex(hello->id));
        }
    }
    return PC_OK;
}

/* Whoever has this history and is not known here may have become a member later than this node's
 * log goes. Only a leader at work knows for certain that it has not, and whoever has seen it go. */
static bool knows_all_members(const struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    return status.leader_ready;
}

static pc_err admit_removed(
    const struct pc_node *n, const struct pc_peer_hello *hello, struct pc_error *error)
{
    if (!node_config_is_removed(n, hello->id) && !knows_all_members(n)) {
        return PC_OK;
    }
    return pc_error_set(error, PC_E_AUTH,
        "%s (id " ID_HEX ") is not a member: it was removed from this cluster; to have it back, add"
        " it again and start it with an empty data directory",
        hello->name, hex(hello->id));
}

static bool is_around(const struct pc_node *n, pc_node_id id)
{
    const struct pc_member *seen = pc_swim_find(n->swim, id);
    bool is_alive =
        seen != NULL && (seen->state == PC_MEMBER_ALIVE || seen->state == PC_MEMBER_SUSPECT);
    return id == n->opts.id || pc_node_peer_is_up(n, id) || is_alive;
}

/* An empty disk under a known name may take the place of one that is gone, or that is to be
 * replaced: whether it does is the leader's decision (node_member_auto.c). */
static pc_err admit_namesake(const struct pc_node *n, const struct pc_peer_hello *hello,
    const struct pc_cluster_member *member, struct pc_error *error)
{
    bool is_empty = history_is_none(hello->history);
    for (size_t i = 0; i < n->config.members_n && is_empty; i++) {
        const struct pc_cluster_member *other = &n->config.members[i];
        bool is_same = strcmp(other->name, hello->name) == 0;
        bool is_lost = n->opts.replaces_lost && !is_around(n, other->id);
        if (is_same && (other->id == 0 || is_lost)) {
            return PC_OK;
        }
    }
    if (!is_empty && !node_config_is_removed(n, hello->id) && !knows_all_members(n)) {
        return PC_OK;
    }
    for (size_t i = 0; i < n->config.members_n; i++) { /* one that is invited has no id yet */
        const struct pc_cluster_member *other = &n->config.members[i];
        bool has_id = other->id != 0 && strcmp(other->name, hello->name) == 0;
        member = has_id ? other : member;
    }
    if (member->id == 0) {
        return pc_error_set(error, PC_E_AUTH,
            "%s is to come with an empty data directory, but calls with the data of id " ID_HEX
            ": start it with an empty one",
            hello->name, hex(hello->id));
    }
    return pc_error_set(error, PC_E_AUTH,
        "%s is known here by id " ID_HEX ", but calls with id " ID_HEX ": its data directory is"
        " empty or not its own; restore the data directory that it had%s",
        hello->name, hex(member->id), hex(hello->id),
        is_empty ? ", or stop whatever runs under this name, or have it replaced" : "");
}

static pc_err admit_to_formed(
    const struct pc_node *n, const struct pc_peer_hello *hello, struct pc_error *error)
{
    char mine[33], theirs[33];
    pc_hex_encode(n->config.history, 16, mine);
    pc_hex_encode(hello->history, 16, theirs);
    if (!history_is_none(hello->history) && strcmp(mine, theirs) != 0) {
        return pc_error_set(error, PC_E_AUTH,
            "%s belongs to another cluster: its history is %s, that of %s is %s; start it with the"
            " data directory that it had here, or leave it in its own cluster",
            hello->name, theirs, n->opts.name, mine);
    }
    const struct pc_cluster_member *member = node_config_get(&n->config, hello->id);
    if (member != NULL && strcmp(member->name, hello->name) == 0) {
        return admit_known(n, hello, error);
    }
    if (member != NULL) {
        return pc_error_set(error, PC_E_AUTH,
            "%s calls with id " ID_HEX ", by which %s is known here: it is not a member under this"
            " name; start it under its own name, or with its own data directory",
            hello->name, hex(hello->id), member->name);
    }
    for (size_t i = 0; i < n->config.members_n; i++) {
        if (strcmp(n->config.members[i].name, hello->name) == 0) {
            return admit_namesake(n, hello, &n->config.members[i], error);
        }
    }
    if (!history_is_none(hello->history)) {
        return admit_removed(n, hello, error);
    }
    return pc_error_set(error, PC_E_AUTH,
        "%s (id " ID_HEX ") " NODE_TEXT_NOT_A_MEMBER " (history %s): add it first", hello->name,
        hex(hello->id), mine);
}

/* Of another history than this node, which may have been told its own since they met. */
static bool history_is_foreign(const struct pc_node *n, const uint8_t history[16])
{
    bool knows = n->has_history || n->joined;
    return knows && !history_is_none(history) && memcmp(n->history, history, 16) != 0;
}

bool node_peer_is_foreign(struct pc_node *n, pc_node_id id)
{
    const struct node_peer *peer = node_peer_find(n, id);
    return peer != NULL && !node_is_formed(n) && history_is_foreign(n, peer->hello.history);
}

/* Who has data may be a member of the cluster that this node comes into; it forms none with it. */
static pc_err admit_to_unformed(
    const struct pc_node *n, const struct pc_peer_hello *hello, struct pc_error *error)
{
    if (history_is_foreign(n, hello->history)) {
        return pc_error_set(error, PC_E_AUTH,
            "%s (id " ID_HEX ") belongs to another cluster than the one that %s was invited into",
            hello->name, hex(hello->id), n->opts.name);
    }
    bool is_ok = !history_is_none(hello->history) || n->opts.members_n == 0;
    for (size_t i = 0; i < n->opts.members_n; i++) {
        is_ok |= strcmp(n->opts.members[i], hello->name) == 0;
    }
    for (size_t i = 0; i < n->opts.spares_n; i++) {
        is_ok |= strcmp(n->opts.spares[i], hello->name) == 0;
    }
    if (is_ok) {
        return PC_OK;
    }
    return pc_error_set(error, PC_E_AUTH,
        "%s (id " ID_HEX ") is not among the [cluster] members and spares of %s", hello->name,
        hex(hello->id), n->opts.name);
}

pc_err pc_node_admit(
    const struct pc_node *n, const struct pc_peer_hello *hello, struct pc_error *error)
{
    if (strcmp(hello->name, n->opts.name) == 0) {
        return pc_error_set(error, PC_E_AUTH,
            "two nodes are called %s: ids " ID_HEX " and " ID_HEX "; give each its own [node] name",
            hello->name, hex(n->opts.id), hex(hello->id));
    }
    if (hello->id == n->opts.id) {
        return pc_error_set(error, PC_E_AUTH,
            "%s calls with id " ID_HEX
            ", which is that of %s: its data directory is a copy; start it"
            " with an empty one",
            hello->name, hex(hello->id), n->opts.name);
    }
    pc_err err =
        node_is_formed(n) ? admit_to_formed(n, hello, error) : admit_to_unformed(n, hello, error);
    if (err == PC_OK) {
        err = node_protocol_admit(n, hello, error);
    }
    return err == PC_OK ? node_lives_admit(n, hello, error) : err;
}

void pc_node_hello(const struct pc_node *n, struct pc_peer_hello *out)
{
    *out = (struct pc_peer_hello){.id = n->opts.id, .generation = n->opts.generation};
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (n->has_history || (n->joined && status.durable >= 1)) {
        memcpy(out->history, n->history, sizeof out->history);
    } else if (status.durable >= 1) { /* before that it could still be forgotten */
        memcpy(out->history, n->config.history, sizeof out->history);
    }
    memcpy(out->name, n->opts.name, sizeof out->name);
    memcpy(out->build, n->opts.build, sizeof out->build);
    out->protocols = n->opts.protocols;
    node_lives_hello(n, out);
}
