/* Is a peer what it was? An older copy of a node's own disk carries its id and its history, and has
 * forgotten votes and acknowledgements that were counted. It must not be counted as that node
 * again.
 *
 * A life is one run of a process, numbered by its generation, which grows on its disk with every
 * start. Whoever counts what a life promises notes that life durably first:
 *
 *   peer                                               here
 *    | its disk: life g has been met                     |
 *    | first message of Raft of life g ----------------> | NOTE_LIFE {id, g}; a vote is held, all
 *    | (Raft repeats what is lost)                       | else dropped ... LIFE_NOTED
 *    | message of Raft of life g ----------------------> | given to Raft
 *    |                                                   |
 *    | a later start says HELLO: generation h,           | prev < g: an older copy, refused
 *    | prev = newest life before h that was met -------> |
 *
 * The argument.
 *
 * (1) A life writes to its own disk, in both slots of the identity, that it "has been met" before
 *     its first message of Raft leaves for a peer that has admitted it (src/pcached/identity.c).
 *     prev is the newest life of that disk that has been met, less the present one. So what is
 *     noted here of a peer's earlier lives is at most the prev that its own disk says: a node on
 *     its own disk is never refused.
 * (2) A copy was taken when the disk's newest life was some c. Each life after c that was met is
 *     numbered above c, by the disk that went on; the copy does not know it: its prev is at most
 *     c, and stays so for as long as nobody admits it, however often it is started, and whatever
 *     its clock makes of its own generation. Should a clock that was set back make it number a
 *     life as the disk that went on has, the marks differ, which are random.
 * (3) A vote or an acknowledgement of life g is counted here only behind "id -> g" on this disk.
 *     So with (2): whoever has counted a promise of a life after c refuses the copy, over restarts
 *     of its own too.
 * (4) A copy of the present life, taken while it ran or before it promised more, has the same
 *     prev. What this process itself has counted is held against it as well: a granted vote in
 *     term t means that t is on the peer's disk, and an index m acknowledged to the leader of term
 *     t stays there until a later term is. A life that begins with less in (term, last) has lost
 *     that. A peer that need not sync, or says that its log was damaged, is excused from (4), not
 *     from (3).
 *
 * What it cannot catch: a copy whose later lives nobody has counted that is alive now; and a copy
 * of the same life, once those that have counted its promises run anew. Both take the loss of every
 * disk or process that knew, beside the copy. Then nothing differs from a node that was down.
 *
 * A peer of a program that says no prev is noted and not judged. */
#include <string.h>

#include "node_int.h"

static const struct node_life *life_find(const struct pc_node *n, pc_node_id id)
{
    for (size_t i = 0; i < n->lives_n; i++) {
        if (n->lives[i].id == id) {
            return &n->lives[i];
        }
    }
    return NULL;
}

static struct node_life *life_of(struct pc_node *n, pc_node_id id)
{
    return (struct node_life *)life_find(n, id); /* of a node that may be changed */
}

PC_STATIC_ASSERT(PC_LIVES_KEPT_MAX < PC_LIVES_MAX, "there is always one that may give way");

static bool is_among(const pc_node_id *ids, size_t ids_n, pc_node_id id)
{
    size_t at = 0;
    while (at < ids_n && ids[at] != id) {
        at++;
    }
    return at < ids_n;
}

/* The newest config first: of more than fit, those of the oldest are left out. */
size_t pc_node_lives_kept(const struct pc_node *n, pc_node_id *out)
{
    size_t kept = 0;
    for (size_t c = n->configs_n; c-- > 0;) {
        const struct pc_cluster_config *config = &n->configs[c].members;
        for (size_t i = 0; i < config->members_n && kept < PC_LIVES_KEPT_MAX; i++) {
            pc_node_id id = config->members[i].id;
            if (id != 0 && id != n->opts.id && !is_among(out, kept, id)) {
                out[kept++] = id;
            }
        }
    }
    return kept;
}

/* Who has no link gives way before who has one, then who began longest ago. */
static bool gives_way_before(
    const struct pc_node *n, const struct node_life *a, const struct node_life *b)
{
    bool a_up = pc_node_peer_is_up(n, a->id), b_up = pc_node_peer_is_up(n, b->id);
    if (a_up != b_up) {
        return b_up;
    }
    return a->met != b->met ? a->met < b->met : a->noted < b->noted;
}

/* Never a member: what it has promised may be counted in any vote, and anybody who has the key can
 * make up peers without end. */
static struct node_life *life_to_give_way(struct pc_node *n)
{
    pc_node_id kept[PC_LIVES_KEPT_MAX];
    size_t kept_n = pc_node_lives_kept(n, kept);
    struct node_life *found = NULL;
    for (size_t i = 0; i < n->lives_n; i++) {
        struct node_life *life = &n->lives[i];
        if (!is_among(kept, kept_n, life->id) &&
            (found == NULL || gives_way_before(n, life, found))) {
            found = life;
        }
    }
    PC_ASSERT(found != NULL);
    return found;
}

/* The entry of this peer, made when missing. Only when all are taken something noted is forgotten.
 */
static struct node_life *life_get(struct pc_node *n, pc_node_id id)
{
    PC_ASSERT(id != 0 && id != n->opts.id);
    struct node_life *life = life_of(n, id);
    if (life != NULL) {
        return life;
    }
    life = n->lives_n < PC_LIVES_MAX ? &n->lives[n->lives_n++] : life_to_give_way(n);
    *life = (struct node_life){.id = id};
    return life;
}

void node_lives_restore(struct pc_node *n, const struct pc_node_restored *restored)
{
    PC_ASSERT(n->lives_n == 0);
    for (size_t i = 0; i < restored->lives_n && i < PC_LIVES_MAX; i++) {
        if (restored->lives[i].id != 0 && restored->lives[i].id != n->opts.id) {
            struct node_life *life = life_get(n, restored->lives[i].id);
            life->noted = restored->lives[i].generation;
            life->noted_mark = restored->lives[i].mark;
        }
    }
    n->began_term = restored->raft.term;
    n->began_last = restored->raft.last;
    n->began_lossy = n->opts.is_relaxed || restored->gaps_n > 0 || restored->raft.doubt > 0;
}

void node_lives_hello(const struct pc_node *n, struct pc_peer_hello *out)
{
    out->has_life = true;
    out->mark = n->opts.mark;
    out->prev_generation = n->opts.prev_generation;
    out->term = n->began_term;
    out->last = n->began_last;
    out->is_lossy = n->began_lossy;
}

/* ---- judging a hello */

static unsigned long long num(uint64_t v)
{
    return v;
}

/* (2), and: lives that two copies have numbered the same are told apart by their marks. */
static bool knows_less(const struct node_life *life, const struct pc_peer_hello *hello)
{
    if (hello->generation == life->noted) {
        return hello->has_life && life->noted_mark != 0 && hello->mark != life->noted_mark;
    }
    return hello->generation < life->noted ||
           (hello->has_life && hello->prev_generation < life->noted);
}

static bool has_lost(const struct node_life *life, const struct pc_peer_hello *hello)
{
    return hello->term < life->promised_term ||
           (hello->term == life->promised_term && hello->last < life->promised_last);
}

pc_err node_lives_admit(
    const struct pc_node *n, const struct pc_peer_hello *hello, struct pc_error *error)
{
    static const char remedy[] = "move it away and start the node with an empty one";
    const struct node_life *life = life_find(n, hello->id);
    if (life == NULL) {
        return PC_OK;
    }
    bool is_linked = pc_node_peer_is_up(n, hello->id) && life->met > hello->generation;
    if (hello->generation < life->noted && is_linked) {
        return pc_error_set(error, PC_E_SUPERSEDED,
            "%s (id %016llx) runs twice: a process of generation %llu is linked to %s, and this one"
            " is of generation %llu; stop one of them, and give each its own data directory",
            hello->name, num(hello->id), num(life->met), n->opts.name, num(hello->generation));
    }
    if (knows_less(life, hello)) {
        return pc_error_set(error, PC_E_STALE,
            "the data directory of %s (id %016llx) is an older copy: of generations before this"
            " start it knows those up to %llu, and %s has met %llu; %s",
            hello->name, num(hello->id),
            num(hello->has_life ? hello->prev_generation : hello->generation), n->opts.name,
            num(life->noted), remedy);
    }
    if (hello->has_life && !hello->is_lossy && hello->generation > life->met &&
        has_lost(life, hello)) {
        return pc_error_set(error, PC_E_STALE,
            "the data directory of %s (id %016llx) is an older copy: it ends at term %llu, entry"
            " %llu, and had promised %s term %llu, entry %llu; %s",
            hello->name, num(hello->id), num(hello->term), num(hello->last), n->opts.name,
            num(life->promised_term), num(life->promised_last), remedy);
    }
    return PC_OK;
}

/* ---- meeting and noting */

void node_lives_meet(struct pc_node *n, const struct pc_peer_hello *hello)
{
    if (hello->id == 0 || hello->id == n->opts.id) {
        return; /* the driver's rule lets no such peer in; here it would only be in the way */
    }
    node_solo_heard(n, hello->id);
    struct node_life *life = life_get(n, hello->id);
    if (hello->generation <= life->met) {
        return;
    }
    life->met = hello->generation;
    life->met_mark = hello->mark;
    life->is_lossy = hello->is_lossy || !hello->has_life;
    if (life->is_lossy) {
        life->promised_term = 0;
        life->promised_last = 0;
    }
}

bool node_lives_may_speak(struct pc_node *n, pc_node_id id)
{
    struct node_life *life = life_of(n, id);
    if (life == NULL || life->met == 0) {
        return false;
    }
    if (life->noted >= life->met) {
        return true;
    }
    if (life->asked < life->met) {
        life->asked = life->met;
        struct pc_life met = {.id = id, .generation = life->met, .mark = life->met_mark};
        node_life_add(n, &met);
    }
    return false;
}

/* Those who follow one leader speak to nobody else, so the first that two of them ever say to each
 * other may be a vote in a hand-over, or after the leader's death. Were it lost, its election would
 * be, and what repeats it comes an election timeout later. Heard a little late it is as good as
 * one that the network delayed. */
void node_lives_hold(struct pc_node *n, const struct pc_raft_msg *msg)
{
    struct node_life *life = life_of(n, msg->from);
    bool is_of_election = msg->type == PC_RAFT_MSG_VOTE || msg->type == PC_RAFT_MSG_VOTE_RESP;
    if (life == NULL || life->met == 0 || !is_of_election) {
        return; /* Raft repeats everything else at the next heartbeat */
    }
    life->held_of = life->met;
    life->held = (struct pc_raft_msg){
        .type = msg->type, .from = msg->from, .to = msg->to, .term = msg->term, .u = msg->u};
}

bool node_lives_release(struct pc_node *n, pc_node_id id, struct pc_raft_msg *out)
{
    struct node_life *life = life_of(n, id);
    bool may = life != NULL && life->held_of != 0 && life->noted >= life->met;
    bool is_of_this_life = may && life->held_of == life->met;
    if (is_of_this_life) {
        *out = life->held;
    }
    if (may) {
        life->held_of = 0;
    }
    return is_of_this_life;
}

void node_lives_noted(struct pc_node *n, const struct pc_life *noted)
{
    struct node_life *life = life_of(n, noted->id);
    if (life != NULL && noted->generation > life->noted) {
        life->noted = noted->generation;
        life->noted_mark = noted->mark;
    }
}

/* ---- what was counted */

static void promise_raise(struct node_life *life, pc_term term, pc_index last)
{
    if (term > life->promised_term) {
        life->promised_term = term;
        life->promised_last = last;
    } else if (term == life->promised_term && last > life->promised_last) {
        life->promised_last = last;
    }
}

void node_lives_count(struct pc_node *n, const struct pc_raft_msg *msg, bool was_candidate)
{
    struct node_life *life = life_of(n, msg->from);
    if (life == NULL || life->is_lossy) {
        return;
    }
    struct pc_raft_status status;
    struct pc_raft_peer_status peer;
    pc_raft_status(n->raft, &status);
    if (msg->type == PC_RAFT_MSG_VOTE_RESP) {
        const bool counts = was_candidate && msg->u.vote_resp.granted && !msg->u.vote_resp.pre &&
                            msg->term == status.term;
        promise_raise(life, counts ? msg->term : 0, 0);
    } else if (msg->type == PC_RAFT_MSG_APPEND_RESP && msg->u.append_resp.accepted &&
               status.role == PC_RAFT_LEADER && msg->term == status.term &&
               pc_raft_peer(n->raft, msg->from, n->now, &peer)) {
        /* Raft has looked at the message; what it has of an earlier life is not this one's word. */
        pc_index match = msg->u.append_resp.match;
        match = match < peer.match ? match : peer.match;
        promise_raise(life, match > 0 ? status.term : 0, match);
    }
}

void node_lives_check(const struct pc_node *n)
{
    PC_ASSERT(n->lives_n <= PC_LIVES_MAX);
    for (size_t i = 0; i < n->lives_n; i++) {
        const struct node_life *life = &n->lives[i];
        PC_ASSERT(life->id != 0 && life->id != n->opts.id);
        PC_ASSERT(life->asked <= life->met && life->held_of <= life->met);
        PC_ASSERT_IMPLIES(life->is_lossy, life->promised_term == 0);
        PC_ASSERT_IMPLIES(life->promised_last > 0, life->promised_term > 0);
    }
}
