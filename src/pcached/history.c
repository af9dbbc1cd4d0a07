#include "history.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data_file.h"
#include "pcache/bytes.h"
#include "pcache/crc32c.h"

#define HISTORY_START "pcache-history 1 "
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

bool history_read(const struct pc_fs *fs, const char *data_dir, uint8_t out[16])
{
    char path[PATH_BYTES];
    char text[HISTORY_BYTES + 1] = {0};
    struct pc_error ignored;
    pc_fd fd;
    size_t got = 0;
    (void)snprintf(path, sizeof path, "%s/history", data_dir);
    if (fs->open_read(fs->context, path, &fd, &ignored) != PC_OK) {
        return false;
    }
    pc_err err = fs->read_at(fs->context, fd, 0, (uint8_t *)text, sizeof text, &got, &ignored);
    fs->close(fs->context, fd);
    return err == PC_OK && got == HISTORY_BYTES && history_parse(text, out);
}

pc_err history_write(
    const struct pc_fs *fs, const char *data_dir, const uint8_t history[16], struct pc_error *error)
{
    char text[HISTORY_BYTES + 1];
    history_format(history, text);
    return data_file_replace(fs, data_dir, "history", pc_slice_of(text, HISTORY_BYTES), error);
}
