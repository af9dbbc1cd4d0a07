/* http_int.h: what the files of the HTTP edge share.
 *
 * A request on its way through the module:
 *
 *   socket -> guard (http_guard: raw head, limits, deadlines) -> evhttp -> http_route (dispatch)
 *          -> http_kv | http_cache | http_member | http_snapshot | http_rollback | http_log
 *             | http_admin -> ops.submit ...
 * pc_http_reply -> http_send -> socket
 */
#ifndef PC_HTTP_INT_H
#define PC_HTTP_INT_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "pcache/assert.h"
#include "pcache/http.h"
#include "pcache/limits.h"

/* ---- faults: what the guard refuses, and with which answer */
#define PC_HTTP_FAULT_LIST(X)                                                                      \
    X(NONE, 0, "none", "")                                                                         \
    X(REQUEST_LINE, 400, "bad_request_line", "the request line is malformed")                      \
    X(METHOD, 405, "method_not_allowed", "this method is not known here")                          \
    X(TARGET, 400, "bad_target", "the request target must be an absolute path without controls")   \
    X(TARGET_LONG, 414, "target_too_long", "the request target is too long")                       \
    X(VERSION, 505, "bad_version", "only HTTP/1.0 and HTTP/1.1 are spoken here")                   \
    X(HEAD_LARGE, 431, "head_too_large", "request line and headers are too large")                 \
    X(HEADERS_MANY, 431, "too_many_headers", "there are too many header fields")                   \
    X(HEADER_NAME, 400, "bad_header_name", "a header field name is not a token")                   \
    X(HEADER_SPACE, 400, "space_before_colon", "white space before the colon of a header field")   \
    X(HEADER_FOLD, 400, "folded_header", "header fields folded over lines are refused")            \
    X(HEADER_VALUE, 400, "bad_header_value", "a header field value has a control character")       \
    X(LINE_END, 400, "bad_line_end", "lines must end with CR LF")                                  \
    X(HOST, 400, "bad_host", "exactly one Host header field is needed")                            \
    X(LENGTH, 400, "bad_content_length", "Content-Length must be digits, once")                    \
    X(TRANSFER_ENCODING, 411, "transfer_encoding", "Transfer-Encoding is refused: send a length")  \
    X(LENGTH_MISSING, 411, "length_required", "this request needs a Content-Length")               \
    X(BODY_LARGE, 413, "body_too_large", "the body is larger than the limit for values")           \
    X(BODY_UNEXPECTED, 400, "unexpected_body", "GET, HEAD and DELETE take no body")                \
    X(EXPECT, 417, "bad_expectation", "only Expect: 100-continue is known")                        \
    X(FRAMING, 400, "bad_framing", "the request's end could not be agreed on")                     \
    X(TIMEOUT, 408, "request_timeout", "the whole request did not arrive in time")                 \
    X(CONNECTIONS, 503, "too_many_connections", "this node has too many connections")

enum pc_http_fault {
#define PC_HTTP_FAULT_ENUM(name, status, code, detail) PC_HTTP_FAULT_##name,
    PC_HTTP_FAULT_LIST(PC_HTTP_FAULT_ENUM)
#undef PC_HTTP_FAULT_ENUM
        PC_HTTP_FAULTS_N
};

const char *pc_http_fault_name(enum pc_http_fault fault); /* its code, each another one */

/* ---- http_head.c: a request head, byte by byte. Pure. */
struct pc_http_head_limits {
    size_t head_bytes_max;
    size_t target_bytes_max;
    size_t headers_max;
    uint64_t body_bytes_max;
};

#define PC_HTTP_WORD_BYTES_MAX 24
#define PC_HTTP_TARGET_KEPT 96

/* State of one head; zeroed = before its first byte. Needs no memory beside itself. */
struct pc_http_head {
    int state;
    enum pc_http_fault fault;
    enum evhttp_cmd_type method; /* one bit; 0 = a token that is none of ours */
    size_t bytes;                /* of the head so far */
    size_t target_len;
    size_t headers;
    uint64_t content_length;
    unsigned hosts;
    unsigned lengths;
    int field;                         /* which field of interest the current line is */
    size_t word_len;                   /* of `word`; may exceed its room, the rest is not kept */
    unsigned version;                  /* minor */
    bool space_seen;                   /* white space inside the current value */
    bool connection;                   /* a Connection field was there ... */
    bool keeps_open;                   /* ... and it was something else than exactly "close" */
    bool continues;                    /* Expect: 100-continue */
    char word[PC_HTTP_WORD_BYTES_MAX]; /* method, version, name or value under way, lower case */
    char target[PC_HTTP_TARGET_KEPT];  /* how the target begins: enough to know the route */
};

enum pc_http_head_result { PC_HTTP_HEAD_MORE, PC_HTTP_HEAD_DONE, PC_HTTP_HEAD_BAD };

/* Feeds bytes until the head is complete (DONE: *used bytes belong to it), bad (fault says why) or
 * the bytes are used up. However the bytes are cut into calls, the result is the same. */
enum pc_http_head_result pc_http_head_feed(struct pc_http_head *head,
    const struct pc_http_head_limits *limits, struct pc_slice bytes, size_t *used);

/* ---- problems (http_problem.c): RFC 9457, or the envelope on /api/cache */
struct pc_http_conn;
struct pc_http_problem {
    int status;
    const char *code; /* static */
    bool retryable;
    bool retry_after; /* Retry-After: 1 */
    bool has_limit;   /* limit and actual are said */
    uint64_t limit;
    uint64_t actual;
    bool has_version; /* version is said */
    pc_index version; /* that stands there; 0 = nothing does: null */
    pc_index oldest;  /* of the log; 0 = not said */
    bool has_applied; /* applied is said */
    pc_index applied;
    const char *allow;                  /* 405: the Allow field; static, or NULL */
    char leader[PC_NAME_BYTES_MAX + 1]; /* "" = not said */
    char detail[256];
};

void pc_http_problem_set(struct pc_http_problem *problem, int status, const char *code,
    const char *format, ...) __attribute__((format(printf, 4, 5)));
void pc_http_problem_of_fault(struct pc_http_problem *problem, enum pc_http_fault fault);
/* For every reply status but OK; `write` decides what a missing answer means. */
void pc_http_problem_of_reply(
    struct pc_http_problem *problem, enum pc_reply_status status, bool write);
/* Adds what this node knows of why the reply to conn's request had to be this one: whose disks are
 * full, who is missing for a quorum. */
void pc_http_problem_explain(
    struct pc_http_problem *problem, enum pc_reply_status status, const struct pc_http_conn *conn);
/* Appends the body. */
void pc_http_problem_write(
    const struct pc_http_problem *problem, bool envelope, struct pc_buf *out);
const char *pc_http_phrase(int status); /* "Not Found" */

/* ---- http_json.c. Pure. */
bool pc_http_utf8_valid(struct pc_slice text);
/* Appends a quoted JSON string; bytes that are not UTF-8 become U+FFFD. */
void pc_http_json_string(struct pc_buf *out, struct pc_slice text);
void pc_http_json_u64(struct pc_buf *out, uint64_t v);
void pc_http_text(struct pc_buf *out, const char *text);
void pc_http_base64(struct pc_buf *out, struct pc_slice bytes);
/* Whether `text` is one JSON text of depth <= 32; else *why is a static or thread-local reason. */
bool pc_http_json_valid(struct pc_slice text, char *why, size_t why_max);
/* Decimal digits of v with a NUL; out has room for 21 bytes. Returns the length. */
size_t pc_http_u64_text(uint64_t v, char *out);

/* ---- http_ttl.c. Pure. */
/* "500ms" "30s" "5m" "2h", or "0" for now. At most PC_TTL_MS_MAX. */
bool pc_http_ttl_parse(struct pc_slice text, pc_ms *out);

struct pc_http_ttl_change {
    bool persist; /* {"ttl": null} */
    pc_ms ttl_ms;
};
/* Reads a PATCH body. False sets the problem. */
bool pc_http_ttl_change_parse(
    struct pc_slice body, struct pc_http_ttl_change *out, struct pc_http_problem *problem);

/* ---- http_condition.c */
struct pc_http_condition {
    enum pc_condition condition;
    pc_index version;
    bool never; /* it cannot hold, whatever stands there */
};
/* Reads the fields of a write; NULL = not there. Pure. False sets the problem. */
bool pc_http_condition_parse(const char *if_match, const char *if_none_match,
    struct pc_http_condition *out, struct pc_http_problem *problem);
/* Whether the If-None-Match of a read names this version: the client has it already. What cannot be
 * read names nothing. Pure. */
bool pc_http_none_match_has(const char *if_none_match, pc_index version);

/* ---- http_member.c, as far as it is pure */
bool pc_http_member_name_valid(struct pc_slice name);
/* "voter" "replica" "spare" */
const char *pc_http_member_want(enum pc_member_want want);
/* Reads {"name": "node4", "role": "voter"}, the role being optional. False sets the problem. */
bool pc_http_member_add_parse(
    struct pc_slice body, struct pc_member_change *out, struct pc_http_problem *problem);

/* ---- http_target.c: raw target -> route, key, query. Pure. */
#define PC_HTTP_ROUTE_LIST(X)                                                                      \
    X(NONE, "none")                                                                                \
    X(KV, "kv")                                                                                    \
    X(CACHE, "cache")                                                                              \
    X(HEALTH, "health")                                                                            \
    X(STATUS, "status")                                                                            \
    X(MEMBERS, "members")                                                                          \
    X(MEMBER, "member")                                                                            \
    X(MEMBER_CHANGE, "member_change")                                                              \
    X(LEADER, "leader")                                                                            \
    X(TRANSFER, "transfer")                                                                        \
    X(SNAPSHOT, "snapshot")                                                                        \
    X(ROLLBACKS, "rollbacks")                                                                      \
    X(ROLLBACK, "rollback")                                                                        \
    X(LOG, "log")                                                                                  \
    X(LIVEZ, "livez")                                                                              \
    X(READYZ, "readyz")                                                                            \
    X(HEALTHZ, "healthz")                                                                          \
    X(METRICS, "metrics")                                                                          \
    X(VERSION, "version")

enum pc_http_route {
#define PC_HTTP_ROUTE_ENUM(name, text) PC_HTTP_ROUTE_##name,
    PC_HTTP_ROUTE_LIST(PC_HTTP_ROUTE_ENUM)
#undef PC_HTTP_ROUTE_ENUM
        PC_HTTP_ROUTES_N
};

struct pc_http_target {
    enum pc_http_route route;
    bool has_ttl;
    pc_ms ttl_ms;
    enum pc_consistency consistency;
    size_t key_len;
    uint8_t key[PC_KEY_BYTES_MAX];
    char name[PC_NAME_BYTES_MAX + 1]; /* of a member, of a closed branch; ?target= of a transfer, ""
                                         = any */
    enum pc_member_op op;             /* MEMBER: REMOVE; MEMBER_CHANGE: what the path says */
    pc_index from;                    /* LOG; 0 = not given */
    uint32_t limit;                   /* LOG; > 0 */
    pc_ms wait_ms;                    /* LOG */
};

/* The route of a target, looking at its path only; `path_len` is its length without the query. */
enum pc_http_route pc_http_target_route(struct pc_slice target, size_t *path_len);
/* Parses the whole target for `method`. False sets the problem; out->route is set in any case. */
bool pc_http_target_parse(struct pc_slice target, enum evhttp_cmd_type method,
    struct pc_http_target *out, struct pc_http_problem *problem);
const char *pc_http_route_name(enum pc_http_route route);
/* Methods of a route as bits, and as the text of an Allow field. */
unsigned pc_http_route_methods(enum pc_http_route route);
const char *pc_http_route_allow(enum pc_http_route route);

/* ---- connections (http_guard.c)
 *
 *          first byte        head whole         body whole        handler called
 *   IDLE ------------> HEAD ------------> BODY -------------> READY ------------> BUSY
 *    ^                   \______________________________________/\                 | reply
 *    |                        no body: straight to READY          \               v
 *    +--------------------------- reply flushed (keep-alive) -------------------- WRITING
 *
 *   any -- refused, overdue, closed --> DOOMED -- evhttp has let go --> LINGER --> (released)
 */
enum pc_http_conn_state {
    PC_HTTP_CONN_IDLE,
    PC_HTTP_CONN_HEAD,
    PC_HTTP_CONN_BODY,
    PC_HTTP_CONN_READY,
    PC_HTTP_CONN_BUSY,
    PC_HTTP_CONN_WRITING,
    PC_HTTP_CONN_DOOMED,
    PC_HTTP_CONN_LINGER,
};

struct pc_http_conn {
    struct pc_http *http;
    struct pc_http_conn *next;  /* all connections */
    struct pc_http_conn **link; /* what points to this one */
    struct pc_http_conn *next_doomed;
    struct bufferevent *bev;         /* the guard owns one reference beside evhttp's */
    struct evbuffer_cb_entry *entry; /* of the guard on the input buffer */
    struct evhttp_connection *evcon; /* known from the first request on; NULL once evhttp let go */
    struct event *linger;            /* LINGER: reads what the client still sends */
    struct evhttp_request *request;  /* BUSY, WRITING */
    int fd;                          /* -1 until the first byte or the refusal */
    enum pc_http_conn_state state;
    bool gone;                  /* evhttp has freed its part */
    bool counted;               /* counts against connections_max */
    enum pc_http_fault refusal; /* to be answered once the socket is known */
    size_t checked;             /* bytes of the input buffer that the guard let pass */
    uint64_t body_left;
    uint32_t requests;          /* begun so far */
    struct pc_instant deadline; /* of the present state */
    struct pc_http_head head;
    /* The request in hand: */
    enum pc_http_route route;
    enum evhttp_cmd_type method;
    bool write;                    /* what was submitted: WRITE or MEMBER, else GET */
    bool local;                    /* a GET of what this node has */
    uint32_t slot;                 /* in the pending table; UINT32_MAX = none */
    struct pc_http_stream *stream; /* http_snapshot.c; NULL = none */
    size_t log_bytes;              /* of a page of the log, not all of which have left */
};

#define PC_HTTP_LOG_BUCKET 3 /* of pc_log_limited; arbitrary, this module's own */

/* http_refusal.c: writes the answer for conn->refusal to the socket. */
void pc_http_refusal_send(struct pc_http_conn *conn);

/* Registers the guard with evhttp. */
void pc_http_guard_attach(struct pc_http *http);
/* The connection of a request that evhttp delivers, now BUSY; NULL when it is to be ignored. */
struct pc_http_conn *pc_http_guard_take(struct pc_http *http, struct evhttp_request *request);
/* The reply was handed to evhttp. */
void pc_http_guard_writing(struct pc_http_conn *conn);
/* A piece of a long reply has left: there is as much time for the next one. */
void pc_http_guard_progress(struct pc_http_conn *conn);
/* The answer, which has not begun, may take so long from now on; 0 = as long as any other. */
void pc_http_guard_wait(struct pc_http_conn *conn, pc_ms ms);
/* Has the client of a request in hand closed its connection? Nobody else looks. */
bool pc_http_guard_is_left(const struct pc_http_conn *conn);
/* Writes the reply to the socket now. Not from within a callback of evhttp's request: it may let go
 * of it. */
void pc_http_guard_flush(struct pc_http_conn *conn);
/* Ends a connection from this side; the socket goes after lingering. */
void pc_http_guard_end(struct pc_http_conn *conn);
/* Frees every connection's memory; evhttp must be gone. */
void pc_http_guard_release_all(struct pc_http *http);

/* ---- pending requests (http_pending.c): tag = generation << 32 | slot */
struct pc_http_pending {
    struct pc_http_pending_slot *slots;
    uint32_t cap;
    uint32_t free_head; /* UINT32_MAX = none free */
    uint32_t used;
};
struct pc_http_pending_slot {
    struct pc_http_conn *conn; /* NULL = free, or its client has gone */
    uint32_t generation;
    uint32_t next_free;
};
void pc_http_pending_create(struct pc_http_pending *pending, uint32_t cap);
void pc_http_pending_destroy(struct pc_http_pending *pending);
/* Takes a slot for conn (sets conn->slot). False when all are taken. */
bool pc_http_pending_add(struct pc_http_pending *pending, struct pc_http_conn *conn, uint64_t *tag);
/* The connection that waits under `tag`, whose slot is free afterwards; NULL when there is none. */
struct pc_http_conn *pc_http_pending_take(struct pc_http_pending *pending, uint64_t tag);
/* Forgets conn's request, if it has one waiting. */
void pc_http_pending_drop(struct pc_http_pending *pending, struct pc_http_conn *conn);

/* ---- answers that a thread reads from a disk (http_stream.c): one piece after the other, each
 * asked for when the one before has left */
#define PC_HTTP_STREAMS_MAX 4
#define PC_HTTP_PIECE_BYTES (256 * 1024)
struct pc_http_stream;
/* Asks for what is next. False when too much is asked at once. */
typedef bool pc_http_stream_ask(struct pc_http_stream *stream);
struct pc_http_stream {
    struct pc_http_conn *conn; /* NULL = free */
    uint32_t generation;
    pc_http_stream_ask *ask;
    bool is_reading;
    pc_index index; /* of a snapshot; 0 = not known before the first piece is there */
    uint64_t offset, size;
    struct pc_http_place place; /* in a closed branch */
};
/* Takes a place for conn's request and asks; refuses it when there is none. */
void pc_http_stream_open(struct pc_http_conn *conn, pc_http_stream_ask *ask);
uint64_t pc_http_stream_tag(const struct pc_http_stream *stream); /* its highest bit is set */
/* Who waits for the answer under `tag`; NULL when it has gone. */
struct pc_http_stream *pc_http_stream_take(struct pc_http *http, uint64_t tag);
/* Hands a piece, which is taken over, to evhttp. The answer was begun by pc_http_send_start. */
void pc_http_stream_send(struct pc_http_stream *stream, struct pc_buf *bytes, bool is_last);
/* Answers with a problem. */
void pc_http_stream_refuse(
    struct pc_http_conn *conn, int status, const char *code, const char *detail, bool retryable);
/* The same before the head is out; afterwards the answer can only be cut short. */
void pc_http_stream_fail(
    struct pc_http_conn *conn, int status, const char *code, const char *detail, bool retryable);
/* The connection ends, or its answer is due without any piece. */
void pc_http_stream_drop(struct pc_http_conn *conn);
void pc_http_stream_overdue(struct pc_http_conn *conn);

/* ---- pages of the log (http_log.c) */
struct pc_http_log_ask {
    struct pc_http_conn *conn;
    uint64_t number; /* of this ask, and the tag of its read */
    pc_index from;
    uint32_t limit;
    bool is_oldest; /* `from` is the oldest one there is, at the moment of reading */
    bool waits; /* for entry `from`, until conn->deadline */
};
struct pc_http_log {
    struct pc_http_log_ask asks[PC_FEED_ASKS_MAX]; /* in the order in which they came */
    size_t asks_n;
    uint64_t number;     /* of the newest */
    uint64_t reading;    /* whose page is being read; 0 = nobody's. Its ask may have gone */
    size_t unsent_bytes; /* of pages that clients have not taken yet */
    uint64_t entries_total;
};

/* ---- the server (http.c) */
#define PC_HTTP_CODE_LIST(X)                                                                       \
    X(200)                                                                                         \
    X(201)                                                                                         \
    X(202)                                                                                         \
    X(204)                                                                                         \
    X(304)                                                                                         \
    X(400) X(404) X(405) X(409) X(410) X(411) X(412) X(413) X(416) X(500) X(501) X(503) X(504)     \
        X(507) X(0)

enum {
#define PC_HTTP_CODE_ENUM(code) PC_HTTP_CODE_##code,
    PC_HTTP_CODE_LIST(PC_HTTP_CODE_ENUM)
#undef PC_HTTP_CODE_ENUM
        PC_HTTP_CODES_N
};

struct pc_http {
    struct pc_http_opts opts;
    struct pc_http_head_limits limits;
    struct evhttp *evhttp;
    struct evhttp_bound_socket *bound; /* NULL once accepting has stopped */
    struct event *sweep;
    struct event *reap;
    uint16_t port;
    bool draining;
    bool paused; /* not accepting: too many sockets */
    struct pc_http_conn *conns;
    struct pc_http_conn *doomed;
    struct pc_http_conn **by_fd;
    size_t by_fd_n;
    uint32_t conns_n;     /* counted ones */
    uint32_t lingering_n; /* all others: refused, doomed, lingering */
    size_t in_flight_n;
    pc_ms sweep_ms;
    struct pc_http_pending pending;
    struct pc_http_stream streams[PC_HTTP_STREAMS_MAX];
    struct pc_http_log log;
    struct pc_buf scratch; /* bodies under construction; empty between calls */
    struct pc_buf fields;  /* head fields of the answer under construction, likewise */
    /* Names for the X-PC-Leader field, looked up when (leader, term) has changed. */
    pc_node_id leader_id;
    pc_term leader_term;
    bool leader_known;
    char node_name[PC_NAME_BYTES_MAX + 1];
    char leader_name[PC_NAME_BYTES_MAX + 1];
    uint64_t connections_total;
    uint64_t rejected[PC_HTTP_FAULTS_N];
    uint64_t answers[PC_HTTP_ROUTES_N][PC_HTTP_CODES_N];
};

static inline struct pc_instant pc_http_now(const struct pc_http *http)
{
    return http->opts.ops.now(http->opts.ops.context);
}

/* Name of the leader, "" when unknown; cheap enough for every request. */
const char *pc_http_leader_name(struct pc_http *http);

/* ---- dispatch (http_route.c) */
void pc_http_route_request(struct evhttp_request *request, void *context);
/* The raw target of conn's request once more (replies need the key again). */
void pc_http_route_target(struct pc_http_conn *conn, struct pc_http_target *out);
/* The body, in one piece, borrowed from the request. */
struct pc_slice pc_http_route_body(struct pc_http_conn *conn);
/* Hands a request to the node; answers 503 itself when too many are pending. */
void pc_http_submit(struct pc_http_conn *conn, struct pc_request *request);
/* The same for a write of the store, under the condition that the request's fields name
 * (http_condition.c); answers what cannot be or never holds. */
void pc_http_submit_write(struct pc_http_conn *conn, struct pc_request *request);
/* Marks an answer of this node alone. */
void pc_http_mark_branch(struct pc_http_conn *conn, const uint8_t id[16]);
/* Answers a request that the node has left without a reply for too long. */
void pc_http_answer_overdue(struct pc_http_conn *conn);

/* ---- answers (http_send.c): each of these ends the request */
void pc_http_header(struct pc_http_conn *conn, const char *name, const char *value);
void pc_http_header_u64(struct pc_http_conn *conn, const char *name, uint64_t v);
/* Where to put the body before pc_http_send. */
struct evbuffer *pc_http_body(struct pc_http_conn *conn);
/* Sends what is in the body buffer; type NULL = no Content-Type (204). A HEAD gets the length only.
 */
void pc_http_send(struct pc_http_conn *conn, int status, const char *type);
#define PC_HTTP_LENGTH_UNKNOWN UINT64_MAX
/* Begins an answer of `length` bytes, which follow by evhttp_send_reply_chunk and _end. */
void pc_http_send_start(struct pc_http_conn *conn, int status, const char *type, uint64_t length);
/* Sends the scratch buffer as JSON (or another type). */
void pc_http_send_scratch(struct pc_http_conn *conn, int status, const char *type);
void pc_http_send_problem(struct pc_http_conn *conn, const struct pc_http_problem *problem);
/* Appends a blob to the body, by reference when that is cheaper. */
void pc_http_body_blob(struct pc_http_conn *conn, struct pc_blob *blob);

#define PC_HTTP_JSON "application/json"
#define PC_HTTP_LINES "application/x-ndjson" /* an object of JSON a line */

/* ---- calls */
void pc_http_kv_request(struct pc_http_conn *conn, const struct pc_http_target *target);
void pc_http_kv_reply(struct pc_http_conn *conn, const struct pc_reply *reply);
/* Where and at which index this was answered. */
void pc_http_answer_headers(struct pc_http_conn *conn, pc_index index);
/* For both APIs: answers a write whose condition does not hold with 412 and what stands there, one
 * that a member could not read with 501. False: the reply is another one. */
bool pc_http_kv_not_done(struct pc_http_conn *conn, const struct pc_reply *reply);
/* Adds what the answer to a local read was worth when it was read; nothing for another one. */
void pc_http_local_headers(struct pc_http_conn *conn, const struct pc_reply *reply);
void pc_http_cache_request(struct pc_http_conn *conn, const struct pc_http_target *target);
void pc_http_cache_reply(struct pc_http_conn *conn, const struct pc_reply *reply);
void pc_http_member_request(struct pc_http_conn *conn, const struct pc_http_target *target);
void pc_http_member_reply(struct pc_http_conn *conn, const struct pc_reply *reply);
void pc_http_snapshot_request(struct pc_http_conn *conn);
void pc_http_snapshot_reply(struct pc_http_conn *conn, const struct pc_reply *reply);
void pc_http_rollback_request(struct pc_http_conn *conn);
void pc_http_log_request(struct pc_http_conn *conn, const struct pc_http_target *target);
/* Whether conn's request was one of those that wait here, which is answered then. */
bool pc_http_log_overdue(struct pc_http_conn *conn);
/* The connection is done with what it has of the log: a request, or a page that has left. */
void pc_http_log_let_go(struct pc_http_conn *conn);
void pc_http_admin_request(struct pc_http_conn *conn, const struct pc_http_target *target);
void pc_http_metrics_request(struct pc_http_conn *conn);

#endif
