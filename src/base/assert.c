#include "pcache/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void pc_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "pcache: assertion failed: %s (%s:%d)\n", condition, file, line);
    abort();
}

_Noreturn void pc_out_of_memory(uint64_t bytes)
{
    fprintf(stderr, "pcache: out of memory for %" PRIu64 " bytes\n", bytes);
    abort();
}
