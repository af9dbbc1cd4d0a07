/* Everything here goes through the fs port, so that the simulator runs this very code: which disks
 * a node takes for its own decides what its votes are worth. */
#include "identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pcache/bytes.h"
#include "pcache/crc32c.h"

#define IDENTITY_BYTES_MAX 128
/* Far above every clock: the generation grows from start to start, and must not wrap. */
#define GENERATION_MAX (UINT64_MAX / 2)

pc_err identity_path(
    char *out, size_t out_max, const char *dir, const char *name, struct pc_error *error)
{
    int used = snprintf(out, out_max, "%s/%s", dir, name);
    if (used < 0 || (size_t)used >= out_max) {
        return pc_error_set(error, PC_E_INVALID, "data directory %s: the path is too long", dir);
    }
    return PC_OK;
}

static uint32_t identity_crc(pc_node_id id, uint64_t generation, unsigned has_log)
{
    uint8_t bytes[17];
    pc_put_u64(bytes, id);
    pc_put_u64(bytes + 8, generation);
    bytes[16] = (uint8_t)has_log;
    return pc_crc32c(0, pc_slice_of(bytes, sizeof bytes));
}

/* The line that says what *identity does. Returns its length. */
static size_t identity_format(const struct identity *identity, char out[IDENTITY_BYTES_MAX])
{
    unsigned has_log = identity->has_log ? 1 : 0;
    int used = snprintf(out, IDENTITY_BYTES_MAX,
        "pcache-identity 1 %016" PRIx64 " %" PRIu64 " %u %08" PRIx32 "\n", identity->id,
        identity->generation, has_log, identity_crc(identity->id, identity->generation, has_log));
    return (size_t)used;
}

static bool identity_parse(const char *text, size_t len, struct identity *out)
{
    uint64_t id = 0, generation = 0;
    unsigned has_log = 0;
    if (sscanf(text, "pcache-identity 1 %16" SCNx64 " %20" SCNu64 " %1u", &id, &generation,
            &has_log) != 3) {
        return false;
    }
    /* sscanf takes blanks, signs and prefixes that no program wrote: compare with what one would
     * have written, which has the checksum in it, too. */
    struct identity identity = {.id = id, .generation = generation, .has_log = has_log == 1};
    char written[IDENTITY_BYTES_MAX];
    bool is_whole = identity_format(&identity, written) == len && memcmp(text, written, len) == 0;
    if (!is_whole || id == 0 || generation > GENERATION_MAX) {
        return false;
    }
    out->id = id;
    out->generation = generation;
    out->has_log = has_log == 1;
    return true;
}

static pc_err identity_read(const char *path, struct identity *out, struct pc_error *error)
{
    const struct pc_fs *fs = out->fs;
    pc_fd fd;
    pc_err err = fs->open_read(fs->context, path, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    char text[IDENTITY_BYTES_MAX + 1] = {0};
    size_t got = 0;
    err = fs->read_at(fs->context, fd, 0, (uint8_t *)text, IDENTITY_BYTES_MAX, &got, error);
    fs->close(fs->context, fd);
    if (err != PC_OK) {
        return err;
    }
    if (!identity_parse(text, got, out)) {
        return pc_error_set(error, PC_E_CORRUPT,
            "%s is damaged: this node cannot prove who it is; restore the file, or move the data"
            " directory away and let the node join as a new one",
            path);
    }
    return PC_OK;
}

static pc_err identity_write(const struct identity *identity, struct pc_error *error)
{
    const struct pc_fs *fs = identity->fs;
    const char *dir = identity->data_dir;
    char text[IDENTITY_BYTES_MAX], path[sizeof identity->data_dir], aside[sizeof path + 8];
    pc_err err = identity_path(path, sizeof path, dir, "identity", error);
    if (err != PC_OK) {
        return err;
    }
    size_t len = identity_format(identity, text);
    (void)snprintf(aside, sizeof aside, "%s.new", path);
    struct pc_error ignored;
    (void)fs->unlink(fs->context, aside, &ignored); /* left over from a crash, perhaps */
    pc_fd fd;
    err = fs->open(fs->context, aside, true, false, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    err = fs->write_at(fs->context, fd, 0, pc_slice_of(text, len), error);
    if (err == PC_OK) {
        err = fs->sync(fs->context, fd, error);
    }
    fs->close(fs->context, fd);
    if (err == PC_OK) {
        err = fs->rename(fs->context, aside, path, error);
    }
    if (err == PC_OK) {
        err = fs->sync_dir(fs->context, dir, error);
    }
    return err;
}

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

pc_err identity_load(
    struct identity *out, pc_node_id fresh_id, pc_ms wall_ms, struct pc_error *error)
{
    char path[sizeof out->data_dir];
    pc_err err = identity_path(path, sizeof path, out->data_dir, "identity", error);
    if (err == PC_OK) {
        err = identity_read(path, out, error);
    }
    bool is_new = err == PC_E_NOT_FOUND;
    out->id = is_new ? fresh_id : out->id;
    if (err == PC_OK || is_new) {
        err = identity_fits_log(out, is_new, error);
    }
    if (err != PC_OK) {
        return err;
    }
    out->generation = out->generation + 1 > wall_ms ? out->generation + 1 : wall_ms;
    return identity_write(out, error);
}

pc_err identity_note_log(struct identity *identity, struct pc_error *error)
{
    if (identity->has_log) {
        return PC_OK;
    }
    identity->has_log = true;
    pc_err err = identity_write(identity, error);
    identity->has_log = err == PC_OK;
    return err;
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
