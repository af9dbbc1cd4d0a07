/* member list, add, remove, promote, demote, replace: who is of the cluster, and as what.
 *
 * Any node takes a change and passes it on to the leader. What follows from it by itself (catching
 * up, voting) comes later, and shows in `pcadmin status`. */
#include "pcadmin_int.h"

#include <stdlib.h>
#include <string.h>

/* Says what was done, and what is left for the operator to do. */
static int report(const struct args *args, const char *change, const char *text)
{
    static const struct column columns[] = {{"NAME", "name", false}, {"CHANGE", "change", false}};
    const char *name = args->positionals[0];
    struct out out;
    out_open(&out, args->form, stdout);
    if (args->form == OUTPUT_TABLE) {
        fprintf(stdout, "%s %s\n", name, text);
    } else {
        const struct cell cells[] = {cell_text(name), cell_text(change)};
        out_record(&out, columns, cells, 2);
    }
    return out_close(&out);
}

static int change(const struct args *args, const struct request *request, const char *change_name,
    const char *text)
{
    int status = EXIT_YES;
    struct response response;
    int which = ask(args, request, &response, &status);
    if (which < 0) {
        return status;
    }
    status = exit_of_status(response.status);
    if (status != EXIT_YES) {
        complain_of_answer(args->endpoints[which], &response);
    }
    response_destroy(&response);
    return status == EXIT_YES ? report(args, change_name, text) : status;
}

/* "/v1/members/<name>[/<verb>]", NUL-terminated. */
static void member_target(const char *name, const char *verb, struct pc_buf *out)
{
    pc_buf_append(out, "/v1/members/", 12);
    append_percent_encoded(out, name);
    if (verb != NULL) {
        pc_buf_append_u8(out, '/');
        pc_buf_append(out, verb, strlen(verb));
    }
    pc_buf_append_u8(out, 0);
}

static int change_named(
    const struct args *args, const char *method, const char *verb, const char *text)
{
    struct pc_buf target = {0};
    bool is_post = strcmp(method, "POST") == 0;
    member_target(args->positionals[0], is_post ? verb : NULL, &target);
    const struct request request = {
        .method = method, .target = (const char *)target.data, .has_body = is_post};
    int status = change(args, &request, verb, text);
    pc_buf_destroy(&target);
    return status;
}

int run_member_add(const struct args *args)
{
    json_t *object = json_object();
    json_t *name = json_string(args->positionals[0]);
    if (name == NULL) { /* not UTF-8 */
        json_decref(object);
        fprintf(stderr, "pcadmin: a name is 1 to 63 of A-Z a-z 0-9 . _ -\n");
        return EXIT_USAGE;
    }
    (void)json_object_set_new(object, "name", name);
    (void)json_object_set_new(
        object, "role", json_string(args->role != NULL ? args->role : "voter"));
    char *body = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    const struct request request = {.method = "POST",
        .target = "/v1/members",
        .content_type = "application/json",
        .body = pc_slice_str(body),
        .has_body = true};
    int status = change(
        args, &request, "add", "is invited: start it with cluster.join=true and the cluster's key");
    free(body);
    return status;
}

int run_member_remove(const struct args *args)
{
    return change_named(
        args, "DELETE", "remove", "is removed: end it, it is not a member any more");
}

int run_member_promote(const struct args *args)
{
    return change_named(args, "POST", "promote", "is to vote: it will when it has caught up");
}

int run_member_demote(const struct args *args)
{
    return change_named(args, "POST", "demote", "does not vote any more");
}

int run_member_replace(const struct args *args)
{
    return change_named(args, "POST", "replace",
        "may be replaced: start a node of this name with an empty data directory");
}
