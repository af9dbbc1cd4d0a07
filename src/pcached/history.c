#include "history.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data_file.h"
#include "pcache/bytes.h"
#include "pcache/crc32c.h"

#define HISTORY_WORD "pcache-history "
#define HISTORY_START HISTORY_WORD "1 "
#define HISTORY_BYTES (sizeof HISTORY_START - 1 + 32 + 1 + 8 + 1)
#define PATH_BYTES 4200

static void history_format(const uint8_t history[16], char text[HISTORY_BYTES + 1])
{
    char hex[33];
    pc_hex_encode(history, 16, hex);
    (void)snprintf(text, HISTORY_BYTES + 1, HISTORY_START "%s %08" PRIx32 "\n", hex,
        pc_crc32c(0, pc_slice_of(history, 16)));
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Only the very text that would be written counts. */
static bool history_parse(const char *text, uint8_t out[16])
{
    const char *hex = text + sizeof HISTORY_START - 1;
    char again[HISTORY_BYTES + 1];
    for (size_t i = 0; i < 16; i++) {
        int high = hex_digit(hex[2 * i]);
        int low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    history_format(out, again);
    return memcmp(text, again, HISTORY_BYTES) == 0;
}

/* The number that another version's note begins with; 0 when it is none. The checksum does not
 * cover it: a note that would be good with our number has lost a bit of it. */
static unsigned other_version(const char *text)
{
    unsigned version = 0;
    size_t at = sizeof HISTORY_WORD - 1;
    if (memcmp(text, HISTORY_WORD, at) != 0 || text[at] == '0') {
        return 0;
    }
    for (; text[at] >= '0' && text[at] <= '9' && version < 10000; at++) {
        version = version * 10 + (unsigned)(text[at] - '0');
    }
    char ours[HISTORY_BYTES + 1];
    uint8_t ignored[16];
    memcpy(ours, text, sizeof ours);
    memcpy(ours, HISTORY_START, sizeof HISTORY_START - 1);
    bool is_other = text[at] == ' ' && version != 1 && !history_parse(ours, ignored);
    return is_other ? version : 0;
}

pc_err history_read(
    const struct pc_fs *fs, const char *data_dir, uint8_t out[16], struct pc_error *error)
{
    char path[PATH_BYTES];
    char text[HISTORY_BYTES + 2] = {0}; /* one more than there should be, and an end */
    pc_fd fd;
    size_t got = 0;
    (void)snprintf(path, sizeof path, "%s/history", data_dir);
    if (fs->open_read(fs->context, path, &fd, error) != PC_OK) {
        return PC_E_NOT_FOUND;
    }
    pc_err err = fs->read_at(fs->context, fd, 0, (uint8_t *)text, HISTORY_BYTES + 1, &got, error);
    fs->close(fs->context, fd);
    if (err == PC_OK && got == HISTORY_BYTES && history_parse(text, out)) {
        return PC_OK;
    }
    unsigned version = err == PC_OK ? other_version(text) : 0;
    if (version != 0) {
        return pc_error_set(error, PC_E_VERSION,
            "%s: format version %u is not known to this program, which writes 1: start the version"
            " of it that this node ran last",
            path, version);
    }
    return pc_error_set(error, PC_E_NOT_FOUND, "%s: damaged", path);
}

pc_err history_write(
    const struct pc_fs *fs, const char *data_dir, const uint8_t history[16], struct pc_error *error)
{
    char text[HISTORY_BYTES + 1];
    history_format(history, text);
    return data_file_replace(fs, data_dir, "history", pc_slice_of(text, HISTORY_BYTES), error);
}
