/* replay.c: the main of a fuzz target without libFuzzer: runs it over files.
 *
 *     fuzz_wire_msg                 every file of tests/fuzz/corpus/wire_msg, as one test
 *     fuzz_wire_msg FILE...         these files
 *     fuzz_wire_msg -l | -t PATTERN as every unit test
 *
 * Each name is printed before its file runs: when the process dies, the last one is the culprit. */
#define _GNU_SOURCE
#include "fuzz/kit/fuzz.h"
#include "support/test.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#define CORPUS "tests/fuzz/corpus"
#define PREFIX "fuzz_"

static bool replay_file(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    struct pc_buf bytes = {0};
    uint8_t chunk[4096];
    size_t got;
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0) {
        pc_buf_append(&bytes, chunk, got);
    }
    (void)fclose(file);
    (void)printf("%s\n", path);
    (void)fflush(stdout);
    /* Memory of exactly this size: a read past the end is seen. */
    uint8_t *exact = pc_xalloc(bytes.len > 0 ? bytes.len : 1);
    if (bytes.len > 0) {
        memcpy(exact, bytes.data, bytes.len);
    }
    (void)LLVMFuzzerTestOneInput(exact, bytes.len);
    free(exact);
    pc_buf_destroy(&bytes);
    return true;
}

static int is_corpus_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void corpus__every_file__breaks_nothing(void **state)
{
    (void)state;
    const char *target = program_invocation_short_name;
    assert_int_equal(strncmp(target, PREFIX, strlen(PREFIX)), 0);
    char folder[128];
    (void)snprintf(folder, sizeof folder, CORPUS "/%s", target + strlen(PREFIX));
    struct dirent **names = NULL;
    int n = scandir(folder, &names, is_corpus_file, alphasort);
    if (n <= 0) {
        fail_msg("%s: no corpus there", folder);
    }
    for (int i = 0; i < n; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        assert_true(replay_file(path));
        free(names[i]);
    }
    free(names);
    /* Nothing at all, as libFuzzer begins. */
    (void)LLVMFuzzerTestOneInput(NULL, 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {PC_TEST(corpus__every_file__breaks_nothing)};
    if (argc < 2 || argv[1][0] == '-') {
        return pc_test_main(argc, argv, "corpus", tests, 1);
    }
    bool ok = true;
    for (int i = 1; i < argc; i++) {
        ok = replay_file(argv[i]) && ok;
    }
    return ok ? 0 : 1;
}
