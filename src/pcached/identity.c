/* Everything here goes through the fs port, so that the simulator runs this very code: which disks
 * a node takes for its own decides what its votes are worth. */
#include "identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Files of a log; a fresh volume's lost+found is none. */
static void count_entry(void *arg, const char *name)
{
    if (strncmp(name, "log-", 4) == 0 || strncmp(name, "vote-", 5) == 0) {
        (*(size_t *)arg)++;
    }
}

/* How many files the log's directory holds; none when there is no directory. */
static pc_err log_files(const struct identity *identity, size_t *files, struct pc_error *error)
{
    const struct pc_fs *fs = identity->fs;
    *files = 0;
    pc_err err = fs->list(fs->context, identity->log_dir, count_entry, files, error);
    return err == PC_E_NOT_FOUND ? PC_OK : err;
}

/* A log without an identity beside it was somebody's: it must not become a new node's. And an
 * identity that has lost its log must not pass for one that never had any. */
static pc_err identity_fits_log(
    const struct identity *identity, bool is_new, struct pc_error *error)
{
    size_t files;
    pc_err err = log_files(identity, &files, error);
    if (err != PC_OK) {
        return err;
    }
    if (is_new && files > 0) {
        return pc_error_set(error, PC_E_CORRUPT,
            "%s/identity is missing, but %s holds a log: restore the file, or move the data"
            " directory away",
            identity->data_dir, identity->log_dir);
    }
    if (identity->has_log && files == 0) {
        return pc_error_set(error, PC_E_CORRUPT,
            "the log of node %016" PRIx64 " is missing from %s: restore it (is a volume not"
            " mounted?), or move the data directory away",
            identity->id, identity->log_dir);
    }
    return PC_OK;
}

static struct identity_record record_of(const struct identity *identity)
{
    return (struct identity_record){
        .id = identity->id,
        .generation = identity->generation,
        .prev_generation = identity->prev_generation,
        .has_log = identity->has_log,
        .has_met = identity->has_met,
    };
}

static pc_err identity_make(
    struct identity *out, pc_node_id fresh_id, pc_ms wall_ms, struct pc_error *error)
{
    out->id = fresh_id;
    out->generation = wall_ms > 0 ? wall_ms : 1;
    pc_err err = identity_fits_log(out, true, error);
    struct identity_record record = record_of(out);
    return err == PC_OK ? identity_file_create(out->fs, out->data_dir, &record, error) : err;
}

static pc_err identity_raise(
    struct identity *out, struct identity_file *file, pc_ms wall_ms, struct pc_error *error)
{
    const struct identity_record *last = &file->record;
    out->id = last->id;
    out->has_log = last->has_log;
    out->prev_generation = last->has_met ? last->generation : last->prev_generation;
    out->generation = last->generation + 1 > wall_ms ? last->generation + 1 : wall_ms;
    out->was_mended = !file->is_good[0] || !file->is_good[1];
    out->mended_slot = file->newest ^ 1;
    pc_err err = identity_fits_log(out, false, error);
    struct identity_record record = record_of(out);
    return err == PC_OK ? identity_file_write(file, &record, error) : err;
}

pc_err identity_load(
    struct identity *out, pc_node_id fresh_id, pc_ms wall_ms, struct pc_error *error)
{
    struct identity_file file;
    pc_err err = identity_file_open(out->fs, out->data_dir, &file, error);
    if (err == PC_E_NOT_FOUND) {
        return identity_make(out, fresh_id, wall_ms, error);
    }
    if (err == PC_OK) {
        err = identity_raise(out, &file, wall_ms, error);
        identity_file_close(&file);
    }
    return err;
}

static pc_err identity_note(
    struct identity *identity, bool has_log, bool has_met, struct pc_error *error)
{
    if (identity->has_log == has_log && identity->has_met == has_met) {
        return PC_OK;
    }
    /* Read anew: a note that failed before this one may have spoilt either slot. */
    struct identity_file file;
    pc_err err = identity_file_open(identity->fs, identity->data_dir, &file, error);
    if (err == PC_OK) {
        struct identity_record record = record_of(identity);
        record.has_log = has_log;
        record.has_met = has_met;
        err = identity_file_write(&file, &record, error);
        identity_file_close(&file);
    }
    if (err == PC_E_NOT_FOUND) { /* it was there when this process began */
        err = pc_error_set(error, PC_E_IO, "%s/identity is gone", identity->data_dir);
    }
    if (err == PC_OK) {
        identity->has_log = has_log;
        identity->has_met = has_met;
    }
    return err;
}

pc_err identity_note_log(struct identity *identity, struct pc_error *error)
{
    return identity_note(identity, true, identity->has_met, error);
}

pc_err identity_note_met(struct identity *identity, struct pc_error *error)
{
    return identity_note(identity, identity->has_log, true, error);
}

pc_err identity_check_log(
    struct identity *identity, pc_index last, pc_term term, struct pc_error *error)
{
    /* Whoever has promised anything has a term on disk. */
    bool has_log = last > 0 || term > 0;
    if (identity->has_log && !has_log) {
        return pc_error_set(error, PC_E_CORRUPT,
            "the log of this node is missing from %s: restore it (is a volume not mounted?), or"
            " move the data directory away",
            identity->log_dir);
    }
    return has_log ? identity_note_log(identity, error) : PC_OK;
}
