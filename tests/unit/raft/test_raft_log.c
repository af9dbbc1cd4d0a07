#include "core/raft/raft_int.h"
#include "support/test.h"
#include "unit/raft/raft_net.h"

/* Appends entries of these terms (a 0 ends the list), with stamps that grow by 10. */
static void log_fill(struct raft_log *log, const pc_term *terms)
{
    for (; *terms != 0; terms++) {
        struct pc_hash chain;
        assert_true(raft_log_chain_at(log, raft_log_last(log), &chain));
        struct pc_entry entry = {
            .index = raft_log_last(log) + 1,
            .term = *terms,
            .stamp_ms = raft_log_last_stamp(log) + 10,
            .kind = PC_ENTRY_COMMAND,
            .body = net_blob("body"),
        };
        entry.chain = pc_entry_chain(&chain, &entry);
        raft_log_append(log, &entry);
        pc_entry_clear(&entry);
    }
}

static void log_create_empty(struct raft_log *log)
{
    const struct pc_raft_restored nothing = {0};
    raft_log_create(log, &nothing);
}

static void log_create__nothing_restored__is_empty(void **state)
{
    (void)state;
    struct raft_log log;
    log_create_empty(&log);
    struct pc_hash chain;
    assert_int_equal(raft_log_first(&log), 1);
    assert_int_equal(raft_log_last(&log), 0);
    assert_int_equal(raft_log_last_term(&log), 0);
    assert_int_equal(raft_log_term_at(&log, 0), 0);
    assert_null(raft_log_get(&log, 0));
    assert_null(raft_log_get(&log, 1));
    assert_true(raft_log_chain_at(&log, 0, &chain));
    assert_false(raft_log_chain_at(&log, 1, &chain));
    raft_log_destroy(&log);
}

static void log_create__commit_in_the_middle__keeps_the_tail_and_all_terms(void **state)
{
    (void)state;
    struct raft_log source, log;
    log_create_empty(&source);
    log_fill(&source, (const pc_term[]){1, 1, 2, 2, 4, 4, 4, 0});
    const struct pc_term_run runs[] = {{1, 1}, {3, 2}, {5, 4}};
    struct pc_entry tail[2] = {*raft_log_get(&source, 6), *raft_log_get(&source, 7)};
    const struct pc_raft_base base = pc_raft_base_of(raft_log_get(&source, 5));
    const struct pc_raft_restored restored = {
        .term = 4,
        .last = 7,
        .commit = 5,
        .terms = runs,
        .terms_n = 3,
        .base = &base,
        .tail = tail,
        .tail_n = 2,
    };
    raft_log_create(&log, &restored);
    static const pc_term want[] = {0, 1, 1, 2, 2, 4, 4, 4};
    for (pc_index i = 0; i <= 7; i++) {
        assert_int_equal(raft_log_term_at(&log, i), want[i]);
        assert_int_equal(raft_log_get(&log, i) != NULL, i >= 6);
    }
    struct pc_hash chain;
    assert_true(raft_log_chain_at(&log, 5, &chain));
    assert_true(pc_hash_equal(&chain, &raft_log_get(&source, 5)->chain));
    assert_int_equal(raft_log_last_stamp(&log), raft_log_last_stamp(&source));
    raft_log_destroy(&log);
    raft_log_destroy(&source);
}

static void log_append__past_the_ring__keeps_order(void **state)
{
    (void)state;
    struct raft_log log;
    log_create_empty(&log);
    for (size_t round = 0; round < 50; round++) {
        log_fill(&log, (const pc_term[]){1, 1, 1, 1, 1, 1, 1, 0});
        /* Trimming moves the head, so that the ring wraps at every offset. */
        raft_log_trim(&log, raft_log_last(&log) - 3, 0);
        assert_int_equal(raft_log_last(&log), 7 * (round + 1));
        assert_int_equal(raft_log_first(&log), raft_log_last(&log) - 2);
        for (pc_index i = raft_log_first(&log); i <= raft_log_last(&log); i++) {
            assert_int_equal(raft_log_get(&log, i)->index, i);
        }
    }
    log_fill(&log, (const pc_term[]){1, 1, 1, 0});
    while (log.n < 300) {
        log_fill(&log, (const pc_term[]){1, 1, 1, 1, 1, 0});
    }
    for (pc_index i = raft_log_first(&log); i <= raft_log_last(&log); i++) {
        assert_int_equal(raft_log_get(&log, i)->index, i);
    }
    raft_log_destroy(&log);
}

static void log_truncate__inside_a_term__forgets_only_what_is_behind(void **state)
{
    (void)state;
    struct raft_log log;
    log_create_empty(&log);
    log_fill(&log, (const pc_term[]){1, 2, 2, 3, 3, 0});
    raft_log_truncate(&log, 5);
    assert_int_equal(raft_log_last(&log), 4);
    assert_int_equal(raft_log_last_term(&log), 3);
    raft_log_truncate(&log, 3);
    assert_int_equal(raft_log_last_term(&log), 2);
    assert_int_equal(log.bytes, 2 * pc_entry_bytes(raft_log_get(&log, 1)));
    log_fill(&log, (const pc_term[]){5, 0});
    assert_int_equal(raft_log_term_at(&log, 2), 2);
    assert_int_equal(raft_log_term_at(&log, 3), 5);
    raft_log_truncate(&log, 1);
    assert_int_equal(raft_log_last(&log), 0);
    assert_int_equal(raft_log_last_term(&log), 0);
    assert_int_equal(log.bytes, 0);
    raft_log_destroy(&log);
}

static void log_trim__bounds__stops_at_upto_and_at_the_byte_budget(void **state)
{
    (void)state;
    struct raft_log log;
    log_create_empty(&log);
    log_fill(&log, (const pc_term[]){1, 1, 1, 2, 2, 2, 0});
    size_t each = pc_entry_bytes(raft_log_get(&log, 1));
    raft_log_trim(&log, 6, 6 * each);
    assert_int_equal(raft_log_first(&log), 1);
    raft_log_trim(&log, 6, 4 * each);
    assert_int_equal(raft_log_first(&log), 3);
    raft_log_trim(&log, 4, 0);
    assert_int_equal(raft_log_first(&log), 5);
    raft_log_trim(&log, 6, 0);
    assert_int_equal(raft_log_first(&log), 7);
    assert_int_equal(raft_log_last(&log), 6);
    assert_int_equal(raft_log_last_term(&log), 2);
    assert_int_equal(raft_log_term_at(&log, 1), 1);
    assert_int_equal(log.bytes, 0);
    struct pc_hash chain;
    assert_true(raft_log_chain_at(&log, 6, &chain));
    log_fill(&log, (const pc_term[]){2, 0}); /* the chain goes on */
    assert_int_equal(raft_log_get(&log, 7)->stamp_ms, 70);
    raft_log_destroy(&log);
}

struct agree_case {
    pc_term terms[10];
    pc_index from;
    pc_term term;
    pc_index want;
};

static void log_agree_at_most__table__steps_back_a_term_at_a_time(void **state)
{
    (void)state;
    static const struct agree_case cases[] = {
        {{1, 1, 1, 0}, 3, 1, 3},       /* the same term */
        {{1, 1, 1, 0}, 9, 1, 3},       /* a shorter log */
        {{1, 1, 3, 3, 3, 0}, 5, 2, 2}, /* all of term 3 in one step */
        {{1, 1, 3, 3, 3, 0}, 5, 3, 5}, {{1, 1, 3, 3, 3, 0}, 4, 3, 4}, /* not above `from` */
        {{2, 2, 5, 6, 7, 0}, 5, 4, 2},                                /* several terms, one step */
        {{2, 2, 5, 6, 7, 0}, 5, 1, 0},                                /* nothing in common */
        {{2, 2, 5, 6, 7, 0}, 0, 9, 0}, {{2, 2, 5, 6, 7, 0}, 3, 9, 3},
        {{0}, 7, 3, 0}, /* an empty log */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct raft_log log;
        log_create_empty(&log);
        log_fill(&log, cases[i].terms);
        assert_int_equal(raft_log_agree_at_most(&log, cases[i].from, cases[i].term), cases[i].want);
        raft_log_destroy(&log);
    }
}

/* Against the definition, for all logs of up to six entries over three terms. */
static void log_agree_at_most__all_small_logs__fits_the_definition(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 729; code++) {
        pc_term terms[7] = {0};
        uint32_t left = code;
        bool ascends = true;
        for (size_t i = 0; i < 6; i++, left /= 3) {
            terms[i] = 1 + left % 3;
            ascends &= i == 0 || terms[i] >= terms[i - 1];
        }
        if (!ascends) {
            continue;
        }
        struct raft_log log;
        log_create_empty(&log);
        log_fill(&log, terms);
        for (pc_index from = 0; from <= 7; from++) {
            for (pc_term term = 0; term <= 4; term++) {
                pc_index want = from < 6 ? from : 6;
                while (want > 0 && terms[want - 1] > term) {
                    want--;
                }
                assert_int_equal(raft_log_agree_at_most(&log, from, term), want);
            }
        }
        raft_log_destroy(&log);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(log_create__nothing_restored__is_empty),
    PC_TEST(log_create__commit_in_the_middle__keeps_the_tail_and_all_terms),
    PC_TEST(log_append__past_the_ring__keeps_order),
    PC_TEST(log_truncate__inside_a_term__forgets_only_what_is_behind),
    PC_TEST(log_trim__bounds__stops_at_upto_and_at_the_byte_budget),
    PC_TEST(log_agree_at_most__table__steps_back_a_term_at_a_time),
    PC_TEST(log_agree_at_most__all_small_logs__fits_the_definition),
};

PC_TEST_MAIN("raft_log", tests)
