/* bench_wal [DIR]: what the log costs on the disk that DIR (default: $TMPDIR or /tmp) lies on.
 * Prints numbers, asserts nothing about them. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pcache/limits.h"
#include "pcache/wal.h"

#define SYNC_ROUNDS 400
#define RECOVER_ENTRIES 1000000

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void need(pc_err err, const struct pc_error *error)
{
    if (err != PC_OK) {
        fprintf(stderr, "bench_wal: %s\n", error->text);
        exit(1);
    }
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* One 512-byte write and fdatasync at a time. */
static void bench_sync(const char *dir, bool zeroed)
{
    const struct pc_fs *fs = pc_fs_posix();
    struct pc_error error;
    char path[512];
    uint8_t block[512];
    uint64_t us[SYNC_ROUNDS];
    pc_fd fd;
    (void)snprintf(path, sizeof path, "%s/sync-%d", dir, zeroed);
    need(fs->open(NULL, path, true, true, &fd, &error), &error);
    memset(block, 0, sizeof block);
    for (uint64_t i = 0; zeroed && i < SYNC_ROUNDS; i++) {
        need(fs->write_at(NULL, fd, i * sizeof block, pc_slice_of(block, sizeof block), &error),
            &error);
    }
    need(fs->sync(NULL, fd, &error), &error);
    need(fs->sync_dir(NULL, dir, &error), &error);
    memset(block, 7, sizeof block);
    for (uint64_t i = 0; i < SYNC_ROUNDS; i++) {
        uint64_t start = now_us();
        need(fs->write_at(NULL, fd, i * sizeof block, pc_slice_of(block, sizeof block), &error),
            &error);
        need(fs->sync(NULL, fd, &error), &error);
        us[i] = now_us() - start;
    }
    qsort(us, SYNC_ROUNDS, sizeof *us, compare_u64);
    printf("write 512 B + fdatasync, %-11s p50 %5" PRIu64 " us   p99 %5" PRIu64 " us\n",
        zeroed ? "zero-filled" : "growing", us[SYNC_ROUNDS / 2], us[SYNC_ROUNDS * 99 / 100]);
    fs->close(NULL, fd);
    need(fs->unlink(NULL, path, &error), &error);
}

/* The next `count` entries with `len` bytes of body. */
static struct pc_entries make_entries(
    pc_index first, size_t count, size_t len, struct pc_hash *chain)
{
    struct pc_entries entries = {0};
    uint8_t body[256];
    memset(body, 'v', sizeof body);
    for (size_t i = 0; i < count; i++) {
        struct pc_entry entry = {.index = first + i,
            .term = 1,
            .stamp_ms = 1000 + i,
            .req = {.node = 1, .boot = 1, .seq = first + i},
            .kind = PC_ENTRY_COMMAND};
        if (pc_blob_new(pc_slice_of(body, len), &entry.body) != PC_OK) {
            abort();
        }
        entry.chain = pc_entry_chain(chain, &entry);
        *chain = entry.chain;
        pc_entries_push(&entries, &entry);
        pc_entry_clear(&entry);
    }
    return entries;
}

static struct pc_wal *open_wal(
    const char *dir, enum pc_fsync_mode mode, struct pc_wal_recovered *got)
{
    struct pc_wal_opts opts = {.dir = dir, .fsync = mode};
    struct pc_wal *wal = NULL;
    struct pc_error error;
    need(pc_wal_open(pc_fs_posix(), &opts, &wal, got, &error), &error);
    return wal;
}

static void write_entries(struct pc_wal *wal, pc_index first, size_t count, size_t len,
    struct pc_hash *chain, uint64_t *us)
{
    struct pc_error error;
    struct pc_wal_batch batch = {.entries = make_entries(first, count, len, chain)};
    batch.commit = first + count - 1;
    uint64_t start = now_us();
    need(pc_wal_write(wal, &batch, &error), &error);
    need(pc_wal_sync(wal, &error), &error);
    *us += now_us() - start;
    pc_entries_clear(&batch.entries);
}

static void bench_batches(const char *dir, size_t count)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/batch-%zu", dir, count);
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_wal(path, PC_FSYNC_ALWAYS, &got);
    struct pc_hash chain = {{0}};
    uint64_t us = 0;
    for (size_t i = 0; i < SYNC_ROUNDS; i++) {
        write_entries(wal, 1 + i * count, count, 100, &chain, &us);
    }
    printf("batches of %-3zu x 100 B, synced: %9.0f entries/s\n", count,
        (double)(SYNC_ROUNDS * count) * 1e6 / (double)us);
    pc_wal_close(wal);
}

static void bench_recovery(const char *dir)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/recover", dir);
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_wal(path, PC_FSYNC_OS, &got);
    struct pc_hash chain = {{0}};
    uint64_t us = 0;
    for (pc_index first = 1; first < RECOVER_ENTRIES; first += 64) {
        write_entries(wal, first, 64, 50, &chain, &us);
    }
    printf(
        "batches of 64  x  50 B, unsynced: %9.0f entries/s\n", RECOVER_ENTRIES * 1e6 / (double)us);
    pc_wal_close(wal);
    uint64_t start = now_us();
    wal = open_wal(path, PC_FSYNC_OS, &got);
    uint64_t open_us = now_us() - start;
    printf("recovery of %" PRIu64 " entries: %.3f s\n", got.last, (double)open_us / 1e6);
    pc_wal_recovered_clear(&got);
    start = now_us();
    struct pc_error error;
    for (pc_index at = 1; at <= RECOVER_ENTRIES;) {
        struct pc_entries some = {0};
        need(pc_wal_load(wal, at, RECOVER_ENTRIES, PC_LOAD_BYTES_MAX, &some, &error), &error);
        at += some.n;
        pc_entries_clear(&some);
    }
    printf("loading them all again: %.3f s\n", (double)(now_us() - start) / 1e6);
    pc_wal_close(wal);
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    char dir[256];
    (void)snprintf(dir, sizeof dir, "%s/pcache-bench-XXXXXX",
        argc > 1      ? argv[1]
        : tmp != NULL ? tmp
                      : "/tmp");
    if (mkdtemp(dir) == NULL) {
        perror(dir);
        return 1;
    }
    bench_sync(dir, false);
    bench_sync(dir, true);
    bench_batches(dir, 1);
    bench_batches(dir, 16);
    bench_batches(dir, 64);
    bench_recovery(dir);
    printf("the files are in %s\n", dir);
    return 0;
}
