/* Changes of the members: POST /v1/members, DELETE /v1/members/{name} and the verbs behind a name.
 * Any node takes them; its answer comes when the change is committed. */
#include "http_int.h"

#include <jansson.h>
#include <string.h>

/* The names of roles to be, in the order of enum pc_member_want. */
static const char *const wants[] = {"voter", "replica", "spare"};

const char *pc_http_member_want(enum pc_member_want want)
{
    PC_ASSERT((size_t)want < sizeof wants / sizeof wants[0]);
    return wants[want];
}

bool pc_http_member_name_valid(struct pc_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
        if (!ok) {
            return false;
        }
    }
    return name.len > 0 && name.len <= PC_NAME_BYTES_MAX;
}

static bool bad(struct pc_http_problem *problem, const char *code, const char *detail)
{
    pc_http_problem_set(problem, 400, code, "%s", detail);
    return false;
}

static bool want_read(const json_t *role, enum pc_member_want *out, struct pc_http_problem *problem)
{
    const char *text = role == NULL ? wants[PC_WANT_VOTER] : json_string_value(role);
    for (size_t i = 0; text != NULL && i < sizeof wants / sizeof wants[0]; i++) {
        if (strcmp(text, wants[i]) == 0) {
            *out = (enum pc_member_want)i;
            return true;
        }
    }
    return bad(problem, "bad_role", "role must be voter, replica or spare");
}

static bool add_read(
    const json_t *object, struct pc_member_change *out, struct pc_http_problem *problem)
{
    const json_t *name = json_object_get(object, "name"), *role = json_object_get(object, "role");
    size_t known = (name != NULL ? 1U : 0U) + (role != NULL ? 1U : 0U);
    if (!json_is_string(name) || json_object_size(object) != known) {
        return bad(problem, "bad_body",
            "the body must be an object with the member \"name\" and perhaps \"role\"");
    }
    struct pc_slice text = pc_slice_of(json_string_value(name), json_string_length(name));
    if (!pc_http_member_name_valid(text)) {
        return bad(problem, "bad_name", "a name is 1 to 63 of A-Z a-z 0-9 . _ -");
    }
    memcpy(out->name, text.data, text.len);
    out->name[text.len] = '\0';
    return want_read(role, &out->want, problem);
}

bool pc_http_member_add_parse(
    struct pc_slice body, struct pc_member_change *out, struct pc_http_problem *problem)
{
    char why[128];
    *out = (struct pc_member_change){.op = PC_MEMBER_ADD};
    if (!pc_http_json_valid(body, why, sizeof why)) {
        pc_http_problem_set(problem, 400, "bad_json", "the body is not JSON: %s", why);
        return false;
    }
    json_error_t error;
    json_t *object = json_loadb((const char *)body.data, body.len,
        JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (object == NULL) {
        pc_http_problem_set(problem, 400, "bad_json", "the body is not JSON: %s", error.text);
        return false;
    }
    bool ok = add_read(object, out, problem);
    json_decref(object);
    return ok;
}

/* What the request in hand asks for. */
static bool change_of(struct pc_http_conn *conn, const struct pc_http_target *target,
    struct pc_member_change *out, struct pc_http_problem *problem)
{
    struct pc_slice body = pc_http_route_body(conn);
    if (target->route == PC_HTTP_ROUTE_MEMBERS) {
        return pc_http_member_add_parse(body, out, problem);
    }
    if (body.len > 0) {
        return bad(problem, "bad_body", "this call takes no body");
    }
    *out = (struct pc_member_change){.op = target->op};
    memcpy(out->name, target->name, sizeof out->name);
    return true;
}

void pc_http_member_request(struct pc_http_conn *conn, const struct pc_http_target *target)
{
    struct pc_http_problem problem;
    struct pc_request request = {.type = PC_REQUEST_MEMBER};
    if (change_of(conn, target, &request.member, &problem)) {
        pc_http_submit(conn, &request);
    } else {
        pc_http_send_problem(conn, &problem);
    }
}

static void reply_done(struct pc_http_conn *conn, const struct pc_member_change *change)
{
    struct pc_buf *out = &conn->http->scratch;
    if (change->op == PC_MEMBER_REMOVE) {
        pc_http_send(conn, 204, NULL);
        return;
    }
    bool added = change->op == PC_MEMBER_ADD;
    pc_buf_reset(out);
    pc_http_text(out, "{\"name\":");
    pc_http_json_string(out, pc_slice_str(change->name));
    pc_http_text(out, added ? ",\"role\":\"" : ",\"change\":\"");
    pc_http_text(out, added                             ? wants[change->want]
                      : change->op == PC_MEMBER_PROMOTE ? "promote"
                      : change->op == PC_MEMBER_DEMOTE  ? "demote"
                                                        : "replace");
    pc_http_text(out, "\"}\n");
    pc_http_send_scratch(conn, added ? 201 : 200, PC_HTTP_JSON);
}

void pc_http_member_reply(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    struct pc_http_target target;
    struct pc_http_problem problem;
    struct pc_member_change change;
    pc_http_route_target(conn, &target);
    if (reply->status == PC_REPLY_OK) {
        bool ok = change_of(conn, &target, &change, &problem);
        PC_ASSERT(ok); /* it was read once already */
        reply_done(conn, &change);
        return;
    }
    pc_http_problem_of_reply(&problem, reply->status, true);
    pc_http_problem_explain(&problem, reply->status, conn);
    if (reply->status == PC_REPLY_REFUSED) {
        pc_http_problem_set(&problem, 409, "refused", "%s", reply->text);
    } else if (problem.status == 504) {
        pc_http_problem_set(&problem, 504, "outcome_unknown",
            "no commit was seen in time: the change may or may not take effect");
    }
    pc_http_send_problem(conn, &problem);
}
