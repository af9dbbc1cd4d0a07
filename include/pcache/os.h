/* os.h: small services of the operating system: log lines, clocks, entropy, name resolution,
 * listening sockets. */
#ifndef PCACHE_OS_H
#define PCACHE_OS_H

#include <sys/socket.h>

#include "pcache/addr.h"
#include "pcache/time.h"

struct event_base;

/* ---- log lines to standard error: one line each, logfmt or JSON. Any thread. */
enum pc_log_level { PC_LOG_DEBUG, PC_LOG_INFO, PC_LOG_WARN, PC_LOG_ERROR };
enum pc_log_format { PC_LOG_LOGFMT, PC_LOG_JSON };

/* Sets what is written from now on, and the node's name that each line carries (copied). To be
 * called before other threads log. */
void pc_log_setup(enum pc_log_level level, enum pc_log_format format, const char *node_name);

/* Writes `ts=... level=... node=... msg="..." key=value ...`. The text is lower case without a full
 * stop. Fields: pairs of (const char *key, const char *value), ended by NULL; values are quoted and
 * escaped as needed. */
void pc_log(enum pc_log_level level, const char *text, ...) __attribute__((sentinel));

/* The same at a bounded rate: at most 10 lines a second per `bucket` (0..15), then one line that
 * says how many were left out. */
void pc_log_limited(unsigned bucket, enum pc_log_level level, const char *text, ...)
    __attribute__((sentinel));

/* Formats an unsigned number for a field; the result lives in one of 8 rotating thread-local
 * buffers. */
const char *pc_log_u64(uint64_t v);
const char *pc_log_id(uint64_t id); /* 16 hex digits */

/* ---- clocks and entropy */
struct pc_instant pc_clock_now(void); /* CLOCK_BOOTTIME */
pc_ms pc_clock_wall_ms(void);         /* CLOCK_REALTIME since the epoch */
void pc_entropy(void *out, size_t len);
uint64_t pc_entropy_u64(void);

/* ---- sockets. Non-blocking, close-on-exec, SO_REUSEADDR for listeners. */
/* Splits "host:port" or "[v6]:port". host has room for host_max. PC_OK or PC_E_INVALID. */
PC_MUST_CHECK pc_err pc_os_split_address(
    const char *address, char *host, size_t host_max, uint16_t *port);
/* Listening TCP socket on a numeric or local host name. Errors: PC_E_EXISTS in use (the text
 * says which address and, where /proc tells, which process holds it), PC_E_INVALID, PC_E_IO. */
PC_MUST_CHECK pc_err pc_os_listen_tcp(const char *address, int *fd, struct pc_error *error);
/* Bound UDP socket. Same errors. */
PC_MUST_CHECK pc_err pc_os_bind_udp(
    const char *host, uint16_t port, int *fd, struct pc_error *error);
/* The port a socket is bound to; 0 when it is not. */
uint16_t pc_os_local_port(int fd);

/* Between the numeric address and the system's form of it. */
void pc_os_addr_of(const struct sockaddr *from, struct pc_addr *out); /* none: not an IP address */
bool pc_os_addr_is_v4(const struct pc_addr *addr);
/* family: AF_INET or AF_INET6 of the socket that will use it (an IPv6 socket gets IPv4 addresses in
 * their mapped form). Returns the length, 0 when an IPv4 socket cannot reach the address. */
socklen_t pc_os_sockaddr_of(const struct pc_addr *addr, int family, struct sockaddr_storage *out);

/* ---- name resolution off the engine thread. One thread, a bounded queue. To be called on the
 * thread of `base` only. */
struct pc_resolver; /* opaque */

#define PC_RESOLVER_QUEUE_MAX 256
#define PC_RESOLVER_ADDRS_MAX 16

/* The answer, from the event loop (never from inside pc_resolver_ask): addrs_n > 0 distinct
 * addresses, borrowed, or addrs_n == 0 and the reason. The callback may ask and cancel. */
typedef void pc_resolver_done(
    void *context, const struct pc_addr *addrs, size_t addrs_n, const char *error);

/* Errors: PC_E_IO no thread or descriptor. */
PC_MUST_CHECK pc_err pc_resolver_open(
    struct event_base *base, struct pc_resolver **out, struct pc_error *error);
/* Open questions are dropped without an answer; does not wait for one under way. Not to be called
 * from an answer. NULL is allowed. */
void pc_resolver_close(struct pc_resolver *resolver);
/* Resolves "host:port"; numeric ones skip the thread. Returns a ticket for pc_resolver_cancel, or
 * 0 when PC_RESOLVER_QUEUE_MAX questions are open: nothing will be answered. */
uint64_t pc_resolver_ask(
    struct pc_resolver *resolver, const char *address, pc_resolver_done *done, void *context);
/* The answer will not come any more. A ticket already answered is ignored. */
void pc_resolver_cancel(struct pc_resolver *resolver, uint64_t ticket);

#endif
