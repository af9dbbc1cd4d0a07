/* rollback list, show, remove. */
#include "pcadmin_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium/utils.h>

#include "pcache/limits.h"
#include "rollback.h"

#define VALUE_SHOWN_MAX 40

static void time_text(uint64_t ms, char out[40])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    if (gmtime_r(&seconds, &utc) == NULL || strftime(out, 40, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) {
        (void)snprintf(out, 40, "%" PRIu64, ms);
    }
}

/* ---- list */

static void list_one(struct out *out, const char *endpoint, const json_t *one)
{
    char begun[40], closed[40] = "-";
    const json_t *ended = json_object_get(one, "closed_ms");
    time_text(json_number(one, "begun_ms", 0), begun);
    if (json_is_integer(ended)) {
        time_text(json_number(one, "closed_ms", 0), closed);
    }
    const struct cell cells[] = {cell_text(endpoint), cell_text(json_text(one, "name", "?")),
        cell_number(json_number(one, "base", 0)), cell_number(json_number(one, "records", 0)),
        cell_number(json_number(one, "lost", 0)), cell_text(begun), cell_text(closed),
        cell_number(json_number(one, "bytes", 0)),
        cell_bool(json_is_true(json_object_get(one, "replayed")))};
    out_table_row(out, cells);
}

/* Every endpoint has its own. */
int run_rollback_list(const struct args *args)
{
    static const struct column columns[] = {{"NODE", "node", false}, {"NAME", "name", false},
        {"BASE", "base", true}, {"RECORDS", "records", true}, {"LOST", "lost", true},
        {"BEGUN", "begun", false}, {"CLOSED", "closed", false}, {"BYTES", "bytes", true},
        {"REPLAYED", "replayed", false}};
    struct out out;
    int worst = EXIT_YES;
    out_open(&out, args->form, stdout);
    out_table_begin(&out, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < args->endpoints_n; i++) {
        struct args one = *args;
        int status = EXIT_YES;
        memcpy(one.endpoints[0], args->endpoints[i], sizeof one.endpoints[0]);
        one.endpoints_n = 1;
        json_t *doc = ask_json(&one, "/v1/rollbacks", &status);
        worst = status != EXIT_YES ? status : worst;
        const json_t *list = json_object_get(doc, "rollbacks");
        for (size_t k = 0; k < json_array_size(list); k++) {
            list_one(&out, args->endpoints[i], json_array_get(list, k));
        }
        json_decref(doc);
    }
    out_table_end(&out);
    int status = out_close(&out);
    return status != EXIT_YES ? status : worst;
}

/* ---- show */

struct show {
    const struct args *args;
    struct out out;
    struct rollback_end end;
};

/* Bytes for people: the text, or how many there are. The caller frees. */
static char *bytes_text(const struct pc_buf *bytes, bool is_key)
{
    json_t *probe = json_stringn(bytes->len > 0 ? (const char *)bytes->data : "", bytes->len);
    bool is_plain = probe != NULL;
    for (size_t i = 0; is_plain && i < bytes->len; i++) {
        is_plain = bytes->data[i] >= ' ' && bytes->data[i] != 0x7f;
    }
    json_decref(probe);
    size_t room = bytes->len * 2 + 64;
    char *text = pc_xalloc(room);
    if (is_plain && (is_key || bytes->len <= VALUE_SHOWN_MAX)) {
        if (bytes->len > 0) {
            memcpy(text, bytes->data, bytes->len);
        }
        text[bytes->len] = '\0';
    } else if (is_key) {
        memcpy(text, "base64:", 7);
        (void)sodium_bin2base64(
            text + 7, room - 7, bytes->data, bytes->len, sodium_base64_VARIANT_ORIGINAL);
    } else {
        (void)snprintf(text, room, "(%zu bytes)", bytes->len);
    }
    return text;
}

char *rollback_key_text(const struct pc_buf *key)
{
    return bytes_text(key, true);
}

static int show_record(struct show *show, const json_t *object)
{
    static const char *const ops[] = {[PC_OP_SET] = "set",
        [PC_OP_DELETE] = "delete",
        [PC_OP_EXPIRE] = "expire",
        [PC_OP_PERSIST] = "persist"};
    struct rollback_record record;
    char when[40];
    if (rollback_record_of(object, &record) != PC_OK) {
        fprintf(stderr, "pcadmin: a record is not as this version knows it\n");
        return EXIT_VERSION;
    }
    time_text(record.time_ms, when);
    char *key = bytes_text(&record.key, true), *value = bytes_text(&record.value, false);
    const struct cell cells[] = {cell_number(record.number), cell_text(when),
        cell_text(ops[record.op]), cell_text(key),
        record.op == PC_OP_SET ? cell_text(value) : cell_none(),
        record.has_ttl ? cell_number(record.ttl_ms) : cell_none(),
        record.has_before ? cell_number(record.before_version) : cell_none()};
    out_table_row(&show->out, cells);
    free(key);
    free(value);
    rollback_record_clear(&record);
    return EXIT_YES;
}

static int show_line(void *arg, struct pc_slice line, const json_t *object)
{
    struct show *show = arg;
    bool is_end = json_is_true(json_object_get(object, "end"));
    if (is_end) {
        rollback_take_end(show->args, object, &show->end);
    }
    if (show->args->form == OUTPUT_JSON) {
        return fwrite(line.data, 1, line.len, stdout) == line.len ? EXIT_YES : EXIT_LOCAL_IO;
    }
    if (json_object_get(object, "number") != NULL) {
        return show_record(show, object);
    }
    if (!is_end && show->args->form == OUTPUT_TABLE) {
        printf("branch %s of %s, on entry %" PRIu64 "\n", json_text(object, "branch", "?"),
            json_text(object, "node", "?"), json_number(object, "base", 0));
    }
    return EXIT_YES;
}

int run_rollback_show(const struct args *args)
{
    static const struct column columns[] = {{"NUMBER", "number", true}, {"TIME", "time", false},
        {"OP", "op", false}, {"KEY", "key", false}, {"VALUE", "value", false},
        {"TTL_MS", "ttl_ms", true}, {"BEFORE", "before_version", true}};
    struct show show = {.args = args};
    struct rollback_sink sink = {.arg = &show, .take = show_line};
    int status, closed;
    if (args->form == OUTPUT_JSON) {
        status = rollback_read(args, &sink);
        closed = fflush(stdout) == 0 ? EXIT_YES : EXIT_LOCAL_IO;
    } else {
        out_open(&show.out, args->form, stdout);
        out_table_begin(&show.out, columns, sizeof columns / sizeof columns[0]);
        status = rollback_read(args, &sink);
        out_table_end(&show.out);
        closed = out_close(&show.out);
    }
    status = status != EXIT_YES ? status : closed;
    return status == EXIT_YES && show.end.is_damaged ? EXIT_DAMAGED : status;
}

/* ---- remove */

int run_rollback_remove(const struct args *args)
{
    int status = EXIT_YES;
    return rollback_call(args, "DELETE", args->positionals[0], &status) == 204 ? EXIT_YES : status;
}
