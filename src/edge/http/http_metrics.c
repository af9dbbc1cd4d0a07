/* /metrics: Prometheus text, names begin with pcached_, base units. */
#include "http_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One sample; `labels` with its braces, or "". */
static void sample(struct pc_buf *out, const char *name, const char *labels, uint64_t v)
{
    pc_http_text(out, name);
    pc_http_text(out, labels);
    pc_buf_append_u8(out, ' ');
    pc_http_json_u64(out, v);
    pc_buf_append_u8(out, '\n');
}

static void family(struct pc_buf *out, const char *name, const char *type, const char *help)
{
    pc_http_text(out, "# HELP ");
    pc_http_text(out, name);
    pc_buf_append_u8(out, ' ');
    pc_http_text(out, help);
    pc_http_text(out, "\n# TYPE ");
    pc_http_text(out, name);
    pc_buf_append_u8(out, ' ');
    pc_http_text(out, type);
    pc_buf_append_u8(out, '\n');
}

static void gauge(struct pc_buf *out, const char *name, const char *help, uint64_t v)
{
    family(out, name, "gauge", help);
    sample(out, name, "", v);
}

static void counter(struct pc_buf *out, const char *name, const char *help, uint64_t v)
{
    family(out, name, "counter", help);
    sample(out, name, "", v);
}

static void write_node(const struct pc_http *http, struct pc_buf *out)
{
    struct pc_node_status status;
    pc_node_status(http->opts.node, pc_http_now(http), &status);
    static const char *const roles[] = {"leader", "voter", "forming", "outsider"};
    char labels[160];
    (void)snprintf(
        labels, sizeof labels, "{version=\"%s\",node=\"%s\"}", http->opts.version, status.name);
    family(out, "pcached_info", "gauge", "What runs here.");
    sample(out, "pcached_info", labels, 1);
    family(out, "pcached_role", "gauge", "1 for the role this node has.");
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        (void)snprintf(labels, sizeof labels, "{role=\"%s\"}", roles[i]);
        sample(out, "pcached_role", labels, strcmp(status.role, roles[i]) == 0);
    }
    gauge(out, "pcached_ready", "1 when /readyz says 200.", status.ready);
    gauge(out, "pcached_has_leader", "1 when a leader is known.", status.raft.leader != 0);
    gauge(out, "pcached_term", "Raft term.", status.raft.term);
    gauge(out, "pcached_commit_index", "Last committed log index.", status.raft.commit);
    gauge(out, "pcached_applied_index", "Last applied log index.", status.applied);
    gauge(out, "pcached_last_index", "Last log index on this node.", status.raft.last);
    gauge(out, "pcached_durable_index", "Last log index on this node's disk.", status.raft.durable);
    gauge(out, "pcached_log_full", "1 while writes are refused for lack of disk space.",
        status.log_full);
    gauge(out, "pcached_disk_space_level",
        "Space on the log's disk: 0 enough, 1 low, 2 only the reserve, 3 full.", status.disk.space);
    gauge(out, "pcached_disk_free_bytes", "Free space on the log's disk.",
        status.disk.report.free_bytes);
    gauge(out, "pcached_disk_slow", "1 while syncs of the log take long or do not come back.",
        status.disk.slow);
    gauge(out, "pcached_pending_requests", "Client requests the node has not answered yet.",
        status.pending);
    gauge(out, "pcached_solo", "1 while this node serves clients alone, from a branch.",
        strcmp(status.solo.state, "open") == 0);
    gauge(
        out, "pcached_branch_records", "Records of the branch that is open.", status.solo.records);
    gauge(out, "pcached_rollbacks_pending", "Closed branches that wait for somebody to look.",
        http->opts.ops.rollbacks_pending(http->opts.ops.context));
    counter(out, "pcached_elections_started_total", "Elections this node stood in.",
        status.raft.elections_started);
    counter(
        out, "pcached_elections_won_total", "Elections this node won.", status.raft.elections_won);
    counter(out, "pcached_log_divergence_total",
        "Appends refused because the log's chain did not fit: any is an alarm.",
        status.raft.divergence);
    gauge(out, "pcached_state_differs",
        "1 while a member holds another state than this node: an alarm.",
        status.digest_check.differs);
    counter(out, "pcached_state_alarms_total", "States or memory found not to be right.",
        status.digest_check.alarms);
    counter(out, "pcached_state_resyncs_total", "Times this node made its state anew.",
        status.digest_check.resyncs);
    counter(out, "pcached_memory_passes_total", "Passes over all items in memory.",
        status.digest_check.passes);
}

static void write_store(const struct pc_http *http, struct pc_buf *out)
{
    struct pc_store_stats stats;
    pc_store_stats(pc_node_store(http->opts.node), &stats);
    gauge(out, "pcached_store_items", "Items in memory.", stats.items);
    gauge(out, "pcached_store_items_expiring", "Items with a deadline.", stats.items_expiring);
    gauge(out, "pcached_store_data_bytes", "Keys, values and content types.", stats.data_bytes);
    gauge(out, "pcached_store_memory_bytes", "Memory the store has allocated.", stats.memory_bytes);
    counter(out, "pcached_store_expired_total", "Items removed at their deadline.",
        stats.expired_total);
}

static void write_members(const struct pc_http *http, struct pc_buf *out)
{
    static const char *const names[] = {"", "alive", "suspect", "dead", "left"};
    struct pc_node_member *members = pc_xalloc(PC_MEMBERS_MAX * sizeof *members);
    size_t n = pc_node_members(http->opts.node, pc_http_now(http), members, PC_MEMBERS_MAX);
    uint64_t counts[5] = {0};
    for (size_t i = 0; i < n; i++) {
        PC_ASSERT(members[i].state <= PC_MEMBER_LEFT);
        counts[members[i].state]++;
    }
    free(members);
    family(out, "pcached_members", "gauge", "Members by gossip state.");
    for (int i = PC_MEMBER_ALIVE; i <= PC_MEMBER_LEFT; i++) {
        char labels[64];
        (void)snprintf(labels, sizeof labels, "{state=\"%s\"}", names[i]);
        sample(out, "pcached_members", labels, counts[i]);
    }
}

static void write_quorum(const struct pc_http *http, struct pc_buf *out)
{
    struct pc_node_redundancy redundancy;
    struct pc_node_quorum quorum;
    pc_node_redundancy(http->opts.node, &redundancy);
    pc_node_quorum(http->opts.node, pc_http_now(http), &quorum);
    gauge(out, "pcached_voters", "Voters of the cluster.", redundancy.voters_n);
    gauge(out, "pcached_voters_up", "Of these, so many are up for this node.", redundancy.up_n);
    gauge(out, "pcached_quorum_lost", "1: too few voters are up for a leader, and there is none.",
        quorum.lost ? 1 : 0);
}

static void write_answers(const struct pc_http *http, struct pc_buf *out)
{
    static const char *const codes[PC_HTTP_CODES_N] = {
#define CODE_TEXT(code) #code,
        PC_HTTP_CODE_LIST(CODE_TEXT)
#undef CODE_TEXT
    };
    family(out, "pcached_http_requests_total", "counter", "Answers by route and status code.");
    for (int route = 0; route < PC_HTTP_ROUTES_N; route++) {
        for (int code = 0; code < PC_HTTP_CODES_N; code++) {
            if (http->answers[route][code] > 0) {
                char labels[96];
                (void)snprintf(labels, sizeof labels, "{route=\"%s\",code=\"%s\"}",
                    pc_http_route_name((enum pc_http_route)route),
                    code == PC_HTTP_CODES_N - 1 ? "other" : codes[code]);
                sample(out, "pcached_http_requests_total", labels, http->answers[route][code]);
            }
        }
    }
}

static void write_server(const struct pc_http *http, struct pc_buf *out)
{
    gauge(out, "pcached_http_in_flight", "Requests taken and not yet answered.", http->in_flight_n);
    gauge(out, "pcached_http_connections", "Open client connections.", http->conns_n);
    counter(out, "pcached_http_connections_total", "Client connections accepted.",
        http->connections_total);
    gauge(out, "pcached_feed_requests",
        "Requests for the log that wait for entries or for the disk.", http->log.asks_n);
    gauge(out, "pcached_feed_unsent_bytes", "Pages of the log that clients have not taken yet.",
        http->log.unsent_bytes);
    counter(out, "pcached_feed_entries_total", "Entries of the log given to clients.",
        http->log.entries_total);
    family(out, "pcached_http_rejected_total", "counter",
        "Requests refused before they were read whole, by reason.");
    for (int i = PC_HTTP_FAULT_NONE + 1; i < PC_HTTP_FAULTS_N; i++) {
        char labels[96];
        (void)snprintf(
            labels, sizeof labels, "{reason=\"%s\"}", pc_http_fault_name((enum pc_http_fault)i));
        sample(out, "pcached_http_rejected_total", labels, http->rejected[i]);
    }
}

void pc_http_metrics_request(struct pc_http_conn *conn)
{
    struct pc_http *http = conn->http;
    struct pc_buf *out = &http->scratch;
    pc_buf_reset(out);
    write_node(http, out);
    write_store(http, out);
    write_members(http, out);
    write_quorum(http, out);
    write_answers(http, out);
    write_server(http, out);
    http->opts.ops.metrics(http->opts.ops.context, out);
    pc_http_send_scratch(conn, 200, "text/plain; version=0.0.4; charset=utf-8");
}
