/* When a node stands for election at the beginning: at once where nobody can be leading, after an
 * election timeout where somebody may. */
#include "raft_net.h"

#define SEEDS 50

static struct pc_raft_config config_of(size_t voters)
{
    struct pc_raft_config config = {.index = 1, .voters_n = voters};
    for (size_t i = 0; i < voters; i++) {
        config.voters[i] = i + 1;
    }
    return config;
}

static struct pc_raft_opts opts_of(uint64_t seed)
{
    struct pc_raft_opts opts;
    pc_raft_opts_default(&opts);
    opts.id = 1;
    opts.seed = seed;
    return opts;
}

static const struct pc_instant start = {.us = 1000000};

static struct pc_raft *bootstrap(size_t voters, uint64_t seed)
{
    struct pc_raft_opts opts = opts_of(seed);
    struct pc_raft_restored nothing = {0};
    struct pc_raft *raft = pc_raft_new(&opts, &nothing, start);
    struct pc_raft_config config = config_of(voters);
    struct pc_entry entry = net_entry(NULL, 1, PC_ENTRY_CONFIG, "members");
    pc_raft_bootstrap(raft, &entry, &config);
    pc_entry_clear(&entry);
    return raft;
}

/* What has happened after the WAKE that is due, and after its writes were synced. */
static enum pc_raft_role role_after_wake(struct pc_raft *raft)
{
    struct pc_raft_effects fx = {0};
    struct pc_raft_event event = {.type = PC_RAFT_TURN, .now = start};
    pc_raft_step(raft, &event, &fx);
    event = (struct pc_raft_event){.type = PC_RAFT_WAKE, .now = pc_raft_wake_at(raft)};
    pc_raft_step(raft, &event, &fx);
    event.type = PC_RAFT_TURN;
    pc_raft_step(raft, &event, &fx);
    event.type = PC_RAFT_SYNCED;
    event.u.synced_seq = fx.writes[fx.writes_n - 1].seq;
    pc_raft_step(raft, &event, &fx);
    pc_raft_effects_destroy(&fx);
    pc_raft_check(raft);
    struct pc_raft_status status;
    pc_raft_status(raft, &status);
    return status.role;
}

static void formation__three_voters__stand_within_the_jitter(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct pc_raft *raft = bootstrap(3, seed);
        struct pc_raft_opts opts = opts_of(seed);
        pc_ms wait = pc_instant_ms_between(start, pc_raft_wake_at(raft));
        assert_in_range(wait, 0, opts.lost_leader_jitter_ms);
        /* Nobody answers: the next try comes soon as well. */
        assert_int_equal(role_after_wake(raft), PC_RAFT_PRECANDIDATE);
        wait = pc_instant_ms_between(start, pc_raft_wake_at(raft));
        assert_true(wait < opts.election_min_ms);
        pc_raft_delete(raft);
    }
}

static void formation__voter_alone__leads_at_once(void **state)
{
    (void)state;
    struct pc_raft *raft = bootstrap(1, 1);
    assert_int_equal(pc_raft_wake_at(raft).us, start.us);
    assert_int_equal(role_after_wake(raft), PC_RAFT_LEADER);
    pc_raft_delete(raft);
}

static struct pc_raft *restart(size_t voters, uint64_t seed)
{
    struct pc_raft_opts opts = opts_of(seed);
    struct pc_entry entry = net_entry(NULL, 1, PC_ENTRY_CONFIG, "members");
    struct pc_term_run run = {.term = 1, .first = 1};
    struct pc_raft_restored restored = {
        .term = 1,
        .last = 1,
        .config = config_of(voters),
        .terms = &run,
        .terms_n = 1,
        .tail = &entry,
        .tail_n = 1,
    };
    struct pc_raft *raft = pc_raft_new(&opts, &restored, start);
    pc_entry_clear(&entry);
    return raft;
}

static void restart__voter_alone__leads_at_once(void **state)
{
    (void)state;
    struct pc_raft *raft = restart(1, 1);
    assert_int_equal(pc_raft_wake_at(raft).us, start.us);
    assert_int_equal(role_after_wake(raft), PC_RAFT_LEADER);
    pc_raft_delete(raft);
}

static void restart__one_of_three__waits_for_a_leader_first(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct pc_raft *raft = restart(3, seed);
        struct pc_raft_opts opts = opts_of(seed);
        pc_ms wait = pc_instant_ms_between(start, pc_raft_wake_at(raft));
        assert_in_range(wait, opts.election_min_ms, opts.election_max_ms);
        pc_raft_delete(raft);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(formation__three_voters__stand_within_the_jitter),
    PC_TEST(formation__voter_alone__leads_at_once),
    PC_TEST(restart__voter_alone__leads_at_once),
    PC_TEST(restart__one_of_three__waits_for_a_leader_first),
};

PC_TEST_MAIN("raft_formation", tests)
