/* Looks at everything in a snapshot, as somebody must who is about to rely on it alone: whoever
 * keeps a copy, and a node that gives up its older one for what a peer has sent. The digest
 * of a store is a sum over its items in any order, so it needs none of them in memory; what it
 * cannot tell is an item that stands there twice while another one is missing and makes up for it,
 * which no accident does. */
#include <inttypes.h>

#include "pcache/assert.h"
#include "pcache/store.h"
#include "snap_int.h"

static pc_err check_item(struct snap_check *check, uint32_t number,
    const struct pc_stored_item *item, struct pc_error *error)
{
    if (item->version > check->upto || item->created > item->version) {
        return pc_error_set(error, PC_E_CORRUPT,
            "%s: chunk %u: an item of version %" PRIu64 ", out of range", check->name, number,
            item->version);
    }
    check->content.items++;
    check->content.data_bytes += item->key.len + item->value.len + item->content_type.len;
    pc_store_digest_add(&check->content.digest, item);
    pc_err err = check->each != NULL ? check->each(check->arg, item) : PC_OK;
    if (err != PC_OK) {
        return pc_error_set(error, err, "%s: chunk %u: item %" PRIu64 " of all: %s", check->name,
            number, check->content.items,
            err == PC_E_CORRUPT ? "out of range, or there twice" : pc_err_text(err));
    }
    return PC_OK;
}

pc_err pc_snap_check_chunk(
    void *arg, uint32_t number, struct pc_slice chunk, struct pc_error *error)
{
    struct snap_check *check = arg;
    struct pc_wire_chunk_reader reader = pc_wire_chunk_reader_of(chunk);
    struct pc_stored_item item;
    while (pc_wire_chunk_next(&reader, &item)) {
        pc_err err = check_item(check, number, &item, error);
        if (err != PC_OK) {
            return err;
        }
    }
    return pc_wire_chunk_finish(&reader) == PC_OK
               ? PC_OK
               : pc_error_set(error, PC_E_CORRUPT, "%s: chunk %u: not an array of items",
                     check->name, number);
}

pc_err pc_snap_check_end(
    const struct snap_check *check, const struct pc_snapshot_meta *meta, struct pc_error *error)
{
    if (check->content.items != meta->items) {
        return pc_error_set(error, PC_E_CORRUPT,
            "%s: has %" PRIu64 " items, its meta says %" PRIu64, check->name, check->content.items,
            meta->items);
    }
    if (!pc_hash_equal(&check->content.digest, &meta->digest)) {
        return pc_error_set(error, PC_E_CORRUPT, "%s: its items have another digest", check->name);
    }
    return PC_OK;
}

pc_err pc_snap_check(struct pc_snap_reader *reader, pc_snap_each_item each, void *arg,
    struct pc_snap_content *out, struct pc_error *error)
{
    const struct pc_snap_info *info = pc_snap_reader_info(reader);
    struct snap_check check = {
        .name = info->name, .upto = info->base.index, .each = each, .arg = arg};
    pc_err err = pc_snap_verify(reader, pc_snap_check_chunk, &check, error);
    err = err == PC_OK ? pc_snap_check_end(&check, pc_snap_reader_meta(reader), error) : err;
    if (err == PC_OK) {
        *out = check.content;
    }
    return err;
}
