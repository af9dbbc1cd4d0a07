/* What stands in the log: entries, and the bodies of COMMAND and CONFIG entries. What decodes,
 * encodes to the same bytes, because the chain hashes them. */
#include "fuzz/kit/fuzz.h"

#include "pcache/limits.h"
#include "pcache/protocol.h"
#include "pcache/wire.h"
#include "pcache/wire_entry.h"

static void check_same(const struct pc_buf *again, struct pc_slice bytes)
{
    FUZZ_CHECK(
        "one encoding per value", pc_slice_equal(pc_slice_of(again->data, again->len), bytes));
}

static void try_command(struct pc_slice bytes, struct pc_buf *again)
{
    struct pc_command command;
    if (pc_wire_decode_command(bytes, &command) == PC_OK) {
        FUZZ_CHECK("command.h", command.op >= PC_OP_SET && command.op <= PC_OP_TICK);
        FUZZ_CHECK("command.h", command.key.len <= PC_KEY_BYTES_MAX);
        FUZZ_CHECK("command.h", (command.key.len == 0) == (command.op == PC_OP_TICK));
        FUZZ_CHECK("command.h", command.op != PC_OP_EXPIRE || command.has_ttl);
        FUZZ_CHECK("command.h", !command.has_ttl || command.ttl_ms <= PC_TTL_MS_MAX);
        FUZZ_CHECK("command.h", command.condition <= PC_IF_PRESENT);
        FUZZ_CHECK("command.h", command.condition == PC_IF_ANY || command.op != PC_OP_TICK);
        FUZZ_CHECK("command.h", (command.if_version != 0) == (command.condition == PC_IF_VERSION));
        FUZZ_CHECK("command.h", command.if_version <= PC_VERSION_MAX);
        bool is_newer = pc_wire_command_protocol(bytes) > PC_PROTOCOL_FIRST;
        FUZZ_CHECK("the first byte tells", is_newer == (command.condition != PC_IF_ANY));
        pc_wire_encode_command(&command, again);
        check_same(again, bytes);
    }
}

static void try_config(struct pc_slice bytes, struct pc_buf *again)
{
    struct pc_cluster_config config;
    if (pc_wire_decode_config(bytes, &config) == PC_OK) {
        FUZZ_CHECK("wire.h", pc_wire_config_is_valid(&config));
        for (size_t i = 0; i < config.members_n; i++) {
            const char *name = config.members[i].name;
            FUZZ_CHECK("names end", memchr(name, '\0', PC_NAME_BYTES_MAX + 1) != NULL);
            FUZZ_CHECK("names ascend", i == 0 || strcmp(config.members[i - 1].name, name) <= 0);
            FUZZ_CHECK("voters have ids", config.members[i].id != 0 || !config.members[i].votes);
        }
        pc_wire_encode_config(&config, again);
        check_same(again, bytes);
    }
}

static void try_entry(struct pc_slice bytes, struct pc_buf *again)
{
    struct pc_entry entry;
    if (pc_wire_decode_entry(bytes, &entry) != PC_OK) {
        return;
    }
    FUZZ_CHECK("entry.h", entry.index > 0 && entry.term > 0);
    FUZZ_CHECK("entry.h", entry.kind >= PC_ENTRY_NOOP && entry.kind <= PC_ENTRY_COMMAND);
    pc_wire_encode_entry(&entry, again);
    check_same(again, bytes);
    FUZZ_CHECK("the overhead has a bound",
        again->len <= pc_blob_slice(entry.body).len + PC_ENTRY_OVERHEAD_BYTES_MAX);
    pc_buf_reset(again);
    try_command(pc_blob_slice(entry.body), again);
    pc_buf_reset(again);
    try_config(pc_blob_slice(entry.body), again);
    pc_entry_clear(&entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct pc_slice bytes = pc_slice_of(in.at, size);
    struct pc_buf again = {0};
    try_entry(bytes, &again);
    pc_buf_reset(&again);
    try_command(bytes, &again);
    pc_buf_reset(&again);
    try_config(bytes, &again);
    pc_buf_destroy(&again);
    return 0;
}
