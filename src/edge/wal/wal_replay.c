/* What the records mean: the logical log as a replay comes to it, gaps included.
 *
 * Every record says something of the log at the moment it was written: an ENTRY which entries were
 * before it (its chain value covers them), a NOTE and a TRUNCATE what the last one was, a segment's
 * header what the last one was when the segment was begun. When records between two such statements
 * are lost, the later one decides what that has cost:
 *
 *   it is true of the log as it is        nothing: notes were lost, or what was truncated again
 *   it is true of an earlier state        the truncation to that state was lost
 *   it is true of neither                 entries were: a gap up to the entry that it speaks of,
 *                                         whose chain value proves a filling right or wrong
 *
 * A truncation may be among what is lost, so the entries in front of a gap are certain only up to
 * the highest index known committed, the `floor` of the gap. */
#include "wal_replay.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define WINDOW_SLACK 1024

/* Moves the rest down only now and then. */
void pc_wal_replay_drop_before(struct wal_replay *replay, pc_index first)
{
    struct wal_window *window = &replay->window;
    struct pc_entries *kept = &window->kept;
    while (window->head < kept->n && kept->v[window->head].index < first) {
        pc_entry_clear(&kept->v[window->head++]);
    }
    if (window->head >= WINDOW_SLACK && window->head * 2 >= kept->n) {
        kept->n -= window->head;
        memmove(kept->v, kept->v + window->head, kept->n * sizeof *kept->v);
        window->head = 0;
    }
    struct pc_entries *configs = &replay->configs;
    while (configs->n > 1 && configs->v[1].index <= first) {
        pc_entry_clear(&configs->v[0]);
        configs->n--;
        memmove(configs->v, configs->v + 1, configs->n * sizeof *configs->v);
    }
}

static void push_term(struct wal_replay *replay, pc_index index, pc_term term)
{
    if (replay->terms_n > 0 && replay->terms[replay->terms_n - 1].term == term) {
        return;
    }
    if (replay->terms_n == replay->terms_cap) {
        replay->terms_cap = replay->terms_cap == 0 ? 16 : replay->terms_cap * 2;
        replay->terms = pc_xrealloc(replay->terms, replay->terms_cap * sizeof *replay->terms);
    }
    replay->terms[replay->terms_n++] = (struct pc_term_run){.first = index, .term = term};
}

static void note_at_base(struct wal_replay *replay, pc_index index, const struct pc_hash *chain)
{
    if (index == replay->wal->base.index) {
        replay->has_at_base = true;
        replay->at_base = *chain;
    }
}

/* Until a batch is clean, the log can only be cut off as a whole: damage may be met before one is,
 * and what was clean in an earlier replay is not for this one. */
void pc_wal_replay_begin(struct wal_replay *replay, const struct wal_point *behind)
{
    const struct pc_raft_base *base = &replay->wal->base;
    PC_ASSERT(replay->window.kept.n == 0 && replay->gaps_n == 0);
    pc_wal_begin_behind(replay->wal, behind);
    replay->clean = (struct wal_cut){.needed = true, .from = behind->index + 1};
    if (behind->index == 0) {
        return;
    }
    struct pc_entry bare = {.index = behind->index,
        .term = behind->term,
        .stamp_ms = behind->index == base->index ? base->stamp_ms : 0,
        .chain = behind->chain,
        .kind = PC_ENTRY_NOOP};
    push_term(replay, behind->index, behind->term);
    pc_entries_push(&replay->window.kept, &bare);
    note_at_base(replay, behind->index, &behind->chain);
}

/* Whoever applies the log begins behind the base; what has once had no room is followed by nothing
 * that has. */
static void keep_early(struct wal_replay *replay, const struct pc_entry *entry)
{
    struct pc_entries *early = &replay->early;
    size_t bytes = pc_entry_bytes(entry);
    bool is_next = entry->index == replay->wal->base.index + early->n + 1;
    if (is_next && bytes <= replay->wal->early_bytes_max - replay->early_bytes) {
        pc_entries_push(early, entry);
        replay->early_bytes += bytes;
    }
}

static void drop_early_behind(struct wal_replay *replay, pc_index index)
{
    struct pc_entries *early = &replay->early;
    while (early->n > 0 && early->v[early->n - 1].index > index) {
        replay->early_bytes -= pc_entry_bytes(&early->v[early->n - 1]);
        pc_entry_clear(&early->v[--early->n]);
    }
}

void pc_wal_replay_push(
    struct wal_replay *replay, const struct pc_entry *entry, uint64_t at, uint32_t place)
{
    struct pc_wal *wal = replay->wal;
    PC_ASSERT(entry->index == wal->last + 1);
    struct wal_mark mark = {
        .index = entry->index, .at = at, .before = wal->chain, .segment = place};
    pc_wal_marks_note(&wal->marks, &mark);
    wal->last = entry->index;
    wal->last_term = entry->term;
    wal->chain = entry->chain;
    push_term(replay, entry->index, entry->term);
    pc_entries_push(&replay->window.kept, entry);
    keep_early(replay, entry);
    note_at_base(replay, entry->index, &entry->chain);
    if (entry->kind == PC_ENTRY_CONFIG) {
        pc_entries_push(&replay->configs, entry);
    }
}

/* The entry `index` in the window, or NULL. */
static const struct pc_entry *window_find(const struct wal_window *window, pc_index index)
{
    size_t low = window->head;
    size_t high = window->kept.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (window->kept.v[middle].index < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < window->kept.n && window->kept.v[low].index == index;
    return found ? &window->kept.v[low] : NULL;
}

bool pc_wal_replay_chain(const struct wal_replay *replay, pc_index index, struct pc_hash *out)
{
    if (index == 0) {
        *out = (struct pc_hash){{0}};
        return true;
    }
    const struct pc_entry *entry = window_find(&replay->window, index);
    if (entry == NULL) {
        return false;
    }
    *out = entry->chain;
    return true;
}

void pc_wal_replay_truncate(struct wal_replay *replay, pc_index index)
{
    struct pc_wal *wal = replay->wal;
    struct pc_entries *kept = &replay->window.kept;
    if (index == wal->last) {
        return;
    }
    PC_ASSERT(index < wal->last && index >= wal->commit);
    while (kept->n > replay->window.head && kept->v[kept->n - 1].index > index) {
        pc_entry_clear(&kept->v[--kept->n]);
    }
    while (replay->configs.n > 0 && replay->configs.v[replay->configs.n - 1].index > index) {
        pc_entry_clear(&replay->configs.v[--replay->configs.n]);
    }
    drop_early_behind(replay, index);
    replay->has_at_base = replay->has_at_base && index >= wal->base.index;
    const struct pc_entry *last = window_find(&replay->window, index);
    PC_ASSERT(last != NULL || index == 0);
    pc_wal_marks_truncate(&wal->marks, index + 1);
    while (replay->terms_n > 0 && replay->terms[replay->terms_n - 1].first > index) {
        replay->terms_n--;
    }
    while (replay->gaps_n > 0 && replay->gaps[replay->gaps_n - 1].first > index) {
        replay->gaps_n--;
    }
    wal->last = index;
    wal->last_term = last != NULL ? last->term : 0;
    wal->chain = last != NULL ? last->chain : (struct pc_hash){{0}};
}

/* Entries >= anchor->index cannot stand as they are: the log goes back to the last certain state
 * before it, which is the start of a gap when the index lies in one. False when that state is known
 * committed, or so far back that it is forgotten. */
static bool give_way(struct wal_replay *replay, const struct wal_anchor *anchor)
{
    struct pc_wal *wal = replay->wal;
    if (anchor->index > wal->last) {
        return true;
    }
    pc_index to = anchor->index - 1;
    for (size_t i = replay->gaps_n; i > 0 && replay->gaps[i - 1].last > to; i--) {
        to = replay->gaps[i - 1].first - 1 < to ? replay->gaps[i - 1].first - 1 : to;
    }
    struct pc_hash chain;
    if (to < wal->commit || !pc_wal_replay_chain(replay, to, &chain)) {
        return false;
    }
    pc_wal_replay_truncate(replay, to);
    return true;
}

static void push_gap(
    struct wal_replay *replay, const struct pc_wal_gap *gap, const struct wal_cut *cut)
{
    if (replay->gaps_n == replay->gaps_cap) {
        replay->gaps_cap = replay->gaps_cap == 0 ? 8 : replay->gaps_cap * 2;
        replay->gaps = pc_xrealloc(replay->gaps, replay->gaps_cap * sizeof *replay->gaps);
        replay->cuts = pc_xrealloc(replay->cuts, replay->gaps_cap * sizeof *replay->cuts);
    }
    PC_ASSERT(cut->needed);
    replay->gaps[replay->gaps_n] = *gap;
    replay->cuts[replay->gaps_n++] = *cut;
}

/* The log goes on behind the entry that the gap ends with. */
static void step_over(
    struct wal_replay *replay, const struct wal_anchor *anchor, const struct pc_entry *entry)
{
    struct pc_wal *wal = replay->wal;
    struct pc_entry bare = {.index = anchor->index,
        .term = anchor->term != 0 ? anchor->term : wal->last_term,
        .chain = anchor->chain,
        .kind = PC_ENTRY_NOOP};
    entry = entry != NULL ? entry : &bare;
    wal->last = anchor->index;
    wal->last_term = entry->term;
    wal->chain = anchor->chain;
    wal->marks.due = true;
    push_term(replay, entry->index, entry->term);
    pc_entries_push(&replay->window.kept, entry);
    note_at_base(replay, entry->index, &entry->chain);
}

void pc_wal_replay_pass(struct wal_replay *replay, size_t place, uint64_t at, pc_term term)
{
    struct pc_wal *wal = replay->wal;
    struct wal_segment *segment = &wal->segments[place];
    const struct wal_segment *next = segment + 1;
    struct wal_anchor last = {.index = next->first - 1, .term = term, .chain = next->before};
    PC_ASSERT(place + 1 < wal->segments_n && segment->first <= wal->last + 1);
    PC_ASSERT(next->first > wal->last + 1 && last.index <= wal->base.index);
    struct wal_mark mark = {
        .index = wal->last + 1, .at = at, .before = wal->chain, .segment = (uint32_t)place};
    wal->marks.due = true;
    pc_wal_marks_note(&wal->marks, &mark);
    push_term(replay, mark.index, term);
    pc_entries_clear(&replay->configs); /* a newer one may be in what is passed: ask the snapshot */
    segment->one_term = term;
    segment->one_term_from = mark.index;
    step_over(replay, &last, NULL);
    wal->commit = wal->commit > last.index ? wal->commit : last.index;
    pc_wal_replay_drop_before(replay, last.index);
}

static pc_err make_gap(struct wal_replay *replay, const struct wal_anchor *anchor,
    const struct pc_entry *entry, bool *fits, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    pc_index floor = wal->commit < wal->last ? wal->commit : wal->last;
    size_t gaps_n = replay->gaps_n;
    *fits = anchor->index > floor && give_way(replay, anchor);
    if (!*fits) {
        return PC_OK;
    }
    PC_ASSERT(wal->last < anchor->index);
    floor = floor < wal->last ? floor : wal->last;
    struct pc_wal_gap gap = {.first = wal->last + 1,
        .last = anchor->index,
        .before = wal->chain,
        .anchor = anchor->chain,
        .last_term = anchor->term,
        .floor = floor};
    if (!pc_wal_replay_chain(replay, floor, &gap.floor_chain)) {
        gap.floor = wal->last; /* it lies in a gap itself */
        gap.floor_chain = wal->chain;
    }
    memcpy(gap.where, replay->where, sizeof gap.where);
    struct wal_cut cut = replay->cut;
    if (replay->gaps_n < gaps_n) {
        /* It takes the place of gaps before it, which a cut behind them would bring back. */
        cut = replay->cuts[replay->gaps_n];
        memcpy(gap.where, replay->gaps[replay->gaps_n].where, sizeof gap.where);
    }
    bool closed = false;
    pc_err err = pc_wal_fill_apply(replay, &gap, &closed, error);
    if (err != PC_OK || closed) {
        return err;
    }
    step_over(replay, anchor, entry);
    push_gap(replay, &gap, &cut);
    return PC_OK;
}

pc_err pc_wal_replay_entry_after(struct wal_replay *replay, const struct wal_anchor *anchor,
    const struct pc_entry *entry, uint64_t at, bool *fits, struct pc_error *error)
{
    struct pc_hash before;
    *fits = anchor->index > 0;
    if (!*fits) {
        return PC_OK;
    }
    const struct pc_raft_base *base = &replay->wal->base;
    if (replay->from_base && anchor->index == base->index && replay->wal->commit == base->index &&
        pc_hash_equal(&anchor->chain, &base->chain)) {
        pc_wal_replay_truncate(replay, anchor->index); /* the base itself */
        return PC_OK;
    }
    bool may_follow = entry != NULL && anchor->index - 1 <= replay->wal->last &&
                      anchor->index > replay->wal->commit &&
                      pc_wal_replay_chain(replay, anchor->index - 1, &before);
    if (may_follow) {
        struct pc_hash chain = pc_entry_chain(&before, entry);
        if (pc_hash_equal(&chain, &entry->chain)) {
            pc_wal_replay_truncate(replay, anchor->index - 1);
            pc_wal_replay_push(replay, entry, at, (uint32_t)replay->segment);
            return PC_OK;
        }
    }
    return make_gap(replay, anchor, entry, fits, error);
}

pc_err pc_wal_replay_reach(
    struct wal_replay *replay, const struct wal_anchor *anchor, bool *fits, struct pc_error *error)
{
    struct pc_hash chain;
    *fits = true;
    if (anchor->index >= replay->wal->commit && anchor->index <= replay->wal->last &&
        pc_wal_replay_chain(replay, anchor->index, &chain) &&
        pc_hash_equal(&chain, &anchor->chain)) {
        pc_wal_replay_truncate(replay, anchor->index);
        return PC_OK;
    }
    if (anchor->index == 0) {
        *fits = false;
        return PC_OK;
    }
    return make_gap(replay, anchor, NULL, fits, error);
}

void pc_wal_replay_clear(struct wal_replay *replay)
{
    pc_entries_clear(&replay->window.kept);
    pc_entries_clear(&replay->configs);
    pc_entries_clear(&replay->early);
    replay->early_bytes = 0;
    replay->window.head = 0;
    replay->has_at_base = false;
    free(replay->terms);
    free(replay->gaps);
    free(replay->cuts);
    replay->terms = NULL;
    replay->gaps = NULL;
    replay->cuts = NULL;
    replay->terms_n = replay->terms_cap = replay->gaps_n = replay->gaps_cap = 0;
}
