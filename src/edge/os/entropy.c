#define _GNU_SOURCE
#include <errno.h>
#include <sys/random.h>

#include "pcache/assert.h"
#include "pcache/os.h"

/* The kernel's generator, asked each time: no state in this process that a fork could copy. */
void pc_entropy(void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0) {
            /* Any other failure would mean keys without entropy: not a state to go on in. */
            PC_ASSERT(errno == EINTR);
            continue;
        }
        at += got;
        len -= (size_t)got;
    }
}

uint64_t pc_entropy_u64(void)
{
    uint64_t v;
    pc_entropy(&v, sizeof v);
    return v;
}
