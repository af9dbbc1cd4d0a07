/* Term and vote on disk. First real ones are stored, then the two files are damaged:
 *
 *     code % 6  0 store term + a, vote b      1 flip a bit      2 overwrite with c bytes of the
 * value d 3 cut a file                  4 remove one      5 a copy as if written, any content
 *
 * Whatever a start then reports as term and vote was stored before, or is written with a checksum
 * of its own by 5; and it is reported again by the next start. */
#include "fuzz/kit/fuzz.h"

#include <stdio.h>

#include "pcache/crc32c.h"
#include "pcache/wal.h"
#include "support/sim_fs.h"

#define OPS_MAX 64
#define SLOT_BYTES 4096u
#define SECTOR_BYTES 512u

struct vote {
    pc_term term;
    pc_node_id vote;
};

struct world {
    struct pc_sim_fs *fs;
    struct vote known[OPS_MAX + 1]; /* stored, oldest first */
    size_t known_n;
    bool damaged;
    bool forged;
};

static struct pc_wal *open_log(struct world *world, struct pc_wal_recovered *out, pc_err *err)
{
    struct pc_wal_opts opts = {.dir = "/log", .segment_bytes = 64 * 1024};
    struct pc_wal *wal = NULL;
    struct pc_error error = {0};
    *err = pc_wal_open(pc_sim_fs_port(world->fs), &opts, &wal, out, &error);
    FUZZ_CHECK("an error says what", *err == PC_OK || error.text[0] != '\0');
    return wal;
}

static void store(struct world *world, struct pc_wal *wal, const struct fuzz_op *op)
{
    struct vote *last = &world->known[world->known_n - 1];
    struct pc_wal_batch batch = {.seq = world->known_n,
        .has_vote = true,
        .term = last->term + op->a,
        .vote = op->a == 0 && last->vote != 0 ? last->vote : op->b};
    struct pc_error error = {0};
    FUZZ_CHECK("a vote is stored", pc_wal_write(wal, &batch, &error) == PC_OK);
    world->known[world->known_n++] = (struct vote){.term = batch.term, .vote = batch.vote};
}

/* 56 bytes that no crash can leave behind, only a writer: the layout of wal_vote.c. */
static void forge(struct world *world, const char *path, unsigned slot, const struct fuzz_op *op)
{
    uint8_t sector[56] = {'p', 'c', 'a', 'c', 'h', 'v', 'o', 't'};
    unsigned place = op->b % (SLOT_BYTES / SECTOR_BYTES);
    pc_put_u32(sector + 8, 1);
    pc_put_u32(sector + 12, slot * (SLOT_BYTES / SECTOR_BYTES) + place);
    pc_put_u64(sector + 16, fuzz_near(world->known_n, op->c, op->d));
    pc_put_u64(sector + 24, fuzz_near(1, op->c >> 4, op->d));
    pc_put_u64(sector + 32, op->d);
    pc_put_u64(sector + 40, fuzz_near(0, (uint8_t)(op->d >> 8), op->d));
    pc_put_u32(sector + 48, op->d >> 16);
    pc_put_u32(sector + 52, pc_crc32c(0, pc_slice_of(sector, 52)));
    if (pc_sim_fs_overwrite(
            world->fs, path, place * SECTOR_BYTES, pc_slice_of(sector, sizeof sector))) {
        world->forged = true;
    }
}

static void damage(struct world *world, const struct fuzz_op *op)
{
    unsigned slot = op->a & 1;
    const char *path = slot == 0 ? "/log/vote-0" : "/log/vote-1";
    uint8_t bytes[256];
    switch (op->code % 6) {
    case 1:
        (void)pc_sim_fs_flip_bit(world->fs, path, op->d % SLOT_BYTES, op->b & 7);
        break;
    case 2:
        memset(bytes, op->b, sizeof bytes);
        (void)pc_sim_fs_overwrite(world->fs, path, op->d % SLOT_BYTES, pc_slice_of(bytes, op->c));
        break;
    case 3:
        (void)pc_sim_fs_shorten(world->fs, path, op->d % SLOT_BYTES);
        break;
    case 4:
        (void)pc_sim_fs_remove(world->fs, path);
        break;
    case 5:
        forge(world, path, slot, op);
        break;
    default:
        return;
    }
    world->damaged = true;
}

static bool is_known(const struct world *world, pc_term term, pc_node_id vote)
{
    for (size_t i = 0; i < world->known_n; i++) {
        if (world->known[i].term == term && world->known[i].vote == vote) {
            return true;
        }
    }
    return false;
}

static void check_start(struct world *world)
{
    pc_err err, again;
    struct pc_wal_recovered first, second;
    struct pc_wal *wal = open_log(world, &first, &err);
    if (err != PC_OK) {
        FUZZ_CHECK("only damage is refused", world->damaged);
        wal = open_log(world, &second, &again);
        FUZZ_CHECK("B.37", wal == NULL && again == err);
        return;
    }
    const struct vote *last = &world->known[world->known_n - 1];
    FUZZ_CHECK("B.8 what was stored is there",
        world->damaged || (first.term == last->term && first.vote == last->vote));
    FUZZ_CHECK(
        "B.35 what is there was stored", world->forged || is_known(world, first.term, first.vote));
    pc_wal_close(wal);
    wal = open_log(world, &second, &again);
    FUZZ_CHECK("B.37", again == PC_OK && second.term == first.term && second.vote == first.vote);
    pc_wal_close(wal);
    pc_wal_recovered_clear(&first);
    pc_wal_recovered_clear(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct world world = {.fs = pc_sim_fs_new(1), .known_n = 1};
    pc_err err;
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_log(&world, &recovered, &err);
    FUZZ_CHECK("an empty log opens", err == PC_OK);
    pc_wal_recovered_clear(&recovered);
    struct fuzz_op op;
    for (int i = 0; i < OPS_MAX && fuzz_next(&in, &op); i++) {
        if (op.code % 6 == 0 && wal != NULL) {
            store(&world, wal, &op);
            continue;
        }
        pc_wal_close(wal);
        wal = NULL;
        damage(&world, &op);
    }
    pc_wal_close(wal);
    check_start(&world);
    pc_sim_fs_delete(world.fs);
    return 0;
}
