/* bench_snapshot: a snapshot of the store while it is written to, and loading it again.
 *
 *   bench/bench_snapshot [items]     default 1000000, keys of 16 bytes, values of 32
 *
 * One thread does what an engine does: a turn is some writes and one piece of the snapshot, encoded
 * into chunks. Single calls are timed by the processor time of this thread, so that whoever else
 * uses the machine does not count, and page faults do; the longest by the clock on the wall stands
 * beside it. Numbers only; nothing is asserted beyond the calls' success. */
#define _GNU_SOURCE
#include "bench_kit.h"

#include "pcache/prng.h"
#include "pcache/wire.h"

#define LOAD_ITEMS 256 /* decoded before they are loaded */

static const char value[] = "0123456789abcdef0123456789abcdef";

/* The longest of the calls between two `begin`. */
struct stall {
    uint64_t cpu_ns, wall_ns;
    uint64_t calls, over_a_ms; /* of the processor's time */
};

struct timer {
    uint64_t cpu_ns, wall_ns;
};

struct bench {
    struct pc_store *store;
    uint64_t items;
    pc_index applied;
    struct pc_prng dice;
    struct pc_wire_chunk chunk;
    struct pc_blob **chunks;
    size_t chunks_n, chunks_cap;
    uint64_t chunk_bytes;
};

static uint64_t cpu_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static struct timer timer_begin(void)
{
    return (struct timer){.wall_ns = bench_now_ns(), .cpu_ns = cpu_now_ns()};
}

static void timer_end(const struct timer *timer, struct stall *stall)
{
    uint64_t cpu_ns = cpu_now_ns() - timer->cpu_ns;
    uint64_t wall_ns = bench_now_ns() - timer->wall_ns;
    stall->calls++;
    stall->over_a_ms += cpu_ns > 1000000 ? 1 : 0;
    stall->cpu_ns = cpu_ns > stall->cpu_ns ? cpu_ns : stall->cpu_ns;
    stall->wall_ns = wall_ns > stall->wall_ns ? wall_ns : stall->wall_ns;
}

static void print_stall(const char *name, const struct stall *stall)
{
    printf("%-44s %8.0f us  (by the wall %.0f us; over 1 ms: %" PRIu64 " of %" PRIu64 ")\n", name,
        (double)stall->cpu_ns / 1e3, (double)stall->wall_ns / 1e3, stall->over_a_ms, stall->calls);
}

static void apply(struct bench *b, enum pc_op op, uint64_t i)
{
    char key[32];
    (void)snprintf(key, sizeof key, "key/0123%08" PRIu32, (uint32_t)i);
    struct pc_command command = {.op = op, .key = pc_slice_of(key, 16)};
    if (op == PC_OP_SET) {
        command.value = pc_slice_of(value, 32);
    }
    b->applied++;
    pc_err err = pc_store_apply(b->store, b->applied, b->applied, &command, NULL);
    PC_ASSERT(err == PC_OK);
}

/* Eight in ten change an item, one deletes, one makes a new item. */
static void write_once(struct bench *b, struct stall *stall)
{
    uint64_t dice = pc_prng_below(&b->dice, 10);
    uint64_t i = pc_prng_below(&b->dice, b->items) + (dice == 9 ? b->items : 0);
    struct timer timer = timer_begin();
    apply(b, dice == 8 ? PC_OP_DELETE : PC_OP_SET, i);
    timer_end(&timer, stall);
}

static void keep_chunk(struct bench *b)
{
    struct pc_slice bytes = pc_wire_chunk_end(&b->chunk);
    if (b->chunks_n == b->chunks_cap) {
        b->chunks_cap = 2 * b->chunks_cap + 64;
        b->chunks = pc_xrealloc(b->chunks, b->chunks_cap * sizeof(struct pc_blob *));
    }
    pc_err err = pc_blob_new(bytes, &b->chunks[b->chunks_n++]);
    PC_ASSERT(err == PC_OK);
    b->chunk_bytes += bytes.len;
    pc_wire_chunk_begin(&b->chunk);
}

static bool add_item(void *context, const struct pc_item *item)
{
    struct bench *b = context;
    return pc_wire_chunk_add(&b->chunk, item);
}

static void drop_chunks(struct bench *b)
{
    while (b->chunks_n > 0) {
        pc_blob_unref(b->chunks[--b->chunks_n]);
    }
    b->chunk_bytes = 0;
}

/* A whole snapshot, `writes` before each piece of `items_max` items. */
static void snapshot(struct bench *b, unsigned writes, size_t items_max)
{
    struct stall write_stall = {0}, next_stall = {0}, all = {0};
    struct pc_store_snapshot info;
    struct pc_store_stats before, stats;
    uint64_t aside_bytes = 0, next_ns = 0, written = 0;
    drop_chunks(b);
    pc_store_stats(b->store, &before);
    pc_wire_chunk_begin(&b->chunk);
    pc_store_snapshot_begin(b->store, &info);
    struct timer whole = timer_begin();
    for (bool complete = false; !complete;) {
        for (unsigned i = 0; i < writes; i++, written++) {
            write_once(b, &write_stall);
        }
        pc_store_stats(b->store, &stats);
        aside_bytes = stats.aside_bytes > aside_bytes ? stats.aside_bytes : aside_bytes;
        struct timer timer = timer_begin();
        pc_err err = pc_store_snapshot_next(b->store, items_max, add_item, b, &complete);
        next_ns += cpu_now_ns() - timer.cpu_ns;
        timer_end(&timer, &next_stall);
        PC_ASSERT(err == PC_OK);
        if (complete || b->chunk.bytes.len >= PC_SNAPSHOT_CHUNK_BYTES) {
            keep_chunk(b);
        }
    }
    timer_end(&whole, &all);
    printf("-- %u writes and %zu items a turn: %" PRIu64 " items, %" PRIu64 " writes meanwhile\n",
        writes, items_max, info.items, written);
    print_stall("longest pc_store_apply", &write_stall);
    print_stall("longest pc_store_snapshot_next, encoding", &next_stall);
    printf("%-44s %8.0f ms  (of %.0f ms, %.0f MB/s)\n", "iteration and encoding, processor time",
        (double)next_ns / 1e6, (double)all.cpu_ns / 1e6,
        (double)b->chunk_bytes * 1e3 / (double)(next_ns + 1));
    printf("%-44s %8.2f %%   (%.1f of %.1f MB)\n", "kept aside at most, of the store's memory",
        100.0 * (double)aside_bytes / (double)before.memory_bytes, (double)aside_bytes / 1e6,
        (double)before.memory_bytes / 1e6);
}

static void load(struct bench *b, const struct pc_store_snapshot *info, uint64_t hint)
{
    struct pc_store_opts opts = {.hash_seed = {9, 9, 9}};
    struct pc_store *store = pc_store_new(&opts);
    struct stall all = {0};
    struct timer timer = timer_begin();
    pc_store_load_begin(store, hint);
    pc_err err = PC_OK;
    for (size_t i = 0; i < b->chunks_n; i++) {
        struct pc_wire_chunk_reader r = pc_wire_chunk_reader_of(pc_blob_slice(b->chunks[i]));
        struct pc_stored_item items[LOAD_ITEMS];
        size_t n;
        do {
            for (n = 0; n < LOAD_ITEMS && pc_wire_chunk_next(&r, &items[n]); n++) {
            }
            err = pc_store_load_many(store, items, n);
            PC_ASSERT(err == PC_OK);
        } while (n > 0);
        err = pc_wire_chunk_finish(&r);
        PC_ASSERT(err == PC_OK);
    }
    err = pc_store_load_end(store, info->applied, info->stamp_ms, &info->digest);
    PC_ASSERT(err == PC_OK);
    timer_end(&timer, &all);
    printf("%-44s %8.0f ms  (%.2f million items/s)\n",
        hint > 0 ? "decoding and loading, count known" : "decoding and loading, count unknown",
        (double)all.cpu_ns / 1e6, (double)info->items * 1e3 / (double)all.cpu_ns);
    pc_store_delete(store);
}

/* How long writes take without a snapshot, to compare. */
static void idle_writes(struct bench *b, unsigned writes)
{
    struct stall stall = {0};
    for (unsigned i = 0; i < writes; i++) {
        write_once(b, &stall);
    }
    print_stall("longest pc_store_apply, no snapshot", &stall);
}

int main(int argc, char **argv)
{
    struct bench b = {.items = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000};
    if (b.items == 0 || b.items > 40000000) { /* eight digits in a key, twice as many keys */
        fprintf(stderr, "usage: %s [items]\n", argv[0]);
        return 64;
    }
    struct pc_store_opts opts = {.hash_seed = {1, 2, 3}};
    b.store = pc_store_new(&opts);
    pc_prng_seed(&b.dice, 1);
    for (uint64_t i = 0; i < b.items; i++) {
        apply(&b, PC_OP_SET, i);
    }
    idle_writes(&b, 300000);
    snapshot(&b, 16, 64);
    snapshot(&b, 64, 256);
    snapshot(&b, 64, 1024);
    snapshot(&b, 256, 256);
    snapshot(&b, 0, 1024);
    struct pc_store_stats stats;
    pc_store_stats(b.store, &stats);
    struct pc_store_snapshot info = {.applied = stats.applied,
        .stamp_ms = stats.stamp_ms,
        .digest = pc_store_digest(b.store),
        .items = stats.items};
    load(&b, &info, info.items);
    load(&b, &info, 0);
    drop_chunks(&b);
    free(b.chunks);
    pc_buf_destroy(&b.chunk.bytes);
    pc_store_delete(b.store);
    return 0;
}
