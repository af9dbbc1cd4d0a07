/* os.h: small services of the operating system: log lines, clocks, entropy, name resolution,
 * listening sockets. */
#ifndef PCACHE_OS_H
#define PCACHE_OS_H

#include "pcache/addr.h"
#include "pcache/time.h"

/* ---- log lines to standard error: one line each, logfmt or JSON. Any thread. */
enum pc_log_level { PC_LOG_DEBUG, PC_LOG_INFO, PC_LOG_WARN, PC_LOG_ERROR };
enum pc_log_format { PC_LOG_LOGFMT, PC_LOG_JSON };

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

#endif
