/* blob.h: immutable, reference-counted bytes: the only form in which a payload outlives an event.
 *
 * The count is atomic: a blob may be shared between the engine and the log thread. */
#ifndef PCACHE_BLOB_H
#define PCACHE_BLOB_H

#include "pcache/bytes.h"

struct pc_blob {
    uint32_t refs; /* atomic; touched only by pc_blob_ref/unref */
    uint32_t len;
    uint8_t data[];
};

/* A blob with a copy of `bytes` and one reference, which the caller owns.
 * Returns: PC_E_NOMEM when there is no memory; PC_E_TOO_BIG over UINT32_MAX bytes. */
PC_MUST_CHECK pc_err pc_blob_new(struct pc_slice bytes, struct pc_blob **out);

/* Another reference to the same blob. NULL gives NULL. */
struct pc_blob *pc_blob_ref(struct pc_blob *blob);

/* Gives one reference up; the last one frees. NULL is allowed. */
void pc_blob_unref(struct pc_blob *blob);

/* The bytes, borrowed for as long as the caller holds a reference. NULL gives an empty slice. */
struct pc_slice pc_blob_slice(const struct pc_blob *blob);

#endif
