#define _GNU_SOURCE
#include "integration/kit/suite.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "integration/kit/cluster.h"
#include "integration/kit/load.h"

static const char *skip_reason;

void it_skip(const char *reason)
{
    skip_reason = reason;
}

void it_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("# ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
    (void)fflush(stdout);
}

void it_contains_at(const char *text, const char *part, const char *file, int line)
{
    if (strstr(text, part) == NULL) {
        printf("%s:%d: \"%s\" is not in:\n%s\n", file, line, part, text);
        _fail(file, line);
    }
}

static bool run_one(const struct it_test *test)
{
    const struct CMUnitTest one = {.name = test->name, .test_func = test->run};
    uint64_t began = it_now_ms();
    skip_reason = NULL;
    bool ok = _cmocka_run_group_tests(test->name, &one, 1, NULL, NULL) == 0;
    it_load_stop_all();
    it_cluster_end_all(!ok);
    printf("%s - %s%s%s (%.1f s)\n", ok ? "ok" : "not ok", test->name,
        skip_reason != NULL ? " # skip " : "", skip_reason != NULL ? skip_reason : "",
        (double)(it_now_ms() - began) / 1000);
    (void)fflush(stdout);
    return ok;
}

int it_main(int argc, char **argv, const struct it_test *table, size_t count)
{
    bool all_ok = true;
    cmocka_set_message_output(CM_OUTPUT_STDOUT);
    for (size_t i = 0; i < count; i++) {
        if (argc < 2 || fnmatch(argv[1], table[i].name, 0) == 0) {
            all_ok = run_one(&table[i]) && all_ok;
        }
    }
    return all_ok ? 0 : 1;
}
