/* sim_ghost.h: what is committed, by whom, and what the store must therefore be. */
#ifndef PC_SIM_GHOST_H
#define PC_SIM_GHOST_H

#include "sim/sim.h"

struct pc_sim;

struct sim_committed {
    struct pc_hash chain;
    struct pc_hash digest; /* of the state after it */
    pc_term term;
    pc_index config;      /* newest entry with members, at or below it; 0 = none */
    pc_term committed_in; /* term of the leader that committed it; does not fall */
    pc_ms stamp_ms;
    struct pc_request_id req;
    struct pc_outcome outcome;
    pc_index before; /* version that its key had when its turn came; 0 = nothing stood there */
    uint64_t value;  /* SET: which write; 0 = not a SET */
};

/* State of a key from `index` on. */
struct sim_version {
    pc_index index;
    bool exists;
    uint64_t value;
    struct pc_slice bytes; /* of the value, in the body kept by the ghost */
    pc_ms deadline_ms;
};

struct sim_key {
    struct sim_version *v;
    size_t n, cap;
};

struct sim_term_chain {
    pc_term term;
    struct pc_hash chain;
    uint8_t form; /* the protocol that it takes to be read; 0 = not looked at */
};

struct sim_slot { /* all (term, chain) ever seen at an index */
    struct sim_term_chain *v;
    size_t n, cap;
};

/* Identities that took part, by number: as one is lost with its disk, a slot has several. */
#define SIM_IDS_MAX 128
struct sim_term { /* what happened in a term: number of an identity + 1; 0 = nothing */
    uint8_t leader;
    uint8_t vote[SIM_IDS_MAX];
};

struct sim_ghost {
    struct sim_committed *v; /* [1..last] */
    pc_index last;
    size_t cap;
    struct pc_blob **bodies; /* by index, kept for the value bytes */
    struct sim_slot *slots;
    size_t slots_n;
    pc_node_id ids[SIM_IDS_MAX];
    size_t ids_n;
    struct sim_term *terms;
    size_t terms_n;
    struct pc_request_id *requests; /* open addressing */
    size_t requests_n, requests_cap;
    struct pc_store *store;
    struct sim_key keys[PC_SIM_KEYS_MAX];
    pc_index visible_max;
    pc_index acked_max;
    uint8_t *fates; /* by value written: refused, committed */
    size_t fates_n;
};

void sim_ghost_create(struct sim_ghost *ghost);
void sim_ghost_destroy(struct sim_ghost *ghost);
/* Appends the next committed entry; `term` is that of the leader that commits it. */
void sim_ghost_commit(struct pc_sim *sim, const struct pc_entry *entry, pc_term term);
/* Registers (index, term, chain); false when another chain stands there. */
bool sim_ghost_register(
    struct sim_ghost *ghost, pc_index index, pc_term term, const struct pc_hash *chain);
/* What is known of the form of an entry that was registered; NULL = it was not. */
uint8_t *sim_ghost_form(struct sim_ghost *ghost, pc_index index, pc_term term);
/* Forgets what was handed out from index `from` on. */
void sim_ghost_forget(struct sim_ghost *ghost, pc_index from);
/* The same of what this identity made as the leader of terms behind `term`. */
void sim_ghost_forget_led(struct sim_ghost *ghost, pc_index from, pc_term term, pc_node_id leader);
/* Was this entry ever handed out by a node? */
bool sim_ghost_knows(
    const struct sim_ghost *ghost, pc_index index, pc_term term, const struct pc_hash *chain);
/* The number of an identity, which may be new. */
uint8_t sim_ghost_id(struct sim_ghost *ghost, pc_node_id id);
struct sim_term *sim_ghost_term(struct sim_ghost *ghost, pc_term term);
/* What a read of `key` at `index` must see; NULL = nothing. */
const struct sim_version *sim_ghost_visible(
    const struct sim_ghost *ghost, size_t key, pc_index index);
/* By the rules of the product, where the key has this version; 0 = nothing stands there. */
bool sim_condition_holds(enum pc_condition condition, pc_index if_version, pc_index version);
size_t sim_key_name(size_t key, char *out);
int sim_key_parse(struct pc_slice key); /* -1 = not one of ours */

#endif
