/* Term and vote. Two files of 4 KiB, written alternately and synced each time, so that a torn write
 * only ever hits the slot that does not count yet: the answer that depends on it was not sent.
 *
 * The 56 bytes stand eight times in a slot, once per 512-byte sector and each with a checksum of
 * its own. A slot whose newest write is half there is as good as a whole one, and rot in a sector
 * or seven cannot bring the vote before it back, with which the node would vote twice in one term.
 */
#include "wal_int.h"

#include <stdio.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/crc32c.h"

#define COPIES (WAL_VOTE_BYTES / WAL_BLOCK_BYTES)

static const uint8_t vote_magic[8] = {'p', 'c', 'a', 'c', 'h', 'v', 'o', 't'};

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_PLACE = 12, /* slot * 8 + sector */
    AT_GENERATION = 16,
    AT_TERM = 24,
    AT_VOTE = 32,
    AT_SEGMENTS = 40,
    AT_DURABLE_BLOCK = 48,
    AT_CRC = 52,
    /* Version 2, which is written only while there is a doubt: a program that does not know of it
     * would vote. */
    AT_DOUBT = 56,
    AT_DOUBT_CRC = 64,
    /* Version 3, once the log's beginning was dropped or replaced: a program that does not know of
     * it would take what is gone for lost. The doubt, which may be 0, stands where it always does.
     */
    AT_FRONT_NUMBER = 64,
    AT_FRONT_INDEX = 72,
    AT_FRONT_TERM = 80,
    AT_FRONT_CHAIN = 88,
    AT_FRONT_CRC = 104,
};
#define VERSION_WITH_DOUBT 2u
#define VERSION_WITH_FRONT 3u

static void slot_path(const struct pc_wal *wal, unsigned slot, struct wal_path *out)
{
    char name[16];
    (void)snprintf(name, sizeof name, "vote-%u", slot);
    pc_wal_path(wal, name, out);
}

static uint32_t version_of(const struct wal_vote *vote)
{
    return vote->front.number != 0 ? VERSION_WITH_FRONT
           : vote->doubt != 0      ? VERSION_WITH_DOUBT
                                   : WAL_VERSION;
}

static void encode_copy(const struct wal_vote *vote, uint32_t place, uint8_t *sector)
{
    uint32_t version = version_of(vote);
    memcpy(sector + AT_MAGIC, vote_magic, sizeof vote_magic);
    pc_put_u32(sector + AT_VERSION, version);
    pc_put_u32(sector + AT_PLACE, place);
    pc_put_u64(sector + AT_GENERATION, vote->generation);
    pc_put_u64(sector + AT_TERM, vote->term);
    pc_put_u64(sector + AT_VOTE, vote->vote);
    pc_put_u64(sector + AT_SEGMENTS, vote->segments);
    pc_put_u32(sector + AT_DURABLE_BLOCK, vote->durable_block);
    pc_put_u32(sector + AT_CRC, pc_crc32c(0, pc_slice_of(sector, AT_CRC)));
    if (version != WAL_VERSION) {
        pc_put_u64(sector + AT_DOUBT, vote->doubt);
    }
    if (version == VERSION_WITH_DOUBT) {
        pc_put_u32(sector + AT_DOUBT_CRC, pc_crc32c(0, pc_slice_of(sector, AT_DOUBT_CRC)));
    } else if (version == VERSION_WITH_FRONT) {
        const struct wal_point *behind = &vote->front.behind;
        pc_put_u64(sector + AT_FRONT_NUMBER, vote->front.number);
        pc_put_u64(sector + AT_FRONT_INDEX, behind->index);
        pc_put_u64(sector + AT_FRONT_TERM, behind->term);
        memcpy(sector + AT_FRONT_CHAIN, behind->chain.b, sizeof behind->chain.b);
        pc_put_u32(sector + AT_FRONT_CRC, pc_crc32c(0, pc_slice_of(sector, AT_FRONT_CRC)));
    }
}

/* What later versions say besides. */
static pc_err decode_more(const uint8_t *sector, uint32_t version, struct wal_vote *vote)
{
    size_t crc_at = version == VERSION_WITH_DOUBT ? AT_DOUBT_CRC : AT_FRONT_CRC;
    if (pc_get_u32(sector + crc_at) != pc_crc32c(0, pc_slice_of(sector, crc_at))) {
        return PC_E_MALFORMED;
    }
    vote->doubt = pc_get_u64(sector + AT_DOUBT);
    if (version == VERSION_WITH_FRONT) {
        vote->front.number = pc_get_u64(sector + AT_FRONT_NUMBER);
        vote->front.behind.index = pc_get_u64(sector + AT_FRONT_INDEX);
        vote->front.behind.term = pc_get_u64(sector + AT_FRONT_TERM);
        memcpy(
            vote->front.behind.chain.b, sector + AT_FRONT_CHAIN, sizeof vote->front.behind.chain.b);
    }
    return PC_OK;
}

/* PC_E_MALFORMED for a sector that holds no whole copy. */
static pc_err decode_copy(const uint8_t *sector, uint32_t place, struct wal_vote *out)
{
    if (memcmp(sector + AT_MAGIC, vote_magic, sizeof vote_magic) != 0 ||
        pc_get_u32(sector + AT_CRC) != pc_crc32c(0, pc_slice_of(sector, AT_CRC)) ||
        pc_get_u32(sector + AT_PLACE) != place) {
        return PC_E_MALFORMED;
    }
    uint32_t version = pc_get_u32(sector + AT_VERSION);
    if (version < WAL_VERSION || version > VERSION_WITH_FRONT) {
        return PC_E_VERSION;
    }
    struct wal_vote vote = {
        .generation = pc_get_u64(sector + AT_GENERATION),
        .term = pc_get_u64(sector + AT_TERM),
        .vote = pc_get_u64(sector + AT_VOTE),
        .segments = pc_get_u64(sector + AT_SEGMENTS),
        .durable_block = pc_get_u32(sector + AT_DURABLE_BLOCK),
    };
    pc_err err = version == WAL_VERSION ? PC_OK : decode_more(sector, version, &vote);
    if (err == PC_OK) {
        *out = vote;
    }
    return err;
}

static pc_err slot_write(
    struct pc_wal *wal, unsigned slot, const struct wal_vote *vote, struct pc_error *error)
{
    uint8_t bytes[WAL_VOTE_BYTES] = {0};
    for (uint32_t i = 0; i < COPIES; i++) {
        encode_copy(vote, slot * COPIES + i, bytes + (size_t)i * WAL_BLOCK_BYTES);
    }
    const struct pc_fs *fs = wal->fs;
    pc_err err =
        fs->write_at(fs->context, wal->vote_fd[slot], 0, pc_slice_of(bytes, sizeof bytes), error);
    if (err == PC_OK) {
        err = fs->sync(fs->context, wal->vote_fd[slot], error);
    }
    return err == PC_OK ? PC_OK : pc_error_wrap(error, "vote-%u", slot);
}

static pc_err slot_open(struct pc_wal *wal, unsigned slot, bool create, struct pc_error *error)
{
    PC_ASSERT(slot == wal->vote_fds);
    struct wal_path path;
    slot_path(wal, slot, &path);
    const struct pc_fs *fs = wal->fs;
    pc_err err = wal->read_only
                     ? fs->open_read(fs->context, path.text, &wal->vote_fd[slot], error)
                     : fs->open(fs->context, path.text, create, false, &wal->vote_fd[slot], error);
    if (err == PC_OK) {
        wal->vote_fds = slot + 1;
    }
    return err;
}

/* Takes the best copy of a slot over into wal->vote when it is newer. */
static pc_err slot_read(struct pc_wal *wal, unsigned slot, struct pc_error *error)
{
    uint8_t bytes[WAL_VOTE_BYTES];
    size_t got = 0;
    pc_err err =
        wal->fs->read_at(wal->fs->context, wal->vote_fd[slot], 0, bytes, sizeof bytes, &got, error);
    if (err != PC_OK) {
        return pc_error_wrap(error, "vote-%u", slot);
    }
    for (uint32_t i = 0; (size_t)(i + 1) * WAL_BLOCK_BYTES <= got; i++) {
        struct wal_vote copy;
        err = decode_copy(bytes + (size_t)i * WAL_BLOCK_BYTES, slot * COPIES + i, &copy);
        if (err == PC_E_VERSION) {
            return pc_error_set(error, err, "vote-%u: a format this program does not know", slot);
        }
        if (err == PC_OK && copy.generation > wal->vote.generation) {
            wal->vote = copy;
            wal->vote_slot = slot;
        }
    }
    return PC_OK;
}

static void close_slots(struct pc_wal *wal)
{
    while (wal->vote_fds > 0) {
        wal->fs->close(wal->fs->context, wal->vote_fd[--wal->vote_fds]);
    }
}

pc_err pc_wal_vote_open(struct pc_wal *wal, struct pc_error *error)
{
    wal->vote = (struct wal_vote){0};
    for (unsigned slot = 0; slot < 2; slot++) {
        pc_err err = slot_open(wal, slot, false, error);
        if (err == PC_OK) {
            err = slot_read(wal, slot, error);
        }
        if (err != PC_OK) {
            close_slots(wal);
            return err;
        }
    }
    if (wal->vote.generation == 0) {
        close_slots(wal);
        return pc_error_set(error, PC_E_NOT_FOUND,
            "vote-0 and vote-1: damaged at offset 0: no valid copy in either. Restore one of the "
            "two as"
            " it was last: without its votes this node must not vote again, and its cluster takes "
            "no"
            " other one in its place; the others go on without it");
    }
    return PC_OK;
}

pc_err pc_wal_vote_create(struct pc_wal *wal, struct pc_error *error)
{
    PC_ASSERT(!wal->read_only && wal->segments_n == 0);
    close_slots(wal); /* of a creation that a crash has interrupted */
    for (unsigned slot = 0; slot < 2; slot++) {
        struct wal_vote vote = {.generation = slot + 1};
        pc_err err = slot_open(wal, slot, true, error);
        if (err == PC_OK) {
            err = slot_write(wal, slot, &vote, error);
        }
        if (err != PC_OK) {
            return err;
        }
        wal->vote = vote;
        wal->vote_slot = slot;
    }
    return wal->fs->sync_dir(wal->fs->context, wal->dir, error);
}

pc_err pc_wal_vote_store(struct pc_wal *wal, const struct wal_vote *vote, struct pc_error *error)
{
    PC_ASSERT(!wal->read_only && wal->vote_fds == 2);
    struct wal_vote next = *vote;
    next.generation = wal->vote.generation + 1;
    next.durable_block = wal->durable_block;
    unsigned slot = wal->vote_slot ^ 1;
    pc_err err = slot_write(wal, slot, &next, error);
    if (err != PC_OK) {
        /* These files are preallocated: no space is as final here as any other failure. */
        return pc_wal_die(wal, err, error);
    }
    wal->vote = next;
    wal->vote_slot = slot;
    return PC_OK;
}

pc_err pc_wal_vote_store_both(
    struct pc_wal *wal, const struct wal_vote *vote, struct pc_error *error)
{
    pc_err err = pc_wal_vote_store(wal, vote, error);
    return err == PC_OK ? pc_wal_vote_store(wal, vote, error) : err;
}
