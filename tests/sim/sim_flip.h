/* sim_flip.h: bits that flip in the memory of nodes. Part of sim_int.h. */
#ifndef PC_SIM_FLIP_H
#define PC_SIM_FLIP_H

#include "sim/sim.h"

struct pc_sim;
struct sim_node;

/*   sound -- flip --> open -- found --> returning -- made anew --> sound
 *     ^                |
 *     +- overwritten, -+
 *        or the process ends */
struct sim_flip {
    bool is_open;         /* the memory may not be what entries have made of it */
    bool is_returning;    /* that was found, and the state is being made anew */
    bool was_open;        /* until this turn: what it answers may be of before */
    bool is_latent;       /* a kept hash is wrong, which nothing shows before its item goes */
    bool is_unsound;      /* its own pass over the memory must find it */
    bool wants_entry;     /* a bit is to flip in the next entry that is durable and not applied */
    struct pc_blob *body; /* that entry's, until it is applied; NULL = none */
    pc_index entry;
    size_t byte;
    uint8_t bits;
    uint64_t passes;    /* at its end when that was first seen */
    uint64_t keys;      /* bit set of those that it may answer wrongly */
    uint64_t healed_us; /* for so long it runs among healed ones, and did not find it */
    uint64_t last_us;   /* when it was last not sound; 0 = never */
};

/* ---- sim_flip.c: what flips */
/* A bit of anything flips in this node, if enough others are sound. */
void sim_flip_strike(struct pc_sim *sim, struct sim_node *node);
/* A bit flips in an entry, if there is one. Afterwards: when it was applied, or has become another
 * node's concern, it is again what it was. */
void sim_flip_entry(struct pc_sim *sim, struct sim_node *node);
void sim_flip_step(struct sim_node *node);
void sim_flip_release(struct sim_node *node);
/* Runs with flips have content types, by what is written. */
struct pc_slice sim_flip_content_type(const struct pc_sim *sim, uint64_t value);

/* ---- sim_check_flip.c: F.1 to F.3 */
/* The node may give a wrong answer about this key. */
bool sim_flip_excuses(const struct sim_node *node, size_t key);
/* The turn has been taken: does the node make its state anew? Afterwards: its effects are done. */
void sim_flip_turn(struct pc_sim *sim, struct sim_node *node);
void sim_flip_turn_done(struct pc_sim *sim, struct sim_node *node);
/* An alarm about another node. */
void sim_flip_alarm(struct pc_sim *sim, const struct sim_node *node, const struct pc_note *note);
/* Now and then: is what has flipped found in time, is the node whole again? */
void sim_flip_look(struct pc_sim *sim, struct sim_node *node, uint64_t since_us);
void sim_flip_died(struct pc_sim *sim, struct sim_node *node);
/* A snapshot is on the disk, and is the newest. */
void sim_flip_check_snapshot(struct pc_sim *sim, struct sim_node *node);

#endif
