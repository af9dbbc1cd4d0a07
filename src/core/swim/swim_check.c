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
    PC_ASSERT_IMPLIES(swim->probe.target != 0, swim->probe.started_at.us <= swim->now.us);
    PC_ASSERT(swim->wake_at.us >= swim->now.us);
}
