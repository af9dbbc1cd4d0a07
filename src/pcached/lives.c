/* Everything here goes through the fs port, as in identity.c: the simulator runs this very code. */
#include "lives.h"

#include <inttypes.h>
#include <string.h>

#include "data_file.h"
#include "pcache/assert.h"
#include "pcache/crc32c.h"

#define MAGIC "pclives "
#define VERSION 1u
#define VERSION_AT 8
#define COUNT_AT 12
#define SEQUENCE_AT 16
#define LIVES_AT 24
#define LIFE_BYTES 24
#define CRC_AT (LIVES_SLOT_BYTES - 4)
#define PATH_BYTES 4200

PC_STATIC_ASSERT(LIVES_AT + PC_LIVES_MAX * LIFE_BYTES <= CRC_AT, "a slot holds all lives");

static void slot_encode(const struct lives *lives, uint64_t sequence, uint8_t *out)
{
    PC_ASSERT(lives->n <= PC_LIVES_MAX);
    memset(out, 0, LIVES_SLOT_BYTES);
    memcpy(out, MAGIC, sizeof MAGIC - 1);
    pc_put_u32(out + VERSION_AT, VERSION);
    pc_put_u32(out + COUNT_AT, (uint32_t)lives->n);
    pc_put_u64(out + SEQUENCE_AT, sequence);
    for (size_t i = 0; i < lives->n; i++) {
        uint8_t *at = out + LIVES_AT + i * LIFE_BYTES;
        pc_put_u64(at, lives->v[i].id);
        pc_put_u64(at + 8, lives->v[i].generation);
        pc_put_u64(at + 16, lives->v[i].mark);
    }
    pc_put_u32(out + CRC_AT, pc_crc32c(0, pc_slice_of(out, CRC_AT)));
}

/* Magic, version and checksum stay where they are in every version. */
static pc_err slot_decode(const uint8_t *in, struct lives *out, uint32_t *version)
{
    if (memcmp(in, MAGIC, sizeof MAGIC - 1) != 0 ||
        pc_get_u32(in + CRC_AT) != pc_crc32c(0, pc_slice_of(in, CRC_AT))) {
        return PC_E_CORRUPT;
    }
    *version = pc_get_u32(in + VERSION_AT);
    if (*version != VERSION) {
        return PC_E_VERSION;
    }
    uint32_t count = pc_get_u32(in + COUNT_AT);
    if (count > PC_LIVES_MAX) {
        return PC_E_CORRUPT;
    }
    out->n = count;
    out->sequence = pc_get_u64(in + SEQUENCE_AT);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = in + LIVES_AT + i * LIFE_BYTES;
        out->v[i] = (struct pc_life){
            .id = pc_get_u64(at), .generation = pc_get_u64(at + 8), .mark = pc_get_u64(at + 16)};
        for (size_t k = 0; k < i; k++) {
            if (out->v[k].id == out->v[i].id) {
                return PC_E_CORRUPT;
            }
        }
        if (out->v[i].id == 0) {
            return PC_E_CORRUPT;
        }
    }
    return PC_OK;
}

static pc_err slot_read(
    const struct lives *lives, pc_fd fd, unsigned slot, struct lives *out, struct pc_error *error)
{
    uint8_t bytes[LIVES_SLOT_BYTES];
    size_t got = 0;
    uint32_t version = 0;
    uint64_t offset = (uint64_t)slot * LIVES_SLOT_BYTES;
    pc_err err =
        lives->fs->read_at(lives->fs->context, fd, offset, bytes, sizeof bytes, &got, error);
    if (err != PC_OK) {
        return err;
    }
    err = got == sizeof bytes ? slot_decode(bytes, out, &version) : PC_E_CORRUPT;
    if (err == PC_E_VERSION) {
        return pc_error_set(error, err,
            "%s/lives: format version %" PRIu32 " is not known to this program, which writes %u:"
            " start the version of it that this node ran last",
            lives->data_dir, version, VERSION);
    }
    return err;
}

static pc_err lives_read(struct lives *lives, pc_fd fd, struct pc_error *error)
{
    struct lives slots[2];
    bool is_good[2];
    pc_err unread = PC_OK;
    for (unsigned slot = 0; slot < 2; slot++) {
        slots[slot] = (struct lives){.n = 0};
        pc_err err = slot_read(lives, fd, slot, &slots[slot], error);
        if (err == PC_E_VERSION) {
            return err;
        }
        is_good[slot] = err == PC_OK;
        unread = err == PC_OK || err == PC_E_CORRUPT ? unread : err;
    }
    if (!is_good[0] && !is_good[1] && unread != PC_OK) {
        return pc_error_wrap(error, "%s/lives", lives->data_dir); /* perhaps the next time */
    }
    lives->was_damaged = !is_good[0] || !is_good[1];
    lives->newest = !is_good[0] || (is_good[1] && slots[1].sequence > slots[0].sequence) ? 1 : 0;
    if (is_good[lives->newest]) {
        const struct lives *newest = &slots[lives->newest];
        memcpy(lives->v, newest->v, sizeof lives->v);
        lives->n = newest->n;
        lives->sequence = newest->sequence;
    }
    return PC_OK;
}

static pc_err lives_make(const struct lives *lives, struct pc_error *error)
{
    uint8_t bytes[2 * LIVES_SLOT_BYTES];
    slot_encode(lives, 0, bytes);
    slot_encode(lives, 0, bytes + LIVES_SLOT_BYTES);
    return data_file_replace(
        lives->fs, lives->data_dir, "lives", pc_slice_of(bytes, sizeof bytes), error);
}

static pc_err lives_open_file(const struct lives *lives, pc_fd *fd, struct pc_error *error)
{
    char path[PATH_BYTES];
    pc_err err = data_file_path(path, sizeof path, lives->data_dir, "lives", error);
    return err == PC_OK ? lives->fs->open(lives->fs->context, path, false, false, fd, error) : err;
}

pc_err lives_open(
    const struct pc_fs *fs, const char *data_dir, struct lives *out, struct pc_error *error)
{
    *out = (struct lives){.fs = fs};
    if (strlen(data_dir) >= sizeof out->data_dir) {
        return pc_error_set(error, PC_E_INVALID, "data directory: the path is too long");
    }
    memcpy(out->data_dir, data_dir, strlen(data_dir) + 1);
    pc_fd fd;
    pc_err err = lives_open_file(out, &fd, error);
    if (err == PC_E_NOT_FOUND) {
        out->was_missing = true;
        return lives_make(out, error);
    }
    if (err != PC_OK) {
        return err;
    }
    err = lives_read(out, fd, error);
    /* A process that was killed may have left the newer slot in memory only; and the name. */
    if (err == PC_OK) {
        err = fs->sync(fs->context, fd, error);
    }
    fs->close(fs->context, fd);
    return err == PC_OK ? fs->sync_dir(fs->context, data_dir, error) : err;
}

/* ---- noting */

void lives_keep(struct lives *lives, const pc_node_id *ids, size_t ids_n)
{
    PC_ASSERT(ids_n <= PC_LIVES_KEPT_MAX);
    memcpy(lives->kept, ids, ids_n * sizeof ids[0]);
    lives->kept_n = ids_n;
}

static bool is_kept(const struct lives *lives, pc_node_id id)
{
    size_t at = 0;
    while (at < lives->kept_n && lives->kept[at] != id) {
        at++;
    }
    return at < lives->kept_n;
}

/* Puts the life in its place. False when that changes nothing. */
static bool lives_put(struct lives *lives, const struct pc_life *life)
{
    PC_ASSERT(life->id != 0);
    struct pc_life *place = NULL, *lowest = NULL;
    for (size_t i = 0; i < lives->n; i++) {
        struct pc_life *other = &lives->v[i];
        place = other->id == life->id ? other : place;
        bool is_lower = lowest == NULL || other->generation < lowest->generation;
        lowest = is_lower && !is_kept(lives, other->id) ? other : lowest;
    }
    if (place != NULL && place->generation >= life->generation) {
        return false;
    }
    if (place == NULL) {
        place = lives->n < PC_LIVES_MAX ? &lives->v[lives->n++] : lowest;
    }
    PC_ASSERT(place != NULL); /* fewer are kept than there are places */
    *place = *life;
    return true;
}

pc_err lives_note(struct lives *lives, const struct pc_life *life, struct pc_error *error)
{
    uint8_t bytes[LIVES_SLOT_BYTES];
    if (!lives_put(lives, life)) {
        return PC_OK;
    }
    pc_fd fd;
    pc_err err = lives_open_file(lives, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    const struct pc_fs *fs = lives->fs;
    unsigned slot = lives->newest ^ 1;
    slot_encode(lives, lives->sequence + 1, bytes);
    err = fs->write_at(fs->context, fd, (uint64_t)slot * LIVES_SLOT_BYTES,
        pc_slice_of(bytes, sizeof bytes), error);
    if (err == PC_OK) {
        err = fs->sync(fs->context, fd, error);
    }
    fs->close(fs->context, fd);
    if (err != PC_OK) {
        return pc_error_wrap(error, "%s/lives", lives->data_dir);
    }
    lives->sequence++;
    lives->newest = slot;
    return PC_OK;
}
