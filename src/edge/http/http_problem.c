/* Every answer that is not a success: one struct, written as application/problem+json (RFC 9457) or
 * as the envelope of /api/cache. */
#include "http_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *code;
    const char *detail;
} faults[PC_HTTP_FAULTS_N] = {
#define FAULT_ROW(name, status, code, detail) {status, code, detail},
    PC_HTTP_FAULT_LIST(FAULT_ROW)
#undef FAULT_ROW
};

const char *pc_http_fault_name(enum pc_http_fault fault)
{
    return faults[fault].code;
}

const char *pc_http_phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"},
        {304, "Not Modified"}, {400, "Bad Request"}, {404, "Not Found"},
        {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"},
        {411, "Length Required"}, {412, "Precondition Failed"}, {413, "Content Too Large"},
        {414, "URI Too Long"}, {416, "Range Not Satisfiable"}, {417, "Expectation Failed"},
        {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
        {501, "Not Implemented"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"}, {507, "Insufficient Storage"}};
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "Error";
}

void pc_http_problem_set(
    struct pc_http_problem *problem, int status, const char *code, const char *format, ...)
{
    *problem = (struct pc_http_problem){.status = status, .code = code};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(problem->detail, sizeof problem->detail, format, args);
    va_end(args);
}

void pc_http_problem_of_fault(struct pc_http_problem *problem, enum pc_http_fault fault)
{
    PC_ASSERT(fault > PC_HTTP_FAULT_NONE && fault < PC_HTTP_FAULTS_N);
    pc_http_problem_set(
        problem, faults[fault].status, faults[fault].code, "%s", faults[fault].detail);
    problem->retry_after = fault == PC_HTTP_FAULT_CONNECTIONS;
    problem->retryable = problem->retry_after || fault == PC_HTTP_FAULT_TIMEOUT;
}

void pc_http_problem_of_reply(
    struct pc_http_problem *problem, enum pc_reply_status status, bool write)
{
    switch (status) {
    case PC_REPLY_NOT_FOUND:
        pc_http_problem_set(problem, 404, "not_found", "there is nothing under this key");
        return;
    case PC_REPLY_NO_LEADER:
        pc_http_problem_set(
            problem, 503, "no_leader", "not done: no leader could be reached in time");
        break;
    case PC_REPLY_OVERLOADED:
        pc_http_problem_set(problem, 503, "overloaded", "not done: too many requests are pending");
        break;
    case PC_REPLY_STOPPING:
        pc_http_problem_set(problem, 503, "stopping", "not done: this node is going down");
        break;
    case PC_REPLY_LOADING:
        pc_http_problem_set(
            problem, 503, "loading", "not done: this node is still reading its snapshot");
        break;
    case PC_REPLY_SPARE:
        pc_http_problem_set(problem, 503, "spare",
            "not done: this node is a spare, and serves no clients before it takes a place");
        break;
    case PC_REPLY_LOG_FULL:
        pc_http_problem_set(
            problem, 507, "log_full", "not done: the disk is full, or has only its reserve left");
        break;
    case PC_REPLY_UNKNOWN:
        pc_http_problem_set(problem, 504, "outcome_unknown",
            "no commit was seen in time: the write may or may not take effect");
        return; /* a blind retry could undo somebody else's later write */
    case PC_REPLY_TIMEOUT:
        pc_http_problem_set(problem, 504, write ? "outcome_unknown" : "timeout", "%s",
            write ? "no answer in time: the write may or may not take effect"
                  : "the read could not be confirmed in time");
        problem->retryable = !write;
        return;
    case PC_REPLY_REFUSED:
        pc_http_problem_set(problem, 409, "refused", "not done: the cluster refuses it");
        return;
    case PC_REPLY_OK:
        PC_ASSERT(status != PC_REPLY_OK);
        return;
    }
    problem->retryable = true;
    problem->retry_after = true;
}

static void name_disks(struct pc_http_problem *problem, const struct pc_http *http)
{
    char names[160];
    pc_node_full_disks(http->opts.node, pc_http_now(http), names, sizeof names);
    if (names[0] != '\0') {
        size_t used = strlen(problem->detail);
        (void)snprintf(problem->detail + used, sizeof problem->detail - used, ": %s", names);
    }
}

/* Says that there can be no leader, and who is missing for one. */
static void name_missing(struct pc_http_problem *problem, const struct pc_http *http)
{
    struct pc_node_quorum quorum;
    char text[192];
    pc_node_quorum(http->opts.node, pc_http_now(http), &quorum);
    pc_node_quorum_text(http->opts.node, text, sizeof text);
    if (quorum.lost) {
        pc_http_problem_set(problem, 503, "no_quorum", "no quorum: %s", text);
        problem->retryable = true;
        problem->retry_after = true;
    }
}

void pc_http_problem_explain(
    struct pc_http_problem *problem, enum pc_reply_status status, const struct pc_http_conn *conn)
{
    if (status == PC_REPLY_LOG_FULL) {
        name_disks(problem, conn->http);
    } else if (status == PC_REPLY_NO_LEADER || (status == PC_REPLY_TIMEOUT && !conn->write)) {
        name_missing(problem, conn->http);
    }
}

static void member_text(struct pc_buf *out, const char *name, const char *text)
{
    pc_http_text(out, ",\"");
    pc_http_text(out, name);
    pc_http_text(out, "\":");
    pc_http_json_string(out, pc_slice_str(text));
}

static void member_u64(struct pc_buf *out, const char *name, uint64_t v)
{
    pc_http_text(out, ",\"");
    pc_http_text(out, name);
    pc_http_text(out, "\":");
    pc_http_json_u64(out, v);
}

static void envelope_write(const struct pc_http_problem *problem, struct pc_buf *out)
{
    /* The one text that clients of this API know by heart. */
    bool missing = strcmp(problem->code, "not_found") == 0;
    pc_http_text(out, "{\"message\":");
    pc_http_json_string(out, pc_slice_str(missing ? "Cache key not found" : problem->detail));
    pc_http_text(out, ",\"payload\":{}}");
}

void pc_http_problem_write(const struct pc_http_problem *problem, bool envelope, struct pc_buf *out)
{
    if (envelope) {
        envelope_write(problem, out);
        return;
    }
    pc_http_text(out, "{\"type\":\"urn:pcache:problem:");
    pc_http_text(out, problem->code);
    pc_buf_append_u8(out, '"');
    member_text(out, "title", pc_http_phrase(problem->status));
    member_u64(out, "status", (uint64_t)problem->status);
    member_text(out, "detail", problem->detail);
    member_text(out, "code", problem->code);
    pc_http_text(out, problem->retryable ? ",\"retryable\":true" : ",\"retryable\":false");
    if (problem->has_limit) {
        member_u64(out, "limit", problem->limit);
        member_u64(out, "actual", problem->actual);
    }
    if (problem->has_version && problem->version == 0) {
        pc_http_text(out, ",\"version\":null");
    } else if (problem->has_version) {
        member_u64(out, "version", problem->version);
    }
    if (problem->oldest > 0) {
        member_u64(out, "oldest", problem->oldest);
    }
    if (problem->has_applied) {
        member_u64(out, "applied", problem->applied);
    }
    if (problem->leader[0] != '\0') {
        member_text(out, "leader", problem->leader);
    }
    pc_http_text(out, "}");
}
