/* What operators, balancers and tools ask: status, members, leader, transfer, health, version. */
#include "http_int.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *state_name(enum pc_member_state state)
{
    switch (state) {
    case PC_MEMBER_ALIVE:
        return "alive";
    case PC_MEMBER_SUSPECT:
        return "suspect";
    case PC_MEMBER_LEFT:
        return "left";
    case PC_MEMBER_DEAD:
        break;
    }
    return "dead";
}

/* ---- writing objects: `,"name":` before each value, the comma left out behind a brace */
static void name(struct pc_buf *out, const char *text)
{
    if (out->len > 0 && out->data[out->len - 1] != '{') {
        pc_buf_append_u8(out, ',');
    }
    pc_http_json_string(out, pc_slice_str(text));
    pc_buf_append_u8(out, ':');
}

static void member_text(struct pc_buf *out, const char *key, const char *text)
{
    name(out, key);
    pc_http_json_string(out, pc_slice_str(text));
}

static void member_text_or_null(struct pc_buf *out, const char *key, const char *text)
{
    if (text[0] != '\0') {
        member_text(out, key, text);
    } else {
        name(out, key);
        pc_http_text(out, "null");
    }
}

static void member_u64(struct pc_buf *out, const char *key, uint64_t v)
{
    name(out, key);
    pc_http_json_u64(out, v);
}

static void member_bool(struct pc_buf *out, const char *key, bool v)
{
    name(out, key);
    pc_http_text(out, v ? "true" : "false");
}

static void member_hex(struct pc_buf *out, const char *key, const uint8_t *bytes, size_t len)
{
    char text[33];
    PC_ASSERT(len <= 16);
    pc_hex_encode(bytes, len, text);
    member_text(out, key, text);
}

static void member_id(struct pc_buf *out, const char *key, pc_node_id id)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(id >> (56 - 8 * i));
    }
    member_hex(out, key, bytes, sizeof bytes);
}

static void status_of(const struct pc_http *http, struct pc_node_status *status)
{
    pc_node_status(http->opts.node, pc_http_now(http), status);
}

/* ---- members */
static void write_member(struct pc_buf *out, const struct pc_node_member *member)
{
    char address[PC_ADDR_TEXT_MAX] = "";
    if (!pc_addr_is_none(&member->addr)) {
        pc_addr_format(&member->addr, address);
    }
    pc_buf_append_u8(out, '{');
    member_text(out, "name", member->name);
    if (member->id != 0) {
        member_id(out, "id", member->id);
    } else {
        member_text_or_null(out, "id", "");
    }
    member_text_or_null(out, "address", address);
    member_text(out, "state", state_name(member->state));
    member_text(out, "role", member->role);
    member_text_or_null(out, "want", member->is_member ? pc_http_member_want(member->want) : "");
    member_bool(out, "votes", member->votes);
    if (member->has_match) {
        member_u64(out, "match", member->match);
    }
    if (member->has_match && member->is_member) {
        member_u64(out, "percent", member->caught_up_percent);
    }
    if (member->has_eta) {
        member_u64(out, "eta_ms", member->eta_ms);
    }
    member_u64(out, "silent_ms", member->silent_ms);
    member_text_or_null(out, "version", member->build);
    if (member->protocol_max != 0) {
        member_u64(out, "protocol", member->protocol_max);
    }
    if (member->disk_free_bytes != 0) {
        member_u64(out, "disk_free_bytes", member->disk_free_bytes);
    }
    if (member->disk_total_bytes != 0) {
        member_u64(out, "disk_total_bytes", member->disk_total_bytes);
    }
    pc_buf_append_u8(out, '}');
}

static void write_members(const struct pc_http *http, struct pc_buf *out)
{
    struct pc_node_member *members = pc_xalloc(PC_MEMBERS_MAX * sizeof *members);
    size_t n = pc_node_members(http->opts.node, pc_http_now(http), members, PC_MEMBERS_MAX);
    name(out, "members");
    pc_buf_append_u8(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            pc_buf_append_u8(out, ',');
        }
        write_member(out, &members[i]);
    }
    pc_buf_append_u8(out, ']');
    free(members);
}

static void members_get(struct pc_http_conn *conn)
{
    struct pc_buf *out = &conn->http->scratch;
    pc_buf_append_u8(out, '{');
    write_members(conn->http, out);
    pc_http_text(out, "}\n");
    pc_http_send_scratch(conn, 200, PC_HTTP_JSON);
}

/* ---- status */
static void write_names(
    struct pc_buf *out, const char *key, const char *const *names, size_t names_n)
{
    name(out, key);
    pc_buf_append_u8(out, '[');
    for (size_t i = 0; i < names_n; i++) {
        if (i > 0) {
            pc_buf_append_u8(out, ',');
        }
        pc_http_json_string(out, pc_slice_str(names[i]));
    }
    pc_buf_append_u8(out, ']');
}

/* How many more voters may die, without whom there is no quorum, and what that means for reads. */
static void write_redundancy(const struct pc_http *http, struct pc_buf *out)
{
    struct pc_node_redundancy redundancy;
    pc_node_redundancy(http->opts.node, &redundancy);
    member_u64(out, "voters", redundancy.voters_n);
    member_u64(out, "voters_up", redundancy.up_n);
    member_u64(out, "quorum", redundancy.quorum);
    if (redundancy.has_quorum) {
        member_u64(out, "redundancy", redundancy.may_fail);
    } else {
        member_text_or_null(out, "redundancy", "");
    }
    write_names(out, "must_survive", redundancy.must_survive, redundancy.must_survive_n);
    write_names(out, "missing", redundancy.missing, redundancy.missing_n);
    struct pc_node_quorum quorum;
    pc_node_quorum(http->opts.node, pc_http_now(http), &quorum);
    member_bool(out, "quorum_lost", quorum.lost);
    if (quorum.has_age) {
        member_u64(out, "age_ms", quorum.age_ms);
    } else {
        member_text_or_null(out, "age_ms", "");
    }
}

static void write_checks(const struct pc_node_status *status, struct pc_buf *out)
{
    name(out, "checks");
    pc_buf_append_u8(out, '[');
    for (size_t i = 0; i < status->checks_n; i++) {
        if (i > 0) {
            pc_buf_append_u8(out, ',');
        }
        pc_buf_append_u8(out, '{');
        member_text(out, "name", status->checks[i].name);
        member_bool(out, "ok", status->checks[i].ok);
        member_text(out, "text", status->checks[i].text);
        pc_buf_append_u8(out, '}');
    }
    pc_buf_append_u8(out, ']');
}

static void write_disk(const struct pc_node_disk *disk, struct pc_buf *out)
{
    static const char *const levels[] = {"ok", "low", "reserve", "full"};
    PC_ASSERT(disk->space <= PC_SPACE_FULL);
    name(out, "disk");
    pc_buf_append_u8(out, '{');
    member_text(out, "space", levels[disk->space]);
    member_u64(out, "free_bytes", disk->report.free_bytes);
    member_u64(out, "total_bytes", disk->report.total_bytes);
    member_u64(out, "sync_us", disk->report.sync_us);
    member_bool(out, "slow", disk->slow);
    pc_buf_append_u8(out, '}');
}

static void write_snapshot(const struct pc_node_status *status, struct pc_buf *out)
{
    const struct pc_node_snapshot_info *snapshot = &status->snapshot;
    name(out, "snapshot");
    pc_buf_append_u8(out, '{');
    member_u64(out, "index", snapshot->index);
    member_u64(out, "term", snapshot->term);
    member_u64(out, "items", snapshot->items);
    member_u64(out, "bytes", snapshot->bytes);
    member_u64(out, "age_ms", status->snapshot_age_ms);
    member_bool(out, "due", status->snapshot_is_due);
    member_bool(out, "damaged", status->snapshot_is_damaged);
    pc_buf_append_u8(out, '}');
}

static void write_digest_check(const struct pc_node_digest *check, struct pc_buf *out)
{
    name(out, "state");
    pc_buf_append_u8(out, '{');
    member_bool(out, "differs", check->differs);
    member_bool(out, "made_anew", check->is_coming_back);
    member_text(out, "text", check->text);
    member_u64(out, "alarms", check->alarms);
    member_u64(out, "resyncs", check->resyncs);
    member_u64(out, "passes", check->passes);
    pc_buf_append_u8(out, '}');
}

static void write_solo(
    const struct pc_http *http, const struct pc_node_solo *solo, struct pc_buf *out)
{
    static const uint8_t none[16];
    bool has_branch = memcmp(solo->id, none, sizeof none) != 0;
    name(out, "solo");
    pc_buf_append_u8(out, '{');
    member_text(out, "state", solo->state);
    if (has_branch) {
        member_hex(out, "branch", solo->id, sizeof solo->id);
    } else {
        member_text_or_null(out, "branch", "");
    }
    member_u64(out, "base", solo->base);
    member_u64(out, "records", solo->records);
    member_u64(out, "open_ms", solo->open_ms);
    if (solo->is_due) {
        member_u64(out, "due_in_ms", solo->due_in_ms);
    } else {
        member_text_or_null(out, "due_in_ms", "");
    }
    pc_buf_append_u8(out, '}');
    member_u64(out, "rollbacks_pending", http->opts.ops.rollbacks_pending(http->opts.ops.context));
}

/* cluster 0 = not asked for. */
static void write_protocols(struct pc_protocols spoken, uint8_t cluster, struct pc_buf *out)
{
    name(out, "protocol");
    pc_buf_append_u8(out, '{');
    member_u64(out, "min", spoken.min);
    member_u64(out, "max", spoken.max);
    if (cluster != 0) {
        member_u64(out, "cluster", cluster);
    }
    pc_buf_append_u8(out, '}');
}

static void status_get(struct pc_http_conn *conn)
{
    const struct pc_http *http = conn->http;
    struct pc_buf *out = &conn->http->scratch;
    struct pc_node_status status;
    status_of(http, &status);
    pc_buf_append_u8(out, '{');
    member_text(out, "node", status.name);
    member_id(out, "id", status.id);
    member_text(out, "role", status.role);
    member_text_or_null(out, "leader", status.leader_name);
    member_u64(out, "term", status.raft.term);
    member_u64(out, "commit", status.raft.commit);
    member_u64(out, "applied", status.applied);
    member_u64(out, "last", status.raft.last);
    member_u64(out, "durable", status.raft.durable);
    member_hex(out, "digest", status.digest.b, sizeof status.digest.b);
    member_hex(out, "history", status.history, sizeof status.history);
    member_bool(out, "formed", status.formed);
    member_bool(out, "ready", status.ready);
    member_bool(out, "draining", status.draining || http->draining);
    member_bool(out, "log_full", status.log_full);
    member_text(out, "fsync", http->opts.fsync_mode);
    member_u64(out, "time_ms", status.stamp_ms);
    member_u64(out, "pending", status.pending);
    member_u64(out, "leader_silent_ms", status.leader_silent_ms);
    member_text(out, "version", http->opts.version);
    write_protocols(status.protocols, status.cluster_protocol, out);
    write_disk(&status.disk, out);
    write_digest_check(&status.digest_check, out);
    write_snapshot(&status, out);
    write_solo(http, &status.solo, out);
    write_redundancy(http, out);
    write_checks(&status, out);
    write_members(http, out);
    pc_http_text(out, "}\n");
    pc_http_send_scratch(conn, 200, PC_HTTP_JSON);
}

static void leader_get(struct pc_http_conn *conn)
{
    struct pc_buf *out = &conn->http->scratch;
    struct pc_node_status status;
    status_of(conn->http, &status);
    pc_buf_append_u8(out, '{');
    member_text_or_null(out, "leader", status.leader_name);
    if (status.raft.leader != 0) {
        member_id(out, "id", status.raft.leader);
    } else {
        member_text_or_null(out, "id", "");
    }
    member_u64(out, "term", status.raft.term);
    member_bool(out, "self", status.raft.leader != 0 && status.raft.leader == status.id);
    pc_http_text(out, "}\n");
    pc_http_send_scratch(conn, 200, PC_HTTP_JSON);
}

/* ---- transfer */
/* The target's name from ?target= or the body {"target": "node2"}; "" = any node. */
static bool transfer_target(struct pc_http_conn *conn, const struct pc_http_target *target,
    char *out, struct pc_http_problem *problem)
{
    struct pc_slice body = pc_http_route_body(conn);
    memcpy(out, target->name, sizeof target->name);
    if (body.len == 0) {
        return true;
    }
    char why[160];
    if (!pc_http_json_valid(body, why, sizeof why)) {
        pc_http_problem_set(problem, 400, "bad_json", "the body is not JSON: %s", why);
        return false;
    }
    json_t *object = json_loadb((const char *)body.data, body.len, JSON_DECODE_ANY, NULL);
    const json_t *text = object != NULL ? json_object_get(object, "target") : NULL;
    bool empty = json_is_object(object) && json_object_size(object) == 0;
    bool named = json_is_string(text) && json_object_size(object) == 1 &&
                 json_string_length(text) <= PC_NAME_BYTES_MAX && target->name[0] == '\0';
    if (named) {
        memcpy(out, json_string_value(text), json_string_length(text) + 1);
    }
    json_decref(object);
    if (!named && !empty) {
        pc_http_problem_set(problem, 400, "bad_body",
            "the body may be an object with the one member \"target\": the name of a node");
        return false;
    }
    return true;
}

/* Id of the voter with this name; 0 when there is none. */
static pc_node_id voter_id(const struct pc_http *http, const char *text)
{
    struct pc_node_member *members = pc_xalloc(PC_MEMBERS_MAX * sizeof *members);
    size_t n = pc_node_members(http->opts.node, pc_http_now(http), members, PC_MEMBERS_MAX);
    pc_node_id id = 0;
    for (size_t i = 0; i < n; i++) {
        bool votes =
            strcmp(members[i].role, "voter") == 0 || strcmp(members[i].role, "leader") == 0;
        if (strcmp(members[i].name, text) == 0 && votes) {
            id = members[i].id;
        }
    }
    free(members);
    return id;
}

static bool transfer_check(
    const struct pc_http *http, const char *wanted, pc_node_id *id, struct pc_http_problem *problem)
{
    struct pc_node_status status;
    status_of(http, &status);
    if (status.raft.role != PC_RAFT_LEADER) {
        pc_http_problem_set(problem, 409, "not_leader", "only the leader hands leadership over");
        problem->retryable = status.leader_name[0] == '\0';
        size_t len = strlen(status.leader_name);
        memcpy(problem->leader, status.leader_name, len < sizeof problem->leader ? len + 1 : 0);
        return false;
    }
    *id = wanted[0] == '\0' ? 0 : voter_id(http, wanted);
    if (wanted[0] != '\0' && (*id == 0 || *id == status.id)) {
        pc_http_problem_set(problem, 400, "bad_target", "%s",
            *id == 0 ? "no voter has this name" : "this node is the leader already");
        return false;
    }
    return true;
}

static void transfer_post(struct pc_http_conn *conn, const struct pc_http_target *target)
{
    struct pc_http *http = conn->http;
    struct pc_http_problem problem;
    char wanted[PC_NAME_BYTES_MAX + 1];
    pc_node_id id = 0;
    if (!transfer_target(conn, target, wanted, &problem) ||
        !transfer_check(http, wanted, &id, &problem)) {
        pc_http_send_problem(conn, &problem);
        return;
    }
    pc_buf_append_u8(&http->scratch, '{');
    member_text_or_null(&http->scratch, "target", wanted);
    pc_http_text(&http->scratch, "}\n");
    pc_http_send_scratch(conn, 202, PC_HTTP_JSON);
    http->opts.ops.transfer(http->opts.ops.context, id);
}

/* ---- health */
/* `[+]log ok`, `[~]leader none 0.4s` (worth saying, still ready), `[-]catchup 81% eta 3s` */
static void readyz_get(struct pc_http_conn *conn)
{
    struct pc_buf *out = &conn->http->scratch;
    struct pc_node_status status;
    status_of(conn->http, &status);
    for (size_t i = 0; i < status.checks_n; i++) {
        const struct pc_ready_check *check = &status.checks[i];
        bool silent = check->text[0] == '\0';
        pc_http_text(out, !check->ok ? "[-]" : silent ? "[+]" : "[~]");
        pc_http_text(out, check->name);
        pc_http_text(out, " ");
        pc_http_text(out, !silent ? check->text : check->ok ? "ok" : "failed");
        pc_http_text(out, "\n");
    }
    if (!status.ready) {
        pc_http_header(conn, "Retry-After", "1");
    }
    pc_http_send_scratch(conn, status.ready ? 200 : 503, "text/plain; charset=utf-8");
}

static void healthz_get(struct pc_http_conn *conn)
{
    struct pc_buf *out = &conn->http->scratch;
    struct pc_node_status status;
    status_of(conn->http, &status);
    pc_buf_append_u8(out, '{');
    member_bool(out, "ready", status.ready);
    write_checks(&status, out);
    pc_http_text(out, "}\n");
    if (!status.ready) {
        pc_http_header(conn, "Retry-After", "1");
    }
    pc_http_send_scratch(conn, status.ready ? 200 : 503, PC_HTTP_JSON);
}

static void health_get(struct pc_http_conn *conn)
{
    struct pc_buf *out = &conn->http->scratch;
    struct pc_node_status status;
    status_of(conn->http, &status);
    pc_http_text(out, "{\"message\":\"It works!!!\",\"payload\":{");
    member_text(out, "node", status.name);
    member_text(out, "role", status.role);
    member_text_or_null(out, "leader", status.leader_name);
    member_bool(out, "ready", status.ready);
    pc_http_text(out, "}}\n");
    pc_http_send_scratch(conn, 200, PC_HTTP_JSON);
}

static void version_get(struct pc_http_conn *conn)
{
    struct pc_buf *out = &conn->http->scratch;
    pc_buf_append_u8(out, '{');
    member_text(out, "version", conn->http->opts.version);
    member_text(out, "commit", PC_COMMIT);
    struct pc_node_status status;
    status_of(conn->http, &status);
    write_protocols(status.protocols, 0, out);
    pc_http_text(out, "}\n");
    pc_http_send_scratch(conn, 200, PC_HTTP_JSON);
}

void pc_http_admin_request(struct pc_http_conn *conn, const struct pc_http_target *target)
{
    pc_buf_reset(&conn->http->scratch);
    switch (target->route) {
    case PC_HTTP_ROUTE_HEALTH:
        health_get(conn);
        return;
    case PC_HTTP_ROUTE_STATUS:
        status_get(conn);
        return;
    case PC_HTTP_ROUTE_MEMBERS:
        members_get(conn);
        return;
    case PC_HTTP_ROUTE_LEADER:
        leader_get(conn);
        return;
    case PC_HTTP_ROUTE_TRANSFER:
        transfer_post(conn, target);
        return;
    case PC_HTTP_ROUTE_READYZ:
        readyz_get(conn);
        return;
    case PC_HTTP_ROUTE_HEALTHZ:
        healthz_get(conn);
        return;
    case PC_HTTP_ROUTE_VERSION:
        version_get(conn);
        return;
    default:
        /* LIVEZ: that this line runs is the answer. */
        pc_http_text(&conn->http->scratch, "ok\n");
        pc_http_send_scratch(conn, 200, "text/plain; charset=utf-8");
        return;
    }
}
