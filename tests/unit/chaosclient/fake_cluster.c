#define _GNU_SOURCE
#include "fake_cluster.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chaosclient/chaos_int.h"
#include "pcache/assert.h"

struct fake_request {
    char method[8], key[96], id[64], if_match[32], body[64];
    bool is_if_none;
    uint64_t ttl_ms;
};

/* ---- the store */
static struct fake_item *item_of(struct fake_cluster *f, const char *key)
{
    for (size_t i = 0; i < f->items_n; i++) {
        if (strcmp(f->item[i].key, key) == 0) {
            return &f->item[i];
        }
    }
    PC_ASSERT(f->items_n < FAKE_KEYS_MAX);
    struct fake_item *item = &f->item[f->items_n++];
    (void)snprintf(item->key, sizeof item->key, "%s", key);
    return item;
}

static void item_expire(struct fake_cluster *f, struct fake_item *item)
{
    if (item->is_present && item->due_us != 0 && chaos_now_us() >= item->due_us) {
        item->is_present = false;
        item->due_us = 0;
        f->index++;
    }
}

static int answer(
    char *out, size_t max, const char *status, uint64_t index, uint64_t version, const char *body)
{
    char etag[48] = "";
    if (version != 0) {
        (void)snprintf(etag, sizeof etag, "ETag: \"%" PRIu64 "\"\r\n", version);
    }
    return snprintf(out, max,
        "HTTP/1.1 %s\r\nX-PC-Applied: %" PRIu64 "\r\n%sContent-Length: %zu\r\n\r\n%s", status,
        index, etag, strlen(body), body);
}

static void item_set(struct fake_cluster *f, struct fake_item *item, const char *value)
{
    memcpy(item->before, item->value, sizeof item->before);
    item->version_before = item->is_present ? item->version : 0;
    (void)snprintf(item->value, sizeof item->value, "%s", value);
    item->version = ++f->index;
    item->is_present = true;
    item->due_us = 0;
}

static void do_put(struct fake_cluster *f, const struct fake_request *r, struct fake_item *item,
    char *out, size_t max)
{
    bool is_refused = (r->is_if_none && item->is_present) ||
                      (r->if_match[0] != '\0' &&
                          (!item->is_present || strtoull(r->if_match, NULL, 10) != item->version));
    if (is_refused && !f->is_plain) {
        (void)answer(out, max, "412 Precondition Failed", f->index, 0, "{}");
        return;
    }
    if (f->mistake == FAKE_LOST_WRITE && strstr(r->key, "probe") == NULL &&
        pc_prng_chance(&f->prng, 50000)) {
        f->index++;
        (void)answer(out, max, "200 OK", f->index, f->index, "");
        return;
    }
    bool existed = item->is_present;
    item_set(f, item, r->body);
    item->due_us = r->ttl_ms != 0 ? chaos_now_us() + r->ttl_ms * 1000 : 0;
    (void)answer(out, max, existed ? "200 OK" : "201 Created", f->index, f->index, "");
}

static void do_incr(struct fake_cluster *f, const struct fake_request *r, struct fake_item *item,
    char *out, size_t max)
{
    char sum[32], body[64];
    const char *delta = strstr(r->body, "\"incr\":");
    if (delta == NULL || f->is_plain) {
        (void)answer(out, max, "400 Bad Request", f->index, 0, "{}");
        return;
    }
    long long base = item->is_present ? strtoll(item->value, NULL, 10) : 0;
    (void)snprintf(sum, sizeof sum, "%lld", base + strtoll(delta + 7, NULL, 10));
    item_set(f, item, sum);
    (void)snprintf(body, sizeof body, "{\"version\":%" PRIu64 ",\"value\":%s}", f->index, sum);
    (void)answer(out, max, "200 OK", f->index, f->index, body);
}

static void do_get(struct fake_cluster *f, const struct fake_item *item, char *out, size_t max)
{
    if (!item->is_present) {
        (void)answer(out, max, "404 Not Found", f->index, 0, "{}");
    } else if (f->mistake == FAKE_STALE_READ && item->version_before != 0 &&
               pc_prng_chance(&f->prng, 20000)) {
        (void)answer(out, max, "200 OK", item->version - 1, item->version_before, item->before);
    } else {
        (void)answer(out, max, "200 OK", f->index, item->version, item->value);
    }
}

static void carry_out(struct fake_cluster *f, const struct fake_request *r, char *out, size_t max)
{
    struct fake_item *item = item_of(f, r->key);
    item_expire(f, item);
    if (strcmp(r->method, "GET") == 0) {
        do_get(f, item, out, max);
    } else if (strcmp(r->method, "DELETE") == 0) {
        item->is_present = false;
        item->version_before = 0;
        f->index++;
        (void)answer(out, max, "204 No Content", f->index, 0, "");
    } else if (strcmp(r->method, "PATCH") == 0) {
        do_incr(f, r, item, out, max);
    } else {
        do_put(f, r, item, out, max);
    }
}

/* With request ids: the same request gets the same answer. */
static void carry_out_once(
    struct fake_cluster *f, const struct fake_request *r, char *out, size_t max)
{
    bool is_kept = r->id[0] != '\0' && !f->is_plain;
    size_t i = 0;
    while (is_kept && i < f->ids_n && strcmp(f->id[i].id, r->id) != 0) {
        i++;
    }
    bool is_forgotten = f->mistake == FAKE_ID_FORGOTTEN && strstr(r->key, "probe") == NULL;
    if (is_kept && i < f->ids_n && !is_forgotten) {
        (void)snprintf(out, max, "%s", f->id[i].answer);
        return;
    }
    carry_out(f, r, out, max);
    if (is_kept) {
        PC_ASSERT(i < FAKE_IDS_MAX);
        f->ids_n += i == f->ids_n ? 1 : 0;
        (void)snprintf(f->id[i].id, sizeof f->id[i].id, "%s", r->id);
        (void)snprintf(f->id[i].answer, sizeof f->id[i].answer, "%.319s", out);
    }
}

/* ---- connections */
static void header_copy(const char *in, const char *name, char *out, size_t max)
{
    const char *at = strcasestr(in, name);
    out[0] = '\0';
    if (at != NULL) {
        at += strlen(name);
        at += strspn(at, "\" ");
        (void)snprintf(out, max, "%.*s", (int)strcspn(at, "\"\r"), at);
    }
}

static void request_parse(const char *in, const char *body, struct fake_request *r)
{
    char path[128] = "", none[8];
    *r = (struct fake_request){.ttl_ms = 0};
    PC_ASSERT(sscanf(in, "%7s %127s", r->method, path) == 2);
    const char *query = strchr(path, '?');
    size_t len = query != NULL ? (size_t)(query - path) : strlen(path);
    PC_ASSERT(len > 7 && len - 7 < sizeof r->key);
    memcpy(r->key, path + 7, len - 7); /* behind /v1/kv/ */
    const char *ttl = query != NULL ? strstr(query, "ttl=") : NULL;
    r->ttl_ms = ttl != NULL ? strtoull(ttl + 4, NULL, 10) : 0;
    header_copy(in, "Idempotency-Key:", r->id, sizeof r->id);
    header_copy(in, "If-Match:", r->if_match, sizeof r->if_match);
    header_copy(in, "If-None-Match:", none, sizeof none);
    r->is_if_none = none[0] == '*';
    (void)snprintf(r->body, sizeof r->body, "%s", body);
}

static void hang_up(struct fake_conn *c)
{
    (void)close(c->fd);
    c->fd = -1;
}

static void serve(struct fake_cluster *f, struct fake_conn *c, const char *body)
{
    struct fake_request r;
    char out[512];
    request_parse(c->in, body, &r);
    c->len = 0;
    f->requests_n++;
    if (f->requests_n == f->stop_after) {
        atomic_store(&chaos_stopped, true);
    }
    bool is_faulty = f->is_faulty && strstr(r.key, "probe") == NULL;
    uint64_t fault = is_faulty ? pc_prng_below(&f->prng, 100) : 100;
    if (fault < 3) {
        hang_up(c); /* before the work is done */
        return;
    }
    if (fault < 6) {
        (void)answer(out, sizeof out, "503 Service Unavailable", f->index, 0, "{}");
    } else {
        carry_out_once(f, &r, out, sizeof out);
    }
    if (fault >= 6 && fault < 10) {
        hang_up(c); /* after it was */
    } else if (send(c->fd, out, strlen(out), MSG_NOSIGNAL) < 0) {
        hang_up(c);
    }
}

static void receive(struct fake_cluster *f, struct fake_conn *c)
{
    char length[16];
    ssize_t got = recv(c->fd, c->in + c->len, sizeof c->in - c->len - 1, 0);
    if (got <= 0) {
        hang_up(c);
        return;
    }
    c->len += (size_t)got;
    c->in[c->len] = '\0';
    char *end = strstr(c->in, "\r\n\r\n");
    header_copy(c->in, "Content-Length:", length, sizeof length);
    if (end != NULL && c->len >= (size_t)(end + 4 - c->in) + strtoul(length, NULL, 10)) {
        *end = '\0';
        serve(f, c, end + 4);
    }
}

static void take_in(struct fake_cluster *f, size_t node)
{
    size_t i = 0;
    while (i < FAKE_CONNS_MAX && f->conn[i].fd >= 0) {
        i++;
    }
    int fd = accept(f->listener[node], NULL, NULL);
    PC_ASSERT(fd >= 0 && i < FAKE_CONNS_MAX);
    f->conn[i].fd = fd;
    f->conn[i].node = node;
    f->conn[i].len = 0;
}

static void *run(void *argument)
{
    struct fake_cluster *f = argument;
    for (;;) {
        struct pollfd fds[1 + FAKE_NODES + FAKE_CONNS_MAX];
        fds[0] = (struct pollfd){.fd = f->wake[0], .events = POLLIN};
        for (size_t i = 0; i < FAKE_NODES; i++) {
            fds[1 + i] = (struct pollfd){.fd = f->listener[i], .events = POLLIN};
        }
        for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
            fds[1 + FAKE_NODES + i] = (struct pollfd){.fd = f->conn[i].fd, .events = POLLIN};
        }
        (void)poll(fds, sizeof fds / sizeof fds[0], -1);
        if (fds[0].revents != 0) {
            return NULL;
        }
        for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
            if (f->conn[i].fd >= 0 && fds[1 + FAKE_NODES + i].revents != 0) {
                receive(f, &f->conn[i]);
            }
        }
        for (size_t i = 0; i < FAKE_NODES; i++) {
            if (fds[1 + i].revents != 0) {
                take_in(f, i);
            }
        }
    }
}

void fake_start(struct fake_cluster *f)
{
    pc_prng_seed(&f->prng, 11);
    f->index = 1;
    PC_ASSERT(pipe(f->wake) == 0);
    for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
        f->conn[i].fd = -1;
    }
    for (size_t i = 0; i < FAKE_NODES; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof at;
        f->listener[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        PC_ASSERT(f->listener[i] >= 0 && bind(f->listener[i], (struct sockaddr *)&at, len) == 0 &&
                  listen(f->listener[i], 64) == 0 &&
                  getsockname(f->listener[i], (struct sockaddr *)&at, &len) == 0);
        f->port[i] = ntohs(at.sin_port);
    }
    PC_ASSERT(pthread_create(&f->thread, NULL, run, f) == 0);
}

void fake_stop(struct fake_cluster *f)
{
    PC_ASSERT(write(f->wake[1], "x", 1) == 1 && pthread_join(f->thread, NULL) == 0);
    for (size_t i = 0; i < FAKE_NODES; i++) {
        (void)close(f->listener[i]);
    }
    for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
        if (f->conn[i].fd >= 0) {
            hang_up(&f->conn[i]);
        }
    }
    (void)close(f->wake[0]);
    (void)close(f->wake[1]);
}
