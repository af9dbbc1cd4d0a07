/* Segments that a start passes over unread. What lies in front of the snapshot is kept for peers
 * that lag, and this node needs none of it to be ready: only where each segment begins, and which
 * terms its entries have. It is read, checked by the chain, when a peer asks for it (wal_load.c).
 *
 *      front                              the snapshot's entry B
 *        |  segment  |  segment  |  segment  :   |  segment  |
 *        | read pass |  passed   |  read .............. read |
 *
 * A segment S that begins with entry f, of term t, is passed when its successor N begins with entry
 * g > f, g - 1 <= B, of the same term t; both headers are good, their numbers follow one another,
 * and the replay has come to exactly what the header of S says: entry f - 1 and its chain value.
 *
 * Where the term changes within S, it is read up to a batch that ends with an entry of the term of
 * g, and the rest of it is passed: f is that entry then, and the replay has come to it.
 *
 * Why what the replay then says of the log is right:
 *   1. N's header says with which index and chain value the log was left when N was begun. The
 *      first record of N is an entry whose checksum is good and whose chain value follows from the
 *      header's. So at that time the log had entry g of term t, behind entry g - 1 with that chain
 *      value; what is read from N on follows from there, or is damage.
 *   2. One term has one leader, and in its term that leader's log only grows. It made both entry
 *      f and entry g of term t, so it had f when it made g; and a log that has g of term t agrees
 *      with it up to g. So entries f..g-1 of the log begin with one of term t and are followed by
 *      one of term t, and terms do not fall along a log: all of them are of term t.
 *   3. A record in S of entry i may have been truncated in S, and the log have another entry in its
 *      place. One term has one entry at an index, so that record is of another term than t, and a
 *      read passes by what is not of term t (wal_load.c). All entries from f on were written behind
 *      S's header, each behind the one before it, so a read in the order of writing meets the one
 *      of term t that comes next before any later one; and what it has met already, and meets
 *      again, is the same entry. Which of the records that is, is all one.
 *   4. Entries up to g - 1 <= B are what the snapshot stands for. They are committed, and no
 *      truncation behind N's beginning leads in front of it, or the replay calls it damage.
 *   5. Anything else than a log that is whole from there on, and has B, makes the start read it
 *      from its front on, as if nothing had been passed: damage, a gap, a lost end, another entry
 *      in B's place (wal_recover.c). So what is decided about damage is decided about a log that
 *      was read. Nothing is passed in a log to which a filling belongs (wal_fill.c): it would seem
 *      useless.
 *   6. Damage in what was passed costs the node nothing, as any in front of B: it has the snapshot.
 *      Nor does it pass for absent: whoever asks is told of damage, and the node then gives nothing
 *      in front of its snapshot to anybody (docs/LOGFORMAT.md).
 *   7. It has the snapshot as far as that is good, and a node with peers gets from them what it is
 *      not. A node that is alone would have nothing but the log in front of it, all of which has to
 *      be whole then. So for such a node 6 holds on one condition: the snapshot was read to its end
 *      and found whole before anything of what is decided here counts (is_base_whole, in
 *      pc_wal_opts). If it was not, all of the log is read, and damage in it is judged as if this
 *      file were not there: the node refuses, naming the range, or can do without the snapshot.
 *      Nothing is written to the log before that is known. A front that is rotten while the
 *      snapshot is good is not used, and goes with what later snapshots drop; whoever asks for an
 *      entry in it is told. */
#include "pcache/assert.h"
#include "wal_replay.h"

/* The term of the entry that the segment begins with; 0: it does not begin with one that follows on
 * its header, or cannot be read. */
static pc_term read_first(struct wal_reader *reader, const struct wal_segment *segment, pc_fd fd)
{
    struct pc_error ignored;
    struct wal_found found;
    struct pc_entry entry;
    pc_wal_reader_use(reader, fd, segment);
    if (pc_wal_reader_record(reader, WAL_FIRST_AT, &found, &ignored) != PC_OK ||
        found.seen != WAL_SEEN_RECORD || found.record.type != PC_WAL_RECORD_ENTRY ||
        found.record.index != segment->first ||
        pc_wal_reader_entry(reader, WAL_FIRST_AT, &found, &entry, &ignored) != PC_OK) {
        return 0;
    }
    struct pc_hash chain = pc_entry_chain(&segment->before, &entry);
    pc_term term = pc_hash_equal(&chain, &entry.chain) ? entry.term : 0;
    pc_entry_clear(&entry);
    return term;
}

static pc_term first_term(const struct pc_wal *wal, const struct wal_segment *segment)
{
    struct pc_error ignored;
    struct wal_path path;
    struct wal_reader reader;
    char name[32];
    pc_fd fd;
    pc_wal_segment_file(segment, name, sizeof name);
    pc_wal_path(wal, name, &path);
    if (wal->fs->open_read(wal->fs->context, path.text, &fd, &ignored) != PC_OK) {
        return 0;
    }
    pc_wal_reader_init(&reader, wal->fs, WAL_LOAD_CHUNK_BYTES);
    pc_term term = read_first(&reader, segment, fd);
    pc_wal_reader_destroy(&reader);
    wal->fs->close(wal->fs->context, fd);
    return term;
}

static bool is_sound(const struct wal_segment *segment)
{
    return !segment->bad_header && !segment->is_short;
}

bool pc_wal_skip_segment(struct wal_replay *replay)
{
    const struct pc_wal *wal = replay->wal;
    size_t place = replay->segment;
    if (!replay->may_skip || replay->pending || place + 1 >= wal->segments_n) {
        return false;
    }
    const struct wal_segment *segment = &wal->segments[place];
    const struct wal_segment *next = segment + 1;
    uint64_t want = place == 0 ? pc_wal_first_number(wal) : segment[-1].number + 1;
    bool follows = is_sound(segment) && is_sound(next) && segment->number == want &&
                   next->number == want + 1 && segment->first == wal->last + 1 &&
                   pc_hash_equal(&segment->before, &wal->chain) && next->first > segment->first;
    if (!follows || next->first - 1 > wal->base.index) {
        return false;
    }
    pc_term term = first_term(wal, segment);
    if (term == 0 || term < wal->last_term || first_term(wal, next) != term) {
        return false;
    }
    pc_wal_replay_pass(replay, place, WAL_FIRST_AT, term);
    return true;
}

void pc_wal_skip_prepare(struct wal_replay *replay)
{
    const struct pc_wal *wal = replay->wal;
    size_t place = replay->segment;
    replay->rest_term = 0;
    if (!replay->may_skip || place + 1 >= wal->segments_n) {
        return;
    }
    const struct wal_segment *segment = &wal->segments[place];
    const struct wal_segment *next = segment + 1;
    if (is_sound(segment) && is_sound(next) && next->number == segment->number + 1 &&
        next->first - 1 <= wal->base.index) {
        replay->rest_term = first_term(wal, next);
    }
}

bool pc_wal_skip_rest(struct wal_replay *replay, uint64_t at)
{
    const struct pc_wal *wal = replay->wal;
    bool may_pass = replay->rest_term != 0 && replay->rest_term == wal->last_term &&
                    !replay->pending && replay->damages == 0;
    if (!may_pass || wal->segments[replay->segment + 1].first <= wal->last + 1) {
        return false;
    }
    pc_wal_replay_pass(replay, replay->segment, at, replay->rest_term);
    return true;
}
