/* command.h: what a log entry asks of the store, as a struct (bytes: wire.h). */
#ifndef PCACHE_COMMAND_H
#define PCACHE_COMMAND_H

#include "pcache/bytes.h"

/* The numbers are part of the log format: never reuse one. */
enum pc_op {
    PC_OP_SET = 1,     /* key, value, content_type, optional ttl                                  */
    PC_OP_DELETE = 2,  /* key                                                                     */
    PC_OP_EXPIRE = 3,  /* key, ttl: the deadline becomes stamp + ttl_ms                           */
    PC_OP_PERSIST = 4, /* key: no deadline any more                                               */
    PC_OP_TICK = 5,    /* nothing but the entry's stamp: lets time pass while nobody writes       */
};

/* Versions are indices of log entries: a number that every reader of JSON takes. */
#define PC_VERSION_MAX (((pc_index)1 << 53) - 1)

/* What must stand under the key for the command to act: judged where the entry is applied, by what
 * is visible at the entry's stamp. The numbers are part of the log format. */
enum pc_condition {
    PC_IF_ANY = 0,     /* none */
    PC_IF_VERSION = 1, /* an item of version if_version */
    PC_IF_ABSENT = 2,  /* no item */
    PC_IF_PRESENT = 3, /* an item, of whatever version */
};

/* Slices are borrowed. Requires 1 <= key.len <= PC_KEY_BYTES_MAX except for TICK (empty);
 * value.len <= PC_VALUE_BYTES_MAX; content_type.len <= PC_CONTENT_TYPE_BYTES_MAX; has_ttl for
 * EXPIRE; no condition for TICK; if_version is 1..PC_VERSION_MAX with PC_IF_VERSION, else 0. What
 * an op does not use is ignored. */
struct pc_command {
    enum pc_op op;
    bool has_ttl;
    uint64_t ttl_ms; /* when has_ttl: 0..PC_TTL_MS_MAX; 0 = expires with this very entry */
    struct pc_slice key;
    struct pc_slice value;
    struct pc_slice content_type; /* empty = application/octet-stream */
    enum pc_condition condition;
    pc_index if_version;
};

/* What a command did. A function of the log alone, hence the same on every node. */
struct pc_outcome {
    bool existed;      /* a visible item stood under the key before the command                */
    bool changed;      /* the state is another one now                                         */
    bool unmet;        /* the condition did not hold: nothing was changed                      */
    pc_index version;  /* of the item afterwards; 0 = there is none                            */
    pc_ms deadline_ms; /* of the item afterwards, cluster time; 0 = never expires              */
};

/* May the command act where the visible item has this version? 0 = there is none. */
bool pc_condition_holds(const struct pc_command *command, pc_index version);

#endif
