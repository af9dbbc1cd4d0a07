/* client.h: HTTP/1.1 over a plain blocking socket, one request a connection, with a deadline. */
#ifndef PCADMIN_CLIENT_H
#define PCADMIN_CLIENT_H

#include "args.h"
#include "pcache/bytes.h"

#define RESPONSE_HEAD_BYTES_MAX (64 * 1024)
#define RESPONSE_BODY_BYTES_MAX (16 * 1024 * 1024)

struct request {
    const char *method;
    const char *target;       /* percent-encoded, "/v1/kv/a%20b?ttl=3s" */
    const char *content_type; /* NULL: none */
    const char *condition;    /* a field: "If-Match: \"7\""; NULL: none */
    struct pc_slice body;
    bool has_body;
};

struct response {
    int status;
    char etag[64];  /* "" when there is none */
    bool is_branch; /* the answer of a node alone, not of the cluster */
    bool is_chunked;
    bool quorum_lost;     /* of a local read: the node says so, and ... */
    uint64_t age_ms;      /* ... how old its answer may be; 0 = it does not say */
    uint64_t next;        /* of a page of the log: the entry behind it; 0 = it does not say */
    struct pc_slice body; /* within bytes */
    struct pc_buf bytes;  /* owned: response_destroy */
};

enum client_result {
    CLIENT_OK,
    CLIENT_UNREACHABLE, /* nothing was sent */
    CLIENT_TIMEOUT,     /* the request may have been carried out */
    CLIENT_LOST,        /* the connection ended before the answer; it may have been carried out */
    CLIENT_GARBLED,     /* an answer that is not HTTP as we know it */
    CLIENT_REFUSED,     /* of client_download: what came could not be kept */
};

/* Sends one request to "host:port". error is set for everything but CLIENT_OK. The caller destroys
 * the response in every case. */
enum client_result client_call(const char *endpoint, uint64_t timeout_ms,
    const struct request *request, struct response *response, struct pc_error *error);
/* Whether somebody takes a connection there. */
bool client_reaches(const char *endpoint, uint64_t timeout_ms);
void response_destroy(struct response *response);

/* Takes a long body as it comes; false, with the error set, ends it. length: of all of it;
 * UINT64_MAX = not known. */
struct client_sink {
    void *arg;
    bool (*take)(void *arg, struct pc_slice bytes, uint64_t length, struct pc_error *error);
};

/* GET of a body of any length, which goes to the sink when the status is 200 and the answer says
 * how long it is, or comes in chunks; any other answer is in *response as of client_call.
 * timeout_ms is the longest time without a byte. CLIENT_LOST when less came than was announced;
 * CLIENT_REFUSED: the sink's. */
enum client_result client_download(const char *endpoint, uint64_t timeout_ms, const char *target,
    const struct client_sink *sink, struct response *response, struct pc_error *error);

/* Whether response->bytes hold a whole answer; `ended` says that nothing follows. On PC_OK status,
 * etag and body are filled in. Returns PC_OK, PC_E_AGAIN more is needed, PC_E_CLOSED it is cut
 * short, PC_E_MALFORMED, PC_E_TOO_BIG. */
PC_MUST_CHECK pc_err response_parse(struct response *response, bool ended);

/* The same of the head alone: *rest is what has come behind it, *length what it announces
 * (UINT64_MAX = nothing). */
PC_MUST_CHECK pc_err response_parse_head(
    struct response *response, bool ended, struct pc_slice *rest, uint64_t *length);

/* ---- client_chunks.c: pure. A body in chunks; zeroed = before its first byte. */
struct client_chunks {
    int state;
    unsigned digits;
    uint64_t left;
};
enum chunks_result { CHUNKS_MORE, CHUNKS_DATA, CHUNKS_END, CHUNKS_BAD };
/* Consumes of *in. DATA: *data is the next piece of the body; MORE: *in is used up. */
enum chunks_result client_chunks_next(
    struct client_chunks *chunks, struct pc_slice *in, struct pc_slice *data);

/* Appends bytes of a key as one path segment. */
void append_percent_encoded_bytes(struct pc_buf *out, struct pc_slice bytes);
/* The same of a text. */
void append_percent_encoded(struct pc_buf *out, const char *text);

#endif
