#define _GNU_SOURCE
#include "bus_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A half-open link dies within ten seconds, busy or idle. */
#define USER_TIMEOUT_MS 10000
#define KEEPALIVE_IDLE_S 4
#define KEEPALIVE_INTERVAL_S 2
#define KEEPALIVE_PROBES 3

void bus_socket_tune(int fd)
{
    int on = 1;
    int idle = KEEPALIVE_IDLE_S;
    int interval = KEEPALIVE_INTERVAL_S;
    int probes = KEEPALIVE_PROBES;
    unsigned timeout_ms = USER_TIMEOUT_MS;
    /* Each only improves things: a system without one of them still carries the bus. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}

int bus_socket_connect(const struct pc_addr *addr)
{
    int family = pc_os_addr_is_v4(addr) ? AF_INET : AF_INET6;
    struct sockaddr_storage to;
    socklen_t len = pc_os_sockaddr_of(addr, family, &to);
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (const struct sockaddr *)&to, len) != 0 && errno != EINPROGRESS) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* Connecting to a local port on which nobody listens may pick that very port as the source: TCP
 * then connects the socket to itself. */
static bool is_self_connected(int fd)
{
    struct sockaddr_storage local = {0};
    struct sockaddr_storage remote = {0};
    socklen_t local_len = sizeof local;
    socklen_t remote_len = sizeof remote;
    return getsockname(fd, (struct sockaddr *)&local, &local_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&remote, &remote_len) == 0 &&
           local_len == remote_len && memcmp(&local, &remote, local_len) == 0;
}

int bus_socket_connect_result(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        return errno;
    }
    return error == 0 && is_self_connected(fd) ? ECONNREFUSED : error;
}
