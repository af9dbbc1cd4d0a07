/* bench_hello: the least that a server on evhttp does: one thread, one fixed answer. What pcached
 * reaches of its rate is what its own work costs.
 *
 *   bench_hello PORT [value bytes]        until it is killed */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hello {
    char value[65536];
    size_t value_len;
};

static void on_request(struct evhttp_request *request, void *context)
{
    const struct hello *hello = context;
    struct evbuffer *body = evhttp_request_get_output_buffer(request);
    (void)evbuffer_add(body, hello->value, hello->value_len);
    (void)evhttp_add_header(
        evhttp_request_get_output_headers(request), "Content-Type", "application/octet-stream");
    evhttp_send_reply(request, 200, "OK", NULL);
}

int main(int argc, char **argv)
{
    static struct hello hello = {.value_len = 100};
    unsigned long port = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    if (argc > 2) {
        hello.value_len = strtoul(argv[2], NULL, 10);
    }
    if (port == 0 || port > UINT16_MAX || hello.value_len > sizeof hello.value) {
        fprintf(stderr, "bench_hello PORT [value bytes]\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    memset(hello.value, 'v', sizeof hello.value);
    struct event_base *base = event_base_new();
    struct evhttp *http = base != NULL ? evhttp_new(base) : NULL;
    if (http == NULL || evhttp_bind_socket(http, "127.0.0.1", (uint16_t)port) != 0) {
        fprintf(stderr, "bench_hello: cannot listen on port %lu\n", port);
        return 1;
    }
    evhttp_set_gencb(http, on_request, &hello);
    return event_base_dispatch(base) == 0 ? 0 : 1;
}
