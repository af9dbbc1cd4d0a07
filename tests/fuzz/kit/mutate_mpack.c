/* mutate_mpack.c: libFuzzer's mutator for MessagePack. A message is taken apart into its values,
 * one of them is changed, dropped or doubled, and the whole is written again: counts fit and every
 * number is in its shortest form, so the change reaches what lies behind the first checks. A bin
 * that holds MessagePack itself is opened in half of the cases. Half of all mutations are
 * libFuzzer's own, for everything malformed. */
#include "fuzz/kit/fuzz.h"
#include "fuzz/kit/mutate.h"
#include "pcache/mpack.h"
#include "pcache/prng.h"

#define VALUES_MAX 512

struct value {
    enum pc_mpack_type type;
    uint32_t depth;
    uint64_t number;       /* UINT; BOOL; INT as two's complement */
    struct pc_slice bytes; /* BIN, STR: borrowed */
    size_t size;           /* values that belong to it, itself counted */
};

struct tree {
    struct value v[VALUES_MAX];
    size_t n;
};

static bool tree_add(struct tree *tree, struct pc_mpack_reader *r, uint32_t depth)
{
    if (tree->n == VALUES_MAX || depth >= PC_MPACK_DEPTH_MAX) {
        return false;
    }
    size_t at = tree->n++;
    struct value *value = &tree->v[at];
    *value = (struct value){.type = pc_mpack_peek(r), .depth = depth};
    uint32_t children = 0;
    switch (value->type) {
    case PC_MPACK_NIL:
        pc_mpack_read_nil(r);
        break;
    case PC_MPACK_BOOL:
        value->number = pc_mpack_read_bool(r);
        break;
    case PC_MPACK_UINT:
        value->number = pc_mpack_read_uint(r, UINT64_MAX);
        break;
    case PC_MPACK_INT:
        value->number = (uint64_t)pc_mpack_read_int(r);
        break;
    case PC_MPACK_BIN:
        value->bytes = pc_mpack_read_bin(r, SIZE_MAX);
        break;
    case PC_MPACK_STR:
        value->bytes = pc_mpack_read_str(r, SIZE_MAX);
        break;
    case PC_MPACK_ARRAY:
        children = pc_mpack_read_array(r);
        break;
    case PC_MPACK_MAP:
        children = pc_mpack_read_map(r) * 2;
        break;
    case PC_MPACK_NONE:
        return false;
    }
    for (uint32_t i = 0; i < children && !r->failed; i++) {
        if (!tree_add(tree, r, depth + 1)) {
            return false;
        }
    }
    tree->v[at].size = tree->n - at;
    return !r->failed;
}

static size_t children_of(const struct tree *tree, size_t at)
{
    size_t n = 0;
    for (size_t i = at + 1; i < at + tree->v[at].size; i++) {
        n += tree->v[i].depth == tree->v[at].depth + 1;
    }
    return n;
}

static void tree_write(const struct tree *tree, struct pc_buf *out)
{
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    for (size_t i = 0; i < tree->n; i++) {
        const struct value *value = &tree->v[i];
        switch (value->type) {
        case PC_MPACK_BOOL:
            pc_mpack_write_bool(&w, value->number != 0);
            break;
        case PC_MPACK_UINT:
            pc_mpack_write_uint(&w, value->number);
            break;
        case PC_MPACK_INT:
            pc_mpack_write_int(&w, (int64_t)value->number);
            break;
        case PC_MPACK_BIN:
            pc_mpack_write_bin(&w, value->bytes);
            break;
        case PC_MPACK_STR:
            pc_mpack_write_str(&w, value->bytes);
            break;
        case PC_MPACK_ARRAY:
            pc_mpack_write_array(&w, (uint32_t)children_of(tree, i));
            break;
        case PC_MPACK_MAP:
            pc_mpack_write_map(&w, (uint32_t)children_of(tree, i) / 2);
            break;
        default:
            pc_mpack_write_nil(&w);
            break;
        }
    }
}

/* A parent's `size` covers its children: it changes with them. */
static void resize_parents(struct tree *tree, size_t at, size_t more, bool grows)
{
    uint32_t depth = tree->v[at].depth;
    for (size_t i = at; i > 0 && depth > 0; i--) {
        struct value *before = &tree->v[i - 1];
        if (before->depth < depth) {
            before->size = grows ? before->size + more : before->size - more;
            depth = before->depth;
        }
    }
}

static void drop_value(struct tree *tree, size_t at)
{
    size_t size = tree->v[at].size;
    if (at == 0) {
        return;
    }
    resize_parents(tree, at, size, false);
    memmove(&tree->v[at], &tree->v[at + size], (tree->n - at - size) * sizeof tree->v[0]);
    tree->n -= size;
}

static void double_value(struct tree *tree, size_t at)
{
    size_t size = tree->v[at].size;
    if (at == 0 || tree->n + size > VALUES_MAX) {
        return;
    }
    resize_parents(tree, at, size, true);
    memmove(&tree->v[at + size], &tree->v[at], (tree->n - at) * sizeof tree->v[0]);
    tree->n += size;
}

static void change_value(struct tree *tree, size_t at, struct pc_prng *dice)
{
    struct value *value = &tree->v[at];
    uint8_t how = (uint8_t)pc_prng_below(dice, 16);
    uint32_t other = (uint32_t)pc_prng_next(dice) >> pc_prng_below(dice, 32);
    switch (value->type) {
    case PC_MPACK_BOOL:
        value->number ^= 1;
        break;
    case PC_MPACK_UINT:
        value->number = fuzz_near(value->number, how, other);
        break;
    case PC_MPACK_BIN:
    case PC_MPACK_STR:
        if (pc_prng_below(dice, 2) == 0) {
            value->bytes.len = value->bytes.len > 0 ? pc_prng_below(dice, value->bytes.len) : 0;
        } else {
            value->type = value->type == PC_MPACK_BIN ? PC_MPACK_STR : PC_MPACK_BIN;
        }
        break;
    case PC_MPACK_NIL:
    case PC_MPACK_INT:
        value->type = PC_MPACK_UINT;
        value->number = other;
        break;
    default:
        break;
    }
}

static void mutate_tree(struct tree *tree, struct pc_prng *dice)
{
    size_t at = (size_t)pc_prng_below(dice, tree->n);
    switch (pc_prng_below(dice, 4)) {
    case 0:
        drop_value(tree, at);
        break;
    case 1:
        double_value(tree, at);
        break;
    default:
        change_value(tree, at, dice);
        break;
    }
}

static bool mutate_bytes(struct pc_slice in, struct pc_prng *dice, struct pc_buf *out)
{
    struct tree *tree = pc_xalloc(sizeof *tree);
    struct pc_mpack_reader r = pc_mpack_reader_of(in);
    bool ok = tree_add(tree, &r, 0) && pc_mpack_finish(&r) == PC_OK;
    if (ok) {
        struct pc_buf inner = {0};
        size_t at = (size_t)pc_prng_below(dice, tree->n);
        if (tree->v[at].type == PC_MPACK_BIN && tree->v[at].bytes.len > 1 &&
            pc_prng_below(dice, 2) == 0 && mutate_bytes(tree->v[at].bytes, dice, &inner)) {
            tree->v[at].bytes = pc_slice_of(inner.data, inner.len);
        } else {
            mutate_tree(tree, dice);
        }
        tree_write(tree, out);
        pc_buf_destroy(&inner);
    }
    free(tree);
    return ok;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    struct pc_prng dice;
    pc_prng_seed(&dice, seed);
    struct pc_buf out = {0};
    if (pc_prng_below(&dice, 2) == 0 && size > 0 &&
        mutate_bytes(pc_slice_of(data, size), &dice, &out) && out.len > 0 && out.len <= max_size) {
        memcpy(data, out.data, out.len);
        size = out.len;
    } else {
        size = LLVMFuzzerMutate(data, size, max_size);
    }
    pc_buf_destroy(&out);
    return size;
}
