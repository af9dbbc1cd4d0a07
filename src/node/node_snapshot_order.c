/* Who asks for a snapshot, and hears when it is durable. What counts is what was applied when it
 * was asked for: one that is already being made may be of an earlier entry, and then another one
 * follows on it. An order ends the pause after a failure: whoever gives it may have made room. */
#include <stdio.h>

#include "node_int.h"

void node_order_info(const struct pc_node *n, struct pc_node_snapshot_info *out)
{
    const struct node_newest *newest = &n->snapshot.newest;
    *out = (struct pc_node_snapshot_info){0};
    if (!newest->is_damaged) {
        *out = (struct pc_node_snapshot_info){.index = newest->base.index,
            .term = newest->base.term,
            .items = newest->items,
            .bytes = newest->bytes};
    }
}

static void order_answer(
    struct pc_node *n, struct node_order *order, enum pc_reply_status status, const char *text)
{
    struct node_snapshot *s = &n->snapshot;
    struct pc_reply *reply = node_reply_add(n, order->tag, status);
    PC_ASSERT(s->orders_n > 0 && order < s->orders + s->orders_n);
    reply->index = order->at_least;
    reply->took_ms = pc_instant_ms_between(order->since, n->now);
    (void)snprintf(reply->text, sizeof reply->text, "%s", text); /* for people: may be cut */
    if (status == PC_REPLY_OK) {
        node_order_info(n, &reply->snapshot);
        PC_ASSERT(reply->snapshot.index >= order->at_least);
    }
    *order = s->orders[--s->orders_n];
}

static bool order_is_met(const struct pc_node *n, pc_index at_least)
{
    const struct node_newest *newest = &n->snapshot.newest;
    return newest->base.index >= at_least && !newest->is_damaged;
}

/* What this node had applied before is not all there again: a snapshot of it would be of an entry
 * that was long past when it was asked for. */
static bool order_would_lack(const struct pc_node *n)
{
    return node_load_is_first(n) || node_digest_is_coming_back(n) || n->applied < n->replay_until;
}

void node_order_request(struct pc_node *n, const struct pc_request *request)
{
    struct node_snapshot *s = &n->snapshot;
    if (order_would_lack(n)) {
        (void)node_reply_add(n, request->tag, PC_REPLY_LOADING);
        return;
    }
    if (s->config == NULL) {
        struct pc_reply *reply = node_reply_add(n, request->tag, PC_REPLY_REFUSED);
        (void)snprintf(reply->text, sizeof reply->text,
            "there is nothing yet to make a snapshot of: this node has no data");
        return;
    }
    if (s->orders_n == NODE_ORDERS_MAX) {
        (void)node_reply_add(n, request->tag, PC_REPLY_OVERLOADED);
        return;
    }
    s->orders[s->orders_n++] =
        (struct node_order){.tag = request->tag, .at_least = n->applied, .since = n->now};
    if (!order_is_met(n, n->applied)) {
        s->is_ordered = true;
        s->retry_at = n->now;
    }
}

static struct pc_instant order_deadline(const struct node_order *order)
{
    return pc_instant_add_ms(order->since, PC_SNAPSHOT_ANSWER_MS);
}

void node_order_turn(struct pc_node *n)
{
    for (size_t i = n->snapshot.orders_n; i-- > 0;) { /* an answered one is replaced by the last */
        struct node_order *order = &n->snapshot.orders[i];
        if (order_is_met(n, order->at_least)) {
            order_answer(n, order, PC_REPLY_OK, "");
        } else if (pc_instant_is_due(order_deadline(order), n->now)) {
            order_answer(n, order, PC_REPLY_TIMEOUT, "");
        }
    }
}

void node_order_given_up(struct pc_node *n, pc_index index, const char *why)
{
    for (size_t i = n->snapshot.orders_n; i-- > 0;) {
        struct node_order *order = &n->snapshot.orders[i];
        if (order->at_least <= index && !order_is_met(n, order->at_least)) {
            order_answer(n, order, PC_REPLY_REFUSED, why);
        }
    }
}

void node_order_fail_all(struct pc_node *n, enum pc_reply_status status)
{
    while (n->snapshot.orders_n > 0) {
        order_answer(n, &n->snapshot.orders[n->snapshot.orders_n - 1], status, "");
    }
}

struct pc_instant node_order_wake_at(const struct pc_node *n)
{
    struct pc_instant wake = PC_INSTANT_NEVER;
    for (size_t i = 0; i < n->snapshot.orders_n; i++) {
        wake = pc_instant_min(wake, order_deadline(&n->snapshot.orders[i]));
    }
    return wake;
}
