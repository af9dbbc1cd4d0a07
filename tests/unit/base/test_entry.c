#include "support/test.h"

#include "pcache/entry.h"

static struct pc_entry make(pc_index index, const char *body)
{
    struct pc_entry entry = {.index = index, .term = 2, .stamp_ms = 5, .kind = PC_ENTRY_COMMAND};
    assert_ok(pc_blob_new(pc_slice_str(body), &entry.body));
    return entry;
}

static void chain__any_field_changed__is_another(void **state)
{
    (void)state;
    struct pc_hash zero = {{0}};
    struct pc_entry entry = make(1, "body");
    struct pc_hash base = pc_entry_chain(&zero, &entry);
    struct pc_hash again = pc_entry_chain(&zero, &entry);
    assert_true(pc_hash_equal(&base, &again));
    struct pc_entry other[6];
    for (int i = 0; i < 6; i++) {
        other[i] = entry;
    }
    other[0].index++;
    other[1].term++;
    other[2].stamp_ms++;
    other[3].req.seq++;
    other[4].kind = PC_ENTRY_NOOP;
    other[5].body = NULL;
    for (int i = 0; i < 6; i++) {
        struct pc_hash hash = pc_entry_chain(&zero, &other[i]);
        assert_false(pc_hash_equal(&base, &hash));
    }
    struct pc_hash later = pc_entry_chain(&base, &entry);
    assert_false(pc_hash_equal(&base, &later));
    pc_entry_clear(&entry);
}

static void entries__push_and_clear__balance_references(void **state)
{
    (void)state;
    struct pc_entries entries = {0};
    struct pc_entry entry = make(1, "x");
    for (int i = 0; i < 40; i++) {
        pc_entries_push(&entries, &entry);
    }
    assert_int_equal(entries.n, 40);
    assert_int_equal(entry.body->refs, 41);
    pc_entries_clear(&entries);
    assert_int_equal(entry.body->refs, 1);
    pc_entry_clear(&entry);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(chain__any_field_changed__is_another),
    PC_TEST(entries__push_and_clear__balance_references),
};
PC_TEST_MAIN("entry", tests)
