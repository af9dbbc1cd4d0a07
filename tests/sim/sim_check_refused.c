/* "Not done, may be retried" is a promise: a client that is told so repeats the write, and a write
 * that took effect all the same is then done twice. Each SET writes a value of its own, so what
 * came of it is known by the value; the refusal may come before the commit or after it. */
#include <inttypes.h>
#include <string.h>

#include "sim/sim_int.h"

enum { FATE_REFUSED = 1, FATE_COMMITTED = 2, FATE_BRANCHED = 4 };

static void fate_note(struct pc_sim *sim, uint64_t value, uint8_t fate)
{
    struct sim_ghost *ghost = &sim->ghost;
    if (value >= ghost->fates_n) {
        size_t n = ghost->fates_n == 0 ? 1024 : ghost->fates_n * 2;
        n = n > value ? n : (size_t)value + 1;
        ghost->fates = pc_xrealloc(ghost->fates, n);
        memset(&ghost->fates[ghost->fates_n], 0, n - ghost->fates_n);
        ghost->fates_n = n;
    }
    ghost->fates[value] |= fate;
    bool is_committed = (ghost->fates[value] & FATE_COMMITTED) != 0;
    if (is_committed && (ghost->fates[value] & FATE_BRANCHED) != 0) {
        sim_fail(sim, PC_SIM_A1, "the write of value %" PRIu64 " is a branch's, and is committed",
            value);
    }
    if (is_committed && (ghost->fates[value] & FATE_REFUSED) != 0) {
        sim_fail(
            sim, PC_SIM_R2, "the write of value %" PRIu64 " was refused and is committed", value);
    }
}

void sim_check_refused(struct pc_sim *sim, const struct sim_op *op)
{
    if (op->type == PC_REQUEST_WRITE && op->op == PC_OP_SET) {
        fate_note(sim, op->value, FATE_REFUSED);
    }
}

void sim_check_branched_value(struct pc_sim *sim, uint64_t value)
{
    fate_note(sim, value, FATE_BRANCHED);
}

void sim_check_committed_value(struct pc_sim *sim, uint64_t value)
{
    PC_ASSERT(value <= sim->next_value);
    if (value != 0) {
        fate_note(sim, value, FATE_COMMITTED);
    }
}
