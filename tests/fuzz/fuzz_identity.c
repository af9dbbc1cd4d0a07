/* The identity file. The first byte has flags, then come two lines, one for each slot. With its
 * flag a line is made a slot, blanks and checksum and all, so that what a whole slot may say is
 * reached; without, it stands there alone. An id that is believed is the same at the next start, in
 * a later generation, also when either copy is damaged by then; and a slot is believed in one
 * spelling only. */
#include "fuzz/kit/fuzz.h"

#include <inttypes.h>
#include <stdio.h>

#include "pcache/crc32c.h"
#include "pcached/identity.h"
#include "support/sim_fs.h"

#define FRESH_ID 4711
#define WALL_MS 1000
#define FILE_BYTES (2 * IDENTITY_SLOT_BYTES)
#define CRC_AT (IDENTITY_SLOT_BYTES - 9)
#define PATH "/data/identity"
#define GENERATION_MAX (UINT64_MAX / 2)

enum {
    FLAG_SLOT = 1, /* << slot: the line is made a slot */
    FLAG_SHORT = 4,
    SHORT_SHIFT = 3, /* the rest of the byte: how short the file is */
};

static void finish_slot(char *slot)
{
    char crc[9];
    (void)snprintf(crc, sizeof crc, "%08" PRIx32, pc_crc32c(0, pc_slice_of(slot, CRC_AT)));
    memcpy(slot + CRC_AT, crc, 8);
    slot[IDENTITY_SLOT_BYTES - 1] = '\n';
}

/* Returns the length of the file. */
static size_t make_file(struct fuzz_in *in, char text[FILE_BYTES])
{
    uint8_t flags = fuzz_u8(in);
    memset(text, ' ', FILE_BYTES);
    for (unsigned i = 0; i < 2; i++) {
        char *slot = text + (size_t)i * IDENTITY_SLOT_BYTES;
        size_t cap = i == 0 ? CRC_AT : IDENTITY_SLOT_BYTES, len = 0;
        for (; fuzz_left(in) > 0 && len < cap; len++) {
            slot[len] = (char)fuzz_u8(in);
            if (slot[len] == '\n') {
                slot[len] = ' ';
                break;
            }
        }
        if ((flags & FLAG_SLOT << i) != 0) {
            finish_slot(slot);
        }
    }
    size_t parts = flags >> SHORT_SHIFT;
    return (flags & FLAG_SHORT) != 0 ? parts * (FILE_BYTES / 31) : FILE_BYTES;
}

static struct pc_sim_fs *make_data_dir(const char *text, size_t len)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    PC_ASSERT(port->mkdir(port->context, "/data", &error) == PC_OK);
    PC_ASSERT(port->mkdir(port->context, "/data/log", &error) == PC_OK);
    static const char *const paths[] = {PATH, "/data/log/vote-0"};
    for (size_t i = 0; i < 2; i++) {
        pc_fd fd;
        struct pc_slice bytes = pc_slice_of(text, i == 0 ? len : 0);
        PC_ASSERT(port->open(port->context, paths[i], true, false, &fd, &error) == PC_OK);
        PC_ASSERT(port->write_at(port->context, fd, 0, bytes, &error) == PC_OK);
        port->close(port->context, fd);
    }
    return fs;
}

static pc_err load(struct pc_sim_fs *fs, struct identity *out)
{
    struct pc_error error = {0};
    *out = (struct identity){.fs = pc_sim_fs_port(fs), .lock_fd = -1};
    (void)snprintf(out->data_dir, sizeof out->data_dir, "/data");
    (void)snprintf(out->log_dir, sizeof out->log_dir, "/data/log");
    pc_err err = identity_load(out, FRESH_ID, WALL_MS, &error);
    FUZZ_CHECK("an error says what", err == PC_OK || error.text[0] != '\0');
    return err;
}

static size_t file_read(struct pc_sim_fs *fs, char out[FILE_BYTES])
{
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    pc_fd fd;
    size_t got = 0;
    PC_ASSERT(port->open_read(port->context, PATH, &fd, &error) == PC_OK);
    PC_ASSERT(
        port->read_at(port->context, fd, 0, (uint8_t *)out, FILE_BYTES, &got, &error) == PC_OK);
    port->close(port->context, fd);
    return got;
}

/* Is this the one spelling of what a node writes into this slot? Then *generation is its. */
static bool is_slot(const char *text, unsigned slot, pc_node_id *id, uint64_t *generation)
{
    char copy[IDENTITY_SLOT_BYTES + 1] = {0}, again[IDENTITY_SLOT_BYTES + 1];
    memcpy(copy, text, IDENTITY_SLOT_BYTES);
    unsigned version = 0, has_log = 0, has_met = 0;
    uint64_t prev = 0;
    int fields =
        sscanf(copy, "pcache-identity %1u %*u %16" SCNx64 " %20" SCNu64 " %1u %20" SCNu64 " %1u",
            &version, id, generation, &has_log, &prev, &has_met);
    if (fields != (version == 1 ? 4 : 6) || version > 2 || prev >= *generation || has_log > 1 ||
        has_met > 1) {
        return false;
    }
    int used = snprintf(again, sizeof again, "pcache-identity %u %u %016" PRIx64 " %" PRIu64 " %u",
        version, slot, *id, *generation, has_log);
    if (version == 2) {
        used +=
            snprintf(again + used, sizeof again - (size_t)used, " %" PRIu64 " %u", prev, has_met);
    }
    memset(again + used, ' ', sizeof again - (size_t)used);
    finish_slot(again);
    return memcmp(again, text, IDENTITY_SLOT_BYTES) == 0;
}

/* What was believed stood in one slot at least, and stands in both now. */
static void check_believed(
    const char *text, size_t len, struct pc_sim_fs *fs, const struct identity *identity)
{
    char now[FILE_BYTES];
    FUZZ_CHECK("two slots", file_read(fs, now) == FILE_BYTES);
    size_t good = 0;
    for (unsigned slot = 0; slot < 2; slot++) {
        size_t at = (size_t)slot * IDENTITY_SLOT_BYTES;
        pc_node_id id = 0;
        uint64_t generation = 0;
        if (len >= at + IDENTITY_SLOT_BYTES && is_slot(text + at, slot, &id, &generation) &&
            generation <= GENERATION_MAX && id != 0) {
            good++;
            FUZZ_CHECK("the id that stood there", id == identity->id);
            FUZZ_CHECK("a later generation", identity->generation > generation);
        }
        FUZZ_CHECK("a slot", is_slot(now + at, slot, &id, &generation));
        FUZZ_CHECK("says who it is", id == identity->id && generation == identity->generation);
    }
    FUZZ_CHECK("one spelling", good > 0);
}

/* The next starts, with either copy gone bad in between. */
static void check_next_starts(struct pc_sim_fs *fs, const struct identity *first)
{
    if (first->generation >= GENERATION_MAX - 2) {
        return; /* there is none after it */
    }
    struct identity last = *first;
    for (unsigned slot = 0; slot < 2; slot++) {
        struct identity next;
        uint64_t at = (uint64_t)slot * IDENTITY_SLOT_BYTES + first->generation % CRC_AT;
        FUZZ_CHECK("a byte", pc_sim_fs_flip_bit(fs, PATH, at, first->generation % 8));
        FUZZ_CHECK("the next start", load(fs, &next) == PC_OK && next.was_mended);
        FUZZ_CHECK("the same id", next.id == last.id && next.has_log == last.has_log);
        FUZZ_CHECK("a later generation", next.generation > last.generation);
        last = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    char text[FILE_BYTES], after[FILE_BYTES];
    size_t len = make_file(&in, text);
    struct pc_sim_fs *fs = make_data_dir(text, len);
    struct identity first;
    pc_err err = load(fs, &first);
    if (err == PC_OK) {
        FUZZ_CHECK("an id", first.id != 0);
        check_believed(text, len, fs, &first);
        check_next_starts(fs, &first);
    } else {
        FUZZ_CHECK("damage is reported as such", err == PC_E_CORRUPT || err == PC_E_VERSION);
        FUZZ_CHECK(
            "and the file is left", file_read(fs, after) == len && memcmp(text, after, len) == 0);
    }
    pc_sim_fs_delete(fs);
    return 0;
}
