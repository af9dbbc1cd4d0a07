/* Stopping in order, so that no request is lost on the way out:
 *
 *   HAND_OVER   /readyz says 503 while everything is still served; leadership goes to another voter
 *       |       until not leader any more, at most HAND_OVER_MS; with [cluster] auto_shrink a vote
 *       |       that the others cannot do without is given up
 *   ANNOUNCE    every answer carries Connection: close, for [http] drain_delay
 *       |
 *   FINISH      nothing is accepted any more; what is in flight is finished, at most FINISH_MS
 *       |
 *   DONE        peers are told goodbye, the log is synced, exit 0
 *
 * A second signal skips what is left of the waiting. */
#define _GNU_SOURCE
#include <signal.h>

#include "pcache/assert.h"
#include "reactor.h"

#define DRAIN_POLL_MS 10
#define HAND_OVER_MS 1500
#define FINISH_MS 3000

static void drain_move(struct reactor *r, enum drain_state to)
{
    static const char *const names[] = {"", "hand over", "announce", "finish", "done"};
    PC_ASSERT(to == r->drain + 1 || to == DRAIN_DONE);
    r->drain = to;
    r->drain_since = pc_clock_now();
    pc_log(PC_LOG_INFO, "draining", "step", names[to], NULL);
}

static void drain_leave(struct reactor *r)
{
    struct pc_swim_event leave = {.type = PC_SWIM_LEAVE, .now = pc_clock_now()};
    struct pc_node_event event = {.type = PC_NODE_SWIM};
    event.u.swim = &leave;
    reactor_step(r, &event);
    r->stop = true;
}

static void drain_advance(struct reactor *r)
{
    pc_ms waited = pc_instant_ms_between(r->drain_since, pc_clock_now());
    switch (r->drain) {
    case DRAIN_NONE:
    case DRAIN_DONE:
        break;
    case DRAIN_HAND_OVER:
        if (pc_node_may_stop(r->node) || waited >= HAND_OVER_MS) {
            drain_move(r, DRAIN_ANNOUNCE);
            pc_http_drain_begin(r->http);
        }
        break;
    case DRAIN_ANNOUNCE:
        if (waited >= r->config->http.drain_delay_ms) {
            drain_move(r, DRAIN_FINISH);
            pc_http_drain_stop_accepting(r->http);
        }
        break;
    case DRAIN_FINISH:
        if (pc_http_in_flight(r->http) == 0 || waited >= FINISH_MS) {
            drain_move(r, DRAIN_DONE);
            drain_leave(r);
        }
        break;
    }
}

static void on_drain_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    drain_advance(context);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
    (void)what;
    struct reactor *r = context;
    pc_log(PC_LOG_INFO, "signal", "number", pc_log_u64((uint64_t)number), NULL);
    if (r->drain != DRAIN_NONE) {
        if (r->drain != DRAIN_DONE) {
            drain_move(r, DRAIN_DONE);
            drain_leave(r);
        }
        return;
    }
    drain_move(r, DRAIN_HAND_OVER);
    struct pc_node_event event = {.type = PC_NODE_DRAIN};
    reactor_step(r, &event);
    struct timeval interval = {.tv_usec = DRAIN_POLL_MS * 1000};
    (void)event_add(r->drain_timer, &interval);
}

bool reactor_drain_open(struct reactor *r)
{
    r->drain_timer = event_new(r->base, -1, EV_PERSIST, on_drain_timer, r);
    r->sigterm = evsignal_new(r->base, SIGTERM, on_signal, r);
    r->sigint = evsignal_new(r->base, SIGINT, on_signal, r);
    return r->drain_timer != NULL && r->sigterm != NULL && r->sigint != NULL &&
           event_add(r->sigterm, NULL) == 0 && event_add(r->sigint, NULL) == 0;
}

void reactor_drain_close(struct reactor *r)
{
    struct event *events[] = {r->drain_timer, r->sigterm, r->sigint};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL) {
            event_free(events[i]);
        }
    }
}
