/* Dialing: one link per peer, tried for ever.
 *
 *                     configured
 *   wait --timer--+--> resolve --> connect to each address in turn --> up
 *     ^           '--> hint -------^                  | none was good   |
 *     '-----------------------------------------------'-----------------'
 *
 * A member that joined later is configured nowhere: in the place of its configured address stands
 * the one that it came in from last, with the port that it says it listens on.
 *
 * Rounds with the configured address and with the hint, where there is one, take turns. Neither can
 * be trusted alone: the configured one may be stale, the hint may be the address of a translating
 * box or, after addresses were given anew, of another peer. So no hint may keep the configured
 * address from being tried.
 *
 * The wait doubles from DELAY_MIN_MS to DELAY_MAX_MS, or from there to DELAY_REFUSED_MAX_MS while
 * one side refuses the other: that ends by an operator's hand, and every try costs both a
 * handshake. It begins anew once a link was up. Half of it is random, so that nodes which lost each
 * other at one moment do not meet in step for ever. */
#include "bus_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define DELAY_MIN_MS 50
#define DELAY_MAX_MS 1000
#define DELAY_REFUSED_MAX_MS 5000

static void schedule(struct bus_link *link, pc_ms delay_ms)
{
    struct timeval in = {
        .tv_sec = (time_t)(delay_ms / 1000), .tv_usec = (suseconds_t)(delay_ms % 1000 * 1000)};
    event_add(link->timer, &in);
}

static bool is_waiting(const struct bus_link *link)
{
    return link->conn == NULL && link->ticket == 0;
}

pc_ms bus_link_delay_after(pc_ms delay_ms, bool refused)
{
    pc_ms max = refused ? DELAY_REFUSED_MAX_MS : DELAY_MAX_MS;
    pc_ms min = refused ? DELAY_MAX_MS : DELAY_MIN_MS;
    pc_ms doubled = delay_ms * 2 > min ? delay_ms * 2 : min;
    return doubled < max ? doubled : max;
}

static void back_off(struct bus_link *link)
{
    PC_ASSERT(is_waiting(link));
    link->addrs_n = 0;
    link->next = 0;
    link->delay_ms = bus_link_delay_after(link->delay_ms, link->refused);
    link->refused = false;
    schedule(link, pc_prng_between(&link->bus->prng, link->delay_ms / 2, link->delay_ms));
}

/* A second connection to a peer would throw out the first one at the other side, every time. */
static bool leads_to_linked_peer(const struct bus_link *link, const struct pc_addr *addr)
{
    if (link->led_to == 0 || !pc_addr_equal(addr, &link->led_addr)) {
        return false;
    }
    const struct bus_peer *peer = bus_peer_find(link->bus, link->led_to);
    return peer != NULL && peer->out != NULL;
}

static void try_next(struct bus_link *link)
{
    PC_ASSERT(link->conn == NULL);
    while (link->next < link->addrs_n) {
        const struct pc_addr *addr = &link->addrs[link->next++];
        if (leads_to_linked_peer(link, addr)) {
            continue;
        }
        link->conn = bus_conn_dialled(link, addr);
        if (link->conn != NULL) {
            return;
        }
    }
    back_off(link);
}

static void on_resolved(
    void *context, const struct pc_addr *addrs, size_t addrs_n, const char *error)
{
    struct bus_link *link = context;
    PC_ASSERT(addrs_n <= PC_RESOLVER_ADDRS_MAX);
    link->ticket = 0;
    if (addrs_n == 0 && pc_log_lasting_found(&link->unresolved, error, pc_clock_now())) {
        pc_log_limited(BUS_LOG_LINK, PC_LOG_WARN, "peer's address does not resolve", "peer",
            link->name, "address", link->address, "reason", error, NULL);
    }
    if (addrs_n > 0) {
        pc_log_lasting_over(&link->unresolved);
        memcpy(link->addrs, addrs, addrs_n * sizeof *addrs);
    }
    link->addrs_n = addrs_n;
    link->next = 0;
    try_next(link);
}

/* Where another link is already connected, this one's peer is not; and dialling there would throw
 * out that connection at the other side. */
static bool is_taken(const struct bus_link *link, const struct pc_addr *addr)
{
    const struct bus_link *other;
    TAILQ_FOREACH(other, &link->bus->links, entry)
    {
        if (other != link && other->conn != NULL && pc_addr_equal(&other->conn->addr, addr)) {
            return true;
        }
    }
    return false;
}

static bool hint_is_usable(const struct bus_link *link)
{
    return !link->hint_is_wrong && !pc_addr_is_none(&link->hint) && !is_taken(link, &link->hint);
}

/* A round for one address that may be somebody else's. */
static void try_learned(struct bus_link *link, struct pc_addr addr)
{
    link->is_hint_round = true;
    link->addrs[0] = addr;
    link->addrs_n = 1;
    link->next = 0;
    try_next(link);
}

/* The round of a configured address for a peer that has none. */
static void try_where_it_came_from(struct bus_link *link)
{
    if (pc_addr_is_none(&link->came_from) || is_taken(link, &link->came_from)) {
        back_off(link);
    } else {
        try_learned(link, link->came_from);
    }
}

static void begin_round(struct bus_link *link)
{
    if (!pc_addr_is_none(&link->welcome)) {
        struct pc_addr from = link->welcome;
        link->welcome = (struct pc_addr){0};
        try_learned(link, from);
        return;
    }
    link->is_hint_round = link->hint_turn && hint_is_usable(link);
    link->hint_turn = !link->is_hint_round;
    if (link->is_hint_round) {
        try_learned(link, link->hint);
        return;
    }
    if (link->address[0] == '\0') {
        try_where_it_came_from(link);
        return;
    }
    link->ticket = pc_resolver_ask(link->bus->resolver, link->address, on_resolved, link);
    if (link->ticket == 0) {
        back_off(link);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct bus_link *link = arg;
    PC_ASSERT(is_waiting(link));
    begin_round(link);
}

struct bus_link *bus_link_new(struct pc_bus *bus, const char *name, const char *address)
{
    PC_ASSERT(bus->links_n < PC_MEMBERS_MAX);
    struct bus_link *link = pc_xalloc(sizeof *link);
    link->bus = bus;
    link->timer = evtimer_new(bus->base, on_timer, link);
    PC_ASSERT(link->timer != NULL);
    (void)snprintf(link->name, sizeof link->name, "%s", name);
    (void)snprintf(link->address, sizeof link->address, "%s", address);
    TAILQ_INSERT_TAIL(&bus->links, link, entry);
    bus->links_n++;
    schedule(link, 0);
    return link;
}

void bus_link_delete(struct bus_link *link)
{
    struct pc_bus *bus = link->bus;
    PC_ASSERT(link->conn == NULL);
    if (link->ticket != 0) {
        pc_resolver_cancel(bus->resolver, link->ticket);
    }
    event_free(link->timer);
    TAILQ_REMOVE(&bus->links, link, entry);
    bus->links_n--;
    free(link);
}

struct bus_link *bus_link_find(struct pc_bus *bus, const char *name)
{
    struct bus_link *link;
    TAILQ_FOREACH(link, &bus->links, entry)
    {
        if (strcmp(link->name, name) == 0) {
            return link;
        }
    }
    return NULL;
}

void bus_link_set_address(struct bus_link *link, const char *address)
{
    if (strcmp(link->address, address) == 0) {
        return;
    }
    pc_log_lasting_over(&link->unresolved);
    (void)snprintf(link->address, sizeof link->address, "%s", address);
    link->delay_ms = 0;
    link->hint_turn = false;
    if (is_waiting(link)) {
        schedule(link, 0);
    }
}

/* News end the wait, but they change neither whose turn it is nor the delay: a hint that keeps
 * changing must not crowd out the configured address. */
void bus_link_set_hint(struct bus_link *link, const struct pc_addr *addr)
{
    if (pc_addr_equal(&link->hint, addr)) {
        return;
    }
    link->hint = *addr;
    link->hint_is_wrong = false;
    if (is_waiting(link) && !pc_addr_is_none(addr)) {
        schedule(link, 0);
    }
}

bool bus_link_accepts(struct bus_link *link, const char *peer_name)
{
    PC_ASSERT(link->conn != NULL);
    if (!link->is_hint_round || strcmp(peer_name, link->name) == 0) {
        return true;
    }
    if (pc_addr_equal(&link->conn->addr, &link->hint)) {
        link->hint_is_wrong = true;
    }
    if (pc_addr_equal(&link->conn->addr, &link->came_from)) {
        link->came_from = (struct pc_addr){0};
    }
    char text[PC_ADDR_TEXT_MAX];
    pc_addr_format(&link->conn->addr, text);
    pc_log_limited(BUS_LOG_LINK, PC_LOG_WARN, "learned address is another peer's", "peer",
        link->name, "address", text, "found", peer_name, NULL);
    return false;
}

static void note_peer(struct bus_link *link, pc_node_id peer)
{
    PC_ASSERT(link->conn != NULL && peer != 0);
    link->led_to = peer;
    link->led_addr = link->conn->addr;
}

void bus_link_on_up(struct bus_link *link, pc_node_id peer)
{
    note_peer(link, peer);
    link->delay_ms = 0;
    link->hint_turn = false;
}

void bus_link_on_double(struct bus_link *link, pc_node_id peer)
{
    note_peer(link, peer);
    link->delay_ms = DELAY_MAX_MS;
}

void bus_link_on_refused(struct bus_link *link)
{
    link->refused = true;
    link->next = link->addrs_n;
}

static struct pc_addr welcome_at(
    const struct bus_link *link, const struct pc_addr *from, uint16_t port)
{
    char host[PC_ADDRESS_BYTES_MAX + 1];
    struct pc_addr at = *from;
    at.port = port;
    bool is_known = link->address[0] == '\0'
                        ? port != 0
                        : pc_os_split_address(link->address, host, sizeof host, &at.port) == PC_OK;
    return is_known ? at : (struct pc_addr){0};
}

/* A node that comes back would else be waited for up to DELAY_MAX_MS, or DELAY_REFUSED_MAX_MS, or
 * as long as a name server takes to say that a name which is gone is not there (seconds, for which
 * the one resolver thread answers nobody else either), or until the system asks for a connection
 * again that nobody was there to take (a second). Where the peer came from is known; it listens on
 * the port that is configured for it, or else on the one that it says. One try for each time that
 * it comes in: its own waits bound their number. */
void bus_link_on_welcome(struct bus_link *link, const struct pc_addr *from, uint16_t port)
{
    struct pc_addr welcome = welcome_at(link, from, port);
    if (link->address[0] == '\0') {
        link->came_from = welcome;
    }
    if (link->conn != NULL && link->conn->state == BUS_CONN_CONNECTING) {
        link->next = link->addrs_n; /* no other address of this round */
        bus_conn_close(link->conn, BUS_END_OURS, "the peer has come in");
    }
    if (link->conn != NULL) {
        return;
    }
    link->welcome = welcome;
    if (link->ticket != 0) {
        pc_resolver_cancel(link->bus->resolver, link->ticket);
        link->ticket = 0;
    }
    schedule(link, 0);
}

void bus_link_on_end(struct bus_link *link, bool was_up)
{
    link->conn = NULL;
    if (link->bus->closing) {
        return;
    }
    if (was_up) {
        back_off(link);
    } else {
        try_next(link);
    }
}
