/* What a run leaves behind: a hash of all that happened, the last state changes as lines, and the
 * first violation. */
#include <stdarg.h>
#include <stdio.h>

#include "sim/sim_int.h"

static const struct {
    const char *number;
    enum pc_sim_kind kind;
    const char *text;
} properties[] = {
#define PROPERTY_ROW(id, number, kind, text) {number, PC_SIM_##kind, text},
    PC_SIM_PROPERTY_LIST(PROPERTY_ROW)
#undef PROPERTY_ROW
};

const char *pc_sim_property_number(enum pc_sim_property property)
{
    return properties[property].number;
}

const char *pc_sim_property_text(enum pc_sim_property property)
{
    return properties[property].text;
}

enum pc_sim_kind pc_sim_property_kind(enum pc_sim_property property)
{
    return properties[property].kind;
}

const char *pc_sim_plant_name(enum pc_sim_plant plant)
{
    static const char *const names[] = {
        [PC_SIM_PLANT_NONE] = "none",
        [PC_SIM_PLANT_ACK_BEFORE_FSYNC] = "ack-before-fsync",
        [PC_SIM_PLANT_VOTE_NOT_PERSISTED] = "vote-not-persisted",
        [PC_SIM_PLANT_READ_NO_WAIT] = "read-without-waiting",
        [PC_SIM_PLANT_LEADER_SELF] = "leader-counts-unsynced-self",
        [PC_SIM_PLANT_DUP_FORWARD] = "forward-duplicated",
        [PC_SIM_PLANT_WALL_TTL] = "expiry-by-wall-clock",
        [PC_SIM_PLANT_GENERATION_KEPT] = "generation-kept",
        [PC_SIM_PLANT_SYNC_BELIEVED] = "failed-sync-believed",
        [PC_SIM_PLANT_OUTSIDER_DISTURBS] = "outsider-disturbs",
        [PC_SIM_PLANT_NONSENSE_MENDED] = "nonsense-mended",
        [PC_SIM_PLANT_REPLAY_TAKEN] = "replay-taken",
        [PC_SIM_PLANT_STOP_AT_ONCE] = "stop-at-once",
        [PC_SIM_PLANT_SWIM_DECIDES] = "swim-decides",
        [PC_SIM_PLANT_WIPED_ADMITTED] = "wiped-admitted",
    };
    return names[plant];
}

void sim_trace_mix(struct pc_sim *sim, uint64_t v)
{
    uint64_t h = (sim->hash ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    sim->hash = h ^ (h >> 29);
}

void sim_trace_line(struct pc_sim *sim, const char *format, ...)
{
    char *line = sim->lines[sim->lines_n % SIM_LINES];
    int used = snprintf(line, SIM_LINE_BYTES, "%6llu.%03llu  ",
        (unsigned long long)(sim->now_us / 1000), (unsigned long long)(sim->now_us % 1000));
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line + used, SIM_LINE_BYTES - (size_t)used, format, args);
    va_end(args);
    sim->lines_n++;
    if (sim->params.verbose) {
        printf("%s\n", line);
    }
}

void sim_fail(struct pc_sim *sim, enum pc_sim_property property, const char *format, ...)
{
    if (sim->failed || (sim->params.ignored >> property & 1) != 0) {
        return;
    }
    sim->failed = true;
    sim->failure = property;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sim->failure_text, sizeof sim->failure_text, format, args);
    va_end(args);
    sim_trace_line(sim, "VIOLATED %s: %s", pc_sim_property_number(property), sim->failure_text);
}

void pc_sim_print_timeline(const struct pc_sim *sim, FILE *out)
{
    uint64_t from = sim->lines_n > SIM_LINES ? sim->lines_n - SIM_LINES : 0;
    if (from > 0) {
        fprintf(out, "   (%llu earlier lines left out)\n", (unsigned long long)from);
    }
    for (uint64_t i = from; i < sim->lines_n; i++) {
        fprintf(out, "%s\n", sim->lines[i % SIM_LINES]);
    }
}

bool pc_sim_failed(const struct pc_sim *sim)
{
    return sim->failed;
}

enum pc_sim_property pc_sim_failure(const struct pc_sim *sim)
{
    PC_ASSERT(sim->failed);
    return sim->failure;
}

const char *pc_sim_failure_text(const struct pc_sim *sim)
{
    return sim->failure_text;
}

uint64_t pc_sim_trace_hash(const struct pc_sim *sim)
{
    return sim->hash;
}

void pc_sim_stats(const struct pc_sim *sim, struct pc_sim_stats *stats)
{
    *stats = sim->stats;
    stats->simulated_ms = sim->now_us / 1000;
    stats->committed = sim->ghost.last;
}

void pc_sim_stats_add(struct pc_sim_stats *into, const struct pc_sim_stats *more)
{
    uint64_t slowest =
        into->heal_ms_max > more->heal_ms_max ? into->heal_ms_max : more->heal_ms_max;
    uint64_t core = into->core_ms_max > more->core_ms_max ? into->core_ms_max : more->core_ms_max;
    uint64_t *to = (uint64_t *)into;
    const uint64_t *from = (const uint64_t *)more;
    for (size_t i = 0; i < sizeof *into / sizeof *to; i++) {
        to[i] += from[i];
    }
    into->heal_ms_max = slowest;
    into->core_ms_max = core;
}
