/* Where the log ends. Only the newest segment can have an end that is in doubt: the one before was
 * synced before its successor got a name.
 *
 * A batch is written in one go from a fresh block on and synced as a whole, so it is the unit:
 * either all of it is used or none. The first record that is not valid is judged by evidence on the
 * disk alone, never by hope:
 *
 *   a valid header further on, or the vote slot, says that it was synced -> damage
 *   every block of the record carries its stamp, the checksum is wrong    -> damage
 *   the record runs past the end of the file                              -> damage
 *   a block of it was never written, nothing later vouches for it         -> torn: the batch is cut
 *   ... and everything from there on is zero                              -> the plain end
 *
 * Writes of one batch, and of batches between two syncs, reach the disk in any order: a whole later
 * record behind a torn one is normal after a power cut. What tells that case from damage is
 * durable_block in the later record: everything below it was synced when that record was written.
 * The slots of term and vote carry one as well, renewed at an orderly end, which still speaks when
 * the records behind the damage are gone with it. It counts blocks, not entries, because after a
 * truncation an index says nothing about a place. */
#include "wal_int.h"

#include "pcache/assert.h"

struct evidence {
    uint32_t durable_block; /* highest in any valid header */
    uint32_t used_blocks;   /* behind the last block that is not all zeros */
};

/* Looks at one block for record headers; *at moves behind what was recognised. */
static pc_err scan_block(struct wal_reader *reader, uint32_t number, uint64_t *at,
    struct evidence *out, struct pc_error *error)
{
    const uint8_t *block = NULL;
    pc_err err = pc_wal_reader_block(reader, number, &block, error);
    uint64_t block_end = ((uint64_t)number + 1) * WAL_PAYLOAD_BYTES;
    if (err != PC_OK) {
        return err;
    }
    if (pc_wal_bytes_are_zero(block, WAL_BLOCK_BYTES)) {
        *at = *at > block_end ? *at : block_end;
        return PC_OK;
    }
    out->used_blocks = number + 1;
    while (*at < block_end) {
        struct wal_found found;
        err = pc_wal_reader_record(reader, *at, &found, error);
        if (err != PC_OK) {
            return err;
        }
        if (found.seen != WAL_SEEN_BAD_HEADER && found.record.durable_block > out->durable_block) {
            out->durable_block = found.record.durable_block;
        }
        /* A whole record is stepped over: its body is a client's and may look like anything. */
        *at = found.seen == WAL_SEEN_RECORD ? found.next : *at + WAL_ALIGN;
    }
    return PC_OK;
}

static pc_err scan_ahead(
    struct wal_reader *reader, uint64_t at, struct evidence *out, struct pc_error *error)
{
    for (uint32_t number = pc_wal_block_of(at); number < reader->blocks; number++) {
        pc_err err = scan_block(reader, number, &at, out, error);
        if (err != PC_OK) {
            return err;
        }
    }
    return PC_OK;
}

/* Whether some block of the record at `at` was never written. */
static pc_err is_unwritten(struct wal_reader *reader, uint64_t at, const struct wal_found *found,
    bool *out, struct pc_error *error)
{
    uint64_t len = WAL_RECORD_HEADER_BYTES;
    if (found->seen == WAL_SEEN_BAD_BODY) {
        len += found->record.body_bytes;
    }
    *out = false;
    for (uint32_t n = pc_wal_block_of(at); n <= pc_wal_block_of(at + len - 1); n++) {
        const uint8_t *block = NULL;
        pc_err err = pc_wal_reader_block(reader, n, &block, error);
        if (err != PC_OK) {
            return err;
        }
        *out = *out || !pc_wal_block_was_written(block, reader->segment, n);
    }
    return PC_OK;
}

/* `at` holds no valid record and belongs to the batch that begins at out->end_at. */
static pc_err judge(struct wal_reader *reader, uint64_t at, const struct wal_found *found,
    struct evidence evidence, struct wal_tail *out, struct pc_error *error)
{
    out->damaged_at = at;
    if (found->seen == WAL_SEEN_FILE_END) {
        out->why = "the file ends within a record";
        out->damaged = true;
        out->used_blocks = reader->blocks;
        return PC_OK;
    }
    bool unwritten = false;
    evidence.used_blocks = pc_wal_block_of(at);
    pc_err err = is_unwritten(reader, at, found, &unwritten, error);
    if (err == PC_OK) {
        err = scan_ahead(reader, at, &evidence, error);
    }
    if (err != PC_OK) {
        return err;
    }
    bool vouched = evidence.durable_block > pc_wal_block_of(out->end_at);
    out->why = vouched ? "something written later proves that this was durable"
                       : "wrong checksum in a record that was written completely";
    out->damaged = vouched || !unwritten;
    out->used_blocks = evidence.used_blocks;
    return PC_OK;
}

pc_err pc_wal_tail_find(struct wal_reader *reader, uint64_t from, uint32_t durable_block,
    struct wal_tail *out, struct pc_error *error)
{
    struct evidence evidence = {.durable_block = durable_block};
    struct wal_tail tail = {.end_at = from};
    uint64_t at = from;
    uint32_t noted_block = 0;
    for (;;) {
        if (at == tail.end_at && pc_wal_block_of(at) >= reader->blocks) {
            tail.used_blocks = reader->blocks;
            break;
        }
        struct wal_found found;
        /* What is vouched for is no torn tail whatever it looks like: the replay will see. */
        pc_err err = pc_wal_block_of(at) < durable_block
                         ? pc_wal_reader_header(reader, at, &found, error)
                         : pc_wal_reader_record(reader, at, &found, error);
        if (err == PC_OK && found.seen != WAL_SEEN_RECORD) {
            err = judge(reader, at, &found, evidence, &tail, error);
            if (err == PC_OK) {
                break;
            }
        }
        if (err != PC_OK) {
            return err;
        }
        at = found.next;
        noted_block =
            found.record.durable_block > noted_block ? found.record.durable_block : noted_block;
        if ((found.record.flags & WAL_LAST_OF_BATCH) != 0) {
            tail.end_at = at;
            tail.noted_block = noted_block;
        }
    }
    PC_ASSERT(tail.used_blocks >= pc_wal_block_of(tail.end_at));
    *out = tail;
    return PC_OK;
}

pc_err pc_wal_tail_resync(
    struct wal_reader *reader, uint64_t from, uint64_t *at, struct pc_error *error)
{
    *at = UINT64_MAX;
    for (uint32_t number = pc_wal_block_of(from); number < reader->blocks; number++) {
        const uint8_t *block = NULL;
        pc_err err = pc_wal_reader_block(reader, number, &block, error);
        if (err != PC_OK) {
            return err;
        }
        uint64_t block_end = ((uint64_t)number + 1) * WAL_PAYLOAD_BYTES;
        bool is_zero = pc_wal_bytes_are_zero(block, WAL_BLOCK_BYTES);
        for (; !is_zero && from < block_end; from += WAL_ALIGN) {
            struct wal_found found;
            err = pc_wal_reader_header(reader, from, &found, error);
            if (err != PC_OK) {
                return err;
            }
            if (found.seen == WAL_SEEN_RECORD) {
                *at = from;
                return PC_OK;
            }
        }
        from = block_end;
    }
    return PC_OK;
}
