/* Where the lines of a closed branch come from: a node, which streams them, or a file of this
 * machine, of which they are made here. Whole lines go on, and what has no line of the end was cut
 * short. */
#include "rollback.h"

#include <inttypes.h>
#include <string.h>

#include "pcache/branch.h"
#include "pcadmin_int.h"

#define LINE_BYTES_MAX (128u << 20)

struct feed {
    const struct rollback_sink *sink;
    struct pc_buf line; /* what has come of it */
    bool has_end;
    int status;
};

static int complain_line(void)
{
    fprintf(stderr, "pcadmin: what came is not a branch as this version knows it\n");
    return EXIT_VERSION;
}

static void feed_line(struct feed *feed, struct pc_slice line)
{
    json_t *object = json_loadb((const char *)line.data, line.len, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(object) || feed->has_end) {
        feed->status = complain_line();
    } else {
        feed->has_end = json_is_true(json_object_get(object, "end"));
        feed->status = feed->sink->take(feed->sink->arg, line, object);
    }
    json_decref(object);
}

/* False ends it; feed->status says why. */
static bool feed_bytes(struct feed *feed, struct pc_slice bytes)
{
    while (bytes.len > 0 && feed->status == EXIT_YES) {
        const uint8_t *end = memchr(bytes.data, '\n', bytes.len);
        size_t len = end != NULL ? (size_t)(end - bytes.data) + 1 : bytes.len;
        if (feed->line.len + len > LINE_BYTES_MAX) {
            feed->status = complain_line();
            break;
        }
        pc_buf_append(&feed->line, bytes.data, len);
        bytes = pc_slice_of(bytes.data + len, bytes.len - len);
        if (end != NULL) {
            feed_line(feed, pc_slice_of(feed->line.data, feed->line.len));
            pc_buf_reset(&feed->line);
        }
    }
    return feed->status == EXIT_YES;
}

static int feed_end(struct feed *feed)
{
    if (feed->status == EXIT_YES && !feed->has_end) {
        fprintf(stderr, "pcadmin: the branch was cut short\n");
        feed->status = EXIT_TIMEOUT;
    }
    pc_buf_destroy(&feed->line);
    return feed->status;
}

/* ---- of a file */

static pc_err next_lines(
    struct pc_branch_reader *reader, struct pc_buf *out, bool *ended, struct pc_error *error)
{
    struct pc_branch_record record;
    const struct pc_branch_info *info = pc_branch_reader_info(reader);
    pc_buf_reset(out);
    pc_err err = pc_branch_reader_next(reader, &record, error);
    if (err == PC_E_CORRUPT) {
        fprintf(stderr, "pcadmin: %s\n", error->text);
        pc_branch_reader_skip(reader);
        return PC_OK;
    }
    if (err == PC_E_NOT_FOUND) {
        pc_branch_json_end(info, out);
        *ended = true;
        return PC_OK;
    }
    if (err == PC_OK) {
        pc_branch_json_record(&info->head, &record, out);
        pc_branch_record_clear(&record);
    }
    return err;
}

static int read_file(const char *path, struct feed *feed)
{
    struct pc_branch_reader *reader = NULL;
    struct pc_error error;
    struct pc_buf lines = {0};
    bool ended = false, goes_on = true;
    pc_err err = pc_branch_reader_open(pc_fs_posix(), path, &reader, &error);
    if (err == PC_OK) {
        pc_branch_json_head(&pc_branch_reader_info(reader)->head, &lines);
        goes_on = feed_bytes(feed, pc_slice_of(lines.data, lines.len));
    }
    while (err == PC_OK && goes_on && !ended) {
        err = next_lines(reader, &lines, &ended, &error);
        goes_on = err == PC_OK && feed_bytes(feed, pc_slice_of(lines.data, lines.len));
    }
    pc_branch_reader_close(reader);
    pc_buf_destroy(&lines);
    if (err != PC_OK) {
        fprintf(stderr, "pcadmin: %s\n", error.text);
        feed->status = exit_of_error(err);
    }
    return feed->status;
}

/* ---- of a node */

int rollback_call(const struct args *args, const char *method, const char *name, int *status)
{
    struct pc_buf target = {0};
    int http = 0;
    pc_buf_append(&target, "/v1/rollbacks/", 14);
    append_percent_encoded(&target, name);
    pc_buf_append_u8(&target, 0);
    struct request request = {.method = method, .target = (const char *)target.data};
    *status = EXIT_CONNECT;
    for (size_t i = 0; i < args->endpoints_n && (http == 0 || http == 404); i++) {
        struct args one = *args;
        struct response response;
        memcpy(one.endpoints[0], args->endpoints[i], sizeof one.endpoints[0]);
        one.endpoints_n = 1;
        if (ask(&one, &request, &response, status) < 0) {
            continue;
        }
        http = response.status;
        *status = exit_of_status(http);
        bool is_missing = http == 404 && i + 1 < args->endpoints_n;
        if (http != 204 && http != 409 && !is_missing) {
            complain_of_answer(args->endpoints[i], &response);
        }
        response_destroy(&response);
    }
    pc_buf_destroy(&target);
    return http;
}

static bool take(void *arg, struct pc_slice bytes, uint64_t length, struct pc_error *error)
{
    (void)length;
    struct feed *feed = arg;
    if (!feed_bytes(feed, bytes)) {
        (void)pc_error_set(error, PC_E_MALFORMED, "not taken");
        return false;
    }
    return true;
}

static int read_node(const struct args *args, const char *name, struct feed *feed)
{
    char target[256];
    struct client_sink sink = {.arg = feed, .take = take};
    int status = EXIT_CONNECT;
    (void)snprintf(target, sizeof target, "/v1/rollbacks/%s", name);
    for (size_t i = 0; i < args->endpoints_n; i++) {
        struct pc_error error;
        struct response response;
        enum client_result result =
            client_download(args->endpoints[i], args->timeout_ms, target, &sink, &response, &error);
        bool is_good = result == CLIENT_OK && response.status == 200;
        bool has_begun = feed->line.len > 0 || feed->status != EXIT_YES || is_good;
        bool is_missing = result == CLIENT_OK && response.status == 404;
        if (result == CLIENT_OK && !is_good) {
            status = exit_of_status(response.status);
            if (!is_missing || i + 1 == args->endpoints_n) {
                complain_of_answer(args->endpoints[i], &response);
            }
        } else if (!is_good && result != CLIENT_REFUSED) {
            status = exit_of_result(result);
            fprintf(stderr, "pcadmin: %s\n", error.text);
        }
        response_destroy(&response);
        if (has_begun || result == CLIENT_LOST) {
            return feed->status != EXIT_YES || is_good ? feed->status : status;
        }
    }
    return status;
}

static bool is_name_of_closed(const char *what)
{
    const char *slash = strrchr(what, '/');
    return pc_branch_name_is_valid(slash != NULL ? slash + 1 : what);
}

void rollback_take_end(const struct args *args, const json_t *end, struct rollback_end *out)
{
    uint64_t lost = json_number(end, "lost", 0);
    bool has_end = !json_is_null(json_object_get(end, "closed_ms"));
    bool is_closed = is_name_of_closed(args->positionals[0]);
    *out = (struct rollback_end){
        .is_open = !has_end && !is_closed, .is_damaged = lost > 0 || (!has_end && is_closed)};
    if (lost > 0) {
        fprintf(stderr,
            "pcadmin: %" PRIu64 " records are lost to damage: a key may be older than it was\n",
            lost);
    }
    if (!has_end) {
        fprintf(stderr, "pcadmin: the file has no end: the branch is open, or its last records are"
                        " lost to damage\n");
    }
}

int rollback_read(const struct args *args, const struct rollback_sink *sink)
{
    struct feed feed = {.sink = sink};
    const char *what = args->positionals[0];
    int status =
        pc_branch_name_is_valid(what) ? read_node(args, what, &feed) : read_file(what, &feed);
    if (status != EXIT_YES) {
        pc_buf_destroy(&feed.line);
        return status;
    }
    return feed_end(&feed);
}
