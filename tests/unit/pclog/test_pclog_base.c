/* pclog verify and repair of a log that begins behind a snapshot: it counts as it does for a start.
 */
#define _GNU_SOURCE
#include "unit/snap/fixture.h"

#include "pcache/wal.h"
#include "pclog/pclog_int.h"

#define ENTRIES 60
#define BASE 45
#define OTHER_DIR "/other"

static void push_entries(struct pc_entries *out)
{
    struct pc_hash chain = {{0}};
    uint8_t body[5000] = {7};
    for (pc_index index = 1; index <= ENTRIES; index++) {
        struct pc_entry entry = {
            .index = index, .term = 2, .stamp_ms = index, .kind = PC_ENTRY_COMMAND};
        assert_ok(pc_blob_new(pc_slice_of(body, sizeof body), &entry.body));
        entry.chain = chain = pc_entry_chain(&chain, &entry);
        pc_entries_push(out, &entry);
        pc_entry_clear(&entry);
    }
}

/* All of the entries, each synced; those that a snapshot of BASE stands for are dropped, as far as
 * whole segments go. Returns the first one left. */
static pc_index write_log(
    const struct pc_fs *port, const char *dir, const struct pc_entries *entries, bool drops)
{
    struct pc_wal_opts opts = {.dir = dir, .segment_bytes = 65536};
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered got;
    struct pc_error error;
    pc_index first = 1;
    assert_ok(pc_wal_open(port, &opts, &wal, &got, &error));
    pc_wal_recovered_clear(&got);
    for (size_t i = 0; i < entries->n; i++) {
        struct pc_wal_batch batch = {.commit = i, .has_vote = i == 0, .term = 2, .vote = 5};
        pc_entries_push(&batch.entries, &entries->v[i]);
        assert_ok(pc_wal_write(wal, &batch, &error));
        assert_ok(pc_wal_sync(wal, &error));
        pc_entries_clear(&batch.entries);
    }
    if (drops) {
        assert_ok(pc_wal_drop(wal, BASE, &first, &error));
        assert_true(first > 20 && first <= BASE);
    }
    pc_wal_close(wal);
    return first;
}

/* In TEST_DIR the log without its front, whose snapshot is not written yet; in OTHER_DIR all
 * entries. */
struct setting {
    struct pc_sim_fs *fs;
    struct pc_entries entries;
    struct model snapshot;
    pc_index first;
};

static void make_setting(struct setting *s)
{
    *s = (struct setting){.fs = disk_new(1)};
    const struct pc_fs *port = pc_sim_fs_port(s->fs);
    push_entries(&s->entries);
    s->first = write_log(port, TEST_DIR, &s->entries, true);
    (void)write_log(port, OTHER_DIR, &s->entries, false);
    const struct pc_entry *at = &s->entries.v[BASE - 1];
    model_make(&s->snapshot, BASE, 1, 1, 100);
    s->snapshot.meta.base = (struct pc_raft_base){
        .index = at->index, .term = at->term, .stamp_ms = at->stamp_ms, .chain = at->chain};
}

static void setting_clear(struct setting *s)
{
    model_clear(&s->snapshot);
    pc_entries_clear(&s->entries);
    pc_sim_fs_delete(s->fs);
}

struct place {
    pc_index index;
    char path[80];
    uint64_t offset;
};

static void note_place(void *arg, const struct pc_wal_record_info *record)
{
    struct place *place = arg;
    if (record->type == PC_WAL_RECORD_ENTRY && record->index == place->index) {
        (void)snprintf(place->path, sizeof place->path, TEST_DIR "/%s", record->segment);
        place->offset = record->offset;
    }
}

/* A flipped bit in the body of the entry. */
static void rot(struct setting *s, pc_index index)
{
    struct place place = {.index = index};
    struct pc_wal_recovered got;
    struct pc_error error;
    assert_ok(pc_wal_scan(pc_sim_fs_port(s->fs), TEST_DIR, NULL, note_place, &place, &got, &error));
    pc_wal_recovered_clear(&got);
    assert_true(pc_sim_fs_flip_bit(s->fs, place.path, place.offset + 200, 2));
}

/* Runs and compares the status and a part of the output. from: NULL = none. */
static void expect(
    struct setting *s, const char *verb, const char *from, int status, const char *part)
{
    char *said = NULL;
    size_t said_n;
    FILE *out = open_memstream(&said, &said_n);
    assert_non_null(out);
    char *argv[] = {
        (char *)"pclog", (char *)verb, (char *)TEST_DIR, (char *)"--from", (char *)from, NULL};
    int got = pc_pclog_run(pc_sim_fs_port(s->fs), from != NULL ? 5 : 3, argv, out, out);
    (void)fclose(out);
    if (strstr(said, part) == NULL) {
        fail_msg("no \"%s\" in:\n%s", part, said);
    }
    assert_null(strstr(said, "entries 1..")); /* the front is not what is missing */
    assert_int_equal(got, status);
    free(said);
}

static void verify__log_behind_a_snapshot__is_good_and_names_it(void **state)
{
    (void)state;
    struct setting s;
    char part[120];
    make_setting(&s);
    expect(&s, "verify", NULL, PCLOG_GOOD, ": needs a snapshot of it or of a later one");
    write_ok(s.fs, &s.snapshot);
    uint64_t steps = pc_sim_fs_steps(s.fs);
    (void)snprintf(part, sizeof part, "good: entries %u..%u, ", (unsigned)s.first, ENTRIES);
    expect(&s, "verify", NULL, PCLOG_GOOD, part);
    (void)snprintf(part, sizeof part, "begins behind entry %u, beside a snapshot of entry %u\n",
        (unsigned)s.first - 1, BASE);
    expect(&s, "verify", NULL, PCLOG_GOOD, part);
    rot(&s, s.first); /* the snapshot stands for it */
    expect(&s, "verify", NULL, PCLOG_GOOD, "1 damaged places, of which nothing is missing");
    assert_int_equal(pc_sim_fs_steps(s.fs), steps);
    setting_clear(&s);
}

static void verify__snapshot_of_later_than_the_log__leaves_no_entries(void **state)
{
    (void)state;
    struct setting s;
    make_setting(&s);
    s.snapshot.meta.base.index = ENTRIES + 5;
    write_ok(s.fs, &s.snapshot);
    expect(&s, "verify", NULL, PCLOG_GOOD, "good: no entries, commit 65");
    setting_clear(&s);
}

static void verify__snapshot_damaged__is_named(void **state)
{
    (void)state;
    struct setting s;
    make_setting(&s);
    write_ok(s.fs, &s.snapshot);
    assert_true(pc_sim_fs_flip_bit(s.fs, file_of(BASE), 20, 1));
    expect(&s, "verify", NULL, PCLOG_DAMAGED, "snap-000000000000002d.snp: damaged at offset 0");
    expect(&s, "dump", NULL, PCLOG_GOOD, " entry index=60 ");
    setting_clear(&s);
}

static void repair__of_a_log_behind_a_snapshot__fills_what_lies_behind_it(void **state)
{
    (void)state;
    struct setting s;
    make_setting(&s);
    write_ok(s.fs, &s.snapshot);
    rot(&s, BASE + 5);
    expect(&s, "verify", NULL, PCLOG_DAMAGED, "entries 50..50 are lost");
    expect(&s, "repair", OTHER_DIR, PCLOG_GOOD, "repaired: entries 50..50\ngood: entries ");
    expect(&s, "verify", NULL, PCLOG_GOOD, "1 damaged places, of which nothing is missing");
    setting_clear(&s);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(verify__log_behind_a_snapshot__is_good_and_names_it),
    PC_TEST(verify__snapshot_of_later_than_the_log__leaves_no_entries),
    PC_TEST(verify__snapshot_damaged__is_named),
    PC_TEST(repair__of_a_log_behind_a_snapshot__fills_what_lies_behind_it),
};
PC_TEST_MAIN("pclog_base", tests)
