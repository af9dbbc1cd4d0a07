/* mutate_ops.c: libFuzzer's mutator for targets that read their input as a program of operations
 * (fuzz.h). Half of the time whole operations are moved, doubled, dropped or changed in one field;
 * the other half is libFuzzer's own, which also finds what this one does not think of. */
#include "fuzz/kit/fuzz.h"
#include "fuzz/kit/mutate.h"
#include "pcache/prng.h"

struct program {
    uint8_t *ops;
    size_t n;
    size_t max;
};

static size_t pick(struct pc_prng *dice, size_t bound)
{
    return (size_t)pc_prng_below(dice, bound);
}

static uint8_t *op_at(struct program *program, size_t i)
{
    return program->ops + i * FUZZ_OP_BYTES;
}

static void open_gap(struct program *program, size_t at, size_t count)
{
    memmove(op_at(program, at + count), op_at(program, at), (program->n - at) * FUZZ_OP_BYTES);
    program->n += count;
}

static void op_fill(struct pc_prng *dice, uint8_t *op)
{
    for (unsigned i = 0; i < FUZZ_OP_BYTES; i++) {
        /* Small numbers mean more than large ones. */
        op[i] = (uint8_t)(pick(dice, 3) == 0 ? pc_prng_next(dice) : pick(dice, 16));
    }
}

static void mutate_insert(struct program *program, struct pc_prng *dice)
{
    size_t count = 1 + pick(dice, 4);
    count = count < program->max - program->n ? count : program->max - program->n;
    size_t at = pick(dice, program->n + 1);
    open_gap(program, at, count);
    for (size_t i = 0; i < count; i++) {
        op_fill(dice, op_at(program, at + i));
    }
}

static void mutate_drop(struct program *program, struct pc_prng *dice)
{
    if (program->n < 2) {
        return;
    }
    size_t at = pick(dice, program->n);
    size_t count = 1 + pick(dice, program->n - at);
    count = count < 8 ? count : 8;
    memmove(
        op_at(program, at), op_at(program, at + count), (program->n - at - count) * FUZZ_OP_BYTES);
    program->n -= count;
}

static void mutate_double(struct program *program, struct pc_prng *dice)
{
    if (program->n == 0 || program->n == program->max) {
        return;
    }
    size_t from = pick(dice, program->n);
    size_t count = 1 + pick(dice, program->n - from);
    size_t room = program->max - program->n;
    count = count < 8 ? count : 8;
    count = count < room ? count : room;
    uint8_t copy[8 * FUZZ_OP_BYTES];
    memcpy(copy, op_at(program, from), count * FUZZ_OP_BYTES);
    size_t at = pick(dice, program->n + 1);
    open_gap(program, at, count);
    memcpy(op_at(program, at), copy, count * FUZZ_OP_BYTES);
}

static void mutate_swap(struct program *program, struct pc_prng *dice)
{
    if (program->n < 2) {
        return;
    }
    uint8_t *a = op_at(program, pick(dice, program->n));
    uint8_t *b = op_at(program, pick(dice, program->n));
    uint8_t kept[FUZZ_OP_BYTES];
    memcpy(kept, a, sizeof kept);
    memmove(a, b, sizeof kept);
    memcpy(b, kept, sizeof kept);
}

static void mutate_field(struct program *program, struct pc_prng *dice)
{
    if (program->n > 0) {
        uint8_t *op = op_at(program, pick(dice, program->n));
        op[pick(dice, FUZZ_OP_BYTES)] =
            (uint8_t)(pick(dice, 2) == 0 ? pc_prng_next(dice) : pick(dice, 16));
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    struct pc_prng dice;
    pc_prng_seed(&dice, seed);
    struct program program = {
        .ops = data, .n = size / FUZZ_OP_BYTES, .max = max_size / FUZZ_OP_BYTES};
    if (program.max == 0 || pick(&dice, 2) == 0) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    switch (pick(&dice, 6)) {
    case 0:
    case 1:
        mutate_insert(&program, &dice);
        break;
    case 2:
        mutate_drop(&program, &dice);
        break;
    case 3:
        mutate_double(&program, &dice);
        break;
    case 4:
        mutate_swap(&program, &dice);
        break;
    default:
        mutate_field(&program, &dice);
        break;
    }
    return program.n > 0 ? program.n * FUZZ_OP_BYTES : size;
}
