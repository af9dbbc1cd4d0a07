/* If-Match and If-None-Match (RFC 9110, 13.1).
 *
 *     If-Match: "88213"        the item is of this version: compare-and-set
 *     If-Match: *              there is an item
 *     If-None-Match: *         there is none: create only
 *
 * On a write they become the condition of the command, which the log judges; here they are only
 * read. Of a list of entity tags one command cannot carry more than one, so a list is refused. A
 * tag that no item can ever have (a weak one, or one that is no version) needs no judge: it does
 * not match. On a read If-None-Match says what the client has already. */
#include "http_int.h"

#include <event2/keyvalq_struct.h>
#include <string.h>
#include <sys/queue.h>

struct entity_tag {
    bool weak;
    struct pc_slice opaque; /* what stands between the quotes */
};

static void drop(struct pc_slice *text, size_t n)
{
    *text = pc_slice_of(text->data + n, text->len - n);
}

static void drop_space(struct pc_slice *text)
{
    while (text->len > 0 && (text->data[0] == ' ' || text->data[0] == '\t')) {
        drop(text, 1);
    }
}

/* Takes one entity tag and the space around it. False: there is none. */
static bool tag_take(struct pc_slice *text, struct entity_tag *out)
{
    drop_space(text);
    out->weak = text->len >= 2 && memcmp(text->data, "W/", 2) == 0;
    drop(text, out->weak ? 2 : 0);
    const uint8_t *end = text->len >= 2 ? memchr(text->data + 1, '"', text->len - 1) : NULL;
    if (end == NULL || text->data[0] != '"') {
        return false;
    }
    out->opaque = pc_slice_of(text->data + 1, (size_t)(end - text->data) - 1);
    drop(text, out->opaque.len + 2);
    drop_space(text);
    return memchr(out->opaque.data, ' ', out->opaque.len) == NULL;
}

/* The version whose tag this is; 0 = of none. Decimal digits as pc_http_u64_text writes them: two
 * texts for one version would be two tags. */
static pc_index tag_version(const struct entity_tag *tag)
{
    pc_index version = 0;
    for (size_t i = 0; i < tag->opaque.len; i++) {
        uint8_t c = tag->opaque.data[i];
        if (c < '0' || c > '9' || (i == 0 && c == '0')) {
            return 0;
        }
        version = version * 10 + (pc_index)(c - '0');
        if (version > PC_VERSION_MAX) {
            return 0;
        }
    }
    return version;
}

static bool is_star(struct pc_slice text)
{
    drop_space(&text);
    bool begins = text.len > 0 && text.data[0] == '*';
    drop(&text, begins ? 1 : 0);
    drop_space(&text);
    return begins && text.len == 0;
}

static bool refuse(struct pc_http_problem *problem, const char *detail)
{
    pc_http_problem_set(problem, 400, "bad_condition", "%s", detail);
    return false;
}

static bool match_parse(
    struct pc_slice text, struct pc_http_condition *out, struct pc_http_problem *problem)
{
    struct entity_tag tag;
    if (is_star(text)) {
        out->condition = PC_IF_PRESENT;
        return true;
    }
    if (!tag_take(&text, &tag)) {
        return refuse(problem, "If-Match takes an entity tag in quotes, \"<version>\", or *");
    }
    if (text.len > 0) {
        return refuse(problem, "If-Match takes one entity tag here, no list");
    }
    out->version = tag.weak ? 0 : tag_version(&tag);
    out->condition = PC_IF_VERSION;
    out->never = out->version == 0;
    return true;
}

bool pc_http_condition_parse(const char *if_match, const char *if_none_match,
    struct pc_http_condition *out, struct pc_http_problem *problem)
{
    struct pc_http_condition found = {0};
    if (if_match != NULL && if_none_match != NULL) {
        return refuse(problem, "a write takes one of If-Match and If-None-Match");
    }
    if (if_match != NULL && !match_parse(pc_slice_str(if_match), &found, problem)) {
        return false;
    }
    if (if_none_match != NULL) {
        if (!is_star(pc_slice_str(if_none_match))) {
            return refuse(problem, "on a write If-None-Match takes * only: create, never replace");
        }
        found.condition = PC_IF_ABSENT;
    }
    *out = found;
    return true;
}

bool pc_http_none_match_has(const char *if_none_match, pc_index version)
{
    struct pc_slice text = pc_slice_str(if_none_match);
    struct entity_tag tag;
    if (is_star(text)) {
        return true;
    }
    while (tag_take(&text, &tag)) {
        if (tag_version(&tag) == version) {
            return true; /* weak or not: RFC 9110, 13.1.2 */
        }
        if (text.len == 0 || text.data[0] != ',') {
            return false;
        }
        drop(&text, 1);
    }
    return false;
}

/* The field's value, NULL when it is not there. False: it is there twice, which is a list. */
static bool field_once(struct pc_http_conn *conn, const char *name, const char **out)
{
    const struct evkeyval *field;
    *out = NULL;
    TAILQ_FOREACH(field, evhttp_request_get_input_headers(conn->request), next)
    {
        if (evutil_ascii_strcasecmp(field->key, name) == 0) {
            if (*out != NULL) {
                return false;
            }
            *out = field->value;
        }
    }
    return true;
}

void pc_http_submit_write(struct pc_http_conn *conn, struct pc_request *request)
{
    const char *if_match, *if_none_match;
    struct pc_http_condition condition = {0};
    struct pc_http_problem problem;
    bool ok = true;
    if (!field_once(conn, "If-Match", &if_match) ||
        !field_once(conn, "If-None-Match", &if_none_match)) {
        ok = refuse(&problem, "If-Match or If-None-Match stands twice");
    } else {
        ok = pc_http_condition_parse(if_match, if_none_match, &condition, &problem);
    }
    if (ok && condition.never) {
        pc_http_problem_set(
            &problem, 412, "condition_failed", "not done: no item ever has this entity tag");
        ok = false;
    }
    if (!ok) {
        pc_http_send_problem(conn, &problem);
        return;
    }
    request->command.condition = condition.condition;
    request->command.if_version = condition.version;
    pc_http_submit(conn, request);
}
