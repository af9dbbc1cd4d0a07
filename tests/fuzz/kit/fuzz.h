/* fuzz.h: what the fuzz targets share.
 *
 * A target is a file tests/fuzz/fuzz_<noun>.c with the one function below. clang's libFuzzer calls
 * it with bytes that it makes up, the replay program (kit/replay.c, any compiler) with the files of
 * tests/fuzz/corpus/<noun>/. Every run starts from nothing and frees everything: the same bytes do
 * the same, whatever ran before them. */
#ifndef PC_FUZZ_H
#define PC_FUZZ_H

#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/bytes.h"

/* The target. Returns 0; whatever is wrong ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process: `property` did not hold. */
_Noreturn void fuzz_broken(const char *property, const char *condition, const char *file, int line);

/* `property` names what must hold, by its number where it has one ("B.8"). */
#define FUZZ_CHECK(property, condition)                                                            \
    ((condition) ? (void)0 : fuzz_broken(property, #condition, __FILE__, __LINE__))

/* ---- bytes as a stream of decisions. Past the end everything is zero. */
struct fuzz_in {
    const uint8_t *at;
    const uint8_t *end;
};

struct fuzz_in fuzz_in_of(const uint8_t *data, size_t size);
size_t fuzz_left(const struct fuzz_in *in);
uint8_t fuzz_u8(struct fuzz_in *in);
uint32_t fuzz_u32(struct fuzz_in *in);
uint64_t fuzz_u64(struct fuzz_in *in);
/* At most `len` bytes, as many as are left; borrowed. */
struct pc_slice fuzz_bytes(struct fuzz_in *in, size_t len);
/* A copy with a NUL behind it, to be freed. */
char *fuzz_text(struct pc_slice bytes);

/* ---- bytes as a program. Every operation has FUZZ_OP_BYTES bytes, so that cutting, moving and
 * doubling whole ones (kit/mutate_ops.c) makes programs of the same kind:
 *
 *     | code | a | b | c | d (32 bits) |
 */
#define FUZZ_OP_BYTES 8u

struct fuzz_op {
    uint8_t code, a, b, c;
    uint32_t d;
};

/* False at the end. A piece of an operation at the end is none. */
bool fuzz_next(struct fuzz_in *in, struct fuzz_op *out);

/* A number that may matter beside `base`: a little below or above it, 0, 1, the ends of the range,
 * or `other`. Which one is told by `how`; 0 is base itself. */
uint64_t fuzz_near(uint64_t base, uint8_t how, uint32_t other);

#endif
