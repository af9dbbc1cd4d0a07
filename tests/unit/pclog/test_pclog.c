#define _GNU_SOURCE
#include "support/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "pclog/pclog_int.h"
#include "pcache/wal.h"
#include "pcache/wire.h"
#include "support/sim_fs.h"

struct ran {
    int status;
    char *out;
    char *err;
};

static struct ran run(struct pc_sim_fs *fs, int argc, const char *verb, const char *dir)
{
    struct ran ran = {0};
    size_t out_n;
    size_t err_n;
    FILE *out = open_memstream(&ran.out, &out_n);
    FILE *err = open_memstream(&ran.err, &err_n);
    assert_true(out != NULL && err != NULL);
    char *argv[] = {(char *)"pclog", (char *)verb, (char *)dir, NULL};
    ran.status = pc_pclog_run(pc_sim_fs_port(fs), argc, argv, out, err);
    (void)fclose(out);
    (void)fclose(err);
    return ran;
}

static void ran_clear(struct ran *ran)
{
    free(ran->out);
    free(ran->err);
}

/* Runs and compares the status and a part of one of the outputs. */
static void expect(
    struct pc_sim_fs *fs, const char *verb, const char *dir, int status, const char *part)
{
    struct ran ran = run(fs, dir != NULL ? 3 : 2, verb, dir);
    if (strstr(ran.out, part) == NULL && strstr(ran.err, part) == NULL) {
        fail_msg("no \"%s\" in:\n%s%s", part, ran.out, ran.err);
    }
    assert_int_equal(ran.status, status);
    ran_clear(&ran);
}

static void push(struct pc_entries *entries, struct pc_hash *chain, enum pc_entry_kind kind,
    const struct pc_command *command)
{
    struct pc_buf body = {0};
    struct pc_entry entry = {.index = entries->n + 1,
        .term = 2,
        .stamp_ms = 5000,
        .req = {.node = 0xab, .boot = 3, .seq = 4},
        .kind = kind};
    if (command != NULL) {
        pc_wire_encode_command(command, &body);
        assert_ok(pc_blob_new(pc_slice_of(body.data, body.len), &entry.body));
    }
    entry.chain = *chain = pc_entry_chain(chain, &entry);
    pc_entries_push(entries, &entry);
    pc_entry_clear(&entry);
    pc_buf_destroy(&body);
}

/* A log with a no-op and a set. */
static void write_log(const struct pc_fs *port, const char *dir)
{
    struct pc_error error;
    struct pc_wal_opts opts = {.dir = dir, .segment_bytes = 65536};
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered recovered;
    assert_ok(pc_wal_open(port, &opts, &wal, &recovered, &error));
    struct pc_wal_batch batch = {.commit = 1, .has_vote = true, .term = 2, .vote = 0xcd};
    struct pc_hash chain = {{0}};
    push(&batch.entries, &chain, PC_ENTRY_NOOP, NULL);
    struct pc_command set = {.op = PC_OP_SET,
        .key = pc_slice_of("a\"\xff", 3),
        .value = pc_slice_str("12345"),
        .has_ttl = true,
        .ttl_ms = 700,
        .condition = PC_IF_PRESENT};
    push(&batch.entries, &chain, PC_ENTRY_COMMAND, &set);
    assert_ok(pc_wal_write(wal, &batch, &error));
    pc_entries_clear(&batch.entries);
    pc_wal_close(wal);
}

/* The same as /data/log. */
static struct pc_sim_fs *make_log(void)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct pc_error error;
    const struct pc_fs *port = pc_sim_fs_port(fs);
    assert_ok(port->mkdir(port->context, "/data", &error));
    write_log(port, "/data/log");
    return fs;
}

static void dump__good_log__prints_one_line_per_record(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = make_log();
    struct ran ran = run(fs, 3, "dump", "/data/log");
    assert_int_equal(ran.status, PCLOG_GOOD);
    assert_string_equal(ran.out,
        "log-0000000000000001.seg+520 entry index=1 term=2 stamp=5000 kind=noop commit=1 "
        "durable=0\n"
        "log-0000000000000001.seg+624 entry index=2 term=2 stamp=5000 kind=command "
        "req=00000000000000ab/3/4 op=set key=\"a\\\"\\xff\" value_bytes=5 ttl_ms=700 if=present "
        "commit=1 "
        "durable=0\n"
        "log-0000000000000001.seg+1032 note index=2 term=2 commit=1 durable=2\n");
    ran_clear(&ran);
    pc_sim_fs_delete(fs);
}

static void verify__each_outcome__has_its_exit_status(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = make_log();
    uint64_t steps = pc_sim_fs_steps(fs);
    expect(fs, "verify", "/data/log", PCLOG_GOOD,
        "good: entries 1..2, commit 1, term 2, vote 00000000000000cd");
    expect(fs, "verify", "/data", PCLOG_GOOD, "records: 2 entries, 0 truncations, 1 notes");
    expect(fs, "verify", "/nowhere", PCLOG_NO, "no such");
    expect(fs, "--help", NULL, PCLOG_GOOD, "usage");
    expect(fs, "--version", NULL, PCLOG_GOOD, "pclog ");
    expect(fs, "repair", "/data", PCLOG_GOOD, "good: ");
    expect(fs, "mend", "/data", PCLOG_USAGE, "usage");
    expect(fs, "dump", NULL, PCLOG_USAGE, "usage");
    pc_sim_fs_fail(fs, PC_SIM_FS_READ, 0, PC_E_IO);
    expect(fs, "verify", "/data/log", PCLOG_LOCAL_IO, "injected");
    assert_true(pc_sim_fs_flip_bit(fs, "/data/log/log-0000000000000001.seg", 600, 1));
    expect(fs, "verify", "/data/log", PCLOG_DAMAGED, "damaged at offset");
    assert_int_equal(pc_sim_fs_steps(fs), steps); /* nothing was changed */
    pc_sim_fs_delete(fs);
}

static struct ran repair_port(const struct pc_fs *port, const char *dir, const char *from)
{
    struct ran ran = {0};
    size_t out_n;
    size_t err_n;
    FILE *out = open_memstream(&ran.out, &out_n);
    FILE *err = open_memstream(&ran.err, &err_n);
    assert_true(out != NULL && err != NULL);
    char *argv[] = {
        (char *)"pclog", (char *)"repair", (char *)dir, (char *)"--from", (char *)from, NULL};
    ran.status = pc_pclog_run(port, 5, argv, out, err);
    (void)fclose(out);
    (void)fclose(err);
    return ran;
}

static struct ran repair(struct pc_sim_fs *fs, const char *dir, const char *from)
{
    return repair_port(pc_sim_fs_port(fs), dir, from);
}

/* data/LOCK is held as by a node; with the data directory and with the log directory given. */
static void repair__data_directory_in_use__is_refused_and_writes_nothing(void **state)
{
    (void)state;
    const struct pc_fs *port = pc_fs_posix();
    char dir[128], log_dir[160], other[160], path[256];
    pc_test_dir_make(dir);
    (void)snprintf(log_dir, sizeof log_dir, "%s/log", dir);
    (void)snprintf(other, sizeof other, "%s/other", dir);
    write_log(port, log_dir);
    write_log(port, other);
    (void)snprintf(path, sizeof path, "%s/log-0000000000000001.seg", log_dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "damage", 6, 700), 6);
    (void)close(fd);
    (void)snprintf(path, sizeof path, "%s/LOCK", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "4711\n", 5, 0), 5);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    (void)snprintf(path, sizeof path, "%s/fix-0000000000000002.seg", log_dir);
    const char *const given[] = {dir, log_dir};
    for (size_t i = 0; i < 2; i++) {
        struct ran ran = repair_port(port, given[i], other);
        assert_int_equal(ran.status, PCLOG_LOCKED);
        assert_non_null(strstr(ran.err, "in use by process 4711"));
        assert_int_equal(access(path, F_OK), -1);
        ran_clear(&ran);
    }
    (void)close(fd);
    struct ran ran = repair_port(port, log_dir, other);
    assert_int_equal(ran.status, PCLOG_GOOD);
    assert_int_equal(access(path, F_OK), 0);
    ran_clear(&ran);
    pc_test_dir_remove(dir);
}

static void copy_file(struct pc_sim_fs *fs, const char *from, const char *to)
{
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    uint64_t bytes = pc_sim_fs_file_bytes(fs, from);
    uint8_t *all = pc_xalloc((size_t)bytes);
    pc_fd in, out;
    size_t got = 0;
    assert_ok(port->open_read(port->context, from, &in, &error));
    assert_ok(port->read_at(port->context, in, 0, all, (size_t)bytes, &got, &error));
    assert_ok(port->open(port->context, to, true, true, &out, &error));
    assert_ok(port->write_at(port->context, out, 0, pc_slice_of(all, got), &error));
    port->close(port->context, in);
    port->close(port->context, out);
    free(all);
}

static void repair__from_another_log__puts_back_what_is_lost(void **state)
{
    (void)state;
    static const char *const names[] = {"vote-0", "vote-1", "log-0000000000000001.seg"};
    struct pc_sim_fs *fs = make_log();
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    assert_ok(port->mkdir(port->context, "/other", &error));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char from[64], to[64];
        (void)snprintf(from, sizeof from, "/data/log/%s", names[i]);
        (void)snprintf(to, sizeof to, "/other/%s", names[i]);
        copy_file(fs, from, to);
    }
    assert_true(pc_sim_fs_flip_bit(fs, "/data/log/log-0000000000000001.seg", 700, 1));
    expect(fs, "verify", "/data", PCLOG_DAMAGED, "entries 2..2 are lost");
    expect(fs, "repair", "/data", PCLOG_DAMAGED, "among its peers");
    struct ran ran = repair(fs, "/data", "/nowhere");
    assert_int_equal(ran.status, PCLOG_NO);
    ran_clear(&ran);
    ran = repair(fs, "/data", "/other");
    assert_int_equal(ran.status, PCLOG_GOOD);
    assert_non_null(strstr(ran.out, "repaired: entries 2..2"));
    assert_non_null(strstr(ran.out, "good: entries 1..2"));
    ran_clear(&ran);
    expect(fs, "verify", "/data", PCLOG_GOOD, "1 damaged places, of which nothing is missing");
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(dump__good_log__prints_one_line_per_record),
    PC_TEST(verify__each_outcome__has_its_exit_status),
    PC_TEST(repair__from_another_log__puts_back_what_is_lost),
    PC_TEST(repair__data_directory_in_use__is_refused_and_writes_nothing),
};
PC_TEST_MAIN("pclog", tests)
