/* pclog: looks into a log directory while no node uses it. Nothing is ever written. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/fs.h"
#include "pcache/wal.h"
#include "pcache/wire.h"

enum { EXIT_NO = 1, EXIT_USAGE = 2, EXIT_LOCAL_IO = 6, EXIT_DAMAGED = 8 };

static const char help[] =
    "usage: pclog dump DIR      print every record of the log in DIR, one per line\n"
    "       pclog verify DIR    check every record, print a summary\n"
    "       pclog --help | --version\n"
    "\n"
    "DIR is the node's log directory (with log-*.seg, vote-0 and vote-1), or a data directory "
    "that\n"
    "holds it under the name `log`. Nothing is written. The node should be stopped: of a running\n"
    "one the last records may be seen half written.\n"
    "\n"
    "exit status: 0 good; 1 there is no log; 2 wrong usage; 6 it cannot be read; 8 it is damaged\n";

/* A key as text: what is not printable ASCII comes out as \xNN. */
static void print_key(struct pc_slice key)
{
    putchar('"');
    for (size_t i = 0; i < key.len; i++) {
        uint8_t c = key.data[i];
        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c >= 0x20 && c < 0x7f) {
            putchar(c);
        } else {
            printf("\\x%02x", c);
        }
    }
    putchar('"');
}

static void print_command(struct pc_slice body)
{
    static const char *const names[] = {
        [PC_OP_SET] = "set",
        [PC_OP_DELETE] = "delete",
        [PC_OP_EXPIRE] = "expire",
        [PC_OP_PERSIST] = "persist",
        [PC_OP_TICK] = "tick",
    };
    struct pc_command command;
    pc_err err = pc_wire_decode_command(body, &command);
    if (err != PC_OK) {
        printf(" op=unknown bytes=%zu error=\"%s\"", body.len, pc_err_text(err));
        return;
    }
    printf(" op=%s", names[command.op]);
    if (command.key.len > 0) {
        printf(" key=");
        print_key(command.key);
    }
    if (command.op == PC_OP_SET) {
        printf(" value_bytes=%zu", command.value.len);
    }
    if (command.has_ttl) {
        printf(" ttl_ms=%" PRIu64, command.ttl_ms);
    }
}

static void print_config(struct pc_slice body)
{
    struct pc_cluster_config config;
    if (pc_wire_decode_config(body, &config) != PC_OK) {
        printf(" members=unknown bytes=%zu", body.len);
        return;
    }
    char history[33];
    pc_hex_encode(config.history, sizeof config.history, history);
    printf(" history=%s members=", history);
    for (size_t i = 0; i < config.members_n; i++) {
        printf("%s%s:%016" PRIx64, i == 0 ? "" : ",", config.members[i].name, config.members[i].id);
    }
}

static void print_entry(const struct pc_entry *entry)
{
    struct pc_slice body = pc_blob_slice(entry->body);
    printf(" stamp=%" PRIu64, entry->stamp_ms);
    switch (entry->kind) {
    case PC_ENTRY_NOOP:
        printf(" kind=noop");
        break;
    case PC_ENTRY_CONFIG:
        printf(" kind=config");
        print_config(body);
        break;
    case PC_ENTRY_COMMAND:
        printf(" kind=command req=%016" PRIx64 "/%" PRIu64 "/%" PRIu64, entry->req.node,
            entry->req.boot, entry->req.seq);
        print_command(body);
        break;
    }
}

struct count {
    bool dump;
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
    count->entries += record->type == PC_WAL_RECORD_ENTRY;
    count->truncations += record->type == PC_WAL_RECORD_TRUNCATE;
    count->notes += record->type == PC_WAL_RECORD_NOTE;
    if (!count->dump) {
        return;
    }
    printf("%s+%" PRIu64 " %s index=%" PRIu64 " term=%" PRIu64, record->segment, record->offset,
        names[record->type], record->index, record->term);
    if (record->entry != NULL) {
        print_entry(record->entry);
    }
    printf(" commit=%" PRIu64 " durable=%" PRIu64 "\n", record->commit, record->durable_upto);
}

static int exit_status(pc_err err)
{
    switch (err) {
    case PC_OK:
        return EXIT_SUCCESS;
    case PC_E_NOT_FOUND:
        return EXIT_NO;
    case PC_E_INVALID:
        return EXIT_USAGE;
    case PC_E_CORRUPT:
    case PC_E_VERSION:
        return EXIT_DAMAGED;
    default:
        return EXIT_LOCAL_IO;
    }
}

static void print_summary(const struct count *count, const struct pc_wal_recovered *got)
{
    printf("good: entries %" PRIu64 "..%" PRIu64 ", commit %" PRIu64 ", term %" PRIu64
           ", vote %016" PRIx64 "\n",
        got->first, got->last, got->commit, got->term, got->vote);
    printf("records: %" PRIu64 " entries, %" PRIu64 " truncations, %" PRIu64 " notes\n",
        count->entries, count->truncations, count->notes);
    if (got->cut_bytes > 0) {
        printf("torn tail: %" PRIu64 " bytes of %s at offset %" PRIu64
               " were never synced and will be cut at the next start\n",
            got->cut_bytes, got->cut_segment, got->cut_offset);
    }
}

static int run(const char *dir, bool dump)
{
    struct count count = {.dump = dump};
    struct pc_wal_recovered got;
    struct pc_error error = {0};
    pc_err err = pc_wal_scan(pc_fs_posix(), dir, on_record, &count, &got, &error);
    if (err == PC_E_NOT_FOUND) {
        char below[4096];
        int used = snprintf(below, sizeof below, "%s/log", dir);
        struct pc_error below_error = {0};
        if (used > 0 && (size_t)used < sizeof below) {
            err = pc_wal_scan(pc_fs_posix(), below, on_record, &count, &got, &below_error);
            error = err == PC_E_NOT_FOUND ? error : below_error;
        }
    }
    if (err != PC_OK) {
        (void)fflush(stdout);
        fprintf(stderr, "pclog: %s\n", error.text);
        return exit_status(err);
    }
    if (!dump) {
        print_summary(&count, &got);
    }
    pc_wal_recovered_clear(&got);
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_LOCAL_IO;
}

int main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(help, stdout);
        return EXIT_SUCCESS;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("pclog %s\n", PC_VERSION);
        return EXIT_SUCCESS;
    }
    bool dump = argc == 3 && strcmp(argv[1], "dump") == 0;
    bool verify = argc == 3 && strcmp(argv[1], "verify") == 0;
    if (!dump && !verify) {
        (void)fputs(help, stderr);
        return EXIT_USAGE;
    }
    return run(argv[2], dump);
}
