/* get, put, del. */
#include "pcadmin_int.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "pcache/limits.h"

void kv_target(const struct args *args, struct pc_buf *out)
{
    pc_buf_append(out, "/v1/kv/", 7);
    append_percent_encoded(out, args->positionals[0]);
    if (args->ttl != NULL) {
        pc_buf_append(out, "?ttl=", 5);
        pc_buf_append(out, args->ttl, strlen(args->ttl));
    } else if (args->local) {
        pc_buf_append(out, "?consistency=local", 18);
    }
    pc_buf_append_u8(out, 0);
}

uint64_t etag_version(const char *etag)
{
    return etag[0] == '"' && etag[1] >= '0' && etag[1] <= '9' ? strtoull(etag + 1, NULL, 10) : 0;
}

/* Sends a request about args' key. Returns as ask(). */
static int call(const struct args *args, const char *method, const struct pc_slice *value,
    struct response *response, int *status)
{
    struct pc_buf target = {0};
    kv_target(args, &target);
    struct request request = {.method = method, .target = (const char *)target.data};
    request.condition = args->condition[0] != '\0' ? args->condition : NULL;
    if (value != NULL) {
        request.body = *value;
        request.has_body = true;
        request.content_type = "application/octet-stream";
    }
    int which = ask(args, &request, response, status);
    pc_buf_destroy(&target);
    if (which >= 0) {
        *status = exit_of_status(response->status);
    }
    if (which >= 0 && response->is_branch) {
        fprintf(stderr,
            "pcadmin: %s: is alone: this is of a branch that the cluster does not have\n",
            args->endpoints[which]);
    }
    return which;
}

/* ---- get */
static int write_raw(struct pc_slice value)
{
    bool good = fwrite(value.data, 1, value.len, stdout) == value.len && fflush(stdout) == 0;
    if (!good) {
        fprintf(stderr, "pcadmin: the output cannot be written\n");
    }
    return good ? EXIT_YES : EXIT_LOCAL_IO;
}

/* As text where it is text, in base64 where it is not. */
static int write_item(const struct args *args, const struct response *response)
{
    struct pc_slice value = response->body;
    json_t *probe = json_stringn((const char *)value.data, value.len);
    bool is_text = probe != NULL && strlen(json_string_value(probe)) == value.len;
    json_decref(probe);
    size_t bytes = is_text ? value.len + 1
                           : sodium_base64_encoded_len(value.len, sodium_base64_VARIANT_ORIGINAL);
    char *text = pc_xalloc(bytes);
    if (!is_text) {
        (void)sodium_bin2base64(text, bytes, value.data, value.len, sodium_base64_VARIANT_ORIGINAL);
    } else if (value.len > 0) {
        memcpy(text, value.data, value.len);
    }
    const struct column columns[] = {{"KEY", "key", false},
        {"VALUE", is_text ? "value" : "value_b64", false}, {"VERSION", "version", true}};
    const struct cell cells[] = {cell_text(args->positionals[0]), cell_text(text),
        cell_number(etag_version(response->etag))};
    struct out out;
    out_open(&out, args->form, stdout);
    out_record(&out, columns, cells, 3);
    free(text);
    return out_close(&out);
}

int run_get(const struct args *args)
{
    struct response response;
    int status = EXIT_YES;
    int which = call(args, "GET", NULL, &response, &status);
    if (which < 0) {
        return status;
    }
    if (response.quorum_lost) {
        char age[24];
        fprintf(stderr, "pcadmin: %s: there is no quorum: this may be %s old\n",
            args->endpoints[which], duration_format(response.age_ms, age));
    }
    if (status != EXIT_YES) {
        complain_of_answer(args->endpoints[which], &response);
    } else {
        status =
            args->form == OUTPUT_TABLE ? write_raw(response.body) : write_item(args, &response);
    }
    response_destroy(&response);
    return status;
}

/* ---- put */
static int read_input(struct pc_buf *out)
{
    size_t got;
    do {
        pc_buf_reserve(out, 65536);
        got = fread(out->data + out->len, 1, 65536, stdin);
        out->len += got;
    } while (got > 0 && out->len <= PC_VALUE_BYTES_MAX);
    if (ferror(stdin)) {
        fprintf(stderr, "pcadmin: standard input cannot be read\n");
        return EXIT_LOCAL_IO;
    }
    if (out->len > PC_VALUE_BYTES_MAX) {
        fprintf(stderr, "pcadmin: the value has more than %d bytes\n", PC_VALUE_BYTES_MAX);
        return EXIT_NO;
    }
    return EXIT_YES;
}

static int report_put(const struct args *args, const struct response *response)
{
    static const struct column columns[] = {
        {"KEY", "key", false}, {"VERSION", "version", true}, {"CREATED", "created", false}};
    uint64_t version = etag_version(response->etag);
    bool created = response->status == 201;
    struct out out;
    out_open(&out, args->form, stdout);
    if (args->form == OUTPUT_TABLE) {
        fprintf(stdout, "%s, version %llu\n", created ? "created" : "replaced",
            (unsigned long long)version);
    } else {
        const struct cell cells[] = {
            cell_text(args->positionals[0]), cell_number(version), cell_bool(created)};
        out_record(&out, columns, cells, 3);
    }
    return out_close(&out);
}

int run_put(const struct args *args)
{
    const char *given = args->positionals[1];
    bool from_input = given == NULL || strcmp(given, "-") == 0;
    struct pc_buf input = {0};
    int status = from_input ? read_input(&input) : EXIT_YES;
    struct pc_slice value = from_input ? pc_slice_of(input.data, input.len) : pc_slice_str(given);
    struct response response;
    int which = status == EXIT_YES ? call(args, "PUT", &value, &response, &status) : -1;
    pc_buf_destroy(&input);
    if (which < 0) {
        return status;
    }
    if (status == EXIT_YES) {
        status = report_put(args, &response);
    } else {
        complain_of_answer(args->endpoints[which], &response);
    }
    response_destroy(&response);
    return status;
}

/* ---- del */
int run_del(const struct args *args)
{
    struct response response;
    int status = EXIT_YES;
    int which = call(args, "DELETE", NULL, &response, &status);
    if (which < 0) {
        return status;
    }
    if (status != EXIT_YES) {
        complain_of_answer(args->endpoints[which], &response);
    }
    response_destroy(&response);
    return status;
}
