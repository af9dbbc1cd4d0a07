/* recover.h says what is done, and why a crash at any moment does no harm. */
#include "recover.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/wal.h"
#include "pcached/data_file.h"
#include "pcached/history.h"

static const struct pc_cluster_member *self_of(const struct recovery *r)
{
    for (size_t i = 0; i < r->config.members_n; i++) {
        if (r->config.members[i].id == r->id) {
            return &r->config.members[i];
        }
    }
    return NULL;
}

/* ---- the snapshot */

static pc_err load_item(void *arg, const struct pc_stored_item *item)
{
    return pc_store_load(arg, item);
}

static pc_err snapshot_load(
    struct recovery *r, struct pc_snap_reader *reader, struct pc_error *error)
{
    const struct pc_snapshot_meta *meta = pc_snap_reader_meta(reader);
    struct pc_snap_content content;
    pc_store_load_begin(r->store, meta->items);
    pc_err err = pc_snap_check(reader, load_item, r->store, &content, error);
    if (err == PC_OK) {
        err = pc_store_load_end(r->store, meta->base.index, meta->base.stamp_ms, &meta->digest);
    }
    if (err == PC_OK) {
        err = pc_wire_decode_config(meta->config, &r->config);
    }
    if (err != PC_OK) {
        return pc_error_set(error, err, "snapshot %s: %s", pc_snap_reader_info(reader)->name,
            error->text[0] != '\0' ? error->text : pc_err_text(err));
    }
    r->kept = meta->base;
    r->snapshot = r->top = meta->base.index;
    r->term = meta->base.term;
    return PC_OK;
}

static void note_highest(void *arg, const char *name)
{
    pc_index *highest = arg;
    uint64_t index = 0;
    int len = 0;
    bool is_one = sscanf(name, "snap-%16" SCNx64 ".snp%n", &index, &len) == 1 && len > 0;
    *highest = is_one && name[len] == '\0' && index > *highest ? index : *highest;
}

/* The ends of the newest one, and perhaps of all, are damaged: only its name says what it was of.
 * Where all of the log is there, that does without it. */
static pc_err snapshot_damaged(struct recovery *r, const char *where, struct pc_error *error)
{
    (void)snprintf(r->where, sizeof r->where, "%.*s", (int)sizeof r->where - 1, where);
    return r->fs->list(r->fs->context, r->log_dir, note_highest, &r->top, error);
}

static pc_err read_snapshot(
    struct recovery *r, const struct pc_store_opts *opts, struct pc_error *error)
{
    struct pc_snap_found found;
    pc_err err = pc_snap_find(r->fs, r->log_dir, true, &found, error);
    if (err == PC_E_NOT_FOUND) {
        return PC_OK;
    }
    if (err == PC_E_CORRUPT) {
        const struct pc_error none_is_whole = *error;
        err = snapshot_damaged(r, none_is_whole.text, error);
        r->rotten = r->top;
        return err;
    }
    if (err != PC_OK) {
        return err;
    }
    *error = (struct pc_error){0};
    err = snapshot_load(r, found.reader, error);
    if (err == PC_E_CORRUPT) { /* its ends are whole, so it is known what it was of */
        const struct pc_raft_base *base = &pc_snap_reader_meta(found.reader)->base;
        (void)snprintf(r->where, sizeof r->where, "%s", error->text);
        r->rotten = r->top = base->index;
        r->term = base->term;
        pc_store_delete(r->store);
        r->store = pc_store_new(opts);
        err = PC_OK;
    }
    pc_snap_reader_close(found.reader);
    return err == PC_OK && found.damages > 0 ? snapshot_damaged(r, found.where, error) : err;
}

/* ---- the log */

static pc_err apply_entry(struct recovery *r, const struct pc_entry *entry, struct pc_error *error)
{
    struct pc_command command;
    const struct pc_command *to_apply = NULL;
    struct pc_slice body = entry->body != NULL ? pc_blob_slice(entry->body) : (struct pc_slice){0};
    if (entry->kind == PC_ENTRY_COMMAND && pc_wire_decode_command(body, &command) == PC_OK) {
        to_apply = &command; /* one that does not decode is passed over by every node */
    }
    pc_err err = pc_store_apply(r->store, entry->index, entry->stamp_ms, to_apply, NULL);
    if (err == PC_OK && entry->kind == PC_ENTRY_CONFIG) {
        err = pc_wire_decode_config(body, &r->config);
    }
    if (err != PC_OK) {
        return pc_error_set(error, err, "entry %" PRIu64 ": %s", entry->index, pc_err_text(err));
    }
    r->kept = (struct pc_raft_base){.index = entry->index,
        .term = entry->term,
        .stamp_ms = entry->stamp_ms,
        .chain = entry->chain};
    return PC_OK;
}

static pc_err replay(struct recovery *r, struct pc_wal *wal, pc_index upto, struct pc_error *error)
{
    pc_err err = PC_OK;
    while (err == PC_OK && r->kept.index < upto) {
        struct pc_entries some = {0};
        err = pc_wal_load(wal, r->kept.index + 1, upto, PC_LOAD_BYTES_MAX, &some, error);
        for (size_t i = 0; err == PC_OK && i < some.n; i++) {
            PC_ASSERT(some.v[i].index == r->kept.index + 1);
            err = apply_entry(r, &some.v[i], error);
        }
        pc_entries_clear(&some);
    }
    return err;
}

/* What the log has beside its entries. Behind a gap nothing is kept: what follows it may follow on
 * something else. */
static pc_index read_ends(struct recovery *r, const struct pc_wal_recovered *found)
{
    pc_term term = found->term > found->doubt ? found->term : found->doubt;
    r->term = term > r->term ? term : r->term;
    r->top = found->last > r->top ? found->last : r->top;
    if (found->damages > 0 && r->where[0] == '\0') {
        (void)snprintf(r->where, sizeof r->where, "%s", found->where);
    }
    for (size_t i = 0; i < found->gaps_n; i++) {
        r->top = found->gaps[i].last > r->top ? found->gaps[i].last : r->top;
    }
    pc_index whole = found->gaps_n > 0 ? found->gaps[0].first - 1 : found->last;
    r->committed = found->gaps_n > 0 ? 0 : found->commit;
    whole = whole > r->kept.index ? whole : r->kept.index;
    if (r->top > whole) {
        r->lost.first = whole + 1;
        r->lost.last = r->top;
    }
    return whole;
}

static pc_err read_log(struct recovery *r, struct pc_error *error)
{
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered found;
    struct pc_wal_opts opts = {
        .dir = r->log_dir, .read_only = true, .damage = PC_WAL_DAMAGE_REPAIR, .base = r->kept};
    pc_err err = pc_wal_open(r->fs, &opts, &wal, &found, error);
    if (err != PC_OK) {
        return err;
    }
    pc_index upto = read_ends(r, &found);
    if (r->rotten > 0 && (found.first != 1 || upto == 0)) {
        err = pc_error_set(
            error, PC_E_CORRUPT, "%s, and the log does not begin with entry 1", r->where);
    } else if (upto > r->kept.index && found.first > r->kept.index + 1) {
        err = pc_error_set(error, PC_E_CORRUPT,
            "%s: the log begins with entry %" PRIu64 ", and no whole snapshot reaches so far",
            r->log_dir, found.first);
    }
    if (err == PC_OK) {
        err = replay(r, wal, upto, error);
    }
    pc_wal_recovered_clear(&found);
    pc_wal_close(wal);
    return err;
}

/* ---- looking */

static pc_err read_identity(struct recovery *r, struct pc_error *error)
{
    struct identity_file file;
    pc_err err = identity_file_open(r->fs, r->data_dir, &file, error);
    if (err == PC_E_NOT_FOUND) {
        return pc_error_set(error, err, "%s: no node has used this data directory", r->data_dir);
    }
    if (err == PC_OK) {
        r->id = file.record.id;
        identity_file_close(&file);
    }
    return err;
}

static pc_err check_member(const struct recovery *r, struct pc_error *error)
{
    if (r->config.members_n == 0) {
        return pc_error_set(error, PC_E_INVALID,
            "%s: its node has never been in a cluster: there is nothing to recover", r->data_dir);
    }
    if (self_of(r) == NULL) {
        return pc_error_set(error, PC_E_INVALID,
            "%s: its node (id %016" PRIx64 ") is no member of the cluster that its log is of",
            r->data_dir, r->id);
    }
    return PC_OK;
}

pc_err recovery_open(const struct pc_fs *fs, const char *data_dir, const uint8_t *hash_seed,
    struct recovery *out, struct pc_error *error)
{
    *out = (struct recovery){.fs = fs, .data_dir = data_dir};
    pc_err err = data_file_path(out->log_dir, sizeof out->log_dir, data_dir, "log", error);
    if (err == PC_OK) {
        err = read_identity(out, error);
    }
    if (err != PC_OK) {
        return err;
    }
    struct pc_store_opts opts;
    memcpy(opts.hash_seed, hash_seed, sizeof opts.hash_seed);
    out->store = pc_store_new(&opts);
    err = read_snapshot(out, &opts, error);
    if (err == PC_OK) {
        err = read_log(out, error);
    }
    if (err == PC_OK) {
        err = check_member(out, error);
    }
    if (err != PC_OK) {
        recovery_close(out);
    }
    return err;
}

void recovery_close(struct recovery *r)
{
    pc_store_delete(r->store);
    r->store = NULL;
}

bool recovery_is_done(const struct recovery *r)
{
    size_t voters_n = 0;
    for (size_t i = 0; i < r->config.members_n; i++) {
        voters_n += r->config.members[i].votes ? 1 : 0;
    }
    /* Behind what is lost others may have been made voters. */
    return voters_n == 1 && self_of(r)->votes && r->lost.first == 0;
}

/* ---- writing */

static void invite(struct pc_cluster_config *config, const char *name, enum pc_member_want want)
{
    struct pc_cluster_member *last =
        config->members_n > 0 ? &config->members[config->members_n - 1] : NULL;
    if (last != NULL && strcmp(last->name, name) == 0) { /* two identities of one name */
        last->want = want == PC_WANT_VOTER ? want : last->want;
        return;
    }
    struct pc_cluster_member *member = &config->members[config->members_n++];
    *member = (struct pc_cluster_member){.want = want};
    (void)snprintf(member->name, sizeof member->name, "%s", name);
}

/* This node votes alone; the others are as if they had been invited, each as what it was to be. */
static void config_make(
    const struct recovery *r, const uint8_t *history, struct pc_cluster_config *out)
{
    const struct pc_cluster_member *self = self_of(r);
    *out = (struct pc_cluster_config){0};
    memcpy(out->history, history, sizeof out->history);
    for (size_t i = 0; i < r->config.members_n; i++) {
        const struct pc_cluster_member *member = &r->config.members[i];
        invite(out, member->name, member->want);
    }
    for (size_t i = 0; i < out->members_n; i++) {
        if (strcmp(out->members[i].name, self->name) == 0) {
            out->members[i].id = r->id;
            out->members[i].want = PC_WANT_VOTER;
            out->members[i].votes = true;
        }
    }
    PC_ASSERT(pc_wire_config_is_valid(out));
}

/* Applies what stands between the last entry kept and the new one: nothing, and the new one. */
static pc_err apply_new(struct recovery *r, const struct pc_slice config, struct pc_raft_base *base)
{
    struct pc_entry entry = {.index = r->top + 1,
        .term = r->term + 1,
        .stamp_ms = r->kept.stamp_ms,
        .kind = PC_ENTRY_CONFIG};
    pc_err err = pc_blob_new(config, &entry.body);
    if (err != PC_OK) {
        return err;
    }
    entry.chain = pc_entry_chain(&r->kept.chain, &entry);
    *base = (struct pc_raft_base){
        .index = entry.index, .term = entry.term, .stamp_ms = entry.stamp_ms, .chain = entry.chain};
    for (pc_index i = r->kept.index + 1; err == PC_OK && i <= entry.index; i++) {
        err = pc_store_apply(r->store, i, entry.stamp_ms, NULL, NULL);
    }
    pc_entry_clear(&entry);
    return err;
}

static bool add_item(void *context, const struct pc_item *item)
{
    return pc_wire_chunk_add(context, item);
}

static pc_err write_chunks(
    struct recovery *r, struct pc_snap_writer *writer, struct pc_error *error)
{
    struct pc_wire_chunk chunk = {0};
    bool complete = false;
    pc_err err = PC_OK;
    while (err == PC_OK && !complete) {
        pc_wire_chunk_begin(&chunk);
        bool has_room = true;
        while (err == PC_OK && !complete && has_room) {
            err = pc_store_snapshot_next(r->store, 1024, add_item, &chunk, &complete);
            has_room = chunk.bytes.len < PC_SNAPSHOT_CHUNK_BYTES;
        }
        if (err == PC_OK && chunk.items_n > 0) {
            err = pc_snap_writer_put(writer, pc_wire_chunk_end(&chunk), error);
        }
    }
    pc_buf_destroy(&chunk.bytes);
    return err;
}

static pc_err write_snapshot(
    struct recovery *r, const struct pc_cluster_config *config, struct pc_error *error)
{
    struct pc_buf body = {0};
    pc_wire_encode_config(config, &body);
    struct pc_snapshot_meta meta = {.config = pc_slice_of(body.data, body.len)};
    memcpy(meta.history, config->history, sizeof meta.history);
    struct pc_snap_writer *writer = NULL;
    struct pc_store_snapshot state;
    struct pc_snap_info info;
    pc_err err = apply_new(r, meta.config, &meta.base);
    if (err != PC_OK) {
        err = pc_error_set(error, err, "make entry %" PRIu64 ": %s", r->top + 1, pc_err_text(err));
    } else {
        err = pc_snap_writer_open(r->fs, r->log_dir, &meta.base, NULL, &writer, error);
    }
    if (err == PC_OK) {
        pc_store_snapshot_begin(r->store, &state);
        meta.config_index = meta.base.index;
        meta.digest = state.digest;
        meta.items = state.items;
        err = write_chunks(r, writer, error);
    }
    if (err == PC_OK) {
        err = pc_snap_writer_finish(writer, &meta, &info, error);
    }
    if (err == PC_OK) {
        pc_snap_writer_close(writer);
    } else {
        pc_snap_writer_abort(writer);
    }
    pc_buf_destroy(&body);
    return err;
}

pc_err recovery_write(struct recovery *r, const uint8_t *history, struct pc_error *error)
{
    PC_ASSERT(r->store != NULL && self_of(r) != NULL);
    if (!recovery_is_done(r)) {
        struct pc_cluster_config config;
        config_make(r, history, &config);
        pc_err err = write_snapshot(r, &config, error);
        if (err != PC_OK) {
            return pc_error_wrap(error, "recover");
        }
        r->config = config;
    }
    uint8_t noted[16];
    pc_err found = history_read(r->fs, r->data_dir, noted, error);
    if (found == PC_E_VERSION) {
        return found;
    }
    if (found == PC_OK && memcmp(noted, r->config.history, sizeof noted) == 0) {
        return PC_OK;
    }
    return history_write(r->fs, r->data_dir, r->config.history, error);
}
