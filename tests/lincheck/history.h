/* history.h: a record of what clients asked and were answered, and its text form.
 *
 * A history file has one operation per line, each a flat JSON object:
 *
 *   {"client":3,"op":"put","key":"r/2/4.0","value":"c3-17","status":"ok","version":88,"index":88,
 *    "node":"n1","consistency":"linearizable","t0_us":1000,"t1_us":1500,"id":"a7-3-17"}
 *
 *   field         type     of         means
 *   client        number   all  *     who asked; one request at a time per client
 *   op            string   all  *     get put delete cas incr
 *   key           string   all  *     1 to 1024 bytes
 *   status        string   all  *     ok    answered; a write: done
 *                                     fail  certainly not done; of a cas also: refused (412)
 *                                     info  sent, and nobody knows
 *   t0_us t1_us   number   all  *     begin and end on one monotonic clock; t0_us <= t1_us
 *   value         string   put cas *  what is stored
 *                          get *      what was read when ok, null = the key is missing
 *                          incr       the counter afterwards, in decimal, when the answer said so
 *   expect        number   cas  *     version that must stand there; 0 = nothing may stand there
 *   delta         number   incr *     what is added; may be negative; a missing key counts from 0
 *   version       number   writes     log index of the effect; absent or 0 = not told
 *                          get        version of the value read; 0 when missing
 *   index         number   get, cas   log index the answer stands at (X-PC-Applied); 0 = not told
 *   ttl_ms        number   put cas    the value expires so long after its effect; 0 = never
 *   node          string   all        who was asked
 *   consistency   string   get        linearizable (default) or local
 *   id            string   all        request id; lines with the same id are one request, sent
 * again session       number   all        connection number of this client at this node: within
 * one, a node may not go back final         boolean  get        belongs to the reading of every key
 * on every node at the end refused       boolean  cas fail   the answer was 412: at some instant
 * between t0_us and t1_us the version was another one than `expect`
 *
 * Fields marked * are required. Fields that are not listed are skipped when they are scalars.
 * Several files of one run may be read as one history: their client numbers must differ. A client
 * that is killed does not write the line of its last operation, and such a history cannot be
 * judged: end clients by SIGTERM. */
#ifndef PC_LIN_HISTORY_H
#define PC_LIN_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIN_KEY_BYTES_MAX 1024
#define LIN_VALUE_BYTES_MAX 4096
#define LIN_NAME_BYTES_MAX 127   /* of a node or a request id */
#define LIN_LINE_BYTES_MAX 32768 /* every byte of a value may come as six: \u0020 */
#define LIN_OPS_MAX 20000000

enum lin_kind { LIN_GET, LIN_PUT, LIN_DELETE, LIN_CAS, LIN_INCR };
enum lin_status { LIN_OK, LIN_FAIL, LIN_INFO };

/* One line, with its strings; both ends of the file use it. */
struct lin_record {
    enum lin_kind kind;
    enum lin_status status;
    bool has_value, is_local, is_final, is_refused;
    uint32_t client, session;
    uint64_t t0_us, t1_us;
    uint64_t version, index, expect, ttl_ms;
    int64_t delta;
    char key[LIN_KEY_BYTES_MAX + 1];
    char value[LIN_VALUE_BYTES_MAX + 1];
    char node[LIN_NAME_BYTES_MAX + 1];
    char id[LIN_NAME_BYTES_MAX + 1];
};

/* "get", "put", ...: the word of the file. */
const char *lin_kind_text(enum lin_kind kind);
const char *lin_status_text(enum lin_status status);

/* Reads a line of `len` bytes, without its newline. False, and `why` filled in (one line, what is
 * wrong and with which field), when it is not an operation; `out` is then in no particular state.
 */
bool lin_record_parse(
    const char *line, size_t len, struct lin_record *out, char *why, size_t why_max);

/* Writes the line and a newline. Returns its length, or 0 when it does not fit or a string is too
 * long. LIN_LINE_BYTES_MAX + 1 bytes are always enough. */
size_t lin_record_format(const struct lin_record *record, char *out, size_t max);

/* ---- many */
/* A string of a history by its number; equal strings have equal numbers. 0 = none. */
typedef uint32_t lin_text;

struct lin_op {
    uint64_t t0_us, t1_us;
    uint64_t version, index, expect, ttl_ms;
    int64_t delta;
    lin_text key, value, node, id;
    uint32_t client, session;
    uint32_t line;
    uint16_t file;
    uint8_t kind, status; /* enum lin_kind, enum lin_status */
    bool is_local, is_final, is_refused;
};

struct lin_history {
    struct lin_op *op;
    size_t n, cap;
    char *text; /* all strings, each with its NUL; a lin_text is an offset into it */
    size_t text_len, text_cap;
    lin_text *slot; /* hash table of the strings */
    size_t slots_n, strings_n;
    char **file;
    uint16_t files_n;
};

void lin_history_create(struct lin_history *h);
void lin_history_destroy(struct lin_history *h);

/* Adds an operation. False when the history is full. */
bool lin_history_add(struct lin_history *h, const struct lin_record *record, uint32_t line);
/* Adds what a file says. False, and `why` filled in ("FILE:LINE: what is wrong"), when it cannot be
 * read or a line is no operation; what stood before that line has been added. */
bool lin_history_read(struct lin_history *h, const char *path, char *why, size_t why_max);

/* The string; "" for 0. Valid until the next operation is added. */
const char *lin_history_text(const struct lin_history *h, lin_text text);

#endif
