/* bench_store: the store alone, in this process: rates and resident memory per item.
 *
 *   bench/store [items]     default 1000000, keys of 16 bytes, values of 32
 *
 * Numbers only; nothing is asserted beyond the calls' success. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "pcache/assert.h"
#include "pcache/store.h"

static const char value[] = "0123456789abcdef0123456789abcdef";

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    PC_ASSERT(file != NULL);
    uint64_t size_pages;
    uint64_t resident_pages;
    int fields = fscanf(file, "%" SCNu64 " %" SCNu64, &size_pages, &resident_pages);
    PC_ASSERT(fields == 2);
    (void)fclose(file);
    return resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static struct pc_slice key_of(char out[17], uint64_t i)
{
    (void)snprintf(out, 17, "key/0123%08" PRIu32, (uint32_t)(i % 100000000));
    return pc_slice_of(out, 16);
}

static void apply(struct pc_store *store, pc_index index, const struct pc_command *command)
{
    pc_err err = pc_store_apply(store, index, 1, command, NULL);
    PC_ASSERT(err == PC_OK);
}

/* Sets every key once, `index` onwards; returns the slowest single apply in seconds. */
static double set_all(struct pc_store *store, pc_index index, uint64_t items, const char *name)
{
    double slowest = 0;
    double begin = now_s();
    double last = begin;
    for (uint64_t i = 0; i < items; i++) {
        char key[17];
        struct pc_command command = {
            .op = PC_OP_SET, .key = key_of(key, i), .value = pc_slice_of(value, 32)};
        apply(store, index + i, &command);
        double now = now_s();
        slowest = now - last > slowest ? now - last : slowest;
        last = now;
    }
    printf("%-24s %12.0f /s\n", name, (double)items / (last - begin));
    return slowest;
}

static void get_all(const struct pc_store *store, uint64_t items)
{
    double begin = now_s();
    uint64_t found = 0;
    for (uint64_t i = 0; i < items; i++) {
        char key[17];
        struct pc_item item;
        /* A step that has no factor in common with any round number: not in order of insertion. */
        found += pc_store_get(store, key_of(key, i * 7919 % items), &item) == PC_OK ? 1 : 0;
    }
    printf("%-24s %12.0f /s\n", "get", (double)found / (now_s() - begin));
}

int main(int argc, char **argv)
{
    uint64_t items = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    if (items == 0 || items > 100000000) { /* eight digits in a key */
        fprintf(stderr, "usage: %s [items]\n", argv[0]);
        return 64;
    }
    struct pc_store_opts opts = {.hash_seed = {1, 2, 3}};
    uint64_t before = resident_bytes();
    struct pc_store *store = pc_store_new(&opts);
    double slowest = set_all(store, 1, items, "set, new key");
    uint64_t after = resident_bytes();
    struct pc_store_stats stats;
    pc_store_stats(store, &stats);
    get_all(store, items);
    (void)set_all(store, items + 1, items, "set, existing key");
    printf("%-24s %12.0f us\n", "slowest set", slowest * 1e6);
    printf("%-24s %12.1f bytes\n", "resident per item", (double)(after - before) / (double)items);
    printf("%-24s %12.1f bytes\n", "by the store's estimate",
        (double)stats.memory_bytes / (double)items);
    pc_store_delete(store);
    return 0;
}
