/* seeds DIR: writes the inputs that fuzzing begins with to DIR/<target>/, made by the real
 * encoders, so that no target has to guess its format. Programs of operations begin with drawn
 * ones. */
#include <stdio.h>
#include <sys/stat.h>

#include "edge/gossip/gossip_int.h"
#include "fuzz/kit/fuzz.h"
#include "fuzz/kit/raft_craft.h"
#include "pcache/branch.h"
#include "pcache/mpack.h"
#include "pcache/prng.h"
#include "pcache/snap.h"
#include "pcache/wire_entry.h"
#include "pcache/wire_swim.h"
#include "support/sim_fs.h"

static const char *root;

static void put(const char *target, const char *name, const void *bytes, size_t len)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", root, target);
    (void)mkdir(path, 0777);
    (void)snprintf(path, sizeof path, "%s/%s/%s", root, target, name);
    FILE *file = fopen(path, "we");
    if (file == NULL || (len > 0 && fwrite(bytes, 1, len, file) != len) || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void put_buf(const char *target, const char *name, struct pc_buf *bytes)
{
    put(target, name, bytes->data, bytes->len);
    pc_buf_destroy(bytes);
}

/* ---- what nodes say to each other */
static void put_msg(const char *name, const struct pc_msg *msg)
{
    struct pc_buf bytes = {0};
    pc_wire_encode_msg(msg, &bytes);
    put("mpack", name, bytes.data, bytes.len);
    put_buf("wire_msg", name, &bytes);
}

static struct pc_entry make_entry(pc_index index, enum pc_entry_kind kind)
{
    struct pc_entry entry = {.index = index,
        .term = 3,
        .stamp_ms = 123456,
        .req = {.node = 7, .boot = 8, .seq = index},
        .kind = kind};
    entry.body = craft_body(kind, (uint8_t)index, (uint32_t)index);
    return entry;
}

static void make_raft_messages(void)
{
    static const char *const names[] = {
        "", "vote", "vote-resp", "append", "append-resp", "read", "read-resp", "timeout-now"};
    for (int type = PC_RAFT_MSG_VOTE; type <= PC_RAFT_MSG_TIMEOUT_NOW; type++) {
        struct pc_msg msg = {.type = PC_MSG_RAFT};
        msg.raft.type = (enum pc_raft_msg_type)type;
        msg.raft.term = 5;
        for (pc_index i = 1; type == PC_RAFT_MSG_APPEND && i <= 3; i++) {
            struct pc_entry entry = make_entry(i, (enum pc_entry_kind)i);
            pc_entries_push(&msg.raft.entries, &entry);
            pc_entry_clear(&entry);
        }
        put_msg(names[type], &msg);
        pc_msg_clear(&msg);
    }
}

static void make_forwards(void)
{
    for (int refused = 0; refused < 2; refused++) {
        struct pc_msg msg = {.type = refused ? PC_MSG_FORWARD_REFUSED : PC_MSG_FORWARD};
        msg.forward.boot = 1234567;
        msg.forward.reason = refused ? PC_REFUSAL_LOG_FULL : PC_REFUSAL_NONE;
        msg.forward.items_n = 2;
        msg.forward.items = pc_xalloc(2 * sizeof *msg.forward.items);
        for (uint32_t i = 0; i < 2; i++) {
            msg.forward.items[i] = (struct pc_forward_item){.seq = i + 1, .attempt = i};
            msg.forward.items[i].body = refused ? NULL : craft_body(PC_ENTRY_COMMAND, 0, i);
        }
        put_msg(refused ? "forward-refused" : "forward", &msg);
        pc_msg_clear(&msg);
    }
    struct pc_msg fetch = {.type = PC_MSG_FETCH, .fetch = {.nonce = 7, .first = 3, .last = 90}};
    put_msg("fetch", &fetch);
    struct pc_msg entries = {.type = PC_MSG_ENTRIES, .fetch = {.nonce = 7, .first = 3, .term = 4}};
    for (pc_index i = 3; i < 5; i++) {
        struct pc_entry entry = make_entry(i, PC_ENTRY_COMMAND);
        pc_entries_push(&entries.fetch.v, &entry);
        pc_entry_clear(&entry);
    }
    put_msg("entries", &entries);
    pc_msg_clear(&entries);
    struct pc_msg disk = {.type = PC_MSG_DISK,
        .disk = {.level = PC_SPACE_HARD, .free_bytes = 1 << 20, .sync_us = 900}};
    put_msg("disk", &disk);
    struct pc_msg form = {.type = PC_MSG_FORM, .form = make_entry(1, PC_ENTRY_CONFIG)};
    put_msg("form", &form);
    pc_msg_clear(&form);
}

/* ---- snapshots */
static void make_chunks(void)
{
    struct pc_wire_chunk chunk = {0};
    for (unsigned n = 0; n <= 20; n += 4) {
        char name[32], key[32];
        pc_wire_chunk_begin(&chunk);
        for (unsigned i = 0; i < n; i++) {
            (void)snprintf(key, sizeof key, "key%u", i);
            struct pc_item item = {.key = pc_slice_str(key),
                .value = craft_body(PC_ENTRY_COMMAND, 0, i),
                .content_type = pc_slice_str(i % 3 == 0 ? "text/plain" : ""),
                .version = 70000 + i,
                .created = i + 1,
                .deadline_ms = i % 2 == 0 ? 0 : 500 * (uint64_t)i};
            (void)pc_wire_chunk_add(&chunk, &item);
            pc_blob_unref(item.value);
        }
        struct pc_slice bytes = pc_wire_chunk_end(&chunk);
        (void)snprintf(name, sizeof name, "items-%u", n);
        put("chunk", name, bytes.data, bytes.len);
    }
    pc_buf_destroy(&chunk.bytes);
}

static struct pc_blob *make_meta(void)
{
    struct pc_blob *config = craft_body(PC_ENTRY_CONFIG, 1, 1), *out = NULL;
    struct pc_snapshot_meta meta = {.history = {1},
        .base = {.index = 70000, .term = 3, .stamp_ms = 5000, .chain = {{7}}},
        .config_index = 1,
        .config = pc_blob_slice(config),
        .digest = {{9}},
        .items = 1000};
    struct pc_buf bytes = {0};
    pc_wire_encode_snapshot_meta(&meta, &bytes);
    put("chunk", "meta", bytes.data, bytes.len);
    PC_ASSERT(pc_blob_new(pc_slice_of(bytes.data, bytes.len), &out) == PC_OK);
    pc_buf_destroy(&bytes);
    pc_blob_unref(config);
    return out;
}

static void make_snapshot_messages(void)
{
    static const char *const names[] = {"ask", "meta", "get", "chunk"};
    for (int type = PC_MSG_SNAP_ASK; type <= PC_MSG_SNAP_CHUNK; type++) {
        for (int empty = 0; empty < 2; empty++) {
            char name[32];
            struct pc_msg msg = {.type = (enum pc_msg_type)type, .snapshot = {.nonce = 7}};
            bool is_meta = type == PC_MSG_SNAP_META;
            if (!empty && (is_meta || type == PC_MSG_SNAP_CHUNK)) {
                msg.snapshot.body = make_meta();
                msg.snapshot.chunks = is_meta ? 5 : 0;
            }
            msg.snapshot.index = is_meta ? 0 : 70000;
            (void)snprintf(name, sizeof name, "snapshot-%s%s", names[type - PC_MSG_SNAP_ASK],
                empty ? "-empty" : "");
            put_msg(name, &msg);
            pc_msg_clear(&msg);
        }
    }
}

static void make_entries(void)
{
    static const char *const names[] = {"", "noop", "config", "command"};
    for (int kind = PC_ENTRY_NOOP; kind <= PC_ENTRY_COMMAND; kind++) {
        struct pc_entry entry = make_entry(300, (enum pc_entry_kind)kind);
        struct pc_buf bytes = {0};
        pc_wire_encode_entry(&entry, &bytes);
        put_buf("wire_entry", names[kind], &bytes);
        pc_entry_clear(&entry);
    }
    for (uint8_t i = 0; i < 10; i++) { /* without a condition, and with one */
        char name[32];
        struct pc_blob *body = craft_body(PC_ENTRY_COMMAND, i < 5 ? i : 128 + i, i < 5 ? 4 : i);
        (void)snprintf(name, sizeof name, "body-%u", i);
        put("wire_entry", name, body->data, body->len);
        pc_blob_unref(body);
    }
}

static void make_swim_messages(void)
{
    for (int type = PC_SWIM_PING; type <= 8; type++) {
        char name[32];
        struct pc_swim_msg msg = {.type = (enum pc_swim_msg_type)type,
            .from = 5,
            .from_generation = 6,
            .nonce = 77,
            .target_id = 8,
            .pages = 1,
            .updates_n = (uint32_t)type};
        for (uint32_t i = 0; i < msg.updates_n; i++) {
            msg.updates[i] = (struct pc_member){.id = i + 1,
                .name = "node",
                .generation = 9,
                .incarnation = i,
                .state = (enum pc_member_state)(PC_MEMBER_ALIVE + i % 4),
                .addr = {.ip = {[15] = (uint8_t)i}, .port = 7946}};
        }
        struct pc_buf bytes = {0};
        pc_buf_append_u8(&bytes, 1);
        PC_ASSERT(pc_wire_encode_swim(&msg, &bytes) == PC_OK);
        (void)snprintf(name, sizeof name, "type-%d", type);
        put("mpack", name, bytes.data + 1, bytes.len - 1);
        put_buf("gossip", name, &bytes);
    }
}

static void make_datagram(void)
{
    static const struct gossip_cluster cluster = {.key = {1, 2, 3}, .id = {4, 5, 6}};
    struct gossip_head head = {.life = {.sender = 5, .generation = 6}, .counter = 9};
    uint8_t key[GOSSIP_KEY_BYTES], bytes[1 + PC_GOSSIP_PACKET_BYTES_MAX] = {0};
    memset(key, 1, sizeof key);
    size_t len = gossip_seal(&cluster, key, &head, pc_slice_str("text"), bytes + 1);
    put("gossip", "sealed-with-another-key", bytes, 1 + len);
}

/* ---- snapshots, in the bytes of fuzz_snap.c */
/* A file as the writer leaves it: whole, or (kept) as a transfer that was interrupted. */
static void put_snapshot(const char *name, const char *path, uint8_t how)
{
    struct pc_sim_fs *disk = pc_sim_fs_new(1);
    const struct pc_fs *fs = pc_sim_fs_port(disk);
    struct pc_error error;
    struct pc_snap_writer *writer = NULL;
    struct pc_snap_info info;
    struct pc_blob *config = craft_body(PC_ENTRY_CONFIG, 0, 0);
    struct pc_snapshot_meta meta = {
        .base = {.index = 7, .term = 1}, .config_index = 1, .config = pc_blob_slice(config)};
    struct pc_slice no_items = pc_slice_of("\x90", 1);
    struct pc_hash hash = {{1}};
    bool part = (how & 4) != 0;
    PC_ASSERT(
        pc_snap_writer_open(fs, ".", &meta.base, part ? &hash : NULL, &writer, &error) == PC_OK);
    PC_ASSERT(pc_snap_writer_put(writer, no_items, &error) == PC_OK);
    PC_ASSERT(part || pc_snap_writer_put(writer, no_items, &error) == PC_OK);
    PC_ASSERT(part || pc_snap_writer_finish(writer, &meta, &info, &error) == PC_OK);
    pc_snap_writer_close(writer);
    uint8_t bytes[2048] = {how};
    size_t got = 0;
    pc_fd fd;
    PC_ASSERT(fs->open_read(fs->context, path, &fd, &error) == PC_OK);
    PC_ASSERT(fs->read_at(fs->context, fd, 0, bytes + 1, sizeof bytes - 1, &got, &error) == PC_OK);
    put("snap", name, bytes, 1 + got);
    pc_blob_unref(config);
    pc_sim_fs_delete(disk);
}

static void make_snapshots(void)
{
    put_snapshot("whole", "./snap-0000000000000007.snp", 0);
    put_snapshot("whole-footer-fits", "./snap-0000000000000007.snp", 1);
    put_snapshot("whole-all-fits", "./snap-0000000000000007.snp", 3);
    put_snapshot("part", "./snap-0000000000000007.part", 4);
    put_snapshot("part-its-own", "./snap-0000000000000007.part", 14);
}

/* ---- branches, in the bytes of fuzz_branch.c */
static void put_branch_records(struct pc_branch_writer *writer, unsigned records)
{
    for (unsigned n = 1; n <= records; n++) {
        struct pc_error error;
        struct pc_buf body = {0};
        struct pc_command command = {.op = n % 3 == 0 ? PC_OP_DELETE : PC_OP_SET,
            .key = pc_slice_str("key"),
            .value = pc_slice_str(n % 3 == 0 ? "" : "value")};
        pc_wire_encode_command(&command, &body);
        struct pc_branch_record record = {.number = n,
            .stamp_ms = n,
            .has_before = n % 2 == 0,
            .before_version = n % 2 == 0 ? 3 : 0};
        PC_ASSERT(pc_blob_new(pc_slice_of(body.data, body.len), &record.command) == PC_OK);
        if (n == 2) {
            record.before = pc_blob_ref(record.command);
        }
        pc_branch_writer_put(writer, &record);
        PC_ASSERT(n % 2 == 0 || pc_branch_writer_sync(writer, &error) == PC_OK);
        pc_branch_record_clear(&record);
        pc_buf_destroy(&body);
    }
}

static void put_branch(const char *name, uint8_t how, unsigned records, bool ends)
{
    struct pc_sim_fs *disk = pc_sim_fs_new(1);
    const struct pc_fs *fs = pc_sim_fs_port(disk);
    struct pc_error error;
    struct pc_branch_info info = {.name = ""};
    struct pc_branch_head head = {.node = 5, .name = "node3", .id = {1}, .begun_ms = 1};
    struct pc_branch_writer *writer = NULL;
    char path[128] = "./branch.open";
    PC_ASSERT(pc_branch_writer_begin(fs, ".", &head, &writer, &error) == PC_OK);
    put_branch_records(writer, records);
    if (ends) {
        PC_ASSERT(pc_branch_writer_end(writer, 9, &info, &error) == PC_OK);
        PC_ASSERT(pc_branch_path(".", info.name, path, sizeof path));
    }
    pc_branch_writer_close(writer);
    uint8_t bytes[8192] = {how};
    size_t got = 0;
    pc_fd fd;
    PC_ASSERT(fs->open_read(fs->context, path, &fd, &error) == PC_OK);
    PC_ASSERT(fs->read_at(fs->context, fd, 0, bytes + 1, sizeof bytes - 1, &got, &error) == PC_OK);
    put("branch", name, bytes, 1 + got);
    pc_sim_fs_delete(disk);
}

static void make_branches(void)
{
    put_branch("closed", 0, 5, true);
    put_branch("closed-fits", 3, 5, true);
    put_branch("open", 4, 3, false);
    put_branch("open-fits", 7, 5, false);
    put_branch("open-with-an-end", 7, 3, true);
    put_branch("open-without-records", 7, 0, false);
}

/* ---- texts */
struct text {
    const char *target, *name, *text;
};

static const struct text texts[] = {
    {"http_head", "get", "\0\0\0\0GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n"},
    {"http_head", "put",
        "\0\3\0\0PUT /v1/kv/a?ttl=5s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"},
    {"http_head", "post",
        "\1\7\0\0POST /api/cache/k HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        "Content-Length: 10\r\nConnection: close\r\n\r\n"},
    {"http_head", "old", "\0\1\0\0HEAD / HTTP/1.0\r\nAccept:  */* \r\nX: \t1\r\n\r\n"},
    {"http_head", "smuggled",
        "\0\1\0\0POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        "Content-Length: 4\r\n\r\n0\r\n\r\n"},
    {"http_target", "kv", "\0/v1/kv/a%2Fb?consistency=local"},
    {"http_target", "cache", "\x0c/api/cache/key/?ttl=30s"},
    {"http_target", "put", "\x08/v1/kv/%00%ff?ttl=0"},
    {"http_target", "log", "\0/v1/log?from=3&limit=2&wait=30s"},
    {"http_target", "transfer", "\x0c/v1/leader/transfer?target=node2"},
    {"http_target", "ttl",
        "\1"
        "3153600000s"},
    {"http_target", "if-match", "\x05 \"88213\""},
    {"http_target", "if-match-weak", "\x05W/\"7\", \"8\""},
    {"http_target", "if-none-match", "\x0d*"},
    {"http_target", "patch", "\2{\"ttl\": \"5m\"}"},
    {"http_target", "patch-null", "\2 {\"ttl\":null}"},
    {"http_target", "json", "\3{\"a\":[1,-2.5e3,true,null,\"\\u00e9\\ud83d\\ude00\"]}"},
    {"http_target", "utf8", "\3\xc3\xa9\xf0\x9f\x98\x80 \xed\xa0\x80"},
    {"config", "file",
        "\0[node]\nname = a\n[cluster]\nname = c1\n[http]\nlisten = 127.0.0.1:0 ; any\n"
        "[log]\nfsync = always\nsegment_bytes = 64MiB\n[raft]\nheartbeat = 50ms\n"},
    {"config", "layers",
        "\2ePCACHED_HTTP_LISTEN=127.0.0.1:8001\nslog.level=debug\n[limits]\nvalue_bytes=2MiB\n"},
    {"config", "members",
        "\0[cluster]\nmembers = a=127.0.0.1:1,\n    b=h.example:2,\n    c=[::1]:3\n"
        "key_file = none\n[node]\nname=b\n"},
    {"cli", "all", "-c\ncluster.ini\n--set\nhttp.listen=[::1]:80\n--check-config"},
    {"cli", "members", "a=127.0.0.1:7000,b=host:2\n500ms\n64KiB\ntrue"},
    {"cli", "address", "127.0.0.1:65535\n[fe80::1:0:0:2]:1\n[::ffff:1.2.3.4]:9\n[::]:0"},
    {"lincheck", "history",
        "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"status\":\"ok\",\"version\":"
        "4,"
        "\"index\":4,\"node\":\"n1\",\"t0_us\":10,\"t1_us\":20,\"id\":\"x-1\"}\n"
        "{\"client\":2,\"op\":\"get\",\"key\":\"k\",\"value\":\"a\",\"status\":\"ok\",\"version\":"
        "4,"
        "\"index\":5,\"node\":\"n2\",\"t0_us\":30,\"t1_us\":40,\"consistency\":\"local\"}\n"
        "{\"client\":1,\"op\":\"delete\",\"key\":\"k\",\"status\":\"info\",\"t0_us\":35,\"t1_us\":"
        "90}\n"},
    {"lincheck", "counter",
        "{\"client\":1,\"op\":\"incr\",\"key\":\"c\",\"delta\":2,\"value\":\"2\",\"status\":\"ok\","
        "\"version\":3,\"t0_us\":1,\"t1_us\":2}\n"
        "{\"client\":1,\"op\":\"cas\",\"key\":\"d\",\"expect\":0,\"value\":\"\\u0041\",\"status\":"
        "\"fail\",\"refused\":true,\"t0_us\":3,\"t1_us\":4,\"ttl_ms\":50}\n"
        "{\"client\":1,\"op\":\"get\",\"key\":\"c\",\"value\":null,\"status\":\"ok\",\"final\":"
        "true,"
        "\"session\":2,\"t0_us\":5,\"t1_us\":6}\n"},
    {"identity", "new",
        "\3pcache-identity 1 0 00000000000000ab 1700000000000 0\n"
        "pcache-identity 1 1 00000000000000ab 1700000000000 0"},
    {"identity", "raised",
        "\3pcache-identity 1 0 f0000000000000ab 18446744073709551614 1\n"
        "pcache-identity 1 1 f0000000000000ab 17 1"},
    {"identity", "damaged", "\2pcache-identity 1\npcache-identity 1 1 00000000000000ab 17 0"},
    {"identity", "newer", "\3pcache-identity 2\npcache-identity 1 1 00000000000000ab 17 0"},
};

static void make_texts(void)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        /* The first bytes may be zero: the text begins behind them. */
        const char *text = texts[i].text;
        size_t head = strcmp(texts[i].target, "http_head") == 0 ? 4 : 1;
        bool is_bare =
            strcmp(texts[i].target, "cli") == 0 || strcmp(texts[i].target, "lincheck") == 0;
        head = is_bare ? 0 : head;
        put(texts[i].target, texts[i].name, text, head + strlen(text + head));
    }
}

/* ---- conversations, in the bytes of fuzz_bus.c and fuzz_http.c */
static void make_bus_sessions(void)
{
    /* greeting, stream header, HELLO of another node in generation 3 */
    static const uint8_t hello[] = {0, 0, 3, 5, 1, 3, 0};
    for (uint8_t flags = 0; flags < 8; flags++) {
        char name[32];
        struct pc_buf bytes = {0}, body = {0};
        struct pc_msg msg = {.type = PC_MSG_RAFT};
        msg.raft.type = PC_RAFT_MSG_TIMEOUT_NOW;
        msg.raft.term = 7;
        pc_wire_encode_msg(&msg, &body);
        pc_buf_append_u8(&bytes, flags);
        pc_buf_append(&bytes, hello, sizeof hello);
        pc_buf_append_u8(&bytes, 4); /* a frame that is a message */
        pc_buf_append_u8(&bytes, 3);
        pc_buf_append_u8(&bytes, 0);
        pc_buf_append_u8(&bytes, (uint8_t)body.len);
        pc_buf_append(&bytes, body.data, body.len);
        pc_buf_append(&bytes, "\4\4\1\0", 4); /* BYE */
        pc_buf_destroy(&body);
        (void)snprintf(name, sizeof name, "session-%u", flags);
        put_buf("bus", name, &bytes);
    }
}

static void make_http_sessions(void)
{
    char all[256];
    size_t len = 0;
    for (uint8_t which = 0; which < 16; which++) {
        char name[32];
        const char call[] = {3, (char)which, 1, 4, 4, 3, 0, 0, 4};
        (void)snprintf(name, sizeof name, "call-%u", which);
        put("http", name, call, sizeof call);
        memcpy(all + len, call, 4);
        len += 4;
    }
    put("http", "calls", all, len);
    /* Pages of the log, a wait that a write ends, one that nothing ends, and one in a drain. */
    static const char log_calls[] = {3, (char)240, 0, 4, 3, (char)242, 0, 4, 3, 1, 1, 4, 7, 1, 3,
        (char)243, 0, 4, 7, 0, 3, 1, 1, 4, 3, 1, 1, 4, 4, 7, 2, 3, (char)240, 0, 8, 4, 3, (char)243,
        0, 5, (char)255, 8, 4, 7, 1, 3, (char)243, 0, 4, 9, 0, 4, 6, 0};
    put("http", "log", log_calls, sizeof log_calls);
    static const char text[] = "GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n"
                               "PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
                               "GET / ";
    struct pc_buf bytes = {0};
    pc_buf_append_u8(&bytes, 0);
    pc_buf_append_u8(&bytes, sizeof text - 1);
    pc_buf_append(&bytes, text, sizeof text - 1);
    pc_buf_append(&bytes, "\4\4\6\0", 4);
    put_buf("http", "pipelined", &bytes);
}

/* ---- programs */
static void make_programs(const char *target, size_t ops)
{
    struct pc_prng dice;
    pc_prng_seed(&dice, ops);
    for (int k = 0; k < 8; k++) {
        char name[32];
        struct pc_buf bytes = {0};
        for (size_t i = 0; i < ops * FUZZ_OP_BYTES; i++) {
            uint64_t bound = pc_prng_below(&dice, 3) == 0 ? 256 : 16;
            pc_buf_append_u8(&bytes, (uint8_t)pc_prng_below(&dice, bound));
        }
        (void)snprintf(name, sizeof name, "drawn-%d", k);
        put_buf(target, name, &bytes);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: seeds DIR\n");
        return 64;
    }
    root = argv[1];
    make_raft_messages();
    make_forwards();
    make_chunks();
    make_snapshot_messages();
    make_entries();
    make_swim_messages();
    make_datagram();
    make_snapshots();
    make_branches();
    make_texts();
    make_bus_sessions();
    make_http_sessions();
    static const char *const programs[] = {
        "raft", "raft_net", "swim", "store", "vote", "wal_log", "wal_segment", "node", "repair"};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        make_programs(programs[i], 40);
    }
    return 0;
}
