/* A bit flips in the memory of a node that runs: it finds that out by itself, makes its state anew,
 * and what it answers is right again. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "integration/kit/load.h"

#define KEYS 60
#define VALUE_BYTES 64
#define PIECE (1024 * 1024)

/* The value of a key: letters that stand nowhere else. */
static void value_of(unsigned key, char out[VALUE_BYTES + 1])
{
    uint64_t x = UINT64_C(0x9e3779b97f4a7c15) * (key + 1);
    for (size_t i = 0; i < VALUE_BYTES; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out[i] = (char)('a' + x % 26);
    }
    out[VALUE_BYTES] = '\0';
}

/* Flips a bit of the byte in the middle of every copy of `value` in one mapping. Returns how many
 * there were. */
static unsigned flip_in(int mem, unsigned long begin, unsigned long end, const char *value)
{
    static char piece[PIECE + VALUE_BYTES];
    unsigned found = 0;
    for (unsigned long at = begin; at < end; at += PIECE) {
        size_t want = end - at < sizeof piece ? end - at : sizeof piece;
        ssize_t got = pread(mem, piece, want, (off_t)at);
        const char *from = piece, *hit;
        while (got > 0 && (hit = memmem(from, (size_t)(piece + got - from), value, VALUE_BYTES))) {
            char flipped = (char)(hit[VALUE_BYTES / 2] ^ 1);
            off_t place = (off_t)at + (hit - piece) + VALUE_BYTES / 2;
            found += pwrite(mem, &flipped, 1, place) == 1 ? 1 : 0;
            from = hit + 1;
        }
    }
    return found;
}

/* In all that the node may write to. False when the system does not allow it. */
static bool flip_everywhere(struct it_cluster *c, size_t i, const char *value, unsigned *found)
{
    char path[64], line[512];
    (void)snprintf(path, sizeof path, "/proc/%d/mem", (int)c->node[i].pid);
    int mem = open(path, O_RDWR | O_CLOEXEC);
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)c->node[i].pid);
    FILE *maps = fopen(path, "re");
    bool may = mem >= 0 && maps != NULL;
    *found = 0;
    while (may && fgets(line, sizeof line, maps) != NULL) {
        unsigned long begin, end;
        char rights[8];
        if (sscanf(line, "%lx-%lx %7s", &begin, &end, rights) == 3 &&
            strncmp(rights, "rw", 2) == 0) {
            *found += flip_in(mem, begin, end, value);
        }
    }
    if (maps != NULL) {
        (void)fclose(maps);
    }
    if (mem >= 0) {
        close(mem);
    }
    return may;
}

static void put_all(struct it_cluster *c)
{
    char key[16], value[VALUE_BYTES + 1];
    for (unsigned k = 0; k < KEYS; k++) {
        (void)snprintf(key, sizeof key, "key%u", k);
        value_of(k, value);
        it_put(c, k % 3, key, value);
    }
}

static void memory__a_bit_flips_in_a_follower__is_made_anew(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    char value[VALUE_BYTES + 1];
    unsigned found;
    it_cluster_start(c);
    put_all(c);
    it_cluster_await_equal(c);
    size_t victim = it_cluster_follower(c, 0);
    IT_UNTIL(IT_SOON_MS, it_metric(c, victim, "pcached_memory_passes_total") >= 1);
    assert_int_equal(it_metric(c, victim, "pcached_state_alarms_total"), 0);
    value_of(7, value);
    if (!flip_everywhere(c, victim, value, &found)) {
        it_skip("the memory of a child process is not to be written here");
        return;
    }
    assert_true(found > 0);
    IT_UNTIL(IT_SOON_MS, it_metric(c, victim, "pcached_state_resyncs_total") >= 1);
    it_contains(it_node_log(c, victim), "the memory does not hold what was put into it");
    it_node_await_ready(c, victim);
    assert_string_equal(it_value(c, victim, "key7"), value);
    assert_string_equal(it_get(c, victim, "/v1/kv/key7?consistency=local")->body, value);
    uint64_t passes = it_metric(c, victim, "pcached_memory_passes_total");
    IT_UNTIL(IT_SOON_MS, it_metric(c, victim, "pcached_memory_passes_total") > passes + 1);
    assert_int_equal(it_metric(c, victim, "pcached_state_resyncs_total"), 1);
    it_cluster_await_equal(c);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(it_metric(c, i, "pcached_state_differs"), 0);
    }
}

static const struct it_test tests[] = {
    IT_TEST(memory__a_bit_flips_in_a_follower__is_made_anew),
};
IT_MAIN(tests)
