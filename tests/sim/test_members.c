/* Histories of clusters whose members change: those that random schedules do not reach, and those
 * that an operator fears. */
#include <string.h>

#include "sim/sim_kit.h"

/* Three founders, and `more` machines that nobody knows yet; everything else is calm. */
static struct pc_sim *started_with(size_t founders_n, size_t more, size_t *leader)
{
    struct pc_sim_params params;
    pc_sim_params_calm(&params, 11, founders_n + more);
    params.founders_n = founders_n;
    params.replaces_lost = true;
    params.heal_max_ms = 60 * 1000;
    struct pc_sim *sim = pc_sim_new(&params);
    for (size_t i = 0; i < founders_n; i++) {
        pc_sim_start(sim, i);
    }
    wait_for_leader(sim, 4000);
    *leader = (size_t)pc_sim_leader(sim);
    return sim;
}

static void must_do(struct pc_sim *sim, size_t asked, enum pc_member_op op, size_t subject)
{
    uint64_t request = pc_sim_member(sim, asked, op, PC_WANT_VOTER, subject);
    if (outcome(sim, request).status != PC_REPLY_OK) {
        pc_sim_print_timeline(sim, stdout);
        fail_msg("change %d is not done", (int)op);
    }
}

static void cut_both(struct pc_sim *sim, size_t a, size_t b, bool cut)
{
    pc_sim_cut(sim, a, b, cut);
    pc_sim_cut(sim, b, a, cut);
}

static void cut_off(struct pc_sim *sim, size_t node, size_t nodes_n, bool cut)
{
    for (size_t i = 0; i < nodes_n; i++) {
        if (i != node) {
            cut_both(sim, node, i, cut);
        }
    }
}

/* ---- conditions */

struct wanted {
    size_t voters_n;
    size_t members_n;
};

static bool has_members(struct pc_sim *sim, void *arg)
{
    const struct wanted *wanted = arg;
    const struct pc_cluster_config *config = pc_sim_members(sim);
    size_t voters_n = 0;
    for (size_t i = 0; config != NULL && i < config->members_n; i++) {
        voters_n += config->members[i].votes ? 1 : 0;
    }
    return config != NULL && voters_n == wanted->voters_n && config->members_n == wanted->members_n;
}

static void must_have(struct pc_sim *sim, size_t voters_n, size_t members_n, uint64_t ms)
{
    struct wanted wanted = {voters_n, members_n};
    bool reached = pc_sim_run_until(sim, has_members, &wanted, ms);
    must_hold(sim);
    assert_true(reached);
}

static bool leads(struct pc_sim *sim, void *arg)
{
    return pc_sim_leader(sim) == (int)*(size_t *)arg;
}

static void must_lead(struct pc_sim *sim, size_t node, uint64_t ms)
{
    bool reached = pc_sim_run_until(sim, leads, &node, ms);
    must_hold(sim);
    assert_true(reached);
}

static bool is_gone(struct pc_sim *sim, void *arg)
{
    size_t old = *(size_t *)arg;
    return pc_sim_leader(sim) >= 0 && pc_sim_leader(sim) != (int)old;
}

static size_t other_leader(struct pc_sim *sim, size_t old, uint64_t ms)
{
    bool found = pc_sim_run_until(sim, is_gone, &old, ms);
    must_hold(sim);
    assert_true(found);
    return (size_t)pc_sim_leader(sim);
}

static bool is_member(const struct pc_sim *sim, pc_node_id id)
{
    const struct pc_cluster_config *config = pc_sim_members(sim);
    for (size_t i = 0; i < config->members_n; i++) {
        if (config->members[i].id == id) {
            return true;
        }
    }
    return false;
}

static void must_write(struct pc_sim *sim, size_t node)
{
    uint64_t write = pc_sim_write(sim, node, PC_OP_SET, 1, 0);
    assert_int_equal(outcome(sim, write).status, PC_REPLY_OK);
}

/* ---- the mistake of 2015: two leaders, one after the other, change different votes
 *
 *   four voters    L1 is cut off from all, and takes L1-1 away: pending, on its disk only
 *                  L2 is elected by the other three, and its first entry is kept from being known
 *                  as committed: it must not change anything yet. Would it take L2-1 away, then
 *                  three voters each, of which one pair meets L1's log and another one L2's. */
struct watch {
    size_t leader;
    pc_index commit_before;
    uint64_t request;
    bool was_pending; /* a change on its log, or answered, before its own entry was committed */
};

static void two_leaders__change_different_votes__the_second_waits_for_its_own_entry(void **state)
{
    (void)state;
    size_t one;
    struct pc_sim *sim = started_with(4, 0, &one);
    size_t a = (one + 1) % 4, b = (one + 2) % 4, c = (one + 3) % 4;
    must_write(sim, a);
    pc_sim_run_for(sim, 300);
    cut_off(sim, one, 4, true);
    uint64_t first = pc_sim_member(sim, one, PC_MEMBER_REMOVE, PC_WANT_VOTER, a);
    pc_sim_run_for(sim, 100); /* on its own log */
    must_hold(sim);
    /* Whoever is elected hears answers to votes, and none to what it appends: as soon as the vote
     * is over it is asked for a change, and loses the others. */
    bool found = false;
    for (size_t k = 0; k < 4000 && !found; k++) {
        pc_sim_run_for(sim, 1);
        for (size_t i = 0; i < 4 && !found; i++) {
            struct pc_raft_status status;
            pc_raft_status(pc_node_raft(pc_sim_node(sim, i)), &status);
            if (i != one && status.role == PC_RAFT_LEADER) {
                found = true;
                cut_off(sim, i, 4, true);
                size_t subject = i == c ? b : c;
                (void)pc_sim_member(sim, i, PC_MEMBER_REMOVE, PC_WANT_VOTER, subject);
            }
        }
    }
    assert_true(found);
    pc_sim_run_for(sim, 600);
    must_hold(sim); /* B.12: no change yet, or majorities that do not meet */
    for (size_t i = 0; i < 4; i++) {
        cut_off(sim, i, 4, false);
    }
    pc_sim_run_for(sim, 6000);
    must_hold(sim);
    assert_int_not_equal(pc_sim_result(sim, first).status, PC_REPLY_REFUSED);
    finish(sim);
}

/* ---- replaced */

/* The machine whose place was taken is found again, and started beside its successor. */
static void replaced__comes_back_with_its_old_disk__does_no_harm(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_with(3, 1, &leader);
    size_t lost = (leader + 1) % 3;
    pc_node_id old = pc_sim_node_id(sim, lost);
    must_write(sim, leader);
    pc_sim_crash(sim, lost, PC_SIM_FS_POWER_CUT);
    pc_sim_renew(sim, lost);
    pc_sim_start(sim, lost);
    pc_sim_run_for(sim, 8000);
    must_have(sim, 3, 3, 20000);
    assert_false(is_member(sim, old));
    pc_sim_old_disk(sim, lost, 3);
    pc_sim_start(sim, 3);
    pc_sim_clients(sim, true);
    pc_sim_run_for(sim, 8000);
    must_hold(sim);
    assert_false(is_member(sim, old));
    assert_int_equal(pc_sim_node_id(sim, 3), old);
    const char *refusal = pc_sim_refusal(sim, 3); /* of its successor, or of another */
    assert_true(strstr(refusal, "two nodes are called") || strstr(refusal, "is known here by id"));
    struct pc_node_status status;
    pc_node_status(pc_sim_node(sim, 3), (struct pc_instant){pc_sim_now_us_at(sim, 3)}, &status);
    assert_false(status.ready);
    must_write(sim, lost);
    finish(sim);
}

/* Its successor is let in, catches up, and dies; and so does the leader. */
static void replacement__both_die_in_the_middle_of_it__it_is_finished(void **state)
{
    (void)state;
    for (uint64_t ms = 100; ms <= 4100; ms += 1000) {
        size_t leader;
        struct pc_sim *sim = started_with(5, 0, &leader);
        size_t lost = (leader + 1) % 5;
        pc_node_id old = pc_sim_node_id(sim, lost);
        must_do(sim, leader, PC_MEMBER_REPLACE, lost);
        pc_sim_crash(sim, lost, PC_SIM_FS_KILL);
        pc_sim_renew(sim, lost);
        pc_sim_start(sim, lost);
        pc_sim_run_for(sim, ms);
        must_hold(sim);
        pc_sim_crash(sim, lost, PC_SIM_FS_POWER_CUT);
        pc_sim_crash(sim, leader, PC_SIM_FS_POWER_CUT);
        (void)other_leader(sim, leader, 6000);
        pc_sim_run_for(sim, 1000);
        pc_sim_start(sim, lost);
        pc_sim_start(sim, leader);
        must_have(sim, 5, 5, 30000);
        assert_false(is_member(sim, old));
        finish(sim);
    }
}

/* ---- removed */

/* The leader is asked to remove itself while the third one is cut off. It hands over, and its
 * successor appends the change, of which it must not count the vote of the one that goes: it is not
 * known what became of it until the third one is back, which makes it so. */
static void leader__removes_itself_cut_off_from_the_others__nothing_is_lost(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_with(3, 0, &leader);
    size_t near = (leader + 1) % 3, far = (leader + 2) % 3;
    must_write(sim, leader);
    cut_both(sim, leader, far, true);
    cut_both(sim, near, far, true);
    uint64_t request = pc_sim_member(sim, leader, PC_MEMBER_REMOVE, PC_WANT_VOTER, leader);
    pc_sim_run_for(sim, 7000);
    must_hold(sim);
    assert_true(pc_sim_result(sim, request).done);
    assert_int_equal(pc_sim_result(sim, request).status, PC_REPLY_UNKNOWN);
    assert_true(is_member(sim, pc_sim_node_id(sim, leader)));
    cut_both(sim, leader, far, false);
    cut_both(sim, near, far, false);
    must_have(sim, 2, 2, 8000);
    assert_false(is_member(sim, pc_sim_node_id(sim, leader)));
    size_t next = other_leader(sim, leader, 5000);
    must_write(sim, next);
    pc_sim_run_for(sim, 5000); /* the one that was removed goes on running, and disturbs nobody */
    must_hold(sim);
    assert_int_equal(pc_sim_leader(sim), (int)next);
    finish(sim);
}

/* Cut off, it leads for a while yet, and finds that it stands as is asked for: but the others have
 * changed that, and it must not say so (C.1). */
static void leader__deposed_and_asked_for_what_it_finds_done__does_not_say_so(void **state)
{
    (void)state;
    size_t old;
    struct pc_sim *sim = started_with(5, 0, &old);
    must_write(sim, old);
    pc_sim_run_for(sim, 400);
    cut_off(sim, old, 5, true);
    size_t next = other_leader(sim, old, 3000);
    size_t third = 0;
    while (third == old || third == next) {
        third++;
    }
    must_do(sim, next, PC_MEMBER_DEMOTE, third);
    struct pc_raft_status status;
    pc_raft_status(pc_node_raft(pc_sim_node(sim, old)), &status);
    assert_int_equal(status.role, PC_RAFT_LEADER);
    uint64_t request = pc_sim_member(sim, old, PC_MEMBER_PROMOTE, PC_WANT_VOTER, third);
    struct pc_sim_op_result result = outcome(sim, request);
    assert_int_not_equal(result.status, PC_REPLY_OK);
    cut_off(sim, old, 5, false);
    finish(sim);
}

/* ---- growing */

static void cluster__grows_to_five_and_shrinks_to_three_under_faults__loses_nothing(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_with(3, 2, &leader);
    pc_sim_clients(sim, true);
    for (size_t i = 3; i < 5; i++) {
        wait_for_leader(sim, 5000);
        must_do(sim, (size_t)pc_sim_leader(sim), PC_MEMBER_ADD, i);
        pc_sim_renew(sim, i);
        pc_sim_start(sim, i);
        pc_sim_run_for(sim, 700);
        size_t victim = (size_t)pc_sim_leader(sim);
        pc_sim_crash(sim, victim, PC_SIM_FS_POWER_CUT);
        pc_sim_run_for(sim, 3000);
        pc_sim_start(sim, victim);
        must_have(sim, i + 1, i + 1, 20000);
    }
    for (size_t i = 0; i < 2; i++) {
        wait_for_leader(sim, 5000);
        size_t asked = (size_t)pc_sim_leader(sim), cut = asked == 4 ? 3 : 4;
        cut_off(sim, cut, 5, true);
        must_do(sim, asked, PC_MEMBER_REMOVE, i);
        must_have(sim, 4 - i, 4 - i, 5000);
        cut_off(sim, cut, 5, false);
        pc_sim_run_for(sim, 1500);
    }
    wait_for_leader(sim, 5000);
    must_write(sim, (size_t)pc_sim_leader(sim));
    struct pc_sim_stats stats;
    pc_sim_stats(sim, &stats);
    assert_true(stats.acked_writes > 100);
    finish(sim);
}

/* ---- transfer */

/* Who does not keep up, or is cut off, is handed leadership: nobody is worse off for it. */
static void transfer__to_one_that_lags_behind_a_cut__the_leader_goes_on(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_with(3, 0, &leader);
    size_t target = (leader + 1) % 3;
    pc_sim_clients(sim, true);
    cut_off(sim, target, 3, true);
    pc_sim_run_for(sim, 600);
    pc_sim_transfer(sim, leader, target);
    pc_sim_run_for(sim, 300);
    cut_off(sim, target, 3, false);
    pc_sim_transfer(sim, leader, target); /* connected, and a long way behind */
    pc_sim_run_for(sim, 4000);
    wait_for_leader(sim, 4000);
    must_write(sim, (size_t)pc_sim_leader(sim));
    pc_sim_transfer(sim, (size_t)pc_sim_leader(sim), target);
    must_lead(sim, target, 4000);
    finish(sim);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(two_leaders__change_different_votes__the_second_waits_for_its_own_entry),
    PC_TEST(replaced__comes_back_with_its_old_disk__does_no_harm),
    PC_TEST(replacement__both_die_in_the_middle_of_it__it_is_finished),
    PC_TEST(leader__removes_itself_cut_off_from_the_others__nothing_is_lost),
    PC_TEST(leader__deposed_and_asked_for_what_it_finds_done__does_not_say_so),
    PC_TEST(cluster__grows_to_five_and_shrinks_to_three_under_faults__loses_nothing),
    PC_TEST(transfer__to_one_that_lags_behind_a_cut__the_leader_goes_on),
};

PC_TEST_MAIN("members", tests)
