/* fake_client.h: a server with a fake node, and clients on loopback that turn its event loop while
 * they wait. Everything a client receives is checked for HTML. */
#ifndef PC_FAKE_CLIENT_H
#define PC_FAKE_CLIENT_H

#include "fake_node.h"

struct bench {
    struct event_base *base;
    struct fake_node node;
    struct pc_http_opts opts; /* change before bench_open */
    struct pc_http *http;
};

struct client {
    struct bench *bench;
    int fd;
    struct pc_buf in; /* received and not yet taken */
    bool closed;      /* end or reset was seen */
};

struct answer {
    int status;
    char head[2048]; /* status line and header lines */
    struct pc_buf body;
};

void bench_init(struct bench *bench); /* limits: deadlines long, sizes small */
void bench_open(struct bench *bench);
void bench_close(struct bench *bench);
/* One turn of the server's loop; never blocks longer than a millisecond. */
void bench_turn(struct bench *bench);

void client_open(struct bench *bench, struct client *client);
void client_close(struct client *client);
/* Sends all bytes while the server runs. False when the server closed meanwhile. */
bool client_send(struct client *client, const void *bytes, size_t len);
void client_text(struct client *client, const char *text);
/* A turn of the loop; then takes what has come. */
void client_wait(struct client *client);
/* Waits for one whole answer; fails the test when none comes. `head_only` for HEAD. */
void client_answer(struct client *client, struct answer *answer, bool head_only);
/* Waits until the server closes; fails the test when it does not. */
void client_await_close(struct client *client);

/* One request on a fresh connection; the text goes as it is. */
void ask(struct bench *bench, struct answer *answer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void answer_destroy(struct answer *answer);
/* The value of a header field, or NULL; lives until the next call. */
const char *answer_header(const struct answer *answer, const char *name);
/* The body with a NUL behind it. */
const char *answer_text(struct answer *answer);

/* Waits for a condition, turning the loop; fails the test after twenty seconds. */
#define AWAIT(bench, condition)                                                                    \
    do {                                                                                           \
        struct pc_instant await_end = pc_instant_add_ms(pc_clock_now(), 20000);                    \
        while (!(condition)) {                                                                     \
            assert_false(pc_instant_is_due(await_end, pc_clock_now()));                            \
            bench_turn(bench);                                                                     \
        }                                                                                          \
    } while (0)

#endif
