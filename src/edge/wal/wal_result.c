/* What a recovery has found, and what a snapshot makes of it. The replay knows nothing of a
 * snapshot but where it may begin; damage and gaps are judged as in any log. Then the base B, whose
 * snapshot is durable, says what of that matters:
 *
 *   1. The log's end is known and lies before B: it is dispensable, damage and all. Whatever it had
 *      acknowledged is at or below its end.
 *   2. It is whole and has another entry in B's place: dispensable, too (wal_front.c says why).
 *   3. It has B: the entries behind B follow from it by the chain. Gaps that end at or before B are
 *      none any more; the log counts from B on. Gaps behind B stay what they are, and what is in
 *      front of them is certain at least up to B.
 *   4. B lies in a gap, or the log has another entry there while something is missing: nothing that
 *      the replay has put together in front of B can be relied on. It begins anew, at B, and takes
 *      what follows from there; what it then misses is missing behind B.
 *   5. The end is lost: nothing of this changes that. */
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "wal_replay.h"

/* Forgets what is in front of the base, which is an entry of the log. */
static void trim(struct wal_replay *replay)
{
    struct pc_wal *wal = replay->wal;
    size_t gone = 0;
    while (gone < replay->gaps_n && replay->gaps[gone].last <= wal->base.index) {
        gone++;
    }
    if (gone == 0) {
        return;
    }
    pc_index behind = replay->gaps[gone - 1].last;
    replay->gaps_n -= gone;
    memmove(replay->gaps, replay->gaps + gone, replay->gaps_n * sizeof *replay->gaps);
    memmove(replay->cuts, replay->cuts + gone, replay->gaps_n * sizeof *replay->cuts);
    wal->start = pc_wal_base_point(wal);
    size_t kept = 0;
    for (size_t i = 0; i < wal->marks.n; i++) {
        if (wal->marks.v[i].index > behind) {
            wal->marks.v[kept++] = wal->marks.v[i];
        }
    }
    wal->marks.n = kept;
    size_t run = 0;
    while (run + 1 < replay->terms_n && replay->terms[run + 1].first <= wal->base.index) {
        run++;
    }
    replay->terms_n -= run;
    memmove(replay->terms, replay->terms + run, replay->terms_n * sizeof *replay->terms);
    replay->terms[0] = (struct pc_term_run){.first = wal->base.index, .term = wal->base.term};
}

static void raise_floors(struct wal_replay *replay)
{
    const struct pc_wal *wal = replay->wal;
    for (size_t i = 0; i < replay->gaps_n; i++) {
        struct pc_wal_gap *gap = &replay->gaps[i];
        if (gap->first > wal->base.index && gap->floor < wal->base.index) {
            gap->floor = wal->base.index;
            gap->floor_chain = wal->base.chain;
        }
    }
}

enum wal_verdict pc_wal_result_judge(struct wal_replay *replay)
{
    const struct pc_wal *wal = replay->wal;
    bool has_base = replay->has_at_base && pc_hash_equal(&replay->at_base, &wal->base.chain);
    if (wal->base.index == 0 || replay->from_base) {
        return WAL_KEEP;
    }
    if (wal->last < wal->base.index) {
        replay->patchy = replay->gaps_n > 0;
        replay->gaps_n = 0;
        return replay->open ? WAL_KEEP : WAL_REPLACE;
    }
    if (!has_base && replay->gaps_n == 0) {
        return replay->open ? WAL_KEEP : WAL_REPLACE;
    }
    if (!has_base) {
        return WAL_FROM_BASE;
    }
    trim(replay);
    raise_floors(replay);
    return WAL_KEEP;
}

/* ---- handing over */

static void term_and_doubt(const struct pc_wal *wal, struct pc_wal_recovered *out)
{
    out->term = wal->vote.term > wal->last_term ? wal->vote.term : wal->last_term;
    out->vote = out->term == wal->vote.term ? wal->vote.vote : 0;
    /* A node under doubt votes for nobody: where there is a vote, it had ended. */
    bool ended = wal->last_term > wal->vote.doubt || wal->vote.vote != 0;
    out->doubt = ended ? 0 : wal->vote.doubt;
    if (out->doubt >= out->term && out->doubt != 0) {
        out->term = out->doubt + 1;
        out->vote = 0;
    }
}

/* The newest entry of kind CONFIG at or below the commit index, of those that can be loaded. */
static void take_config(struct wal_replay *replay, struct pc_wal_recovered *out)
{
    const struct pc_entries *configs = &replay->configs;
    for (size_t i = configs->n; i > 0; i--) {
        pc_index index = configs->v[i - 1].index;
        if (index <= out->commit && index > replay->wal->start.index) {
            pc_entry_copy(&out->config, &configs->v[i - 1]);
            return;
        }
    }
}

/* The window: the entry at the commit index, and those behind it. */
static void take_window(struct wal_replay *replay, struct pc_wal_recovered *out)
{
    const struct pc_wal *wal = replay->wal;
    struct pc_entries *kept = &replay->window.kept;
    size_t head = replay->window.head;
    for (size_t i = head; i < kept->n && !wal->trusting; i++) {
        if (kept->v[i].index == wal->base.index) {
            kept->v[i].stamp_ms = wal->base.stamp_ms; /* of one that is not on the disk */
        }
    }
    if (kept->n > head) {
        out->last_stamp_ms = kept->v[kept->n - 1].stamp_ms;
    }
    if (out->commit > 0) {
        PC_ASSERT(kept->n > head && kept->v[head].index == out->commit);
        out->base = kept->v[head++];
    }
    PC_ASSERT(kept->n - head == wal->last - out->commit);
    out->tail = *kept;
    out->tail.n = kept->n - head;
    if (out->tail.n > 0) {
        memmove(out->tail.v, out->tail.v + head, out->tail.n * sizeof *out->tail.v);
    }
    replay->window = (struct wal_window){0};
}

/* What was read once need not be read again to be applied. */
static void take_early(struct wal_replay *replay, struct pc_wal_recovered *out)
{
    struct pc_entries *early = &replay->early;
    while (early->n > 0 && early->v[early->n - 1].index > out->commit) {
        pc_entry_clear(&early->v[--early->n]);
    }
    out->early = *early;
    *early = (struct pc_entries){0};
}

void pc_wal_result_take(struct wal_replay *replay, struct pc_wal_recovered *out)
{
    struct pc_wal *wal = replay->wal;
    bool whole = replay->gaps_n == 0;
    bool reliable = whole && !replay->patchy;
    if (wal->last >= wal->base.index && wal->commit < wal->base.index) {
        wal->commit = wal->base.index;
    }
    wal->commit = wal->commit < wal->last ? wal->commit : wal->last;
    wal->cut = !whole ? replay->cuts[0] : replay->open ? replay->cut : (struct wal_cut){0};
    PC_ASSERT(wal->cut.needed == (!whole || replay->open));
    struct pc_wal_recovered got = {
        .first = wal->last == 0 ? 0 : wal->start.index + 1,
        .last = wal->last,
        .commit = wal->commit,
        .terms = replay->terms,
        .terms_n = replay->terms_n,
        .gaps = replay->gaps,
        .gaps_n = replay->gaps_n,
        .open = replay->open,
        .cut_from = wal->cut.from,
        .damages = replay->damages,
    };
    term_and_doubt(wal, &got);
    memcpy(got.where, whole ? replay->where : replay->gaps[0].where, sizeof got.where);
    if (reliable) {
        pc_wal_replay_drop_before(replay, wal->commit);
        take_window(replay, &got);
        take_config(replay, &got);
    }
    if (reliable && !replay->open && replay->damages == 0) {
        take_early(replay, &got);
    }
    replay->terms = NULL;
    replay->gaps = NULL;
    wal->gap_cuts = replay->cuts;
    replay->cuts = NULL;
    *out = got;
}

void pc_wal_result_empty(struct pc_wal *wal, struct pc_wal_recovered *out)
{
    PC_ASSERT(wal->last == wal->start.index);
    *out = (struct pc_wal_recovered){0};
    term_and_doubt(wal, out);
    if (wal->last == 0) {
        return;
    }
    out->first = wal->last + 1;
    out->last = wal->last;
    out->commit = wal->last;
    out->terms = pc_xalloc(sizeof *out->terms);
    out->terms[0] = (struct pc_term_run){.first = wal->last, .term = wal->last_term};
    out->terms_n = 1;
    bool is_base = wal->last == wal->base.index;
    out->base = (struct pc_entry){.index = wal->last,
        .term = wal->last_term,
        .stamp_ms = is_base ? wal->base.stamp_ms : 0,
        .chain = wal->chain,
        .kind = PC_ENTRY_NOOP};
    out->last_stamp_ms = out->base.stamp_ms;
}

void pc_wal_recovered_clear(struct pc_wal_recovered *recovered)
{
    free(recovered->terms);
    free(recovered->gaps);
    pc_entry_clear(&recovered->base);
    pc_entry_clear(&recovered->config);
    pc_entries_clear(&recovered->tail);
    pc_entries_clear(&recovered->early);
    *recovered = (struct pc_wal_recovered){0};
}
