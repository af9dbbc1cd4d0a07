/* Disks that fill up or slow down: who still writes what, who leads, and what is said of it. */
#include "unit/node/node_net.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static void measure(struct net *net, size_t i, uint64_t free_bytes, uint64_t sync_us)
{
    struct pc_disk_report report = {
        .free_bytes = free_bytes, .total_bytes = 100 * GIB, .sync_us = sync_us};
    struct pc_node_event event = {.type = PC_NODE_DISK};
    event.u.disk = &report;
    net_do(net, i, &event);
}

/* Everybody measures once a second. */
static void run_measured(
    struct net *net, size_t rounds, const uint64_t *free_bytes, const uint64_t *sync_us)
{
    for (size_t k = 0; k < rounds; k++) {
        for (size_t i = 1; i <= net->n; i++) {
            measure(net, i, free_bytes[i - 1], sync_us != NULL ? sync_us[i - 1] : 0);
        }
        net_run(net, 1000);
    }
}

static void write_op(struct net *net, size_t i, uint64_t tag, enum pc_op op, const char *key)
{
    struct pc_request request = {.tag = tag, .type = PC_REQUEST_WRITE};
    request.command = (struct pc_command){.op = op, .key = pc_slice_str(key)};
    if (op == PC_OP_EXPIRE) {
        request.command.has_ttl = true;
        request.command.ttl_ms = 100000;
    }
    net_request(net, i, &request);
}

static void assert_text(struct net *net, size_t i, const char *part)
{
    struct pc_node_status status = net_status(net, i);
    const struct pc_ready_check *check = net_ready_check(&status, "log");
    assert_non_null(check);
    assert_true(check->ok); /* it goes on answering reads */
    if (part[0] == '\0' ? check->text[0] != '\0' : strstr(check->text, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, check->text);
    }
}

static void assert_full_disks(struct net *net, size_t i, const char *names)
{
    char text[128];
    pc_node_full_disks(net->nodes[i].node, net->now, text, sizeof text);
    assert_string_equal(text, names);
}

static enum pc_space_level level_of(struct net *net, size_t i)
{
    return net_status(net, i).disk.space;
}

static void marks__falling_and_rising__have_a_margin(void **state)
{
    (void)state;
    struct net *net = net_new_formed(1);
    assert_int_equal(level_of(net, 1), PC_SPACE_OK);
    measure(net, 1, GIB, 0); /* 10 % would be more: the smaller mark counts */
    assert_int_equal(level_of(net, 1), PC_SPACE_OK);
    measure(net, 1, GIB - 1, 0);
    assert_int_equal(level_of(net, 1), PC_SPACE_SOFT);
    assert_text(net, 1, "disk space is low: 1023 of 102400 MiB");
    assert_true(net_has_note(net, 1, PC_NOTE_DISK));
    measure(net, 1, GIB + GIB / 8 - 1, 0);
    assert_int_equal(level_of(net, 1), PC_SPACE_SOFT);
    measure(net, 1, 128 * MIB, 0);
    assert_int_equal(level_of(net, 1), PC_SPACE_SOFT);
    measure(net, 1, 128 * MIB - 1, 0);
    assert_int_equal(level_of(net, 1), PC_SPACE_HARD);
    assert_true(net_status(net, 1).log_full);
    measure(net, 1, 144 * MIB - 1, 0);
    assert_int_equal(level_of(net, 1), PC_SPACE_HARD);
    measure(net, 1, 144 * MIB, 0);
    assert_int_equal(level_of(net, 1), PC_SPACE_SOFT);
    measure(net, 1, GIB + GIB / 8, 0);
    assert_int_equal(level_of(net, 1), PC_SPACE_OK);
    assert_text(net, 1, "");
    struct pc_disk_report unknown = {.sync_us = 5};
    struct pc_node_event event = {.type = PC_NODE_DISK};
    event.u.disk = &unknown;
    net_do(net, 1, &event);
    assert_int_equal(level_of(net, 1), PC_SPACE_OK);
    net_delete(net);
}

static void marks__by_percent_or_none__are_kept(void **state)
{
    (void)state;
    struct net *net = net_new(1);
    net_crash(net, 1);
    net->nodes[1].opts.space_soft = (struct pc_space_mark){0};
    net->nodes[1].opts.space_hard = (struct pc_space_mark){.bytes = UINT64_MAX, .percent = 3};
    net_start(net, 1);
    measure(net, 1, 3 * GIB, 0);
    assert_int_equal(level_of(net, 1), PC_SPACE_OK);
    measure(net, 1, 3 * GIB - 1, 0);
    assert_int_equal(level_of(net, 1), PC_SPACE_HARD);
    net_delete(net);
}

static void hard_mark__everywhere__growth_is_refused_and_the_rest_goes_on(void **state)
{
    (void)state;
    static const uint64_t low[3] = {MIB, MIB, MIB};
    struct net *net = net_new_formed(3);
    net_set(net, 1, 5, "a", "value");
    net_set(net, 1, 6, "b", "value");
    net_run(net, 200);
    run_measured(net, 2, low, NULL);
    assert_int_equal(net_leader(net), 1); /* nobody would do better */
    net_set(net, 1, 10, "c", "value");
    net_assert_reply(net, 1, 10, PC_REPLY_LOG_FULL);
    net_set(net, 2, 11, "c", "value");
    write_op(net, 2, 12, PC_OP_DELETE, "a"); /* of one message, one goes and the others do not */
    write_op(net, 2, 13, PC_OP_EXPIRE, "b");
    net_run(net, 200);
    net_assert_reply(net, 2, 11, PC_REPLY_LOG_FULL);
    net_assert_reply(net, 2, 12, PC_REPLY_OK);
    net_assert_reply(net, 2, 13, PC_REPLY_LOG_FULL);
    write_op(net, 1, 14, PC_OP_DELETE, "b");
    net_run(net, 200);
    net_assert_reply(net, 1, 14, PC_REPLY_OK);
    assert_full_disks(net, 2, "node2, node1, node3");
    assert_text(net, 2, "but for its reserve: 1 of 102400 MiB free");
    net_crash(net, 1); /* what a new leader has to write finds room */
    net_run(net, 3000);
    assert_int_not_equal(net_leader(net), 0);
    net_get(net, 3, 15, "b", PC_CONSISTENCY_LINEARIZABLE);
    net_run(net, 500);
    net_assert_reply(net, 3, 15, PC_REPLY_NOT_FOUND);
    net_delete(net);
}

static void hard_mark__at_the_leader_alone__another_one_leads_and_no_write_fails(void **state)
{
    (void)state;
    static const uint64_t first[3] = {5 * GIB, 5 * GIB, 5 * GIB};
    static const uint64_t then[3] = {MIB, 5 * GIB, 5 * GIB};
    struct net *net = net_new_formed(3);
    run_measured(net, 1, first, NULL);
    measure(net, 1, MIB, 0);
    net_set(net, 1, 5, "a", "value");
    net_set(net, 2, 6, "a", "value");
    net_run(net, 500);
    net_assert_reply(net, 1, 5, PC_REPLY_OK);
    net_assert_reply(net, 2, 6, PC_REPLY_OK);
    assert_int_not_equal(net_leader(net), 1);
    run_measured(net, 5, then, NULL);
    assert_int_not_equal(net_leader(net), 1);
    net_set(net, 1, 7, "a", "value"); /* a minority without room is no reason to refuse */
    net_run(net, 200);
    net_assert_reply(net, 1, 7, PC_REPLY_OK);
    net_delete(net);
}

static void hard_mark__of_the_followers__is_told_and_forgotten(void **state)
{
    (void)state;
    static const uint64_t low[3] = {5 * GIB, MIB, MIB};
    static const uint64_t good[3] = {5 * GIB, 5 * GIB, MIB};
    struct net *net = net_new_formed(3);
    run_measured(net, 1, low, NULL);
    net_set(net, 1, 5, "a", "value");
    net_assert_reply(net, 1, 5, PC_REPLY_LOG_FULL);
    assert_full_disks(net, 1, "node2, node3");
    assert_text(net, 1, ""); /* its own is well */
    run_measured(net, 1, good, NULL);
    net_set(net, 1, 6, "a", "value");
    net_run(net, 200);
    net_assert_reply(net, 1, 6, PC_REPLY_OK);
    run_measured(net, 1, low, NULL);
    net_set(net, 1, 7, "a", "value");
    net_assert_reply(net, 1, 7, PC_REPLY_LOG_FULL);
    net_run(net, 6000); /* nobody says so any more */
    net_set(net, 1, 8, "a", "value");
    net_run(net, 200);
    net_assert_reply(net, 1, 8, PC_REPLY_OK);
    net_delete(net);
}

static void full_disks__of_the_followers__refuse_deletes_too(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 5, "a", "value");
    net_run(net, 200);
    net_event(net, 2, PC_NODE_LOG_FULL);
    net_settle(net);
    write_op(net, 1, 6, PC_OP_DELETE, "b");
    net_run(net, 200);
    net_assert_reply(net, 1, 6, PC_REPLY_OK); /* two are enough */
    net_event(net, 3, PC_NODE_LOG_FULL);
    net_settle(net);
    write_op(net, 1, 7, PC_OP_DELETE, "a");
    write_op(net, 2, 8, PC_OP_DELETE, "a");
    net_run(net, 200);
    net_assert_reply(net, 1, 7, PC_REPLY_LOG_FULL);
    net_assert_reply(net, 2, 8, PC_REPLY_LOG_FULL);
    net_event(net, 2, PC_NODE_LOG_FULL_END);
    net_settle(net);
    write_op(net, 1, 9, PC_OP_DELETE, "a");
    net_run(net, 200);
    net_assert_reply(net, 1, 9, PC_REPLY_OK);
    net_delete(net);
}

static void slow_disk__at_the_leader__a_faster_one_leads(void **state)
{
    (void)state;
    static const uint64_t room[3] = {5 * GIB, 5 * GIB, 5 * GIB};
    static const uint64_t slow[3] = {300000, 90000, 2000};
    static const uint64_t well[3] = {1000, 1000, 1000};
    struct net *net = net_new_formed(3);
    run_measured(net, 2, room, slow);
    assert_int_equal(net_leader(net), 1); /* may pass */
    assert_text(net, 1, "");
    run_measured(net, 2, room, slow);
    assert_int_equal(net_leader(net), 3); /* the other one is hardly better */
    assert_text(net, 1, "disk slow: a sync takes 300 ms");
    assert_true(net_status(net, 1).disk.slow);
    assert_text(net, 2, "");
    run_measured(net, 8, room, slow);
    assert_int_equal(net_leader(net), 3);
    run_measured(net, 3, room, well);
    assert_text(net, 1, "");
    net_delete(net);
}

static void slow_disks__everywhere__leadership_stays(void **state)
{
    (void)state;
    static const uint64_t room[3] = {5 * GIB, 5 * GIB, 5 * GIB};
    static const uint64_t slow[3] = {300000, 200000, 0}; /* the third has too few syncs to tell */
    struct net *net = net_new_formed(3);
    pc_term term = net_status(net, 1).raft.term;
    run_measured(net, 10, room, slow);
    assert_int_equal(net_leader(net), 1);
    assert_int_equal(net_status(net, 1).raft.term, term);
    net_delete(net);
}

static void disk__that_hangs__is_said_to(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_run(net, 5000); /* idle is not hanging */
    assert_text(net, 2, "");
    net->nodes[2].holds_disk = true;
    net_set(net, 1, 5, "a", "value");
    net_run(net, 900);
    assert_text(net, 2, "");
    net_run(net, 1500);
    assert_text(net, 2, "disk hangs: nothing was stored for 2.");
    assert_true(net_status(net, 2).disk.slow && net_status(net, 2).disk.waits_ms >= 2000);
    assert_true(net_has_note(net, 2, PC_NOTE_DISK));
    net->nodes[2].holds_disk = false;
    net_run(net, 200);
    assert_text(net, 2, "");
    assert_int_equal(net_status(net, 2).disk.waits_ms, 0);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(marks__falling_and_rising__have_a_margin),
    PC_TEST(marks__by_percent_or_none__are_kept),
    PC_TEST(hard_mark__everywhere__growth_is_refused_and_the_rest_goes_on),
    PC_TEST(hard_mark__at_the_leader_alone__another_one_leads_and_no_write_fails),
    PC_TEST(hard_mark__of_the_followers__is_told_and_forgotten),
    PC_TEST(full_disks__of_the_followers__refuse_deletes_too),
    PC_TEST(slow_disk__at_the_leader__a_faster_one_leads),
    PC_TEST(slow_disks__everywhere__leadership_stays),
    PC_TEST(disk__that_hangs__is_said_to),
};
PC_TEST_MAIN("node_disk", tests)
