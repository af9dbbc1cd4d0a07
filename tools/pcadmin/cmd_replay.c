/* rollback replay: what became of each key in a branch is written to the cluster.
 *
 *     records --> the last state of each key --> PUT or DELETE, If-Match: the branch's base
 *                                                  |
 *                     412: somebody has changed it since; is it the same already?
 *
 * The cluster judges the condition, so a key that somebody writes meanwhile is safe, and a second
 * replay finds what the first one has written. But "nothing is there, as when the branch began" is
 * also true of a key that the first replay made and somebody has deleted since, and no version
 * tells of that. So a replay is noted, durably and before it writes, where the branch is: by its
 * node, or beside the file; and the next one is refused, unless somebody wants it all the same.
 * --force goes over what the cluster has anyhow.
 *
 * Where an answer is lost the replay ends. A node that is alone itself would take the writes into a
 * branch of its own, so what comes from one ends it, too. */
#include "pcadmin_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/branch.h"
#include "pcache/os.h"
#include "rollback.h"

struct replay {
    const struct args *args;
    struct rollback_fold fold;
    struct rollback_end end;
    char history[33];
    struct out out;
    uint64_t done, same, changed, skipped;
};

static int take_line(void *arg, struct pc_slice line, const json_t *object)
{
    (void)line;
    struct replay *replay = arg;
    struct rollback_record record;
    if (json_is_true(json_object_get(object, "end"))) {
        rollback_take_end(replay->args, object, &replay->end);
        return EXIT_YES;
    }
    if (json_object_get(object, "number") == NULL) {
        (void)snprintf(
            replay->history, sizeof replay->history, "%.32s", json_text(object, "history", ""));
        return EXIT_YES;
    }
    if (rollback_record_of(object, &record) != PC_OK) {
        fprintf(stderr, "pcadmin: a record is not as this version knows it\n");
        return EXIT_VERSION;
    }
    rollback_fold_add(&replay->fold, &record);
    return EXIT_YES;
}

/* ---- one key */

static void target_of(const struct rollback_key *key, uint64_t ttl_ms, struct pc_buf *out)
{
    char ttl[40];
    pc_buf_append(out, "/v1/kv/", 7);
    append_percent_encoded_bytes(out, pc_slice_of(key->key.data, key->key.len));
    if (ttl_ms > 0) {
        int len = snprintf(ttl, sizeof ttl, "?ttl=%" PRIu64 "ms", ttl_ms);
        pc_buf_append(out, ttl, (size_t)len);
    }
    pc_buf_append_u8(out, 0);
}

static int in_branch(const struct replay *replay, int which)
{
    fprintf(stderr,
        "pcadmin: %s: is alone, in a branch of its own: what is written there is not in the"
        " cluster. Name nodes that have a quorum\n",
        replay->args->endpoints[which]);
    return EXIT_TIMEOUT;
}

/* Sends it; *out is the caller's on EXIT_YES. */
static int send_one(struct replay *replay, const struct request *request, struct response *out)
{
    int status = EXIT_YES;
    int which = ask(replay->args, request, out, &status);
    if (which < 0) {
        return status;
    }
    if (out->is_branch) {
        status = in_branch(replay, which);
    } else if (out->status >= 300 && out->status != 404 && out->status != 412) {
        status = exit_of_status(out->status);
        complain_of_answer(replay->args->endpoints[which], out);
    }
    if (status != EXIT_YES) {
        response_destroy(out);
    }
    return status;
}

/* What the cluster has under the key now. */
struct current {
    bool exists, is_same;
    uint64_t version;
};

static int look(struct replay *replay, const struct rollback_key *key, enum rollback_action action,
    struct current *out)
{
    struct pc_buf target = {0};
    struct response response;
    target_of(key, 0, &target);
    struct request request = {.method = "GET", .target = (const char *)target.data};
    int status = send_one(replay, &request, &response);
    pc_buf_destroy(&target);
    if (status != EXIT_YES) {
        return status;
    }
    out->exists = response.status == 200;
    out->version = out->exists ? etag_version(response.etag) : 0;
    out->is_same = action == ROLLBACK_PUT
                       ? out->exists && pc_slice_equal(response.body,
                                            pc_slice_of(key->value.data, key->value.len))
                       : !out->exists;
    response_destroy(&response);
    return EXIT_YES;
}

static void say(struct replay *replay, const struct rollback_key *key, const char *action,
    const char *result, struct cell version)
{
    char *text = rollback_key_text(&key->key);
    const struct cell cells[] = {cell_text(text), cell_text(action), cell_text(result), version};
    out_table_row(&replay->out, cells);
    free(text);
}

static struct cell version_cell(uint64_t version)
{
    return version > 0 ? cell_number(version) : cell_none();
}

/* It was not done, because somebody was there first. */
static int say_unmet(struct replay *replay, const struct rollback_key *key,
    enum rollback_action action, const char *name)
{
    struct current now;
    int status = look(replay, key, action, &now);
    if (status != EXIT_YES) {
        return status;
    }
    if (now.is_same) {
        replay->same++;
        say(replay, key, name, "the same already", version_cell(now.version));
    } else {
        replay->changed++;
        say(replay, key, name, "changed since", version_cell(now.version));
    }
    return EXIT_YES;
}

static int try_one(struct replay *replay, const struct rollback_key *key,
    enum rollback_action action, const char *name)
{
    struct current now;
    int status = look(replay, key, action, &now);
    if (status != EXIT_YES) {
        return status;
    }
    uint64_t before = key->has_before ? key->before_version : 0;
    bool is_unchanged = now.version == before;
    if (now.is_same && !is_unchanged) {
        replay->same++;
    } else if (is_unchanged || replay->args->force) {
        replay->done++;
    } else {
        replay->changed++;
    }
    say(replay, key, name,
        now.is_same && !is_unchanged          ? "the same already"
        : is_unchanged || replay->args->force ? "would be applied"
                                              : "changed since",
        version_cell(now.version));
    return EXIT_YES;
}

static int write_one(struct replay *replay, const struct rollback_key *key,
    enum rollback_action action, const char *name, uint64_t ttl_ms)
{
    struct pc_buf target = {0};
    struct response response;
    char condition[64], type[300];
    target_of(key, ttl_ms, &target);
    (void)snprintf(condition, sizeof condition,
        key->has_before ? "If-Match: \"%" PRIu64 "\"" : "If-None-Match: *", key->before_version);
    (void)snprintf(type, sizeof type, "%.*s", (int)key->type.len,
        key->type.len > 0 ? (const char *)key->type.data : "");
    struct request request = {.method = action == ROLLBACK_PUT ? "PUT" : "DELETE",
        .target = (const char *)target.data,
        .condition = replay->args->force ? NULL : condition};
    if (action == ROLLBACK_PUT) {
        request.has_body = true;
        request.body = pc_slice_of(key->value.data, key->value.len);
        request.content_type = type[0] != '\0' ? type : "application/octet-stream";
    }
    int status = send_one(replay, &request, &response);
    pc_buf_destroy(&target);
    if (status != EXIT_YES) {
        return status;
    }
    bool is_unmet = response.status == 412 || response.status == 404;
    uint64_t version = etag_version(response.etag);
    response_destroy(&response);
    if (is_unmet) {
        return say_unmet(replay, key, action, name);
    }
    replay->done++;
    say(replay, key, name, "applied", version_cell(version));
    return EXIT_YES;
}

static int replay_key(struct replay *replay, const struct rollback_key *key)
{
    uint64_t ttl_ms = 0;
    enum rollback_action action = rollback_action_of(key, pc_clock_wall_ms(), &ttl_ms);
    const char *name = action == ROLLBACK_PUT ? "put" : action == ROLLBACK_DELETE ? "delete" : "-";
    switch (action) {
    case ROLLBACK_NOTHING:
        replay->same++;
        say(replay, key, name, "was made and removed again", cell_none());
        return EXIT_YES;
    case ROLLBACK_EXPIRED:
        replay->same++;
        say(replay, key, name, "expired meanwhile", cell_none());
        return EXIT_YES;
    case ROLLBACK_UNKNOWN:
        replay->skipped++;
        say(replay, key, name, "a record that it takes is lost", cell_none());
        return EXIT_YES;
    default:
        return replay->args->dry_run ? try_one(replay, key, action, name)
                                     : write_one(replay, key, action, name, ttl_ms);
    }
}

/* ---- all of them */

/* Versions of another history may be of another value. */
static int check_history(const struct replay *replay)
{
    int status = EXIT_YES;
    json_t *doc = ask_json(replay->args, "/v1/status", &status);
    if (doc == NULL) {
        return status;
    }
    const char *state = json_text(json_object_get(doc, "solo"), "state", "off");
    if (strcmp(json_text(doc, "history", replay->history), replay->history) != 0) {
        fprintf(stderr, "pcadmin: the branch is of another history than this cluster has now\n");
    }
    if (strcmp(state, "open") == 0) {
        status = in_branch(replay, 0);
    }
    json_decref(doc);
    return status;
}

static int replay_all(struct replay *replay)
{
    static const struct column columns[] = {{"KEY", "key", false}, {"ACTION", "action", false},
        {"RESULT", "result", false}, {"VERSION", "version", true}};
    int status = EXIT_YES;
    out_open(&replay->out, replay->args->form, stdout);
    out_table_begin(&replay->out, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < replay->fold.n && status == EXIT_YES; i++) {
        status = replay_key(replay, &replay->fold.v[i]);
    }
    out_table_end(&replay->out);
    int closed = out_close(&replay->out);
    fprintf(stderr,
        "pcadmin: %" PRIu64 " keys %s, %" PRIu64 " the same already, %" PRIu64
        " changed since and left alone, %" PRIu64 " not known\n",
        replay->done, replay->args->dry_run ? "would be applied" : "applied", replay->same,
        replay->changed, replay->skipped);
    return status != EXIT_YES ? status : closed;
}

/* ---- not twice */

static int refuse(const struct args *args, const char *why)
{
    fprintf(stderr,
        "pcadmin: %s: %s. With --again keys that the branch has made, and somebody has"
        " removed from the cluster since, come back: --dry-run says which\n",
        args->positionals[0], why);
    return EXIT_NO;
}

static int note_file(const struct args *args, pc_err *err)
{
    struct pc_error error;
    *err = pc_branch_note_replay(pc_fs_posix(), args->positionals[0], &error);
    if (*err == PC_OK || *err == PC_E_EXISTS) {
        return EXIT_YES;
    }
    fprintf(stderr, "pcadmin: that it is replayed cannot be noted beside it: %s\n", error.text);
    return exit_of_error(*err);
}

static int note_on_node(const struct args *args, pc_err *err)
{
    int status = EXIT_YES;
    int http = rollback_call(args, "POST", args->positionals[0], &status);
    *err = http == 409 ? PC_E_EXISTS : PC_OK;
    return http == 204 || http == 409 ? EXIT_YES : status;
}

/* From here on it counts as replayed. A file that may still grow has nothing to be noted of. */
static int note(const struct replay *replay)
{
    const struct args *args = replay->args;
    bool may_again = args->again || args->force;
    pc_err err = PC_OK;
    if (replay->end.is_open) {
        return may_again
                   ? EXIT_YES
                   : refuse(args, "the branch may be open, and be replayed when it is closed");
    }
    int status = pc_branch_name_is_valid(args->positionals[0]) ? note_on_node(args, &err)
                                                               : note_file(args, &err);
    if (status == EXIT_YES && err == PC_E_EXISTS && !may_again) {
        return refuse(args, "a replay of it was begun before");
    }
    return status;
}

int run_rollback_replay(const struct args *args)
{
    struct replay replay = {.args = args};
    struct rollback_sink sink = {.arg = &replay, .take = take_line};
    if (args->if_unchanged == args->force) {
        fprintf(stderr, "pcadmin: either --if-unchanged, for keys that nobody has changed in the"
                        " cluster since, or --force, for all: see pcadmin(1)\n");
        return EXIT_USAGE;
    }
    int status = rollback_read(args, &sink);
    if (status == EXIT_YES) {
        status = check_history(&replay);
    }
    if (status == EXIT_YES && !args->dry_run) {
        status = note(&replay);
    }
    if (status == EXIT_YES) {
        status = replay_all(&replay);
    }
    rollback_fold_clear(&replay.fold);
    if (status == EXIT_YES && replay.end.is_damaged) {
        return EXIT_DAMAGED;
    }
    return status == EXIT_YES && replay.changed + replay.skipped > 0 ? EXIT_NO : status;
}
