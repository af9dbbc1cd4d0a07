/* wal_replay.h: the log as a replay has it so far. Shared by wal_recover (the files), wal_batches
 * (their records), wal_replay (what those mean), wal_skip (files that need not be read) and
 * wal_fill (what stands aside for a gap). */
#ifndef PC_WAL_REPLAY_H
#define PC_WAL_REPLAY_H

#include "wal_int.h"

/* The entries from min(commit, last) to last: `kept.v[head..n)`. Where a gap ends in a record whose
 * body is lost, its place holds an entry without one: only index, term and chain are right. */
struct wal_window {
    struct pc_entries kept;
    size_t head;
};

struct wal_replay {
    struct pc_wal *wal;
    struct wal_reader reader;
    struct wal_window window;
    struct pc_term_run *terms;
    size_t terms_n;
    size_t terms_cap;
    size_t segment;                 /* place of the one being read */
    bool pending;                   /* damage was met, and nothing said yet what it has cost */
    char where[PC_WAL_WHERE_BYTES]; /* of that damage */
    uint64_t damages;
    struct wal_cut clean; /* behind the last batch that was read without damage, to its end; or
                             the log's beginning */
    struct wal_cut cut; /* the same in front of that damage: while it is pending or the end lost */
    bool open;          /* the log's end is lost */
    bool from_base;     /* begun at the base */
    bool may_skip;      /* what lies in front of the base need not be read */
    pc_term rest_term;  /* behind an entry of this term the rest of the segment; 0 = of none */
    bool patchy;        /* harmless gaps were forgotten: the window may have holes */
    bool has_at_base;   /* the entry in the base's place is known: */
    struct pc_hash at_base;
    struct pc_entries early; /* as in pc_wal_recovered, committed or not */
    size_t early_bytes;
    struct pc_entries configs; /* of kind CONFIG: the newest that is committed, and those behind */
    struct pc_wal_gap *gaps;
    struct wal_cut *cuts; /* of each of them: where the log ends without it */
    size_t gaps_n;
    size_t gaps_cap;
    pc_wal_each_record each;
    void *arg;
};

/* What a valid record, or a segment's header, says of the log. */
struct wal_anchor {
    pc_index index;
    pc_term term; /* 0 = not known */
    struct pc_hash chain;
};

/* ---- wal_result.c */
enum wal_verdict {
    WAL_KEEP,
    WAL_REPLACE,   /* dispensable as a whole */
    WAL_FROM_BASE, /* to be replayed from the base on */
};
/* What the base makes of a replay; forgets harmless gaps. */
enum wal_verdict pc_wal_result_judge(struct wal_replay *replay);
/* Hands what was collected over to the receiver. */
void pc_wal_result_take(struct wal_replay *replay, struct pc_wal_recovered *out);

/* ---- wal_replay.c */
/* An empty log behind this entry (index 0: behind none). Requires: nothing was pushed. */
void pc_wal_replay_begin(struct wal_replay *replay, const struct wal_point *behind);
/* Appends an entry that stands at `mark->at`. Requires: it follows. */
void pc_wal_replay_push(
    struct wal_replay *replay, const struct pc_entry *entry, uint64_t at, uint32_t place);
/* The chain value of an entry that is not lost, as far as it can still be truncated. */
bool pc_wal_replay_chain(const struct wal_replay *replay, pc_index index, struct pc_hash *out);
/* Drops the entries behind `index`. Requires: its chain is known. */
void pc_wal_replay_truncate(struct wal_replay *replay, pc_index index);
/* After damage: what the log must be for an ENTRY to follow here. `entry` is NULL when its body is
 * lost. False when the record contradicts what is committed: it counts as damaged, too. */
PC_MUST_CHECK pc_err pc_wal_replay_entry_after(struct wal_replay *replay,
    const struct wal_anchor *anchor, const struct pc_entry *entry, uint64_t at, bool *fits,
    struct pc_error *error);
/* The same for whatever says where the log ended when it was written: last entry and its chain. */
PC_MUST_CHECK pc_err pc_wal_replay_reach(
    struct wal_replay *replay, const struct wal_anchor *anchor, bool *fits, struct pc_error *error);
void pc_wal_replay_drop_before(struct wal_replay *replay, pc_index first);
void pc_wal_replay_clear(struct wal_replay *replay);

/* An entry is known to stand in the log, and what leads to it from where the replay has come to is
 * not read: segment `place` from `at` to its end, entries of one term all of them. */
void pc_wal_replay_pass(struct wal_replay *replay, size_t place, uint64_t at, pc_term term);

/* ---- wal_batches.c */
/* From here on the log is uncertain, until a record says how it goes on. `cut`: where it ends if
 * none does. */
void pc_wal_replay_damage(struct wal_replay *replay, const struct wal_cut *cut, const char *text);
/* The same of a place in the segment being read. */
void pc_wal_replay_damage_at(struct wal_replay *replay, uint64_t at, const char *why);
/* A batch has ended at `at`, or the segment begins there. */
void pc_wal_replay_note_clean(struct wal_replay *replay, uint64_t at);
/* The records from *at to end_at, or up to the first whose header is not valid. *at: where it
 * stopped. */
PC_MUST_CHECK pc_err pc_wal_replay_records(
    struct wal_replay *replay, uint64_t end_at, uint64_t *at, struct pc_error *error);

/* ---- wal_skip.c */
/* Passes the segment at replay->segment over unread, if it may be. */
bool pc_wal_skip_segment(struct wal_replay *replay);
/* The same from `at` on, where a batch ends; asked at each of them. */
bool pc_wal_skip_rest(struct wal_replay *replay, uint64_t at);
/* Which entries in the segment at replay->segment make its rest one that may be passed over. */
void pc_wal_skip_prepare(struct wal_replay *replay);

/* ---- wal_fill.c */
/* Closes the gap from what was put aside for it, if that is there. */
PC_MUST_CHECK pc_err pc_wal_fill_apply(
    struct wal_replay *replay, const struct pc_wal_gap *gap, bool *closed, struct pc_error *error);

#endif
