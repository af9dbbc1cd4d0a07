/* log tail: the log of the cluster as it is, and as it goes on. Where one node stops answering the
 * next one is asked for what comes behind the last page that was printed: pages are printed whole,
 * so nothing is missing, and nothing comes twice. After every call in vain it may be another
 * cluster that answers, under an old address: the next page begins with the last entry that was
 * printed, which has to be the same one. */
#define _POSIX_C_SOURCE 200809L
#include "pcadmin_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pcache/limits.h"
#include "pcache/os.h"

#define PAUSE_MS 100
#define HEAD_BYTES_MAX 128

struct tail {
    const struct args *args;
    uint64_t from;     /* the next entry; 0 = the oldest that there is */
    size_t endpoint;   /* asked now */
    size_t in_vain;    /* calls in a row without an answer to the question, ... */
    size_t finals;     /* ... so many of them because no node can be expected to have one */
    uint64_t since_us; /* the last one that was not in vain */
    struct pc_buf page;
    char last[HEAD_BYTES_MAX]; /* entry that was printed; "" = it cannot be asked for */
    bool is_in_doubt;          /* whose log the next page is of */
};

/* What tells an entry from others of its index: index, term and time, which are up to here. */
static size_t head_len(const uint8_t *line, size_t len)
{
    size_t at = 0, commas = 0;
    while (at < len && line[at] != '\n' && (line[at] != ',' || ++commas < 3)) {
        at++;
    }
    return at < HEAD_BYTES_MAX ? at : HEAD_BYTES_MAX - 1;
}

static bool asks_for_last(const struct tail *tail)
{
    return tail->is_in_doubt && tail->last[0] != '\0';
}

static uint64_t asked_from(const struct tail *tail)
{
    return asks_for_last(tail) ? tail->from - 1 : tail->from;
}

/* Bytes of the page that were printed before; SIZE_MAX: it is not of the same log. */
static size_t printed_before(const struct tail *tail)
{
    const struct pc_buf *page = &tail->page;
    size_t len = head_len(page->data, page->len);
    if (!asks_for_last(tail)) {
        return 0;
    }
    if (len != strlen(tail->last) || memcmp(page->data, tail->last, len) != 0) {
        return SIZE_MAX;
    }
    const uint8_t *end = memchr(page->data, '\n', page->len);
    return end != NULL ? (size_t)(end - page->data) + 1 : SIZE_MAX;
}

static void remember_last(struct tail *tail)
{
    size_t at = tail->page.len - 1;
    while (at > 0 && tail->page.data[at - 1] != '\n') {
        at--;
    }
    size_t len = head_len(tail->page.data + at, tail->page.len - at);
    memcpy(tail->last, tail->page.data + at, len);
    tail->last[len] = '\0';
}

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
        used += snprintf(out + used, max - (size_t)used, "&from=%" PRIu64, asked_from(tail));
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
    const char *endpoint = tail->args->endpoints[tail->endpoint];
    if (response->next == 0 || response->next < tail->from ||
        (!*is_end && response->next == asked_from(tail))) {
        fprintf(stderr, "pcadmin: %s: not an answer of pcached\n", endpoint);
        return EXIT_VERSION;
    }
    size_t skip = *is_end ? 0 : printed_before(tail);
    if (skip == SIZE_MAX) {
        fprintf(stderr,
            "pcadmin: %s: its entry %" PRIu64 " is not the one that was printed: this is the log of"
            " another cluster\n",
            endpoint, tail->from - 1);
        return EXIT_VERSION;
    }
    size_t len = tail->page.len - skip;
    bool is_out =
        len == 0 || (fwrite(tail->page.data + skip, 1, len, stdout) == len && fflush(stdout) == 0);
    if (!is_out) {
        fprintf(stderr, "pcadmin: the output cannot be written\n");
        return EXIT_LOCAL_IO;
    }
    if (!*is_end) {
        remember_last(tail);
    }
    tail->from = response->next;
    tail->is_in_doubt = false;
    tail->in_vain = 0;
    tail->finals = 0;
    tail->since_us = pc_clock_monotonic_us();
    return EXIT_YES;
}

/* Goes on to the next endpoint. False when that is of no use. */
static bool go_on(struct tail *tail, bool is_final)
{
    size_t n = tail->args->endpoints_n;
    tail->is_in_doubt = true;
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
    bool is_said = result == CLIENT_OK;
    bool lags = is_said && response.status == 200 && tail->page.len == 0 && asks_for_last(tail);
    if (is_said && response.status == 410 && asks_for_last(tail)) {
        tail->last[0] = '\0'; /* it has gone, and what follows may still be there */
        goes_on = true;
    } else if (is_said && response.status == 200 && !lags) {
        *status = print_page(tail, &response, &is_end);
        goes_on = *status == EXIT_YES && (!is_end || tail->args->follow);
        if (goes_on && is_end) {
            tail_pause(); /* a node that goes down does not wait */
        }
    } else {
        *status = is_said ? exit_of_status(lags ? 416 : response.status) : exit_of_result(result);
        bool is_final = is_said && response.status / 100 == 4 && response.status != 416;
        if (tail->in_vain < tail->args->endpoints_n && is_said && !lags) {
            complain_of_answer(endpoint, &response);
        } else if (tail->in_vain < tail->args->endpoints_n && !is_said) {
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
