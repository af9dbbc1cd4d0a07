#include "raft_int.h"

size_t raft_quorum_size(size_t n)
{
    return n / 2 + 1;
}

/* Insertion sort, descending: n is at most PC_VOTERS_MAX. */
static void quorum_sort(uint64_t *v, size_t n)
{
    PC_ASSERT(n > 0 && n <= PC_VOTERS_MAX);
    for (size_t i = 1; i < n; i++) {
        uint64_t x = v[i];
        size_t j = i;
        for (; j > 0 && v[j - 1] < x; j--) {
            v[j] = v[j - 1];
        }
        v[j] = x;
    }
}

uint64_t raft_quorum_reached(uint64_t *v, size_t n)
{
    quorum_sort(v, n);
    PC_ASSERT(raft_quorum_size(n) <= n && v[0] >= v[n - 1]);
    return v[raft_quorum_size(n) - 1];
}

uint64_t raft_quorum_median(uint64_t *v, size_t n)
{
    quorum_sort(v, n);
    return v[n / 2];
}
