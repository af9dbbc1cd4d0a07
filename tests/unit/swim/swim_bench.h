/* swim_bench.h: one machine with its clock, told what to hear. */
#ifndef PC_TEST_SWIM_BENCH_H
#define PC_TEST_SWIM_BENCH_H

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/swim/swim_int.h"

#define SELF 500
#define B 300
#define C 700
#define D 900

/* A machine with its clock and the effects of its last step. */
struct bench {
    struct pc_swim *swim;
    struct pc_instant now;
    struct pc_swim_effects effects;
};

static inline struct pc_addr addr_of(pc_node_id id)
{
    struct pc_addr addr = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10}, .port = 7946};
    addr.ip[14] = (uint8_t)(id >> 8);
    addr.ip[15] = (uint8_t)id;
    return addr;
}

static inline struct pc_member record(
    pc_node_id id, enum pc_member_state state, uint32_t incarnation)
{
    struct pc_member member = {.id = id,
        .addr = addr_of(id),
        .generation = 10,
        .incarnation = incarnation,
        .state = state};
    (void)snprintf(member.name, sizeof member.name, "n%u", (unsigned)id);
    return member;
}

static inline void bench_step(struct bench *bench, struct pc_swim_event *event)
{
    event->now = bench->now;
    bench->effects.out_n = bench->effects.changed_n = 0;
    pc_swim_step(bench->swim, event, &bench->effects);
    pc_swim_check(bench->swim);
}

static inline struct pc_swim_msg message(enum pc_swim_msg_type type, pc_node_id from)
{
    return (struct pc_swim_msg){.type = type, .from = from, .from_generation = 10, .nonce = 77};
}

static inline void bench_recv(struct bench *bench, const struct pc_swim_msg *msg)
{
    struct pc_swim_event event = {.type = PC_SWIM_RECV, .addr = addr_of(msg->from), .msg = msg};
    bench_step(bench, &event);
}

/* `from` says this of a member. */
static inline void bench_tell(struct bench *bench, pc_node_id from, const struct pc_member *said)
{
    struct pc_swim_msg msg = message(PC_SWIM_GOSSIP, from);
    msg.updates[msg.updates_n++] = *said;
    bench_recv(bench, &msg);
}

static inline void bench_event(struct bench *bench, enum pc_swim_event_type type, pc_node_id id)
{
    struct pc_swim_event event = {.type = type, .id = id, .addr = addr_of(id)};
    bench_step(bench, &event);
}

/* The clock goes on by `ms`, with every wake-up on time. */
static inline void bench_run(struct bench *bench, pc_ms ms)
{
    struct pc_instant until = pc_instant_add_ms(bench->now, ms);
    while (pc_swim_wake_at(bench->swim).us <= until.us) {
        bench->now = pc_swim_wake_at(bench->swim);
        bench_event(bench, PC_SWIM_WAKE, 0);
    }
    bench->now = until;
}

static inline void bench_create(struct bench *bench, struct pc_swim_opts *opts)
{
    *bench = (struct bench){.now = {.us = 5000000}};
    /* Whatever the defaults are tuned to, these are the times that the tests count on. */
    opts->probe_interval_ms = 300;
    opts->suspicion_min_ms = 1500;
    opts->suspicion_max_ms = 6000;
    opts->self = record(SELF, PC_MEMBER_ALIVE, 0);
    opts->seed = 3;
    bench->swim = pc_swim_new(opts, bench->now);
}

/* With members B, C and D, which have introduced themselves. */
static inline void bench_create_four(struct bench *bench)
{
    struct pc_swim_opts opts;
    memset(&opts, 0, sizeof opts);
    pc_swim_opts_default(&opts);
    bench_create(bench, &opts);
    static const pc_node_id ids[] = {B, C, D};
    for (size_t i = 0; i < 3; i++) {
        struct pc_member said = record(ids[i], PC_MEMBER_ALIVE, 1);
        bench_tell(bench, ids[i], &said);
    }
}

/* Whatever is under way or due: the test alone says who accuses whom. */
static inline void bench_keep_from_probing(struct bench *bench)
{
    pc_swim_probe_reset(bench->swim);
    bench->swim->probe_at = pc_instant_add_ms(bench->now, 3600000);
}

static inline void bench_destroy(struct bench *bench)
{
    pc_swim_delete(bench->swim);
    pc_swim_effects_destroy(&bench->effects);
}

static inline const struct pc_swim_out *bench_sent(
    const struct bench *bench, enum pc_swim_msg_type type)
{
    for (size_t i = 0; i < bench->effects.out_n; i++) {
        if (bench->effects.out[i].msg.type == type) {
            return &bench->effects.out[i];
        }
    }
    return NULL;
}

static inline const struct pc_member *said_of(const struct pc_swim_msg *msg, pc_node_id id)
{
    for (uint32_t i = 0; i < msg->updates_n; i++) {
        if (msg->updates[i].id == id) {
            return &msg->updates[i];
        }
    }
    return NULL;
}

static inline enum pc_member_state state_of(const struct bench *bench, pc_node_id id)
{
    const struct pc_member *member = pc_swim_find(bench->swim, id);
    return member != NULL ? member->state : (enum pc_member_state)0;
}

#endif
