#include "raft_int.h"

void raft_progress_create(
    struct raft_progress *p, pc_node_id id, pc_index next, struct pc_instant now)
{
    PC_ASSERT(id != 0 && next > 0);
    *p = (struct raft_progress){
        .id = id, .state = RAFT_PROBE, .next = next, .beat = true, .heard_at = now};
}

bool raft_progress_is_open(const struct raft_progress *p)
{
    return p->state == RAFT_PIPELINE && !p->loading && p->inflight_n < PC_INFLIGHT_MSGS_MAX &&
           p->inflight_bytes < PC_INFLIGHT_BYTES_MAX;
}

void raft_progress_on_sent(struct raft_progress *p, pc_index last, size_t bytes)
{
    PC_ASSERT(last >= p->next);
    PC_ASSERT(raft_progress_is_open(p));
    size_t slot = (p->inflight_head + p->inflight_n) % PC_INFLIGHT_MSGS_MAX;
    p->inflight[slot] = (struct raft_inflight){.last = last, .bytes = bytes};
    p->inflight_n++;
    p->inflight_bytes += bytes;
    p->next = last + 1;
}

static void progress_release(struct raft_progress *p, pc_index match)
{
    while (p->inflight_n > 0 && p->inflight[p->inflight_head].last <= match) {
        PC_ASSERT(p->inflight_bytes >= p->inflight[p->inflight_head].bytes);
        p->inflight_bytes -= p->inflight[p->inflight_head].bytes;
        p->inflight_head = (p->inflight_head + 1) % PC_INFLIGHT_MSGS_MAX;
        p->inflight_n--;
    }
}

static void progress_clear_inflight(struct raft_progress *p)
{
    p->inflight_head = 0;
    p->inflight_n = 0;
    p->inflight_bytes = 0;
}

bool raft_progress_on_accepted(struct raft_progress *p, pc_index match)
{
    bool changed = p->state != RAFT_PIPELINE || match > p->match;
    if (match > p->match) {
        p->match = match;
    }
    if (p->next <= p->match) {
        p->next = p->match + 1;
    }
    if (p->state != RAFT_PIPELINE) {
        p->state = RAFT_PIPELINE;
        progress_clear_inflight(p);
    } else {
        progress_release(p, p->match);
    }
    PC_ASSERT(p->next > p->match);
    return changed;
}

void raft_progress_on_rejected(struct raft_progress *p, pc_index next)
{
    p->state = RAFT_PROBE;
    p->loading = false;
    p->beat = true;
    p->next = next > p->match ? next : p->match + 1;
    progress_clear_inflight(p);
}

void raft_progress_on_gone(struct raft_progress *p)
{
    PC_ASSERT(p->state != RAFT_SNAPSHOT && p->next > p->match);
    p->state = RAFT_SNAPSHOT;
    p->loading = false;
    p->beat = true;
    progress_clear_inflight(p);
}
