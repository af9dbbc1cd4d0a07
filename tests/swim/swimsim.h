/* swimsim.h: how fast, how truly and at what cost the members of a cluster find out about each
 * other, by figures: the SWIM machines of the product over a simulated datagram network, on one
 * clock, decided by one seed.
 *
 *   formed --- warm_ms ---> calm_ms: traffic, false deaths ---> one member crashes --->
 *          all others hold it for dead, or limit_ms are over */
#ifndef PC_TEST_SWIMSIM_H
#define PC_TEST_SWIMSIM_H

#include "pcache/prng.h"
#include "pcache/swim.h"

struct swimsim_params {
    size_t members; /* 2..PC_MEMBERS_MAX */
    uint64_t seed;
    uint32_t loss_ppm; /* of all datagrams */
    bool one_way;      /* what the first member sends to the second is lost */
    size_t starved;    /* members that get the CPU for a moment now and then */
    bool slow;         /* these get it always, but need much of it for each event */
    pc_ms warm_ms, calm_ms, limit_ms;
    struct pc_swim_opts opts; /* all but self and seed */
};
/* 5 s, 60 s and 120 s, the machine's defaults; no fault. */
void swimsim_params_default(struct swimsim_params *params);

struct swimsim_result {
    /* Since the crash; of members that are not starved. */
    pc_ms suspect_ms; /* somebody suspects it */
    pc_ms first_ms;   /* somebody declares it dead */
    pc_ms all_ms;     /* everybody holds it for dead; limit_ms when somebody never did */
    size_t ignorant;  /* how many never did */
    /* Up to the crash. A death counts once for each incarnation of its subject. */
    uint64_t false_deaths, false_deaths_starved; /* of members that were up: the subject's kind */
    uint64_t member_ms;                          /* members times time */
    /* The calm phase: sent by all, with IP and UDP heads. */
    uint64_t bytes, packets, calm_member_ms;
    uint64_t steps; /* of all machines */
};
/* The same parameters give the same result. */
void swimsim_run(const struct swimsim_params *params, struct swimsim_result *result);

/* ---- sim_net.c: the machines and the network between them. */
struct swimsim_packet; /* on its way */

struct swimsim_member {
    struct pc_swim *swim; /* NULL = crashed */
    struct pc_member self;
    size_t wake_place; /* in swimsim.wakes */
    size_t queued;     /* datagrams in its socket */
    bool starved;
    struct pc_prng cpu;               /* when it has the CPU */
    struct pc_instant stop_at, go_at; /* the latest time without */
    uint32_t buried;                  /* incarnation of its last false death */
};

struct swimsim {
    const struct swimsim_params *params;
    struct swimsim_member *members;
    size_t n;
    struct pc_instant now;
    struct pc_prng net;
    struct swimsim_packet **flying; /* a heap, the next first */
    size_t flying_n, flying_cap;
    uint64_t seq;
    size_t *wakes; /* a heap of all members, the next to wake first */
    struct pc_instant *wake_at;
    struct pc_swim_effects effects;
    struct pc_buf text;
    struct swimsim_result *result;
    bool calm;
    /* The crash that is watched. */
    size_t victim; /* n = none yet */
    struct pc_instant crashed_at;
    struct pc_instant *known_at; /* by member: since when it holds the victim for dead; 0 = not */
    struct pc_instant suspected_at;
};

void swimsim_create(
    struct swimsim *sim, const struct swimsim_params *params, struct swimsim_result *result);
void swimsim_destroy(struct swimsim *sim);
/* Handles the earliest event if it is not after `until`; else moves the clock there and returns
 * false. */
bool swimsim_turn(struct swimsim *sim, struct pc_instant until);
void swimsim_crash(struct swimsim *sim, size_t victim);

#endif
