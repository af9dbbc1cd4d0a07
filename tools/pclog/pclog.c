/* Looks into a log directory while no node uses it. Nothing is written but by `repair --from`. */
#include "pclog_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/json.h"
#include "pcache/wal.h"
#include "pcache/wire.h"

static const char help[] =
    "usage: pclog dump DIR      print every record of the log in DIR, one per line\n"
    "       pclog dump DIR --json [--from INDEX]\n"
    "                           print the committed entries, each as a line of JSON\n"
    "       pclog verify DIR    check every record, print a summary\n"
    "       pclog repair DIR [--from OTHER]\n"
    "                           say what is lost and what the node will do; with --from, take it\n"
    "                           from the log of another node of the cluster\n"
    "       pclog snapshot FILE|DIR\n"
    "                           check every byte of a snapshot, or of the newest one in DIR, "
    "print\n"
    "                           what it is of\n"
    "       pclog --help | --version\n"
    "\n"
    "DIR is the node's log directory (with log-*.seg, vote-0 and vote-1), or a data directory "
    "that\n"
    "holds it under the name `log`. Only `repair --from` writes: files beside what is damaged. "
    "The\n"
    "nodes should be stopped: of a running one the last records may be seen half written.\n"
    "\n"
    "exit status: 0 good; 1 there is none; 2 wrong usage; 6 it cannot be read; 8 it is damaged;\n"
    "             75 repair --from: the data directory is in use by a running node\n";

/* A key as text: what is not printable ASCII comes out as \xNN. */
static void print_key(FILE *out, struct pc_slice key)
{
    (void)fputc('"', out);
    for (size_t i = 0; i < key.len; i++) {
        uint8_t c = key.data[i];
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c >= 0x20 && c < 0x7f) {
            (void)fputc(c, out);
        } else {
            fprintf(out, "\\x%02x", c);
        }
    }
    (void)fputc('"', out);
}

static void print_command(FILE *out, struct pc_slice body)
{
    struct pc_command command;
    pc_err err = pc_wire_decode_command(body, &command);
    if (err != PC_OK) {
        fprintf(out, " op=unknown bytes=%zu error=\"%s\"", body.len, pc_err_text(err));
        return;
    }
    fprintf(out, " op=%s", pc_json_op_name(command.op));
    if (command.key.len > 0) {
        fprintf(out, " key=");
        print_key(out, command.key);
    }
    if (command.op == PC_OP_SET) {
        fprintf(out, " value_bytes=%zu", command.value.len);
    }
    if (command.has_ttl) {
        fprintf(out, " ttl_ms=%" PRIu64, command.ttl_ms);
    }
    if (command.condition == PC_IF_VERSION) {
        fprintf(out, " if_version=%" PRIu64, command.if_version);
    } else if (command.condition != PC_IF_ANY) {
        fprintf(out, " if=%s", command.condition == PC_IF_ABSENT ? "absent" : "present");
    }
}

void pclog_print_config(FILE *out, struct pc_slice body)
{
    struct pc_cluster_config config;
    if (pc_wire_decode_config(body, &config) != PC_OK) {
        fprintf(out, " members=unknown bytes=%zu", body.len);
        return;
    }
    char history[33];
    pc_hex_encode(config.history, sizeof config.history, history);
    fprintf(out, " history=%s members=", history);
    for (size_t i = 0; i < config.members_n; i++) {
        fprintf(out, "%s%s:%016" PRIx64, i == 0 ? "" : ",", config.members[i].name,
            config.members[i].id);
    }
}

static void print_entry(FILE *out, const struct pc_entry *entry)
{
    struct pc_slice body = pc_blob_slice(entry->body);
    fprintf(out, " stamp=%" PRIu64, entry->stamp_ms);
    switch (entry->kind) {
    case PC_ENTRY_NOOP:
        fprintf(out, " kind=noop");
        break;
    case PC_ENTRY_CONFIG:
        fprintf(out, " kind=config");
        pclog_print_config(out, body);
        break;
    case PC_ENTRY_COMMAND:
        fprintf(out, " kind=command req=%016" PRIx64 "/%" PRIu64 "/%" PRIu64, entry->req.node,
            entry->req.boot, entry->req.seq);
        print_command(out, body);
        break;
    }
}

struct count {
    FILE *out;
    bool dump;
    bool alone;               /* the log is looked at without the snapshots beside it */
    struct pc_raft_base base; /* that of the newest of them; index 0 = none */
    uint64_t entries;
    uint64_t truncations;
    uint64_t notes;
};

static void on_record(void *arg, const struct pc_wal_record_info *record)
{
    static const char *const names[] = {
        [PC_WAL_RECORD_ENTRY] = "entry",
        [PC_WAL_RECORD_TRUNCATE] = "truncate",
        [PC_WAL_RECORD_NOTE] = "note",
    };
    struct count *count = arg;
    FILE *out = count->out;
    count->entries += record->type == PC_WAL_RECORD_ENTRY;
    count->truncations += record->type == PC_WAL_RECORD_TRUNCATE;
    count->notes += record->type == PC_WAL_RECORD_NOTE;
    if (!count->dump) {
        return;
    }
    fprintf(out, "%s+%" PRIu64 " %s index=%" PRIu64 " term=%" PRIu64, record->segment,
        record->offset, names[record->type], record->index, record->term);
    if (record->entry != NULL) {
        print_entry(out, record->entry);
    }
    fprintf(out, " commit=%" PRIu64 " durable=%" PRIu64 "\n", record->commit, record->durable_upto);
}

static int exit_status(pc_err err)
{
    switch (err) {
    case PC_OK:
        return PCLOG_GOOD;
    case PC_E_NOT_FOUND:
        return PCLOG_NO;
    case PC_E_INVALID:
        return PCLOG_USAGE;
    case PC_E_CORRUPT:
    case PC_E_VERSION:
        return PCLOG_DAMAGED;
    case PC_E_LOCKED:
        return PCLOG_LOCKED;
    default:
        return PCLOG_LOCAL_IO;
    }
}

static void print_summary(FILE *out, const struct count *count, const struct pc_wal_recovered *got)
{
    if (got->first > got->last) {
        fprintf(out, "good: no entries");
    } else {
        fprintf(out, "good: entries %" PRIu64 "..%" PRIu64, got->first, got->last);
    }
    fprintf(out, ", commit %" PRIu64 ", term %" PRIu64 ", vote %016" PRIx64 "\n", got->commit,
        got->term, got->vote);
    if (count->base.index > 0) {
        fprintf(out, "begins behind entry %" PRIu64 ", beside a snapshot of entry %" PRIu64 "\n",
            got->first - 1, count->base.index);
    } else if (got->first > 1) {
        fprintf(out, "begins behind entry %" PRIu64 ": needs a snapshot of it or of a later one\n",
            got->first - 1);
    }
    fprintf(out, "records: %" PRIu64 " entries, %" PRIu64 " truncations, %" PRIu64 " notes\n",
        count->entries, count->truncations, count->notes);
    if (got->damages > 0) {
        fprintf(out, "%" PRIu64 " damaged places, of which nothing is missing: %s\n", got->damages,
            got->where);
    }
    if (got->doubt > 0) {
        fprintf(out,
            "in doubt: entries acknowledged in terms up to %" PRIu64
            " may be missing behind the last one; the node does not vote until it has one of a "
            "later"
            " term\n",
            got->doubt);
    }
    if (got->cut_bytes > 0) {
        fprintf(out,
            "torn tail: %" PRIu64 " bytes of %s at offset %" PRIu64
            " were never synced and will be cut at the next start\n",
            got->cut_bytes, got->cut_segment, got->cut_offset);
    }
}

/* Which entries are lost, and what the next start of the node does about it. */
static void print_loss(FILE *out, const struct pc_wal_recovered *got)
{
    for (size_t i = 0; i < got->gaps_n; i++) {
        const struct pc_wal_gap *gap = &got->gaps[i];
        fprintf(out, "pclog: %s\npclog: entries %" PRIu64 "..%" PRIu64 " are lost\n", gap->where,
            gap->first, gap->last);
    }
    if (got->open) {
        fprintf(out, "pclog: %s\npclog: entries from %" PRIu64 " on may be lost\n", got->where,
            got->last + 1);
    }
}

static const char promise[] = "The node repairs this by itself when it is started among its peers; "
                              "alone in its cluster it does"
                              " not start without --accept-data-loss.\n";

#define DIR_BYTES 4096

static pc_err scan_at(const struct pc_fs *fs, const char *dir, struct count *count,
    struct pc_wal_recovered *got, FILE *err_out, struct pc_error *error)
{
    pc_err err = count->alone ? PC_OK : pclog_find_base(fs, dir, &count->base, err_out, error);
    return err == PC_OK ? pc_wal_scan(fs, dir, &count->base, on_record, count, got, error) : err;
}

/* The log in `dir` itself or, when there is none, below it; *where is that one. */
static pc_err scan(const struct pc_fs *fs, const char *dir, struct count *count,
    struct pc_wal_recovered *got, char where[DIR_BYTES], FILE *err_out, struct pc_error *error)
{
    (void)snprintf(where, DIR_BYTES, "%s", dir);
    pc_err err = scan_at(fs, dir, count, got, err_out, error);
    int used = err != PC_E_NOT_FOUND ? 0 : snprintf(where, DIR_BYTES, "%s/log", dir);
    if (err != PC_E_NOT_FOUND || used <= 0 || used >= DIR_BYTES) {
        return err;
    }
    struct pc_error below_error;
    err = scan_at(fs, where, count, got, err_out, &below_error);
    if (err != PC_E_NOT_FOUND) {
        *error = below_error;
    }
    return err;
}

static int fail_with(FILE *out, FILE *err_out, pc_err err, const struct pc_error *error)
{
    (void)fflush(out);
    fprintf(err_out, "pclog: %s\n", error->text);
    return exit_status(err);
}

/* The summary, or what is lost. */
static int conclude(struct count *count, const struct pc_wal_recovered *got, FILE *err_out)
{
    FILE *out = count->out;
    bool lossy = got->gaps_n > 0 || got->open;
    if (lossy) {
        (void)fflush(out);
        print_loss(err_out, got);
        return PCLOG_DAMAGED;
    }
    if (!count->dump) {
        print_summary(out, count, got);
    }
    return fflush(out) == 0 && !ferror(out) ? PCLOG_GOOD : PCLOG_LOCAL_IO;
}

static int run(const struct pc_fs *fs, const char *dir, bool dump, FILE *out, FILE *err_out)
{
    struct count count = {.out = out, .dump = dump, .alone = dump};
    struct pc_wal_recovered got;
    struct pc_error error = {0};
    char where[DIR_BYTES];
    pc_err err = scan(fs, dir, &count, &got, where, err_out, &error);
    if (err != PC_OK) {
        return fail_with(out, err_out, err, &error);
    }
    int status = conclude(&count, &got, err_out);
    pc_wal_recovered_clear(&got);
    return status;
}

/* Looks again, for the node may have run before the lock was taken. */
static pc_err repair_locked(const struct pc_fs *fs, const char *dir, const char *source, FILE *out,
    FILE *err_out, struct pc_error *error)
{
    struct pc_wal_recovered got;
    struct pc_raft_base base;
    pc_err err = pclog_find_base(fs, dir, &base, NULL, error);
    if (err == PC_OK) {
        err = pc_wal_scan(fs, dir, &base, NULL, NULL, &got, error);
    }
    if (err != PC_OK) {
        return err;
    }
    bool has_gaps = got.gaps_n > 0;
    pc_wal_recovered_clear(&got);
    return has_gaps ? pclog_repair(fs, dir, &base, source, out, err_out, error) : PC_OK;
}

static int repair(
    const struct pc_fs *fs, const char *dir, const char *from, FILE *out, FILE *err_out)
{
    struct count count = {.out = out};
    struct pc_wal_recovered got, other;
    struct pc_error error = {0};
    char where[DIR_BYTES], source[DIR_BYTES];
    pc_err err = scan(fs, dir, &count, &got, where, err_out, &error);
    if (err != PC_OK) {
        return fail_with(out, err_out, err, &error);
    }
    bool has_gaps = got.gaps_n > 0;
    if (from == NULL || !has_gaps) {
        int status = conclude(&count, &got, err_out);
        if (status == PCLOG_DAMAGED) {
            (void)fputs(promise, err_out);
        }
        pc_wal_recovered_clear(&got);
        return status;
    }
    pc_wal_recovered_clear(&got);
    struct count ignored = {.out = out, .alone = true};
    err = scan(fs, from, &ignored, &other, source, err_out, &error);
    int lock = -1;
    if (err == PC_OK) {
        pc_wal_recovered_clear(&other);
        err = fs == pc_fs_posix() ? pclog_lock(where, &lock, &error) : PC_OK;
    }
    if (err == PC_OK) {
        err = repair_locked(fs, where, source, out, err_out, &error);
        pclog_unlock(lock);
    }
    return err != PC_OK ? fail_with(out, err_out, err, &error)
                        : run(fs, where, false, out, err_out);
}

static int snapshot(const struct pc_fs *fs, const char *path, bool loads, FILE *out, FILE *err_out)
{
    struct pc_error error = {0};
    pc_err err = pclog_snapshot(fs, path, loads, out, err_out, &error);
    if (err != PC_OK) {
        return fail_with(out, err_out, err, &error);
    }
    return fflush(out) == 0 && !ferror(out) ? PCLOG_GOOD : PCLOG_LOCAL_IO;
}

/* A whole number above 0; else 0. */
static pc_index index_of(const char *text)
{
    char *end;
    bool is_number = text[0] >= '1' && text[0] <= '9';
    unsigned long long number = is_number ? strtoull(text, &end, 10) : 0;
    return is_number && *end == '\0' ? number : 0;
}

/* dump DIR --json [--from INDEX]. False when the words are others. */
static bool dump_json(
    const struct pc_fs *fs, int argc, char **argv, FILE *out, FILE *err_out, int *status)
{
    bool has_from = argc == 6 && strcmp(argv[4], "--from") == 0 && index_of(argv[5]) > 0;
    bool is_it =
        (argc == 4 || has_from) && strcmp(argv[1], "dump") == 0 && strcmp(argv[3], "--json") == 0;
    if (is_it) {
        struct pc_error error = {0};
        pc_err err = pclog_dump_json(fs, argv[2], has_from ? index_of(argv[5]) : 0, out, &error);
        *status = err != PC_OK                       ? fail_with(out, err_out, err, &error)
                  : fflush(out) == 0 && !ferror(out) ? PCLOG_GOOD
                                                     : PCLOG_LOCAL_IO;
    }
    return is_it;
}

int pc_pclog_run(const struct pc_fs *fs, int argc, char **argv, FILE *out, FILE *err_out)
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(help, out);
        return PCLOG_GOOD;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        fprintf(out, "pclog %s\n", PC_VERSION);
        return PCLOG_GOOD;
    }
    bool is_repair = argc >= 3 && strcmp(argv[1], "repair") == 0;
    if (is_repair && (argc == 3 || (argc == 5 && strcmp(argv[3], "--from") == 0))) {
        return repair(fs, argv[2], argc == 5 ? argv[4] : NULL, out, err_out);
    }
    bool loads = argc == 4 && strcmp(argv[3], "--load") == 0;
    if ((argc == 3 || loads) && strcmp(argv[1], "snapshot") == 0) {
        return snapshot(fs, argv[2], loads, out, err_out);
    }
    int status;
    if (dump_json(fs, argc, argv, out, err_out, &status)) {
        return status;
    }
    bool dump = argc == 3 && strcmp(argv[1], "dump") == 0;
    bool verify = argc == 3 && strcmp(argv[1], "verify") == 0;
    if (!dump && !verify) {
        (void)fputs(help, err_out);
        return PCLOG_USAGE;
    }
    return run(fs, argv[2], dump, out, err_out);
}
