/* cluster recover on a disk that loses power at every step, and on logs that are damaged anywhere:
 * a start finds the cluster of before or the new one, each with all its keys. */
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
static void push_grown_entries(const struct pc_cluster_config *first,
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

static void push_entries(const struct pc_cluster_config *config, struct pc_entries *out)
{
    push_grown_entries(config, config, 0, out);
}

static bool add_item(void *context, const struct pc_item *item)
{
    return pc_wire_chunk_add(context, item);
}

/* A snapshot of entry SNAPSHOT, as a node makes one. */
static void write_snapshot(const struct pc_fs *port, const struct pc_entries *entries)
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

static void write_log(const struct pc_fs *port, const struct pc_entries *entries)
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
static struct pc_sim_fs *disk_with(const struct pc_entries *entries)
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
static struct pc_sim_fs *disk_of(const struct pc_cluster_config *config, bool with_snapshot)
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

static struct pc_cluster_config three(void)
{
    struct pc_cluster_config config = {.members_n = 3,
        .members = {{.id = SELF, .name = "node1", .votes = true},
            {.id = SELF + 1, .name = "node2", .votes = true},
            {.id = SELF + 2, .name = "node3", .votes = true}}};
    memcpy(config.history, old_history, sizeof config.history);
    return config;
}

static void assert_has_keys_up_to(const struct recovery *r, pc_index last)
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
static pc_index start(struct pc_sim_fs *fs, bool *is_new)
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

static void assert_alone(const struct recovery *r, const uint8_t *history)
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

static pc_err recover(struct pc_sim_fs *fs, const uint8_t *history)
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

/* ---- power cuts */

/* One recovery that is cut after so many steps, and one more. False when it ended before. */
static bool cut_one(const struct pc_sim_fs *disk, uint64_t steps, bool by_power, bool *was_new)
{
    static const uint8_t first[16] = {2}, second[16] = {3};
    struct pc_sim_fs *fs = pc_sim_fs_clone(disk);
    struct recovery r;
    struct pc_error error;
    uint8_t noted[16];
    bool is_new, is_still;
    pc_sim_fs_reseed(fs, 77 + steps);
    pc_sim_fs_power_off_after(fs, steps);
    pc_err err = recover(fs, first);
    bool was_off = pc_sim_fs_is_off(fs);
    pc_sim_fs_crash(fs, by_power ? PC_SIM_FS_POWER_CUT : PC_SIM_FS_KILL);
    pc_index last = start(fs, &is_new);
    assert_int_equal(last, is_new ? ENTRIES + 1 : ENTRIES);
    assert_true(is_new || err != PC_OK);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
    assert_has_keys_up_to(&r, ENTRIES);
    assert_int_equal(recovery_is_done(&r), is_new);
    assert_ok(recovery_write(&r, second, &error));
    assert_alone(&r, is_new ? first : second);
    recovery_close(&r);
    assert_ok(history_read(pc_sim_fs_port(fs), DIR, noted, &error));
    assert_memory_equal(noted, is_new ? first : second, 16);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_int_equal(start(fs, &is_still), ENTRIES + 1);
    assert_true(is_still);
    *was_new = *was_new || is_new;
    pc_sim_fs_delete(fs);
    return was_off;
}

static void power_cut__at_every_step__leaves_the_old_cluster_or_the_new(void **state)
{
    (void)state;
    const struct pc_cluster_config config = three();
    for (unsigned with_snapshot = 0; with_snapshot < 2; with_snapshot++) {
        struct pc_sim_fs *disk = disk_of(&config, with_snapshot == 1);
        for (unsigned by_power = 0; by_power < 2; by_power++) {
            bool was_new = false, was_off = true;
            uint64_t steps = 0;
            for (; was_off; steps++) {
                was_off = cut_one(disk, steps, by_power == 1, &was_new);
            }
            assert_true(was_new && steps > 8);
        }
        pc_sim_fs_delete(disk);
    }
}

static void disk__full_or_failing__leaves_the_old_cluster(void **state)
{
    (void)state;
    static const uint8_t history[16] = {2};
    const struct pc_cluster_config config = three();
    struct pc_sim_fs *disk = disk_of(&config, true);
    for (unsigned op = PC_SIM_FS_WRITE; op <= PC_SIM_FS_RENAME; op++) {
        struct pc_sim_fs *fs = pc_sim_fs_clone(disk);
        bool is_new;
        pc_sim_fs_fail(fs, op, op == PC_SIM_FS_SYNC || op == PC_SIM_FS_SYNC_DIR ? 1 : 0,
            op == PC_SIM_FS_WRITE ? PC_E_NO_SPACE : PC_E_IO);
        assert_int_not_equal(recover(fs, history), PC_OK);
        pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
        (void)start(fs, &is_new);
        assert_false(is_new);
        assert_ok(recover(fs, history));
        assert_int_equal(start(fs, &is_new), ENTRIES + 1);
        assert_true(is_new);
        pc_sim_fs_delete(fs);
    }
    pc_sim_fs_delete(disk);
}

/* ---- damage */

struct places {
    char segment[64][64];
    uint64_t offset[64];
    size_t n;
};

static void add_place(void *arg, const struct pc_wal_record_info *record)
{
    struct places *places = arg;
    assert_true(places->n < 64);
    (void)snprintf(places->segment[places->n], 64, "%s/%.40s", LOG, record->segment);
    places->offset[places->n++] = record->offset;
}

/* Wherever the log is damaged: what stands in front of it is kept, and a start goes on from it. */
static void log__damaged_anywhere__is_kept_up_to_the_damage(void **state)
{
    (void)state;
    static const uint8_t history[16] = {2};
    const struct pc_cluster_config config = three();
    struct pc_sim_fs *disk = disk_of(&config, false);
    struct pc_wal_recovered got;
    struct pc_error error;
    struct places *places = pc_xalloc(sizeof *places);
    assert_ok(pc_wal_scan(pc_sim_fs_port(disk), LOG, NULL, add_place, places, &got, &error));
    pc_wal_recovered_clear(&got);
    assert_true(places->n >= ENTRIES);
    unsigned cut = 0;
    for (size_t i = 1; i < places->n; i++) { /* without entry 1 there is nothing to go by */
        struct pc_sim_fs *fs = pc_sim_fs_clone(disk);
        struct recovery r;
        bool is_new;
        assert_true(pc_sim_fs_flip_bit(fs, places->segment[i], places->offset[i] + 70, 3));
        assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
        pc_index kept = r.kept.index, top = r.top;
        assert_true(kept >= i && kept <= top && top <= ENTRIES);
        assert_has_keys_up_to(&r, kept);
        if (r.lost.first > 0) {
            assert_int_equal(r.lost.first, kept + 1);
            assert_true(r.where[0] != '\0');
            cut++;
        }
        assert_ok(recovery_write(&r, history, &error));
        recovery_close(&r);
        assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
        assert_alone(&r, history); /* before a start has replaced the damaged log, too */
        recovery_close(&r);
        assert_int_equal(start(fs, &is_new), top + 1);
        assert_true(is_new);
        assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
        assert_has_keys_up_to(&r, kept);
        assert_alone(&r, history);
        recovery_close(&r);
        pc_sim_fs_delete(fs);
    }
    assert_true(cut > ENTRIES / 2);
    free(places);
    pc_sim_fs_delete(disk);
}

static void log__begins_behind_a_snapshot_that_is_gone__is_refused(void **state)
{
    (void)state;
    const struct pc_cluster_config config = three();
    struct pc_sim_fs *fs = disk_of(&config, true);
    struct recovery r;
    struct pc_error error;
    assert_true(pc_sim_fs_remove(fs, LOG "/snap-000000000000002d.snp"));
    assert_int_equal(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error), PC_E_CORRUPT);
    assert_non_null(strstr(error.text, "the log begins with entry"));
    pc_sim_fs_delete(fs);
}

/* A node that founded its cluster alone, and whose log is damaged: it cannot say that it is still
 * alone, and a start would ask the others for what is lost. */
static void sole_voter__log_damaged__is_recovered_all_the_same(void **state)
{
    (void)state;
    static const uint8_t history[16] = {2};
    static const size_t damaged[] = {20, 55}; /* in front of the growing to three, and behind it */
    const struct pc_cluster_config grown = three();
    struct pc_cluster_config alone = grown;
    alone.members_n = 1;
    struct pc_entries entries = {0};
    struct places *places = pc_xalloc(sizeof *places);
    struct pc_wal_recovered got;
    struct pc_error error;
    push_grown_entries(&alone, &grown, 50, &entries);
    struct pc_sim_fs *disk = disk_with(&entries);
    assert_ok(pc_wal_scan(pc_sim_fs_port(disk), LOG, NULL, add_place, places, &got, &error));
    pc_wal_recovered_clear(&got);
    for (size_t i = 0; i < 2; i++) {
        struct pc_sim_fs *fs = pc_sim_fs_clone(disk);
        struct recovery r;
        bool is_new;
        assert_true(pc_sim_fs_flip_bit(
            fs, places->segment[damaged[i]], places->offset[damaged[i]] + 70, 3));
        assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
        assert_int_equal(r.config.members_n, i == 0 ? 1 : 3);
        assert_int_equal(r.lost.first, r.kept.index + 1);
        assert_int_equal(r.lost.last, ENTRIES);
        assert_false(recovery_is_done(&r));
        assert_ok(recovery_write(&r, history, &error));
        recovery_close(&r);
        assert_int_equal(start(fs, &is_new), ENTRIES + 1);
        assert_true(is_new);
        assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
        assert_true(recovery_is_done(&r));
        assert_memory_equal(r.config.history, history, 16);
        assert_int_equal(r.config.members_n, i == 0 ? 1 : 3);
        recovery_close(&r);
        pc_sim_fs_delete(fs);
    }
    free(places);
    pc_entries_clear(&entries);
    pc_sim_fs_delete(disk);
}

#define SNAPSHOT_FILE LOG "/snap-000000000000002d.snp"
#define SNAPSHOT_INSIDE 20000

/* The byte of the file that is damaged. */
static void expect_passed_over(uint64_t at)
{
    static const uint8_t history[16] = {2};
    const struct pc_cluster_config config = three();
    struct pc_sim_fs *fs = disk_of(&config, false);
    struct pc_entries entries = {0};
    struct recovery r;
    struct pc_error error;
    bool is_new;
    push_entries(&config, &entries);
    write_snapshot(pc_sim_fs_port(fs), &entries);
    assert_true(pc_sim_fs_flip_bit(fs, SNAPSHOT_FILE, at, 3));
    assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
    assert_int_equal(r.rotten, SNAPSHOT);
    assert_int_equal(r.snapshot, 0);
    assert_int_equal(r.kept.index, ENTRIES);
    assert_int_equal(r.lost.first, 0);
    assert_non_null(strstr(r.where, "snap-"));
    assert_has_keys_up_to(&r, ENTRIES);
    assert_ok(recovery_write(&r, history, &error));
    recovery_close(&r);
    assert_int_equal(start(fs, &is_new), ENTRIES + 1);
    assert_true(is_new);
    assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
    assert_has_keys_up_to(&r, ENTRIES);
    assert_alone(&r, history);
    recovery_close(&r);
    pc_entries_clear(&entries);
    pc_sim_fs_delete(fs);
}

static void snapshot__rotten_inside__is_passed_over_where_the_log_begins_at_1(void **state)
{
    (void)state;
    expect_passed_over(SNAPSHOT_INSIDE);
}

/* A start does without it, too. */
static void snapshot__headers_damaged__is_passed_over_where_the_log_begins_at_1(void **state)
{
    (void)state;
    expect_passed_over(20);
}

/* Only the name of the newest one says what it was of: what only it had is lost, and its number is
 * not used again. */
static void snapshot__newest_damaged_and_an_older_one_whole__goes_on_from_that(void **state)
{
    (void)state;
    static const uint8_t history[16] = {2};
    const struct pc_cluster_config config = three();
    struct pc_sim_fs *fs = disk_of(&config, true);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    static const char newer[] = LOG "/snap-00000000000003e8.snp";
    struct recovery r;
    struct pc_error error;
    bool is_new;
    pc_fd fd;
    assert_ok(port->open(port->context, newer, true, true, &fd, &error));
    assert_ok(port->write_at(port->context, fd, 0, pc_slice_str("no snapshot"), &error));
    assert_ok(port->sync(port->context, fd, &error));
    port->close(port->context, fd);
    assert_ok(recovery_open(port, DIR, seed, &r, &error));
    assert_int_equal(r.snapshot, SNAPSHOT);
    assert_int_equal(r.kept.index, ENTRIES);
    assert_int_equal(r.lost.first, ENTRIES + 1);
    assert_int_equal(r.lost.last, 1000);
    assert_non_null(strstr(r.where, "snap-00000000000003e8.snp"));
    assert_ok(recovery_write(&r, history, &error));
    recovery_close(&r);
    assert_int_equal(start(fs, &is_new), 1001);
    assert_true(is_new);
    pc_sim_fs_delete(fs);
}

/* The log ends before the snapshot: what only that had is lost, and its number is not used again.
 */
static void snapshot__rotten_and_ahead_of_the_log__is_lost_from_the_logs_end(void **state)
{
    (void)state;
    static const uint8_t history[16] = {2};
    const struct pc_cluster_config config = three();
    struct pc_entries entries = {0}, some = {0};
    struct recovery r;
    struct pc_error error;
    bool is_new;
    push_entries(&config, &entries);
    for (size_t i = 0; i < 10; i++) {
        pc_entries_push(&some, &entries.v[i]);
    }
    struct pc_sim_fs *fs = disk_with(&some);
    write_snapshot(pc_sim_fs_port(fs), &entries);
    assert_true(pc_sim_fs_flip_bit(fs, SNAPSHOT_FILE, SNAPSHOT_INSIDE, 3));
    assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
    assert_int_equal(r.kept.index, 10);
    assert_int_equal(r.lost.first, 11);
    assert_int_equal(r.lost.last, SNAPSHOT);
    assert_has_keys_up_to(&r, 10);
    assert_ok(recovery_write(&r, history, &error));
    recovery_close(&r);
    assert_int_equal(start(fs, &is_new), SNAPSHOT + 1);
    assert_true(is_new);
    pc_entries_clear(&some);
    pc_entries_clear(&entries);
    pc_sim_fs_delete(fs);
}

static void snapshot__rotten_inside__log_begins_behind_entry_1__is_refused(void **state)
{
    (void)state;
    const struct pc_cluster_config config = three();
    struct pc_sim_fs *fs = disk_of(&config, true);
    struct recovery r;
    struct pc_error error;
    assert_true(pc_sim_fs_flip_bit(fs, SNAPSHOT_FILE, SNAPSHOT_INSIDE, 3));
    assert_int_equal(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error), PC_E_CORRUPT);
    assert_non_null(strstr(error.text, "snap-"));
    assert_non_null(strstr(error.text, "does not begin with entry 1"));
    pc_sim_fs_delete(fs);
}

/* ---- members */

static void members__of_every_kind__are_invited_as_what_they_were_to_be(void **state)
{
    (void)state;
    static const uint8_t history[16] = {2};
    struct pc_cluster_config config = {.members_n = 5,
        .members = {{.id = 50, .name = "node0", .want = PC_WANT_REPLICA},
            {.id = SELF, .name = "node1", .want = PC_WANT_REPLICA},
            {.id = 20, .name = "node2", .votes = true, .want = PC_WANT_REPLICA},
            {.id = 21, .name = "node2", .votes = true},
            {.id = 30, .name = "node3", .want = PC_WANT_SPARE}}};
    memcpy(config.history, old_history, sizeof config.history);
    assert_true(pc_wire_config_is_valid(&config));
    struct pc_sim_fs *fs = disk_of(&config, false);
    struct recovery r;
    struct pc_error error;
    assert_ok(recover(fs, history));
    assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
    static const enum pc_member_want wants[] = {
        PC_WANT_REPLICA, PC_WANT_VOTER, PC_WANT_VOTER, PC_WANT_SPARE};
    assert_int_equal(r.config.members_n, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct pc_cluster_member *member = &r.config.members[i];
        char name[8];
        (void)snprintf(name, sizeof name, "node%u", (unsigned)i);
        assert_string_equal(member->name, name);
        assert_int_equal(member->want, wants[i]);
        assert_int_equal(member->id, i == 1 ? SELF : 0);
        assert_int_equal(member->votes, i == 1);
    }
    recovery_close(&r);
    pc_sim_fs_delete(fs);
}

static void member__that_was_removed__is_refused(void **state)
{
    (void)state;
    struct pc_cluster_config config = three();
    config.members[0].id = SELF + 50;
    struct pc_sim_fs *fs = disk_of(&config, false);
    struct recovery r;
    struct pc_error error;
    assert_int_equal(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error), PC_E_INVALID);
    assert_non_null(strstr(error.text, "is no member"));
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(power_cut__at_every_step__leaves_the_old_cluster_or_the_new),
    PC_TEST(disk__full_or_failing__leaves_the_old_cluster),
    PC_TEST(log__damaged_anywhere__is_kept_up_to_the_damage),
    PC_TEST(log__begins_behind_a_snapshot_that_is_gone__is_refused),
    PC_TEST(sole_voter__log_damaged__is_recovered_all_the_same),
    PC_TEST(snapshot__rotten_inside__is_passed_over_where_the_log_begins_at_1),
    PC_TEST(snapshot__headers_damaged__is_passed_over_where_the_log_begins_at_1),
    PC_TEST(snapshot__newest_damaged_and_an_older_one_whole__goes_on_from_that),
    PC_TEST(snapshot__rotten_and_ahead_of_the_log__is_lost_from_the_logs_end),
    PC_TEST(snapshot__rotten_inside__log_begins_behind_entry_1__is_refused),
    PC_TEST(members__of_every_kind__are_invited_as_what_they_were_to_be),
    PC_TEST(member__that_was_removed__is_refused),
};

PC_TEST_MAIN("recover", tests)
