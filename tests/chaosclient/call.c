/* One operation as an HTTP request, and its answer as a line of the history.
 *
 * What an answer means for the outcome follows docs/HTTP.md: 501, 503, 507 and every 4xx say that
 * nothing was done; 504 and a broken connection say nothing. A read has no outcome to be in doubt
 * about. */
#define _GNU_SOURCE
#include "chaosclient/chaos_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "integration/kit/clock.h"
#include "pcache/assert.h"

#define TARGET_BYTES_MAX (LIN_KEY_BYTES_MAX + 128)

uint64_t chaos_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bool chaos_links_open(struct chaos_links *links, const struct chaos_options *options,
    uint32_t client, char *why, size_t why_max)
{
    *links = (struct chaos_links){.options = options, .client = client};
    bool is_ok = true;
    for (size_t i = 0; i < options->nodes_n; i++) {
        struct it_client *link = &links->link[i];
        if (!it_client_open_at(
                link, options->node[i].host, options->node[i].port, (int)options->timeout_ms)) {
            (void)snprintf(why, why_max, "there is no host %s", options->node[i].host);
            is_ok = false;
        }
        link->connect_ms = (int)options->connect_ms;
    }
    return is_ok;
}

void chaos_links_close(struct chaos_links *links)
{
    for (size_t i = 0; i < links->options->nodes_n; i++) {
        it_client_close(&links->link[i]);
    }
}

/* ---- request */
struct request {
    const char *method;
    char target[TARGET_BYTES_MAX];
    char headers[LIN_NAME_BYTES_MAX + 128];
    char patch[64];
    const char *body; /* NULL = none */
};

static void request_headers(const struct lin_record *r, struct request *out)
{
    int used = 0;
    if (r->kind == LIN_CAS && r->expect == 0) {
        used = snprintf(out->headers, sizeof out->headers, "If-None-Match: *\r\n");
    } else if (r->kind == LIN_CAS) {
        used =
            snprintf(out->headers, sizeof out->headers, "If-Match: \"%" PRIu64 "\"\r\n", r->expect);
    }
    if (r->id[0] != '\0') {
        used += snprintf(out->headers + used, sizeof out->headers - (size_t)used,
            "Idempotency-Key: \"%s\"\r\n", r->id);
    }
    PC_ASSERT(used >= 0 && (size_t)used < sizeof out->headers);
}

static void request_build(const struct lin_record *r, struct request *out)
{
    static const char *const methods[] = {"GET", "PUT", "DELETE", "PUT", "PATCH"};
    char ttl[40] = "";
    *out = (struct request){.method = methods[r->kind]};
    if (r->ttl_ms != 0) {
        (void)snprintf(ttl, sizeof ttl, "?ttl=%" PRIu64 "ms", r->ttl_ms);
    }
    int used = snprintf(out->target, sizeof out->target, "/v1/kv/%s%s%s", r->key,
        r->is_local ? "?consistency=local" : "", ttl);
    PC_ASSERT(used > 0 && (size_t)used < sizeof out->target);
    request_headers(r, out);
    if (r->kind == LIN_INCR) {
        (void)snprintf(out->patch, sizeof out->patch, "{\"incr\":%" PRId64 "}", r->delta);
        out->body = out->patch;
    } else if (r->kind == LIN_PUT || r->kind == LIN_CAS) {
        out->body = r->value;
    }
}

/* ---- answer */
/* A number in a header, with or without quotes; 0 when it is not there. */
static uint64_t header_number(const struct it_client *link, const char *name)
{
    char text[64];
    it_client_header(link, name, text, sizeof text);
    return strtoull(text + strspn(text, "\" "), NULL, 10);
}

static enum lin_status write_status(int status)
{
    if (status >= 200 && status < 300) {
        return LIN_OK;
    }
    bool is_refused = status == IT_NOT_SENT || (status >= 300 && status < 500) || status == 501 ||
                      status == 503 || status == 505 || status == 507;
    return is_refused ? LIN_FAIL : LIN_INFO;
}

static void answer_get(const struct it_client *link, struct lin_record *r)
{
    r->index = header_number(link, "X-PC-Applied");
    bool is_missing = link->status == 404 && r->index != 0;
    r->status = link->status == 200 || is_missing ? LIN_OK : LIN_FAIL;
    r->has_value = false;
    if (link->status != 200) {
        return;
    }
    r->version = header_number(link, "ETag");
    /* Nobody writes longer ones under these keys: cut, it still is not what was written. */
    size_t len = link->body_len < LIN_VALUE_BYTES_MAX ? link->body_len : LIN_VALUE_BYTES_MAX;
    r->has_value = true;
    memcpy(r->value, link->body, len);
    r->value[len] = '\0';
}

/* The sum, where the answer's JSON says it: "value": 12, with or without quotes. */
static void answer_sum(const struct it_client *link, struct lin_record *r)
{
    const char *at = strstr(link->body, "\"value\":");
    if (at == NULL) {
        return;
    }
    at += strlen("\"value\":");
    at += strspn(at, " \"");
    size_t len = strspn(at, "-0123456789");
    if (len > 0 && len <= 18) {
        memcpy(r->value, at, len);
        r->value[len] = '\0';
        r->has_value = true;
    }
}

static void answer_write(const struct it_client *link, struct lin_record *r)
{
    r->status = write_status(link->status);
    r->is_refused = r->kind == LIN_CAS && link->status == 412;
    uint64_t index = header_number(link, "X-PC-Applied");
    if (r->is_refused) {
        r->index = index;
    }
    if (r->status == LIN_OK) {
        /* The index of a write is that of its entry; a delete leaves nothing that has an ETag. */
        r->version = r->kind == LIN_DELETE ? index : header_number(link, "ETag");
        if (r->kind == LIN_INCR) {
            answer_sum(link, r);
        }
    }
}

void chaos_call(struct chaos_links *links, size_t node, struct lin_record *r)
{
    struct it_client *link = &links->link[node];
    struct request request;
    request_build(r, &request);
    r->version = r->index = 0;
    r->client = links->client;
    (void)snprintf(r->node, sizeof r->node, "%s", links->options->node[node].name);
    (void)it_client_call(link, request.method, request.target, request.headers, request.body,
        request.body != NULL ? strlen(request.body) : 0);
    r->t1_us = chaos_now_us();
    /* Connections of different runs are different sessions, too. */
    r->session = ((uint32_t)getpid() & 0xffff) << 16 | (link->connects_n & 0xffff);
    if (r->kind == LIN_GET) {
        answer_get(link, r);
    } else {
        answer_write(link, r);
    }
}

/* ---- what the nodes can do */
static int ask(struct it_client *link, const char *method, const char *target, const char *headers,
    const char *body)
{
    return it_client_call(link, method, target, headers, body, strlen(body));
}

/* Writes a key, and then tries on it what a node that does not know it would ignore or refuse. */
static bool features_try(struct it_client *link, const char *target, struct chaos_features *out)
{
    char sum[TARGET_BYTES_MAX + 8], id[96], headers[160];
    int status = ask(link, "PUT", target, NULL, "probe");
    if (status != 200 && status != 201) {
        return false;
    }
    status = ask(link, "PUT", target, "If-None-Match: *\r\n", "probe");
    bool is_answered = status > 0 && status != 503 && status != 504;
    out->cas = status == 412;
    (void)snprintf(sum, sizeof sum, "%s.sum", target);
    status = ask(link, "PATCH", sum, NULL, "{\"incr\":1}");
    is_answered = is_answered && status > 0 && status != 503 && status != 504;
    out->incr = status == 200 || status == 201;
    (void)snprintf(id, sizeof id, "probe-%" PRIu64, chaos_now_us());
    (void)snprintf(headers, sizeof headers, "Idempotency-Key: \"%s\"\r\n", id);
    status = ask(link, "PUT", target, headers, "once");
    uint64_t first = header_number(link, "ETag");
    is_answered = is_answered && (status == 200 || status == 201);
    status = ask(link, "PUT", target, headers, "once");
    out->ids = first != 0 && header_number(link, "ETag") == first;
    return is_answered && (status == 200 || status == 201);
}

bool chaos_probe(struct chaos_links *links, const char *key_prefix, struct chaos_features *out)
{
    char target[TARGET_BYTES_MAX];
    uint64_t until = it_now_ms() + links->options->probe_ms;
    (void)snprintf(target, sizeof target, "/v1/kv/%s/probe", key_prefix);
    do {
        for (size_t i = 0; i < links->options->nodes_n; i++) {
            if (features_try(&links->link[i], target, out)) {
                return true;
            }
        }
        it_pause();
    } while (it_now_ms() < until && !atomic_load(&chaos_stopped));
    return false;
}
