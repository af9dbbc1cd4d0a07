/* swimsim: prints what swimsim.h measures, a row for each size of the cluster and condition.
 *
 *   swimsim [--members 3,5,10] [--only lost] [--seeds N] [--seed S] [--calm SECONDS]
 *           [--interval MS] [--timeout MS] [--verdict MS] [--min MS] [--max MS] [--gossip MS]
 *           [--fanout N] [--sync MS] [--verifiers N] [--health N] [--late MS]
 *
 * --only picks the conditions whose name contains it. The second line of options changes what the
 * machines are told; --health 0 and --late 0 (never) switch off how a member allows for its own
 * faults. Times are medians over the seeds; p99 is over the same, so with few seeds the worst. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "swim/swimsim.h"

#define SEEDS_MAX 1000
#define SIZES_MAX 16

struct condition {
    const char *name;
    uint32_t loss_ppm;
    bool one_way;
    size_t starved_percent; /* of the members, one at least */
    bool slow;
};

static const struct condition conditions[] = {
    {"no fault", 0, false, 0, false},
    {"1 % lost", 10000, false, 0, false},
    {"5 % lost", 50000, false, 0, false},
    {"10 % lost", 100000, false, 0, false},
    {"20 % lost", 200000, false, 0, false},
    {"one-way link", 0, true, 0, false},
    {"1 starved", 0, false, 1, false},
    {"10 % starved", 0, false, 10, false},
    {"1 slow", 0, false, 1, true},
    {"10 % slow", 0, false, 10, true},
};

struct options {
    size_t sizes[SIZES_MAX];
    size_t sizes_n;
    const char *only;
    uint64_t seeds, seed, calm_s; /* 0: by the size of the cluster */
    struct pc_swim_opts swim;
};

/* ---- one row */
struct samples {
    pc_ms suspect[SEEDS_MAX], first[SEEDS_MAX], all[SEEDS_MAX];
    size_t n;
    struct swimsim_result sum;
};

static int compare_ms(const void *a, const void *b)
{
    pc_ms x = *(const pc_ms *)a;
    pc_ms y = *(const pc_ms *)b;
    return (x > y) - (x < y);
}

/* Sorts; the value that `percent` of all do not exceed. */
static pc_ms quantile(pc_ms *v, size_t n, size_t percent)
{
    qsort(v, n, sizeof *v, compare_ms);
    size_t rank = (n * percent + 99) / 100;
    return v[rank > 0 ? rank - 1 : 0];
}

static void add(struct samples *samples, const struct swimsim_result *result)
{
    struct swimsim_result *sum = &samples->sum;
    PC_ASSERT(samples->n < SEEDS_MAX);
    samples->suspect[samples->n] = result->suspect_ms;
    samples->first[samples->n] = result->first_ms;
    samples->all[samples->n++] = result->all_ms;
    sum->false_deaths += result->false_deaths;
    sum->false_deaths_starved += result->false_deaths_starved;
    sum->member_ms += result->member_ms;
    sum->bytes += result->bytes;
    sum->packets += result->packets;
    sum->calm_member_ms += result->calm_member_ms;
    sum->ignorant += result->ignorant > 0;
}

static void print_head(void)
{
    printf("| members | condition | seeds | suspected | first verdict | all know | p99 | "
           "false deaths per member-hour | of starved | B/s | packets/s |\n"
           "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
}

static void print_row(size_t members, const char *condition, struct samples *samples)
{
    const struct swimsim_result *sum = &samples->sum;
    double hours = (double)sum->member_ms / 3600000;
    double seconds = (double)sum->calm_member_ms / 1000;
    printf("| %zu | %s | %zu | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64
           " | %.3g | %.3g | %.0f | %.1f |",
        members, condition, samples->n, quantile(samples->suspect, samples->n, 50),
        quantile(samples->first, samples->n, 50), quantile(samples->all, samples->n, 50),
        quantile(samples->all, samples->n, 99), (double)sum->false_deaths / hours,
        (double)sum->false_deaths_starved / hours, (double)sum->bytes / seconds,
        (double)sum->packets / seconds);
    if (sum->ignorant > 0) {
        printf(" in %zu runs somebody never learnt of it", sum->ignorant);
    }
    printf("\n");
    (void)fflush(stdout);
}

/* What a row of the larger sizes costs grows with the square of them, or more. */
static uint64_t default_seeds(size_t members)
{
    return members <= 32 ? 100 : members <= 100 ? 30 : members <= 400 ? 7 : 3;
}

static void run_row(
    const struct options *options, size_t members, const struct condition *condition)
{
    static struct samples samples;
    memset(&samples, 0, sizeof samples);
    struct swimsim_params params;
    swimsim_params_default(&params);
    params.opts = options->swim;
    params.members = members;
    params.loss_ppm = condition->loss_ppm;
    params.one_way = condition->one_way;
    params.slow = condition->slow;
    if (condition->starved_percent > 0) {
        size_t starved =
            condition->starved_percent == 1 ? 1 : members * condition->starved_percent / 100;
        params.starved = starved > 0 ? starved : 1;
    }
    uint64_t calm_s = options->calm_s != 0 ? options->calm_s : members <= 100 ? 60 : 20;
    params.calm_ms = calm_s * 1000;
    uint64_t seeds = options->seeds != 0 ? options->seeds : default_seeds(members);
    for (uint64_t k = 0; k < seeds; k++) {
        struct swimsim_result result;
        params.seed = options->seed + k;
        swimsim_run(&params, &result);
        add(&samples, &result);
    }
    print_row(members, condition->name, &samples);
}

/* ---- the command line */
_Noreturn static void usage(const char *what)
{
    fprintf(stderr, "swimsim: %s; see the head of tests/swim/swimsim.c\n", what);
    exit(2);
}

static uint64_t number(const char *text, uint64_t max)
{
    char *end;
    uint64_t v = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || v > max) {
        usage("not such a number");
    }
    return v;
}

static void parse_sizes(struct options *options, char *text)
{
    options->sizes_n = 0;
    for (bool more = true; more;) {
        size_t len = strcspn(text, ",");
        more = text[len] == ',';
        text[len] = '\0';
        uint64_t size = number(text, PC_MEMBERS_MAX);
        if (size < 2 || options->sizes_n == SIZES_MAX) {
            usage("2 to 1024 members, up to 16 sizes");
        }
        options->sizes[options->sizes_n++] = (size_t)size;
        text += len + 1;
    }
}

static bool parse_swim(struct pc_swim_opts *swim, const char *name, const char *value)
{
    struct {
        const char *name;
        pc_ms *v;
    } times[] = {{"--interval", &swim->probe_interval_ms}, {"--timeout", &swim->probe_timeout_ms},
        {"--verdict", &swim->probe_verdict_ms}, {"--min", &swim->suspicion_min_ms},
        {"--max", &swim->suspicion_max_ms}, {"--gossip", &swim->gossip_interval_ms},
        {"--sync", &swim->push_pull_interval_ms}, {"--late", &swim->late_ms}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (strcmp(name, times[i].name) == 0) {
            *times[i].v = number(value, 3600000);
            return true;
        }
    }
    if (strcmp(name, "--fanout") == 0) {
        swim->gossip_fanout = (uint32_t)number(value, 100);
    } else if (strcmp(name, "--verifiers") == 0) {
        swim->verifiers = (uint32_t)number(value, 1000);
    } else if (strcmp(name, "--health") == 0) {
        swim->health_max = (uint32_t)number(value, 100);
    } else {
        return false;
    }
    return true;
}

static void parse(struct options *options, const char *name, char *value)
{
    if (strcmp(name, "--members") == 0) {
        parse_sizes(options, value);
    } else if (strcmp(name, "--only") == 0) {
        options->only = value;
    } else if (strcmp(name, "--seeds") == 0) {
        options->seeds = number(value, SEEDS_MAX);
    } else if (strcmp(name, "--seed") == 0) {
        options->seed = number(value, UINT64_MAX / 2);
    } else if (strcmp(name, "--calm") == 0) {
        options->calm_s = number(value, 100000);
    } else if (!parse_swim(&options->swim, name, value)) {
        usage(name);
    }
}

int main(int argc, char **argv)
{
    struct options options = {
        .sizes = {3, 5, 10, 32, 100, 316, 1000}, .sizes_n = 7, .only = "", .seed = 1};
    pc_swim_opts_default(&options.swim);
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) {
            usage("an option without a value");
        }
        parse(&options, argv[i], argv[i + 1]);
    }
    if (options.swim.late_ms == 0) {
        options.swim.late_ms = PC_SWIM_LATE_NEVER;
    }
    print_head();
    for (size_t s = 0; s < options.sizes_n; s++) {
        for (size_t c = 0; c < sizeof conditions / sizeof conditions[0]; c++) {
            bool repeats = conditions[c].starved_percent == 10 && options.sizes[s] < 20;
            if (strstr(conditions[c].name, options.only) != NULL && !repeats) {
                run_row(&options, options.sizes[s], &conditions[c]);
            }
        }
    }
    return 0;
}
