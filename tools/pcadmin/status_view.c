/* The table of members. One /v1/status gives everybody as that node sees them; the statuses of
 * further nodes, where they were asked, add what only a node itself knows (term, applied, version).
 */
#include "pcadmin_int.h"

#include <inttypes.h>
#include <string.h>

static const struct column status_columns[] = {
    {"ST", "st", false},
    {"NAME", "name", false},
    {"ID", "id", false},
    {"ADDRESS", "address", false},
    {"ROLE", "role", false},
    {"TERM", "term", true},
    {"APPLIED", "applied", true},
    {"LAG", "lag", true},
    {"SEEN", "seen_ms", false},
    {"VERSION", "version", false},
    {"", "detail", false},
};
#define STATUS_COLUMNS_N (sizeof status_columns / sizeof status_columns[0])

const char *json_text(const json_t *object, const char *name, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : fallback;
}

uint64_t json_number(const json_t *object, const char *name, uint64_t fallback)
{
    const json_t *value = json_object_get(object, name);
    return json_is_integer(value) && json_integer_value(value) >= 0
               ? (uint64_t)json_integer_value(value)
               : fallback;
}

const char *duration_format(uint64_t ms, char buffer[24])
{
    if (ms < 10000) {
        (void)snprintf(buffer, 24, "%" PRIu64 ".%" PRIu64 "s", ms / 1000, ms % 1000 / 100);
    } else if (ms < 120000) {
        (void)snprintf(buffer, 24, "%" PRIu64 "s", ms / 1000);
    } else if (ms < 7200000) {
        (void)snprintf(buffer, 24, "%" PRIu64 "m", ms / 60000);
    } else {
        (void)snprintf(buffer, 24, "%" PRIu64 "h", ms / 3600000);
    }
    return buffer;
}

static struct cell id_cell(const json_t *member, enum output_form form, char buffer[40])
{
    const char *id = json_text(member, "id", NULL);
    if (id == NULL) {
        return cell_none();
    }
    /* Eight digits tell a handful of nodes apart; programs get all. */
    (void)snprintf(buffer, 40, form == OUTPUT_TABLE ? "%.8s" : "%.39s", id);
    return cell_text(buffer);
}

static struct cell seen_cell(
    const json_t *member, bool self, enum output_form form, char buffer[24])
{
    const json_t *silent = json_object_get(member, "silent_ms");
    if (self || !json_is_integer(silent) || json_text(member, "id", NULL) == NULL) {
        return cell_none();
    }
    uint64_t ms = json_number(member, "silent_ms", 0);
    return form == OUTPUT_TABLE ? cell_text(duration_format(ms, buffer)) : cell_number(ms);
}

static char state_letter(const json_t *member, const json_t *own)
{
    const char *state = json_text(member, "state", "dead");
    const char *role = json_text(member, "role", "");
    return own != NULL                     ? 'U' /* it has just answered */
           : strcmp(role, "invited") == 0  ? '-' /* nobody is known to be dead */
           : strcmp(state, "alive") == 0   ? 'U'
           : strcmp(state, "suspect") == 0 ? 'S'
           : strcmp(state, "left") == 0    ? 'L'
                                           : 'D';
}

static char role_letter(const json_t *member, const json_t *own, uint64_t lag)
{
    const char *role = json_text(member, "role", "");
    if (json_is_true(json_object_get(own, "draining"))) {
        return 'D';
    }
    if (strcmp(role, "learner") == 0 || (json_is_false(json_object_get(own, "ready")) && lag > 0)) {
        return 'C';
    }
    return strcmp(role, "leader") == 0 ? 'L' : strcmp(role, "voter") == 0 ? 'V' : 'N';
}

/* How far it is behind, as the leader knows; else whether it is alone; else the first check that
 * holds the node back: "leader none 7.1s". */
static struct cell detail_cell(const json_t *own, const json_t *member, char buffer[128])
{
    size_t i;
    const json_t *check;
    progress_words(member, buffer, 128);
    if (buffer[0] == '\0') {
        solo_words(own, buffer, 128);
    }
    if (buffer[0] != '\0') {
        return cell_text(buffer);
    }
    json_array_foreach(json_object_get(own, "checks"), i, check)
    {
        if (json_is_false(json_object_get(check, "ok"))) {
            (void)snprintf(buffer, 128, "%.30s %.90s", json_text(check, "name", "?"),
                json_text(check, "text", ""));
            return cell_text(buffer);
        }
    }
    return cell_none();
}

static const json_t *own_status(json_t *const *docs, size_t n, const json_t *member)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(json_text(docs[i], "node", ""), json_text(member, "name", "?")) == 0) {
            return docs[i];
        }
    }
    return NULL;
}

/* "1.0.0/2": the program and the highest protocol that it speaks; programs get the former. */
static struct cell version_cell(
    const json_t *own, const json_t *member, enum output_form form, char buffer[96])
{
    const char *version = json_text(own, "version", json_text(member, "version", NULL));
    uint64_t protocol = json_number(json_object_get(own, "protocol"), "max", 0);
    protocol = protocol != 0 ? protocol : json_number(member, "protocol", 0);
    if (version == NULL || protocol == 0 || form != OUTPUT_TABLE) {
        return cell_text(version);
    }
    (void)snprintf(buffer, 96, "%.63s/%" PRIu64, version, protocol);
    return cell_text(buffer);
}

static void status_row(const json_t *base, const json_t *own, const json_t *member, uint64_t commit,
    enum output_form form, struct out *out)
{
    char st[3], id[40], seen[24], version[96], detail[128];
    bool self = own == base;
    const json_t *applied =
        own != NULL ? json_object_get(own, "applied") : json_object_get(member, "match");
    bool known = json_is_integer(applied) && json_integer_value(applied) >= 0;
    uint64_t at = known ? (uint64_t)json_integer_value(applied) : 0;
    uint64_t lag = known && commit > at ? commit - at : 0;
    st[0] = state_letter(member, own);
    st[1] = role_letter(member, own, lag);
    st[2] = '\0';
    const struct cell cells[STATUS_COLUMNS_N] = {
        cell_text(st),
        cell_text(json_text(member, "name", NULL)),
        id_cell(member, form, id),
        cell_text(json_text(member, "address", NULL)),
        cell_text(json_text(member, "role", NULL)),
        own != NULL ? cell_number(json_number(own, "term", 0)) : cell_none(),
        known ? cell_number(at) : cell_none(),
        known ? cell_number(lag) : cell_none(),
        seen_cell(member, self, form, seen),
        version_cell(own, member, form, version),
        detail_cell(own, member, detail),
    };
    out_table_row(out, cells);
}

void status_view(json_t *const *docs, size_t n, enum output_form form, struct out *out)
{
    /* The leader knows most; otherwise the first that answered. */
    const json_t *base = docs[0];
    uint64_t commit = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t seen = json_number(docs[i], "commit", 0);
        commit = seen > commit ? seen : commit;
        if (strcmp(json_text(docs[i], "role", ""), "leader") == 0 &&
            (strcmp(json_text(base, "role", ""), "leader") != 0 ||
                json_number(docs[i], "term", 0) > json_number(base, "term", 0))) {
            base = docs[i];
        }
    }
    out_table_begin(out, status_columns, STATUS_COLUMNS_N);
    size_t i;
    const json_t *member;
    json_array_foreach(json_object_get(base, "members"), i, member)
    {
        status_row(base, own_status(docs, n, member), member, commit, form, out);
    }
    out_table_end(out);
    const json_t *state = json_object_get(base, "state");
    if (form == OUTPUT_TABLE && json_is_true(json_object_get(state, "differs"))) {
        fprintf(out->file, "ALARM: %s\n", json_text(state, "text", ""));
    }
    char words[512];
    redundancy_words(base, words, sizeof words);
    if (form == OUTPUT_TABLE && words[0] != '\0') {
        fprintf(out->file, "%s\n", words);
    }
}

void members_view(json_t *members, enum output_form form, struct out *out)
{
    static const struct column columns[] = {{"NAME", "name", false}, {"ID", "id", false},
        {"ADDRESS", "address", false}, {"STATE", "state", false}, {"ROLE", "role", false},
        {"SEEN", "seen_ms", false}, {"VERSION", "version", false}, {"", "detail", false}};
    out_table_begin(out, columns, sizeof columns / sizeof columns[0]);
    size_t i;
    const json_t *member;
    json_array_foreach(members, i, member)
    {
        char id[40], seen[24], version[96], progress[64];
        progress_words(member, progress, sizeof progress);
        const struct cell cells[] = {
            cell_text(json_text(member, "name", NULL)),
            id_cell(member, form, id),
            cell_text(json_text(member, "address", NULL)),
            cell_text(json_text(member, "state", NULL)),
            cell_text(json_text(member, "role", NULL)),
            seen_cell(member, false, form, seen),
            version_cell(NULL, member, form, version),
            progress[0] != '\0' ? cell_text(progress) : cell_none(),
        };
        out_table_row(out, cells);
    }
    out_table_end(out);
}
