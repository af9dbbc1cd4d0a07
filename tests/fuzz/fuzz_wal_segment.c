/* A segment as no writer of ours leaves it, with every checksum right: what comes behind checksums
 * must stand any content. The input is a program of records: their headers near to what would fit,
 * bodies that are entries or not, in one or more segments. No start reaches an assertion; what it
 * accepts it accepts again, and what it gives out is a chain. */
#include "fuzz/kit/fuzz.h"

#include <stdio.h>

#include "edge/wal/wal_int.h"
#include "pcache/crc32c.h"
#include "pcache/wire_entry.h"
#include "support/sim_fs.h"

#define OPS_MAX 64
#define DIR "/log"
#define BLOCKS 128u

struct world {
    struct pc_sim_fs *fs;
    const struct pc_fs *port;
    struct wal_out out;
    struct pc_buf body;
    uint64_t segment;
    pc_index first; /* of the segment */
    pc_index last;  /* of the log, were it all fine */
    pc_term term;
    pc_ms stamp_ms;
    struct pc_hash chain;
    struct pc_hash before; /* the chain where the segment began */
};

static void put_file(struct world *w, const char *name, struct pc_slice bytes)
{
    char path[64];
    struct pc_error error;
    pc_fd fd;
    (void)snprintf(path, sizeof path, DIR "/%s", name);
    PC_ASSERT(w->port->open(w->port->context, path, true, false, &fd, &error) == PC_OK);
    PC_ASSERT(w->port->write_at(w->port->context, fd, 0, bytes, &error) == PC_OK);
    PC_ASSERT(w->port->sync(w->port->context, fd, &error) == PC_OK);
    w->port->close(w->port->context, fd);
}

/* A segment's header block (docs/LOGFORMAT.md). */
static void put_header(const struct world *w, uint8_t *block)
{
    static const uint8_t magic[8] = {'p', 'c', 'a', 'c', 'h', 'l', 'o', 'g'};
    pc_put_u64(block, pc_wal_stamp(w->segment, 0));
    memcpy(block + 8, magic, sizeof magic);
    pc_put_u32(block + 16, WAL_VERSION);
    pc_put_u32(block + 20, WAL_BLOCK_BYTES);
    pc_put_u64(block + 24, w->segment);
    pc_put_u64(block + 32, w->first);
    memcpy(block + 40, w->before.b, sizeof w->before.b);
    pc_put_u32(block + 56, BLOCKS);
    pc_put_u32(block + 60, pc_crc32c(0, pc_slice_of(block, 60)));
}

static void segment_begin(struct world *w)
{
    w->segment++;
    w->first = w->last + 1;
    w->before = w->chain;
    pc_wal_out_begin(&w->out, w->segment, 1);
}

static void segment_end(struct world *w)
{
    char name[32];
    size_t used = w->out.buf.len < (BLOCKS - 1) * WAL_BLOCK_BYTES
                      ? w->out.buf.len
                      : (BLOCKS - 1) * (size_t)WAL_BLOCK_BYTES;
    uint8_t *file = pc_xalloc(BLOCKS * (size_t)WAL_BLOCK_BYTES);
    put_header(w, file);
    if (used > 0) {
        memcpy(file + WAL_BLOCK_BYTES, w->out.buf.data, used);
    }
    pc_wal_segment_name(w->first, name, sizeof name);
    put_file(w, name, pc_slice_of(file, BLOCKS * (size_t)WAL_BLOCK_BYTES));
    free(file);
}

/* Votes that know of these segments, or of none. */
static void put_votes(struct world *w, const struct fuzz_op *op)
{
    for (unsigned slot = 0; slot < 2; slot++) {
        uint8_t sector[56] = {'p', 'c', 'a', 'c', 'h', 'v', 'o', 't'};
        pc_put_u32(sector + 8, WAL_VERSION);
        pc_put_u32(sector + 12, slot * 8);
        pc_put_u64(sector + 16, 1 + slot);
        pc_put_u64(sector + 24, fuzz_near(w->term, op->a, op->d));
        pc_put_u64(sector + 32, op->b);
        pc_put_u64(sector + 40, (op->b & 1) != 0 ? w->segment : 1);
        pc_put_u32(sector + 48, (op->b & 2) != 0 ? op->d % (2 * BLOCKS) : 0);
        pc_put_u32(sector + 52, pc_crc32c(0, pc_slice_of(sector, 52)));
        uint8_t file[WAL_VOTE_BYTES] = {0};
        memcpy(file, sector, sizeof sector);
        put_file(w, slot == 0 ? "vote-0" : "vote-1", pc_slice_of(file, sizeof file));
    }
}

/* An entry's encoding in w->body; what deviates is told by the operation's bits. */
static struct pc_entry make_entry(struct world *w, const struct fuzz_op *op, pc_index index)
{
    struct pc_entry entry = {.index = index,
        .term = w->term,
        .stamp_ms = w->stamp_ms,
        .kind = (op->c & 1) != 0 ? PC_ENTRY_NOOP : PC_ENTRY_COMMAND};
    uint8_t bytes[900];
    memset(bytes, op->d & 0xff, sizeof bytes);
    if (entry.kind == PC_ENTRY_COMMAND) {
        struct pc_slice body = pc_slice_of(bytes, 1 + (op->d >> 8) % (sizeof bytes - 1));
        PC_ASSERT(pc_blob_new(body, &entry.body) == PC_OK);
    }
    entry.chain = pc_entry_chain(&w->chain, &entry);
    entry.chain.b[0] ^= (op->c & 2) != 0;
    pc_buf_reset(&w->body);
    pc_wire_encode_entry(&entry, &w->body);
    return entry;
}

static void put_record(struct world *w, const struct fuzz_op *op)
{
    struct wal_record record = {
        .type = (enum pc_wal_record_type)(PC_WAL_RECORD_ENTRY + (op->code >> 2) % 3),
        .flags = op->a & 1,
        .durable_block = (op->a & 2) != 0 ? op->d % BLOCKS : 0};
    w->term = (op->a & 4) != 0 ? fuzz_near(w->term, op->b & 15, op->d) : w->term;
    w->term += w->term == 0 ? 1 : 0;
    w->stamp_ms = (op->a & 8) != 0 ? fuzz_near(w->stamp_ms, op->b & 15, op->d) : w->stamp_ms + 1;
    bool is_entry = record.type == PC_WAL_RECORD_ENTRY;
    record.index = is_entry ? w->last + 1 : w->last;
    record.index = (op->a & 16) != 0 ? fuzz_near(record.index, op->b >> 4, op->d) : record.index;
    record.term = (op->a & 32) != 0 ? fuzz_near(w->term, op->b & 15, op->d) : w->term;
    record.chain = w->chain;
    pc_buf_reset(&w->body);
    if (is_entry) {
        pc_index index = (op->c & 4) != 0 || record.index == 0 ? w->last + 1 : record.index;
        struct pc_entry entry = make_entry(w, op, index);
        record.chain = entry.chain;
        pc_entry_clear(&entry);
    }
    record.chain.b[1] ^= (op->c & 8) != 0;
    uint64_t commit = (op->a & 64) != 0 ? fuzz_near(record.index, op->b >> 4, op->d) : 0;
    record.commit = commit <= record.index ? commit : record.index;
    record.durable_upto = (op->a & 128) != 0 ? fuzz_near(record.index, op->b & 15, op->d) : 0;
    record.body_bytes = (uint32_t)w->body.len;
    record.body_crc = pc_crc32c(0, pc_slice_of(w->body.data, w->body.len));
    pc_wal_record_put(&w->out, &record, pc_slice_of(w->body.data, w->body.len));
    if (is_entry || record.index < w->last) {
        w->last = record.index;
        w->chain = record.chain;
    }
}

static void check_chain(const struct pc_wal_recovered *found)
{
    FUZZ_CHECK("commit is in the log", found->commit <= found->last);
    FUZZ_CHECK("the tail is what follows", found->tail.n == found->last - found->commit);
    const struct pc_entry *prev = found->commit > 0 ? &found->base : NULL;
    FUZZ_CHECK("the base is at commit", prev == NULL || prev->index == found->commit);
    for (size_t i = 0; i < found->tail.n; i++) {
        static const struct pc_hash none;
        const struct pc_entry *entry = &found->tail.v[i];
        struct pc_hash chain = pc_entry_chain(prev != NULL ? &prev->chain : &none, entry);
        FUZZ_CHECK("a chain", pc_hash_equal(&chain, &entry->chain));
        FUZZ_CHECK("indexes follow", entry->index == found->commit + 1 + i);
        FUZZ_CHECK("terms rise", entry->term > 0 && (prev == NULL || entry->term >= prev->term));
        FUZZ_CHECK("stamps rise", prev == NULL || entry->stamp_ms >= prev->stamp_ms);
        prev = entry;
    }
    FUZZ_CHECK(
        "term is that of the last entry at least", prev == NULL || found->term >= prev->term);
    for (size_t i = 1; i < found->terms_n; i++) {
        FUZZ_CHECK("runs rise", found->terms[i - 1].first < found->terms[i].first &&
                                    found->terms[i - 1].term < found->terms[i].term);
    }
}

static pc_err start(struct world *w, struct pc_wal_recovered *found)
{
    struct pc_wal_opts opts = {.dir = DIR, .segment_bytes = BLOCKS * WAL_BLOCK_BYTES};
    struct pc_error error = {0};
    struct pc_wal *wal = NULL;
    pc_err err = pc_wal_open(w->port, &opts, &wal, found, &error);
    FUZZ_CHECK("an error says what", err == PC_OK || error.text[0] != '\0');
    if (err == PC_OK && found->last > 0) {
        struct pc_entries some = {0};
        pc_err loaded = pc_wal_load(wal, 1, found->last, 1 << 20, &some, &error);
        FUZZ_CHECK("what was recovered loads", loaded == PC_OK && some.n > 0);
        pc_entries_clear(&some);
    }
    pc_wal_close(err == PC_OK ? wal : NULL);
    return err;
}

static void check_starts(struct world *w)
{
    struct pc_wal_recovered first, second;
    if (start(w, &first) != PC_OK) {
        return;
    }
    check_chain(&first);
    FUZZ_CHECK("B.37", start(w, &second) == PC_OK);
    FUZZ_CHECK("B.37", first.last == second.last && first.term == second.term);
    FUZZ_CHECK("B.37", first.commit == second.commit && first.vote == second.vote);
    pc_wal_recovered_clear(&first);
    pc_wal_recovered_clear(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct world w = {.fs = pc_sim_fs_new(1), .term = 1, .stamp_ms = 1000};
    struct fuzz_op head = {0}, op;
    struct pc_error error;
    w.port = pc_sim_fs_port(w.fs);
    PC_ASSERT(w.port->mkdir(w.port->context, DIR, &error) == PC_OK);
    (void)fuzz_next(&in, &head);
    segment_begin(&w);
    for (int i = 0; i < OPS_MAX && fuzz_next(&in, &op); i++) {
        if (op.code % 16 == 15) {
            segment_end(&w);
            segment_begin(&w);
        } else {
            put_record(&w, &op);
        }
    }
    segment_end(&w);
    put_votes(&w, &head);
    check_starts(&w);
    pc_buf_destroy(&w.out.buf);
    pc_buf_destroy(&w.body);
    pc_sim_fs_delete(w.fs);
    return 0;
}
