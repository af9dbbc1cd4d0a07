#include "pcache/blob.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

pc_err pc_blob_new(struct pc_slice bytes, struct pc_blob **out)
{
    if (bytes.len > UINT32_MAX) {
        return PC_E_TOO_BIG;
    }
    struct pc_blob *blob = malloc(sizeof *blob + bytes.len);
    if (blob == NULL) {
        return PC_E_NOMEM;
    }
    blob->refs = 1;
    blob->len = (uint32_t)bytes.len;
    if (bytes.len > 0) {
        memcpy(blob->data, bytes.data, bytes.len);
    }
    *out = blob;
    return PC_OK;
}

struct pc_blob *pc_blob_ref(struct pc_blob *blob)
{
    if (blob != NULL) {
        uint32_t before = __atomic_fetch_add(&blob->refs, 1, __ATOMIC_RELAXED);
        PC_ASSERT(before > 0 && before < UINT32_MAX);
    }
    return blob;
}

void pc_blob_unref(struct pc_blob *blob)
{
    if (blob == NULL) {
        return;
    }
    /* Release on the way down, acquire before the free: every use happens before the free. */
    uint32_t before = __atomic_fetch_sub(&blob->refs, 1, __ATOMIC_ACQ_REL);
    PC_ASSERT(before > 0);
    if (before == 1) {
        free(blob);
    }
}

struct pc_slice pc_blob_slice(const struct pc_blob *blob)
{
    return blob != NULL ? pc_slice_of(blob->data, blob->len) : pc_slice_of(NULL, 0);
}
