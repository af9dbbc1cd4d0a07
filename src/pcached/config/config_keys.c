/* The table of keys: parsing, --print-config, --help and the man page are made from it. */
#include "config_int.h"

#include <ctype.h>
#include <string.h>

#define AT(field) offsetof(struct pc_config, field)
#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

/* clang-format off */
const struct config_key config_keys[] = {
    {"node", "name", CONFIG_NAME, AT(node.name), "", 0, 0, NULL,
        "name of this node, one of cluster.members; may be left out when there is only one member"},
    {"node", "data_dir", CONFIG_TEXT, AT(node.data_dir), "data", 0, 0, NULL,
        "directory of the log and of the node's identity; made when missing"},

    {"cluster", "name", CONFIG_NAME, AT(cluster.name), "pcache", 0, 0, NULL,
        "name of the cluster; nodes of differently named clusters refuse each other"},
    {"cluster", "members", CONFIG_MEMBERS, AT(cluster.members), "", 0, 0, NULL,
        "name=host:port of the bus of every initial member, separated by commas; the same on every "
        "node; empty: a cluster of one"},
    {"cluster", "spares", CONFIG_MEMBERS, AT(cluster.spares), "", 0, 0, NULL,
        "name=host:port of the bus of every initial spare, as for members; a spare has all "
        "the data, and serves nobody until it takes the place of the first voter that dies"},
    {"cluster", "dead_after", CONFIG_DURATION, AT(cluster.dead_after_ms), "5s", SECOND, HOUR, NULL,
        "how long a member must have been silent, on the bus and for the gossip, before it loses "
        "its place to a spare, to an empty disk under its name, or by auto_shrink; the same on "
        "every node"},
    {"cluster", "auto_shrink", CONFIG_CHOICE, AT(cluster.auto_shrink), "off", 0, 0, "off|on",
        "a leader that could not lose another voter takes the vote of a dead one away, down to "
        "itself; what that costs stands in pcached.ini(5) under LAST ONE STANDING; the same on "
        "every node"},
    {"cluster", "on_quorum_loss", CONFIG_CHOICE, AT(cluster.on_quorum_loss), "stop", 0, 0,
        "stop|solo",
        "what a node does that hears no other voter: answer writes 503, or go on alone in a branch "
        "of its own, every answer of which is marked, and which never gets into the cluster by "
        "itself: pcached.ini(5), A BRANCH OF ITS OWN"},
    {"cluster", "solo_after", CONFIG_DURATION, AT(cluster.solo_after_ms), "15s", SECOND, HOUR,
        NULL,
        "with on_quorum_loss = solo: how long no other voter must have been heard"},
    {"cluster", "join", CONFIG_BOOL, AT(cluster.join), "false", 0, 0, NULL,
        "this node forms no cluster, it comes to one that exists: members then names nodes to find "
        "it by, and this node need not be among them; it waits until it is added (pcadmin member "
        "add), and may keep the setting ever after"},
    {"cluster", "key_file", CONFIG_TEXT, AT(cluster.key_file), "", 0, 0, NULL,
        "file with the cluster's secret key, one line of 64 hex digits (pcadmin key gen); must not "
        "be readable by everybody; needed when there is more than one member"},
    {"cluster", "key", CONFIG_SECRET, AT(cluster.key), "", 0, 0, NULL,
        "the secret key itself, instead of key_file; from the environment only"},

    {"http", "listen", CONFIG_ADDRESS, AT(http.listen), "127.0.0.1:8001", 0, 0, NULL,
        "address of the HTTP interface; other than loopback only with http.insecure"},
    {"http", "insecure", CONFIG_BOOL, AT(http.insecure), "false", 0, 0, NULL,
        "allow an http.listen that others can reach: HTTP has neither encryption nor passwords"},
    {"http", "drain_delay", CONFIG_DURATION, AT(http.drain_delay_ms), "1s", 0, MINUTE, NULL,
        "on SIGTERM: how long to serve on, as not ready, so that balancers notice"},
    {"http", "ready_without_quorum", CONFIG_BOOL, AT(http.ready_without_quorum), "false", 0, 0,
        NULL,
        "stay ready without a leader, for clients that are content with local reads"},

    {"bus", "listen", CONFIG_ADDRESS, AT(bus.listen), "127.0.0.1:7946", 0, 0, NULL,
        "address for the other nodes: TCP, and UDP on the same port"},
    {"bus", "advertise", CONFIG_ADDRESS, AT(bus.advertise), "", 0, 0, NULL,
        "address that the other nodes are told; empty: the one they see"},
    {"bus", "probe_interval", CONFIG_DURATION, AT(bus.probe_interval_ms), "1s", 300, MINUTE, NULL,
        "how often another member, in turn, is asked whether it is there; one that is not is known "
        "to be dead some five to ten of these later; less is for quiet networks and machines only, "
        "and the same on every node"},

    {"log", "fsync", CONFIG_CHOICE, AT(log.fsync), "always", 0, 0, "always|interval|os",
        "when entries are made durable: before they are acknowledged, every fsync_interval, or "
        "when the system likes; the last two may lose acknowledged writes at a power cut"},
    {"log", "fsync_interval", CONFIG_DURATION, AT(log.fsync_interval_ms), "100ms", 1, MINUTE, NULL,
        "pause between two syncs when fsync = interval"},
    {"log", "segment_bytes", CONFIG_BYTES, AT(log.segment_bytes), "64MiB", 64 * KIB, GIB, NULL,
        "size of one file of the log"},
    {"log", "snapshot_bytes", CONFIG_BYTES, AT(log.snapshot_bytes), "64MiB", 64 * KIB,
        1024 * GIB, NULL,
        "a snapshot is made when the log has grown by so much since the last one, and by the size "
        "of that one"},
    {"log", "keep_bytes", CONFIG_BYTES, AT(log.keep_bytes), "256MiB", 0, 1024 * GIB, NULL,
        "how much of the log stays in front of a snapshot, so that a node that was away gets what "
        "it missed and not a whole snapshot"},
    {"log", "space_soft", CONFIG_SPACE, AT(log.space_soft), "10% 1GiB", 0, 0, NULL,
        "free space on the log's disk below which it is low: said so, and the log goes behind a "
        "snapshot, whatever keep_bytes says; a share, a size, or both: the smaller one counts; 0: "
        "no such mark"},
    {"log", "space_hard", CONFIG_SPACE, AT(log.space_hard), "2% 128MiB", 0, 0, NULL,
        "free space below which writes are answered 507; what is left is for deletes and for "
        "elections"},
    {"log", "level", CONFIG_CHOICE, AT(log.level), "info", 0, 0, "debug|info|warn|error",
        "the least important messages that are written to standard error"},
    {"log", "format", CONFIG_CHOICE, AT(log.format), "logfmt", 0, 0, "logfmt|json",
        "form of those messages"},

    {"raft", "heartbeat", CONFIG_DURATION, AT(raft.heartbeat_ms), "50ms", 5, 10 * SECOND, NULL,
        "a leader without work speaks at least this often"},
    {"raft", "election_min", CONFIG_DURATION, AT(raft.election_min_ms), "500ms", 20, MINUTE, NULL,
        "a leader that has been heard within this time is not opposed; at least two heartbeats"},
    {"raft", "election_max", CONFIG_DURATION, AT(raft.election_max_ms), "1000ms", 21,
        2 * MINUTE, NULL,
        "after at most this time without a leader a node stands for election"},

    {"limits", "leader_wait", CONFIG_DURATION, AT(limits.leader_wait_ms), "2s", 0, MINUTE, NULL,
        "how long a request waits for a leader before it is answered 503"},
    {"limits", "request_timeout", CONFIG_DURATION, AT(limits.request_timeout_ms), "3s", 10,
        MINUTE, NULL,
        "how long a write that was sent waits for its commit before it is answered 504"},
    {"limits", "value_bytes", CONFIG_BYTES, AT(limits.value_bytes), "1MiB", 1,
        PC_VALUE_BYTES_MAX, NULL,
        "largest value; 413 above"},
    {"limits", "head_bytes", CONFIG_BYTES, AT(limits.head_bytes), "8KiB", KIB, 64 * KIB, NULL,
        "largest request line with headers; 431 above"},
    {"limits", "target_bytes", CONFIG_BYTES, AT(limits.target_bytes), "4KiB", 256, 32 * KIB, NULL,
        "longest request target; 414 above"},
    {"limits", "headers", CONFIG_COUNT, AT(limits.headers), "64", 8, 256, NULL,
        "most headers of a request; 431 above"},
    {"limits", "connections", CONFIG_COUNT, AT(limits.connections), "1024", 1, 65536, NULL,
        "most client connections; one more is answered 503 and closed"},
    {"limits", "in_flight", CONFIG_COUNT, AT(limits.in_flight), "256", 1,
        PC_PENDING_REQUESTS_MAX, NULL,
        "most requests being answered at a time; 503 above"},
    {"limits", "requests_per_connection", CONFIG_COUNT, AT(limits.requests_per_connection), "1000",
        1, 1000000000, NULL,
        "a connection is closed after this many answers, so that balancers spread the load anew"},
    {"limits", "request_deadline", CONFIG_DURATION, AT(limits.request_deadline_ms), "5s", 100,
        HOUR, NULL,
        "time for a request to arrive whole; one more second for each 256 KiB of body"},
    {"limits", "idle", CONFIG_DURATION, AT(limits.idle_ms), "30s", 100, 24 * HOUR, NULL,
        "a connection without a request is closed after this time"},
    {"limits", "write_deadline", CONFIG_DURATION, AT(limits.write_deadline_ms), "10s", 100,
        HOUR, NULL,
        "time for a client to take its answer"},
};
/* clang-format on */
const size_t config_keys_n = sizeof config_keys / sizeof config_keys[0];
PC_STATIC_ASSERT(
    sizeof config_keys / sizeof config_keys[0] <= CONFIG_KEYS_MAX, "room for each key");

static bool equals(struct pc_slice slice, const char *text)
{
    return pc_slice_equal(slice, pc_slice_str(text));
}

size_t config_key_find(struct pc_slice section, struct pc_slice name)
{
    for (size_t k = 0; k < config_keys_n; k++) {
        if (equals(section, config_keys[k].section) && equals(name, config_keys[k].name)) {
            return k;
        }
    }
    return CONFIG_NONE;
}

bool config_section_exists(struct pc_slice section)
{
    for (size_t k = 0; k < config_keys_n; k++) {
        if (equals(section, config_keys[k].section)) {
            return true;
        }
    }
    return false;
}

/* A third of the letters may be wrong, two in a short name: further away a hint only confuses. */
static bool is_near(size_t distance, size_t len)
{
    size_t allowed = len / 3 > 2 ? len / 3 : 2;
    return distance <= allowed && distance < len;
}

bool config_key_nearest(
    struct pc_slice section, struct pc_slice name, char out[CONFIG_KEY_TEXT_MAX])
{
    size_t best = CONFIG_NONE, best_distance = SIZE_MAX;
    for (size_t k = 0; k < config_keys_n; k++) {
        size_t distance = config_distance(name, pc_slice_str(config_keys[k].name));
        if (distance == SIZE_MAX) {
            continue;
        }
        /* The right name in the wrong section is a smaller slip than a wrong name. */
        distance = 2 * distance + (equals(section, config_keys[k].section) ? 0 : 1);
        if (distance < best_distance) {
            best = k;
            best_distance = distance;
        }
    }
    if (best == CONFIG_NONE || !is_near(best_distance / 2, name.len)) {
        return false;
    }
    (void)snprintf(
        out, CONFIG_KEY_TEXT_MAX, "%s.%s", config_keys[best].section, config_keys[best].name);
    return true;
}

bool config_section_nearest(struct pc_slice section, char out[CONFIG_KEY_TEXT_MAX])
{
    size_t best_distance = SIZE_MAX;
    for (size_t k = 0; k < config_keys_n; k++) {
        size_t distance = config_distance(section, pc_slice_str(config_keys[k].section));
        if (distance < best_distance) {
            best_distance = distance;
            (void)snprintf(out, CONFIG_KEY_TEXT_MAX, "%s", config_keys[k].section);
        }
    }
    return best_distance != SIZE_MAX && is_near(best_distance, section.len);
}

void config_key_variable(const struct config_key *key, char out[CONFIG_KEY_TEXT_MAX])
{
    int len = snprintf(out, CONFIG_KEY_TEXT_MAX, "PCACHED_%s_%s", key->section, key->name);
    PC_ASSERT(len > 0 && len < CONFIG_KEY_TEXT_MAX);
    for (char *c = out; *c != '\0'; c++) {
        *c = (char)toupper((unsigned char)*c);
    }
}
