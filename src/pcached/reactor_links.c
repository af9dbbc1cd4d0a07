/* Bus and gossip: what they report becomes node events, and what the node learns of members and
 * addresses becomes who is dialled.
 *
 * Every member of the cluster is dialled, and who is configured as long as no leader is known: by
 * them a node that joins finds its cluster, and one that was away for long finds what has become of
 * it. A peer is dialled by its configured address, if it has one. The address that gossip carries
 * is where its datagrams came from: it finds a peer whose configured address is stale, or missing,
 * but may as well be that of a translating box between, so it is only ever a hint. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "reactor.h"

#define SEED_INTERVAL_S 5

/* Who is dialled. One that is wanted no more is forgotten at the second timer that finds it so: a
 * member that is removed learns it meanwhile, and a leader that leaves still hands over. */
struct links_dialled {
    struct links_dialled *next;
    char name[PC_NAME_BYTES_MAX + 1];
    bool is_unwanted, was_unwanted; /* as of the last review, and of the one before */
};

/* ---- bus */

static void on_hello(void *context, struct pc_peer_hello *out)
{
    struct reactor *r = context;
    pc_node_hello(r->node, out);
}

static pc_err on_admit(void *context, const struct pc_peer_hello *hello, struct pc_error *error)
{
    struct reactor *r = context;
    return pc_node_admit(r->node, hello, error);
}

static void links_swim(struct reactor *r, struct pc_swim_event *swim)
{
    swim->now = pc_clock_now();
    struct pc_node_event event = {.type = PC_NODE_SWIM};
    event.u.swim = swim;
    reactor_step(r, &event);
}

static void on_met(void *context, const struct pc_peer_hello *hello)
{
    struct pc_node_event event = {.type = PC_NODE_PEER_MET};
    event.u.hello = hello;
    reactor_step(context, &event);
}

static void on_up(void *context, const struct pc_peer_hello *hello, const struct pc_addr *peer)
{
    struct reactor *r = context;
    struct pc_node_event event = {.type = PC_NODE_PEER_UP};
    event.u.hello = hello;
    reactor_step(r, &event);
    /* Gossip listens on the bus's port number. */
    struct pc_swim_event join = {.type = PC_SWIM_JOIN, .addr = *peer};
    links_swim(r, &join);
}

static void on_down(void *context, pc_node_id peer)
{
    struct reactor *r = context;
    const struct pc_member *member = pc_swim_find(pc_node_swim(r->node), peer);
    pc_log(PC_LOG_INFO, "link down", "peer", member != NULL ? member->name : "", "id",
        pc_log_id(peer), NULL);
    struct pc_node_event event = {.type = PC_NODE_PEER_DOWN};
    event.u.peer = peer;
    reactor_step(r, &event);
}

static void on_lost(void *context, pc_node_id peer)
{
    struct pc_node_event event = {.type = PC_NODE_PEER_LOST};
    event.u.peer = peer;
    reactor_step(context, &event);
}

static void on_refused(void *context, pc_err why, const char *text)
{
    struct pc_node_event event = {.type = PC_NODE_PEER_REFUSED};
    event.u.text = text;
    reactor_step(context, &event);
    reactor_lives_refused(context, why, text);
}

static void on_bus_recv(void *context, const struct pc_msg *msg)
{
    struct pc_node_event event = {.type = PC_NODE_RECV};
    event.u.msg = msg;
    reactor_step(context, &event);
}

/* ---- gossip */

static void on_gossip_recv(void *context, const struct pc_addr *from, const struct pc_swim_msg *msg)
{
    struct pc_swim_event swim = {.type = PC_SWIM_RECV, .addr = *from, .msg = msg};
    links_swim(context, &swim);
}

static void on_resolved(void *context, const struct pc_addr *addr)
{
    struct pc_swim_event swim = {.type = PC_SWIM_JOIN, .addr = *addr};
    links_swim(context, &swim);
}

/* ---- who is dialled */

/* Members and spares of the settings, as one list: number `i`, or NULL behind the last one. */
static const struct pc_config_member *configured(const struct reactor *r, size_t i)
{
    size_t members_n = r->config->cluster.members_n;
    if (i < members_n) {
        return &r->config->cluster.members[i];
    }
    return i - members_n < r->config->cluster.spares_n ? &r->config->cluster.spares[i - members_n]
                                                       : NULL;
}

/* The configured address of a node, or NULL. */
static const char *address_of(const struct reactor *r, const char *name)
{
    const struct pc_config_member *at;
    for (size_t i = 0; (at = configured(r, i)) != NULL; i++) {
        if (strcmp(at->name, name) == 0) {
            return at->address;
        }
    }
    return NULL;
}

static void hint(struct reactor *r, const struct pc_member *member)
{
    bool is_peer = member->id != r->identity->id && member->state == PC_MEMBER_ALIVE;
    if (is_peer && !pc_addr_is_none(&member->addr)) {
        pc_bus_hint(r->bus, member->name, &member->addr); /* of those dialled; others it skips */
    }
}

/* Gossip may know a member before it is one. */
static void hint_by_name(struct reactor *r, const char *name)
{
    const struct pc_member *members;
    size_t members_n = pc_swim_members(pc_node_swim(r->node), &members);
    for (size_t i = 0; i < members_n; i++) {
        if (strcmp(members[i].name, name) == 0) {
            hint(r, &members[i]);
        }
    }
}

static void dial(struct reactor *r, const char *name)
{
    struct links_dialled *at = r->dialled;
    while (at != NULL && strcmp(at->name, name) != 0) {
        at = at->next;
    }
    if (at != NULL) {
        at->is_unwanted = false;
        return;
    }
    if (strcmp(name, r->config->node.name) == 0) {
        return;
    }
    at = pc_xalloc(sizeof *at);
    memcpy(at->name, name, strlen(name) + 1);
    at->next = r->dialled;
    r->dialled = at;
    pc_bus_dial(r->bus, name, address_of(r, name));
    hint_by_name(r, name);
}

static bool has_leader(const struct reactor *r)
{
    struct pc_raft_status status;
    pc_raft_status(pc_node_raft(r->node), &status);
    return status.leader != 0;
}

static void dial_all(struct reactor *r)
{
    const struct pc_cluster_config *cluster = pc_node_config(r->node);
    for (size_t i = 0; i < cluster->members_n; i++) {
        dial(r, cluster->members[i].name);
    }
    /* A node that joins has a leader before it knows the members. */
    bool needs_seeds = cluster->members_n == 0 || !has_leader(r);
    const struct pc_config_member *seed;
    for (size_t i = 0; needs_seeds && (seed = configured(r, i)) != NULL; i++) {
        dial(r, seed->name);
    }
}

static void forget_unwanted(struct reactor *r)
{
    struct links_dialled **link = &r->dialled;
    while (*link != NULL) {
        struct links_dialled *at = *link;
        if (at->is_unwanted && at->was_unwanted) {
            pc_log(PC_LOG_INFO, "not dialled any more", "peer", at->name, NULL);
            pc_bus_forget(r->bus, at->name);
            *link = at->next;
            free(at);
        } else {
            link = &at->next;
        }
    }
}

void reactor_links_turn(struct reactor *r)
{
    const struct pc_cluster_config *cluster = pc_node_config(r->node);
    size_t bytes = cluster->members_n * sizeof cluster->members[0];
    if (cluster->members_n != r->dialled_for.members_n ||
        memcmp(cluster->members, r->dialled_for.members, bytes) != 0) {
        r->dialled_for = *cluster;
        dial_all(r);
    }
}

/* Marks those who need not be dialled, and forgets those who were marked before. */
static void review_dialled(struct reactor *r)
{
    struct links_dialled *at;
    for (at = r->dialled; at != NULL; at = at->next) {
        at->was_unwanted = at->is_unwanted;
        at->is_unwanted = true;
    }
    dial_all(r);
    forget_unwanted(r);
}

/* ---- seeds */

/* Members that SWIM does not see alive are looked for by their configured names. */
static void on_seed_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct reactor *r = context;
    review_dialled(r);
    const struct pc_member *members;
    size_t members_n = pc_swim_members(pc_node_swim(r->node), &members);
    const struct pc_config_member *seed;
    for (size_t i = 0; (seed = configured(r, i)) != NULL; i++) {
        bool is_alive = strcmp(seed->name, r->config->node.name) == 0;
        for (size_t j = 0; j < members_n; j++) {
            is_alive |=
                strcmp(members[j].name, seed->name) == 0 && members[j].state == PC_MEMBER_ALIVE;
        }
        if (!is_alive) {
            pc_gossip_resolve(r->gossip, seed->address);
        }
    }
}

void reactor_links_member_changed(struct reactor *r, const struct pc_member *member)
{
    hint(r, member);
}

/* ---- opening */

static bool bus_open(struct reactor *r, struct pc_error *error)
{
    struct pc_bus_opts opts = {
        .base = r->base,
        .listen = r->config->bus.listen,
        .cluster = r->config->cluster.name,
        .ops =
            {
                .context = r,
                .hello = on_hello,
                .admit = on_admit,
                .met = on_met,
                .up = on_up,
                .down = on_down,
                .lost = on_lost,
                .refused = on_refused,
                .recv = on_bus_recv,
            },
        .seed = pc_entropy_u64(),
    };
    memcpy(opts.cluster_key, r->config->cluster.key, sizeof opts.cluster_key);
    return pc_bus_open(&opts, &r->bus, error) == PC_OK;
}

static bool gossip_open(struct reactor *r, struct pc_error *error)
{
    char host[PC_ADDRESS_BYTES_MAX + 1];
    uint16_t port;
    if (pc_os_split_address(r->config->bus.listen, host, sizeof host, &port) != PC_OK) {
        (void)pc_error_set(error, PC_E_INVALID, "[bus] listen %s", r->config->bus.listen);
        return false;
    }
    struct pc_gossip_opts opts = {
        .base = r->base,
        .listen = host,
        .port = pc_bus_port(r->bus),
        .cluster = r->config->cluster.name,
        .self = r->identity->id,
        .generation = r->identity->generation,
        .recv = on_gossip_recv,
        .resolved = on_resolved,
        .context = r,
    };
    memcpy(opts.cluster_key, r->config->cluster.key, sizeof opts.cluster_key);
    return pc_gossip_open(&opts, &r->gossip, error) == PC_OK;
}

bool reactor_links_open(struct reactor *r, struct pc_error *error)
{
    if (!bus_open(r, error) || !gossip_open(r, error)) {
        return false;
    }
    dial_all(r);
    r->seed_timer = event_new(r->base, -1, EV_PERSIST, on_seed_timer, r);
    struct timeval interval = {.tv_sec = SEED_INTERVAL_S};
    if (r->seed_timer == NULL || event_add(r->seed_timer, &interval) != 0) {
        (void)pc_error_set(error, PC_E_IO, "event loop: cannot add a timer");
        return false;
    }
    return true;
}

void reactor_links_close(struct reactor *r)
{
    if (r->seed_timer != NULL) {
        event_free(r->seed_timer);
    }
    if (r->gossip != NULL) {
        pc_gossip_close(r->gossip);
    }
    if (r->bus != NULL) {
        pc_bus_close(r->bus);
    }
    while (r->dialled != NULL) {
        struct links_dialled *next = r->dialled->next;
        free(r->dialled);
        r->dialled = next;
    }
}
