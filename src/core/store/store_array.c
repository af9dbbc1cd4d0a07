/* An array in segments of 4096 elements behind a directory of pointers.
 *
 * A plain array that doubles would, at a million deadlines, copy 16 MiB inside one apply (realloc
 * moves pages instead only where malloc happened to map the block). Here growing costs one segment;
 * the directory is doubled, but holds one pointer per 4096 elements. */
#include "store_int.h"

#include <stdlib.h>

/* Elements that pc_store_array_trim leaves allocated behind the one asked for: without a spare
 * segment a count that swings around a border would allocate and free at every swing. */
#define SEGMENTS_SPARE 1

void pc_store_array_create(struct pc_store_array *array, size_t elem_bytes)
{
    PC_ASSERT(elem_bytes > 0);
    *array = (struct pc_store_array){.elem_bytes = elem_bytes};
}

void pc_store_array_destroy(struct pc_store_array *array)
{
    PC_ASSERT(array->segments_len <= array->segments_cap);
    for (size_t i = 0; i < array->segments_len; i++) {
        free(array->segments[i]);
    }
    free(array->segments);
    *array = (struct pc_store_array){.elem_bytes = array->elem_bytes};
}

static pc_err grow_directory(struct pc_store_array *array)
{
    size_t cap = array->segments_cap == 0 ? 16 : 2 * array->segments_cap;
    uint8_t **segments = realloc(array->segments, cap * sizeof *segments);
    if (segments == NULL) {
        return PC_E_NOMEM;
    }
    array->segments = segments;
    array->segments_cap = cap;
    return PC_OK;
}

static pc_err add_segment(struct pc_store_array *array)
{
    if (array->segments_len == array->segments_cap) {
        pc_err err = grow_directory(array);
        if (err != PC_OK) {
            return err;
        }
    }
    uint8_t *segment = malloc(array->elem_bytes << PC_STORE_SEGMENT_SHIFT);
    if (segment == NULL) {
        return PC_E_NOMEM;
    }
    PC_ASSERT(array->segments_len < array->segments_cap);
    array->segments[array->segments_len++] = segment;
    return PC_OK;
}

pc_err pc_store_array_reserve(struct pc_store_array *array, size_t count)
{
    PC_ASSERT(count < SIZE_MAX - PC_STORE_SEGMENT_ELEMS);
    size_t need = (count + PC_STORE_SEGMENT_ELEMS - 1) >> PC_STORE_SEGMENT_SHIFT;
    while (array->segments_len < need) {
        pc_err err = add_segment(array);
        if (err != PC_OK) {
            return err;
        }
    }
    return PC_OK;
}

void pc_store_array_trim(struct pc_store_array *array, size_t count)
{
    size_t keep = (count >> PC_STORE_SEGMENT_SHIFT) + 1 + SEGMENTS_SPARE;
    while (array->segments_len > keep) {
        free(array->segments[--array->segments_len]);
    }
}

uint64_t pc_store_array_memory_bytes(const struct pc_store_array *array)
{
    uint64_t segment = pc_store_chunk_bytes(array->elem_bytes << PC_STORE_SEGMENT_SHIFT);
    uint64_t directory = array->segments_cap == 0
                             ? 0
                             : pc_store_chunk_bytes(array->segments_cap * sizeof(uint8_t *));
    return array->segments_len * segment + directory;
}
