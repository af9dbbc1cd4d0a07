/* The file layer. inih takes the lines apart; what stands here is the reader that feeds it.
 *
 * inih cuts lines at a length chosen when the library was built (200 bytes in Debian), silently
 * ignores what stands behind a section's bracket, and takes any indented line for a continuation.
 * So the reader takes the file's lines itself, drops comments, checks sections, and hands a long
 * value over in pieces: the key's line, then continuation lines, which inih reports under the same
 * key.
 *
 *     members = node1=10.0.0.1:7946, node2=10.0...        |  members = node1=10.0.0.1:7946, no
 *                                                    ==>  |   de2=10.0...
 *
 * A piece begins and ends with a letter that inih keeps: it would trim blanks, and drop a piece
 * that begins like a comment. An indented line of the file itself continues a value that ends with
 * a comma; any other indented line is a line of its own.
 *
 * The first error ends the reading: the reader then reports the end of the file. */
#include "config_int.h"

#include <errno.h>
#include <string.h>

#include <ini.h>

/* How the line that inih got last relates to the one before. */
enum piece {
    PIECE_LINE,     /* a line of its own                      */
    PIECE_REST,     /* the rest of a line: appended as it is  */
    PIECE_NEXT_LINE /* a continuation line: appended after " " */
};

struct file_reader {
    struct pc_config_values *values;
    const char *path;
    struct pc_slice left; /* of the file */
    unsigned line;        /* number of the line taken last */
    struct pc_slice rest; /* of that line, still to be handed over */
    enum piece piece;     /* what inih has in hand */
    size_t key;           /* being collected; CONFIG_NONE = none */
    unsigned key_line;
    struct pc_buf text; /* its value so far */
    bool failed;
    struct pc_error *error;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static pc_err fail(struct file_reader *reader, unsigned line, const char *text)
{
    if (!reader->failed) {
        reader->failed = true;
        return pc_error_set(reader->error, PC_E_INVALID, "%.120s:%u: %s", reader->path, line, text);
    }
    return PC_E_INVALID;
}

/* ---- lines */
static struct pc_slice take_line(struct file_reader *reader)
{
    const uint8_t *end = memchr(reader->left.data, '\n', reader->left.len);
    size_t len = end != NULL ? (size_t)(end - reader->left.data) : reader->left.len;
    size_t used = end != NULL ? len + 1 : len;
    struct pc_slice line = pc_slice_of(reader->left.data, len);
    reader->left = pc_slice_of(reader->left.data + used, reader->left.len - used);
    reader->line++;
    return line;
}

/* Without comment and without blanks around it. */
static struct pc_slice strip_line(struct pc_slice line)
{
    size_t len = 0;
    while (len < line.len && !((line.data[len] == ';' || line.data[len] == '#') &&
                                 (len == 0 || is_blank(line.data[len - 1])))) {
        len++;
    }
    while (len > 0 && (is_blank(line.data[len - 1]) || line.data[len - 1] == '\r')) {
        len--;
    }
    size_t begin = 0;
    while (begin < len && is_blank(line.data[begin])) {
        begin++;
    }
    return pc_slice_of(line.data + begin, len - begin);
}

static pc_err check_section(struct file_reader *reader, struct pc_slice line)
{
    const uint8_t *close = memchr(line.data, ']', line.len);
    if (close == NULL) {
        return fail(reader, reader->line, "the section has no closing bracket");
    }
    if (close != line.data + line.len - 1) {
        return fail(reader, reader->line, "text behind the section's closing bracket");
    }
    struct pc_slice name = pc_slice_of(line.data + 1, line.len - 2);
    if (config_section_exists(name)) {
        return PC_OK;
    }
    char nearest[CONFIG_KEY_TEXT_MAX], text[160];
    bool near = config_section_nearest(name, nearest);
    (void)snprintf(text, sizeof text, "unknown section [%.*s]%s%s%s",
        (int)(name.len < 60 ? name.len : 60), (const char *)name.data,
        near ? "; did you mean [" : "", near ? nearest : "", near ? "]?" : "");
    return fail(reader, reader->line, text);
}

static bool value_is_open(const struct file_reader *reader)
{
    return reader->key != CONFIG_NONE && reader->text.len > 0 &&
           reader->text.data[reader->text.len - 1] == ',';
}

/* Takes the next line; reader->rest is what inih is to get of it. */
static pc_err next_line(struct file_reader *reader)
{
    struct pc_slice line = take_line(reader);
    static const uint8_t byte_order_mark[] = {0xef, 0xbb, 0xbf};
    if (reader->line == 1 && line.len >= 3 && memcmp(line.data, byte_order_mark, 3) == 0) {
        line = pc_slice_of(line.data + 3, line.len - 3);
    }
    if (line.len > 0 && memchr(line.data, '\0', line.len) != NULL) {
        return fail(reader, reader->line, "a NUL byte: this is not a text file");
    }
    bool indented = line.len > 0 && is_blank(line.data[0]);
    reader->rest = strip_line(line);
    reader->piece = PIECE_LINE;
    if (reader->rest.len == 0) {
        return PC_OK;
    }
    if (indented && value_is_open(reader)) {
        reader->piece = PIECE_NEXT_LINE;
        return PC_OK;
    }
    if (reader->rest.data[0] == '[') {
        return check_section(reader, reader->rest);
    }
    if (memchr(reader->rest.data, '=', reader->rest.len) == NULL) {
        return fail(reader, reader->line, "neither [section] nor key = value");
    }
    return PC_OK;
}

/* ---- pieces */
static bool may_cut(struct pc_slice text, size_t at)
{
    uint8_t after = text.data[at];
    return !is_blank(text.data[at - 1]) && !is_blank(after) && after != ';' && after != '#';
}

/* How much of the rest fits into `room` bytes; 0 when it cannot be cut. */
static size_t piece_len(struct pc_slice rest, size_t room)
{
    if (rest.len <= room) {
        return rest.len;
    }
    for (size_t len = room; len > 0; len--) {
        if (may_cut(rest, len)) {
            return len;
        }
    }
    return 0;
}

/* The reader that inih calls, of fgets' form. `size` is its line length. */
static char *read_piece(char *out, int size, void *context)
{
    struct file_reader *reader = context;
    bool begins = reader->rest.len == 0;
    if (reader->failed || size < 32) {
        return NULL;
    }
    if (begins) {
        if (reader->left.len == 0 || next_line(reader) != PC_OK) {
            return NULL;
        }
    } else {
        reader->piece = PIECE_REST;
    }
    size_t indent = reader->piece == PIECE_LINE ? 0 : 1;
    size_t len = piece_len(reader->rest, (size_t)size - 3 - indent);
    if (len == 0 && reader->rest.len > 0) {
        (void)fail(reader, reader->line, "too many blanks or comment signs in one place");
        return NULL;
    }
    out[0] = ' ';
    if (len > 0) {
        memcpy(out + indent, reader->rest.data, len);
    }
    out[indent + len] = '\n';
    out[indent + len + 1] = '\0';
    reader->rest = pc_slice_of(reader->rest.data + len, reader->rest.len - len);
    return out;
}

/* ---- keys and values, as inih reports them */
static void finish_value(struct file_reader *reader)
{
    if (reader->key == CONFIG_NONE || reader->failed) {
        return;
    }
    char origin[160];
    (void)snprintf(origin, sizeof origin, "%.120s:%u", reader->path, reader->key_line);
    pc_buf_append_u8(&reader->text, 0);
    if (config_values_set(reader->values, reader->key, (const char *)reader->text.data, origin,
            reader->error) != PC_OK) {
        reader->failed = true;
    }
    reader->key = CONFIG_NONE;
}

static void begin_value(
    struct file_reader *reader, const char *section, const char *name, const char *value)
{
    size_t k = config_key_find(pc_slice_str(section), pc_slice_str(name));
    char nearest[CONFIG_KEY_TEXT_MAX], text[200];
    if (*section == '\0') {
        (void)fail(reader, reader->line, "a key before the first [section]");
        return;
    }
    if (k == CONFIG_NONE) {
        bool near = config_key_nearest(pc_slice_str(section), pc_slice_str(name), nearest);
        (void)snprintf(text, sizeof text, "unknown key \"%.60s\" in [%s]%s%s%s", name, section,
            near ? "; did you mean " : "", near ? nearest : "", near ? "?" : "");
        (void)fail(reader, reader->line, text);
        return;
    }
    if (reader->values->v[k].text != NULL) {
        (void)snprintf(text, sizeof text, "%s.%s is already set in %.120s", section, name,
            reader->values->v[k].origin);
        (void)fail(reader, reader->line, text);
        return;
    }
    if (config_keys[k].type == CONFIG_SECRET) {
        (void)fail(reader, reader->line, "a secret does not belong here: use cluster.key_file");
        return;
    }
    reader->key = k;
    reader->key_line = reader->line;
    pc_buf_reset(&reader->text);
    pc_buf_append(&reader->text, value, strlen(value));
}

static int on_value(void *context, const char *section, const char *name, const char *value)
{
    struct file_reader *reader = context;
    if (reader->piece == PIECE_LINE) {
        finish_value(reader);
        if (!reader->failed) {
            begin_value(reader, section, name, value);
        }
    } else if (reader->key != CONFIG_NONE) {
        if (reader->piece == PIECE_NEXT_LINE) {
            pc_buf_append_u8(&reader->text, ' ');
        }
        pc_buf_append(&reader->text, value, strlen(value));
    }
    return 1;
}

pc_err config_file_parse(struct pc_config_values *values, const char *path, struct pc_slice bytes,
    struct pc_error *error)
{
    struct file_reader reader = {
        .values = values, .path = path, .left = bytes, .key = CONFIG_NONE, .error = error};
    int line = ini_parse_stream(read_piece, &reader, on_value, &reader);
    finish_value(&reader);
    /* The reader has checked every line; this is for an inih that is stricter than the one known.
     */
    if (line != 0 && !reader.failed) {
        (void)fail(&reader, reader.line, "not understood");
    }
    pc_buf_destroy(&reader.text);
    return reader.failed ? PC_E_INVALID : PC_OK;
}

pc_err config_file_load(struct pc_config_values *values, const char *path, struct pc_error *error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return pc_error_set(error, PC_E_INVALID, "%.180s: %s", path, strerror(errno));
    }
    struct pc_buf bytes = {0};
    uint8_t chunk[4096];
    size_t got;
    while (
        bytes.len <= PC_CONFIG_FILE_BYTES_MAX && (got = fread(chunk, 1, sizeof chunk, file)) > 0) {
        pc_buf_append(&bytes, chunk, got);
    }
    pc_err err = PC_OK;
    if (ferror(file)) {
        err = pc_error_set(error, PC_E_INVALID, "%.180s: %s", path, strerror(errno));
    } else if (bytes.len > PC_CONFIG_FILE_BYTES_MAX) {
        err = pc_error_set(
            error, PC_E_INVALID, "%.180s: more than %d bytes", path, PC_CONFIG_FILE_BYTES_MAX);
    } else {
        err = config_file_parse(values, path, pc_slice_of(bytes.data, bytes.len), error);
    }
    (void)fclose(file);
    pc_buf_destroy(&bytes);
    return err;
}
