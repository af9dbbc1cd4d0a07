/* The log on a disk that decays. The input is a program: entries written by the real log, synced,
 * truncated, dropped behind a snapshot, replaced by one, with power cuts that tear what was in
 * flight; then, or in between, damage to its files; then a start. Whatever the start finds,
 *
 *     B.35  an entry that is given out is one that was written at this index, bit for bit
 *     B.36  after nothing but power cuts, everything synced is there and nothing is refused
 *     B.37  a second start, and one after a crash anywhere in the first, gives the same
 */
#include "fuzz/kit/fuzz.h"

#include <stdio.h>

#include "pcache/wal.h"
#include "support/sim_fs.h"

#define OPS_MAX 120
#define DIR "/log"
#define SEGMENT_BYTES (64u * 1024)
#define ENTRIES_MAX 2048
#define BODY_MAX 3000
#define FILES_MAX 8

struct world {
    struct pc_sim_fs *fs;
    struct pc_wal *wal;
    struct pc_entries all;  /* every entry that was ever written */
    struct pc_entries live; /* the log as it should be, unsynced ones included; and what a snapshot
                               stands for */
    struct pc_raft_base base; /* of the newest snapshot; index 0 = none */
    pc_index synced;          /* 1..synced are durable, by log or snapshot */
    pc_index most;          /* the longest that the log has been since the last sync */
    pc_term term;
    pc_term stored_term; /* with the vote */
    pc_node_id vote;
    bool damaged;
    char files[FILES_MAX][64];
    size_t files_n;
};

static bool entry_equal(const struct pc_entry *a, const struct pc_entry *b)
{
    return a->index == b->index && a->term == b->term && a->stamp_ms == b->stamp_ms &&
           a->kind == b->kind && pc_hash_equal(&a->chain, &b->chain) &&
           pc_slice_equal(pc_blob_slice(a->body), pc_blob_slice(b->body));
}

/* ---- writing */
static void live_push(struct world *w, const struct pc_entry *entry)
{
    pc_entries_push(&w->live, entry);
    w->most = w->most > w->live.n ? w->most : w->live.n;
    pc_entries_push(&w->all, entry);
}

static void live_truncate(struct world *w, pc_index from)
{
    while (w->live.n >= from && w->live.n > 0) {
        pc_entry_clear(&w->live.v[--w->live.n]);
    }
    w->synced = w->synced < w->live.n ? w->synced : w->live.n;
}

static struct pc_entry make_entry(const struct world *w, const struct fuzz_op *op, size_t body)
{
    size_t n = w->live.n;
    static const struct pc_hash none;
    struct pc_entry entry = {.index = n + 1,
        .term = w->term,
        .stamp_ms = 1000 + n,
        .req = {.node = 7, .boot = 2, .seq = n + 1},
        .kind = body == 0 ? PC_ENTRY_NOOP : PC_ENTRY_COMMAND};
    if (body > 0) {
        uint8_t bytes[BODY_MAX];
        memset(bytes, op->c, body);
        bytes[0] = (uint8_t)n;
        PC_ASSERT(pc_blob_new(pc_slice_of(bytes, body), &entry.body) == PC_OK);
    }
    entry.chain = pc_entry_chain(n == 0 ? &none : &w->live.v[n - 1].chain, &entry);
    return entry;
}

static void write_entries(struct world *w, const struct fuzz_op *op)
{
    struct pc_error error = {0};
    struct pc_wal_batch batch = {.seq = 1, .commit = w->base.index};
    size_t n = 1 + op->a % 6;
    if ((op->b & 1) != 0) {
        w->term += op->b >> 4;
        batch.has_vote = true;
        batch.term = w->stored_term = w->term;
        batch.vote = w->vote = op->c;
    }
    size_t loose = w->live.n - w->base.index; /* what a snapshot stands for is committed */
    if ((op->b & 2) != 0 && w->live.n > 1 && loose > 0) {
        batch.truncate_from = w->live.n - op->d % (loose < 5 ? loose : 5);
        live_truncate(w, batch.truncate_from);
        w->term++; /* within a term a log only grows */
    }
    for (size_t i = 0; i < n && w->live.n < ENTRIES_MAX; i++) {
        struct pc_entry entry = make_entry(w, op, (op->d >> (i % 8)) % BODY_MAX);
        live_push(w, &entry);
        pc_entries_push(&batch.entries, &entry);
        pc_entry_clear(&entry);
    }
    FUZZ_CHECK("a batch is written", pc_wal_write(w->wal, &batch, &error) == PC_OK);
    pc_entries_clear(&batch.entries);
    if ((op->b & 12) != 0) {
        FUZZ_CHECK("and synced", pc_wal_sync(w->wal, &error) == PC_OK);
        w->synced = w->most = w->live.n;
    }
}

/* ---- snapshots: durable before the log hears of them */
static void snapshot_take(struct world *w, pc_index index)
{
    if (index > w->base.index) {
        w->base = pc_raft_base_of(&w->live.v[index - 1]);
    }
}

/* One of the node's own, of an entry that is durable; also without a drop behind it. */
static void make_snapshot(struct world *w, const struct fuzz_op *op)
{
    struct pc_error error = {0};
    pc_index first = 0;
    if (!w->damaged && w->synced > 0) {
        snapshot_take(w, w->synced - op->d % w->synced);
    }
    if ((op->b & 1) != 0 && w->base.index > 0) {
        pc_index upto = w->base.index - op->c % w->base.index;
        FUZZ_CHECK("a drop", pc_wal_drop(w->wal, upto, &first, &error) == PC_OK);
        FUZZ_CHECK("of no more than that", first <= w->base.index + 1);
    }
}

/* Another node's, of a log that this one ends in front of, or that goes on otherwise. */
static void fetch_snapshot(struct world *w, const struct fuzz_op *op)
{
    size_t loose = w->live.n - w->base.index;
    live_truncate(w, w->live.n + 1 - (loose > 0 ? op->d % (loose < 40 ? loose : 40) : 0));
    w->term++;
    for (size_t i = 0; i <= op->c % 50u; i++) {
        struct pc_entry entry = make_entry(w, op, 1);
        pc_entries_push(&w->live, &entry);
        pc_entry_clear(&entry);
    }
    snapshot_take(w, w->live.n);
    w->synced = w->most = w->live.n;
}

static void replace_log(struct world *w)
{
    struct pc_error error = {0};
    FUZZ_CHECK("a reset", pc_wal_reset(w->wal, &w->base, &error) == PC_OK);
}

/* ---- starting */
static pc_err open_log(struct world *w, struct pc_wal_recovered *out)
{
    struct pc_wal_opts opts = {.dir = DIR, .segment_bytes = SEGMENT_BYTES, .base = w->base};
    struct pc_error error = {0};
    pc_err err = pc_wal_open(pc_sim_fs_port(w->fs), &opts, &w->wal, out, &error);
    if (err != PC_OK && !w->damaged) {
        (void)fprintf(stderr, "%s\n", error.text);
    }
    FUZZ_CHECK("an error says what", err == PC_OK || error.text[0] != '\0');
    return err;
}

static void check_given(const struct world *w, const struct pc_entry *entry)
{
    for (size_t i = w->all.n; i > 0; i--) {
        if (entry_equal(&w->all.v[i - 1], entry)) {
            return;
        }
    }
    fuzz_broken("B.35", "an entry that was never written", __FILE__, __LINE__);
}

/* Everything that the log serves. Ownership: *out is the caller's. */
static void load_all(
    struct world *w, pc_index first, pc_index last, struct pc_entries *out)
{
    for (pc_index at = first > 0 ? first : 1; at <= last;) {
        struct pc_entries some = {0};
        struct pc_error error = {0};
        pc_err err = pc_wal_load(w->wal, at, last, 20000, &some, &error);
        if (err != PC_OK && !w->damaged) {
            (void)fprintf(stderr, "%s\n", error.text);
        }
        FUZZ_CHECK("B.36", w->damaged || err == PC_OK);
        if (err != PC_OK) {
            at++;
            continue;
        }
        FUZZ_CHECK("a load gives something", some.n > 0);
        for (size_t i = 0; i < some.n; i++) {
            FUZZ_CHECK("in order", some.v[i].index == at + i);
            check_given(w, &some.v[i]);
            pc_entries_push(out, &some.v[i]);
        }
        at += some.n;
        pc_entries_clear(&some);
    }
}

/* After power cuts alone: what was synced is there, and what is there becomes the log that is gone
 * on with. A truncation that was not synced may be lost, like any record. */
static void adopt_whole(
    struct world *w, const struct pc_wal_recovered *found, const struct pc_entries *log)
{
    FUZZ_CHECK("B.36", found->last >= w->synced && found->last <= w->most);
    pc_index before = found->first > 0 ? found->first - 1 : 0; /* not in the log */
    FUZZ_CHECK("B.36", before <= w->base.index && log->n == found->last - before);
    FUZZ_CHECK("B.8", found->term >= w->stored_term);
    FUZZ_CHECK("B.8", found->term > w->stored_term || found->vote == w->vote);
    for (size_t i = before; i < w->synced; i++) {
        FUZZ_CHECK("B.36", entry_equal(&log->v[i - before], &w->live.v[i]));
    }
    live_truncate(w, before + 1);
    for (size_t i = 0; i < log->n; i++) {
        pc_entries_push(&w->live, &log->v[i]);
    }
    w->synced = w->most = w->live.n;
    w->term = w->term > found->term ? w->term : found->term;
}

static void adopt(struct world *w, const struct pc_wal_recovered *found)
{
    struct pc_entries log = {0};
    for (size_t i = 0; i < found->tail.n; i++) {
        check_given(w, &found->tail.v[i]);
    }
    load_all(w, found->first, found->last, &log);
    if (!w->damaged) {
        adopt_whole(w, found, &log);
    }
    pc_entries_clear(&log);
}

static bool same_find(const struct pc_wal_recovered *a, const struct pc_wal_recovered *b)
{
    bool same = a->term == b->term && a->vote == b->vote && a->first == b->first &&
                a->last == b->last && a->commit == b->commit && a->tail.n == b->tail.n;
    for (size_t i = 0; same && i < a->tail.n; i++) {
        same = entry_equal(&a->tail.v[i], &b->tail.v[i]);
    }
    return same;
}

/* A copy of the disk, started from with the power going after `steps`, then again. */
static void check_interrupted(
    const struct world *w, uint64_t steps, pc_err err, const struct pc_wal_recovered *found)
{
    struct world twin = {
        .fs = pc_sim_fs_clone(w->fs), .damaged = w->damaged, .base = w->base};
    struct pc_wal_recovered got;
    pc_sim_fs_power_off_after(twin.fs, steps);
    if (open_log(&twin, &got) == PC_OK) {
        pc_wal_close(twin.wal);
        pc_wal_recovered_clear(&got);
    }
    pc_sim_fs_crash(twin.fs, PC_SIM_FS_POWER_CUT);
    pc_err again = open_log(&twin, &got);
    FUZZ_CHECK("B.37", again == err);
    if (again == PC_OK) {
        FUZZ_CHECK("B.37", same_find(found, &got));
        pc_wal_close(twin.wal);
        pc_wal_recovered_clear(&got);
    }
    pc_sim_fs_delete(twin.fs);
}

/* False: the log is refused. */
static bool restart(struct world *w, uint64_t steps)
{
    struct pc_sim_fs *image = pc_sim_fs_clone(w->fs);
    struct pc_wal_recovered found;
    pc_err err = open_log(w, &found);
    FUZZ_CHECK("B.36", err == PC_OK || w->damaged);
    struct world before = {.fs = image, .damaged = w->damaged, .base = w->base};
    check_interrupted(&before, steps, err, &found);
    pc_sim_fs_delete(image);
    if (err != PC_OK) {
        w->wal = NULL;
        return false;
    }
    adopt(w, &found);
    pc_wal_recovered_clear(&found);
    return true;
}

/* ---- damage */
static void note_file(void *arg, const char *name)
{
    struct world *w = arg;
    if (w->files_n < FILES_MAX) {
        (void)snprintf(w->files[w->files_n++], sizeof w->files[0], DIR "/%.40s", name);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static const char *pick_file(struct world *w, uint8_t which)
{
    const struct pc_fs *port = pc_sim_fs_port(w->fs);
    struct pc_error error;
    w->files_n = 0;
    (void)port->list(port->context, DIR, note_file, w, &error);
    qsort(w->files, w->files_n, sizeof w->files[0], by_name);
    return w->files_n > 0 ? w->files[which % w->files_n] : DIR "/none";
}

/* Offsets are counted in the part that is in use: the front of a segment. */
static void damage(struct world *w, const struct fuzz_op *op)
{
    const char *path = pick_file(w, op->a);
    uint64_t at = op->d % 20000;
    uint8_t bytes[512];
    memset(bytes, op->c, sizeof bytes);
    w->damaged = true;
    switch (op->b % 6) {
    case 0:
        (void)pc_sim_fs_flip_bit(w->fs, path, at, op->c & 7);
        break;
    case 1:
        (void)pc_sim_fs_overwrite(w->fs, path, at, pc_slice_of(bytes, 1 + op->c));
        break;
    case 2:
        memset(bytes, 0, sizeof bytes);
        (void)pc_sim_fs_overwrite(w->fs, path, at / 512 * 512, pc_slice_of(bytes, sizeof bytes));
        break;
    case 3:
        (void)pc_sim_fs_shorten(w->fs, path, at);
        break;
    case 4:
        (void)pc_sim_fs_remove(w->fs, path);
        break;
    default: /* a run of flipped bits, as rot comes */
        for (unsigned i = 0; i < 8; i++) {
            (void)pc_sim_fs_flip_bit(w->fs, path, at + i * 37u, (op->c + i) & 7);
        }
        break;
    }
}

static void stop(struct world *w, const struct fuzz_op *op)
{
    if ((op->a & 3) == 0) {
        pc_wal_close(w->wal);
        w->synced = w->most = w->live.n;
        pc_sim_fs_crash(w->fs, PC_SIM_FS_KILL);
        return;
    }
    /* The process is gone before its log is closed: what it freed tells the disk nothing. */
    pc_sim_fs_reseed(w->fs, op->d);
    pc_sim_fs_crash(w->fs, (op->a & 3) == 1 ? PC_SIM_FS_LOSE_ALL : PC_SIM_FS_POWER_CUT);
    pc_wal_close(w->wal);
}

/* False: the process ends with it. */
static bool go_on(struct world *w, const struct fuzz_op *op)
{
    switch (op->code / 4 % 8) {
    case 6:
        make_snapshot(w, op);
        return true;
    case 7:
        if (w->damaged || w->live.n + 50 >= ENTRIES_MAX) {
            return true;
        }
        fetch_snapshot(w, op);
        if ((op->b & 1) != 0) {
            return false;
        }
        replace_log(w);
        return true;
    default:
        /* What is gone on with after damage need not be what this world has written. */
        if (!w->damaged) {
            write_entries(w, op);
        }
        return true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct world *w = pc_xalloc(sizeof *w);
    w->fs = pc_sim_fs_new(1);
    w->term = 1; /* an entry has one */
    struct pc_wal_recovered found;
    FUZZ_CHECK("an empty log opens", open_log(w, &found) == PC_OK);
    pc_wal_recovered_clear(&found);
    struct fuzz_op op;
    bool runs = true;
    for (int i = 0; i < OPS_MAX && runs && fuzz_next(&in, &op); i++) {
        if (op.code % 4 < 2 && go_on(w, &op)) {
            continue;
        }
        stop(w, &op);
        if (op.code % 4 == 3) {
            damage(w, &op);
        }
        runs = restart(w, op.d % 40);
    }
    if (runs) {
        stop(w, &(struct fuzz_op){.a = 2});
        runs = restart(w, size % 40);
    }
    pc_wal_close(runs ? w->wal : NULL);
    pc_entries_clear(&w->all);
    pc_entries_clear(&w->live);
    pc_sim_fs_delete(w->fs);
    free(w);
    return 0;
}
