/* The MessagePack cursor against msgpack-c: what the cursor takes, msgpack-c reads as the same
 * values, and the writer gives the same bytes back; what msgpack-c reads and packs to the same
 * bytes, the cursor takes, unless it has a type or a depth that no layout of ours has. */
#include "fuzz/kit/fuzz.h"

#include <msgpack.h>

#include "pcache/mpack.h"
#include "pcache/prng.h"

/* msgpack-c believes a count before it has seen the bytes: long inputs are for the cursor alone. */
#define COMPARED_BYTES_MAX 4096
#define READS_MAX 256

static void walk(struct pc_mpack_reader *r, struct pc_mpack_writer *w, const msgpack_object *twin);

static void walk_children(
    struct pc_mpack_reader *r, struct pc_mpack_writer *w, const msgpack_object *twin)
{
    if (twin->type == MSGPACK_OBJECT_ARRAY) {
        uint32_t n = pc_mpack_read_array(r);
        FUZZ_CHECK("differential", n == twin->via.array.size);
        pc_mpack_write_array(w, n);
        for (uint32_t i = 0; i < n; i++) {
            walk(r, w, &twin->via.array.ptr[i]);
        }
        return;
    }
    uint32_t n = pc_mpack_read_map(r);
    FUZZ_CHECK("differential", twin->type == MSGPACK_OBJECT_MAP && n == twin->via.map.size);
    pc_mpack_write_map(w, n);
    for (uint32_t i = 0; i < n; i++) {
        walk(r, w, &twin->via.map.ptr[i].key);
        walk(r, w, &twin->via.map.ptr[i].val);
    }
}

static void walk_bytes(
    struct pc_mpack_reader *r, struct pc_mpack_writer *w, const msgpack_object *twin)
{
    if (twin->type == MSGPACK_OBJECT_STR) {
        struct pc_slice text = pc_mpack_read_str(r, SIZE_MAX);
        FUZZ_CHECK("differential",
            pc_slice_equal(text, pc_slice_of(twin->via.str.ptr, twin->via.str.size)));
        pc_mpack_write_str(w, text);
        return;
    }
    struct pc_slice bytes = pc_mpack_read_bin(r, SIZE_MAX);
    FUZZ_CHECK("differential", twin->type == MSGPACK_OBJECT_BIN);
    FUZZ_CHECK(
        "differential", pc_slice_equal(bytes, pc_slice_of(twin->via.bin.ptr, twin->via.bin.size)));
    pc_mpack_write_bin(w, bytes);
}

static void walk(struct pc_mpack_reader *r, struct pc_mpack_writer *w, const msgpack_object *twin)
{
    uint64_t number;
    int64_t negative;
    bool yes;
    switch (pc_mpack_peek(r)) {
    case PC_MPACK_NIL:
        pc_mpack_read_nil(r);
        FUZZ_CHECK("differential", twin->type == MSGPACK_OBJECT_NIL);
        pc_mpack_write_nil(w);
        break;
    case PC_MPACK_BOOL:
        yes = pc_mpack_read_bool(r);
        FUZZ_CHECK("differential", twin->type == MSGPACK_OBJECT_BOOLEAN);
        FUZZ_CHECK("differential", yes == twin->via.boolean);
        pc_mpack_write_bool(w, yes);
        break;
    case PC_MPACK_UINT:
        number = pc_mpack_read_uint(r, UINT64_MAX);
        FUZZ_CHECK("differential", twin->type == MSGPACK_OBJECT_POSITIVE_INTEGER);
        FUZZ_CHECK("differential", number == twin->via.u64);
        pc_mpack_write_uint(w, number);
        break;
    case PC_MPACK_INT:
        negative = pc_mpack_read_int(r);
        FUZZ_CHECK("differential", twin->type == MSGPACK_OBJECT_NEGATIVE_INTEGER);
        FUZZ_CHECK("differential", negative == twin->via.i64);
        pc_mpack_write_int(w, negative);
        break;
    case PC_MPACK_BIN:
    case PC_MPACK_STR:
        walk_bytes(r, w, twin);
        break;
    case PC_MPACK_ARRAY:
    case PC_MPACK_MAP:
        walk_children(r, w, twin);
        break;
    case PC_MPACK_NONE:
        fuzz_broken("differential", "a value that skip took has a type", __FILE__, __LINE__);
    }
    FUZZ_CHECK("reads do not fail where skip did not", !r->failed);
}

/* Types and depths of our layouts. */
static bool is_ours(const msgpack_object *object, unsigned depth)
{
    bool ok = depth < PC_MPACK_DEPTH_MAX || object->type < MSGPACK_OBJECT_STR;
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
    case MSGPACK_OBJECT_BOOLEAN:
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
    case MSGPACK_OBJECT_STR:
    case MSGPACK_OBJECT_BIN:
        return true;
    case MSGPACK_OBJECT_ARRAY:
        for (uint32_t i = 0; i < object->via.array.size && ok; i++) {
            ok = is_ours(&object->via.array.ptr[i], depth + 1);
        }
        return ok;
    case MSGPACK_OBJECT_MAP:
        for (uint32_t i = 0; i < object->via.map.size && ok; i++) {
            ok = is_ours(&object->via.map.ptr[i].key, depth + 1) &&
                 is_ours(&object->via.map.ptr[i].val, depth + 1);
        }
        return ok;
    default:
        return false;
    }
}

static bool packs_to(const msgpack_object *object, struct pc_slice bytes)
{
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    bool same = msgpack_pack_object(&packer, *object) == 0 &&
                pc_slice_equal(pc_slice_of(out.data, out.size), bytes);
    msgpack_sbuffer_destroy(&out);
    return same;
}

/* No head in these bytes, wherever one may stand, can make msgpack-c reserve much. */
static bool is_harmless(struct pc_slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.data[i] >= 0xdc && bytes.data[i] <= 0xdf) {
            return false;
        }
    }
    return bytes.len <= COMPARED_BYTES_MAX;
}

static void compare(struct pc_slice bytes)
{
    struct pc_mpack_reader r = pc_mpack_reader_of(bytes);
    struct pc_slice skipped = pc_mpack_skip(&r);
    bool taken = pc_mpack_finish(&r) == PC_OK;
    FUZZ_CHECK("skip gives what it read over", !taken || pc_slice_equal(skipped, bytes));
    if (!taken && !is_harmless(bytes)) {
        return;
    }
    msgpack_unpacked result;
    msgpack_unpacked_init(&result);
    size_t used = 0;
    msgpack_unpack_return got =
        msgpack_unpack_next(&result, (const char *)bytes.data, bytes.len, &used);
    bool whole = got == MSGPACK_UNPACK_SUCCESS && used == bytes.len;
    if (taken) {
        FUZZ_CHECK("msgpack-c takes what the cursor takes", whole);
        struct pc_buf again = {0};
        struct pc_mpack_writer w = pc_mpack_writer_of(&again);
        struct pc_mpack_reader second = pc_mpack_reader_of(bytes);
        walk(&second, &w, &result.data);
        FUZZ_CHECK("nothing is left", pc_mpack_finish(&second) == PC_OK);
        FUZZ_CHECK(
            "one encoding per value", pc_slice_equal(pc_slice_of(again.data, again.len), bytes));
        pc_buf_destroy(&again);
    } else if (whole && is_ours(&result.data, 0)) {
        FUZZ_CHECK("the cursor takes what is canonical", !packs_to(&result.data, bytes));
    }
    msgpack_unpacked_destroy(&result);
}

/* Reads of any type in any order never leave the bytes and never loop. */
static void read_anything(struct pc_slice bytes, struct pc_prng *dice)
{
    struct pc_mpack_reader r = pc_mpack_reader_of(bytes);
    uint64_t last = UINT64_MAX;
    for (int i = 0; i < READS_MAX; i++) {
        size_t left = pc_mpack_left(&r);
        FUZZ_CHECK("the cursor stays inside", left <= bytes.len);
        struct pc_slice part = {0};
        switch (pc_prng_below(dice, 9)) {
        case 0:
            pc_mpack_read_nil(&r);
            break;
        case 1:
            (void)pc_mpack_read_bool(&r);
            break;
        case 2:
            (void)pc_mpack_read_int(&r);
            break;
        case 3:
            part = pc_mpack_read_bin(&r, 100);
            break;
        case 4:
            part = pc_mpack_read_str(&r, 100);
            break;
        case 5:
            FUZZ_CHECK("a count is at most the bytes left", pc_mpack_read_array(&r) <= left);
            break;
        case 6:
            FUZZ_CHECK("a count is at most the bytes left", pc_mpack_read_map(&r) <= left);
            break;
        case 7:
            (void)pc_mpack_read_key(&r, &last);
            break;
        default:
            part = pc_mpack_skip(&r);
            break;
        }
        FUZZ_CHECK("slices stay inside", part.len <= left);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct pc_slice bytes = pc_slice_of(in.at, size);
    compare(bytes);
    struct pc_prng dice;
    uint64_t seed = size;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 31 + data[i];
    }
    pc_prng_seed(&dice, seed);
    read_anything(bytes, &dice);
    return 0;
}
