/* pcsim: runs simulated clusters, one for each seed, and says what held.
 *
 * Exit status: 0 all held; 1 a safety property broke; 2 a liveness property broke; 64 usage. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/sim_jobs.h"

#define EX_USAGE 64
#define TWICE_EVERY 50 /* seeds; B.54 */

struct options {
    uint64_t from, count;
    uint64_t minutes; /* 0 = no limit */
    size_t nodes;     /* 0 = drawn */
    size_t jobs;      /* processes that share the seeds out */
    bool verbose, shrink;
    enum pc_sim_plant plant;
    uint64_t ignored; /* bit set of properties */
    /* What makes a run smaller than its seed draws it. */
    uint64_t without;  /* bit set of classes of faults */
    uint64_t chaos_ms; /* 0 = drawn */
    uint64_t clients;  /* UINT64_MAX = drawn */
    bool no_rest;
};

/* For the handler of a crash: which run it was. */
static struct pc_sim *running;
static const struct options *running_with;

/* Provided by the sanitizers' runtime when the program is built with one. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static const char *commit_id(char *out, size_t size)
{
    (void)snprintf(out, size, "unknown");
    const char *given = getenv("PC_COMMIT");
    if (given != NULL) {
        (void)snprintf(out, size, "%s", given);
        return out;
    }
    int ends[2];
    if (pipe(ends) != 0) {
        return out;
    }
    pid_t git = fork();
    if (git == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)execlp("git", "git", "rev-parse", "--short", "HEAD", (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    char line[64];
    ssize_t got = read(ends[0], line, sizeof line - 1);
    (void)close(ends[0]);
    if (git > 0) {
        (void)waitpid(git, NULL, 0);
    }
    if (got > 1) {
        line[got] = '\0';
        line[strcspn(line, "\n")] = '\0';
        (void)snprintf(out, size, "%s", line);
    }
    return out;
}

static size_t founders_of(const struct pc_sim_params *params)
{
    return params->founders_n > 0 ? params->founders_n : params->nodes_n;
}

static void print_replay(const struct pc_sim *sim, const struct options *options)
{
    char commit[64];
    printf("  seed %" PRIu64 ", %zu nodes, commit %s\n", pc_sim_params(sim)->seed,
        founders_of(pc_sim_params(sim)), commit_id(commit, sizeof commit));
    printf("  replay: pcsim --seed %" PRIu64, pc_sim_params(sim)->seed);
    if (options->nodes != 0) {
        printf(" --nodes %zu", options->nodes);
    }
    if (options->chaos_ms != 0) {
        printf(" --chaos-ms %" PRIu64, options->chaos_ms);
    }
    if (options->clients != UINT64_MAX) {
        printf(" --clients %" PRIu64, options->clients);
    }
    const char *before = " --without ";
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        if ((options->without >> i & 1) != 0) {
            printf("%s%s", before, pc_sim_fault_name((enum pc_sim_fault)i));
            before = ",";
        }
    }
    if (options->no_rest) {
        printf(" --no-frozen-rest");
    }
    if (options->plant != PC_SIM_PLANT_NONE) {
        printf(" --plant %s", pc_sim_plant_name(options->plant));
    }
    printf(" --verbose\n");
}

static void on_death(void)
{
    if (running != NULL) {
        struct pc_sim *sim = running;
        running = NULL;
        printf("\nThe program died. State changes up to there:\n");
        pc_sim_print_timeline(sim, stdout);
        print_replay(sim, running_with);
        (void)fflush(stdout);
    }
}

static void on_abort(int signal_number)
{
    (void)signal_number;
    on_death();
    _exit(1);
}

static void print_faults(const struct pc_sim_params *p)
{
    printf("  faults:");
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        if (p->fault[i]) {
            printf(" %s", pc_sim_fault_name((enum pc_sim_fault)i));
            if (pc_sim_fault_strikes((enum pc_sim_fault)i)) {
                printf("/%" PRIu64 "ms", p->fault_gap_ms[i]);
            }
        }
    }
    printf("%s\n", p->frozen_rest ? ", a frozen rest" : "");
    printf("  for %" PRIu64 " ms: delay %" PRIu64 "+%" PRIu64 " us, late %u, lost %u, reset %u,"
           " twice %u, out of order %u ppm\n",
        p->chaos_ms, p->delay_min_us, p->delay_mean_us, p->late_ppm, p->loss_ppm, p->reset_ppm,
        p->duplicate_ppm, p->reorder_ppm);
    printf("  write %" PRIu64 ", sync %" PRIu64 ", slow %" PRIu64
           " us; failing calls %u, other disks"
           " %u, cut within a write %u ppm; %zu clients, %zu keys\n",
        p->disk_write_us, p->disk_sync_us, p->disk_slow_us, p->io_error_ppm, p->disk_lost_ppm,
        p->crash_in_write_ppm, p->clients_n, p->keys_n);
    printf("  %zu spares, auto_shrink %s, dead after %" PRIu64 " ms%s\n", p->spares_n,
        p->auto_shrink ? "on" : "off", p->dead_after_ms,
        p->deaths ? ", then deaths one by one" : "");
}

static void print_failure(const struct pc_sim *sim, const struct options *options)
{
    enum pc_sim_property property = pc_sim_failure(sim);
    if (!options->verbose) {
        printf("State changes (ms.us):\n");
        pc_sim_print_timeline(sim, stdout);
    }
    printf("\nVIOLATED %s (%s)\n  %s\n", pc_sim_property_number(property),
        pc_sim_property_text(property), pc_sim_failure_text(sim));
    print_faults(pc_sim_params(sim));
    print_replay(sim, options);
}

static void fill_params(const struct options *options, uint64_t seed, struct pc_sim_params *params)
{
    pc_sim_params_draw(params, seed, options->nodes);
    params->plant = options->plant;
    params->ignored = options->ignored;
    params->chaos_ms = options->chaos_ms != 0 ? options->chaos_ms : params->chaos_ms;
    params->frozen_rest = params->frozen_rest && !options->no_rest && params->nodes_n >= 3;
    if (options->clients != UINT64_MAX) {
        params->clients_n = (size_t)options->clients;
    }
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        if ((options->without >> i & 1) != 0) {
            pc_sim_params_leave_out(params, (enum pc_sim_fault)i);
        }
    }
}

/* Makes the failing run small and prints what is left of it. */
static void shrink(const struct options *options, uint64_t seed, enum pc_sim_property property)
{
    struct pc_sim_params drawn, params;
    fill_params(options, seed, &drawn);
    params = drawn;
    printf("shrinking ...\n");
    (void)fflush(stdout);
    pc_sim_shrink(&params, property);
    struct options small = *options;
    small.nodes = founders_of(&params);
    small.chaos_ms = params.chaos_ms;
    small.clients = params.clients_n;
    small.no_rest = small.no_rest || (drawn.frozen_rest && !params.frozen_rest);
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        small.without |= drawn.fault[i] && !params.fault[i] ? UINT64_C(1) << i : 0;
    }
    fill_params(&small, seed, &params);
    struct pc_sim *sim = pc_sim_new(&params);
    pc_sim_run(sim);
    print_failure(sim, &small);
    pc_sim_delete(sim);
}

static struct pc_sim *run(const struct options *options, uint64_t seed, bool verbose)
{
    struct pc_sim_params params;
    fill_params(options, seed, &params);
    params.verbose = verbose;
    struct pc_sim *sim = pc_sim_new(&params);
    running = sim;
    pc_sim_run(sim);
    running = NULL;
    return sim;
}

/* Runs a seed; on failure prints it. Returns the exit status. */
static int run_seed(const struct options *options, uint64_t seed, struct pc_sim_stats *total)
{
    struct pc_sim *sim = run(options, seed, options->verbose);
    struct pc_sim_stats stats;
    pc_sim_stats(sim, &stats);
    pc_sim_stats_add(total, &stats);
    int status = 0;
    if (pc_sim_failed(sim)) {
        print_failure(sim, options);
        status = pc_sim_property_kind(pc_sim_failure(sim)) == PC_SIM_SAFETY ? 1 : 2;
        if (options->shrink) {
            shrink(options, seed, pc_sim_failure(sim));
        }
    } else if (seed % TWICE_EVERY == 0) {
        struct pc_sim *again = run(options, seed, false);
        if (pc_sim_trace_hash(again) != pc_sim_trace_hash(sim)) {
            printf("VIOLATED %s (%s): seed %" PRIu64 " ran differently the second time\n",
                pc_sim_property_number(PC_SIM_B54), pc_sim_property_text(PC_SIM_B54), seed);
            print_replay(sim, options);
            status = 1;
        }
        pc_sim_delete(again);
    }
    if (options->verbose && status == 0) {
        printf("seed %" PRIu64 ": trace %016" PRIx64 "\n", seed, pc_sim_trace_hash(sim));
    }
    pc_sim_delete(sim);
    return status;
}

static void print_summary(uint64_t seeds, double seconds, const struct pc_sim_stats *s)
{
    printf("%" PRIu64 " seeds in %.1f s; %" PRIu64 " events in %.1f simulated hours\n", seeds,
        seconds, s->events, (double)s->simulated_ms / 3600000.0);
    printf("  elections %" PRIu64 ", crashes %" PRIu64 " (%" PRIu64 " power cuts, %" PRIu64
           " in a write, %" PRIu64 " in recovery), restarts %" PRIu64 ", pauses %" PRIu64 "\n",
        s->elections_won, s->crashes, s->power_cuts, s->crashes_in_write, s->recoveries_cut,
        s->restarts, s->pauses);
    printf("  partitions %" PRIu64 ", connections reset %" PRIu64 ", transfers %" PRIu64
           ", full logs %" PRIu64 "\n",
        s->partitions, s->resets, s->transfers, s->full_episodes);
    printf("  stops in order %" PRIu64 ", lies to SWIM %" PRIu64 ", nonsense %" PRIu64
           ", damaged %" PRIu64 ", played back %" PRIu64 "\n",
        s->stops, s->lies, s->nonsense, s->damaged, s->replayed);
    printf("  failed calls %" PRIu64 ", logs failed %" PRIu64 ", starts failed %" PRIu64
           "; disks exchanged %" PRIu64 ", lost for good %" PRIu64 ", refused at start %" PRIu64
           "\n",
        s->io_errors, s->failed_logs, s->failed_starts, s->disks_exchanged, s->disks_lost,
        s->refused_starts);
    printf("  requests about members %" PRIu64 ", done %" PRIu64 "; disks replaced %" PRIu64
           ", empty nodes let in %" PRIu64 "\n",
        s->member_requests, s->members_changed, s->disks_replaced, s->joined);
    printf("  long deaths %" PRIu64 ", places of the dead taken %" PRIu64 ", votes taken %" PRIu64
           ", had again %" PRIu64 "; deaths one by one %" PRIu64 "\n",
        s->long_deaths, s->places_taken, s->votes_taken, s->votes_regained, s->survived);
    printf("  lives noted %" PRIu64 "; older copies of a disk %" PRIu64 ", found out %" PRIu64 "\n",
        s->lives_noted, s->old_copies, s->refused_copies);
    printf("  snapshots made %" PRIu64 ", fetched %" PRIu64 ", failed %" PRIu64
           ", found at a start %" PRIu64 ", damaged %" PRIu64 "; logs replaced %" PRIu64
           ", dropped %" PRIu64 " times\n",
        s->snaps_made, s->snaps_fetched, s->snaps_failed, s->snaps_found, s->snaps_rotten,
        s->snaps_installed, s->log_drops);
    printf("  branches opened %" PRIu64 ", gone on with %" PRIu64 ", failed %" PRIu64
           "; writes in them %" PRIu64 ", reads %" PRIu64 "\n",
        s->branches_opened, s->branches_resumed, s->branches_failed, s->branch_writes,
        s->branch_reads);
    printf("  bits flipped in memory %" PRIu64 ", nodes that found it %" PRIu64
           ", that had nothing left to find %" PRIu64 "\n",
        s->flips, s->flips_found, s->flips_gone);
    printf("  messages %" PRIu64 ", datagrams %" PRIu64 ", syncs %" PRIu64 ", loads %" PRIu64
           ", entries committed %" PRIu64 ", asked of peers %" PRIu64 " times, given %" PRIu64 "\n",
        s->messages, s->datagrams, s->syncs, s->loads, s->committed, s->fetches, s->entries_given);
    printf("  writes acknowledged %" PRIu64 ", unknown %" PRIu64 ", refused %" PRIu64
           "; reads linearizable %" PRIu64 ", local %" PRIu64 ", failed %" PRIu64 "\n",
        s->acked_writes, s->unknown_writes, s->refused_writes, s->linear_reads, s->local_reads,
        s->failed_reads);
    printf("  writes with a condition that held %" PRIu64 ", that did not %" PRIu64 "\n",
        s->conditions_met, s->conditions_unmet);
    printf("  programs exchanged %" PRIu64 ", messages withheld %" PRIu64 ", newer entries %" PRIu64
           ", conditions refused for a member's age %" PRIu64 ", logs refused %" PRIu64 "\n",
        s->programs_exchanged, s->withheld, s->newer_entries, s->refused_for_age,
        s->unreadable_logs);
    printf("  cores beside a frozen rest %" PRIu64 ", their term raised %" PRIu64
           " times; slowest convergence %" PRIu64 " ms in a core, %" PRIu64 " ms of all\n",
        s->cores, s->window_raises, s->core_ms_max, s->heal_ms_max);
}

static void print_properties(void)
{
    printf("checked:\n");
    for (size_t i = 0; i < PC_SIM_PROPERTIES_N; i++) {
        printf("  %-5s %s\n", pc_sim_property_number((enum pc_sim_property)i),
            pc_sim_property_text((enum pc_sim_property)i));
    }
}

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int usage(void)
{
    fprintf(stderr,
        "usage: pcsim --seed N [--verbose]      run one seed\n"
        "       pcsim [--from N] [--count M] [--minutes K]\n"
        "                                       run seeds N.. (from 1, 500 of them), stop after K"
        " minutes\n"
        "       --shrink                        make what fails small, and print that\n"
        "       --jobs 1..%d                    processes that share the seeds out\n"
        "       --nodes 1..%d, --clients N, --chaos-ms N, --without CLASS,CLASS, --no-frozen-rest\n"
        "                                       instead of what the seed draws\n"
        "       --ignore B.7,B.9                properties not to check\n"
        "       --plant NAME                    with a bug in the driver:",
        SIM_JOBS_MAX, PC_SIM_FOUNDERS_MAX);
    for (size_t i = 1; i < PC_SIM_PLANTS_N; i++) {
        fprintf(stderr, " %s", pc_sim_plant_name((enum pc_sim_plant)i));
    }
    fprintf(stderr, "\n");
    return EX_USAGE;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    unsigned long long value = strtoull(text, &end, 10);
    *out = value;
    return *end == '\0' && value <= max;
}

static bool parse_size(const char *text, uint64_t max, size_t *out)
{
    uint64_t value = 0;
    bool ok = parse_number(text, max, &value) && value > 0;
    *out = (size_t)value;
    return ok;
}

static bool parse_plant(const char *text, enum pc_sim_plant *out)
{
    for (size_t i = 1; text != NULL && i < PC_SIM_PLANTS_N; i++) {
        if (strcmp(text, pc_sim_plant_name((enum pc_sim_plant)i)) == 0) {
            *out = (enum pc_sim_plant)i;
            return true;
        }
    }
    return false;
}

static const char *property_name(size_t i)
{
    return pc_sim_property_number((enum pc_sim_property)i);
}

static const char *fault_name(size_t i)
{
    return pc_sim_fault_name((enum pc_sim_fault)i);
}

/* Some of n names, with commas between them, as a bit set. */
static bool parse_set(const char *text, const char *(*name_of)(size_t i), size_t n, uint64_t *out)
{
    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, ",");
        size_t i = 0;
        for (; i < n; i++) {
            const char *name = name_of(i);
            if (strlen(name) == len && strncmp(name, text, len) == 0) {
                break;
            }
        }
        if (i == n) {
            return false;
        }
        *out |= UINT64_C(1) << i;
        text += text[len] == ',' ? len + 1 : len;
    }
    return text != NULL;
}

static bool parse_flag(const char *name, struct options *o)
{
    bool *flag = strcmp(name, "--verbose") == 0          ? &o->verbose
                 : strcmp(name, "--shrink") == 0         ? &o->shrink
                 : strcmp(name, "--no-frozen-rest") == 0 ? &o->no_rest
                                                         : NULL;
    if (flag != NULL) {
        *flag = true;
    }
    return flag != NULL;
}

static bool parse_option(const char *name, const char *value, struct options *o)
{
    if (strcmp(name, "--seed") == 0) {
        o->count = 1;
        return parse_number(value, INT64_MAX, &o->from);
    }
    if (strcmp(name, "--nodes") == 0) {
        return parse_size(value, PC_SIM_FOUNDERS_MAX, &o->nodes);
    }
    if (strcmp(name, "--jobs") == 0) {
        return parse_size(value, SIM_JOBS_MAX, &o->jobs);
    }
    return strcmp(name, "--from") == 0       ? parse_number(value, INT64_MAX, &o->from)
           : strcmp(name, "--count") == 0    ? parse_number(value, INT64_MAX, &o->count)
           : strcmp(name, "--minutes") == 0  ? parse_number(value, 100000, &o->minutes)
           : strcmp(name, "--chaos-ms") == 0 ? parse_number(value, 1000000, &o->chaos_ms)
           : strcmp(name, "--clients") == 0  ? parse_number(value, PC_SIM_CLIENTS_MAX, &o->clients)
           : strcmp(name, "--plant") == 0    ? parse_plant(value, &o->plant)
           : strcmp(name, "--ignore") == 0
               ? parse_set(value, property_name, PC_SIM_PROPERTIES_N, &o->ignored)
           : strcmp(name, "--without") == 0
               ? parse_set(value, fault_name, PC_SIM_FAULTS_N, &o->without)
               : false;
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        if (parse_flag(argv[i], o)) {
            continue;
        }
        if (!parse_option(argv[i], i + 1 < argc ? argv[i + 1] : NULL, o)) {
            return false;
        }
        i++;
    }
    return true;
}

/* What to write down of a run of many seeds, and how to go on. */
static void print_record(const struct options *options, uint64_t done, double seconds, int status)
{
    char commit[64];
    uint64_t next = options->from + done;
    printf("record: commit %s, seeds %" PRIu64 "..%" PRIu64 ", %" PRIu64
           " seeds in %.0f s (%.1f/s), %s\n",
        commit_id(commit, sizeof commit), options->from, next - 1, done, seconds,
        seconds > 0 ? (double)done / seconds : 0.0,
        status == 0 ? "all held" : "the last one failed");
    printf("next: pcsim --from %" PRIu64 "\n", next);
}

struct deadline {
    const struct options *options;
    double start_s;
};

static int job_run(void *arg, uint64_t seed, struct pc_sim_stats *total)
{
    return run_seed(((struct deadline *)arg)->options, seed, total);
}

static bool job_is_over(void *arg)
{
    const struct deadline *deadline = arg;
    uint64_t minutes = deadline->options->minutes;
    return minutes > 0 && now_s() - deadline->start_s > (double)minutes * 60;
}

static void catch_crashes(const struct options *options)
{
    running_with = options;
    struct sigaction action = {.sa_handler = on_abort};
    (void)sigaction(SIGABRT, &action, NULL);
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(on_death);
    }
}

int main(int argc, char **argv)
{
    struct options options = {.from = 1, .count = 500, .jobs = 1, .clients = UINT64_MAX};
    if (!parse(argc, argv, &options)) {
        return usage();
    }
    catch_crashes(&options);
    struct deadline deadline = {.options = &options, .start_s = now_s()};
    struct sim_jobs jobs = {.from = options.from,
        .count = options.count,
        .processes = options.verbose || options.count == 1 ? 1 : options.jobs,
        .run = job_run,
        .is_over = job_is_over,
        .arg = &deadline};
    struct pc_sim_stats total = {0};
    uint64_t done = 0;
    int status = sim_jobs_run(&jobs, &total, &done);
    double seconds = now_s() - deadline.start_s;
    print_summary(done, seconds, &total);
    if (status == 0) {
        print_properties();
        printf("all held for seeds %" PRIu64 "..%" PRIu64 "\n", options.from,
            options.from + done - (done > 0 ? 1 : 0));
    }
    if (options.count > 1 && done > 0) {
        print_record(&options, done, seconds, status);
    }
    return status;
}
