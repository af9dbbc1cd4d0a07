/* disk_advice.h: what to do when a data directory cannot be used. Private to pcached. */
#ifndef PCACHED_DISK_ADVICE_H
#define PCACHED_DISK_ADVICE_H

#include <stddef.h>

#include "pcache/err.h"

/* Looks at `dir`, or at the nearest directory above it that is there, after it failed with `err`,
 * and says what its user can do; "" when there is nothing to add to the error itself. */
void disk_advice(const char *dir, pc_err err, char *out, size_t max);
/* The same as a line of the log. */
void disk_advice_log(const char *dir, pc_err err);

#endif
