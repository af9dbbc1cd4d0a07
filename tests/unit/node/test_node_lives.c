/* Lives of peers: noted before they are counted, and older copies of a disk found out by them. */
#include "unit/node/node_net.h"

static struct pc_peer_hello hello_of(const struct net *net, size_t i)
{
    struct pc_peer_hello hello;
    pc_node_hello(net->nodes[i].node, &hello);
    return hello;
}

static pc_err admit(const struct net *net, size_t i, const struct pc_peer_hello *hello, char *text)
{
    struct pc_error error = {0};
    pc_err err = pc_node_admit(net->nodes[i].node, hello, &error);
    (void)snprintf(text, sizeof error.text, "%s", error.text);
    return err;
}

/* A cluster of three whose nodes note lives only when the test says so, from now on. */
static struct net *net_that_waits(void)
{
    struct net *net = net_new_formed(3);
    for (size_t i = 1; i <= 3; i++) {
        net->nodes[i].holds_lives = true;
        net->nodes[i].lives_n = 0;
    }
    return net;
}

static void note_first(struct net *net, size_t i)
{
    struct net_node *node = &net->nodes[i];
    assert_true(node->lives_n > 0);
    struct pc_node_event event = {.type = PC_NODE_LIFE_NOTED, .u.life = node->lives[0]};
    node->lives_n--;
    memmove(node->lives, node->lives + 1, node->lives_n * sizeof node->lives[0]);
    net_do(net, i, &event);
}

static void settle_disks(struct net *net)
{
    net_run(net, 1000);
}

static struct pc_msg vote_request(const struct net *net, size_t from, size_t to, pc_term term)
{
    struct pc_msg msg = {.type = PC_MSG_RAFT, .from = 100 + from, .to = 100 + to};
    msg.raft = (struct pc_raft_msg){
        .type = PC_RAFT_MSG_VOTE, .from = msg.from, .to = msg.to, .term = term};
    msg.raft.u.vote.last_index = net_status(net, to).raft.last + 100;
    msg.raft.u.vote.last_term = term - 1;
    return msg;
}

static void raft__of_a_life_that_is_not_noted__waits_for_the_disk(void **state)
{
    (void)state;
    struct net *net = net_that_waits();
    net_crash(net, 3);
    net_start(net, 3);
    net_connect_all(net, 3);
    pc_term term = net_status(net, 1).raft.term + 5;
    struct pc_msg vote = vote_request(net, 3, 1, term);
    size_t asked = net->nodes[1].lives_n;
    net_recv(net, 1, &vote);
    net_recv(net, 1, &vote);
    assert_true(net_status(net, 1).raft.term < term);
    assert_int_equal(net->nodes[1].lives_n, asked + 1); /* asked for once */
    struct pc_life *life = &net->nodes[1].lives[asked];
    assert_int_equal(life->id, 103);
    assert_int_equal(life->generation, net->nodes[3].opts.generation);
    assert_int_equal(life->mark, net->nodes[3].opts.mark);
    note_first(net, 1);
    struct pc_msg append = {.type = PC_MSG_RAFT, .from = 103, .to = 101};
    append.raft =
        (struct pc_raft_msg){.type = PC_RAFT_MSG_APPEND_RESP, .from = 103, .to = 101, .term = term};
    net_recv(net, 1, &append);
    assert_int_equal(net_status(net, 1).raft.term, term);
    net_delete(net);
}

/* Followers have not spoken to each other before one of them is told to take over. */
static void vote__of_a_life_that_is_not_noted__is_answered_when_it_is(void **state)
{
    (void)state;
    struct net *net = net_that_waits();
    net_crash(net, 3);
    net_start(net, 3);
    net_connect_all(net, 3);
    pc_term term = net_status(net, 2).raft.term + 1;
    struct pc_msg vote = vote_request(net, 3, 2, term);
    vote.raft.u.vote.transfer = true;
    net_recv(net, 2, &vote);
    assert_true(net_status(net, 2).raft.term < term);
    net_drop(net, 0, 2, 3);
    note_first(net, 2);
    assert_int_equal(net_status(net, 2).raft.term, term);
    net_run(net, 10);
    assert_true(net_status(net, 3).raft.term < term); /* the answer meets the same there */
    while (net->nodes[3].lives_n > 0) {
        note_first(net, 3);
    }
    assert_int_equal(net_status(net, 3).raft.term, term);
    net_delete(net);
}

/* What an earlier life asked for is void. */
static void vote__of_a_life_that_is_over_when_it_is_noted__is_dropped(void **state)
{
    (void)state;
    struct net *net = net_that_waits();
    net_crash(net, 3);
    net_start(net, 3);
    net_connect_all(net, 3);
    pc_term term = net_status(net, 2).raft.term + 1;
    struct pc_msg vote = vote_request(net, 3, 2, term);
    vote.raft.u.vote.transfer = true;
    net_recv(net, 2, &vote);
    assert_int_equal(net->nodes[2].lives_n, 1);
    net_crash(net, 3);
    net_start(net, 3);
    net_connect_all(net, 3);
    note_first(net, 2);
    assert_true(net_status(net, 2).raft.term < term);
    net_delete(net);
}

static void raft__of_somebody_never_met__is_dropped(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_msg msg = vote_request(net, 3, 1, net_status(net, 1).raft.term + 5);
    msg.from = msg.raft.from = 177;
    net_recv(net, 1, &msg);
    assert_int_equal(net->nodes[1].lives_n, 0);
    assert_true(net_status(net, 1).raft.term < msg.raft.term);
    net_delete(net);
}

static void admit__disk_as_it_was_before_a_life_that_was_met__is_refused(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_peer_hello hello = hello_of(net, 3);
    uint64_t met = hello.generation;
    char text[256];
    net_crash(net, 3);
    hello.is_lossy = true;         /* only its lives are held against it */
    hello.generation = met + 1000; /* by the clock */
    hello.mark = 77;
    hello.prev_generation = met;
    assert_int_equal(admit(net, 1, &hello, text), PC_OK);
    hello.prev_generation = met - 1;
    assert_int_equal(admit(net, 1, &hello, text), PC_E_STALE);
    assert_non_null(strstr(text, "older copy"));
    assert_non_null(strstr(text, "move it away"));
    hello.generation = met; /* by a clock that stands still */
    assert_int_equal(admit(net, 1, &hello, text), PC_E_STALE);
    hello.mark = net->nodes[3].opts.mark;
    assert_int_equal(admit(net, 1, &hello, text), PC_OK);
    hello.generation = met - 1;
    assert_int_equal(admit(net, 1, &hello, text), PC_E_STALE);
    hello.generation = met + 1000;
    hello.has_life = false; /* of a program that does not say */
    assert_int_equal(admit(net, 1, &hello, text), PC_OK);
    net_delete(net);
}

static void admit__lives_noted_before_this_start__count_as_well(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_peer_hello hello = hello_of(net, 3);
    char text[256];
    struct pc_term_run runs[64];
    settle_disks(net);
    net_crash(net, 1);
    struct pc_node_restored restored = net_restored(&net->nodes[1], runs);
    struct pc_life life = {.id = 103, .generation = hello.generation + 5, .mark = 4};
    restored.lives = &life;
    restored.lives_n = 1;
    net_start_with(net, 1, &restored);
    assert_int_equal(admit(net, 1, &hello, text), PC_E_STALE);
    hello.generation += 9;
    hello.prev_generation = life.generation;
    assert_int_equal(admit(net, 1, &hello, text), PC_OK);
    net_delete(net);
}

static void admit__earlier_process_beside_a_later_one__is_superseded(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_peer_hello early = hello_of(net, 3);
    char text[256];
    settle_disks(net);
    net_crash(net, 3);
    net_start(net, 3);
    net_connect_all(net, 3);
    assert_int_equal(admit(net, 1, &early, text), PC_E_SUPERSEDED);
    assert_non_null(strstr(text, "runs twice"));
    net_disconnect(net, 1, 3);
    assert_int_equal(admit(net, 1, &early, text), PC_E_STALE);
    net_delete(net);
}

/* ---- copies of the present life: held against what was counted by this very process */

/* The leader, with ten entries that everybody has acknowledged; *hello: of node `other`, begun anew
 * with all it had. */
static size_t with_acknowledged(struct net **net, struct pc_peer_hello *hello, size_t *other)
{
    *net = net_new_formed(3);
    size_t leader = net_leader(*net);
    for (uint64_t tag = 1; tag <= 10; tag++) {
        net_set(*net, leader, tag, "key", "value");
        net_run(*net, 100);
    }
    *other = leader % 3 + 1;
    *hello = hello_of(*net, *other);
    net_crash(*net, *other);
    hello->prev_generation = hello->generation;
    hello->generation += 10;
    hello->mark = 99;
    hello->term = net_status(*net, leader).raft.term;
    hello->last = net_status(*net, leader).raft.last;
    return leader;
}

static void admit__log_that_lacks_what_was_acknowledged__is_refused(void **state)
{
    (void)state;
    struct net *net;
    struct pc_peer_hello hello;
    char text[256];
    size_t other, leader = with_acknowledged(&net, &hello, &other);
    assert_int_equal(admit(net, leader, &hello, text), PC_OK);
    hello.last--;
    assert_int_equal(admit(net, leader, &hello, text), PC_E_STALE);
    assert_non_null(strstr(text, "had promised"));
    hello.is_lossy = true; /* and says so */
    assert_int_equal(admit(net, leader, &hello, text), PC_OK);
    hello.is_lossy = false;
    hello.term++; /* a leader of a later term has cut it */
    assert_int_equal(admit(net, leader, &hello, text), PC_OK);
    hello.term -= 2;
    hello.last += 50;
    assert_int_equal(admit(net, leader, &hello, text), PC_E_STALE);
    net_delete(net);
}

static void admit__behind_a_life_that_was_lossy__nothing_is_held_against_the_next(void **state)
{
    (void)state;
    struct net *net;
    struct pc_peer_hello hello;
    char text[256];
    size_t other, leader = with_acknowledged(&net, &hello, &other);
    hello.last -= 3;
    hello.is_lossy = true;
    struct pc_node_event event = {.type = PC_NODE_PEER_MET, .u.hello = &hello};
    net_do(net, leader, &event);
    net_note_life(net, leader, hello.id, hello.generation);
    hello.prev_generation = hello.generation;
    hello.generation++;
    hello.is_lossy = false;
    assert_int_equal(admit(net, leader, &hello, text), PC_OK);
    net_delete(net);
}

static void admit__same_life_on_another_connection__is_not_held_to_its_beginning(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    size_t leader = net_leader(net), other = leader % 3 + 1;
    net_set(net, leader, 1, "key", "value");
    net_run(net, 100);
    struct pc_peer_hello hello = hello_of(net, other);
    char text[256];
    assert_true(hello.last < net_status(net, leader).raft.last); /* it says how it began */
    assert_int_equal(admit(net, leader, &hello, text), PC_OK);
    net_delete(net);
}

static void flood(struct net *net, size_t i, uint64_t count)
{
    for (uint64_t k = 0; k < count; k++) {
        struct pc_peer_hello hello = {
            .id = 1000 + k, .generation = 1000000000 + k, .name = "other"};
        struct pc_node_event event = {.type = PC_NODE_PEER_MET, .u.hello = &hello};
        net_do(net, i, &event);
    }
}

static void lives__more_than_there_is_room_for__the_linked_ones_stay(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_peer_hello stale = hello_of(net, 3);
    char text[256];
    flood(net, 1, 2 * PC_LIVES_MAX);
    stale.generation--;
    assert_int_not_equal(admit(net, 1, &stale, text), PC_OK);
    net_delete(net);
}

/* A voter that is down has no link to keep its place by. */
static void lives__more_than_there_is_room_for__members_stay_though_they_are_down(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_peer_hello stale = hello_of(net, 3);
    pc_node_id kept[PC_LIVES_KEPT_MAX];
    char text[256];
    net_crash(net, 3);
    flood(net, 1, 2 * PC_LIVES_MAX);
    stale.generation--;
    assert_int_equal(admit(net, 1, &stale, text), PC_E_STALE);
    assert_int_equal(pc_node_lives_kept(net->nodes[1].node, kept), 2);
    assert_int_equal(kept[0], 102);
    assert_int_equal(kept[1], 103);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(raft__of_a_life_that_is_not_noted__waits_for_the_disk),
    PC_TEST(vote__of_a_life_that_is_not_noted__is_answered_when_it_is),
    PC_TEST(vote__of_a_life_that_is_over_when_it_is_noted__is_dropped),
    PC_TEST(raft__of_somebody_never_met__is_dropped),
    PC_TEST(admit__disk_as_it_was_before_a_life_that_was_met__is_refused),
    PC_TEST(admit__lives_noted_before_this_start__count_as_well),
    PC_TEST(admit__earlier_process_beside_a_later_one__is_superseded),
    PC_TEST(admit__log_that_lacks_what_was_acknowledged__is_refused),
    PC_TEST(admit__behind_a_life_that_was_lossy__nothing_is_held_against_the_next),
    PC_TEST(admit__same_life_on_another_connection__is_not_held_to_its_beginning),
    PC_TEST(lives__more_than_there_is_room_for__the_linked_ones_stay),
    PC_TEST(lives__more_than_there_is_room_for__members_stay_though_they_are_down),
};

PC_TEST_MAIN("node_lives", tests)
