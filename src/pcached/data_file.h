/* data_file.h: small files of the data directory, whole or not there. Private to pcached. */
#ifndef PCACHED_DATA_FILE_H
#define PCACHED_DATA_FILE_H

#include "pcache/bytes.h"
#include "pcache/err.h"
#include "pcache/fs.h"

/* dir/name. PC_E_INVALID when that is too long. */
PC_MUST_CHECK pc_err data_file_path(
    char *out, size_t out_max, const char *dir, const char *name, struct pc_error *error);

/* Makes dir/name with these bytes, or replaces it: written aside as name.new, synced, renamed, and
 * the directory synced. A crash at any step leaves the old file or the new one, and perhaps a
 * name.new, which the next call removes.
 * Returns PC_OK (durable), PC_E_INVALID when the path is too long, or what the file system says. */
PC_MUST_CHECK pc_err data_file_replace(const struct pc_fs *fs, const char *dir, const char *name,
    struct pc_slice bytes, struct pc_error *error);

#endif
