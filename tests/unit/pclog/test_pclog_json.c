/* pclog dump --json, line by line. */
#define _GNU_SOURCE
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/snap.h"
#include "pcache/wal.h"
#include "pcache/wire.h"
#include "pclog/pclog_int.h"
#include "support/sim_fs.h"

#define COMMAND "\"time_ms\":5000,\"kind\":\"command\",\"request\":\"00000000000000ab/3/4\",\"op\":"

/* The form of each kind; changing one is a deliberate act. */
static const char golden[] =
    "{\"index\":1,\"term\":2,\"time_ms\":5000,\"kind\":\"config\","
    "\"history\":\"07070707070707070707070707070707\",\"members\":["
    "{\"name\":\"a\",\"id\":\"00000000000000ab\",\"want\":\"voter\",\"votes\":true},"
    "{\"name\":\"b\",\"id\":null,\"want\":\"replica\",\"votes\":false}]}\n"
    "{\"index\":2,\"term\":2,\"time_ms\":5000,\"kind\":\"noop\"}\n"
    "{\"index\":3,\"term\":2," COMMAND "\"set\",\"key\":\"k/\\u0000\",\"value\":\"1 \\\"2\\\"\","
    "\"content_type\":\"text/plain\",\"ttl_ms\":700}\n"
    "{\"index\":4,\"term\":2," COMMAND "\"set\",\"key_b64\":\"Yf8=\",\"value_b64\":\"//4=\","
    "\"if\":\"absent\"}\n"
    "{\"index\":5,\"term\":2," COMMAND "\"delete\",\"key\":\"k\",\"if\":\"version\","
    "\"if_version\":3}\n"
    "{\"index\":6,\"term\":2," COMMAND "\"tick\"}\n"
    "{\"index\":7,\"term\":2,\"time_ms\":5000,\"kind\":\"command\",\"body_b64\":\"eHh4\"}\n";

static void push(struct pc_entries *entries, struct pc_hash *chain, enum pc_entry_kind kind,
    const struct pc_buf *body)
{
    struct pc_entry entry = {.index = entries->n + 1,
        .term = 2,
        .stamp_ms = 5000,
        .req = {.node = 0xab, .boot = 3, .seq = 4},
        .kind = kind};
    if (body->len > 0) {
        assert_ok(pc_blob_new(pc_slice_of(body->data, body->len), &entry.body));
    }
    entry.chain = *chain = pc_entry_chain(chain, &entry);
    pc_entries_push(entries, &entry);
    pc_entry_clear(&entry);
}

static void push_command(
    struct pc_entries *entries, struct pc_hash *chain, const struct pc_command *command)
{
    struct pc_buf body = {0};
    pc_wire_encode_command(command, &body);
    push(entries, chain, PC_ENTRY_COMMAND, &body);
    pc_buf_destroy(&body);
}

static void push_config(struct pc_entries *entries, struct pc_hash *chain)
{
    struct pc_buf body = {0};
    struct pc_cluster_config config = {.members_n = 2,
        .members = {
            {.id = 0xab, .name = "a", .votes = true}, {.name = "b", .want = PC_WANT_REPLICA}}};
    memset(config.history, 7, sizeof config.history);
    pc_wire_encode_config(&config, &body);
    push(entries, chain, PC_ENTRY_CONFIG, &body);
    pc_buf_destroy(&body);
}

/* Seven entries that are committed, and one that is not. */
static struct pc_sim_fs *make_log(void)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    struct pc_wal_opts opts = {.dir = "/data/log", .segment_bytes = 65536};
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered recovered;
    struct pc_wal_batch batch = {.commit = 7, .has_vote = true, .term = 2};
    struct pc_hash chain = {{0}};
    struct pc_buf none = {0}, odd = {0};
    assert_ok(port->mkdir(port->context, "/data", &error));
    assert_ok(pc_wal_open(port, &opts, &wal, &recovered, &error));
    struct pc_command set = {.op = PC_OP_SET,
        .key = pc_slice_of("k/", 3),
        .value = pc_slice_str("1 \"2\""),
        .content_type = pc_slice_str("text/plain"),
        .has_ttl = true,
        .ttl_ms = 700};
    struct pc_command bytes = {.op = PC_OP_SET,
        .key = pc_slice_of("a\xff", 2),
        .value = pc_slice_of("\xff\xfe", 2),
        .condition = PC_IF_ABSENT};
    struct pc_command removal = {
        .op = PC_OP_DELETE, .key = pc_slice_str("k"), .condition = PC_IF_VERSION, .if_version = 3};
    struct pc_command tick = {.op = PC_OP_TICK};
    push_config(&batch.entries, &chain);
    push(&batch.entries, &chain, PC_ENTRY_NOOP, &none);
    push_command(&batch.entries, &chain, &set);
    push_command(&batch.entries, &chain, &bytes);
    push_command(&batch.entries, &chain, &removal);
    push_command(&batch.entries, &chain, &tick);
    pc_buf_append(&odd, "xxx", 3);
    push(&batch.entries, &chain, PC_ENTRY_COMMAND, &odd);
    push_command(&batch.entries, &chain, &removal);
    assert_ok(pc_wal_write(wal, &batch, &error));
    pc_buf_destroy(&odd);
    pc_entries_clear(&batch.entries);
    pc_wal_close(wal);
    return fs;
}

struct ran {
    int status;
    char *out, *err;
};

static struct ran run(struct pc_sim_fs *fs, const char *dir, const char *from)
{
    struct ran ran = {0};
    size_t out_n, err_n;
    FILE *out = open_memstream(&ran.out, &out_n), *err = open_memstream(&ran.err, &err_n);
    assert_true(out != NULL && err != NULL);
    char *argv[] = {(char *)"pclog", (char *)"dump", (char *)dir, (char *)"--json",
        (char *)"--from", (char *)from, NULL};
    ran.status = pc_pclog_run(pc_sim_fs_port(fs), from != NULL ? 6 : 4, argv, out, err);
    (void)fclose(out);
    (void)fclose(err);
    return ran;
}

static void expect(struct pc_sim_fs *fs, const char *dir, const char *from, int status,
    const char *out, const char *err_part)
{
    struct ran ran = run(fs, dir, from);
    assert_string_equal(ran.out, out);
    if (strstr(ran.err, err_part) == NULL) {
        fail_msg("no \"%s\" in:\n%s", err_part, ran.err);
    }
    assert_int_equal(ran.status, status);
    free(ran.out);
    free(ran.err);
}

static void dump__committed_entries__are_lines_of_json(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = make_log();
    uint64_t steps = pc_sim_fs_steps(fs);
    expect(fs, "/data/log", NULL, PCLOG_GOOD, golden, "");
    expect(fs, "/data", NULL, PCLOG_GOOD, golden, "");
    expect(fs, "/data", "7", PCLOG_GOOD, strstr(golden, "{\"index\":7"), "");
    expect(fs, "/data", "8", PCLOG_GOOD, "", ""); /* not committed yet */
    assert_int_equal(pc_sim_fs_steps(fs), steps); /* nothing was changed */
    pc_sim_fs_delete(fs);
}

static void dump__without_a_whole_log__is_refused(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = make_log();
    expect(fs, "/nowhere", NULL, PCLOG_NO, "", "nowhere");
    expect(fs, "/data", "0", PCLOG_USAGE, "", "usage");
    expect(fs, "/data", "7x", PCLOG_USAGE, "", "usage");
    assert_true(pc_sim_fs_flip_bit(fs, "/data/log/log-0000000000000001.seg", 600, 3));
    expect(fs, "/data", NULL, PCLOG_DAMAGED, "", "damaged at offset");
    pc_sim_fs_delete(fs);
}

/* Entries in front of a snapshot are gone: whoever asks for one of them is told where it begins. */
static void dump__of_a_log_behind_a_snapshot__begins_there(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    struct pc_wal_opts opts = {.dir = "/log", .segment_bytes = 65536};
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered recovered;
    struct pc_cluster_config config = {.members_n = 1, .members = {{.id = 1, .votes = true}}};
    config.members[0].name[0] = 'a';
    struct pc_buf body = {0};
    pc_wire_encode_config(&config, &body);
    struct pc_snapshot_meta meta = {.base = {.index = 100, .term = 2, .stamp_ms = 4000},
        .config_index = 1,
        .config = pc_slice_of(body.data, body.len)};
    assert_ok(pc_wal_open(port, &opts, &wal, &recovered, &error));
    struct pc_wal_batch vote = {.has_vote = true, .term = 2};
    assert_ok(pc_wal_write(wal, &vote, &error));
    struct pc_snap_writer *writer = NULL;
    struct pc_snap_info info;
    assert_ok(pc_snap_writer_open(port, "/log", &meta.base, NULL, &writer, &error));
    assert_ok(pc_snap_writer_finish(writer, &meta, &info, &error));
    pc_snap_writer_close(writer);
    assert_ok(pc_wal_reset(wal, &meta.base, &error));
    struct pc_entry entry = {.index = 101, .term = 2, .stamp_ms = 5000, .kind = PC_ENTRY_NOOP};
    entry.chain = pc_entry_chain(&meta.base.chain, &entry);
    struct pc_wal_batch batch = {.seq = 1, .commit = 101};
    pc_entries_push(&batch.entries, &entry);
    assert_ok(pc_wal_write(wal, &batch, &error));
    pc_entries_clear(&batch.entries);
    pc_wal_close(wal);
    pc_buf_destroy(&body);
    static const char line[] = "{\"index\":101,\"term\":2,\"time_ms\":5000,\"kind\":\"noop\"}\n";
    expect(fs, "/log", NULL, PCLOG_GOOD, line, "");
    expect(fs, "/log", "101", PCLOG_GOOD, line, "");
    expect(fs, "/log", "100", PCLOG_NO, "", "begins with entry 101");
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(dump__committed_entries__are_lines_of_json),
    PC_TEST(dump__without_a_whole_log__is_refused),
    PC_TEST(dump__of_a_log_behind_a_snapshot__begins_there),
};
PC_TEST_MAIN("pclog_json", tests)
