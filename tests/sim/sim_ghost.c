/* The ghost: what is committed, by whom which term was led, whom each node voted for, and a model
 * of the store that is as simple as its rules: per key the list of its states, each from an index
 * on.
 *
 * The model is told commands only, in log order; it knows nothing of tables, timers or removal. An
 * expired item is one whose deadline is at or before the stamp of the index it is looked at. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_int.h"

void sim_ghost_create(struct sim_ghost *ghost)
{
    struct pc_store_opts opts = {{42}};
    ghost->store = pc_store_new(&opts);
}

void sim_ghost_destroy(struct sim_ghost *ghost)
{
    for (pc_index i = 1; i <= ghost->last; i++) {
        pc_blob_unref(ghost->bodies[i]);
    }
    for (size_t i = 0; i < ghost->slots_n; i++) {
        free(ghost->slots[i].v);
    }
    for (size_t i = 0; i < PC_SIM_KEYS_MAX; i++) {
        free(ghost->keys[i].v);
    }
    free(ghost->v);
    free(ghost->bodies);
    free(ghost->slots);
    free(ghost->terms);
    free(ghost->requests);
    free(ghost->fates);
    pc_store_delete(ghost->store);
    *ghost = (struct sim_ghost){0};
}

/* ---- every entry ever handed out */

static struct sim_slot *slot_at(struct sim_ghost *ghost, pc_index index)
{
    if (index >= ghost->slots_n) {
        size_t n = ghost->slots_n == 0 ? 1024 : ghost->slots_n * 2;
        n = n > index ? n : (size_t)index + 1;
        ghost->slots = pc_xrealloc(ghost->slots, n * sizeof *ghost->slots);
        memset(&ghost->slots[ghost->slots_n], 0, (n - ghost->slots_n) * sizeof *ghost->slots);
        ghost->slots_n = n;
    }
    return &ghost->slots[index];
}

bool sim_ghost_knows(
    const struct sim_ghost *ghost, pc_index index, pc_term term, const struct pc_hash *chain)
{
    if (index >= ghost->slots_n) {
        return false;
    }
    const struct sim_slot *slot = &ghost->slots[index];
    for (size_t i = 0; i < slot->n; i++) {
        if (slot->v[i].term == term) {
            return pc_hash_equal(&slot->v[i].chain, chain);
        }
    }
    return false;
}

uint8_t *sim_ghost_form(struct sim_ghost *ghost, pc_index index, pc_term term)
{
    struct sim_slot *slot = index < ghost->slots_n ? &ghost->slots[index] : NULL;
    for (size_t i = 0; slot != NULL && i < slot->n; i++) {
        if (slot->v[i].term == term) {
            return &slot->v[i].form;
        }
    }
    return NULL;
}

bool sim_ghost_register(
    struct sim_ghost *ghost, pc_index index, pc_term term, const struct pc_hash *chain)
{
    struct sim_slot *slot = slot_at(ghost, index);
    for (size_t i = 0; i < slot->n; i++) {
        if (slot->v[i].term == term) {
            return pc_hash_equal(&slot->v[i].chain, chain);
        }
    }
    if (slot->n == slot->cap) {
        slot->cap = slot->cap == 0 ? 2 : slot->cap * 2;
        slot->v = pc_xrealloc(slot->v, slot->cap * sizeof *slot->v);
    }
    slot->v[slot->n++] = (struct sim_term_chain){.term = term, .chain = *chain};
    return true;
}

void sim_ghost_forget(struct sim_ghost *ghost, pc_index from)
{
    for (size_t i = from; i < ghost->slots_n; i++) {
        ghost->slots[i].n = 0;
    }
}

void sim_ghost_forget_led(struct sim_ghost *ghost, pc_index from, pc_term term, pc_node_id leader)
{
    uint8_t number = sim_ghost_id(ghost, leader);
    for (size_t i = from; i < ghost->slots_n; i++) {
        struct sim_slot *slot = &ghost->slots[i];
        size_t kept = 0;
        for (size_t j = 0; j < slot->n; j++) {
            pc_term made_in = slot->v[j].term;
            bool is_void = made_in > term && sim_ghost_term(ghost, made_in)->leader == number + 1;
            if (!is_void) {
                slot->v[kept++] = slot->v[j];
            }
        }
        slot->n = kept;
    }
}

uint8_t sim_ghost_id(struct sim_ghost *ghost, pc_node_id id)
{
    for (size_t i = 0; i < ghost->ids_n; i++) {
        if (ghost->ids[i] == id) {
            return (uint8_t)i;
        }
    }
    PC_ASSERT(ghost->ids_n < SIM_IDS_MAX);
    ghost->ids[ghost->ids_n] = id;
    return (uint8_t)ghost->ids_n++;
}

struct sim_term *sim_ghost_term(struct sim_ghost *ghost, pc_term term)
{
    PC_ASSERT(term < 10000000);
    if (term >= ghost->terms_n) {
        size_t n = ghost->terms_n == 0 ? 64 : ghost->terms_n * 2;
        n = n > term ? n : (size_t)term + 1;
        ghost->terms = pc_xrealloc(ghost->terms, n * sizeof *ghost->terms);
        memset(&ghost->terms[ghost->terms_n], 0, (n - ghost->terms_n) * sizeof *ghost->terms);
        ghost->terms_n = n;
    }
    return &ghost->terms[term];
}

/* ---- request ids */

static size_t request_slot(
    const struct pc_request_id *v, size_t cap, const struct pc_request_id *id)
{
    uint64_t h = (id->node ^ id->boot * 31 ^ id->seq * UINT64_C(0x9e3779b97f4a7c15));
    h *= UINT64_C(0xff51afd7ed558ccd);
    size_t at = (size_t)(h >> 32) & (cap - 1);
    while (v[at].node != 0 &&
           (v[at].node != id->node || v[at].boot != id->boot || v[at].seq != id->seq)) {
        at = (at + 1) & (cap - 1);
    }
    return at;
}

/* False when it was there already. */
static bool requests_add(struct sim_ghost *ghost, const struct pc_request_id *id)
{
    if (ghost->requests_n * 2 >= ghost->requests_cap) {
        size_t cap = ghost->requests_cap == 0 ? 1024 : ghost->requests_cap * 2;
        struct pc_request_id *grown = pc_xalloc(cap * sizeof *grown);
        for (size_t i = 0; i < ghost->requests_cap; i++) {
            if (ghost->requests[i].node != 0) {
                grown[request_slot(grown, cap, &ghost->requests[i])] = ghost->requests[i];
            }
        }
        free(ghost->requests);
        ghost->requests = grown;
        ghost->requests_cap = cap;
    }
    size_t at = request_slot(ghost->requests, ghost->requests_cap, id);
    if (ghost->requests[at].node != 0) {
        return false;
    }
    ghost->requests[at] = *id;
    ghost->requests_n++;
    return true;
}

/* ---- the model of the store */

size_t sim_key_name(size_t key, char *out)
{
    return (size_t)snprintf(out, 16, "key-%02zu", key);
}

int sim_key_parse(struct pc_slice key)
{
    if (key.len != 6 || memcmp(key.data, "key-", 4) != 0) {
        return -1;
    }
    int n = (key.data[4] - '0') * 10 + key.data[5] - '0';
    return n >= 0 && n < PC_SIM_KEYS_MAX ? n : -1;
}

const struct sim_version *sim_ghost_visible(
    const struct sim_ghost *ghost, size_t key, pc_index index)
{
    const struct sim_key *history = &ghost->keys[key];
    size_t i = history->n;
    while (i > 0 && history->v[i - 1].index > index) {
        i--;
    }
    if (i == 0 || !history->v[i - 1].exists) {
        return NULL;
    }
    const struct sim_version *found = &history->v[i - 1];
    PC_ASSERT(index <= ghost->last);
    bool expired = found->deadline_ms != 0 && found->deadline_ms <= ghost->v[index].stamp_ms;
    return expired ? NULL : found;
}

static void key_push(struct sim_key *key, const struct sim_version *version)
{
    if (key->n == key->cap) {
        key->cap = key->cap == 0 ? 16 : key->cap * 2;
        key->v = pc_xrealloc(key->v, key->cap * sizeof *key->v);
    }
    key->v[key->n++] = *version;
}

static uint64_t value_number(struct pc_slice value)
{
    uint64_t number = 0;
    for (size_t i = 0; i < value.len && value.data[i] >= '0' && value.data[i] <= '9'; i++) {
        number = number * 10 + (uint64_t)(value.data[i] - '0');
    }
    return number;
}

bool sim_condition_holds(enum pc_condition condition, pc_index if_version, pc_index version)
{
    bool is_there = version != 0;
    return condition == PC_IF_ANY || (condition == PC_IF_ABSENT && !is_there) ||
           (condition == PC_IF_PRESENT && is_there) ||
           (condition == PC_IF_VERSION && is_there && version == if_version);
}

/* Applies the command of entry `at` to the model: product.md's rules, nothing else. */
static void model_apply(struct sim_ghost *ghost, const struct pc_command *c, pc_index at)
{
    struct sim_committed *entry = &ghost->v[at];
    int key = sim_key_parse(c->key);
    if (c->op == PC_OP_TICK || key < 0) {
        return;
    }
    const struct sim_version *before = sim_ghost_visible(ghost, (size_t)key, at);
    entry->before = before != NULL ? before->index : 0;
    struct sim_version after = before != NULL ? *before : (struct sim_version){0};
    pc_ms deadline = c->has_ttl ? entry->stamp_ms + c->ttl_ms : 0;
    bool due_now = c->has_ttl && c->ttl_ms == 0;
    bool changes = before != NULL;
    if (c->op == PC_OP_SET) {
        changes = before != NULL || !due_now;
        entry->value = value_number(c->value);
        after = (struct sim_version){
            .exists = !due_now, .value = entry->value, .bytes = c->value, .deadline_ms = deadline};
    } else if (c->op == PC_OP_DELETE) {
        after.exists = false;
    } else if (c->op == PC_OP_EXPIRE) {
        after.exists = before != NULL && !due_now;
        after.deadline_ms = deadline;
    } else {
        changes = before != NULL && before->deadline_ms != 0;
        after.deadline_ms = 0;
    }
    bool holds = sim_condition_holds(c->condition, c->if_version, entry->before);
    changes = changes && holds;
    entry->outcome = (struct pc_outcome){
        .existed = before != NULL,
        .changed = changes,
        .unmet = !holds,
    };
    if (changes) {
        after.index = at;
        key_push(&ghost->keys[key], &after);
    }
    const struct sim_version *now = sim_ghost_visible(ghost, (size_t)key, at);
    entry->outcome.version = now != NULL ? now->index : 0;
    entry->outcome.deadline_ms = now != NULL ? now->deadline_ms : 0;
}

static void ghost_grow(struct sim_ghost *ghost)
{
    if (ghost->last + 1 >= ghost->cap) {
        ghost->cap = ghost->cap == 0 ? 1024 : ghost->cap * 2;
        ghost->v = pc_xrealloc(ghost->v, ghost->cap * sizeof *ghost->v);
        ghost->bodies = pc_xrealloc(ghost->bodies, ghost->cap * sizeof *ghost->bodies);
        if (ghost->last == 0) {
            ghost->v[0] = (struct sim_committed){0};
        }
    }
}

void sim_ghost_commit(struct pc_sim *sim, const struct pc_entry *entry, pc_term term)
{
    struct sim_ghost *ghost = &sim->ghost;
    ghost_grow(ghost);
    PC_ASSERT(entry->index == ghost->last + 1);
    pc_index at = ++ghost->last;
    ghost->bodies[at] = pc_blob_ref(entry->body);
    ghost->v[at] = (struct sim_committed){.chain = entry->chain,
        .term = entry->term,
        .config = entry->kind == PC_ENTRY_CONFIG ? at : ghost->v[at - 1].config,
        .committed_in = term,
        .stamp_ms = entry->stamp_ms,
        .req = entry->req};
    if (entry->stamp_ms < ghost->v[at - 1].stamp_ms) {
        sim_fail(sim, PC_SIM_B31, "the stamp of entry %llu is below that of the one before",
            (unsigned long long)at);
    }
    if (entry->req.node != 0 && !requests_add(ghost, &entry->req)) {
        sim_fail(sim, PC_SIM_B25, "request %016llx/%llu is committed again at %llu",
            (unsigned long long)entry->req.node, (unsigned long long)entry->req.seq,
            (unsigned long long)at);
    }
    struct pc_command command;
    const struct pc_command *to_apply = NULL;
    if (entry->kind == PC_ENTRY_COMMAND) {
        pc_err err = pc_wire_decode_command(pc_blob_slice(ghost->bodies[at]), &command);
        if (err != PC_OK) {
            sim_fail(sim, PC_SIM_W1, "the command of entry %llu does not decode",
                (unsigned long long)at);
            return;
        }
        to_apply = &command;
        model_apply(ghost, &command, at);
        sim_check_committed_value(sim, ghost->v[at].value);
    }
    pc_err err = pc_store_apply(ghost->store, at, entry->stamp_ms, to_apply, NULL);
    PC_ASSERT(err == PC_OK);
    ghost->v[at].digest = pc_store_digest(ghost->store);
}
