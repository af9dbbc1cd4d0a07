/* The invariants that one state can show, as a program. The numbers are those of swim_int.h. */
#include "swim_int.h"

#include <string.h>

#include "pcache/assert.h"

static void check_self(const struct pc_swim *swim)
{
    const struct pc_member *self = &swim->members[0];
    PC_ASSERT(self->id == swim->opts.self.id);
    /* 42 */
    PC_ASSERT(self->state == PC_MEMBER_ALIVE || self->state == PC_MEMBER_LEFT);
    /* 43 */
    PC_ASSERT(self->generation == swim->opts.self.generation);
    PC_ASSERT(self->incarnation >= 1);
    PC_ASSERT_IMPLIES(self->state == PC_MEMBER_LEFT, swim->probe.target == 0);
}

static void check_suspicion(const struct pc_swim *swim, size_t i)
{
    const struct swim_peer *peer = &swim->peers[i];
    PC_ASSERT(peer->accusers_n <= SWIM_ACCUSERS_MAX);
    PC_ASSERT(peer->confirmations_max >= 1 && peer->confirmations_max < SWIM_ACCUSERS_MAX);
    /* 45, while it runs */
    struct pc_instant least = pc_instant_add_ms(peer->suspected_at, swim->opts.suspicion_min_ms);
    PC_ASSERT(peer->deadline.us >= least.us);
    for (uint32_t a = 0; a < peer->accusers_n; a++) {
        PC_ASSERT(peer->accusers[a] != 0);
        for (uint32_t b = 0; b < a; b++) {
            PC_ASSERT(peer->accusers[a] != peer->accusers[b]);
        }
    }
}

static void check_member(const struct pc_swim *swim, size_t i)
{
    const struct pc_member *member = &swim->members[i];
    const struct swim_peer *peer = &swim->peers[i];
    PC_ASSERT(member->id != 0 && member->id != swim->opts.self.id);
    PC_ASSERT_IMPLIES(i > 1, member->id > swim->members[i - 1].id);
    PC_ASSERT(!pc_addr_is_none(&member->addr));
    PC_ASSERT(member->name[0] != '\0');
    PC_ASSERT(memchr(member->name, '\0', sizeof member->name) != NULL);
    PC_ASSERT(peer->since.us <= swim->now.us && peer->change <= swim->change);
    if (member->state == PC_MEMBER_SUSPECT) {
        check_suspicion(swim, i);
    }
    if (peer->declared) {
        /* 45 */
        struct pc_instant least =
            pc_instant_add_ms(peer->suspected_at, swim->opts.suspicion_min_ms);
        PC_ASSERT(!pc_swim_is_live(member));
        PC_ASSERT(peer->since.us >= least.us);
    }
}

/* What is kept to spare walks over the table says the same as a walk. */
static void check_shortcuts(const struct pc_swim *swim)
{
    size_t live_n = 0;
    size_t suspects_n = 0;
    for (size_t i = 0; i < swim->n; i++) {
        live_n += pc_swim_is_live(&swim->members[i]);
        suspects_n += swim->members[i].state == PC_MEMBER_SUSPECT;
    }
    PC_ASSERT_IMPLIES(swim->live_n != 0, swim->live_n == live_n);
    PC_ASSERT_IMPLIES(swim->no_suspects, suspects_n == 0);
    uint32_t limit = pc_swim_transmit_limit(live_n);
    for (size_t i = 0; i < swim->n; i++) {
        PC_ASSERT_IMPLIES(swim->no_news, swim->peers[i].sent >= limit);
    }
    for (size_t k = 0; k < SWIM_RELAYS_MAX; k++) {
        const struct swim_relay *relay = &swim->relays[k];
        PC_ASSERT_IMPLIES(relay->target != 0, swim->nack_at.us <= relay->nack_at.us);
    }
}

static void check_probe(const struct pc_swim *swim)
{
    const struct swim_probe *probe = &swim->probe;
    PC_ASSERT_IMPLIES(probe->target != 0, probe->started_at.us <= swim->now.us);
    PC_ASSERT_IMPLIES(probe->target != 0, probe->verdict_at.us > swim->now.us);
    PC_ASSERT(probe->nacks_n <= probe->helpers_n);
    PC_ASSERT(swim->doubts_n <= SWIM_DOUBTS_MAX);
    PC_ASSERT(swim->health <= swim->opts.health_max);
}

/* The round holds every member but self exactly once: as many as there are, all known, and no
 * two alike. */
static void check_round(const struct pc_swim *swim)
{
    PC_ASSERT(swim->order_next <= swim->n - 1);
    for (size_t k = 0; k + 1 < swim->n; k++) {
        PC_ASSERT(pc_swim_index(swim, swim->order[k]) != 0);
        for (size_t j = 0; j < k; j++) {
            PC_ASSERT(swim->order[j] != swim->order[k]);
        }
    }
}

void pc_swim_check(const struct pc_swim *swim)
{
    PC_ASSERT(swim->effects == NULL);
    PC_ASSERT(swim->n >= 1 && swim->n <= swim->cap && swim->n <= PC_MEMBERS_MAX);
    check_self(swim);
    for (size_t i = 1; i < swim->n; i++) {
        check_member(swim, i);
    }
    check_round(swim);
    check_probe(swim);
    check_shortcuts(swim);
    PC_ASSERT(swim->wake_at.us >= swim->now.us);
}
