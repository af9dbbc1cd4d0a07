/* Suspicion: the time in which a member may defend itself.
 *
 * A lone accuser may be the sick one, so its word alone takes suspicion_max to kill. Each further
 * member whose own probe failed shortens that, along Lifeguard's curve
 *
 *     max - (max - min) * log(c + 1) / log(k + 1)      c confirmations out of k that are enough
 *
 * times the factor of the cluster's size below, where k is what the cluster can give, at most
 * three, and at least one: with nobody left to confirm, a suspicion takes the full time. Hearsay is
 * no confirmation: accusers are counted by id, whoever passes their word on. */
#include "swim_int.h"

#include "pcache/assert.h"

#define CONFIRMATIONS_MAX (SWIM_ACCUSERS_MAX - 1)

/* From so many live members on, the suspect counted, one of poor local health takes its time: two
 * others are left to judge. In smaller clusters nobody else would. */
#define UNHASTY_LIVE_MIN 4

/* log(c + 1) / log(k + 1) in thousandths. */
static const uint32_t confidence[CONFIRMATIONS_MAX + 1][CONFIRMATIONS_MAX + 1] = {
    [1] = {0, 1000},
    [2] = {0, 631, 1000},
    [3] = {0, 500, 792, 1000},
};

/* News and refutations need a round of gossip more for each doubling of the cluster: up to four
 * members the times are as configured, of 64 one and a half times, of 1024 twice. In eighths, by
 * the dual logarithm rounded up. */
static pc_ms scale(pc_ms ms, size_t live_n)
{
    pc_ms eighths = 6;
    while ((UINT64_C(1) << (eighths - 6)) < live_n) {
        eighths++;
    }
    return ms * (eighths > 8 ? eighths : 8) / 8;
}

pc_ms pc_swim_suspicion_ms(const struct pc_swim_opts *opts, uint32_t confirmations,
    uint32_t confirmations_max, size_t live_n)
{
    PC_ASSERT(confirmations_max >= 1 && confirmations_max <= CONFIRMATIONS_MAX);
    PC_ASSERT(opts->suspicion_min_ms <= opts->suspicion_max_ms);
    uint32_t c = confirmations < confirmations_max ? confirmations : confirmations_max;
    pc_ms span = opts->suspicion_max_ms - opts->suspicion_min_ms;
    return scale(opts->suspicion_max_ms - span * confidence[confirmations_max][c] / 1000, live_n);
}

static void set_deadline(struct pc_swim *swim, struct swim_peer *peer)
{
    uint32_t confirmations = peer->accusers_n > 0 ? peer->accusers_n - 1 : 0;
    pc_ms wait = pc_swim_suspicion_ms(
        &swim->opts, confirmations, peer->confirmations_max, pc_swim_live_n(swim));
    if (pc_swim_live_n(swim) >= UNHASTY_LIVE_MIN) {
        wait = pc_swim_health_stretch(swim, wait);
    }
    peer->deadline = pc_instant_add_ms(peer->suspected_at, wait);
}

void pc_swim_suspicion_begin(struct pc_swim *swim, size_t i)
{
    struct swim_peer *peer = &swim->peers[i];
    PC_ASSERT(i > 0 && i < swim->n);
    PC_ASSERT(swim->members[i].state == PC_MEMBER_SUSPECT);
    /* All but the suspect and its first accuser. */
    size_t others = pc_swim_live_n(swim) - 1;
    others = others > 1 ? others - 1 : 1;
    peer->confirmations_max = others < CONFIRMATIONS_MAX ? (uint32_t)others : CONFIRMATIONS_MAX;
    peer->suspected_at = swim->now;
    peer->accusers_n = 0;
    pc_node_id accuser = swim->members[i].accuser;
    if (accuser != 0) {
        peer->accusers[peer->accusers_n++] = accuser;
    }
    set_deadline(swim, peer);
    swim->no_suspects = false;
    swim->stats.suspicions++;
    if (accuser != swim->opts.self.id) {
        pc_swim_doubt(swim, i);
    }
}

/* A further accuser is news, and is told as such: everybody's suspicion shortens alike. */
void pc_swim_suspicion_confirm(struct pc_swim *swim, size_t i, pc_node_id accuser)
{
    struct swim_peer *peer = &swim->peers[i];
    PC_ASSERT(swim->members[i].state == PC_MEMBER_SUSPECT);
    PC_ASSERT(peer->accusers_n <= SWIM_ACCUSERS_MAX);
    if (accuser == 0 || accuser == swim->members[i].id || peer->accusers_n == SWIM_ACCUSERS_MAX) {
        return;
    }
    for (uint32_t k = 0; k < peer->accusers_n; k++) {
        if (peer->accusers[k] == accuser) {
            return;
        }
    }
    peer->accusers[peer->accusers_n++] = accuser;
    set_deadline(swim, peer);
    swim->members[i].accuser = accuser;
    pc_swim_note_change(swim, i, false);
}

static void accuse(struct pc_swim *swim, size_t i, enum pc_member_state state)
{
    struct pc_member said = swim->members[i];
    PC_ASSERT(i > 0 && state > said.state);
    said.state = state;
    said.accuser = swim->opts.self.id;
    pc_swim_hear(swim, &said);
    PC_ASSERT(swim->members[i].state == state);
}

void pc_swim_suspect(struct pc_swim *swim, size_t i)
{
    PC_ASSERT(pc_swim_is_live(&swim->members[i]));
    if (swim->members[i].state == PC_MEMBER_ALIVE) {
        accuse(swim, i, PC_MEMBER_SUSPECT);
    } else {
        pc_swim_suspicion_confirm(swim, i, swim->opts.self.id);
    }
}

static void expire(struct pc_swim *swim, size_t i)
{
    struct swim_peer *peer = &swim->peers[i];
    PC_ASSERT(peer->deadline.us >= peer->suspected_at.us);
    set_deadline(swim, peer); /* our health may have changed meanwhile */
    if (!pc_instant_is_due(peer->deadline, swim->now)) {
        return;
    }
    struct pc_instant heard_until =
        pc_instant_add_ms(peer->contact_at, swim->opts.probe_interval_ms);
    if (peer->contact_at.us != 0 && !pc_instant_is_due(heard_until, swim->now)) {
        peer->deadline = heard_until; /* its datagrams fail, but the bus hears it */
        return;
    }
    accuse(swim, i, PC_MEMBER_DEAD);
    peer->declared = true;
}

void pc_swim_suspicion_tick(struct pc_swim *swim)
{
    for (size_t i = 1; i < swim->n && !swim->no_suspects; i++) {
        if (swim->members[i].state == PC_MEMBER_SUSPECT &&
            pc_instant_is_due(swim->peers[i].deadline, swim->now)) {
            expire(swim, i);
        }
    }
}

void pc_swim_suspicion_postpone(struct pc_swim *swim, uint64_t by_us)
{
    PC_ASSERT(by_us <= swim->now.us);
    for (size_t i = 1; i < swim->n; i++) {
        struct swim_peer *peer = &swim->peers[i];
        if (swim->members[i].state == PC_MEMBER_SUSPECT) {
            peer->suspected_at.us += by_us;
            peer->deadline.us += by_us;
        }
    }
}
