/* os.h: small services of the operating system: log lines, clocks, entropy, name resolution,
 * listening sockets, threads beside the engine. */
#ifndef PCACHE_OS_H
#define PCACHE_OS_H

#include <pthread.h>
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

/* For a state that lasts, and is found again and again: it is told when it begins, when `what` of
 * it changes (its first 95 bytes count), and otherwise once a minute. Begins as zeros. */
struct pc_log_lasting {
    char what[96];
    bool is_on;
    struct pc_instant told_at;
};

/* The state is found. Returns whether it is to be told now. */
bool pc_log_lasting_found(struct pc_log_lasting *lasting, const char *what, struct pc_instant now);
/* It is over: it is told at once when it is found again. */
void pc_log_lasting_over(struct pc_log_lasting *lasting);

/* Formats an unsigned number for a field; the result lives in one of 8 rotating thread-local
 * buffers. */
const char *pc_log_u64(uint64_t v);
const char *pc_log_id(uint64_t id); /* 16 hex digits */

/* ---- clocks and entropy */
struct pc_instant pc_clock_now(void); /* CLOCK_BOOTTIME */
pc_ms pc_clock_wall_ms(void);         /* CLOCK_REALTIME since the epoch */
uint64_t pc_clock_monotonic_us(void); /* CLOCK_MONOTONIC: what pc_worker_wait goes by */
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

/* ---- a thread beside the engine, for what blocks. A part of its owner's struct; whatever both
 * sides touch is the owner's, and guarded by the lock. How to use it:
 *
 *   engine:  lock, queue a job, wake, unlock          thread:  lock
 *                                                              while (!stopping) {
 *            eventfd readable:                                     nothing queued: wait, look again
 *            lock, take results, unlock                            take a job
 *                                                                  unlock, do it, lock
 *            at the end: stop,                                     put its result, notify
 *            free what is left, destroy                        }
 *                                                              unlock
 */
struct pc_worker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t woken;
    int notify_fd;
    bool stopping; /* the thread is to end; guarded by the lock */
};

/* Starts the thread, which calls run(context), with all signals blocked. name: up to 15 bytes, as
 * shown by ps and top. notify_fd: an eventfd of the caller's, not blocking, for pc_worker_notify;
 * -1 = none. Aborts when there is no thread to be had. */
void pc_worker_start(
    struct pc_worker *worker, const char *name, int notify_fd, void *(*run)(void *), void *context);
/* Sets `stopping`, wakes the thread and waits until `run` has returned; to be called once. The lock
 * can still be taken afterwards. */
void pc_worker_stop(struct pc_worker *worker);
/* Requires that it was stopped. */
void pc_worker_destroy(struct pc_worker *worker);

void pc_worker_lock(struct pc_worker *worker);
void pc_worker_unlock(struct pc_worker *worker);
/* Ends the wait of the thread. With the lock held or just released. */
void pc_worker_wake(struct pc_worker *worker);
/* The thread, with the lock held: gives the lock away until it is woken or pc_clock_monotonic_us
 * has reached until_us (UINT64_MAX = never), and has it again then. Returns whether the time has
 * not come; as a wait may end for no reason, the caller looks again at what it waits for. */
bool pc_worker_wait(struct pc_worker *worker, uint64_t until_us);
/* Adds 1 to the eventfd: there are results. With the lock held or without. */
void pc_worker_notify(const struct pc_worker *worker);

#endif
