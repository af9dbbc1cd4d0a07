/* The engine thread: libevent callbacks step the node with what came in; once per turn of the loop
 * the node takes its turn and its effects are carried out, in the order that node.h demands:
 *
 *     sockets, timers --> pc_node_step (collects effects)
 *                             |  once per turn
 *                             v
 *     log thread <-- writes   PC_NODE_TURN   messages --> bus   replies --> http
 *         |                                  datagrams --> gossip
 *         +--- SYNCED by eventfd -------------> next turn
 *
 * Acting may step the node again (an answer lets the next pipelined request in): such effects
 * collect in the other of two sets and are carried out with the next turn, at once. */
#define _GNU_SOURCE
#include "disk_advice.h"
#include "reactor.h"

#include <errno.h>
#include <string.h>

#include "pcache/assert.h"

#define REACTOR_LOG_LOAD 4   /* bucket of pc_log_limited */
#define FAILED_LINGER_MS 200 /* after a failed log: time for the last answers to leave */

void reactor_step(struct reactor *r, struct pc_node_event *event)
{
    event->now = pc_clock_now();
    pc_node_step(r->node, event, &r->effects[r->collecting]);
    r->is_dirty = true;
}

/* ---- the log */

int reactor_log_exit_status(pc_err err)
{
    return err == PC_E_CORRUPT || err == PC_E_VERSION ? PC_EXIT_DATA : PC_EXIT_IO;
}

static void on_linger_end(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    ((struct reactor *)context)->stop = true;
}

void reactor_log_failed(struct reactor *r, const struct pc_error *error)
{
    pc_log(PC_LOG_ERROR, "the log cannot be used any more: stopping", "reason", error->text,
        "data_dir", r->identity->data_dir, "advice",
        "start it again: it reads anew what the disk has; should that fail, look at the disk and at"
        " the kernel's log",
        NULL);
    disk_advice_log(r->identity->data_dir, error->code);
    struct pc_node_event event = {.type = PC_NODE_LOG_FAILED};
    reactor_step(r, &event);
    reactor_end(r, reactor_log_exit_status(error->code));
}

static void reactor_unreadable(struct reactor *r, const char *text)
{
    pc_log(PC_LOG_ERROR, "this program cannot read its log: stopping", "reason", text, "data_dir",
        r->identity->data_dir, NULL);
    reactor_end(r, PC_EXIT_DATA);
}

void reactor_end(struct reactor *r, int exit_status)
{
    if (r->exit_status == 0) {
        r->exit_status = exit_status;
    }
    struct timeval linger = {.tv_usec = FAILED_LINGER_MS * 1000};
    if (event_base_once(r->base, -1, EV_TIMEOUT, on_linger_end, r, &linger) != 0) {
        r->stop = true;
    }
}

/* Before the first promise leaves, the identity says that there is a log. */
static void reactor_log_durable(struct reactor *r, enum pc_node_event_type type, uint64_t seq)
{
    struct pc_error error;
    if (identity_note_log(r->identity, &error) != PC_OK) {
        reactor_log_failed(r, &error);
        return;
    }
    (void)reactor_note_history(r, &error);
    struct pc_node_event event = {.type = type};
    event.u.seq = seq;
    reactor_step(r, &event);
}

static const char *full_text(pc_err err)
{
    switch (err) {
    case PC_E_AGAIN:
        return "no file descriptor for the log: writes are refused until there is";
    case PC_E_NOMEM:
        return "no memory for the log: writes are refused until there is";
    default:
        return "no space for the log: writes are refused until there is";
    }
}

/* Whether the node can do without what a load has not brought. */
static bool reactor_may_go_on(struct reactor *r, const struct pc_wal_done *done, bool *is_damaged)
{
    if (done->err == PC_E_AGAIN || done->err == PC_E_NOMEM || done->err == PC_E_NOT_FOUND) {
        /* It says nothing about the log, or a peer asked for what has been truncated since. The
         * node takes no entries for "ask again". */
        pc_log_limited(REACTOR_LOG_LOAD, PC_LOG_WARN, "cannot read the log right now", "reason",
            done->error.text, NULL);
        return true;
    }
    *is_damaged = done->err == PC_E_CORRUPT && pc_node_can_spare(r->node, done->tag, done->first);
    if (*is_damaged) {
        pc_log_limited(REACTOR_LOG_LOAD, PC_LOG_ERROR,
            done->tag == 0
                ? "the log is damaged: a peer's snapshot is fetched for it"
                : "the log is damaged in front of the snapshot: peers that lack it get the "
                  "snapshot",
            "where", done->error.text, NULL);
    }
    /* Else what was acknowledged from here can no longer be read back: that is not a node to go on
     * with. The next start names the damage again. */
    return *is_damaged || done->err == PC_OK;
}

static void reactor_log_done(struct reactor *r, struct pc_wal_done *done)
{
    struct pc_node_event event = {0};
    switch (done->type) {
    case PC_WAL_SYNCED:
        reactor_log_durable(r, PC_NODE_SYNCED, done->seq);
        return;
    case PC_WAL_VOTED:
        reactor_log_durable(r, PC_NODE_VOTED, done->seq);
        return;
    case PC_WAL_LOADED:
        if (done->tag == PC_NODE_TAG_DRIVER) {
            reactor_feed_loaded(r, done);
            return;
        }
        if (!reactor_may_go_on(r, done, &event.u.loaded.is_damaged)) {
            reactor_log_failed(r, &done->error);
            return;
        }
        event.type = PC_NODE_LOADED;
        event.u.loaded.tag = done->tag;
        event.u.loaded.entries = &done->entries;
        event.u.loaded.raw = &done->raw;
        break;
    case PC_WAL_FULL:
        pc_log(PC_LOG_WARN, full_text(done->err), "reason", done->error.text, NULL);
        event.type = PC_NODE_LOG_FULL;
        break;
    case PC_WAL_FULL_END:
        pc_log(PC_LOG_INFO, "the log takes writes again", NULL);
        event.type = PC_NODE_LOG_FULL_END;
        break;
    case PC_WAL_DISK:
        event.type = PC_NODE_DISK;
        event.u.disk = &done->disk;
        break;
    case PC_WAL_FAILED:
        reactor_log_failed(r, &done->error);
        return;
    case PC_WAL_REPAIRED:
        reactor_repaired(r, done);
        return;
    case PC_WAL_REOPENED:
        reactor_reopened(r, done);
        pc_entries_clear(&done->entries);
        return;
    case PC_WAL_DROPPED:
        event.type = PC_NODE_LOG_DROPPED;
        event.u.log_first = done->first;
        break;
    case PC_WAL_RESET:
        return; /* what is written behind it says when it is durable */
    }
    reactor_step(r, &event);
    pc_entries_clear(&done->entries);
    pc_raw_entries_clear(&done->raw);
}

static void on_log(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct reactor *r = context;
    bell_silence(fd);
    struct pc_wal_done done;
    while (pc_wal_thread_poll(r->wal, &done)) {
        reactor_log_done(r, &done);
    }
}

/* ---- the turn */

static void act_on_writes(struct reactor *r, struct pc_node_effects *fx)
{
    for (size_t i = 0; i < fx->writes_n; i++) {
        struct pc_raft_write *write = &fx->writes[i];
        struct pc_wal_batch batch = {
            .seq = write->seq,
            .has_vote = write->has_vote,
            .term = write->term,
            .vote = write->vote,
            .truncate_from = write->truncate_from,
            .commit = write->commit,
            .entries = write->entries,
        };
        write->entries = (struct pc_entries){0};
        if (write->has_reset) {
            pc_wal_thread_reset(r->wal, &write->reset);
        }
        pc_wal_thread_write(r->wal, &batch);
    }
    for (size_t i = 0; i < fx->repairs_n; i++) {
        reactor_repair_act(r, &fx->repairs[i]);
    }
    for (size_t i = 0; i < fx->snaps_n; i++) {
        reactor_snapshot_act(r, &fx->snaps[i]);
    }
    for (size_t i = 0; i < fx->branches_n; i++) {
        reactor_branch_act(r, &fx->branches[i]);
    }
    for (size_t i = 0; i < fx->loads_n; i++) {
        const struct pc_node_load *load = &fx->loads[i];
        (load->raw ? pc_wal_thread_load_raw : pc_wal_thread_load)(
            r->wal, load->tag, load->first, load->last, load->bytes_max);
    }
}

static void reactor_act(struct reactor *r, struct pc_node_effects *fx)
{
    struct pc_error error;
    for (size_t i = 0; i < fx->notes_n; i++) {
        /* Before the first entry is written: without it nothing would say whose log that is. */
        if (fx->notes[i].type == PC_NOTE_JOINED && reactor_note_history(r, &error) != PC_OK) {
            reactor_log_failed(r, &error);
            return;
        }
    }
    act_on_writes(r, fx);
    reactor_note_lives(r, fx);
    bool may_speak = reactor_note_met(r, fx);
    for (size_t i = 0; i < fx->msgs_n && may_speak; i++) {
        (void)pc_bus_send(r->bus, &fx->msgs[i]); /* no link: a lost message, which raft expects */
    }
    pc_bus_flush(r->bus);
    for (size_t i = 0; i < fx->replies_n; i++) {
        pc_http_reply(r->http, &fx->replies[i]);
    }
    for (size_t i = 0; i < fx->swim.out_n; i++) {
        pc_gossip_send(r->gossip, &fx->swim.out[i].to, &fx->swim.out[i].msg);
    }
    for (size_t i = 0; i < fx->swim.changed_n; i++) {
        reactor_links_member_changed(r, &fx->swim.changed[i]);
    }
    for (size_t i = 0; i < fx->notes_n; i++) {
        reactor_note_log(r, &fx->notes[i]);
        if (fx->notes[i].type == PC_NOTE_UNREADABLE) {
            reactor_unreadable(r, fx->notes[i].text);
        }
    }
}

static void reactor_turn(struct reactor *r)
{
    r->is_dirty = false;
    struct pc_node_effects *fx = &r->effects[r->collecting];
    struct pc_node_event turn = {.type = PC_NODE_TURN, .now = pc_clock_now()};
    pc_node_step(r->node, &turn, fx);
    r->collecting ^= 1;
    reactor_links_turn(r);
    reactor_act(r, fx);
    pc_http_turn(r->http);
    pc_node_effects_clear(fx);
}

/* A deadline that moves away, as they do with every message, leaves the timer as it is: it then
 * fires once for nothing. */
static void reactor_arm_timer(struct reactor *r)
{
    struct pc_instant wake = pc_node_wake_at(r->node);
    if (wake.us >= r->armed_for.us) {
        return;
    }
    r->armed_for = wake;
    struct pc_instant now = pc_clock_now();
    uint64_t us = wake.us > now.us ? wake.us - now.us : 0;
    const uint64_t us_max = 60 * UINT64_C(1000000);
    us = us < us_max ? us : us_max;
    struct timeval wait = {
        .tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
    (void)evtimer_add(r->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct reactor *r = context;
    r->armed_for = PC_INSTANT_NEVER;
    struct pc_node_event event = {.type = PC_NODE_WAKE};
    reactor_step(r, &event);
}

static void reactor_loop(struct reactor *r)
{
    while (!r->stop || r->is_dirty) {
        reactor_turn(r);
        if (r->stop) {
            continue;
        }
        reactor_arm_timer(r);
        (void)event_base_loop(r->base, EVLOOP_ONCE | (r->is_dirty ? EVLOOP_NONBLOCK : 0));
    }
}

/* ---- what the HTTP server asks for */

static void on_submit(void *context, const struct pc_request *request)
{
    struct pc_node_event event = {.type = PC_NODE_CLIENT};
    event.u.request = request;
    reactor_step(context, &event);
}

static void on_transfer(void *context, pc_node_id target)
{
    struct pc_node_event event = {.type = PC_NODE_TRANSFER};
    event.u.transfer_target = target;
    reactor_step(context, &event);
}

static struct pc_instant on_now(void *context)
{
    (void)context;
    return pc_clock_now();
}

static bool reactor_http_open(struct reactor *r, struct pc_error *error)
{
    const struct pc_config *config = r->config;
    struct pc_http_opts opts;
    pc_http_opts_default(&opts);
    opts.base = r->base;
    opts.listen = config->http.listen;
    opts.node = r->node;
    opts.ops = (struct pc_http_ops){
        .context = r,
        .submit = on_submit,
        .transfer = on_transfer,
        .snapshot_read = reactor_snapshot_read,
        .log_read = reactor_feed_ask,
        .rollback_ask = reactor_rollback_ask,
        .rollbacks_pending = reactor_rollbacks_pending,
        .metrics = reactor_metrics,
        .now = on_now,
    };
    opts.version = PC_VERSION;
    opts.fsync_mode = config->log.fsync_text;
    opts.value_bytes_max = config->limits.value_bytes;
    opts.head_bytes_max = config->limits.head_bytes;
    opts.target_bytes_max = config->limits.target_bytes;
    opts.headers_max = config->limits.headers;
    opts.connections_max = (uint32_t)config->limits.connections;
    opts.in_flight_max = (uint32_t)config->limits.in_flight;
    opts.requests_per_connection_max = (uint32_t)config->limits.requests_per_connection;
    opts.request_deadline_ms = config->limits.request_deadline_ms;
    opts.idle_ms = config->limits.idle_ms;
    opts.write_deadline_ms = config->limits.write_deadline_ms;
    return pc_http_open(&opts, &r->http, error) == PC_OK;
}

/* ---- setting up */

void reactor_node_opts(const struct reactor *r, struct pc_node_opts *opts)
{
    const struct pc_config *config = r->config;
    pc_node_opts_default(opts);
    opts->id = r->identity->id;
    opts->generation = r->identity->generation;
    opts->prev_generation = r->identity->prev_generation;
    opts->mark = pc_entropy_u64();
    opts->is_relaxed = config->log.fsync != PC_CONFIG_FSYNC_ALWAYS;
    memcpy(opts->name, config->node.name, strlen(config->node.name) + 1);
    PC_STATIC_ASSERT(sizeof PC_VERSION <= sizeof opts->build, "a version fits");
    memcpy(opts->build, PC_VERSION, sizeof PC_VERSION);
    /* A node that joins, or a spare, forms no cluster: with whom is not its business. */
    bool forms = !config->cluster.join && !pc_config_is_spare(config);
    opts->members_n = forms ? config->cluster.members_n : 0;
    for (size_t i = 0; i < opts->members_n; i++) {
        memcpy(opts->members[i], config->cluster.members[i].name, sizeof opts->members[i]);
    }
    opts->spares_n = config->cluster.spares_n;
    for (size_t i = 0; i < opts->spares_n; i++) {
        memcpy(opts->spares[i], config->cluster.spares[i].name, sizeof opts->spares[i]);
    }
    opts->dead_after_ms = config->cluster.dead_after_ms;
    opts->auto_shrink = config->cluster.auto_shrink == PC_CONFIG_ON;
    opts->solo = config->cluster.on_quorum_loss == PC_CONFIG_SOLO;
    opts->solo_after_ms = config->cluster.solo_after_ms;
    opts->seed = pc_entropy_u64();
    memcpy(opts->store_seed, r->store_seed, sizeof opts->store_seed);
    pc_entropy(opts->history_seed, sizeof opts->history_seed);
    pc_entropy(opts->branch_seed, sizeof opts->branch_seed);
    opts->leader_wait_ms = config->limits.leader_wait_ms;
    opts->request_timeout_ms = config->limits.request_timeout_ms;
    /* A log of a node that is configured alone is only ever cut by its user's word, perhaps at the
     * start before this one. */
    opts->accept_snapshot_loss = config->accept_data_loss;
    opts->accept_data_loss = config->accept_data_loss || pc_config_is_alone(config);
    opts->ready_without_quorum = config->http.ready_without_quorum;
    opts->snapshot_log_bytes = config->log.snapshot_bytes;
    opts->log_keep_bytes = config->log.keep_bytes;
    opts->space_soft = config->log.space_soft;
    opts->space_hard = config->log.space_hard;
    opts->swim.probe_interval_ms = config->bus.probe_interval_ms;
    opts->swim.suspicion_min_ms = config->bus.probe_interval_ms;
    opts->swim.suspicion_max_ms = 5 * config->bus.probe_interval_ms;
    opts->raft.heartbeat_ms = config->raft.heartbeat_ms;
    opts->raft.election_min_ms = config->raft.election_min_ms;
    opts->raft.election_max_ms = config->raft.election_max_ms;
    if (config->bus.advertise[0] != '\0' &&
        pc_addr_parse(config->bus.advertise, &opts->advertise) != PC_OK) {
        opts->advertise = (struct pc_addr){0}; /* a name: peers tell what they see */
    }
}

static int network_exit_status(pc_err err)
{
    return err == PC_E_EXISTS ? PC_EXIT_TEMPFAIL : PC_EXIT_OS;
}

/* One thread uses the base (the log thread and the resolver write to descriptors), so it needs no
 * locks. With the change list, what a turn changes of a descriptor and changes back never reaches
 * the kernel; that asks for descriptors that are never duplicated, and here none is. */
static struct event_base *reactor_base_new(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL) {
        return NULL;
    }
    (void)event_config_set_flag(
        config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static int reactor_open(struct reactor *r)
{
    struct pc_error error = {0};
    r->base = reactor_base_new();
    if (r->base == NULL) {
        (void)pc_error_set(&error, PC_E_IO, "event loop: %s", strerror(errno));
        return reactor_refuse(&error, PC_EXIT_OS);
    }
    r->timer = evtimer_new(r->base, on_timer, r);
    if (!bell_open(&r->wal_bell, r->base, on_log, r, &error) || !reactor_lives_open(r, &error)) {
        return reactor_refuse(&error, PC_EXIT_OS);
    }
    int status = reactor_data_open(r);
    if (status != 0) {
        return status;
    }
    if (!reactor_snapshot_open(r, &error) || !reactor_branch_open(r, &error) ||
        !reactor_feed_open(r, &error)) {
        return reactor_refuse(&error, PC_EXIT_OS);
    }
    if (!reactor_links_open(r, &error) || !reactor_http_open(r, &error)) {
        return reactor_refuse(&error, network_exit_status(error.code));
    }
    if (!reactor_drain_open(r)) {
        (void)pc_error_set(&error, PC_E_IO, "event loop: cannot add events");
        return reactor_refuse(&error, PC_EXIT_OS);
    }
    return 0;
}

static void event_free_maybe(struct event *event)
{
    if (event != NULL) {
        event_free(event);
    }
}

static void reactor_close(struct reactor *r)
{
    if (r->http != NULL) {
        pc_http_close(r->http);
    }
    reactor_links_close(r);
    if (r->wal != NULL) {
        pc_wal_thread_stop(r->wal);
    }
    reactor_lives_close(r);
    reactor_snapshot_close(r);
    reactor_branch_close(r);
    reactor_feed_close(r);
    pc_node_delete(r->node);
    pc_node_effects_destroy(&r->effects[0]);
    pc_node_effects_destroy(&r->effects[1]);
    reactor_drain_close(r);
    event_free_maybe(r->timer);
    bell_close(&r->wal_bell);
    if (r->base != NULL) {
        event_base_free(r->base);
    }
}

int reactor_run(const struct pc_config *config, struct identity *identity)
{
    struct reactor r = {.config = config,
        .identity = identity,
        .wal_bell = {.fd = -1},
        .lives_bell = {.fd = -1},
        .snap_bell = {.fd = -1},
        .branch_bell = {.fd = -1},
        .feed_bell = {.fd = -1}};
    r.armed_for = PC_INSTANT_NEVER;
    pc_entropy(r.store_seed, sizeof r.store_seed);
    int status = reactor_open(&r);
    if (status == 0) {
        pc_log(PC_LOG_INFO, "started", "version", PC_VERSION, "id", pc_log_id(identity->id), "http",
            config->http.listen, "bus", config->bus.listen, NULL);
        reactor_loop(&r);
        status = r.exit_status;
        pc_log(PC_LOG_INFO, "stopped", "status", pc_log_u64((uint64_t)status), NULL);
    }
    reactor_close(&r);
    return status;
}
