/* Memory for libevent: one list of free pieces per size class.
 *
 * evhttp takes some thirty pieces of memory for a request: strings of a few bytes and buffers of
 * some kilobytes. glibc's thread cache holds seven pieces of a size, which sixty-four requests at
 * a time exceed, and none of more than a kilobyte, for each of which malloc first tidies up its
 * lists. Here both take and give are a few instructions. Only the engine thread uses libevent, so
 * there is no lock.
 *
 *     piece:  [ class: 8 bytes | size: 8 bytes | what libevent sees ... ]
 *
 * The lists hold at most KEPT_BYTES_MAX together; what is larger than the largest class, or more
 * than that, comes from malloc and goes back there. Sanitizers see the pieces that go back only:
 * tests of the HTTP edge and of the bus run without this allocator. */
#include "event_memory.h"

#include <errno.h>
#include <event2/event.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define STEP 64    /* classes up to STEP * STEPS are multiples of STEP ... */
#define STEPS 16   /* ... and then powers of two */
#define CLASSES 20 /* the largest one: 16 KiB, a buffer that has read as much as it may */
#define CLASS_NONE CLASSES
#define KEPT_BYTES_MAX (8u << 20)

struct piece {
    uint64_t class;
    uint64_t size; /* room behind this head */
};
PC_STATIC_ASSERT(sizeof(struct piece) % alignof(max_align_t) == 0, "what follows is aligned");

struct free_piece {
    struct piece head;
    struct free_piece *next;
};

static struct free_piece *lists[CLASSES];
static size_t kept_bytes;

static size_t class_size(size_t class)
{
    return class < STEPS ? STEP * (class + 1) : (size_t)(STEP * STEPS) << (class - STEPS + 1);
}

static size_t class_of(size_t size)
{
    if (size <= STEP * STEPS) {
        return size == 0 ? 0 : (size - 1) / STEP;
    }
    size_t class = STEPS;
    while (class < CLASSES && class_size(class) < size) {
        class ++;
    }
    return class;
}

static void *piece_new(size_t class, size_t size)
{
    struct piece *piece = size <= SIZE_MAX - sizeof *piece ? malloc(sizeof *piece + size) : NULL;
    if (piece == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    *piece = (struct piece){.class = class, .size = size};
    return piece + 1;
}

static void *memory_take(size_t size)
{
    size_t class = class_of(size);
    if (class == CLASS_NONE) {
        return piece_new(class, size);
    }
    struct free_piece *piece = lists[class];
    if (piece == NULL) {
        return piece_new(class, class_size(class));
    }
    PC_ASSERT(piece->head.class == class);
    lists[class] = piece->next;
    kept_bytes -= piece->head.size;
    return &piece->head + 1;
}

static void memory_give(void *memory)
{
    if (memory == NULL) {
        return;
    }
    struct free_piece *piece = (struct free_piece *)(void *)((struct piece *)memory - 1);
    PC_ASSERT(piece->head.class <= CLASS_NONE);
    bool is_kept =
        piece->head.class != CLASS_NONE && kept_bytes + piece->head.size <= KEPT_BYTES_MAX;
    if (!is_kept) {
        free(piece);
        return;
    }
    kept_bytes += piece->head.size;
    piece->next = lists[piece->head.class];
    lists[piece->head.class] = piece;
}

static void *memory_resize(void *memory, size_t size)
{
    if (memory == NULL) {
        return memory_take(size);
    }
    size_t had = ((struct piece *)memory - 1)->size;
    if (size <= had) {
        return memory;
    }
    void *larger = memory_take(size);
    if (larger != NULL) {
        memcpy(larger, memory, had);
        memory_give(memory);
    }
    return larger;
}

void event_memory_install(void)
{
    event_set_mem_functions(memory_take, memory_resize, memory_give);
}
