/* A new history begins with one entry behind the last one of the snapshot: it names the members, in
 * the next term, and is the first that carries the new history. So no index comes a second time,
 * versions and deadlines of items stay what they were, and the chain goes on as if the old cluster
 * had written that entry. The log begins behind it, empty.
 *
 * The directory is ready at one moment, when its log gets its name:
 *
 *     log.new/  snapshot, log  ->  identity  ->  history  ->  log.new/ is renamed to log/
 *
 *     before the identity    an empty directory, to a node; log.new is of no meaning to it
 *     before the last step   an identity that misses its log: a start is refused, and says so
 *
 * An interrupted call is known by log.new without log, and begun anew. */
#include "fresh_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/wal.h"
#include "pcached/data_file.h"
#include "pcached/history.h"
#include "pcached/identity.h"

#define DIR_BYTES 4096
#define SEGMENT_BYTES (64 * 1024) /* of the first segment; the node makes its next ones larger */

/* ---- members */

static bool name_is_good(struct pc_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = (char)name.data[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
        if (!ok) {
            return false;
        }
    }
    return name.len > 0 && name.len <= PC_NAME_BYTES_MAX;
}

/* In its place among the others, unless it is there. */
static pc_err invite(struct pc_cluster_config *config, struct pc_slice name,
    enum pc_member_want want, struct pc_error *error)
{
    char text[PC_NAME_BYTES_MAX + 1] = "";
    if (!name_is_good(name)) {
        return pc_error_set(error, PC_E_INVALID,
            "\"%.*s\" is not a name: 1 to %d letters, digits, '.', '_' or '-'",
            (int)(name.len < 80 ? name.len : 80), (const char *)name.data, PC_NAME_BYTES_MAX);
    }
    memcpy(text, name.data, name.len);
    size_t at = 0;
    while (at < config->members_n && strcmp(config->members[at].name, text) < 0) {
        at++;
    }
    if (at < config->members_n && strcmp(config->members[at].name, text) == 0) {
        return PC_OK;
    }
    if (config->members_n == PC_CLUSTER_MEMBERS_MAX) {
        return pc_error_set(
            error, PC_E_INVALID, "more than %d members", (int)PC_CLUSTER_MEMBERS_MAX);
    }
    struct pc_cluster_member *place = &config->members[at];
    memmove(place + 1, place, (config->members_n - at) * sizeof *place);
    *place = (struct pc_cluster_member){.want = want};
    memcpy(place->name, text, sizeof place->name);
    config->members_n++;
    return PC_OK;
}

static pc_err invite_names(
    struct pc_cluster_config *config, const char *names, struct pc_error *error)
{
    pc_err err = PC_OK;
    while (err == PC_OK) {
        size_t len = strcspn(names, ",");
        err = invite(config, pc_slice_of(names, len), PC_WANT_VOTER, error);
        if (names[len] == '\0') {
            break;
        }
        names += len + 1;
    }
    return err;
}

pc_err fresh_members(const struct pc_cluster_config *from, const char *self, pc_node_id id,
    const char *names, const uint8_t *history, struct pc_cluster_config *out,
    struct pc_error *error)
{
    struct pc_cluster_config config = {0};
    memcpy(config.history, history, sizeof config.history);
    pc_err err = PC_OK;
    for (size_t i = 0; i < from->members_n && names == NULL && err == PC_OK; i++) {
        err = invite(&config, pc_slice_str(from->members[i].name), from->members[i].want, error);
    }
    if (names != NULL) {
        err = invite_names(&config, names, error);
    }
    if (err == PC_OK) {
        err = invite(&config, pc_slice_str(self), PC_WANT_VOTER, error);
    }
    for (size_t i = 0; i < config.members_n && err == PC_OK; i++) {
        struct pc_cluster_member *member = &config.members[i];
        if (strcmp(member->name, self) == 0) {
            *member = (struct pc_cluster_member){.id = id, .want = PC_WANT_VOTER, .votes = true};
            memcpy(member->name, self, strlen(self) + 1);
        }
    }
    if (err == PC_OK) {
        PC_ASSERT(pc_wire_config_is_valid(&config));
        *out = config;
    }
    return err;
}

/* ---- what is there */

struct there {
    bool log, log_new, other;
    char name[64]; /* of something else, or of the log */
};

static void look_at(void *arg, const char *name)
{
    struct there *there = arg;
    bool is_harmless = strcmp(name, "LOCK") == 0 || strcmp(name, "lost+found") == 0;
    if (strcmp(name, "log.new") == 0) {
        there->log_new = true;
    } else if (!is_harmless) {
        there->log = there->log || strcmp(name, "log") == 0;
        bool is_ours = strcmp(name, "identity") == 0 || strcmp(name, "history") == 0 ||
                       strcmp(name, "identity.new") == 0 || strcmp(name, "history.new") == 0 ||
                       strncmp(name, "lives", 5) == 0;
        there->other = there->other || !is_ours;
        (void)snprintf(there->name, sizeof there->name, "%.60s", name);
    }
}

struct removal {
    char names[64][64];
    size_t n;
};

static void note_name(void *arg, const char *name)
{
    struct removal *removal = arg;
    if (removal->n < sizeof removal->names / sizeof removal->names[0] &&
        strlen(name) < sizeof removal->names[0]) {
        memcpy(removal->names[removal->n++], name, strlen(name) + 1);
    }
}

static pc_err join(char out[DIR_BYTES], const char *dir, const char *name, struct pc_error *error)
{
    return data_file_path(out, DIR_BYTES, dir, name, error);
}

/* A file that is not there is no error. */
static pc_err remove_file(
    const struct pc_fs *fs, const char *dir, const char *name, struct pc_error *error)
{
    char path[DIR_BYTES];
    pc_err err = join(path, dir, name, error);
    if (err == PC_OK) {
        err = fs->unlink(fs->context, path, error);
    }
    return err == PC_E_NOT_FOUND ? PC_OK : err;
}

/* The identity goes first, durably: without it what is left is an empty directory to a node. */
static pc_err remove_leftovers(
    const struct pc_fs *fs, const char *data_dir, const char *log_new, struct pc_error *error)
{
    static const char *const files[] = {
        "identity", "history", "identity.new", "history.new", "lives", "lives.new"};
    struct removal removal = {0};
    pc_err err = PC_OK;
    for (size_t i = 0; i < sizeof files / sizeof files[0] && err == PC_OK; i++) {
        err = remove_file(fs, data_dir, files[i], error);
    }
    if (err == PC_OK) {
        err = fs->sync_dir(fs->context, data_dir, error);
    }
    if (err == PC_OK) {
        err = fs->list(fs->context, log_new, note_name, &removal, error);
    }
    for (size_t i = 0; i < removal.n && err == PC_OK; i++) {
        err = remove_file(fs, log_new, removal.names[i], error);
    }
    return err;
}

static pc_err check_empty(
    const struct pc_fs *fs, const char *data_dir, const char *log_new, struct pc_error *error)
{
    struct there there = {0};
    pc_err err = fs->list(fs->context, data_dir, look_at, &there, error);
    if (err != PC_OK) {
        return err;
    }
    bool is_leftover = there.log_new && !there.other;
    if (there.name[0] != '\0' && !is_leftover) {
        return pc_error_set(error, PC_E_EXISTS,
            "%s is not empty (%s): a new history begins in an empty directory", data_dir,
            there.name);
    }
    return there.log_new ? remove_leftovers(fs, data_dir, log_new, error) : PC_OK;
}

/* ---- what is made */

static pc_err copy_chunk(void *arg, uint32_t number, struct pc_slice chunk, struct pc_error *error)
{
    (void)number;
    return pc_snap_writer_put(arg, chunk, error);
}

static pc_err write_snapshot(const struct pc_fs *fs, const char *log_new,
    const struct pc_snapshot_meta *meta, struct pc_snap_reader *from, struct pc_error *error)
{
    struct pc_snap_writer *writer = NULL;
    struct pc_snap_info info;
    pc_err err = pc_snap_writer_open(fs, log_new, &meta->base, NULL, &writer, error);
    if (err != PC_OK) {
        return err;
    }
    err = pc_snap_verify(from, copy_chunk, writer, error);
    if (err == PC_OK) {
        err = pc_snap_writer_finish(writer, meta, &info, error);
    }
    pc_snap_writer_close(writer);
    return err;
}

/* An empty log behind `base`, in its term, in which nobody was voted for. */
static pc_err write_log(const struct pc_fs *fs, const char *log_new,
    const struct pc_raft_base *base, struct pc_error *error)
{
    struct pc_wal_opts opts = {
        .dir = log_new, .segment_bytes = SEGMENT_BYTES, .fsync = PC_FSYNC_ALWAYS};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = NULL;
    pc_err err = pc_wal_open(fs, &opts, &wal, &recovered, error);
    if (err != PC_OK) {
        return err;
    }
    pc_wal_recovered_clear(&recovered);
    struct pc_wal_batch batch = {.seq = 1, .has_vote = true, .term = base->term};
    err = pc_wal_write(wal, &batch, error);
    if (err == PC_OK) {
        err = pc_wal_reset(wal, base, error);
    }
    if (err == PC_OK) {
        err = pc_wal_sync(wal, error);
    }
    pc_wal_close(wal);
    return err;
}

/* Looks at the log as a start will. */
static pc_err check_log(const struct pc_fs *fs, const char *log_new,
    const struct pc_raft_base *base, struct pc_error *error)
{
    struct pc_wal_recovered got;
    pc_err err = pc_wal_scan(fs, log_new, base, NULL, NULL, &got, error);
    if (err != PC_OK) {
        return err;
    }
    bool is_good = got.first == base->index + 1 && got.last == base->index &&
                   got.commit == base->index && got.term == base->term && got.gaps_n == 0;
    pc_wal_recovered_clear(&got);
    return is_good
               ? PC_OK
               : pc_error_set(error, PC_E_IO, "%s: what was written does not read back", log_new);
}

/* The last step is the one that counts. */
static pc_err take_place(const struct pc_fs *fs, const struct fresh_dir *dir, const char *log_new,
    struct pc_error *error)
{
    char log[DIR_BYTES];
    struct identity_record record = {
        .id = dir->id, .generation = dir->wall_ms > 0 ? dir->wall_ms : 1, .has_log = true};
    pc_err err = join(log, dir->data_dir, "log", error);
    if (err == PC_OK) {
        err = fs->sync_dir(fs->context, log_new, error);
    }
    if (err == PC_OK) {
        err = identity_file_create(fs, dir->data_dir, &record, error);
    }
    if (err == PC_OK) {
        err = history_write(fs, dir->data_dir, dir->members.history, error);
    }
    if (err == PC_OK) {
        err = fs->rename(fs->context, log_new, log, error);
    }
    return err == PC_OK ? fs->sync_dir(fs->context, dir->data_dir, error) : err;
}

/* The entry that the new history begins with, behind `behind`. `body` holds its body. */
static pc_err first_entry(const struct fresh_dir *dir, const struct pc_raft_base *behind,
    struct pc_buf *body, struct pc_raft_base *out)
{
    struct pc_entry entry = {.index = behind->index + 1,
        .term = behind->term + 1,
        .stamp_ms = behind->stamp_ms,
        .kind = PC_ENTRY_CONFIG};
    pc_wire_encode_config(&dir->members, body);
    pc_err err = pc_blob_new(pc_slice_of(body->data, body->len), &entry.body);
    if (err == PC_OK) {
        entry.chain = pc_entry_chain(&behind->chain, &entry);
        *out = pc_raft_base_of(&entry);
        pc_entry_clear(&entry);
    }
    return err;
}

pc_err fresh_dir_make(const struct pc_fs *fs, const struct fresh_dir *dir,
    struct pc_snap_reader *from, struct pc_raft_base *base, struct pc_error *error)
{
    char log_new[DIR_BYTES];
    PC_ASSERT(dir->id != 0);
    pc_err err = join(log_new, dir->data_dir, "log.new", error);
    if (err == PC_OK) {
        err = check_empty(fs, dir->data_dir, log_new, error);
    }
    if (err != PC_OK) {
        return err;
    }
    struct pc_snapshot_meta meta = *pc_snap_reader_meta(from);
    struct pc_buf body = {0};
    err = first_entry(dir, &pc_snap_reader_info(from)->base, &body, &meta.base);
    meta.config_index = meta.base.index;
    meta.config = pc_slice_of(body.data, body.len);
    memcpy(meta.history, dir->members.history, sizeof meta.history);
    if (err == PC_OK) {
        err = fs->mkdir(fs->context, log_new, error);
    }
    if (err == PC_OK) {
        err = write_snapshot(fs, log_new, &meta, from, error);
    }
    if (err == PC_OK) {
        err = write_log(fs, log_new, &meta.base, error);
    }
    if (err == PC_OK) {
        err = check_log(fs, log_new, &meta.base, error);
    }
    if (err == PC_OK) {
        err = take_place(fs, dir, log_new, error);
    }
    pc_buf_destroy(&body);
    if (err == PC_OK) {
        *base = meta.base;
    }
    return err;
}
