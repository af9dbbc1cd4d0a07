/* assert.h: assertions about our own state. They stay on in release builds.
 *
 * Never assert on bytes from a client, a peer, a disk or a file: those get a decoder error. */
#ifndef PCACHE_ASSERT_H
#define PCACHE_ASSERT_H

#include <stdint.h>

/* Ends the process with a message that names the broken condition, its file and line. */
_Noreturn void pc_assert_failed(const char *condition, const char *file, int line);

/* Ends the process because a small fixed allocation failed (see pc_xalloc in bytes.h). */
_Noreturn void pc_out_of_memory(uint64_t bytes);

#define PC_ASSERT(condition)                                                                       \
    ((condition) ? (void)0 : pc_assert_failed(#condition, __FILE__, __LINE__))

/* a implies b. */
#define PC_ASSERT_IMPLIES(a, b) PC_ASSERT(!(a) || (b))

#define PC_STATIC_ASSERT(condition, text) _Static_assert(condition, text)

#endif
