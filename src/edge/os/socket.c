#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os_int.h"
#include "pcache/assert.h"
#include "pcache/limits.h"

#define LISTEN_BACKLOG 1024

static pc_err parse_port(const char *text, uint16_t *port)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0') {
        return PC_E_INVALID;
    }
    unsigned long value = strtoul(text, NULL, 10);
    if (value > UINT16_MAX) {
        return PC_E_INVALID;
    }
    *port = (uint16_t)value;
    return PC_OK;
}

pc_err pc_os_split_address(const char *address, char *host, size_t host_max, uint16_t *port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL) {
        return PC_E_INVALID;
    }
    const char *begin = address;
    size_t len = (size_t)(colon - address);
    bool bracketed = len >= 2 && address[0] == '[' && address[len - 1] == ']';
    if (bracketed) {
        begin++;
        len -= 2;
    }
    /* A bare "::1" would leave it open where the port begins. */
    bool ambiguous = !bracketed && memchr(begin, ':', len) != NULL;
    if (len == 0 || len >= host_max || ambiguous || parse_port(colon + 1, port) != PC_OK) {
        return PC_E_INVALID;
    }
    memcpy(host, begin, len);
    host[len] = '\0';
    return PC_OK;
}

void pc_os_addr_of(const struct sockaddr *from, struct pc_addr *out)
{
    *out = (struct pc_addr){0};
    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof in);
        out->ip[10] = 0xff;
        out->ip[11] = 0xff;
        memcpy(out->ip + 12, &in.sin_addr, 4);
        out->port = ntohs(in.sin_port);
    } else if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, from, sizeof in6);
        memcpy(out->ip, &in6.sin6_addr, 16);
        out->port = ntohs(in6.sin6_port);
    }
}

bool pc_os_addr_is_v4(const struct pc_addr *addr)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(addr->ip, prefix, sizeof prefix) == 0;
}

socklen_t pc_os_sockaddr_of(const struct pc_addr *addr, int family, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (family == AF_INET) {
        if (!pc_os_addr_is_v4(addr)) {
            return 0;
        }
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
        memcpy(&in.sin_addr, addr->ip + 12, 4);
        memcpy(out, &in, sizeof in);
        return sizeof in;
    }
    PC_ASSERT(family == AF_INET6);
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};
    memcpy(&in6.sin6_addr, addr->ip, 16);
    memcpy(out, &in6, sizeof in6);
    return sizeof in6;
}

static pc_err set_bind_error(struct pc_error *error, enum pc_os_protocol protocol, const char *host,
    uint16_t port, int errnum)
{
    const char *name = protocol == PC_OS_TCP ? "tcp" : "udp";
    if (errnum != EADDRINUSE) {
        pc_err code = errnum == EADDRNOTAVAIL ? PC_E_INVALID : PC_E_IO;
        return pc_error_set(
            error, code, "%s address %s port %u: %s", name, host, port, strerror(errnum));
    }
    char holder[96];
    pc_os_port_holder(protocol, port, holder, sizeof holder);
    return pc_error_set(error, PC_E_EXISTS, "%s address %s port %u is in use%s%s", name, host, port,
        holder[0] != '\0' ? " by " : "", holder);
}

/* A bound socket of one address, or -1 with errno. */
static int open_bound(const struct addrinfo *info, enum pc_os_protocol protocol)
{
    int type = protocol == PC_OS_TCP ? SOCK_STREAM : SOCK_DGRAM;
    int fd = socket(info->ai_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    /* Not for UDP, where the option would let two processes share the port. */
    if (protocol == PC_OS_TCP) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    bool ok = bind(fd, info->ai_addr, info->ai_addrlen) == 0;
    if (ok && protocol == PC_OS_TCP) {
        ok = listen(fd, LISTEN_BACKLOG) == 0;
    }
    if (!ok) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static pc_err bind_any(
    enum pc_os_protocol protocol, const char *host, uint16_t port, int *out, struct pc_error *error)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char service[8];
    (void)snprintf(service, sizeof service, "%u", port);
    int rc = getaddrinfo(host, service, &hints, &found);
    if (rc != 0) {
        return pc_error_set(error, PC_E_INVALID, "address %s: %s", host, gai_strerror(rc));
    }
    int fd = -1;
    int errnum = EADDRNOTAVAIL;
    for (const struct addrinfo *info = found; info != NULL && fd < 0; info = info->ai_next) {
        fd = open_bound(info, protocol);
        errnum = errno;
    }
    freeaddrinfo(found);
    if (fd < 0) {
        return set_bind_error(error, protocol, host, port, errnum);
    }
    *out = fd;
    return PC_OK;
}

pc_err pc_os_listen_tcp(const char *address, int *fd, struct pc_error *error)
{
    char host[PC_ADDRESS_BYTES_MAX + 1];
    uint16_t port;
    if (pc_os_split_address(address, host, sizeof host, &port) != PC_OK) {
        return pc_error_set(error, PC_E_INVALID, "\"%.200s\" is not host:port", address);
    }
    return bind_any(PC_OS_TCP, host, port, fd, error);
}

pc_err pc_os_bind_udp(const char *host, uint16_t port, int *fd, struct pc_error *error)
{
    return bind_any(PC_OS_UDP, host, port, fd, error);
}

static struct pc_addr local_addr(int fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t len = sizeof storage;
    struct pc_addr addr = {0};
    if (getsockname(fd, (struct sockaddr *)&storage, &len) == 0) {
        pc_os_addr_of((const struct sockaddr *)&storage, &addr);
    }
    return addr;
}

uint16_t pc_os_local_port(int fd)
{
    return local_addr(fd).port;
}
