/* The cursor reads a head (type and number), judges it whole, and only then moves: a failed read
 * consumes nothing. `due` is what makes skipping, the depth bound and completeness one mechanism:
 * every value takes one from the innermost open container, and a container whose count reaches
 * zero closes, along with those around it that were only waiting for it.
 *
 * The type byte:
 *     00..7f  positive fixint    80..8f  fixmap     90..9f  fixarray   a0..bf  fixstr
 *     c0 nil  c1 never used      c2 false  c3 true  c4 c5 c6  bin 8 16 32
 *     c7..c9  ext    ca cb  float    cc cd ce cf  uint 8 16 32 64    d0..d3  int 8 16 32 64
 *     d4..d8  fixext d9 da db  str 8 16 32   dc dd  array 16 32   de df  map 16 32
 *     e0..ff  negative fixint
 * Numbers behind it are big-endian, as MessagePack has them; ours elsewhere are little-endian. */
#include "pcache/mpack.h"

#include <msgpack.h>

#include "pcache/assert.h"

/* One decoded head. */
struct head {
    enum pc_mpack_type type;
    size_t bytes;   /* of the head itself: type byte and number */
    uint64_t value; /* number, length, count; an INT in two's complement */
};

/* How the types with a number behind the type byte decode. A value below `least` has a shorter
 * form, so this form of it is refused. */
struct wide {
    enum pc_mpack_type type;
    uint8_t number_bytes;
    uint64_t least;
};

#define UINT32_FIRST_ABOVE (UINT64_C(1) << 32)

static const struct wide wides[32] = {
    [0xc4 - 0xc0] = {PC_MPACK_BIN, 1, 0},
    [0xc5 - 0xc0] = {PC_MPACK_BIN, 2, 256},
    [0xc6 - 0xc0] = {PC_MPACK_BIN, 4, 65536},
    [0xcc - 0xc0] = {PC_MPACK_UINT, 1, 128},
    [0xcd - 0xc0] = {PC_MPACK_UINT, 2, 256},
    [0xce - 0xc0] = {PC_MPACK_UINT, 4, 65536},
    [0xcf - 0xc0] = {PC_MPACK_UINT, 8, UINT32_FIRST_ABOVE},
    [0xd0 - 0xc0] = {PC_MPACK_INT, 1, 33},
    [0xd1 - 0xc0] = {PC_MPACK_INT, 2, 129},
    [0xd2 - 0xc0] = {PC_MPACK_INT, 4, 32769},
    [0xd3 - 0xc0] = {PC_MPACK_INT, 8, (UINT64_C(1) << 31) + 1},
    [0xd9 - 0xc0] = {PC_MPACK_STR, 1, 32},
    [0xda - 0xc0] = {PC_MPACK_STR, 2, 256},
    [0xdb - 0xc0] = {PC_MPACK_STR, 4, 65536},
    [0xdc - 0xc0] = {PC_MPACK_ARRAY, 2, 16},
    [0xdd - 0xc0] = {PC_MPACK_ARRAY, 4, 65536},
    [0xde - 0xc0] = {PC_MPACK_MAP, 2, 16},
    [0xdf - 0xc0] = {PC_MPACK_MAP, 4, 65536},
};

struct pc_mpack_reader pc_mpack_reader_of(struct pc_slice bytes)
{
    static const uint8_t nothing[1] = {0};
    const uint8_t *at = bytes.data != NULL ? bytes.data : nothing;
    PC_ASSERT(bytes.data != NULL || bytes.len == 0);
    return (struct pc_mpack_reader){.at = at, .end = at + bytes.len};
}

size_t pc_mpack_left(const struct pc_mpack_reader *reader)
{
    return reader->failed ? 0 : (size_t)(reader->end - reader->at);
}

void pc_mpack_fail(struct pc_mpack_reader *reader)
{
    reader->failed = true;
}

/* Of 1, 2, 4 or 8 bytes. Written out: compilers make one load of each. */
static uint64_t big_endian(const uint8_t *b, size_t n)
{
    switch (n) {
    case 1:
        return b[0];
    case 2:
        return (uint64_t)b[0] << 8 | b[1];
    case 4:
        return (uint64_t)b[0] << 24 | (uint64_t)b[1] << 16 | (uint64_t)b[2] << 8 | b[3];
    default:
        return big_endian(b, 4) << 32 | big_endian(b + 4, 4);
    }
}

/* The magnitude of an n-byte two's complement number when it is negative, else 0; *out gets it in
 * 64 bits. */
static uint64_t sign_extend(uint64_t v, size_t n, uint64_t *out)
{
    uint64_t sign = UINT64_C(1) << (8 * n - 1);
    *out = (v ^ sign) - sign;
    return (v & sign) != 0 ? 0 - *out : 0;
}

static struct head head_wide(uint8_t tag, const uint8_t *number, size_t left)
{
    const struct head none = {0};
    const struct wide *wide = &wides[tag - 0xc0];
    if (wide->type == PC_MPACK_NONE || left < wide->number_bytes) {
        return none;
    }
    struct head head = {.type = wide->type, .bytes = 1 + (size_t)wide->number_bytes};
    uint64_t size = head.value = big_endian(number, wide->number_bytes);
    if (wide->type == PC_MPACK_INT) {
        size = sign_extend(head.value, wide->number_bytes, &head.value);
    }
    return size < wide->least ? none : head;
}

static struct head head_at(const struct pc_mpack_reader *reader)
{
    size_t left = pc_mpack_left(reader);
    if (left == 0) {
        return (struct head){0};
    }
    uint8_t tag = reader->at[0];
    if (tag < 0x80) {
        return (struct head){PC_MPACK_UINT, 1, tag};
    }
    if (tag < 0x90) {
        return (struct head){PC_MPACK_MAP, 1, tag & 0x0fU};
    }
    if (tag < 0xa0) {
        return (struct head){PC_MPACK_ARRAY, 1, tag & 0x0fU};
    }
    if (tag < 0xc0) {
        return (struct head){PC_MPACK_STR, 1, tag & 0x1fU};
    }
    if (tag >= 0xe0) {
        return (struct head){PC_MPACK_INT, 1, ~UINT64_C(0xff) | tag};
    }
    if (tag == 0xc0) {
        return (struct head){PC_MPACK_NIL, 1, 0};
    }
    if (tag == 0xc2 || tag == 0xc3) {
        return (struct head){PC_MPACK_BOOL, 1, tag & 1U};
    }
    return head_wide(tag, reader->at + 1, left - 1);
}

enum pc_mpack_type pc_mpack_peek(const struct pc_mpack_reader *reader)
{
    return head_at(reader).type;
}

/* How many bytes at least must follow the head for it to be true. */
static uint64_t bytes_claimed(const struct head *head)
{
    switch (head->type) {
    case PC_MPACK_BIN:
    case PC_MPACK_STR:
    case PC_MPACK_ARRAY: /* a value takes at least one byte */
        return head->value;
    case PC_MPACK_MAP:
        return 2 * head->value; /* the count has 32 bits: no overflow */
    default:
        return 0;
    }
}

static void close_finished(struct pc_mpack_reader *reader)
{
    while (reader->depth > 0 && reader->due[reader->depth - 1] == 0) {
        reader->depth--;
    }
}

/* Enters a container of `values` values. */
static void open_container(struct pc_mpack_reader *reader, uint64_t values)
{
    if (values > UINT32_MAX || reader->depth == PC_MPACK_DEPTH_MAX) {
        reader->failed = true;
        return;
    }
    reader->due[reader->depth++] = (uint32_t)values;
}

/* Moves over a value of so many bytes that contains none. */
static void pass(struct pc_mpack_reader *reader, size_t bytes)
{
    if (reader->depth > 0) {
        PC_ASSERT(reader->due[reader->depth - 1] > 0);
        reader->due[reader->depth - 1]--;
    }
    reader->at += bytes;
    close_finished(reader);
}

/* Consumes a head that the caller has looked at, with the bytes of a bin or str. */
static void take(struct pc_mpack_reader *reader, const struct head *head)
{
    PC_ASSERT(head->type != PC_MPACK_NONE);
    size_t left = pc_mpack_left(reader);
    PC_ASSERT(head->bytes <= left);
    uint64_t claimed = bytes_claimed(head);
    if (claimed > left - head->bytes) {
        reader->failed = true;
        return;
    }
    if (reader->depth > 0) {
        PC_ASSERT(reader->due[reader->depth - 1] > 0);
        reader->due[reader->depth - 1]--;
    }
    reader->at += head->bytes;
    if (head->type == PC_MPACK_BIN || head->type == PC_MPACK_STR) {
        reader->at += (size_t)claimed;
    } else if (claimed > 0) {
        open_container(reader, claimed);
    }
    close_finished(reader);
}

static struct head expect(struct pc_mpack_reader *reader, enum pc_mpack_type type)
{
    struct head head = head_at(reader);
    if (head.type == type) {
        take(reader, &head);
    } else {
        reader->failed = true;
    }
    return reader->failed ? (struct head){0} : head;
}

void pc_mpack_read_nil(struct pc_mpack_reader *reader)
{
    (void)expect(reader, PC_MPACK_NIL);
}

bool pc_mpack_read_bool(struct pc_mpack_reader *reader)
{
    return expect(reader, PC_MPACK_BOOL).value != 0;
}

/* Entries and commands consist of unsigned numbers and short bins nearly always, and a node that
 * catches up reads millions of them: these two have a way of their own past `head`. */
uint64_t pc_mpack_read_uint(struct pc_mpack_reader *reader, uint64_t max)
{
    if (pc_mpack_left(reader) > 0 && reader->at[0] < 0x80 && reader->at[0] <= max) {
        uint64_t value = reader->at[0];
        pass(reader, 1);
        return value;
    }
    struct head head = expect(reader, PC_MPACK_UINT);
    if (head.value > max) {
        reader->failed = true;
        return 0;
    }
    return head.value;
}

int64_t pc_mpack_read_int(struct pc_mpack_reader *reader)
{
    if (pc_mpack_peek(reader) == PC_MPACK_UINT) {
        return (int64_t)pc_mpack_read_uint(reader, INT64_MAX);
    }
    uint64_t v = expect(reader, PC_MPACK_INT).value;
    /* Conversion of a large unsigned number is implementation-defined: go by the complement. */
    return v <= INT64_MAX ? (int64_t)v : -(int64_t)~v - 1;
}

static struct pc_slice read_bytes(
    struct pc_mpack_reader *reader, enum pc_mpack_type type, size_t max)
{
    struct head head = expect(reader, type);
    if (reader->failed || head.value > max) {
        reader->failed = true;
        return pc_slice_of(NULL, 0);
    }
    size_t len = (size_t)head.value;
    return pc_slice_of(reader->at - len, len);
}

struct pc_slice pc_mpack_read_bin(struct pc_mpack_reader *reader, size_t max)
{
    size_t left = pc_mpack_left(reader);
    bool is_short = left >= 2 && reader->at[0] == 0xc4;
    if (is_short && reader->at[1] <= max && reader->at[1] <= left - 2) {
        struct pc_slice bytes = pc_slice_of(reader->at + 2, reader->at[1]);
        pass(reader, 2 + bytes.len);
        return bytes;
    }
    return read_bytes(reader, PC_MPACK_BIN, max);
}

struct pc_slice pc_mpack_read_str(struct pc_mpack_reader *reader, size_t max)
{
    return read_bytes(reader, PC_MPACK_STR, max);
}

uint32_t pc_mpack_read_array(struct pc_mpack_reader *reader)
{
    return (uint32_t)expect(reader, PC_MPACK_ARRAY).value;
}

uint32_t pc_mpack_read_map(struct pc_mpack_reader *reader)
{
    return (uint32_t)expect(reader, PC_MPACK_MAP).value;
}

uint64_t pc_mpack_read_key(struct pc_mpack_reader *reader, uint64_t *last)
{
    uint64_t key = pc_mpack_read_uint(reader, UINT64_MAX - 1);
    if (reader->failed || (*last != UINT64_MAX && key <= *last)) {
        reader->failed = true;
        return 0;
    }
    *last = key;
    return key;
}

struct pc_slice pc_mpack_skip(struct pc_mpack_reader *reader)
{
    const uint8_t *start = reader->at;
    uint32_t around = reader->depth;
    do {
        struct head head = head_at(reader);
        if (head.type == PC_MPACK_NONE) {
            reader->failed = true;
        } else {
            take(reader, &head);
        }
    } while (!reader->failed && reader->depth > around);
    return reader->failed ? pc_slice_of(NULL, 0) : pc_slice_of(start, (size_t)(reader->at - start));
}

void pc_mpack_skip_rest(struct pc_mpack_reader *reader, uint32_t n)
{
    for (uint32_t i = 0; i < n && !reader->failed; i++) {
        (void)pc_mpack_skip(reader);
    }
}

pc_err pc_mpack_finish(const struct pc_mpack_reader *reader)
{
    bool complete = !reader->failed && reader->depth == 0 && reader->at == reader->end;
    return complete ? PC_OK : PC_E_MALFORMED;
}

static int append(void *data, const char *bytes, size_t len)
{
    pc_buf_append(data, bytes, len);
    return 0;
}

static msgpack_packer packer_of(struct pc_mpack_writer *writer)
{
    msgpack_packer packer;
    PC_ASSERT(writer->buf != NULL);
    msgpack_packer_init(&packer, writer->buf, append);
    return packer;
}

struct pc_mpack_writer pc_mpack_writer_of(struct pc_buf *buf)
{
    return (struct pc_mpack_writer){.buf = buf};
}

/* A packer's only error is that of its callback, and `append` has none. */

void pc_mpack_write_nil(struct pc_mpack_writer *writer)
{
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_nil(&packer);
}

void pc_mpack_write_bool(struct pc_mpack_writer *writer, bool v)
{
    msgpack_packer packer = packer_of(writer);
    (void)(v ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer));
}

void pc_mpack_write_uint(struct pc_mpack_writer *writer, uint64_t v)
{
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_uint64(&packer, v);
}

void pc_mpack_write_int(struct pc_mpack_writer *writer, int64_t v)
{
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_int64(&packer, v);
}

void pc_mpack_write_bin_head(struct pc_mpack_writer *writer, size_t len)
{
    PC_ASSERT(len <= UINT32_MAX);
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_bin(&packer, len);
}

void pc_mpack_write_bin(struct pc_mpack_writer *writer, struct pc_slice bytes)
{
    pc_mpack_write_bin_head(writer, bytes.len);
    pc_buf_append(writer->buf, bytes.data, bytes.len);
}

void pc_mpack_write_str(struct pc_mpack_writer *writer, struct pc_slice text)
{
    PC_ASSERT(text.len <= UINT32_MAX);
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_str(&packer, text.len);
    pc_buf_append(writer->buf, text.data, text.len);
}

void pc_mpack_write_array(struct pc_mpack_writer *writer, uint32_t n)
{
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_array(&packer, n);
}

void pc_mpack_write_map(struct pc_mpack_writer *writer, uint32_t n)
{
    msgpack_packer packer = packer_of(writer);
    (void)msgpack_pack_map(&packer, n);
}
