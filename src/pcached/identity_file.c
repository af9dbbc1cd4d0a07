/* The file of the identity: identity.h says what it looks like, and why it is never torn.
 *
 * A slot counts when it is byte for byte what would be written for what it says: a checksum that
 * fits does not make a node's word of something that no node writes. */
#include "data_file.h"
#include "identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pcache/bytes.h"
#include "pcache/crc32c.h"

#define WORD "pcache-identity "
#define VERSION 2u
#define VERSION_OLD 1u /* without prev and met */
#define CRC_AT (IDENTITY_SLOT_BYTES - 9)
/* Far above every clock: the generation grows from start to start, and must not wrap. */
#define GENERATION_MAX (UINT64_MAX / 2)

static void format_crc(const char *slot, char out[9])
{
    (void)snprintf(out, 9, "%08" PRIx32, pc_crc32c(0, pc_slice_of(slot, CRC_AT)));
}

static void slot_format(
    const struct identity_record *record, unsigned slot, char out[IDENTITY_SLOT_BYTES])
{
    char line[160], crc[9];
    int used = snprintf(line, sizeof line, WORD "%u %u %016" PRIx64 " %" PRIu64 " %u",
        record->version, slot, record->id, record->generation, record->has_log ? 1u : 0u);
    if (record->version != VERSION_OLD) {
        used += snprintf(line + used, sizeof line - (size_t)used, " %" PRIu64 " %u",
            record->prev_generation, record->has_met ? 1u : 0u);
    }
    memset(out, ' ', IDENTITY_SLOT_BYTES);
    memcpy(out, line, (size_t)used);
    format_crc(out, crc);
    memcpy(out + CRC_AT, crc, 8);
    out[IDENTITY_SLOT_BYTES - 1] = '\n';
}

/* PC_E_CORRUPT for what is no slot; PC_E_VERSION with *version for one of another version. */
static pc_err slot_parse(
    const char *text, unsigned slot, struct identity_record *out, unsigned *version)
{
    char crc[9];
    format_crc(text, crc);
    if (memcmp(text, WORD, sizeof WORD - 1) != 0 || memcmp(text + CRC_AT, crc, 8) != 0) {
        return PC_E_CORRUPT;
    }
    struct identity_record record = {0};
    unsigned place = 0, has_log = 0, has_met = 1;
    if (sscanf(text, WORD "%9u", &record.version) != 1) {
        return PC_E_CORRUPT;
    }
    if (record.version != VERSION && record.version != VERSION_OLD) {
        *version = record.version;
        return PC_E_VERSION;
    }
    int fields = sscanf(text, WORD "%*9u %1u %16" SCNx64 " %20" SCNu64 " %1u %20" SCNu64 " %1u",
        &place, &record.id, &record.generation, &has_log, &record.prev_generation, &has_met);
    if (fields != (record.version == VERSION_OLD ? 4 : 6)) {
        return PC_E_CORRUPT;
    }
    record.has_log = has_log == 1;
    record.has_met = has_met == 1;
    /* sscanf takes blanks, signs and prefixes that no program wrote. */
    char written[IDENTITY_SLOT_BYTES];
    slot_format(&record, slot, written);
    bool is_whole = memcmp(text, written, sizeof written) == 0;
    if (!is_whole || record.id == 0 || record.generation > GENERATION_MAX ||
        record.prev_generation >= record.generation) {
        return PC_E_CORRUPT;
    }
    *out = record;
    return PC_OK;
}

/* ---- reading */

/* Reads a slot; what is wrong with it is in *error. A slot that the disk cannot give is one that is
 * damaged, as long as the other one is there. */
static pc_err slot_read(
    struct identity_file *file, unsigned slot, struct identity_record *out, struct pc_error *error)
{
    char text[IDENTITY_SLOT_BYTES + 1] = {0};
    size_t got = 0;
    unsigned version = 0;
    uint64_t offset = (uint64_t)slot * IDENTITY_SLOT_BYTES;
    pc_err err = file->fs->read_at(
        file->fs->context, file->fd, offset, (uint8_t *)text, IDENTITY_SLOT_BYTES, &got, error);
    if (err != PC_OK) {
        return pc_error_wrap(error, "%s: offset %" PRIu64, file->path, offset);
    }
    err = got == IDENTITY_SLOT_BYTES ? slot_parse(text, slot, out, &version) : PC_E_CORRUPT;
    if (err == PC_E_VERSION) {
        return pc_error_set(error, err,
            "%s: format version %u is not known to this program, which writes %u: start the"
            " version of it that this node ran last",
            file->path, version, VERSION);
    }
    return err == PC_OK ? PC_OK
                        : pc_error_set(error, err,
                              "%s is damaged at offset 0 and at offset %d: this node cannot prove"
                              " who it is; restore the file from a copy. In an empty directory it"
                              " would be another node, which its cluster does not take; the"
                              " others go on without it",
                              file->path, IDENTITY_SLOT_BYTES);
}

static bool is_newer(const struct identity_record *a, const struct identity_record *b)
{
    return a->generation != b->generation
               ? a->generation > b->generation
               : (a->has_log && !b->has_log) || (a->has_met && !b->has_met);
}

static pc_err file_read(struct identity_file *file, struct pc_error *error)
{
    struct identity_record records[2];
    struct pc_error why[2];
    for (unsigned slot = 0; slot < 2; slot++) {
        pc_err err = slot_read(file, slot, &records[slot], &why[slot]);
        file->is_good[slot] = err == PC_OK;
        if (err == PC_E_VERSION) {
            *error = why[slot];
            return err;
        }
    }
    if (!file->is_good[0] && !file->is_good[1]) {
        /* What could not be read now may be readable the next time. */
        *error = why[0].code == PC_E_CORRUPT ? why[1] : why[0];
        return error->code;
    }
    if (file->is_good[0] && file->is_good[1] && records[0].id != records[1].id) {
        return pc_error_set(error, PC_E_CORRUPT,
            "%s is damaged: it names two nodes, %016" PRIx64 " and %016" PRIx64
            "; restore the file from a copy",
            file->path, records[0].id, records[1].id);
    }
    bool second = !file->is_good[0] || (file->is_good[1] && is_newer(&records[1], &records[0]));
    file->newest = second ? 1 : 0;
    file->record = records[file->newest];
    return PC_OK;
}

pc_err identity_file_open(
    const struct pc_fs *fs, const char *data_dir, struct identity_file *out, struct pc_error *error)
{
    *out = (struct identity_file){.fs = fs};
    pc_err err = data_file_path(out->path, sizeof out->path, data_dir, "identity", error);
    if (err == PC_OK) {
        err = fs->open(fs->context, out->path, false, false, &out->fd, error);
    }
    if (err != PC_OK) {
        return err;
    }
    err = file_read(out, error);
    if (err == PC_OK) {
        /* A process that was killed may have left the newer slot in memory only; and the name. */
        err = fs->sync(fs->context, out->fd, error);
    }
    if (err == PC_OK) {
        err = fs->sync_dir(fs->context, data_dir, error);
    }
    if (err != PC_OK) {
        identity_file_close(out);
    }
    return err;
}

void identity_file_close(struct identity_file *file)
{
    file->fs->close(file->fs->context, file->fd);
}

/* ---- writing */

static pc_err slot_write(struct identity_file *file, const struct identity_record *record,
    unsigned slot, struct pc_error *error)
{
    char text[IDENTITY_SLOT_BYTES];
    struct identity_record newest = *record;
    newest.version = VERSION;
    slot_format(&newest, slot, text);
    const struct pc_fs *fs = file->fs;
    pc_err err = fs->write_at(fs->context, file->fd, (uint64_t)slot * IDENTITY_SLOT_BYTES,
        pc_slice_of(text, sizeof text), error);
    if (err == PC_OK) {
        err = fs->sync(fs->context, file->fd, error);
    }
    return err == PC_OK ? PC_OK : pc_error_wrap(error, "%s", file->path);
}

pc_err identity_file_write(
    struct identity_file *file, const struct identity_record *record, struct pc_error *error)
{
    pc_err err = slot_write(file, record, file->newest ^ 1, error);
    return err == PC_OK ? slot_write(file, record, file->newest, error) : err;
}

pc_err identity_file_create(const struct pc_fs *fs, const char *data_dir,
    const struct identity_record *record, struct pc_error *error)
{
    char text[2 * IDENTITY_SLOT_BYTES];
    struct identity_record newest = *record;
    newest.version = VERSION;
    slot_format(&newest, 0, text);
    slot_format(&newest, 1, text + IDENTITY_SLOT_BYTES);
    return data_file_replace(fs, data_dir, "identity", pc_slice_of(text, sizeof text), error);
}
