/* cluster recover: the one command that works on a data directory instead of asking nodes. What it
 * does there is in recover.c; here is who may do it: nobody while the node runs, or while another
 * node of the cluster answers, and nobody by mistake. */
#include "pcadmin_int.h"

#include <inttypes.h>
#include <string.h>

#include "pcache/os.h"
#include "pcached/config/config.h"
#include "pclog/pclog_int.h"
#include "recover.h"

#define ANSWER_MS 1000 /* per address of another node */

extern char **environ;

static int exit_of_err(pc_err err)
{
    switch (err) {
    case PC_E_CORRUPT:
        return EXIT_DAMAGED;
    case PC_E_VERSION:
        return EXIT_VERSION;
    case PC_E_INVALID:
    case PC_E_NOT_FOUND:
    case PC_E_LOCKED:
        return EXIT_NO;
    default:
        return EXIT_LOCAL_IO;
    }
}

static int refuse(const struct pc_error *error)
{
    fprintf(stderr, "pcadmin: %s\n", error->text);
    return exit_of_err(error->code);
}

/* ---- who answers */

/* A node that answers has promises to keep, and data that this one may lack. */
static bool nobody_answers(const struct pc_config *config)
{
    bool is_nobody = true;
    for (size_t i = 0; i < config->cluster.members_n; i++) {
        const struct pc_config_member *member = &config->cluster.members[i];
        if (strcmp(member->name, config->node.name) != 0 &&
            client_reaches(member->address, ANSWER_MS)) {
            fprintf(stderr,
                "pcadmin: %s answers at %s: start the nodes that are left, and let them recover"
                " by themselves; a node whose data is to be given up must be stopped first\n",
                member->name, member->address);
            is_nobody = false;
        }
    }
    return is_nobody;
}

/* Members that nobody could ask: the settings do not say where they are. */
static void warn_of_unasked(const struct pc_config *config, const struct recovery *r)
{
    for (size_t i = 0; i < r->config.members_n; i++) {
        const struct pc_cluster_member *member = &r->config.members[i];
        bool is_known = member->id == r->id || member->id == 0;
        for (size_t k = 0; k < config->cluster.members_n; k++) {
            is_known = is_known || strcmp(config->cluster.members[k].name, member->name) == 0;
        }
        if (!is_known) {
            fprintf(stderr,
                "pcadmin: %s was not asked whether it lives: [cluster] members does not say where"
                " it is\n",
                member->name);
        }
    }
}

/* With another node's settings that node would be passed over, and this one asked. */
static bool is_of_settings(const struct pc_config *config, const struct recovery *r)
{
    for (size_t i = 0; i < r->config.members_n; i++) {
        const struct pc_cluster_member *member = &r->config.members[i];
        if (member->id == r->id && strcmp(member->name, config->node.name) != 0) {
            fprintf(stderr,
                "pcadmin: %s is the data directory of %s, the settings are those of"
                " %s\n",
                r->data_dir, member->name, config->node.name);
            return false;
        }
    }
    return true;
}

/* ---- what there is */

static void join(char *out, size_t out_bytes, size_t *used, const char *name)
{
    int len = snprintf(out + *used, out_bytes - *used, "%s%s", *used > 0 ? ", " : "", name);
    *used = len < 0 || (size_t)len >= out_bytes - *used ? out_bytes - 1 : *used + (size_t)len;
}

struct names {
    char voters[600], others[600];
    const char *self;
};

static void names_of(const struct recovery *r, struct names *out)
{
    size_t voters = 0, others = 0;
    *out = (struct names){.self = "?"};
    for (size_t i = 0; i < r->config.members_n; i++) {
        const struct pc_cluster_member *member = &r->config.members[i];
        if (member->votes) {
            join(out->voters, sizeof out->voters, &voters, member->name);
        } else {
            join(out->others, sizeof out->others, &others, member->name);
        }
        out->self = member->id == r->id ? member->name : out->self;
    }
}

static void print_state(const struct recovery *r, const char *history)
{
    struct names names;
    struct pc_store_stats stats;
    names_of(r, &names);
    pc_store_stats(r->store, &stats);
    printf("node      %s, id %016" PRIx64 "\n", names.self, r->id);
    printf("history   %s\n", history);
    printf("voters    %s\n", names.voters);
    if (names.others[0] != '\0') {
        printf("others    %s\n", names.others);
    }
    printf("snapshot  of entry %" PRIu64 "\n", r->snapshot);
    printf("log       up to entry %" PRIu64 ", term %" PRIu64 "; known committed up to %" PRIu64
           "\n",
        r->top, r->term, r->committed);
    printf("state     of entry %" PRIu64 ", %" PRIu64 " keys\n", r->kept.index, stats.items);
    if (r->lost.first > 0) {
        printf("damaged   %s\n", r->where);
        printf("lost      entries %" PRIu64 "..%" PRIu64 ": what comes behind the damage\n",
            r->lost.first, r->lost.last);
    }
}

static void print_fields(
    const struct args *args, const struct recovery *r, const char *history, bool recovered)
{
    static const struct column columns[] = {{"NODE", "node", false}, {"HISTORY", "history", false},
        {"VOTERS", "voters", false}, {"OTHERS", "others", false}, {"SNAPSHOT", "snapshot", true},
        {"LAST", "last", true}, {"COMMITTED", "committed", true}, {"KEPT", "kept", true},
        {"TERM", "term", true}, {"KEYS", "keys", true}, {"RECOVERED", "recovered", false}};
    struct names names;
    struct pc_store_stats stats;
    names_of(r, &names);
    pc_store_stats(r->store, &stats);
    const struct cell cells[] = {cell_text(names.self), cell_text(history), cell_text(names.voters),
        cell_text(names.others), cell_number(r->snapshot), cell_number(r->top),
        cell_number(r->committed), cell_number(r->kept.index), cell_number(r->term),
        cell_number(stats.items), cell_bool(recovered)};
    struct out out;
    out_open(&out, args->form, stdout);
    out_record(&out, columns, cells, sizeof cells / sizeof cells[0]);
    (void)out_close(&out);
}

static void print_done(const struct recovery *r, const char *history)
{
    struct names names;
    names_of(r, &names);
    printf("\n%s is the only voter of the new history %s.\n", names.self, history);
    printf("Start it. %s%s%s\n",
        names.others[0] != '\0' ? "These join by themselves, with empty data directories: "
                                : "No other node is invited.",
        names.others, names.others[0] != '\0' ? "." : "");
}

static void print_choice(void)
{
    printf("\nNothing was changed. With --accept-data-loss this node becomes the only voter of a"
           " new history\nthat begins with this state. Lost is, for good, what the other nodes have"
           " acknowledged and this\none does not have on its disk; kept is what it has, also where"
           " nobody had acknowledged it yet.\nThe data of the other nodes is refused from then on."
           " Do it only when they never come back.\n");
}

/* ---- the command */

static int recover(const struct args *args, struct recovery *r)
{
    struct pc_error error;
    uint8_t history[16];
    char text[33];
    bool was_done = recovery_is_done(r);
    pc_hex_encode(r->config.history, 16, text);
    if (args->form == OUTPUT_TABLE) {
        print_state(r, text);
    }
    if (args->accept_data_loss || was_done) {
        pc_entropy(history, sizeof history);
        if (recovery_write(r, history, &error) != PC_OK) {
            return refuse(&error);
        }
    }
    pc_hex_encode(r->config.history, 16, text);
    if (args->form != OUTPUT_TABLE) {
        print_fields(args, r, text, args->accept_data_loss || was_done);
    } else if (was_done) {
        printf("\nThis node is its only voter already: there is nothing to recover.\n");
    } else if (args->accept_data_loss) {
        print_done(r, text);
    } else {
        print_choice();
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "pcadmin: the output cannot be written\n");
        return EXIT_LOCAL_IO;
    }
    return args->accept_data_loss || was_done ? EXIT_YES : EXIT_NO;
}

static int recover_locked(const struct args *args, const struct pc_config *config)
{
    struct recovery recovery;
    struct pc_error error;
    uint8_t seed[16];
    pc_entropy(seed, sizeof seed);
    pc_err err = recovery_open(pc_fs_posix(), config->node.data_dir, seed, &recovery, &error);
    if (err != PC_OK) {
        return refuse(&error);
    }
    int status = EXIT_NO;
    if (is_of_settings(config, &recovery)) {
        warn_of_unasked(config, &recovery);
        status = recover(args, &recovery);
    }
    recovery_close(&recovery);
    return status;
}

int run_cluster_recover(const struct args *args)
{
    struct pc_config config;
    struct pc_error error;
    struct pc_config_opts opts = {
        .file = args->config, .sets_n = args->sets_n, .environment = environ};
    memcpy(opts.sets, args->sets, sizeof args->sets);
    if (pc_config_load(&opts, &config, &error) != PC_OK) {
        fprintf(stderr, "pcadmin: %s\n", error.text);
        return EXIT_USAGE;
    }
    char log_dir[4096];
    int lock = -1;
    int status;
    (void)snprintf(log_dir, sizeof log_dir, "%s/log", config.node.data_dir);
    if (pclog_lock(log_dir, &lock, &error) != PC_OK) {
        status = refuse(&error);
    } else if (!nobody_answers(&config)) {
        status = EXIT_NO;
    } else {
        status = recover_locked(args, &config);
    }
    pclog_unlock(lock);
    pc_config_destroy(&config);
    return status;
}
