/* Nodes of different age in one cluster: what may be asked of it, and who is let in. */
#include "unit/node/node_members.h"

static const struct pc_protocols first = {1, 1}, second = {1, 2};

static void net_restart_as(struct net *net, size_t i, struct pc_protocols protocols)
{
    net_crash(net, i);
    net->nodes[i].opts.protocols = protocols;
    net_start(net, i);
}

static void cluster__one_speaks_less__speaks_that_until_it_is_upgraded(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    assert_int_equal(net_status(net, 1).cluster_protocol, 2);
    net_restart_as(net, 3, first);
    net_live(net, 1000);
    assert_int_equal(net_status(net, 1).cluster_protocol, 1);
    assert_int_equal(net_status(net, 3).cluster_protocol, 1);
    assert_int_equal(net_status(net, 3).protocols.max, 1);
    assert_int_equal(net_member(net, 1, 103).protocol_max, 1);
    assert_int_equal(net_member(net, 1, 102).protocol_max, 2);
    assert_int_equal(net_member(net, 1, 101).protocol_max, 2);
    net_restart_as(net, 3, second);
    net_live(net, 1000);
    assert_int_equal(net_status(net, 1).cluster_protocol, 2);
    net_assert_works(net, 3, 1);
    net_delete(net);
}

static void members__one_speaks_the_first_protocol__are_not_changed(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_restart_as(net, 3, first);
    net_live(net, 1000);
    net_change_refused(net, 1, 1, PC_MEMBER_ADD, "node4", "node3 speaks protocol 1");
    net_change_refused(net, 2, 2, PC_MEMBER_REMOVE, "node2", "upgrade it first");
    assert_int_equal(net_voters(net, 1), 3);
    net_restart_as(net, 3, second);
    net_live(net, 1000);
    net_change_ok(net, 1, 3, PC_MEMBER_ADD, "node4");
    net_delete(net);
}

/* One that is lost is replaced by the leader itself: not before all can read of it. */
static void replacement__one_speaks_the_first_protocol__waits(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_restart_as(net, 3, first);
    net_live(net, 1000);
    net_crash(net, 2);
    net_wipe(net, 2);
    net_start(net, 2);
    net_live(net, 10 * 1000);
    assert_int_equal(net_member(net, net_leader(net), 202).id, 0);
    net_restart_as(net, 3, second);
    net_live(net, 20 * 1000);
    assert_int_equal(net_member(net, net_leader(net), 202).id, 202);
    net_delete(net);
}

static void admit__cannot_read_the_members__is_refused_by_name(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 3);
    net_change(net, 1, 1, PC_MEMBER_ADD, "node4", PC_WANT_REPLICA);
    net_live(net, 1000);
    net_assert_reply(net, 1, 1, PC_REPLY_OK);
    net->nodes[3].opts.protocols = first;
    net_start(net, 3);
    struct pc_error error = {0};
    assert_false(net_try_connect(net, 1, 3, &error));
    assert_int_equal(error.code, PC_E_VERSION);
    assert_non_null(strstr(error.text, "node3 speaks protocol 1"));
    assert_non_null(strstr(error.text, "upgrade node3 first"));
    net_restart_as(net, 3, second);
    assert_true(net_try_connect(net, 1, 3, &error));
    net_delete(net);
}

static void member__says_its_version_and_disk__shows_them(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 2);
    (void)snprintf(net->nodes[2].opts.build, sizeof net->nodes[2].opts.build, "9.9.9");
    net_start(net, 2);
    net_live(net, 1000);
    struct pc_disk_report report = {.free_bytes = 7 << 20, .total_bytes = 9 << 20, .sync_us = 5};
    struct pc_node_event event = {.type = PC_NODE_DISK};
    event.u.disk = &report;
    net_do(net, 2, &event);
    net_live(net, 100);
    struct pc_node_member seen = net_member(net, 1, 102), own = net_member(net, 2, 102);
    assert_string_equal(seen.build, "9.9.9");
    assert_string_equal(own.build, "9.9.9");
    assert_int_equal(seen.disk_free_bytes, 7 << 20);
    assert_int_equal(own.disk_free_bytes, 7 << 20);
    assert_int_equal(own.disk_total_bytes, 9 << 20);
    assert_int_equal(net_member(net, 1, 103).disk_free_bytes, 0);
    assert_string_equal(net_member(net, 1, 103).build, "");
    net_delete(net);
}

static void net_create(struct net *net, size_t i, uint64_t tag, const char *key)
{
    struct pc_request request = {.tag = tag, .type = PC_REQUEST_WRITE};
    request.command = (struct pc_command){.op = PC_OP_SET,
        .key = pc_slice_str(key),
        .value = pc_slice_str("v"),
        .condition = PC_IF_ABSENT};
    net_request(net, i, &request);
}

static void assert_refused(const struct net *net, size_t i, uint64_t tag, const char *part)
{
    const struct net_reply *reply = net_reply(net, i, tag);
    assert_non_null(reply);
    assert_int_equal(reply->reply.status, PC_REPLY_REFUSED);
    assert_non_null(strstr(reply->reply.text, part));
}

static void condition__all_speak_it__is_judged_once_by_the_log(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_create(net, 1, 1, "key");
    net_live(net, 100);
    net_create(net, 2, 2, "key");
    net_live(net, 100);
    net_assert_reply(net, 1, 1, PC_REPLY_OK);
    net_assert_reply(net, 2, 2, PC_REPLY_OK);
    const struct pc_outcome *made = &net_reply(net, 1, 1)->reply.outcome;
    const struct pc_outcome *late = &net_reply(net, 2, 2)->reply.outcome;
    assert_true(!made->unmet && made->changed);
    assert_true(late->unmet && !late->changed && late->existed);
    assert_int_equal(late->version, made->version);
    net_delete(net);
}

/* Refused at the leader and at a follower, and nothing of it is left; a write without a condition
 * goes on. */
static void condition__one_speaks_the_first_protocol__is_refused_by_its_name(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_restart_as(net, 3, first);
    net_live(net, 1000);
    net_create(net, 1, 1, "key");
    net_create(net, 2, 2, "key");
    net_set(net, 2, 3, "other", "value");
    net_live(net, 1000);
    assert_refused(net, 1, 1, "node3 speaks protocol 1");
    assert_refused(net, 2, 2, "upgrade it first");
    net_assert_reply(net, 2, 3, PC_REPLY_OK);
    net_get(net, 1, 4, "key", PC_CONSISTENCY_LINEARIZABLE);
    net_live(net, 100);
    net_assert_reply(net, 1, 4, PC_REPLY_NOT_FOUND);
    net_restart_as(net, 3, second);
    net_live(net, 1000);
    net_create(net, 2, 5, "key");
    net_live(net, 100);
    net_assert_reply(net, 2, 5, PC_REPLY_OK);
    net_delete(net);
}

/* The follower does not see the old member: the leader does. */
static void condition__leader_alone_sees_the_old_member__refuses_the_forwarded(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_restart_as(net, 3, first);
    net_live(net, 1000);
    net_disconnect(net, 2, 3);
    net_create(net, 2, 1, "key");
    net_set(net, 2, 2, "other", "value");
    net_run(net, 1000);
    assert_refused(net, 2, 1, "does not speak protocol 2");
    net_assert_reply(net, 2, 2, PC_REPLY_OK);
    net_delete(net);
}

/* It could not be given what is committed, and might have it from the time before. */
static void admit__newer_entries_are_applied__refuses_by_name(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 3);
    net_create(net, 1, 1, "key");
    net_live(net, 200);
    net_assert_reply(net, 1, 1, PC_REPLY_OK);
    net->nodes[3].opts.protocols = first;
    net_start(net, 3);
    for (size_t i = 1; i <= 2; i++) {
        struct pc_error error = {0};
        assert_false(net_try_connect(net, i, 3, &error));
        assert_int_equal(error.code, PC_E_VERSION);
        assert_non_null(strstr(error.text, "node3 speaks protocol 1, and entries of this log are"
                                           " written in protocol 2: upgrade node3 first"));
    }
    net_restart_as(net, 3, second);
    net_live(net, 1000);
    net_assert_works(net, 3, 2);
    net_delete(net);
}

static const struct pc_note *net_note(const struct net *net, size_t i, enum pc_note_type type)
{
    for (size_t k = 0; k < net->nodes[i].notes_n; k++) {
        if (net->nodes[i].notes[k].type == type) {
            return &net->nodes[i].notes[k];
        }
    }
    return NULL;
}

/* Not committed yet, so that nobody refuses it: the leader sends nothing of it, and says why. */
static void append__newer_than_the_peer__is_withheld_and_told(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 3);
    net->cut[1][2] = true;
    net->nodes[1].notes_n = 0;
    net_create(net, 1, 1, "key");
    net_settle(net);
    pc_index made = net_status(net, 1).raft.last;
    net->nodes[3].opts.protocols = first;
    net_start(net, 3);
    net_connect(net, 1, 3);
    net_run(net, 300);
    assert_true(net_status(net, 1).raft.role == PC_RAFT_LEADER);
    assert_true(net->nodes[3].disk.n < made);
    const struct pc_note *note = net_note(net, 1, PC_NOTE_WITHHELD);
    assert_non_null(note);
    PC_ASSERT(note != NULL);
    assert_int_equal(note->id, 103);
    assert_int_equal(note->a, PC_PROTOCOL_CONDITIONS);
    assert_non_null(strstr(note->text, "node3 speaks protocol 1"));
    net->cut[1][2] = false;
    net_live(net, 1000);
    net_assert_reply(net, 1, 1, PC_REPLY_OK);
    assert_true(net->nodes[3].disk.n < made);
    net_restart_as(net, 3, second);
    net_live(net, 1000);
    net_assert_works(net, 3, 2);
    net_delete(net);
}

/* All have it; node 3, which is down, comes back as a program that cannot read it. */
static struct net *net_new_with_newer_entry(pc_index *made)
{
    struct net *net = net_new_formed(3);
    net_create(net, 1, 1, "key");
    net_live(net, 200);
    net_assert_reply(net, 1, 1, PC_REPLY_OK);
    *made = net_reply(net, 1, 1)->reply.index;
    net_set(net, 1, 2, "other", "value");
    net_live(net, 1000);
    assert_true(net->nodes[3].disk.n > *made);
    net_crash(net, 3);
    net->nodes[3].opts.protocols = first;
    return net;
}

static void own_log__newer_than_the_program__refuses_to_start(void **state)
{
    (void)state;
    pc_index made;
    struct net *net = net_new_with_newer_entry(&made);
    struct net_node *node = &net->nodes[3];
    struct pc_term_run runs[64];
    struct pc_error error = {0};
    node->commit = made - 1;
    struct pc_node_restored restored = net_restored(node, runs);
    assert_int_equal(
        pc_node_new(&node->opts, &restored, net->now, &node->node, &error), PC_E_VERSION);
    assert_null(node->node);
    char text[96];
    (void)snprintf(text, sizeof text,
        "entry %u is written in protocol 2, and this program speaks 1: start", (unsigned)made);
    assert_non_null(strstr(error.text, text));
    node->opts.protocols = second;
    net_start(net, 3);
    net_live(net, 1000);
    net_assert_works(net, 3, 3);
    net_delete(net);
}

/* Committed entries are read from the disk when they are applied. */
static void own_log__newer_and_committed__ends_before_it_is_applied(void **state)
{
    (void)state;
    pc_index made;
    struct net *net = net_new_with_newer_entry(&made);
    net->nodes[3].commit = net->nodes[3].disk.n;
    net_start(net, 3);
    net_run(net, 1000);
    const struct pc_note *note = net_note(net, 3, PC_NOTE_UNREADABLE);
    assert_non_null(note);
    PC_ASSERT(note != NULL);
    assert_non_null(strstr(note->text, "is written in protocol 2, and this program speaks 1"));
    assert_true(net_status(net, 3).failed);
    assert_int_equal(net_status(net, 3).applied, made - 1);
    net_restart_as(net, 3, second);
    net_live(net, 1000);
    net_assert_works(net, 3, 3);
    net_delete(net);
}

/* Entry 1 names the spare in a form that node 2 does not know: it is not made before. */
static void formation__with_a_spare_and_an_older_program__waits_for_its_upgrade(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    for (size_t i = 1; i <= 3; i++) {
        struct pc_node_opts *opts = &net->nodes[i].opts;
        net_crash(net, i);
        opts->spares_n = 1;
        (void)snprintf(opts->spares[0], sizeof opts->spares[0], "node4");
        opts->protocols = i == 2 ? first : second;
        net_start(net, i);
    }
    net_live(net, 3000);
    assert_false(net_status(net, 1).formed);
    struct pc_node_status status = net_status(net, 1);
    const struct pc_ready_check *check = net_ready_check(&status, "formed");
    assert_non_null(check);
    assert_string_equal(
        check->text, "waiting for node2 (upgrade it first: it cannot read of spares)");
    net_restart_as(net, 2, second);
    net_live(net, 3000);
    assert_true(net_status(net, 2).formed);
    net_assert_works(net, 2, 1);
    net_delete(net);
}

/* An older program that is asked itself. */
static void condition__asked_of_the_older_program__is_refused_by_its_own_name(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_restart_as(net, 3, first);
    net_live(net, 1000);
    net_create(net, 3, 1, "key");
    net_live(net, 100);
    assert_refused(net, 3, 1, "node3 speaks protocol 1");
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(condition__all_speak_it__is_judged_once_by_the_log),
    PC_TEST(condition__one_speaks_the_first_protocol__is_refused_by_its_name),
    PC_TEST(condition__leader_alone_sees_the_old_member__refuses_the_forwarded),
    PC_TEST(cluster__one_speaks_less__speaks_that_until_it_is_upgraded),
    PC_TEST(members__one_speaks_the_first_protocol__are_not_changed),
    PC_TEST(replacement__one_speaks_the_first_protocol__waits),
    PC_TEST(admit__cannot_read_the_members__is_refused_by_name),
    PC_TEST(member__says_its_version_and_disk__shows_them),
    PC_TEST(admit__newer_entries_are_applied__refuses_by_name),
    PC_TEST(append__newer_than_the_peer__is_withheld_and_told),
    PC_TEST(own_log__newer_than_the_program__refuses_to_start),
    PC_TEST(own_log__newer_and_committed__ends_before_it_is_applied),
    PC_TEST(formation__with_a_spare_and_an_older_program__waits_for_its_upgrade),
    PC_TEST(condition__asked_of_the_older_program__is_refused_by_its_own_name),
};
PC_TEST_MAIN("node_protocol", tests)
