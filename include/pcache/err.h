/* err.h: the one error code of the program.
 *
 * A function that returns pc_err writes its outputs only on PC_OK. A legal disagreement between
 * nodes (stale term, not the leader) is a normal result, not an error. */
#ifndef PCACHE_ERR_H
#define PCACHE_ERR_H

#define PC_ERR_LIST(X)                                                                             \
    X(OK, "success")                                                                               \
    X(E_INVALID, "invalid argument")                                                               \
    X(E_MALFORMED, "malformed bytes")                                                              \
    X(E_TOO_BIG, "over a limit")                                                                   \
    X(E_NOMEM, "out of memory")                                                                    \
    X(E_NOT_FOUND, "not found")                                                                    \
    X(E_EXISTS, "already exists")                                                                  \
    X(E_AGAIN, "not now, try again")                                                               \
    X(E_IO, "input/output error")                                                                  \
    X(E_NO_SPACE, "no space left")                                                                 \
    X(E_CORRUPT, "damaged data")                                                                   \
    X(E_LOCKED, "in use by another process")                                                       \
    X(E_AUTH, "authentication failed")                                                             \
    X(E_VERSION, "unknown version")                                                                \
    X(E_CLOSED, "closed")                                                                          \
    X(E_STALE, "an older copy of a node's data")                                                   \
    X(E_SUPERSEDED, "another process of this node has begun later")

/* PC_OK is 0; the others as listed above. */
typedef enum {
#define PC_ERR_ENUM(name, text) PC_##name,
    PC_ERR_LIST(PC_ERR_ENUM)
#undef PC_ERR_ENUM
} pc_err;

/* Marks a result that must be looked at. */
#define PC_MUST_CHECK __attribute__((warn_unused_result))

/* The text of a code: lower case, no full stop. Never NULL; static. */
const char *pc_err_text(pc_err err);

/* An error with its story, built outward by the edges:
 * "open segment 00042: No space left on device". */
struct pc_error {
    pc_err code;
    char text[256];
};

/* Sets code and text (printf style; a longer text is cut). Returns the code. */
pc_err pc_error_set(struct pc_error *error, pc_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<prefix>: " before the text. Returns the code. */
pc_err pc_error_wrap(struct pc_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
