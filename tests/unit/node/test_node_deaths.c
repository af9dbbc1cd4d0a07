/* Random deaths, returns and cuts, with a spare, with auto_shrink, with both: whatever happens,
 * what was acknowledged is there in the end, three vote, and who does not is the spare. After each
 * step the checks of node_nodes.h: no two nodes ever apply different entries at one index. */
#include "node/node_int.h"
#include "pcache/prng.h"
#include "unit/node/node_spares.h"

#define SEEDS (12 / PC_TEST_STRIDE)
#define STEPS 45
#define KEYS_MAX STEPS

struct trial {
    struct net *net;
    struct pc_prng prng;
    size_t nodes_n;
    bool acked[KEYS_MAX];
    size_t keys_n;
};

static void set_spare(struct pc_node_opts *opts)
{
    (void)snprintf(opts->spares[0], sizeof opts->spares[0], "node4");
    opts->spares_n = 1;
}

static void set_shrink(struct pc_node_opts *opts)
{
    opts->auto_shrink = true;
}

static void set_both(struct pc_node_opts *opts)
{
    set_spare(opts);
    set_shrink(opts);
}

static size_t pick(struct trial *t)
{
    return 1 + (size_t)pc_prng_below(&t->prng, t->nodes_n);
}

/* Of a cut pair the link ends sooner or later; the others find each other. */
static void live(struct trial *t, pc_ms ms)
{
    struct net *net = t->net;
    for (pc_ms done = 0; done < ms; done += 100) {
        for (size_t a = 1; a <= net->n; a++) {
            for (size_t b = a + 1; b <= net->n; b++) {
                struct pc_error error = {0};
                bool may = net->nodes[a].node != NULL && net->nodes[b].node != NULL;
                if (net->cut[a][b] && pc_prng_chance(&t->prng, 50000)) {
                    net_disconnect(net, a, b);
                } else if (may && !net->cut[a][b] && !net->up[a][b]) {
                    (void)net_try_connect(net, a, b, &error);
                }
            }
        }
        net_run(net, 100);
    }
}

/* A write of a key of its own through node i, which may take its time. */
static void write_key(struct trial *t, size_t i)
{
    struct net *net = t->net;
    size_t key = t->keys_n++;
    char name[24];
    (void)snprintf(name, sizeof name, "k%zu", key);
    net->nodes[i].replies_n = 0;
    net_set(net, i, 1000 + key, name, name);
    live(t, pc_prng_between(&t->prng, 1, 40) * 100);
    const struct net_reply *reply = net_reply(net, i, 1000 + key);
    t->acked[key] = reply != NULL && reply->reply.status == PC_REPLY_OK;
}

static void cut(struct trial *t, size_t a, size_t b, bool is_cut)
{
    if (a != b) {
        t->net->cut[a][b] = t->net->cut[b][a] = is_cut;
    }
}

static void step(struct trial *t)
{
    struct net *net = t->net;
    size_t i = pick(t);
    uint64_t what = pc_prng_below(&t->prng, 100);
    bool is_up = net->nodes[i].node != NULL;
    if (what < 25 && is_up) {
        net_crash(net, i);
    } else if (what < 60 && !is_up) {
        net_start(net, i);
    } else if (what < 70) {
        cut(t, i, pick(t), true);
    } else if (what < 85) {
        cut(t, i, pick(t), false);
    }
    i = pick(t);
    if (net->nodes[i].node != NULL) {
        write_key(t, i);
    } else {
        live(t, pc_prng_between(&t->prng, 1, 80) * 100);
    }
}

static void end_well(struct trial *t, bool has_spare)
{
    struct net *net = t->net;
    for (size_t a = 1; a <= t->nodes_n; a++) {
        for (size_t b = 1; b <= t->nodes_n; b++) {
            net->cut[a][b] = false;
        }
        if (net->nodes[a].node == NULL) {
            net_start(net, a);
        }
    }
    net_live(net, 30 * 1000);
    size_t leader = net_live_until_leader(net);
    assert_int_equal(net_voters(net, leader), 3);
    size_t spares_n = 0;
    for (size_t i = 1; i <= t->nodes_n; i++) {
        bool is_spare = strcmp(net_status(net, i).role, "spare") == 0;
        spares_n += is_spare ? 1 : 0;
        assert_int_equal(net_status(net, i).ready, !is_spare);
    }
    assert_int_equal(spares_n, has_spare ? 1 : 0);
    for (size_t key = 0; key < t->keys_n; key++) {
        char name[24];
        (void)snprintf(name, sizeof name, "k%zu", key);
        net->nodes[leader].replies_n = 0;
        net_get(net, leader, 5000 + key, name, PC_CONSISTENCY_LINEARIZABLE);
        net_run(net, 20);
        const struct net_reply *reply = net_reply(net, leader, 5000 + key);
        assert_non_null(reply);
        PC_ASSERT(reply != NULL);
        if (t->acked[key] && reply->reply.status != PC_REPLY_OK) {
            fail_msg("%s was acknowledged, and is gone", name);
        }
    }
}

/* Returns how many writes were acknowledged. */
static size_t run(uint64_t seed, void (*set)(struct pc_node_opts *opts), bool has_spare)
{
    struct trial t = {.net = net_new_set(3, set), .nodes_n = 3};
    pc_prng_seed(&t.prng, seed);
    if (has_spare) {
        net_start_spare(t.net, 4, 1);
        t.nodes_n = 4;
        net_live(t.net, 3000);
    }
    size_t acked_n = 0;
    for (size_t i = 0; i < STEPS; i++) {
        step(&t);
    }
    end_well(&t, has_spare);
    for (size_t key = 0; key < t.keys_n; key++) {
        acked_n += t.acked[key] ? 1 : 0;
    }
    net_delete(t.net);
    return acked_n;
}

static void deaths__with_a_spare__nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    size_t acked_n = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        acked_n += run(seed, set_spare, true);
    }
    assert_true(acked_n > 3 * SEEDS);
}

static void deaths__with_auto_shrink__nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    size_t acked_n = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        acked_n += run(100 + seed, set_shrink, false);
    }
    assert_true(acked_n > 3 * SEEDS);
}

static void deaths__with_both__nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    size_t acked_n = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        acked_n += run(200 + seed, set_both, true);
    }
    assert_true(acked_n > 3 * SEEDS);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(deaths__with_a_spare__nothing_acknowledged_is_lost),
    PC_TEST(deaths__with_auto_shrink__nothing_acknowledged_is_lost),
    PC_TEST(deaths__with_both__nothing_acknowledged_is_lost),
};

PC_TEST_MAIN("node_deaths", tests)
