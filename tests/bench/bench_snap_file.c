/* bench_snap_file [DIR]: what a snapshot file costs on the disk that DIR (default: $TMPDIR or /tmp)
 * lies on: as much as 1,000,000 keys of 16 bytes with values of 100 bytes take, about. Prints
 * numbers, asserts nothing about them. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pcache/crc32c.h"
#include "pcache/prng.h"
#include "pcache/snap.h"

#define CHUNK_BYTES PC_SNAPSHOT_CHUNK_BYTES
#define CHUNKS 560u

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void need(pc_err err, const struct pc_error *error)
{
    if (err != PC_OK) {
        fprintf(stderr, "bench_snap_file: %s\n", error->text);
        exit(1);
    }
}

static void print_rate(const char *what, uint64_t start_us)
{
    double us = (double)(now_us() - start_us);
    printf("%-44s %8.3f s  %7.0f MB/s\n", what, us / 1e6, (double)CHUNKS * CHUNK_BYTES / us);
}

static void bench_write(const char *dir, struct pc_slice chunk, struct pc_snap_info *info)
{
    struct pc_error error;
    struct pc_snap_writer *writer = NULL;
    struct pc_buf config_body = {0};
    struct pc_cluster_config config = {.members_n = 1};
    config.members[0] = (struct pc_cluster_member){.id = 1, .name = "a", .votes = true};
    pc_wire_encode_config(&config, &config_body);
    struct pc_snapshot_meta meta = {.base = {.index = 1000000, .term = 1},
        .config_index = 1,
        .config = pc_slice_of(config_body.data, config_body.len)};
    uint64_t start = now_us();
    need(pc_snap_writer_open(pc_fs_posix(), dir, &meta.base, NULL, &writer, &error), &error);
    for (unsigned i = 0; i < CHUNKS; i++) {
        need(pc_snap_writer_put(writer, chunk, &error), &error);
    }
    need(pc_snap_writer_finish(writer, &meta, info, &error), &error);
    pc_snap_writer_close(writer);
    print_rate("write, checksums, hash, syncs", start);
    pc_buf_destroy(&config_body);
}

static void bench_read(const char *dir, unsigned round)
{
    struct pc_error error;
    struct pc_snap_found found;
    struct pc_buf room = {0};
    uint64_t start = now_us();
    need(pc_snap_find(pc_fs_posix(), dir, false, &found, &error), &error);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        struct pc_slice chunk;
        need(pc_snap_reader_chunk(found.reader, i, &room, &chunk, &error), &error);
    }
    print_rate(round == 0 ? "find, read, checksums: as at a start" : "... again", start);
    start = now_us();
    need(pc_snap_verify(found.reader, NULL, NULL, &error), &error);
    print_rate("read, checksums and hash: pclog snapshot", start);
    pc_snap_reader_close(found.reader);
    pc_buf_destroy(&room);
}

static void bench_crc(struct pc_slice chunk)
{
    uint32_t crc = 0;
    uint64_t start = now_us();
    for (unsigned i = 0; i < CHUNKS; i++) {
        crc = pc_crc32c(crc, chunk);
    }
    print_rate(crc == 0 ? "checksums alone (0)" : "checksums alone", start);
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    char dir[256], path[320];
    (void)snprintf(dir, sizeof dir, "%s/pcache-bench-XXXXXX",
        argc > 1      ? argv[1]
        : tmp != NULL ? tmp
                      : "/tmp");
    if (mkdtemp(dir) == NULL) {
        perror(dir);
        return 1;
    }
    struct pc_prng prng;
    pc_prng_seed(&prng, 1);
    uint8_t *bytes = pc_xalloc(CHUNK_BYTES);
    for (size_t i = 0; i < CHUNK_BYTES; i++) {
        bytes[i] = (uint8_t)pc_prng_next(&prng);
    }
    struct pc_snap_info info;
    bench_write(dir, pc_slice_of(bytes, CHUNK_BYTES), &info);
    for (unsigned round = 0; round < 2; round++) {
        bench_read(dir, round);
    }
    bench_crc(pc_slice_of(bytes, CHUNK_BYTES));
    printf("file: %" PRIu64 " bytes, of these %" PRIu64 " in %u chunks\n", info.file_bytes,
        info.bytes, info.chunks);
    (void)snprintf(path, sizeof path, "%s/%s", dir, info.name);
    (void)unlink(path);
    (void)rmdir(dir);
    free(bytes);
    return 0;
}
