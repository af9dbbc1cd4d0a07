/* lincheck: judges histories (history.h).
 *
 *   lincheck [--states N] [--cross-check] [--search] [--ttl-early-ms N] [--ttl-late-ms N] FILE...
 *
 *   --states N         states that the search of one key may meet; default 2000000
 *   --cross-check      search every key also where versions decide, and compare
 *   --search           search only
 *   --ttl-early-ms N   let a value be gone so much before its time to live is over; default 0
 *   --ttl-late-ms N    let it be there so much after that, beside the time in which nobody could
 *                      write; default 3000
 *
 * All files together are one history. Prints each violation (the first 50) with the operations that
 * contradict each other, a line of figures for each node, and one for all, of words name=value; the
 * last line begins with verdict=good, verdict=violation or verdict=undecided.
 *
 * Exit status: 0 good; 1 a violation; 2 bad usage or input; 3 undecided, because the search of a
 * key met its bound. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lincheck/check.h"
#include "pcache/assert.h"

static void print_violations(const struct lin_history *h, const struct lin_report *report)
{
    static char text[8192];
    for (size_t i = 0; i < report->violations_n; i++) {
        lin_violation_format(h, &report->violation[i], text, sizeof text);
        puts(text);
    }
    if (report->violations > report->violations_n) {
        printf("... and %" PRIu64 " more\n", report->violations - report->violations_n);
    }
}

static void print_figures(
    const struct lin_history *h, const struct lin_report *r, enum lin_verdict verdict)
{
    static const char *const verdicts[] = {"good", "violation", "undecided"};
    for (size_t i = 0; i < r->nodes_n; i++) {
        printf("node=%s operations=%" PRIu64 " read_gap_ms=%" PRIu64 " write_gap_ms=%" PRIu64 "\n",
            lin_history_text(h, r->node[i].node), r->node[i].operations,
            r->node[i].read_gap_us / 1000, r->node[i].write_gap_us / 1000);
    }
    if (r->undecided > 0) {
        printf("undecided: %s\n", r->undecided_why);
    }
    printf("verdict=%s operations=%" PRIu64 " ok=%" PRIu64 " unknown=%" PRIu64 " failed=%" PRIu64
           " writes=%" PRIu64 " reads=%" PRIu64 " local_reads=%" PRIu64 " final_reads=%" PRIu64
           " keys=%" PRIu64 " read_gap_ms=%" PRIu64 " write_gap_ms=%" PRIu64,
        verdicts[verdict], r->operations, r->ok, r->unknown, r->failed, r->writes, r->reads,
        r->local_reads, r->final_reads, r->keys, r->all.read_gap_us / 1000,
        r->all.write_gap_us / 1000);
    uint64_t named = r->count[LIN_RULE_LOST] + r->count[LIN_RULE_STALE] +
                     r->count[LIN_RULE_DUPLICATE] + r->count[LIN_RULE_UNREAD];
    printf(" lost=%" PRIu64 " stale=%" PRIu64 " duplicates=%" PRIu64 " unread=%" PRIu64
           " other=%" PRIu64 " undecided=%" PRIu64 " searched=%" PRIu64 " states_most=%" PRIu64
           "\n",
        r->count[LIN_RULE_LOST], r->count[LIN_RULE_STALE], r->count[LIN_RULE_DUPLICATE],
        r->count[LIN_RULE_UNREAD], r->violations - named, r->undecided, r->by_search,
        r->states_most);
}

static bool parse_number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long value = text != NULL ? strtoull(text, &end, 10) : 0;
    if (text == NULL || text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) {
        return false;
    }
    *out = value;
    return true;
}

/* The index of the first file, or 0 when the arguments make no sense. */
static int parse_options(int argc, char **argv, struct lin_options *out)
{
    *out = (struct lin_options){.states_max = LIN_STATES_MAX, .ttl_late_ms = LIN_TTL_LATE_MS};
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        bool is_ok = true;
        if (strcmp(argv[i], "--cross-check") == 0) {
            out->is_cross_check = true;
        } else if (strcmp(argv[i], "--search") == 0) {
            out->is_search_only = true;
        } else if (strcmp(argv[i], "--states") == 0) {
            is_ok = parse_number(argv[++i], &out->states_max);
        } else if (strcmp(argv[i], "--ttl-early-ms") == 0) {
            is_ok = parse_number(argv[++i], &out->ttl_early_ms) &&
                    out->ttl_early_ms < UINT64_MAX / 1000;
        } else if (strcmp(argv[i], "--ttl-late-ms") == 0) {
            is_ok = parse_number(argv[++i], &out->ttl_late_ms) && out->ttl_late_ms < UINT32_MAX;
        } else {
            is_ok = false;
        }
        if (!is_ok) {
            return 0;
        }
    }
    return i < argc ? i : 0;
}

int main(int argc, char **argv)
{
    static struct lin_report report;
    struct lin_history h;
    struct lin_options options;
    char why[1024];
    int first = parse_options(argc, argv, &options);
    if (first == 0) {
        fprintf(stderr, "usage: lincheck [--states N] [--cross-check] [--search] "
                        "[--ttl-early-ms N] [--ttl-late-ms N] FILE...\n");
        return 2;
    }
    lin_history_create(&h);
    for (int i = first; i < argc; i++) {
        if (!lin_history_read(&h, argv[i], why, sizeof why)) {
            fprintf(stderr, "lincheck: %s\n", why);
            lin_history_destroy(&h);
            return 2;
        }
    }
    if (h.n == 0) {
        fprintf(stderr, "lincheck: no operations: that proves nothing\n");
        lin_history_destroy(&h);
        return 2;
    }
    enum lin_verdict verdict = lin_check(&h, &options, &report);
    print_violations(&h, &report);
    print_figures(&h, &report, verdict);
    lin_history_destroy(&h);
    return verdict == LIN_GOOD ? 0 : verdict == LIN_VIOLATION ? 1 : 3;
}
