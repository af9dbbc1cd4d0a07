/* client.h: a blocking HTTP/1.1 client with a deadline, for tests and their load threads. */
#ifndef PC_IT_CLIENT_H
#define PC_IT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Beside HTTP's own statuses. */
#define IT_NOT_SENT 0   /* nobody there: the request cannot have had an effect */
#define IT_NO_ANSWER -1 /* sent, but no answer in time: the outcome is unknown */

struct it_client {
    char host[64];    /* as it was given; "localhost" */
    uint32_t address; /* of the host, in network order */
    uint16_t port;
    int timeout_ms;      /* for connecting and answer together */
    int connect_ms;      /* of which at most this for connecting; 0 = no bound of its own */
    int fd;              /* -1 = not connected; kept alive between calls */
    unsigned connects_n; /* connections made so far: the number of the present one */
    int status;          /* of the last call */
    char *in;            /* its answer, as received: head, NUL, body, NUL */
    size_t in_len, in_cap;
    const char *head; /* "HTTP/1.1 200 OK\r\n..."; "" without an answer */
    const char *body; /* ends with a NUL that is not counted */
    size_t body_len;
};

/* A client of a port of 127.0.0.1. */
void it_client_open(struct it_client *c, uint16_t port, int timeout_ms);
/* A client of any host, numeric or a name (resolved now, IPv4). False when there is none; then the
 * client is closed. */
bool it_client_open_at(struct it_client *c, const char *host, uint16_t port, int timeout_ms);
void it_client_close(struct it_client *c);
/* Drops the connection: the next call makes a new one. */
void it_client_hang_up(struct it_client *c);

/* Sends a request and waits for the answer. `headers` is NULL or lines that end in \r\n. Returns
 * c->status. What the answer points to is the client's, until the next call. */
int it_client_call(struct it_client *c, const char *method, const char *target, const char *headers,
    const void *body, size_t body_len);
/* The two halves of a call: to have a request wait at a node that does not run. */
bool it_client_send(struct it_client *c, const char *method, const char *target,
    const char *headers, const void *body, size_t body_len);
int it_client_receive(struct it_client *c, bool is_head);

/* Copies a header's value into out ("" when missing) and returns out. */
const char *it_client_header(const struct it_client *c, const char *name, char *out, size_t max);

#endif
