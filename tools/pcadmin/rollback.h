/* rollback.h: closed branches of a node (pcached.ini(5), A BRANCH OF ITS OWN), as lines of JSON,
 * and what they come to. */
#ifndef PCADMIN_ROLLBACK_H
#define PCADMIN_ROLLBACK_H

#include <jansson.h>

#include "args.h"
#include "pcache/bytes.h"
#include "pcache/command.h"

/* ---- rollback_record.c: pure */

/* One record. Owned: rollback_record_clear. */
struct rollback_record {
    uint64_t number;
    pc_ms time_ms;
    enum pc_op op;
    struct pc_buf key, value, type;
    bool has_ttl;
    uint64_t ttl_ms;
    bool has_before; /* the cluster had something under the key when the branch began: ... */
    pc_index before_version; /* ... of this version */
    pc_ms before_deadline_ms;
    bool has_before_value; /* with the first record of a key */
    struct pc_buf before_value, before_type;
};

/* Reads the object of a record's line. PC_OK or PC_E_MALFORMED. */
PC_MUST_CHECK pc_err rollback_record_of(const json_t *object, struct rollback_record *out);
void rollback_record_clear(struct rollback_record *record);

/* ---- rollback_fold.c: pure */

/* What the branch has made of one key. */
struct rollback_key {
    struct pc_buf key;
    bool has_before;
    pc_index before_version;
    bool exists; /* at the end of the branch, as of its last record of the key */
    struct pc_buf value, type;
    pc_ms deadline_ms; /* 0 = never */
    bool is_unknown;   /* a record that it takes is lost */
};

/* All of them, in the order in which the branch first wrote to them. Zeroed = none. */
struct rollback_fold {
    struct rollback_key *v;
    size_t n, cap;
    size_t *slots; /* of a hash table: 1 + place in v, or 0 */
    size_t slots_n;
};

/* The next record, which is consumed. */
void rollback_fold_add(struct rollback_fold *fold, struct rollback_record *record);
void rollback_fold_clear(struct rollback_fold *fold);

/* What is to be done with a key at this time, so that the cluster has what the branch had. */
enum rollback_action {
    ROLLBACK_PUT,
    ROLLBACK_DELETE,
    ROLLBACK_NOTHING, /* neither had it */
    ROLLBACK_EXPIRED, /* only the branch had it, and its time has come meanwhile */
    ROLLBACK_UNKNOWN,
};
enum rollback_action rollback_action_of(
    const struct rollback_key *key, pc_ms now_ms, uint64_t *ttl_ms);

/* ---- cmd_rollback.c */
/* A key for people: itself, or base64 behind "base64:". The caller frees. */
char *rollback_key_text(const struct pc_buf *key);

/* ---- rollback_source.c */
/* Takes lines; an exit status other than EXIT_YES ends the reading and is its result. */
struct rollback_sink {
    void *arg;
    int (*take)(void *arg, struct pc_slice line, const json_t *object);
};
/* Reads all lines of args' first positional: a closed branch on the first node that has one of that
 * name, or a file of this machine. Returns an exit status, after saying why. */
int rollback_read(const struct args *args, const struct rollback_sink *sink);
/* What the line of the end knows. What is missing is said on standard error. */
struct rollback_end {
    bool is_open;    /* it may be: the file has no end, and no closed one's name */
    bool is_damaged; /* records are lost, or may be */
};
void rollback_take_end(const struct args *args, const json_t *end, struct rollback_end *out);

/* Asks the endpoints in turn for something about the closed branch of this name, up to the one that
 * has it. Returns the HTTP status of its answer; 0 when there is none, with the exit status in
 * *status. Other than 204 and 409 it was said on standard error. */
int rollback_call(const struct args *args, const char *method, const char *name, int *status);

#endif
