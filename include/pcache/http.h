/* http.h: the REST API on evhttp, behind a guard that reads raw heads before evhttp does.
 * Calls and answers: docs/HTTP.md. */
#ifndef PCACHE_HTTP_H
#define PCACHE_HTTP_H

#include <event2/event.h>

#include "pcache/addr.h"
#include "pcache/node.h"

struct pc_http; /* opaque; used by the engine thread only */

enum pc_http_rollback_ask {
    PC_HTTP_ROLLBACK_LIST = 1,
    PC_HTTP_ROLLBACK_READ,
    PC_HTTP_ROLLBACK_NOTE, /* a replay of it begins */
    PC_HTTP_ROLLBACK_REMOVE,
};

/* A place in a closed branch; what the numbers mean is its reader's. */
struct pc_http_place {
    uint64_t v[4];
};

/* What the server needs from its owner. */
struct pc_http_ops {
    void *context;
    /* Steps the node with this request. The reply comes later: pc_http_reply with request->tag. */
    void (*submit)(void *context, const struct pc_request *request);
    /* Steps the node with a leadership transfer; target 0 = any. */
    void (*transfer)(void *context, pc_node_id target);
    /* Asks for bytes of the snapshot file of entry `index` (0 = of the newest): at most `max` from
     * `offset` on. pc_http_snapshot_piece follows, with this tag, whose highest bit is set. False
     * when too much is asked at once: nothing has happened. */
    bool (*snapshot_read)(void *context, uint64_t tag, pc_index index, uint64_t offset, size_t max);
    /* Reads entries first..last of the log, as many as PC_FEED_BYTES hold, but at least one:
     * pc_http_log_page follows. One at a time. */
    void (*log_read)(void *context, uint64_t tag, pc_index first, pc_index last);
    /* Asks something of the closed branches of this node: pc_http_rollback_answer follows, with
     * this tag. READ: lines from `place` on, zeros being the beginning; name: of the others than
     * LIST, as the client gave it. False when too much is asked at once: nothing has happened. */
    bool (*rollback_ask)(void *context, uint64_t tag, enum pc_http_rollback_ask what,
        const char *name, const struct pc_http_place *place);
    uint64_t (*rollbacks_pending)(void *context); /* how many of them there are */
    /* Appends Prometheus text of the parts the server does not know (log, bus, gossip). */
    void (*metrics)(void *context, struct pc_buf *out);
    struct pc_instant (*now)(void *context);
};

struct pc_http_opts {
    struct event_base *base;
    const char *listen; /* "host:port"; port 0 = any free one (tests) */
    const struct pc_node *node;
    struct pc_http_ops ops;
    const char *version;
    const char *fsync_mode;               /* "always" "interval" "os": shown in /v1/status */
    size_t value_bytes_max;               /* 413 above */
    size_t head_bytes_max;                /* 8192: request line and headers, 431 above */
    size_t target_bytes_max;              /* 4096: 414 above */
    size_t headers_max;                   /* 64: 431 above */
    uint32_t connections_max;             /* 1024; one more is answered 503 and closed */
    uint32_t in_flight_max;               /* 256: 503 + Retry-After above */
    uint32_t requests_per_connection_max; /* 1000, then Connection: close */
    pc_ms request_deadline_ms; /* 5000 (+1 s per 256 KiB of body): first byte to whole request */
    pc_ms idle_ms;             /* 30000: keep-alive without a request */
    pc_ms write_deadline_ms;   /* 10000 */
};

void pc_http_opts_default(struct pc_http_opts *opts); /* the limits above */

/* Opens the listening socket. Errors: PC_E_EXISTS the port is in use (text names it, and the
 * process when it can be found), PC_E_INVALID, PC_E_IO. */
PC_MUST_CHECK pc_err pc_http_open(
    const struct pc_http_opts *opts, struct pc_http **out, struct pc_error *error);
void pc_http_close(struct pc_http *http);
uint16_t pc_http_port(const struct pc_http *http);

/* Answers the request with reply->tag; a tag whose client has gone is ignored. */
void pc_http_reply(struct pc_http *http, const struct pc_reply *reply);

/* What came of ops.snapshot_read. */
struct pc_http_piece {
    uint64_t tag;
    pc_err err;       /* PC_E_NOT_FOUND: there is no snapshot, or not that one any more */
    const char *text; /* with err, for people */
    pc_index index;   /* of which snapshot it is */
    pc_term term;
    uint64_t file_bytes;
    const char *file_name;
    struct pc_buf *bytes; /* taken over (emptied), or left when the client has gone */
};
void pc_http_snapshot_piece(struct pc_http *http, const struct pc_http_piece *piece);

/* A closed branch of this node. */
struct pc_http_rollback {
    char name[64];
    uint8_t branch[16];
    pc_index base;
    uint64_t records;
    uint64_t lost; /* records that cannot be read any more */
    pc_ms begun_ms;
    bool is_closed; /* in order; else closed_ms is not known */
    pc_ms closed_ms;
    uint64_t bytes;
    bool is_replayed; /* a replay of it has begun once */
};

/* What came of ops.rollback_ask. */
struct pc_http_rollback_answer {
    uint64_t tag;
    pc_err err;                       /* PC_E_NOT_FOUND: there is none of this name.
                                         PC_E_EXISTS: NOTE, and that was noted before */
    const char *text;                 /* with err, for people */
    const struct pc_http_rollback *v; /* LIST; borrowed */
    size_t n;
    struct pc_buf *lines;       /* READ: taken over (emptied), or left when the client has gone */
    struct pc_http_place place; /* READ: where the next ones begin */
    bool is_last;               /* READ: nothing follows */
};
void pc_http_rollback_answer(struct pc_http *http, const struct pc_http_rollback_answer *answer);

/* What came of ops.log_read. */
struct pc_http_log_page {
    uint64_t tag;
    pc_err err;           /* PC_E_NOT_FOUND: not in the log (any more) */
    const char *text;     /* with err, for people */
    size_t n;             /* entries, from the first one asked for */
    struct pc_buf *lines; /* taken over (emptied), or left when the client has gone */
};
void pc_http_log_page(struct pc_http *http, const struct pc_http_log_page *page);

/* Once per turn of the engine, when its effects have been carried out: requests that waited for
 * entries of the log get them. */
void pc_http_turn(struct pc_http *http);

/* Draining, first half: every answer from now on carries Connection: close. */
void pc_http_drain_begin(struct pc_http *http);
/* Second half: stop accepting, close idle connections. */
void pc_http_drain_stop_accepting(struct pc_http *http);
/* Requests taken and not yet answered and flushed. */
size_t pc_http_in_flight(const struct pc_http *http);

#endif
