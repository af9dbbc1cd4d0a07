/* disk.h: what the log thread finds out about the disk that it writes to, and what is made of it.
 *
 *     free space   ------|---------------|---------------------------|
 *                  none  |  the reserve  |   clearing up is due      |   as much as it takes
 *                FULL    |     HARD      |          SOFT             |          OK
 *
 * Below the hard mark a leader takes no more writes that let the log grow for good; what is left is
 * for deletes, for elections and for what other nodes write. FULL is no mark, but a write that
 * found no room. */
#ifndef PCACHE_DISK_H
#define PCACHE_DISK_H

#include <stdbool.h>
#include <stdint.h>

/* As drawn above. */
enum pc_space_level {
    PC_SPACE_OK = 0,
    PC_SPACE_SOFT = 1,
    PC_SPACE_HARD = 2,
    PC_SPACE_FULL = 3,
};

/* The smaller of the two counts. Zero bytes or zero percent: there is no such mark. */
struct pc_space_mark {
    uint64_t bytes;
    uint32_t percent; /* of the whole file system, 0..100 */
};

/* Measured about once a second, and after whatever takes much space at once. */
struct pc_disk_report {
    uint64_t free_bytes;  /* that the process may still take */
    uint64_t total_bytes; /* of the file system; 0 = unknown, and so is free_bytes */
    uint64_t sync_us;     /* median of the last syncs; 0 = there were too few lately */
};

#endif
