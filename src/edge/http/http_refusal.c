/* The answer to a request that the guard refuses, written past evhttp, which never learns of it.
 *
 * What is known of the request is what the head parser kept: enough to choose between problem and
 * envelope, to name the limit that was passed, and to say which methods a path allows. */
#include "http_int.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "pcache/os.h"

static void refusal_problem(const struct pc_http_conn *conn, struct pc_http_problem *problem)
{
    const struct pc_http_head *head = &conn->head;
    const struct pc_http_head_limits *limits = &conn->http->limits;
    pc_http_problem_of_fault(problem, conn->refusal);
    if (conn->refusal == PC_HTTP_FAULT_METHOD) {
        problem->allow = pc_http_route_allow(conn->route);
        if (conn->route == PC_HTTP_ROUTE_NONE) {
            pc_http_problem_set(problem, 404, "no_such_route", "there is nothing at this path");
        }
        return;
    }
    problem->has_limit = true;
    if (conn->refusal == PC_HTTP_FAULT_BODY_LARGE) {
        problem->limit = limits->body_bytes_max;
        problem->actual = head->content_length;
    } else if (conn->refusal == PC_HTTP_FAULT_TARGET_LONG) {
        problem->limit = limits->target_bytes_max;
        problem->actual = head->target_len + 1;
    } else if (conn->refusal == PC_HTTP_FAULT_HEAD_LARGE) {
        problem->limit = limits->head_bytes_max;
        problem->actual = head->bytes;
    } else if (conn->refusal == PC_HTTP_FAULT_HEADERS_MANY) {
        problem->limit = limits->headers_max;
        problem->actual = head->headers + 1;
    } else {
        problem->has_limit = false;
    }
}

void pc_http_refusal_send(struct pc_http_conn *conn)
{
    size_t path_len = 0;
    size_t kept = conn->head.target_len < sizeof conn->head.target ? conn->head.target_len
                                                                   : sizeof conn->head.target;
    conn->route = pc_http_target_route(pc_slice_of(conn->head.target, kept), &path_len);
    struct pc_http_problem problem;
    refusal_problem(conn, &problem);
    bool envelope = conn->route == PC_HTTP_ROUTE_CACHE;
    struct pc_buf *body = &conn->http->scratch;
    pc_buf_reset(body);
    pc_http_problem_write(&problem, envelope, body);
    char head[512];
    int head_len = snprintf(head, sizeof head,
        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s%s%s%s\r\n",
        problem.status, pc_http_phrase(problem.status),
        envelope ? PC_HTTP_JSON : "application/problem+json", body->len,
        problem.retry_after ? "Retry-After: 1\r\n" : "", problem.allow != NULL ? "Allow: " : "",
        problem.allow != NULL ? problem.allow : "", problem.allow != NULL ? "\r\n" : "");
    PC_ASSERT(head_len > 0 && (size_t)head_len < sizeof head);
    struct iovec parts[2] = {{.iov_base = head, .iov_len = (size_t)head_len},
        {.iov_base = body->data, .iov_len = conn->head.method == EVHTTP_REQ_HEAD ? 0 : body->len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    /* Every earlier reply has been flushed, so the kernel has room unless the client does not read:
     * then there is nobody to answer. */
    (void)sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    pc_buf_reset(body);
    pc_log_limited(PC_HTTP_LOG_BUCKET, PC_LOG_INFO, "http request refused", "reason",
        pc_http_fault_name(conn->refusal), NULL);
}
