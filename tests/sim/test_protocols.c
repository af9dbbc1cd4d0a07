/* Programs of different age in whole clusters: what the swarm must have seen, and histories by
 * name. The rules P.1 to P.4 look at every message and entry of them. */
#include <string.h>

#include "sim/sim_kit.h"

static const struct pc_protocols first = {1, 1}, second = {1, 2}, next = {1, 3}, far = {3, 3};

/* ---- the swarm */

static void swarm__eight_runs__has_seen_what_it_is_to_check(void **state)
{
    (void)state;
    struct pc_sim_stats all = {0};
    if (PC_TEST_STRIDE > 1) {
        skip(); /* what is counted has nothing to do with memory */
    }
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct pc_sim_params params;
        pc_sim_params_draw(&params, seed, 3);
        params.fault[PC_SIM_FAULT_PROTOCOLS] = true;
        params.fault_gap_ms[PC_SIM_FAULT_PROTOCOLS] = 800;
        params.condition_ppm = 300000;
        struct pc_sim *sim = pc_sim_new(&params);
        pc_sim_run(sim);
        must_hold(sim);
        struct pc_sim_stats stats;
        pc_sim_stats(sim, &stats);
        pc_sim_stats_add(&all, &stats);
        pc_sim_delete(sim);
    }
    assert_true(all.programs_exchanged > 40);
    assert_true(all.withheld > 1);
    assert_true(all.newer_entries > 20);
    assert_true(all.refused_for_age > 20);
    assert_true(all.unreadable_logs > 5);
}

/* ---- clusters */

/* nodes_n machines, of which the first founders_n form a cluster; all but the founders are off. */
static struct pc_sim *new_cluster(uint64_t seed, size_t nodes_n, size_t founders_n)
{
    struct pc_sim_params params;
    pc_sim_params_calm(&params, seed, nodes_n);
    params.founders_n = founders_n;
    params.fault[PC_SIM_FAULT_PROTOCOLS] = true;
    params.replaces_lost = nodes_n > founders_n;
    params.heal_max_ms = 60 * 1000;
    return pc_sim_new(&params);
}

static void start_as(struct pc_sim *sim, size_t node, struct pc_protocols program)
{
    if (pc_sim_is_up(sim, node)) {
        pc_sim_crash(sim, node, PC_SIM_FS_KILL);
    }
    pc_sim_install(sim, node, program);
    pc_sim_start(sim, node);
}

/* All founders run this program, and one of them leads. */
static struct pc_sim *started_as(
    uint64_t seed, size_t nodes_n, struct pc_protocols program, size_t *leader)
{
    struct pc_sim *sim = new_cluster(seed, nodes_n, 3);
    for (size_t i = 0; i < 3; i++) {
        start_as(sim, i, program);
    }
    wait_for_leader(sim, 4000);
    pc_sim_run_for(sim, 500);
    *leader = (size_t)pc_sim_leader(sim);
    return sim;
}

static enum pc_reply_status create(struct pc_sim *sim, size_t node, size_t key)
{
    return outcome(sim, pc_sim_write_if(sim, node, key, PC_IF_ABSENT, 0)).status;
}

static void must_write(struct pc_sim *sim, size_t node)
{
    wait_for_leader(sim, 4000);
    assert_int_equal(outcome(sim, pc_sim_write(sim, node, PC_OP_SET, 9, 0)).status, PC_REPLY_OK);
}

static pc_index log_end(const struct pc_sim *sim, size_t node)
{
    struct pc_raft_status status;
    pc_raft_status(pc_node_raft(pc_sim_node(sim, node)), &status);
    return status.last;
}

static void assert_refused_with(const struct pc_sim *sim, size_t node, const char *part)
{
    if (strstr(pc_sim_refusal(sim, node), part) == NULL) {
        fail_msg("wanted \"%s\" in: %s", part, pc_sim_refusal(sim, node));
    }
}

/* ---- rolling from one to the next */

/* What is new is refused until the last of them is upgraded; nothing else is, at any time. */
static void upgrade__one_by_one__conditions_work_with_the_last(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_as(1, 3, first, &leader);
    pc_sim_clients(sim, true);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(create(sim, (i + 1) % 3, i), PC_REPLY_REFUSED);
        pc_sim_install(sim, i, i == 1 ? next : second);
        pc_sim_stop(sim, i);
        pc_sim_run_for(sim, 3000);
        assert_true(pc_sim_is_up(sim, i));
        must_write(sim, i);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(create(sim, i, i), PC_REPLY_OK);
    }
    finish(sim);
}

/* As long as nothing new was written, the older program goes on where the newer one was. */
static void downgrade__nothing_new_was_written__works_half_way_and_back(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_as(2, 3, next, &leader);
    for (size_t i = 0; i < 2; i++) {
        start_as(sim, i, first);
        pc_sim_run_for(sim, 2000);
        for (size_t k = 0; k < 3; k++) {
            must_write(sim, k);
            assert_int_equal(create(sim, k, 3), PC_REPLY_REFUSED);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        start_as(sim, i, second);
        pc_sim_run_for(sim, 2000);
    }
    assert_int_equal(create(sim, 0, 3), PC_REPLY_OK);
    finish(sim);
}

/* ---- an older member that the leader does not see
 *
 *   1. node C is down; A leads, and takes a write with a condition: all it is linked to read it
 *   2. it is committed by A and B
 *   3. C comes back with an older program */
static void member__away_while_something_new_is_committed__is_refused_until_upgraded(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_as(3, 3, second, &leader);
    size_t away = (leader + 1) % 3;
    pc_sim_crash(sim, away, PC_SIM_FS_POWER_CUT);
    pc_sim_run_for(sim, 1500);
    pc_index before = log_end(sim, leader);
    assert_int_equal(create(sim, leader, 1), PC_REPLY_OK);
    start_as(sim, away, first);
    pc_sim_run_for(sim, 3000);
    must_hold(sim);
    assert_refused_with(sim, away, "entries of this log are written in protocol 2: upgrade");
    assert_true(log_end(sim, away) <= before);
    must_write(sim, leader);
    start_as(sim, away, second);
    pc_sim_run_for(sim, 2000);
    must_write(sim, away);
    finish(sim);
}

/*   2. nobody else has got it: the line to B is cut, though not noticed yet
 *   3. C comes back with an older program, A dies
 *   4. B and C go on without it; A comes back, and its entry is of no leader any more */
static void leader__alone_has_something_new__an_older_majority_goes_on(void **state)
{
    (void)state;
    size_t a;
    struct pc_sim *sim = started_as(4, 3, second, &a);
    size_t b = (a + 1) % 3, c = (a + 2) % 3;
    pc_sim_crash(sim, c, PC_SIM_FS_KILL);
    pc_sim_run_for(sim, 200);
    pc_sim_cut(sim, a, b, true);
    uint64_t write = pc_sim_write_if(sim, a, 1, PC_IF_ABSENT, 0);
    pc_sim_run_for(sim, 50);
    assert_true(log_end(sim, a) > log_end(sim, b));
    start_as(sim, c, first);
    pc_sim_run_for(sim, 100);
    pc_sim_crash(sim, a, PC_SIM_FS_KILL);
    assert_true(pc_sim_result(sim, write).died);
    pc_sim_run_for(sim, 2000);
    must_write(sim, b);
    must_write(sim, c);
    assert_int_equal(create(sim, b, 1), PC_REPLY_REFUSED);
    pc_sim_cut(sim, a, b, false);
    pc_sim_start(sim, a);
    pc_sim_run_for(sim, 2000);
    must_write(sim, a);
    finish(sim);
}

/* As before, but A lives: C hears it, and B does not. B and C go on without it. */
static void leader__whose_entries_nobody_can_read__makes_room(void **state)
{
    (void)state;
    size_t a;
    struct pc_sim *sim = started_as(4, 3, second, &a);
    size_t b = (a + 1) % 3, c = (a + 2) % 3;
    pc_sim_crash(sim, c, PC_SIM_FS_KILL);
    pc_sim_run_for(sim, 200);
    pc_sim_cut(sim, a, b, true);
    (void)pc_sim_write_if(sim, a, 1, PC_IF_ABSENT, 0);
    pc_sim_run_for(sim, 50);
    assert_true(log_end(sim, a) > log_end(sim, b));
    start_as(sim, c, first);
    pc_sim_run_for(sim, 5000);
    must_write(sim, b);
    finish(sim);
}

/* The same at any moment: writes with conditions go on while the older member comes, and leaders
 * change. */
static void member__comes_back_older_at_any_moment__gets_nothing_that_it_cannot_read(void **state)
{
    (void)state;
    for (uint64_t ms = 0; ms<60; ms += PC_TEST_STRIDE> 1 ? 20 : 5) {
        size_t leader;
        struct pc_sim *sim = started_as(20 + ms, 3, second, &leader);
        size_t away = (leader + 1) % 3, other = (leader + 2) % 3;
        pc_sim_crash(sim, away, PC_SIM_FS_KILL);
        pc_sim_run_for(sim, 100);
        pc_sim_install(sim, away, first);
        pc_sim_start(sim, away);
        for (uint64_t at = 0; at < 60; at += 5) {
            (void)pc_sim_write_if(sim, at % 2 == 0 ? leader : other, at / 5, PC_IF_ABSENT, 0);
            if (at == ms) {
                pc_sim_transfer(sim, leader, other);
            }
            pc_sim_run_for(sim, 5);
        }
        pc_sim_run_for(sim, 1000);
        must_hold(sim);
        finish(sim);
    }
}

/* ---- an older program on a newer log */

static void program__older_than_its_log__refuses_it_by_name(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_as(5, 3, second, &leader);
    size_t node = (leader + 1) % 3;
    assert_int_equal(create(sim, leader, 1), PC_REPLY_OK);
    pc_sim_run_for(sim, 1000);
    start_as(sim, node, first);
    pc_sim_run_for(sim, 1000);
    must_hold(sim);
    assert_true(pc_sim_cannot_read(sim, node));
    assert_false(pc_sim_is_up(sim, node));
    must_write(sim, leader);
    start_as(sim, node, next);
    pc_sim_run_for(sim, 2000);
    assert_false(pc_sim_cannot_read(sim, node));
    must_write(sim, node);
    finish(sim);
}

/* ---- nothing in common */

static void programs__nothing_in_common__refuse_each_other_by_name(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_as(6, 3, second, &leader);
    static const char *const names[] = {"node1", "node2", "node3"};
    size_t node = (leader + 1) % 3;
    start_as(sim, node, far);
    pc_sim_run_for(sim, 3000);
    must_hold(sim);
    assert_refused_with(sim, node, "speaks protocol 3, ");
    assert_refused_with(sim, leader, "speaks protocol 1 to 2, ");
    for (size_t i = 0; i < 2; i++) {
        assert_refused_with(sim, i == 0 ? node : leader, names[node]);
    }
    must_write(sim, leader);
    for (size_t i = 0; i < 3; i++) { /* one that both know */
        if (i != node) {
            start_as(sim, i, next);
            pc_sim_run_for(sim, 1500);
        }
    }
    must_write(sim, node);
    finish(sim);
}

/* ---- members */

static bool votes(const struct pc_sim *sim, size_t node)
{
    const struct pc_cluster_config *config = pc_sim_members(sim);
    for (size_t i = 0; i < config->members_n; i++) {
        if (config->members[i].id == pc_sim_node_id(sim, node)) {
            return config->members[i].votes;
        }
    }
    return false;
}

static bool fourth_votes(struct pc_sim *sim, void *arg)
{
    (void)arg;
    return votes(sim, 3);
}

static void add_fourth(struct pc_sim *sim, size_t leader, struct pc_protocols program)
{
    pc_sim_renew(sim, 3);
    start_as(sim, 3, program);
    uint64_t add = pc_sim_member(sim, leader, PC_MEMBER_ADD, PC_WANT_VOTER, 3);
    assert_int_equal(outcome(sim, add).status, PC_REPLY_OK);
}

static void new_member__of_an_older_program__is_let_in_when_upgraded(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_as(7, 4, second, &leader);
    add_fourth(sim, leader, first);
    pc_sim_run_for(sim, 4000);
    must_hold(sim);
    assert_false(votes(sim, 3));
    assert_refused_with(sim, 3, "written in protocol 2: upgrade node4 first");
    start_as(sim, 3, second);
    assert_true(pc_sim_run_until(sim, fourth_votes, NULL, 10 * 1000));
    finish(sim);
}

/* All vote again when it comes, as the first protocol can say: but the entries on the way there
 * could not. */
static void member__away_while_members_change__is_refused_until_upgraded(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_as(8, 4, second, &leader);
    size_t away = (leader + 1) % 3;
    pc_sim_crash(sim, away, PC_SIM_FS_KILL);
    pc_sim_run_for(sim, 200);
    add_fourth(sim, leader, second);
    assert_true(pc_sim_run_until(sim, fourth_votes, NULL, 10 * 1000));
    start_as(sim, away, first);
    pc_sim_run_for(sim, 3000);
    must_hold(sim);
    assert_refused_with(sim, away, "entries of this log are written in protocol 2: upgrade");
    start_as(sim, away, second);
    pc_sim_run_for(sim, 2000);
    must_write(sim, away);
    finish(sim);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(swarm__eight_runs__has_seen_what_it_is_to_check),
    PC_TEST(upgrade__one_by_one__conditions_work_with_the_last),
    PC_TEST(downgrade__nothing_new_was_written__works_half_way_and_back),
    PC_TEST(member__away_while_something_new_is_committed__is_refused_until_upgraded),
    PC_TEST(leader__whose_entries_nobody_can_read__makes_room),
    PC_TEST(leader__alone_has_something_new__an_older_majority_goes_on),
    PC_TEST(member__comes_back_older_at_any_moment__gets_nothing_that_it_cannot_read),
    PC_TEST(program__older_than_its_log__refuses_it_by_name),
    PC_TEST(programs__nothing_in_common__refuse_each_other_by_name),
    PC_TEST(new_member__of_an_older_program__is_let_in_when_upgraded),
    PC_TEST(member__away_while_members_change__is_refused_until_upgraded),
};
PC_TEST_MAIN("sim_protocols", tests)
