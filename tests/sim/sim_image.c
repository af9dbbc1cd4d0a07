/* A log as the checks see it: term and chain of every index. */
#include <stdlib.h>

#include "sim/sim_int.h"

void sim_image_append(
    struct sim_image *image, pc_index index, pc_term term, const struct pc_hash *chain)
{
    PC_ASSERT(index == image->last + 1);
    if (index >= image->cap) {
        image->cap = image->cap == 0 ? 256 : image->cap * 2;
        image->term = pc_xrealloc(image->term, image->cap * sizeof *image->term);
        image->chain = pc_xrealloc(image->chain, image->cap * sizeof *image->chain);
    }
    image->term[index] = term;
    image->chain[index] = *chain;
    image->last = index;
}

void sim_image_truncate(struct sim_image *image, pc_index from)
{
    PC_ASSERT(from >= 1);
    if (image->last >= from) {
        image->last = from - 1;
    }
}

void sim_image_fill(struct sim_image *image, const struct sim_ghost *ghost, pc_index upto)
{
    PC_ASSERT(upto <= ghost->last);
    for (pc_index i = image->last + 1; i <= upto; i++) {
        sim_image_append(image, i, ghost->v[i].term, &ghost->v[i].chain);
    }
}

void sim_image_destroy(struct sim_image *image)
{
    free(image->term);
    free(image->chain);
    *image = (struct sim_image){0};
}

bool sim_image_has(const struct sim_image *image, pc_index index, const struct pc_hash *chain)
{
    return index <= image->last && pc_hash_equal(&image->chain[index], chain);
}
