/* Interned content types: an item carries four bytes for a text of up to 255.
 *
 * In practice there are a handful of types. But clients name them, so there may be as many as
 * items, and each of them must still be found, counted and freed in bounded time: the texts stand
 * in the same kind of table as the items, and ids lead to them through a segmented array with a
 * list of free ids. An id is a matter of memory only and never seen outside: two nodes may number
 * the same types differently. */
#include "store_int.h"

#include <stdlib.h>
#include <string.h>

PC_STATIC_ASSERT(PC_CONTENT_TYPE_BYTES_MAX <= UINT8_MAX, "a content type's length fits a byte");

static struct pc_slice type_text(const struct pc_store_type *type)
{
    return pc_slice_of(type->text, type->len);
}

static struct pc_slice type_key_of(const struct pc_store_link *link)
{
    return type_text((const struct pc_store_type *)link);
}

static union pc_store_type_slot *slot_of(const struct pc_store_types *types, uint32_t id)
{
    PC_ASSERT(id > 0 && id < types->slots_len);
    return pc_store_array_at(&types->slots, id);
}

static struct pc_store_type *type_of(const struct pc_store_types *types, uint32_t id)
{
    struct pc_store_type *type = slot_of(types, id)->type;
    PC_ASSERT(type->id == id && type->refs > 0);
    return type;
}

void pc_store_types_create(struct pc_store_types *types, const uint8_t seed[16])
{
    *types = (struct pc_store_types){.slots_len = 1};
    pc_store_table_create(&types->table, seed, type_key_of);
    pc_store_array_create(&types->slots, sizeof(union pc_store_type_slot));
}

static void free_type(void *context, struct pc_store_link *link)
{
    (void)context;
    free((struct pc_store_type *)link);
}

void pc_store_types_destroy(struct pc_store_types *types)
{
    pc_store_table_each(&types->table, free_type, NULL);
    pc_store_table_destroy(&types->table);
    pc_store_array_destroy(&types->slots);
}

static uint64_t type_memory_bytes(const struct pc_store_type *type)
{
    return pc_store_chunk_bytes(sizeof *type + type->len);
}

/* Takes an id that is not in use; its slot is the caller's to fill. */
static pc_err id_take(struct pc_store_types *types, uint32_t *id)
{
    if (types->free_first != 0) {
        *id = types->free_first;
        types->free_first = (uint32_t)slot_of(types, *id)->free_next;
        return PC_OK;
    }
    if (types->slots_len == UINT32_MAX) {
        return PC_E_NOMEM;
    }
    pc_err err = pc_store_array_reserve(&types->slots, (size_t)types->slots_len + 1);
    if (err == PC_OK) {
        *id = types->slots_len++;
    }
    return err;
}

static void id_give(struct pc_store_types *types, uint32_t id)
{
    slot_of(types, id)->free_next = types->free_first;
    types->free_first = id;
    if (types->table.count == 0) {
        types->free_first = 0;
        types->slots_len = 1;
        pc_store_array_trim(&types->slots, 1);
    }
}

static pc_err type_new(
    struct pc_store_types *types, uint64_t hash, struct pc_slice text, uint32_t *id)
{
    struct pc_store_type *type = malloc(sizeof *type + text.len);
    if (type == NULL) {
        return PC_E_NOMEM;
    }
    pc_err err = id_take(types, &type->id);
    if (err != PC_OK) {
        free(type);
        return err;
    }
    type->refs = 1;
    type->len = (uint8_t)text.len;
    memcpy(type->text, text.data, text.len);
    slot_of(types, type->id)->type = type;
    pc_store_table_insert(&types->table, hash, &type->link);
    types->memory_bytes += type_memory_bytes(type);
    *id = type->id;
    return PC_OK;
}

pc_err pc_store_types_ref(struct pc_store_types *types, struct pc_slice text, uint32_t *id)
{
    PC_ASSERT(text.len <= PC_CONTENT_TYPE_BYTES_MAX);
    if (text.len == 0) {
        *id = 0;
        return PC_OK;
    }
    uint64_t hash = pc_store_table_hash(&types->table, text);
    struct pc_store_link *link = pc_store_table_find(&types->table, hash, text);
    if (link == NULL) {
        return type_new(types, hash, text, id);
    }
    struct pc_store_type *type = (struct pc_store_type *)link;
    if (type->refs == UINT32_MAX) {
        return PC_E_NOMEM;
    }
    type->refs++;
    *id = type->id;
    return PC_OK;
}

pc_err pc_store_types_ref_again(struct pc_store_types *types, uint32_t id)
{
    if (id == 0) {
        return PC_OK;
    }
    struct pc_store_type *type = type_of(types, id);
    if (type->refs == UINT32_MAX) {
        return PC_E_NOMEM;
    }
    type->refs++;
    return PC_OK;
}

void pc_store_types_unref(struct pc_store_types *types, uint32_t id)
{
    if (id == 0) {
        return;
    }
    struct pc_store_type *type = type_of(types, id);
    type->refs--;
    if (type->refs > 0) {
        return;
    }
    uint64_t hash = pc_store_table_hash(&types->table, type_text(type));
    pc_store_table_remove(&types->table, hash, &type->link);
    PC_ASSERT(types->memory_bytes >= type_memory_bytes(type));
    types->memory_bytes -= type_memory_bytes(type);
    id_give(types, id);
    free(type);
}

struct pc_slice pc_store_types_text(const struct pc_store_types *types, uint32_t id)
{
    return id == 0 ? pc_slice_of(NULL, 0) : type_text(type_of(types, id));
}

uint64_t pc_store_types_memory_bytes(const struct pc_store_types *types)
{
    return types->memory_bytes + pc_store_table_memory_bytes(&types->table) +
           pc_store_array_memory_bytes(&types->slots);
}

struct check {
    const struct pc_store_types *types;
    const uint32_t *counts;
    uint64_t memory_bytes;
};

static void check_type(void *context, struct pc_store_link *link)
{
    struct check *check = context;
    struct pc_store_type *type = (struct pc_store_type *)link;
    PC_ASSERT(type->len > 0);
    PC_ASSERT(type->refs > 0);
    PC_ASSERT(type_of(check->types, type->id) == type);
    PC_ASSERT(check->counts[type->id] == type->refs);
    check->memory_bytes += type_memory_bytes(type);
}

void pc_store_types_check(const struct pc_store_types *types, const uint32_t *counts)
{
    pc_store_table_check(&types->table);
    struct check check = {.types = types, .counts = counts};
    pc_store_table_each(&types->table, check_type, &check);
    PC_ASSERT(check.memory_bytes == types->memory_bytes);
    size_t free_ids = 0;
    for (uint32_t id = types->free_first; id != 0; id = (uint32_t)slot_of(types, id)->free_next) {
        PC_ASSERT(counts[id] == 0);
        free_ids++;
        PC_ASSERT(free_ids < types->slots_len);
    }
    PC_ASSERT(types->table.count + free_ids + 1 == types->slots_len);
}
