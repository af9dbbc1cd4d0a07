/* test.h: CMocka with a `main` that lists and picks tests. Include this and nothing of CMocka. */
#ifndef PC_TEST_H
#define PC_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pcache/err.h"

/* A test function of this file, in the table given to pc_test_main. */
#define PC_TEST(function) cmocka_unit_test(function)

/* Runs the tests of `table`: all, or with `-t PATTERN` those whose name matches (shell style);
 * `-l` lists. Returns the exit status for main. */
int pc_test_main(
    int argc, char **argv, const char *group, const struct CMUnitTest *table, size_t count);

#define PC_TEST_MAIN(group, table)                                                                 \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return pc_test_main(argc, argv, group, table, sizeof(table) / sizeof(table)[0]);           \
    }

/* What a test does over and over, for each crash point or seed, takes four to eight times as long
 * under sanitizers; there it does one in so many of it. What comes of it, the ordinary build shows
 * for all; the sanitizers watch the same code at work in a share. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PC_TEST_STRIDE 3
#else
#define PC_TEST_STRIDE 1
#endif

#define assert_ok(call) assert_int_equal((call), PC_OK)

/* A fresh directory below $TMPDIR (or /tmp) for this test; out has room for 128 bytes. */
void pc_test_dir_make(char *out);
/* Removes it with everything in it. */
void pc_test_dir_remove(const char *path);

#endif
