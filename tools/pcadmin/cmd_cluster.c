/* status, members, health, leader. */
#define _POSIX_C_SOURCE 200809L
#include "pcadmin_int.h"

#include <string.h>
#include <time.h>

/* Only this endpoint. */
static struct args one_endpoint(const struct args *args, size_t i)
{
    struct args one = *args;
    memmove(one.endpoints[0], args->endpoints[i], sizeof one.endpoints[0]);
    one.endpoints_n = 1;
    return one;
}

int run_status(const struct args *args)
{
    json_t *docs[ENDPOINTS_MAX];
    size_t n = 0;
    int status = EXIT_CONNECT;
    for (size_t i = 0; i < args->endpoints_n; i++) {
        struct args one = one_endpoint(args, i);
        json_t *doc = ask_json(&one, "/v1/status", &status);
        if (doc != NULL) {
            docs[n++] = doc;
        }
    }
    if (n == 0) {
        return status;
    }
    struct out out;
    out_open(&out, args->form, stdout);
    status_view(docs, n, args->form, &out);
    status = out_close(&out);
    bool has_leader = false;
    for (size_t i = 0; i < n; i++) {
        has_leader = has_leader || (json_text(docs[i], "leader", NULL) != NULL &&
                                       !json_is_true(json_object_get(docs[i], "quorum_lost")));
        json_decref(docs[i]);
    }
    if (status == EXIT_YES && !has_leader) {
        fprintf(stderr, "pcadmin: no leader is known: writes and linearizable reads fail\n");
        return EXIT_TIMEOUT;
    }
    return status;
}

int run_members(const struct args *args)
{
    int status = EXIT_YES;
    json_t *doc = ask_json(args, "/v1/members", &status);
    if (doc == NULL) {
        return status;
    }
    struct out out;
    out_open(&out, args->form, stdout);
    members_view(json_object_get(doc, "members"), args->form, &out);
    json_decref(doc);
    return out_close(&out);
}

/* ---- health: every endpoint for itself */
static void join_failed(const json_t *doc, char *out, size_t out_bytes)
{
    size_t i, used = 0;
    const json_t *check;
    out[0] = '\0';
    json_array_foreach(json_object_get(doc, "checks"), i, check)
    {
        if (json_is_false(json_object_get(check, "ok"))) {
            int len = snprintf(out + used, out_bytes - used, "%s%s%s%s", used > 0 ? "; " : "",
                json_text(check, "name", "?"), json_text(check, "text", "")[0] != '\0' ? " " : "",
                json_text(check, "text", ""));
            if (len < 0 || (size_t)len >= out_bytes - used) {
                return; /* cut: there is more to mend than fits a line */
            }
            used += (size_t)len;
        }
    }
}

static bool lacks_quorum(const json_t *doc)
{
    size_t i;
    const json_t *check;
    json_array_foreach(json_object_get(doc, "checks"), i, check)
    {
        if (strcmp(json_text(check, "name", ""), "quorum") == 0) {
            return json_is_false(json_object_get(check, "ok"));
        }
    }
    return false;
}

/* One row. Returns the exit status for this endpoint. */
static int health_row(const struct args *args, size_t i, struct out *out, bool *lacks)
{
    const struct request request = {.method = "GET", .target = "/healthz"};
    struct response response;
    struct pc_error error;
    char why[400] = "";
    enum client_result result =
        client_call(args->endpoints[i], args->timeout_ms, &request, &response, &error);
    json_t *doc = result == CLIENT_OK ? response_json(&response) : NULL;
    const json_t *ready = json_object_get(doc, "ready");
    int status = exit_of_result(result);
    if (json_is_boolean(ready)) {
        status = json_is_true(ready) ? EXIT_YES : EXIT_NO;
        *lacks = *lacks || (status == EXIT_NO && lacks_quorum(doc));
        join_failed(doc, why, sizeof why);
    } else if (result == CLIENT_OK) {
        status = EXIT_VERSION;
        (void)snprintf(why, sizeof why, "not an answer of pcached (%d)", response.status);
    } else {
        (void)snprintf(why, sizeof why, "%s", error.text);
    }
    const struct cell cells[] = {cell_text(args->endpoints[i]),
        json_is_boolean(ready) ? cell_bool(json_is_true(ready)) : cell_none(),
        why[0] != '\0' ? cell_text(why) : cell_none()};
    out_table_row(out, cells);
    json_decref(doc);
    response_destroy(&response);
    return status;
}

int run_health(const struct args *args)
{
    static const struct column columns[] = {
        {"ENDPOINT", "endpoint", false}, {"READY", "ready", false}, {"", "detail", false}};
    struct out out;
    out_open(&out, args->form, stdout);
    out_table_begin(&out, columns, 3);
    /* One that is not ready is the answer "no"; where none is, and one has no quorum, that is it;
     * only when nobody said anything else counts. */
    int status = EXIT_YES;
    bool answered = false, ready = false, lacks = false;
    for (size_t i = 0; i < args->endpoints_n; i++) {
        int one = health_row(args, i, &out, &lacks);
        ready = ready || one == EXIT_YES;
        answered = answered || one == EXIT_YES || one == EXIT_NO;
        status = one != EXIT_YES ? one : status;
    }
    out_table_end(&out);
    status = answered && status != EXIT_YES ? EXIT_NO : status;
    status = lacks && !ready ? EXIT_TIMEOUT : status;
    int written = out_close(&out);
    return written != EXIT_YES ? written : status;
}

/* ---- leader */
int run_leader_show(const struct args *args)
{
    static const struct column columns[] = {
        {"LEADER", "leader", false}, {"ID", "id", false}, {"TERM", "term", true}};
    int status = EXIT_YES;
    json_t *doc = ask_json(args, "/v1/leader", &status);
    if (doc == NULL) {
        return status;
    }
    const char *leader = json_text(doc, "leader", NULL);
    struct out out;
    out_open(&out, args->form, stdout);
    const struct cell cells[] = {cell_text(leader), cell_text(json_text(doc, "id", NULL)),
        cell_number(json_number(doc, "term", 0))};
    out_record(&out, columns, cells, 3);
    status = out_close(&out);
    if (status == EXIT_YES && leader == NULL) {
        fprintf(stderr, "pcadmin: no leader is known\n");
        status = EXIT_TIMEOUT;
    }
    json_decref(doc);
    return status;
}

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* Waits until the former leader knows another one. */
static int await_transfer(const struct args *former)
{
    for (uint64_t waited = 0; waited < former->timeout_ms; waited += 100) {
        int status = EXIT_YES;
        json_t *doc = ask_json(former, "/v1/leader", &status);
        if (doc == NULL) {
            return status;
        }
        const char *leader = json_text(doc, "leader", NULL);
        bool done = leader != NULL && !json_is_true(json_object_get(doc, "self"));
        if (done && former->form == OUTPUT_TABLE) {
            printf("%s leads\n", leader);
        }
        json_decref(doc);
        if (done) {
            return fflush(stdout) == 0 ? EXIT_YES : EXIT_LOCAL_IO;
        }
        pause_ms(100);
    }
    fprintf(stderr, "pcadmin: leadership has not changed hands in time\n");
    return EXIT_TIMEOUT;
}

int run_leader_transfer(const struct args *args)
{
    struct pc_buf target = {0};
    pc_buf_append(&target, "/v1/leader/transfer", 19);
    if (args->positionals[0] != NULL) {
        pc_buf_append(&target, "?target=", 8);
        append_percent_encoded(&target, args->positionals[0]);
    }
    pc_buf_append_u8(&target, 0);
    const struct request request = {
        .method = "POST", .target = (const char *)target.data, .has_body = true};
    int status = EXIT_CONNECT;
    /* Only the leader hands leadership over: a node that is not (409) is passed over. */
    for (size_t i = 0; i < args->endpoints_n; i++) {
        struct args one = one_endpoint(args, i);
        struct response response;
        if (ask(&one, &request, &response, &status) < 0) {
            continue;
        }
        int code = response.status;
        status = exit_of_status(code);
        if (status != EXIT_YES && (code != 409 || i + 1 == args->endpoints_n)) {
            complain_of_answer(args->endpoints[i], &response);
        }
        response_destroy(&response);
        if (status == EXIT_YES) {
            status = await_transfer(&one);
        }
        if (code != 409) {
            break;
        }
    }
    pc_buf_destroy(&target);
    return status;
}
