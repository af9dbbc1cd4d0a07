/* Edit distance with swaps of neighbours (optimal string alignment): what a typing slip costs 1. */
#include "config_int.h"

#include <string.h>

#define LEN_MAX 63

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

size_t config_distance(struct pc_slice a, struct pc_slice b)
{
    if (a.len > LEN_MAX || b.len > LEN_MAX) {
        return SIZE_MAX;
    }
    /* Rows of the table for prefixes of a: i - 2, i - 1 and i, used in turn. */
    size_t rows[3][LEN_MAX + 1];
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t replaced = above[j - 1] + (a.data[i - 1] != b.data[j - 1] ? 1 : 0);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, replaced);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1] && two_above[j - 2] + 1 < row[j]) {
                row[j] = two_above[j - 2] + 1;
            }
        }
    }
    return rows[a.len % 3][b.len];
}
