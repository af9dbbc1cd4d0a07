/* log tail: the log of the cluster as it is, and as it goes on. Where one node stops answering the
 * next one is asked for what comes behind the last page that was printed: pages are printed whole,
 * so nothing is missing, and nothing comes twice. */
#define _POSIX_C_SOURCE 200809L
#include "pcadmin_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "pcache/limits.h"
#include "pcache/os.h"

#define PAUSE_MS 100

struct tail {
    const struct args *args;
    uint64_t from;     /* the next entry; 0 = the oldest that there is */
    size_t endpoint;   /* asked now */
    size_t in_vain;    /* calls in a row without an answer to the question, ... */
    size_t finals;     /* ... so many of them because no node can be expected to have one */
    uint64_t since_us; /* the last one that was not in vain */
    struct pc_buf page;
};

static bool take_bytes(void *arg, struct pc_slice bytes, uint64_t length, struct pc_error *error)
{
    (void)length;
    (void)error;
    pc_buf_append(arg, bytes.data, bytes.len);
    return true;
}

static void tail_pause(void)
{
    struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
}

static void tail_target(const struct tail *tail, char *out, size_t max)
{
    uint64_t wait_ms = tail->args->timeout_ms / 2;
    int used = snprintf(out, max, "/v1/log?limit=%d", PC_FEED_ENTRIES_MAX);
    if (tail->from > 0) {
        used += snprintf(out + used, max - (size_t)used, "&from=%" PRIu64, tail->from);
    }
    if (tail->args->follow) {
        (void)snprintf(out + used, max - (size_t)used, "&wait=%" PRIu64 "ms",
            wait_ms < PC_FEED_WAIT_MS_MAX ? wait_ms : PC_FEED_WAIT_MS_MAX);
    }
}

/* Prints the page. EXIT_YES, or why not. */
static int print_page(struct tail *tail, const struct response *response, bool *is_end)
{
    *is_end = tail->page.len == 0;
    if (response->next == 0 || response->next < tail->from ||
        (!*is_end && response->next == tail->from)) {
        fprintf(stderr, "pcadmin: %s: not an answer of pcached\n",
            tail->args->endpoints[tail->endpoint]);
        return EXIT_VERSION;
    }
    bool is_out =
        *is_end || (fwrite(tail->page.data, 1, tail->page.len, stdout) == tail->page.len &&
                       fflush(stdout) == 0);
    if (!is_out) {
        fprintf(stderr, "pcadmin: the output cannot be written\n");
        return EXIT_LOCAL_IO;
    }
    tail->from = response->next;
    tail->in_vain = 0;
    tail->finals = 0;
    tail->since_us = pc_clock_monotonic_us();
    return EXIT_YES;
}

/* Goes on to the next endpoint. False when that is of no use. */
static bool go_on(struct tail *tail, bool is_final)
{
    size_t n = tail->args->endpoints_n;
    tail->in_vain++;
    tail->finals += is_final ? 1 : 0;
    tail->endpoint = (tail->endpoint + 1) % n;
    if (tail->in_vain % n != 0) {
        return true;
    }
    uint64_t waited_ms = (pc_clock_monotonic_us() - tail->since_us) / 1000;
    if (!tail->args->follow || tail->finals == tail->in_vain ||
        waited_ms >= tail->args->timeout_ms) {
        return false;
    }
    tail_pause();
    return true;
}

/* One call. True: another one is to follow; else *status is the exit status. */
static bool tail_call(struct tail *tail, int *status)
{
    const char *endpoint = tail->args->endpoints[tail->endpoint];
    struct client_sink sink = {.arg = &tail->page, .take = take_bytes};
    struct response response;
    struct pc_error error;
    char target[128];
    bool is_end = false, goes_on;
    tail_target(tail, target, sizeof target);
    pc_buf_reset(&tail->page);
    enum client_result result =
        client_download(endpoint, tail->args->timeout_ms, target, &sink, &response, &error);
    if (result == CLIENT_OK && response.status == 200) {
        *status = print_page(tail, &response, &is_end);
        goes_on = *status == EXIT_YES && (!is_end || tail->args->follow);
        if (goes_on && is_end) {
            tail_pause(); /* a node that goes down does not wait */
        }
    } else {
        bool is_said = result == CLIENT_OK;
        *status = is_said ? exit_of_status(response.status) : exit_of_result(result);
        bool is_final = is_said && response.status / 100 == 4 && response.status != 416;
        if (tail->in_vain < tail->args->endpoints_n && is_said) {
            complain_of_answer(endpoint, &response);
        } else if (tail->in_vain < tail->args->endpoints_n) {
            fprintf(stderr, "pcadmin: %s\n", error.text);
        }
        goes_on = go_on(tail, is_final);
    }
    response_destroy(&response);
    return goes_on;
}

int run_log_tail(const struct args *args)
{
    struct tail tail = {.args = args, .from = args->from, .since_us = pc_clock_monotonic_us()};
    int status = EXIT_YES;
    bool goes_on = true;
    while (goes_on) {
        goes_on = tail_call(&tail, &status);
    }
    pc_buf_destroy(&tail.page);
    return status;
}
