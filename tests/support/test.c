#define _GNU_SOURCE
#include "support/test.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int pc_test_main(
    int argc, char **argv, const char *group, const struct CMUnitTest *table, size_t count)
{
    if (argc == 2 && strcmp(argv[1], "-l") == 0) {
        for (size_t i = 0; i < count; i++) {
            printf("%s\n", table[i].name);
        }
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "-t") == 0) {
        cmocka_set_test_filter(argv[2]);
    } else if (argc != 1) {
        fprintf(stderr, "usage: %s [-l | -t PATTERN]\n", argv[0]);
        return 64;
    }
    return _cmocka_run_group_tests(group, table, count, NULL, NULL) == 0 ? 0 : 1;
}

void pc_test_dir_make(char *out)
{
    const char *base = getenv("TMPDIR");
    int used = snprintf(out, 128, "%s/pcache-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_true(used > 0 && used < 128);
    assert_non_null(mkdtemp(out));
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

void pc_test_dir_remove(const char *path)
{
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}
