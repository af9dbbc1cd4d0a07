/* mutate.h: the interface of libFuzzer to mutators of our own. Linked into fuzzing programs only;
 * the Makefile says which target gets which. */
#ifndef PC_FUZZ_MUTATE_H
#define PC_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's: changes the bytes in place, returns the new size. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Ours, called instead of it; `data` has room for max_size bytes. The same seed does the same. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

#endif
