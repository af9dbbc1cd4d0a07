/* From the data directory to a running node: the log as it is found, what was lost of it and how
 * that comes back. Repairs are the node's decisions (src/node/node_repair.c) and the log thread's
 * work (src/edge/wal/wal_repair.c); here the two meet. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "disk_advice.h"
#include "history.h"
#include "log_open.h"
#include "pcache/assert.h"
#include "reactor.h"

#define REPAIR_WARN_MS 30000

int reactor_refuse(const struct pc_error *error, int status)
{
    pc_log(PC_LOG_ERROR, "cannot start", "reason", error->text, NULL);
    return status;
}

/* ---- what was found */

static void tell_damage(const struct pc_wal_recovered *found)
{
    for (size_t i = 0; i < found->gaps_n; i++) {
        pc_log(PC_LOG_ERROR, "the log is damaged: entries are lost", "where", found->gaps[i].where,
            "from", pc_log_u64(found->gaps[i].first), "to", pc_log_u64(found->gaps[i].last), NULL);
    }
    if (found->cut_entries_from > 0) {
        pc_log(PC_LOG_ERROR, "the log is damaged: cut off what came behind it", "where",
            found->where, "from", pc_log_u64(found->cut_entries_from), NULL);
    } else if (found->damages > 0 && found->gaps_n == 0) {
        pc_log(PC_LOG_WARN, "the log is damaged, but nothing of it is lost", "places",
            pc_log_u64(found->damages), "one", found->where, NULL);
    }
    if (found->doubt > 0) {
        pc_log(PC_LOG_WARN,
            "entries that this node has acknowledged may be missing: it does not vote until a"
            " leader has brought it an entry of a later term",
            "term", pc_log_u64(found->doubt), NULL);
    }
}

static void tell_found(const struct pc_wal_recovered *found)
{
    if (found->cut_bytes > 0) {
        pc_log(PC_LOG_WARN, "cut a torn tail off the log: it had never been acknowledged",
            "segment", found->cut_segment, "offset", pc_log_u64(found->cut_offset), "bytes",
            pc_log_u64(found->cut_bytes), NULL);
    }
    tell_damage(found);
    pc_log(PC_LOG_INFO, "log recovered", "last", pc_log_u64(found->last), "commit",
        pc_log_u64(found->commit), "term", pc_log_u64(found->term), NULL);
}

/* ---- the history, beside the log */

pc_err reactor_note_history(struct reactor *r, struct pc_error *error)
{
    struct pc_node_status status;
    if (r->has_history) {
        return PC_OK;
    }
    pc_node_status(r->node, pc_clock_now(), &status);
    static const uint8_t none[16];
    if (memcmp(status.history, none, sizeof none) == 0) {
        return PC_OK;
    }
    r->has_history = true;
    memcpy(r->history, status.history, sizeof r->history);
    pc_err err = history_write(pc_fs_posix(), r->identity->data_dir, r->history, error);
    if (err != PC_OK) {
        /* It is needed only where entry 1 is lost; the next start notes it. */
        pc_log(PC_LOG_WARN, "cannot note the history of the log", "reason", error->text, NULL);
    }
    return err;
}

/* A recovery that was cut short (pcadmin cluster recover) leaves the note of the history before. */
static void drop_stale_history(struct reactor *r)
{
    static const uint8_t none[16];
    struct pc_node_status status;
    pc_node_status(r->node, pc_clock_now(), &status);
    if (memcmp(status.history, none, sizeof none) != 0 &&
        memcmp(status.history, r->history, sizeof none) != 0) {
        r->has_history = false;
    }
}

/* ---- the node on the log */

/* What pc_node_restored borrows. */
struct restoring {
    struct pc_node_restored restored;
    struct pc_raft_base base;
    struct pc_node_gap *gaps;
};

static void restoring_fill(struct restoring *out, const struct reactor *r,
    const struct pc_wal_recovered *found, const struct pc_entry *config)
{
    *out = (struct restoring){
        .base = pc_raft_base_of(&found->base),
        .restored =
            {
                .raft =
                    {
                        .term = found->term,
                        .vote = found->vote,
                        .last = found->last,
                        .commit = found->commit,
                        .first = found->first,
                        .wall_ms = pc_clock_wall_ms(),
                        .terms = found->terms,
                        .terms_n = found->terms_n,
                        .base = found->commit > 0 ? &out->base : NULL,
                        .tail = found->tail.v,
                        .tail_n = found->tail.n,
                        .doubt = found->doubt,
                    },
                .snapshot = r->has_snapshot ? &r->snapshot : NULL,
                .config_entry = config->body != NULL ? config : NULL,
                .history = r->has_history ? r->history : NULL,
                .had_log = r->had_log,
            },
    };
    out->gaps = pc_xalloc((found->gaps_n + 1) * sizeof *out->gaps);
    for (size_t i = 0; i < found->gaps_n; i++) {
        const struct pc_wal_gap *gap = &found->gaps[i];
        out->gaps[i] = (struct pc_node_gap){.first = gap->first,
            .last = gap->last,
            .before = gap->before,
            .anchor = gap->anchor,
            .floor = gap->floor,
            .floor_chain = gap->floor_chain,
            .last_term = gap->last_term};
    }
    out->restored.gaps = out->gaps;
    out->restored.gaps_n = found->gaps_n;
}

/* The newest CONFIG entry known committed: of the log, else of the snapshot, else entry 1, which is
 * none only in an empty log. first: entry 1, if it is there. */
static void config_find(const struct reactor *r, const struct pc_wal_recovered *found,
    const struct pc_entries *first, struct pc_entry *out)
{
    *out = (struct pc_entry){0};
    if (found->config.index > 0) {
        pc_entry_copy(out, &found->config);
    } else if (r->has_snapshot) {
        if (reactor_snapshot_config(r, out) != PC_OK) {
            pc_out_of_memory(r->snapshot.meta.config.len);
        }
        for (size_t i = 0; i < found->terms_n && found->terms[i].first <= out->index; i++) {
            out->term = found->terms[i].term; /* 0 where the log does not reach back so far */
        }
    } else if (first->n > 0) {
        pc_entry_copy(out, &first->v[0]);
    }
}

/* Builds the node from what stood on disk. Returns an exit status, 0 when all is well. */
static int node_open(struct reactor *r, struct pc_wal *wal,
    const struct pc_wal_recovered *recovered, struct pc_node_preload *preload)
{
    struct pc_error error;
    struct pc_entries first = {0};
    if (recovered->last > 0 && recovered->first <= 1) {
        pc_err err = pc_wal_load(wal, 1, 1, PC_LOAD_BYTES_MAX, &first, &error);
        if (err != PC_OK && err != PC_E_NOT_FOUND) { /* NOT_FOUND: it is lost */
            return reactor_refuse(&error, reactor_log_exit_status(err));
        }
    }
    struct restoring restoring;
    struct pc_node_opts opts;
    struct pc_entry config;
    config_find(r, recovered, &first, &config);
    restoring_fill(&restoring, r, recovered, &config);
    reactor_node_opts(r, &opts);
    restoring.restored.lives = r->identity->lives.v;
    restoring.restored.lives_n = r->identity->lives.n;
    struct pc_node_branch_found branch;
    restoring.restored.branch = reactor_branch_found(r, &branch);
    restoring.restored.preload = preload;
    pc_err err = pc_node_new(&opts, &restoring.restored, pc_clock_now(), &r->node, &error);
    free(restoring.gaps);
    pc_entry_clear(&config);
    pc_entries_clear(&first);
    if (err != PC_OK) {
        pc_log(PC_LOG_ERROR, "cannot start", "reason", error.text, "data_dir",
            r->identity->data_dir, NULL);
        return PC_EXIT_DATA;
    }
    return 0;
}

/* Without entry 1 there is no cluster to be a member of, and a node that is alone has nobody to get
 * it from. */
static pc_err check_rest(const struct reactor *r, bool is_left, struct pc_error *error)
{
    if (is_left || !r->has_history || !pc_config_is_alone(r->config)) {
        return PC_OK;
    }
    return pc_error_set(error, PC_E_CORRUPT,
        "nothing is left of the log of %s, which this node had alone: restore the directory from a"
        " copy, or move it away to start with an empty cluster",
        r->identity->data_dir);
}

/* Before a cut: it must not take the last that there is. */
static pc_err check_cut(
    const struct reactor *r, const struct pc_wal_opts *opts, struct pc_error *error)
{
    struct pc_wal_recovered found;
    struct pc_error ignored;
    if (opts->damage != PC_WAL_DAMAGE_CUT ||
        pc_wal_scan(pc_fs_posix(), opts->dir, &opts->base, NULL, NULL, &found, &ignored) != PC_OK) {
        return PC_OK; /* opening it tells what is wrong */
    }
    bool is_left = found.gaps_n > 0 ? found.gaps[0].first > 1 : found.last > 0;
    pc_index lost = found.gaps_n > 0 ? found.gaps[0].last : 0;
    pc_wal_recovered_clear(&found);
    if (!is_left && r->snapshot_is_bad) {
        return pc_error_set(error, PC_E_CORRUPT,
            "entries 1..%" PRIu64 " are in no snapshot that is whole, and no longer in the log of"
            " %s: restore the snapshot from a copy, or move the directory away to start with an"
            " empty cluster",
            lost, r->identity->data_dir);
    }
    return check_rest(r, is_left, error);
}

/* A node that is alone has nobody to fetch lost entries from: its user decides. */
static enum pc_wal_damage damage_mode(const struct pc_config *config)
{
    if (!pc_config_is_alone(config)) {
        return PC_WAL_DAMAGE_REPAIR;
    }
    return config->accept_data_loss ? PC_WAL_DAMAGE_CUT : PC_WAL_DAMAGE_REFUSE;
}

static int refuse_log(const struct reactor *r, const struct pc_error *error)
{
    bool is_alone = damage_mode(r->config) == PC_WAL_DAMAGE_REFUSE;
    if (error->code == PC_E_CORRUPT && is_alone && r->snapshot_is_bad) {
        pc_log(PC_LOG_ERROR,
            "this node is its cluster alone, and the log begins behind a snapshot that is damaged:"
            " restore it from a copy",
            NULL);
    } else if (error->code == PC_E_CORRUPT && is_alone) {
        pc_log(PC_LOG_ERROR,
            "this node is its cluster alone: restore the log from a copy, or start once with"
            " --accept-data-loss to go on without what comes behind the damage",
            NULL);
    }
    int status = reactor_refuse(error, reactor_log_exit_status(error->code));
    disk_advice_log(r->identity->data_dir, error->code);
    return status;
}

static void tell_settings(const struct pc_config *config)
{
    if (config->accept_data_loss && damage_mode(config) == PC_WAL_DAMAGE_REPAIR) {
        pc_log(PC_LOG_WARN,
            "--accept-data-loss has no effect: this node is not its cluster alone. What it has lost"
            " its peers may have, and one node's user cannot know that they have not",
            NULL);
    }
}

int reactor_data_open(struct reactor *r)
{
    const struct pc_config *config = r->config;
    struct pc_wal_opts opts = {
        .dir = r->identity->log_dir,
        .segment_bytes = config->log.segment_bytes,
        .fsync = config->log.fsync == PC_CONFIG_FSYNC_ALWAYS     ? PC_FSYNC_ALWAYS
                 : config->log.fsync == PC_CONFIG_FSYNC_INTERVAL ? PC_FSYNC_INTERVAL
                                                                 : PC_FSYNC_OS,
        .interval_ms = (uint32_t)config->log.fsync_interval_ms,
        .damage = damage_mode(config),
    };
    struct pc_error error;
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered recovered;
    struct pc_node_preload preload;
    tell_settings(config);
    r->has_history =
        history_read(pc_fs_posix(), r->identity->data_dir, r->history, &error) == PC_OK;
    pc_err found = reactor_snapshot_find(r, &error);
    if (found == PC_E_CORRUPT) {
        /* The log may go back far enough; or it lacks what the peers have. */
        r->snapshot_is_bad = true;
        pc_log(PC_LOG_ERROR, "there is no snapshot that is whole: going on without", "where",
            error.text, NULL);
    } else if (found != PC_OK) {
        return reactor_refuse(&error, reactor_log_exit_status(error.code));
    }
    if (r->has_snapshot) {
        opts.base = r->snapshot.meta.base;
    }
    if (check_cut(r, &opts, &error) != PC_OK) {
        return reactor_refuse(&error, PC_EXIT_DATA);
    }
    if (log_open(pc_fs_posix(), &opts, r->snapshot_reader, r->store_seed,
            pc_config_is_alone(config), &wal, &recovered, &preload, &error) != PC_OK) {
        return refuse_log(r, &error);
    }
    tell_found(&recovered);
    r->had_log = r->identity->has_log;
    pc_err err = identity_check_log(r->identity, recovered.last, recovered.term, &error);
    int status = err == PC_OK          ? 0
                 : err == PC_E_CORRUPT ? reactor_refuse(&error, PC_EXIT_DATA)
                                       : reactor_refuse(&error, PC_EXIT_IO);
    if (status == 0 && check_rest(r, recovered.last > 0, &error) != PC_OK) {
        status = reactor_refuse(&error, PC_EXIT_DATA);
    }
    if (status == 0 && reactor_branch_find(r, &error) != PC_OK) {
        status = reactor_refuse(&error, reactor_log_exit_status(error.code));
    }
    if (status == 0) {
        status = node_open(r, wal, &recovered, &preload);
    }
    log_open_clear(&preload);
    pc_wal_recovered_clear(&recovered);
    if (status != 0) {
        pc_wal_close(wal);
        return status;
    }
    drop_stale_history(r);
    (void)reactor_note_history(r, &error);
    r->wal = pc_wal_thread_start(wal, r->wal_bell.fd);
    pc_wal_thread_watch(r->wal);
    r->lives = lives_thread_start(&r->identity->lives, r->lives_bell.fd);
    return 0;
}

/* ---- repairing */

void reactor_repair_act(struct reactor *r, struct pc_node_repair *repair)
{
    switch (repair->type) {
    case PC_NODE_REPAIR_PUT:
        pc_wal_thread_repair(r->wal, repair->gap, &repair->entries);
        break;
    case PC_NODE_REPAIR_CUT:
    case PC_NODE_REPAIR_REOPEN:
        pc_wal_thread_reopen(r->wal, repair->type == PC_NODE_REPAIR_CUT,
            repair->base.index > 0 ? &repair->base : NULL);
        break;
    }
}

void reactor_repaired(struct reactor *r, const struct pc_wal_done *done)
{
    bool may_try_again = done->err == PC_E_INVALID || done->err == PC_E_NO_SPACE ||
                         done->err == PC_E_AGAIN || done->err == PC_E_NOMEM;
    if (done->err != PC_OK && !may_try_again) {
        reactor_log_failed(r, &done->error);
        return;
    }
    /* It is tried again several times a second. */
    if (done->err != PC_OK && pc_instant_is_due(r->repair_warn_at, pc_clock_now())) {
        r->repair_warn_at = pc_instant_add_ms(pc_clock_now(), REPAIR_WARN_MS);
        pc_log(PC_LOG_WARN, "cannot store repaired entries right now", "reason", done->error.text,
            NULL);
    }
    struct pc_node_event event = {.type = PC_NODE_REPAIR_DONE};
    event.u.repair.ok = done->err == PC_OK;
    event.u.repair.closed = done->closed;
    reactor_step(r, &event);
}

void reactor_reopened(struct reactor *r, struct pc_wal_done *done)
{
    struct restoring restoring;
    if (done->recovered->gaps_n == 0) {
        pc_log(PC_LOG_INFO, "the log is whole again", NULL);
    }
    tell_found(done->recovered);
    struct pc_entry config;
    config_find(r, done->recovered, &done->entries, &config);
    restoring_fill(&restoring, r, done->recovered, &config);
    struct pc_node_event event = {.type = PC_NODE_RESTORED};
    event.u.restored = &restoring.restored;
    reactor_step(r, &event);
    pc_entry_clear(&config);
    free(restoring.gaps);
    pc_wal_recovered_clear(done->recovered);
    free(done->recovered);
    done->recovered = NULL;
    struct pc_node_status status;
    pc_node_status(r->node, pc_clock_now(), &status);
    struct pc_error error;
    if (status.failed) {
        (void)pc_error_set(&error, PC_E_CORRUPT, "after its repair it is not a log of this node");
        reactor_log_failed(r, &error);
        return;
    }
    (void)reactor_note_history(r, &error);
}
