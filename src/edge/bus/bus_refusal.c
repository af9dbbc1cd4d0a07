/* Refusals repeat for as long as nobody mends their cause, on both sides and in both directions.
 * One line a minute per peer says all there is to say.
 *
 * The table is keyed by name, because that is all that is known of a peer that refuses us before it
 * has said who it is. Names come from holders of the cluster key only, but from any of them: the
 * table is bounded, and the lines are within the common limit of the bus besides. */
#include "bus_int.h"

#include <stdio.h>
#include <string.h>

#include "pcache/assert.h"

/* The entry of this peer, or the one to use for it: a free one, else the one logged longest ago. */
static struct bus_refusal *refusal_slot(
    struct bus_refusals *refusals, const char *peer, bool is_ours, bool *found)
{
    struct bus_refusal *oldest = &refusals->v[0];
    for (size_t i = 0; i < refusals->n; i++) {
        struct bus_refusal *r = &refusals->v[i];
        if (r->is_ours == is_ours && strcmp(r->peer, peer) == 0) {
            *found = true;
            return r;
        }
        oldest = r->logged_at.us < oldest->logged_at.us ? r : oldest;
    }
    *found = false;
    return refusals->n < BUS_REFUSALS_MAX ? &refusals->v[refusals->n++] : oldest;
}

bool bus_refusals_admit(struct bus_refusals *refusals, const char *peer, bool is_ours,
    struct pc_instant now, uint64_t *left_out)
{
    PC_ASSERT(refusals->n <= BUS_REFUSALS_MAX);
    bool found;
    struct bus_refusal *r = refusal_slot(refusals, peer, is_ours, &found);
    if (found && pc_instant_ms_between(r->logged_at, now) < PC_BUS_REFUSAL_LOG_MS) {
        r->left_out++;
        return false;
    }
    *left_out = found ? r->left_out : 0;
    *r = (struct bus_refusal){.is_ours = is_ours, .logged_at = now};
    (void)snprintf(r->peer, sizeof r->peer, "%s", peer);
    return true;
}

void bus_refusal_log(const struct bus_conn *conn, const char *peer, bool is_ours, const char *text)
{
    uint64_t left_out;
    if (!bus_refusals_admit(&conn->bus->refusals, peer, is_ours, pc_clock_now(), &left_out)) {
        return;
    }
    char addr[PC_ADDR_TEXT_MAX];
    pc_addr_format(&conn->addr, addr);
    pc_log_limited(BUS_LOG_REJECT, is_ours ? PC_LOG_WARN : PC_LOG_ERROR,
        is_ours ? "peer refused" : "a peer refuses this node", "peer", peer, "address", addr,
        "reason", text, "left_out", pc_log_u64(left_out), NULL);
}
