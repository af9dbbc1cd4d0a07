/* What numbers of /v1/status mean, in words. */
#include "pcadmin_int.h"

#include <inttypes.h>
#include <string.h>

/* "node1, node2, node3", or with an "and" before the last; what has no room is left out. */
static void join_names(const json_t *names, bool with_and, char *out, size_t out_bytes)
{
    size_t i, used = 0, n = json_array_size(names);
    const json_t *name;
    out[0] = '\0';
    json_array_foreach(names, i, name)
    {
        const char *text = json_string_value(name);
        int len = snprintf(out + used, out_bytes - used, "%s%s",
            i == 0                   ? ""
            : with_and && i + 1 == n ? " and "
                                     : ", ",
            text != NULL ? text : "?");
        if (len < 0 || (size_t)len >= out_bytes - used) {
            return;
        }
        used += (size_t)len;
    }
}

/* The name of a spare that is there and has everything, or NULL. */
static const char *ready_spare(const json_t *status)
{
    size_t i;
    const json_t *member;
    json_array_foreach(json_object_get(status, "members"), i, member)
    {
        if (strcmp(json_text(member, "role", ""), "spare") == 0 &&
            strcmp(json_text(member, "state", ""), "alive") == 0 &&
            json_number(member, "percent", 100) >= 100) {
            return json_text(member, "name", NULL);
        }
    }
    return NULL;
}

/* With a quorum: who may fail, and who may not. */
static void failure_words(const json_t *status, char *out, size_t out_bytes)
{
    uint64_t may_fail = json_number(status, "redundancy", 0);
    const json_t *needed = json_object_get(status, "must_survive");
    uint64_t up = json_number(status, "voters_up", 0), needed_n = json_array_size(needed);
    const char *spare = ready_spare(status);
    char names[400];
    join_names(needed, true, names, sizeof names);
    if (may_fail > 0) {
        (void)snprintf(out, out_bytes, "%" PRIu64 " more node%s may fail%s%s%s", may_fail,
            may_fail == 1 ? "" : "s", spare != NULL ? ", then " : "", spare != NULL ? spare : "",
            spare == NULL   ? ""
            : may_fail == 1 ? " takes its place"
                            : " takes the place of the first");
    } else if (needed_n > 0 && needed_n < up) {
        (void)snprintf(out, out_bytes, "%" PRIu64 " more node%s may fail, but not %s",
            up - needed_n, up - needed_n == 1 ? "" : "s", names);
    } else {
        (void)snprintf(out, out_bytes, "none may fail: %s must survive", names);
    }
}

void redundancy_words(const json_t *status, char *out, size_t out_bytes)
{
    uint64_t voters = json_number(status, "voters", 0), up = json_number(status, "voters_up", 0);
    out[0] = '\0';
    if (voters == 0) {
        return;
    }
    if (!json_is_integer(json_object_get(status, "redundancy"))) {
        char names[400];
        join_names(json_object_get(status, "missing"), false, names, sizeof names);
        (void)snprintf(out, out_bytes, "no quorum: %" PRIu64 " of %" PRIu64 " voters answer%s%s%s",
            up, voters, up == 1 ? "s" : "", names[0] != '\0' ? "; missing: " : "", names);
    } else {
        failure_words(status, out, out_bytes);
    }
}

void progress_words(const json_t *member, char *out, size_t out_bytes)
{
    out[0] = '\0';
    uint64_t percent = json_number(member, "percent", 100);
    const json_t *eta = json_object_get(member, "eta_ms");
    if (percent >= 100) {
        return;
    }
    if (json_is_integer(eta)) {
        (void)snprintf(out, out_bytes, "%" PRIu64 "%% eta %" PRIu64 "s", percent,
            (json_number(member, "eta_ms", 0) + 999) / 1000);
    } else {
        (void)snprintf(out, out_bytes, "%" PRIu64 "%%", percent);
    }
}

void solo_words(const json_t *status, char *out, size_t out_bytes)
{
    const json_t *solo = json_object_get(status, "solo");
    uint64_t pending = json_number(status, "rollbacks_pending", 0);
    out[0] = '\0';
    if (strcmp(json_text(solo, "state", ""), "open") == 0) {
        (void)snprintf(out, out_bytes, "alone, in branch %.8s: %" PRIu64 " records",
            json_text(solo, "branch", "?"), json_number(solo, "records", 0));
    } else if (pending > 0) {
        (void)snprintf(out, out_bytes, "%" PRIu64 " closed branch%s: pcadmin rollback list",
            pending, pending == 1 ? "" : "es");
    }
}
