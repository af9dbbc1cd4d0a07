#include "fuzz/kit/fuzz.h"

#include <stdio.h>

void fuzz_broken(const char *property, const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: broken: %s: %s\n", file, line, property, condition);
    abort();
}

struct fuzz_in fuzz_in_of(const uint8_t *data, size_t size)
{
    static const uint8_t nothing[1];
    const uint8_t *at = data != NULL ? data : nothing;
    return (struct fuzz_in){.at = at, .end = at + size};
}

size_t fuzz_left(const struct fuzz_in *in)
{
    return (size_t)(in->end - in->at);
}

uint8_t fuzz_u8(struct fuzz_in *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

uint32_t fuzz_u32(struct fuzz_in *in)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < 4; i++) {
        v |= (uint32_t)fuzz_u8(in) << (8 * i);
    }
    return v;
}

uint64_t fuzz_u64(struct fuzz_in *in)
{
    uint64_t low = fuzz_u32(in);
    return low | (uint64_t)fuzz_u32(in) << 32;
}

struct pc_slice fuzz_bytes(struct fuzz_in *in, size_t len)
{
    size_t take = len < fuzz_left(in) ? len : fuzz_left(in);
    struct pc_slice out = pc_slice_of(in->at, take);
    in->at += take;
    return out;
}

char *fuzz_text(struct pc_slice bytes)
{
    char *text = pc_xalloc(bytes.len + 1);
    if (bytes.len > 0) {
        memcpy(text, bytes.data, bytes.len);
    }
    return text;
}

bool fuzz_next(struct fuzz_in *in, struct fuzz_op *out)
{
    if (fuzz_left(in) < FUZZ_OP_BYTES) {
        return false;
    }
    out->code = fuzz_u8(in);
    out->a = fuzz_u8(in);
    out->b = fuzz_u8(in);
    out->c = fuzz_u8(in);
    out->d = fuzz_u32(in);
    return true;
}

uint64_t fuzz_near(uint64_t base, uint8_t how, uint32_t other)
{
    unsigned what = how & 15;
    switch (what) {
    case 9:
        return 0;
    case 10:
        return 1;
    case 11:
        return UINT64_MAX;
    case 12:
        return UINT64_MAX - 1;
    case 13:
        return UINT64_MAX / 2;
    case 14:
        return other;
    case 15:
        return base + other;
    default:
        break;
    }
    /* 1..4 are above the base, 5..8 below. */
    if (what <= 4) {
        return base > UINT64_MAX - what ? UINT64_MAX : base + what;
    }
    return base < what - 4 ? 0 : base - (what - 4);
}
