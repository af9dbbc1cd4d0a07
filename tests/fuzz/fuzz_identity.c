/* The identity file. The first byte chooses: even, the rest is the file as it stands; odd, the rest
 * is the line without its checksum, which is put behind it, so that what a whole line may say is
 * reached. An id that is believed is the same at the next start, in a later generation, and a line
 * is believed in one spelling only. */
#include "fuzz/kit/fuzz.h"

#include <inttypes.h>
#include <stdio.h>

#include "pcache/crc32c.h"
#include "pcached/identity.h"
#include "support/sim_fs.h"

#define FRESH_ID 4711
#define LINE_BYTES 200

/* The checksum that these fields would have. */
static uint32_t crc_of(uint64_t id, uint64_t generation, unsigned has_log)
{
    uint8_t bytes[17];
    pc_put_u64(bytes, id);
    pc_put_u64(bytes + 8, generation);
    bytes[16] = (uint8_t)has_log;
    return pc_crc32c(0, pc_slice_of(bytes, sizeof bytes));
}

static size_t make_line(struct fuzz_in *in, char line[LINE_BYTES])
{
    bool signs = (fuzz_u8(in) & 1) != 0;
    struct pc_slice rest = fuzz_bytes(in, LINE_BYTES - 20);
    if (rest.len > 0) {
        memcpy(line, rest.data, rest.len);
    }
    line[rest.len] = '\0';
    uint64_t id = 0, generation = 0;
    unsigned has_log = 0;
    int n = sscanf(
        line, "pcache-identity 1 %16" SCNx64 " %20" SCNu64 " %1u", &id, &generation, &has_log);
    if (!signs || n != 3) {
        return rest.len;
    }
    size_t len = strlen(line);
    int used =
        snprintf(line + len, LINE_BYTES - len, " %08" PRIx32 "\n", crc_of(id, generation, has_log));
    return len + (size_t)used;
}

static void file_write(struct pc_sim_fs *fs, const char *path, const char *bytes, size_t len)
{
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    pc_fd fd;
    PC_ASSERT(port->open(port->context, path, true, false, &fd, &error) == PC_OK);
    PC_ASSERT(port->write_at(port->context, fd, 0, pc_slice_of(bytes, len), &error) == PC_OK);
    port->close(port->context, fd);
}

static struct pc_sim_fs *make_data_dir(const char *line, size_t len)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    PC_ASSERT(port->mkdir(port->context, "/data", &error) == PC_OK);
    PC_ASSERT(port->mkdir(port->context, "/data/log", &error) == PC_OK);
    file_write(fs, "/data/identity", line, len);
    file_write(fs, "/data/log/vote-0", "", 0);
    return fs;
}

static pc_err load(struct pc_sim_fs *fs, struct identity *out)
{
    struct pc_error error = {0};
    *out = (struct identity){.fs = pc_sim_fs_port(fs), .lock_fd = -1};
    (void)snprintf(out->data_dir, sizeof out->data_dir, "/data");
    (void)snprintf(out->log_dir, sizeof out->log_dir, "/data/log");
    pc_err err = identity_load(out, FRESH_ID, 1000, &error);
    FUZZ_CHECK("an error says what", err == PC_OK || error.text[0] != '\0');
    return err;
}

/* Is this the one spelling of what was believed, in an earlier generation? */
static void check_spelling(const char *line, size_t len, const struct identity *identity)
{
    uint64_t generation = 0;
    FUZZ_CHECK("a generation stands there",
        sscanf(line, "pcache-identity 1 %*16x %20" SCNu64, &generation) == 1);
    unsigned has_log = identity->has_log ? 1 : 0;
    char text[LINE_BYTES];
    int used = snprintf(text, sizeof text,
        "pcache-identity 1 %016" PRIx64 " %" PRIu64 " %u %08" PRIx32 "\n", identity->id, generation,
        has_log, crc_of(identity->id, generation, has_log));
    FUZZ_CHECK("one spelling", (size_t)used == len && memcmp(text, line, len) == 0);
    FUZZ_CHECK("a later generation", identity->generation > generation);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    char line[LINE_BYTES] = {0};
    size_t len = make_line(&in, line);
    struct pc_sim_fs *fs = make_data_dir(line, len);
    struct identity first, second;
    pc_err err = load(fs, &first);
    if (err == PC_OK) {
        FUZZ_CHECK("an id", first.id != 0);
        check_spelling(line, len, &first);
        FUZZ_CHECK("the next start", load(fs, &second) == PC_OK);
        FUZZ_CHECK("the same id", second.id == first.id && second.has_log == first.has_log);
        FUZZ_CHECK("a later generation", second.generation > first.generation);
    } else {
        FUZZ_CHECK("damage is reported as such", err == PC_E_CORRUPT);
        FUZZ_CHECK(
            "and the file is left", pc_sim_fs_file_bytes(fs, "/data/identity") == (uint64_t)len);
    }
    pc_sim_fs_delete(fs);
    return 0;
}
