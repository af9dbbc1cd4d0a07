/* The register that the search believes in. One operation at a time; an operation of unknown
 * outcome is asked for only when it is to have had its effect.
 *
 * Log indexes are part of it: effects have strictly growing ones, and an answer that names the
 * index it stands at comes behind the effects up to there and before the others. An effect whose
 * index nobody has told takes the next free one until an answer pins it down. */
#include "lincheck/check_int.h"

#include <string.h>

static bool effect_begin(const struct lin_op *op, struct lin_state *after)
{
    if (op->version != 0 && op->version <= after->low) {
        return false;
    }
    after->low = op->version != 0 ? op->version : after->low + 1;
    after->version = op->version;
    after->least = op->version != 0 ? 0 : after->low;
    after->most = op->version != 0 ? 0 : LIN_NEVER;
    return true;
}

/* The index of an answer; 0 = not told. */
static bool stand_at(uint64_t index, struct lin_state *after)
{
    if (index == 0) {
        return true;
    }
    if (index < after->low) {
        return false;
    }
    after->low = index;
    if (after->most == LIN_NEVER) {
        after->most = index;
    }
    return true;
}

/* What stands there has this version. */
static bool pin(uint64_t version, struct lin_state *after)
{
    if (after->version != 0) {
        return after->version == version;
    }
    if (version < after->least || version > after->most) {
        return false;
    }
    after->version = version;
    after->least = after->most = 0;
    after->low = version > after->low ? version : after->low;
    return true;
}

static const struct lin_op *writer_of(const struct lin_key *key, const struct lin_state *state)
{
    return state->writer != 0 ? &key->op[state->writer - 1] : NULL;
}

static bool can_be_absent(
    const struct lin_key *key, const struct lin_op *op, const struct lin_state *state)
{
    return state->is_present == 0 || lin_is_expirable(writer_of(key, state), op, key->options);
}

static void leave(const struct lin_key *key, const struct lin_op *op, struct lin_state *after)
{
    after->writer = (uint64_t)(op - key->op) + 1;
    after->is_present = op->kind != LIN_DELETE ? 1 : 0;
    after->number = 0;
}

/* Time takes it away, with an entry of its own. */
static void expire(struct lin_state *after)
{
    after->low += after->is_present;
    after->is_present = 0;
    after->number = 0;
}

static bool step_get(const struct lin_key *key, const struct lin_op *op, struct lin_state *after)
{
    const struct lin_op *writer = writer_of(key, after);
    int64_t number;
    if (op->value == 0) {
        bool is_absent = can_be_absent(key, op, after);
        expire(after);
        return is_absent && stand_at(op->index, after);
    }
    if (after->is_present == 0) {
        return false;
    }
    if (writer->kind != LIN_INCR && writer->value != op->value) {
        return false;
    }
    if (writer->kind == LIN_INCR &&
        (!lin_number_of(lin_history_text(key->h, op->value), &number) || number != after->number)) {
        return false;
    }
    return (op->version == 0 || pin(op->version, after)) && stand_at(op->index, after);
}

static bool step_cas(const struct lin_key *key, const struct lin_op *op, struct lin_state *after)
{
    if (op->expect == 0) {
        if (!can_be_absent(key, op, after)) {
            return false;
        }
    } else if (after->is_present == 0 || !pin(op->expect, after)) {
        return false;
    }
    if (!effect_begin(op, after)) {
        return false;
    }
    leave(key, op, after);
    return true;
}

static bool step_refused(
    const struct lin_key *key, const struct lin_op *op, struct lin_state *after)
{
    if (op->expect == 0) {
        return after->is_present != 0 && stand_at(op->index, after);
    }
    if (after->is_present != 0 && after->version == op->expect) {
        if (!can_be_absent(key, op, after)) {
            return false;
        }
        expire(after);
    }
    return stand_at(op->index, after);
}

static bool base_of(const struct lin_key *key, const struct lin_state *state, int64_t *out)
{
    const struct lin_op *writer = writer_of(key, state);
    *out = 0;
    if (state->is_present != 0 && writer->kind == LIN_INCR) {
        *out = state->number;
    } else if (state->is_present != 0) {
        return lin_number_of(lin_history_text(key->h, writer->value), out);
    }
    return true;
}

static bool step_incr(const struct lin_key *key, const struct lin_op *op, struct lin_state *after)
{
    int64_t base, told = 0;
    if (!base_of(key, after, &base) || !effect_begin(op, after)) {
        return false;
    }
    int64_t sum = (int64_t)((uint64_t)base + (uint64_t)op->delta);
    if (op->value != 0 && op->status == LIN_OK) {
        (void)lin_number_of(lin_history_text(key->h, op->value), &told);
        if (told != sum && (told != op->delta || !can_be_absent(key, op, after))) {
            return false;
        }
        sum = told;
    }
    leave(key, op, after);
    after->number = sum;
    return true;
}

bool lin_model_step(const struct lin_key *key, const struct lin_op *op,
    const struct lin_state *before, struct lin_state *after)
{
    *after = *before;
    if (op->is_refused) {
        return step_refused(key, op, after);
    }
    switch ((enum lin_kind)op->kind) {
    case LIN_GET:
        return step_get(key, op, after);
    case LIN_CAS:
        return step_cas(key, op, after);
    case LIN_INCR:
        return step_incr(key, op, after);
    case LIN_PUT:
    case LIN_DELETE:
        break;
    }
    if (!effect_begin(op, after)) {
        return false;
    }
    leave(key, op, after);
    return true;
}
