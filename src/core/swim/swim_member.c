/* The table of members, and the one rule by which two statements about a member become one.
 *
 * Statements form a semilattice: lives, that is pairs (generation, incarnation), are ordered, a
 * later one replaces an earlier one whole; within one life the worse state wins, and of two
 * addresses or names the greater one, for no better reason than that everybody must choose the
 * same. So the order in which gossip arrives does not matter, nor does hearing it twice. */
#include "swim_int.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

static int life_compare(const struct pc_member *a, const struct pc_member *b)
{
    if (a->generation != b->generation) {
        return a->generation < b->generation ? -1 : 1;
    }
    return (a->incarnation > b->incarnation) - (a->incarnation < b->incarnation);
}

static int addr_compare(const struct pc_addr *a, const struct pc_addr *b)
{
    int order = memcmp(a->ip, b->ip, sizeof a->ip);
    return order != 0 ? order : (a->port > b->port) - (a->port < b->port);
}

/* Joins what is said into the record of the same member; true when that changed it. The accuser
 * is no part of the order: it goes with the state that it brought. */
bool pc_swim_record_join(struct pc_member *into, const struct pc_member *said)
{
    PC_ASSERT(into->id == said->id);
    int order = life_compare(said, into);
    if (order != 0) {
        if (order > 0) {
            *into = *said;
        }
        return order > 0;
    }
    bool changed = false;
    if (said->state > into->state) {
        into->state = said->state;
        into->accuser = said->accuser;
        changed = true;
    }
    if (addr_compare(&said->addr, &into->addr) > 0) {
        into->addr = said->addr;
        changed = true;
    }
    if (strcmp(said->name, into->name) > 0) {
        memcpy(into->name, said->name, sizeof into->name);
        changed = true;
    }
    return changed;
}

bool pc_swim_is_live(const struct pc_member *member)
{
    return member->state == PC_MEMBER_ALIVE || member->state == PC_MEMBER_SUSPECT;
}

size_t pc_swim_live_n(struct pc_swim *swim)
{
    if (swim->live_n == 0) {
        for (size_t i = 0; i < swim->n; i++) {
            swim->live_n += pc_swim_is_live(&swim->members[i]);
        }
    }
    return swim->live_n;
}

/* The first index from 1 on whose id is not below `id`. */
static size_t lower_bound(const struct pc_swim *swim, pc_node_id id)
{
    size_t begin = 1;
    size_t end = swim->n;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (swim->members[middle].id < id) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

size_t pc_swim_index(const struct pc_swim *swim, pc_node_id id)
{
    size_t i = lower_bound(swim, id);
    return i < swim->n && swim->members[i].id == id ? i : 0;
}

static void grow(struct pc_swim *swim)
{
    if (swim->n < swim->cap) {
        return;
    }
    swim->cap *= 2;
    swim->members = pc_xrealloc(swim->members, swim->cap * sizeof *swim->members);
    swim->peers = pc_xrealloc(swim->peers, swim->cap * sizeof *swim->peers);
    swim->scratch = pc_xrealloc(swim->scratch, swim->cap * sizeof *swim->scratch);
    swim->news = pc_xrealloc(swim->news, swim->cap * sizeof *swim->news);
    swim->order = pc_xrealloc(swim->order, swim->cap * sizeof *swim->order);
}

static void forget(struct pc_swim *swim, size_t i)
{
    PC_ASSERT(i > 0 && i < swim->n);
    PC_ASSERT(!pc_swim_is_live(&swim->members[i]));
    pc_swim_round_remove(swim, swim->members[i].id);
    size_t behind = swim->n - i - 1;
    memmove(&swim->members[i], &swim->members[i + 1], behind * sizeof *swim->members);
    memmove(&swim->peers[i], &swim->peers[i + 1], behind * sizeof *swim->peers);
    swim->n--;
}

/* Makes room in a full table: the member that left longest ago goes, else the one dead longest. */
static bool maybe_forget(struct pc_swim *swim)
{
    size_t victim = 0;
    for (size_t i = 1; i < swim->n; i++) {
        const struct pc_member *member = &swim->members[i];
        struct pc_instant since = swim->peers[i].since;
        bool gone = !pc_swim_is_live(member) &&
                    pc_instant_is_due(pc_instant_add_ms(since, SWIM_FORGET_AFTER_MS), swim->now);
        if (!gone) {
            continue;
        }
        enum pc_member_state worst = swim->members[victim].state;
        bool older = member->state == worst && since.us < swim->peers[victim].since.us;
        if (victim == 0 || member->state > worst || older) {
            victim = i;
        }
    }
    if (victim != 0) {
        forget(swim, victim);
    }
    return victim != 0;
}

/* Begins whatever the new state of members[i] asks for. */
static void enter_state(struct pc_swim *swim, size_t i)
{
    swim->live_n = 0;
    swim->peers[i].since = swim->now;
    swim->peers[i].declared = false;
    if (swim->members[i].state == PC_MEMBER_SUSPECT) {
        pc_swim_suspicion_begin(swim, i);
    } else if (swim->members[i].state == PC_MEMBER_DEAD) {
        swim->stats.deaths++;
    }
}

static void add(struct pc_swim *swim, const struct pc_member *said)
{
    bool full = swim->n == PC_MEMBERS_MAX;
    /* What is only a memory never pushes out another. */
    if (full && !(pc_swim_is_live(said) && maybe_forget(swim))) {
        swim->stats.messages_ignored++;
        return;
    }
    grow(swim);
    size_t i = lower_bound(swim, said->id);
    size_t behind = swim->n - i;
    memmove(&swim->members[i + 1], &swim->members[i], behind * sizeof *swim->members);
    memmove(&swim->peers[i + 1], &swim->peers[i], behind * sizeof *swim->peers);
    swim->members[i] = *said;
    swim->peers[i] = (struct swim_peer){0};
    pc_swim_round_insert(swim, said->id); /* while n still counts the members without it */
    swim->n++;
    enter_state(swim, i);
    pc_swim_note_change(swim, i, true);
}

void pc_swim_note_change(struct pc_swim *swim, size_t i, bool visible)
{
    PC_ASSERT(i < swim->n);
    swim->peers[i].sent = 0;
    swim->peers[i].change = ++swim->change;
    swim->no_news = false; /* this record, and others too when the number of live members grew */
    swim->live_n = 0;
    struct pc_swim_effects *effects = swim->effects;
    PC_ASSERT(effects != NULL);
    if (!visible) {
        return;
    }
    if (effects->changed_n == effects->changed_cap) {
        effects->changed_cap = effects->changed_cap == 0 ? 8 : effects->changed_cap * 2;
        effects->changed =
            pc_xrealloc(effects->changed, effects->changed_cap * sizeof *effects->changed);
    }
    effects->changed[effects->changed_n++] = swim->members[i];
}

void pc_swim_announce(struct pc_swim *swim, enum pc_member_state state, uint32_t incarnation)
{
    struct pc_member *self = &swim->members[0];
    PC_ASSERT(self->state == PC_MEMBER_ALIVE);
    PC_ASSERT(state == PC_MEMBER_ALIVE || state == PC_MEMBER_LEFT);
    PC_ASSERT(incarnation >= self->incarnation);
    bool visible = state != self->state;
    self->state = state;
    self->incarnation = incarnation;
    pc_swim_note_change(swim, 0, visible);
}

/* Whatever is not our latest word about ourselves is overridden by a later one. */
static void hear_of_self(struct pc_swim *swim, const struct pc_member *said)
{
    const struct pc_member *self = &swim->members[0];
    bool of_this_life = said->generation == self->generation;
    bool worse = said->incarnation == self->incarnation && said->state != PC_MEMBER_ALIVE;
    if (!of_this_life || (!worse && said->incarnation <= self->incarnation)) {
        return;
    }
    if (self->state == PC_MEMBER_LEFT) {
        return;
    }
    swim->stats.refutations++;
    if (worse) {
        pc_swim_health_worsen(swim, 1); /* others do not hear us, or not in time */
    }
    pc_swim_announce(swim, PC_MEMBER_ALIVE, said->incarnation + 1);
}

static bool is_sane(const struct pc_member *said)
{
    return said->id != 0 && said->state >= PC_MEMBER_ALIVE && said->state <= PC_MEMBER_LEFT &&
           said->name[0] != '\0' && memchr(said->name, '\0', sizeof said->name) != NULL &&
           said->incarnation < UINT32_MAX; /* there must be one above it to refute with */
}

static void join_known(struct pc_swim *swim, size_t i, const struct pc_member *said)
{
    struct pc_member *member = &swim->members[i];
    struct pc_member before = *member;
    bool same_life = life_compare(said, member) == 0;
    if (!pc_swim_record_join(member, said)) {
        if (same_life && said->state == PC_MEMBER_SUSPECT && member->state == PC_MEMBER_SUSPECT) {
            pc_swim_suspicion_confirm(swim, i, said->accuser);
        }
        return;
    }
    bool restarted = before.generation != member->generation;
    if (member->state != before.state || life_compare(member, &before) != 0) {
        enter_state(swim, i);
    }
    bool moved = !pc_addr_equal(&before.addr, &member->addr);
    pc_swim_note_change(swim, i, restarted || moved || before.state != member->state);
}

/* The one way by which anything said of a member, by others or by our own probes, gets in. */
void pc_swim_hear(struct pc_swim *swim, const struct pc_member *said)
{
    if (!is_sane(said)) {
        swim->stats.messages_ignored++;
        return;
    }
    if (said->id == swim->opts.self.id) {
        hear_of_self(swim, said);
        return;
    }
    if (pc_addr_is_none(&said->addr)) {
        swim->stats.messages_ignored++; /* nobody could reach it */
        return;
    }
    size_t i = pc_swim_index(swim, said->id);
    if (i != 0) {
        join_known(swim, i, said);
    } else {
        add(swim, said);
    }
}
