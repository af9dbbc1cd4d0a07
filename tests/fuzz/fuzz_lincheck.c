/* Histories of clients, as the checker of real runs reads them: a file that is none is refused with
 * its line, and one that is gets a verdict, the same one twice. */
#define _GNU_SOURCE
#include "fuzz/kit/fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lincheck/check.h"

/* Enough for every decision, little enough for many runs. */
#define STATES_MAX 2000

static enum lin_verdict judge(const struct lin_history *history, bool by_search, uint64_t *broken)
{
    struct lin_options options = {.states_max = STATES_MAX, .is_search_only = by_search};
    struct lin_report *report = pc_xalloc(sizeof *report);
    enum lin_verdict verdict = lin_check(history, &options, report);
    FUZZ_CHECK("a violation has a rule", (verdict == LIN_VIOLATION) == (report->violations > 0));
    char text[2048];
    for (size_t i = 0; i < report->violations_n; i++) {
        lin_violation_format(history, &report->violation[i], text, sizeof text);
        FUZZ_CHECK("a violation has a text", text[0] != '\0');
    }
    *broken = report->violations;
    free(report);
    return verdict;
}

/* The first line by itself: what parses, is written as a line that says the same. */
static void check_line(const char *line, size_t len)
{
    struct lin_record *record = pc_xalloc(2 * sizeof *record);
    char why[300], *once = pc_xalloc(2 * (LIN_LINE_BYTES_MAX + 1));
    char *twice = once + LIN_LINE_BYTES_MAX + 1;
    if (lin_record_parse(line, len, &record[0], why, sizeof why)) {
        size_t n = lin_record_format(&record[0], once, LIN_LINE_BYTES_MAX + 1);
        FUZZ_CHECK("a line has room", n > 1);
        FUZZ_CHECK(
            "what is written parses", lin_record_parse(once, n - 1, &record[1], why, sizeof why));
        FUZZ_CHECK(
            "to the same", lin_record_format(&record[1], twice, LIN_LINE_BYTES_MAX + 1) == n &&
                               memcmp(once, twice, n) == 0);
    }
    free(once);
    free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("history", MFD_CLOEXEC);
    PC_ASSERT(fd >= 0);
    PC_ASSERT(size == 0 || write(fd, data, size) == (ssize_t)size);
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    check_line((const char *)data, end != NULL ? (size_t)(end - data) : size);
    char path[64], why[300] = "";
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct lin_history history;
    lin_history_create(&history);
    if (lin_history_read(&history, path, why, sizeof why)) {
        uint64_t first = 0, second = 0;
        FUZZ_CHECK(
            "the same verdict", judge(&history, false, &first) == judge(&history, false, &second));
        FUZZ_CHECK("the same violations", first == second);
        (void)judge(&history, true, &second);
    } else {
        FUZZ_CHECK("a refusal says why", why[0] != '\0');
    }
    lin_history_destroy(&history);
    (void)close(fd);
    return 0;
}
