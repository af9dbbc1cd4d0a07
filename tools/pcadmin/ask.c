#include "pcadmin_int.h"

#include <string.h>

int exit_of_status(int status)
{
    switch (status) {
    case 401:
    case 403:
        return EXIT_AUTH;
    case 408:
    case 503:
    case 504:
        return EXIT_TIMEOUT;
    default:
        return status >= 200 && status < 300 ? EXIT_YES : EXIT_NO;
    }
}

int exit_of_result(enum client_result result)
{
    switch (result) {
    case CLIENT_OK:
        return EXIT_YES;
    case CLIENT_UNREACHABLE:
        return EXIT_CONNECT;
    case CLIENT_TIMEOUT:
    case CLIENT_LOST:
        return EXIT_TIMEOUT;
    case CLIENT_REFUSED:
        return EXIT_LOCAL_IO;
    case CLIENT_GARBLED:
        break;
    }
    return EXIT_VERSION;
}

json_t *response_json(const struct response *response)
{
    return json_loadb((const char *)response->body.data, response->body.len, 0, NULL);
}

void complain_of_answer(const char *endpoint, const struct response *response)
{
    json_t *problem = response_json(response);
    const char *title = json_text(problem, "title", "");
    const char *detail = json_text(problem, "detail", title);
    const char *leader = json_text(problem, "leader", "");
    fprintf(stderr, "pcadmin: %s: %d%s%s%s%s%s\n", endpoint, response->status,
        detail[0] != '\0' ? " " : "", detail, leader[0] != '\0' ? " (the leader is " : "", leader,
        leader[0] != '\0' ? ")" : "");
    json_decref(problem);
}

/* Whether the next endpoint may be asked after this outcome. */
static bool may_go_on(
    enum client_result result, const struct request *request, const struct response *response)
{
    if (result == CLIENT_OK) {
        return response->status == 503;
    }
    bool repeatable = strcmp(request->method, "GET") == 0;
    return result == CLIENT_UNREACHABLE ||
           (repeatable && (result == CLIENT_LOST || result == CLIENT_TIMEOUT));
}

static void complain(const struct args *args, size_t i, enum client_result result,
    const struct request *request, const struct response *response, const struct pc_error *error)
{
    bool unknown =
        (result == CLIENT_TIMEOUT || result == CLIENT_LOST) && strcmp(request->method, "GET") != 0;
    if (result == CLIENT_OK) {
        complain_of_answer(args->endpoints[i], response);
    } else {
        fprintf(stderr, "pcadmin: %s%s\n", error->text,
            unknown ? "; it may have been carried out" : "");
    }
}

int ask(
    const struct args *args, const struct request *request, struct response *response, int *status)
{
    for (size_t i = 0; i < args->endpoints_n; i++) {
        struct pc_error error;
        enum client_result result =
            client_call(args->endpoints[i], args->timeout_ms, request, response, &error);
        bool go_on = may_go_on(result, request, response);
        if (result == CLIENT_OK && !go_on) {
            return (int)i;
        }
        *status = result == CLIENT_OK ? exit_of_status(response->status) : exit_of_result(result);
        complain(args, i, result, request, response, &error);
        response_destroy(response);
        if (!go_on) {
            return -1;
        }
    }
    return -1;
}

json_t *ask_json(const struct args *args, const char *target, int *status)
{
    struct request request = {.method = "GET", .target = target};
    struct response response;
    int which = ask(args, &request, &response, status);
    if (which < 0) {
        return NULL;
    }
    json_t *object = NULL;
    if (response.status != 200) {
        *status = exit_of_status(response.status);
        complain_of_answer(args->endpoints[which], &response);
    } else {
        object = response_json(&response);
        if (!json_is_object(object)) {
            fprintf(
                stderr, "pcadmin: %s: the answer is not a JSON object\n", args->endpoints[which]);
            json_decref(object);
            object = NULL;
            *status = EXIT_VERSION;
        }
    }
    response_destroy(&response);
    return object;
}
