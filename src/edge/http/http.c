/* The server's life: open, drain, close. The work is done by the files beside this one. */
#include "http_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pcache/os.h"

/* The guard answers before evhttp's own limits are reached. */
#define EVHTTP_SLACK_BYTES 16384
#define EVHTTP_TIMEOUT_S 600
#define SWEEP_MS_MAX 100
#define SWEEP_MS_MIN 5

void pc_http_opts_default(struct pc_http_opts *opts)
{
    opts->value_bytes_max = PC_VALUE_BYTES_DEFAULT;
    opts->head_bytes_max = 8192;
    opts->target_bytes_max = 4096;
    opts->headers_max = 64;
    opts->connections_max = 1024;
    opts->in_flight_max = 256;
    opts->requests_per_connection_max = 1000;
    opts->request_deadline_ms = 5000;
    opts->idle_ms = 30000;
    opts->write_deadline_ms = 10000;
}

static bool opts_are_valid(const struct pc_http_opts *opts)
{
    return opts->value_bytes_max <= PC_VALUE_BYTES_MAX && opts->head_bytes_max > 0 &&
           opts->target_bytes_max > 0 && opts->connections_max > 0 && opts->in_flight_max > 0 &&
           opts->requests_per_connection_max > 0 && opts->request_deadline_ms > 0 &&
           opts->idle_ms > 0 && opts->write_deadline_ms > 0;
}

/* Fine enough for the shortest deadline, coarse enough to cost nothing. */
static pc_ms sweep_interval(const struct pc_http_opts *opts)
{
    pc_ms least = opts->request_deadline_ms;
    least = opts->idle_ms < least ? opts->idle_ms : least;
    least = opts->write_deadline_ms < least ? opts->write_deadline_ms : least;
    least /= 4;
    return least > SWEEP_MS_MAX ? SWEEP_MS_MAX : least < SWEEP_MS_MIN ? SWEEP_MS_MIN : least;
}

/* A client that has gone must not end the process; a handler that somebody set is left alone. */
static void ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
        now.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &now, NULL);
    }
}

/* Accepted sockets inherit the option: no call per connection. */
static uint16_t listener_prepare(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0) {
        return 0;
    }
    return ntohs(addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port
                                            : ((struct sockaddr_in *)&addr)->sin_port);
}

static pc_err evhttp_start(struct pc_http *http, int fd, struct pc_error *error)
{
    const struct pc_http_opts *opts = &http->opts;
    http->evhttp = evhttp_new(opts->base);
    if (http->evhttp == NULL) {
        pc_out_of_memory(sizeof *http);
    }
    http->bound = evhttp_accept_socket_with_handle(http->evhttp, fd);
    if (http->bound == NULL) {
        evhttp_free(http->evhttp);
        return pc_error_set(error, PC_E_IO, "listen on %s: %s", opts->listen, strerror(errno));
    }
    evhttp_set_max_headers_size(
        http->evhttp, (ev_ssize_t)(opts->head_bytes_max + EVHTTP_SLACK_BYTES));
    evhttp_set_max_body_size(
        http->evhttp, (ev_ssize_t)(opts->value_bytes_max + EVHTTP_SLACK_BYTES));
    evhttp_set_timeout(http->evhttp, EVHTTP_TIMEOUT_S);
    evhttp_set_default_content_type(http->evhttp, NULL);
    evhttp_set_allowed_methods(http->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
                                                 EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                                 EVHTTP_REQ_PATCH);
    evhttp_set_gencb(http->evhttp, pc_http_route_request, http);
    return PC_OK;
}

pc_err pc_http_open(const struct pc_http_opts *opts, struct pc_http **out, struct pc_error *error)
{
    if (!opts_are_valid(opts)) {
        return pc_error_set(error, PC_E_INVALID, "a limit of the HTTP server is out of range");
    }
    int fd = -1;
    pc_err err = pc_os_listen_tcp(opts->listen, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    struct pc_http *http = pc_xalloc(sizeof *http);
    http->opts = *opts;
    http->port = listener_prepare(fd);
    err = evhttp_start(http, fd, error);
    if (err != PC_OK) {
        (void)close(fd);
        free(http);
        return err;
    }
    ignore_sigpipe();
    http->sweep_ms = sweep_interval(opts);
    http->limits = (struct pc_http_head_limits){.head_bytes_max = opts->head_bytes_max,
        .target_bytes_max = opts->target_bytes_max,
        .headers_max = opts->headers_max,
        .body_bytes_max = opts->value_bytes_max};
    pc_http_pending_create(&http->pending, opts->in_flight_max);
    pc_http_guard_attach(http);
    *out = http;
    return PC_OK;
}

void pc_http_close(struct pc_http *http)
{
    evhttp_free(http->evhttp);
    pc_http_guard_release_all(http);
    pc_http_pending_destroy(&http->pending);
    pc_buf_destroy(&http->scratch);
    pc_buf_destroy(&http->fields);
    free(http->by_fd);
    free(http);
}

uint16_t pc_http_port(const struct pc_http *http)
{
    return http->port;
}

void pc_http_drain_begin(struct pc_http *http)
{
    http->draining = true;
}

void pc_http_drain_stop_accepting(struct pc_http *http)
{
    http->draining = true;
    if (http->bound != NULL) {
        evhttp_del_accept_socket(http->evhttp, http->bound);
        http->bound = NULL;
    }
    for (struct pc_http_conn *conn = http->conns; conn != NULL; conn = conn->next) {
        if (conn->state == PC_HTTP_CONN_IDLE) {
            pc_http_guard_end(conn);
        }
    }
}

size_t pc_http_in_flight(const struct pc_http *http)
{
    return http->in_flight_n;
}

static void name_copy(char *out, const char *name)
{
    size_t len = strlen(name);
    PC_ASSERT(len <= PC_NAME_BYTES_MAX);
    memcpy(out, name, len + 1);
}

const char *pc_http_leader_name(struct pc_http *http)
{
    struct pc_raft_status raft;
    pc_raft_status(pc_node_raft(http->opts.node), &raft);
    if (!http->leader_known || raft.leader != http->leader_id || raft.term != http->leader_term) {
        struct pc_node_status status;
        pc_node_status(http->opts.node, pc_http_now(http), &status);
        name_copy(http->node_name, status.name);
        name_copy(http->leader_name, status.leader_name);
        http->leader_id = raft.leader;
        http->leader_term = raft.term;
        http->leader_known = true;
    }
    return http->leader_name;
}
