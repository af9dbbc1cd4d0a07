/* suite.h: the main of an integration test: one line `ok - name` or `not ok - name` per function.
 *
 * A test function fails with CMocka's assertions, on the main thread only. Whatever it started is
 * ended behind it, also when it failed; then the logs of its nodes are printed as well. */
#ifndef PC_IT_SUITE_H
#define PC_IT_SUITE_H

#include <stdbool.h>
#include <time.h>

#include "integration/kit/clock.h"
#include "support/test.h"

struct it_test {
    const char *name;
    void (*run)(void **state);
};
#define IT_TEST(function)                                                                          \
    {                                                                                              \
#function, function                                                                        \
    }

/* Runs the tests of `table`, or with an argument those whose name matches it (shell style). Returns
 * the exit status for main. */
int it_main(int argc, char **argv, const struct it_test *table, size_t count);

#define IT_MAIN(table)                                                                             \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return it_main(argc, argv, table, sizeof(table) / sizeof(table)[0]);                       \
    }

/* Says beside the test's name why it could not do its work here. The test returns after this. */
void it_skip(const char *reason);
/* A line of output that is no claim: a figure, a remark. */
void it_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Waits until `condition` holds; fails the test when it has not within `limit_ms`. */
#define IT_UNTIL(limit_ms, condition)                                                              \
    do {                                                                                           \
        uint64_t it_until = it_now_ms() + (uint64_t)(limit_ms);                                    \
        while (!(condition)) {                                                                     \
            if (it_now_ms() > it_until) {                                                          \
                fail_msg("not within %d ms: %s", (int)(limit_ms), #condition);                     \
            }                                                                                      \
            it_pause();                                                                            \
        }                                                                                          \
    } while (0)

/* The test goes on only when `text` contains `part`. */
#define it_contains(text, part) it_contains_at((text), (part), __FILE__, __LINE__)
void it_contains_at(const char *text, const char *part, const char *file, int line);

#endif
