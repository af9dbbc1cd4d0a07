/* recover_disk.h: the disk of a node for the tests of cluster recover: sixty entries, perhaps with
 * a snapshot in front of them, and what a start finds there. */
#ifndef PC_TEST_RECOVER_DISK_H
#define PC_TEST_RECOVER_DISK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/wal.h"
#include "pcached/history.h"
#include "pcadmin/recover.h"
#include "support/sim_fs.h"
#include "support/test.h"

#define DIR "/data"
#define LOG DIR "/log"
#define ENTRIES 60
#define COMMITTED 57
#define SNAPSHOT 45
#define TERM 7
#define SELF 101
#define VALUE_BYTES 3000

static const uint8_t old_history[16] = {1};
static const uint8_t seed[16] = {9};

/* Entry 1 names the first members, entry `grown_at` those that came to be (0: nobody came); any
 * other one sets the key "k<i>". */
static inline void push_grown_entries(const struct pc_cluster_config *first,
    const struct pc_cluster_config *config, pc_index grown_at, struct pc_entries *out)
{
    struct pc_hash chain = {{0}};
    static uint8_t value[VALUE_BYTES];
    for (pc_index index = 1; index <= ENTRIES; index++) {
        struct pc_buf body = {0};
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", (unsigned)index);
        struct pc_command command = {
            .op = PC_OP_SET, .key = pc_slice_str(key), .value = pc_slice_of(value, sizeof value)};
        bool is_config = index == 1 || index == grown_at;
        if (is_config) {
            pc_wire_encode_config(index == 1 ? first : config, &body);
        } else {
            pc_wire_encode_command(&command, &body);
        }
        struct pc_entry entry = {.index = index,
            .term = TERM,
            .stamp_ms = 1000 + index,
            .kind = is_config ? PC_ENTRY_CONFIG : PC_ENTRY_COMMAND};
        assert_ok(pc_blob_new(pc_slice_of(body.data, body.len), &entry.body));
        entry.chain = chain = pc_entry_chain(&chain, &entry);
        pc_entries_push(out, &entry);
        pc_entry_clear(&entry);
        pc_buf_destroy(&body);
    }
}

static inline void push_entries(const struct pc_cluster_config *config, struct pc_entries *out)
{
    push_grown_entries(config, config, 0, out);
}

static inline bool add_item(void *context, const struct pc_item *item)
{
    return pc_wire_chunk_add(context, item);
}

/* A snapshot of entry SNAPSHOT, as a node makes one. */
static inline void write_snapshot(const struct pc_fs *port, const struct pc_entries *entries)
{
    struct pc_store_opts opts = {{3}};
    struct pc_store *store = pc_store_new(&opts);
    struct pc_snap_writer *writer = NULL;
    struct pc_snap_info info;
    struct pc_error error;
    for (size_t i = 0; i < SNAPSHOT; i++) {
        struct pc_command command;
        const struct pc_entry *entry = &entries->v[i];
        bool is_command = pc_wire_decode_command(pc_blob_slice(entry->body), &command) == PC_OK;
        assert_int_equal(is_command, i > 0);
        assert_ok(pc_store_apply(
            store, entry->index, entry->stamp_ms, is_command ? &command : NULL, NULL));
    }
    struct pc_store_snapshot state;
    struct pc_wire_chunk chunk = {0};
    bool complete = false;
    pc_store_snapshot_begin(store, &state);
    struct pc_snapshot_meta meta = {.base = pc_raft_base_of(&entries->v[SNAPSHOT - 1]),
        .config_index = 1,
        .config = pc_blob_slice(entries->v[0].body),
        .digest = state.digest,
        .items = state.items};
    memcpy(meta.history, old_history, sizeof meta.history);
    pc_wire_chunk_begin(&chunk);
    while (!complete) {
        assert_ok(pc_store_snapshot_next(store, 64, add_item, &chunk, &complete));
    }
    assert_ok(pc_snap_writer_open(port, LOG, &meta.base, NULL, &writer, &error));
    assert_ok(pc_snap_writer_put(writer, pc_wire_chunk_end(&chunk), &error));
    assert_ok(pc_snap_writer_finish(writer, &meta, &info, &error));
    pc_snap_writer_close(writer);
    pc_buf_destroy(&chunk.bytes);
    pc_store_delete(store);
}

static inline void write_log(const struct pc_fs *port, const struct pc_entries *entries)
{
    struct pc_wal_opts opts = {.dir = LOG, .segment_bytes = 65536};
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered got;
    struct pc_error error;
    assert_ok(pc_wal_open(port, &opts, &wal, &got, &error));
    pc_wal_recovered_clear(&got);
    for (size_t i = 0; i < entries->n; i++) {
        struct pc_wal_batch batch = {.commit = i < COMMITTED ? i : COMMITTED,
            .has_vote = i == 0,
            .term = TERM,
            .vote = SELF + 1};
        pc_entries_push(&batch.entries, &entries->v[i]);
        assert_ok(pc_wal_write(wal, &batch, &error));
        assert_ok(pc_wal_sync(wal, &error));
        pc_entries_clear(&batch.entries);
    }
    pc_wal_close(wal);
}

/* The disk of a node with these entries. */
static inline struct pc_sim_fs *disk_with(const struct pc_entries *entries)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    struct identity_record record = {.id = SELF, .generation = 5, .has_log = true};
    assert_ok(port->mkdir(port->context, DIR, &error));
    assert_ok(port->sync_dir(port->context, "/", &error));
    assert_ok(identity_file_create(port, DIR, &record, &error));
    assert_ok(port->mkdir(port->context, LOG, &error));
    write_log(port, entries);
    assert_ok(history_write(port, DIR, old_history, &error));
    return fs;
}

/* The disk of node1 of three. */
static inline struct pc_sim_fs *disk_of(const struct pc_cluster_config *config, bool with_snapshot)
{
    struct pc_entries entries = {0};
    struct pc_error error;
    push_entries(config, &entries);
    struct pc_sim_fs *fs = disk_with(&entries);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    if (with_snapshot) {
        write_snapshot(port, &entries);
        struct pc_wal_opts opts = {
            .dir = LOG, .segment_bytes = 65536, .base = pc_raft_base_of(&entries.v[SNAPSHOT - 1])};
        struct pc_wal *wal = NULL;
        struct pc_wal_recovered got;
        pc_index first = 1;
        assert_ok(pc_wal_open(port, &opts, &wal, &got, &error));
        pc_wal_recovered_clear(&got);
        assert_ok(pc_wal_drop(wal, SNAPSHOT, &first, &error));
        assert_true(first > 1 && first <= SNAPSHOT);
        pc_wal_close(wal);
    }
    pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
    pc_entries_clear(&entries);
    return fs;
}

static inline struct pc_cluster_config three(void)
{
    struct pc_cluster_config config = {.members_n = 3,
        .members = {{.id = SELF, .name = "node1", .votes = true},
            {.id = SELF + 1, .name = "node2", .votes = true},
            {.id = SELF + 2, .name = "node3", .votes = true}}};
    memcpy(config.history, old_history, sizeof config.history);
    return config;
}

static inline void assert_has_keys_up_to(const struct recovery *r, pc_index last)
{
    struct pc_store_stats stats;
    pc_store_stats(r->store, &stats);
    assert_int_equal(stats.items, last - 1);
    for (unsigned i = 2; i <= last; i++) {
        char key[16];
        struct pc_item item;
        (void)snprintf(key, sizeof key, "k%u", i);
        assert_ok(pc_store_get(r->store, pc_slice_str(key), &item));
        assert_int_equal(item.version, i);
        assert_int_equal(pc_blob_slice(item.value).len, VALUE_BYTES);
    }
}

/* A start as the daemon makes it: the snapshot is found, the log opened behind it. The log leads to
 * what was found, and is whole. Returns the entry it stands at. */
static inline pc_index start(struct pc_sim_fs *fs, bool *is_new)
{
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_snap_found found;
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered got;
    struct pc_error error;
    struct pc_wal_opts opts = {.dir = LOG, .segment_bytes = 65536, .damage = PC_WAL_DAMAGE_REPAIR};
    pc_err err = pc_snap_find(port, LOG, false, &found, &error);
    *is_new = false;
    if (err == PC_OK) {
        opts.base = pc_snap_reader_info(found.reader)->base;
        *is_new = memcmp(pc_snap_reader_meta(found.reader)->history, old_history, 16) != 0;
        pc_snap_reader_close(found.reader);
    } else {
        assert_int_equal(err, PC_E_NOT_FOUND);
    }
    assert_ok(pc_wal_open(port, &opts, &wal, &got, &error));
    if (*is_new) {
        assert_int_equal(got.gaps_n, 0);
        assert_int_equal(got.doubt, 0);
        assert_int_equal(got.first, opts.base.index + 1);
        assert_int_equal(got.last, opts.base.index);
        assert_int_equal(got.commit, opts.base.index);
        assert_true(got.term >= opts.base.term && opts.base.term > TERM);
    }
    pc_index last = got.last;
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    return last;
}

static inline void assert_alone(const struct recovery *r, const uint8_t *history)
{
    assert_true(recovery_is_done(r));
    assert_memory_equal(r->config.history, history, 16);
    assert_int_equal(r->config.members_n, 3);
    assert_true(r->config.members[0].id == SELF && r->config.members[0].votes);
    for (size_t i = 1; i < 3; i++) {
        assert_true(r->config.members[i].id == 0 && !r->config.members[i].votes);
        assert_int_equal(r->config.members[i].want, PC_WANT_VOTER);
    }
}

static inline pc_err recover(struct pc_sim_fs *fs, const uint8_t *history)
{
    struct recovery r;
    struct pc_error error;
    pc_err err = recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error);
    if (err == PC_OK) {
        err = recovery_write(&r, history, &error);
        recovery_close(&r);
    }
    return err;
}

#endif
