/* From the bytes of entries to lines: which are told of, and which are not. */
#define _GNU_SOURCE
#include "support/test.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pcache/feed.h"
#include "pcache/wire.h"
#include "pcache/wire_entry.h"

#define ENTRIES 5
#define DEADLINE_MS 10000

/* Entries first.. of a log, each a command on a key of its own. */
static void make(struct pc_entry *entries, pc_index first)
{
    struct pc_hash chain = {{9}};
    for (size_t i = 0; i < ENTRIES; i++) {
        char key[] = {(char)('a' + i), '\0'};
        struct pc_command command = {.op = PC_OP_DELETE, .key = pc_slice_str(key)};
        struct pc_buf body = {0};
        pc_wire_encode_command(&command, &body);
        entries[i] = (struct pc_entry){
            .index = first + i, .term = 2, .stamp_ms = 5, .kind = PC_ENTRY_COMMAND};
        assert_ok(pc_blob_new(pc_slice_of(body.data, body.len), &entries[i].body));
        entries[i].chain = chain = pc_entry_chain(&chain, &entries[i]);
        pc_buf_destroy(&body);
    }
}

static void pack(const struct pc_entry *entries, size_t n, struct pc_raw_entries *raw)
{
    *raw = (struct pc_raw_entries){.first = entries[0].index, .n = n};
    for (size_t i = 0; i < n; i++) {
        pc_wire_encode_entry(&entries[i], &raw->bytes);
    }
}

static void clear(struct pc_entry *entries)
{
    for (size_t i = 0; i < ENTRIES; i++) {
        pc_entry_clear(&entries[i]);
    }
}

static void lines__of_entries_in_order__are_one_each(void **state)
{
    (void)state;
    struct pc_entry entries[ENTRIES];
    struct pc_raw_entries raw;
    struct pc_buf lines = {0};
    struct pc_error error;
    make(entries, 7);
    pack(entries, 2, &raw);
    assert_ok(pc_feed_lines(&raw, &lines, &error));
    pc_buf_append_u8(&lines, 0);
    assert_string_equal((const char *)lines.data,
        "{\"index\":7,\"term\":2,\"time_ms\":5,\"kind\":\"command\","
        "\"request\":\"0000000000000000/0/0\",\"op\":\"delete\",\"key\":\"a\"}\n"
        "{\"index\":8,\"term\":2,\"time_ms\":5,\"kind\":\"command\","
        "\"request\":\"0000000000000000/0/0\",\"op\":\"delete\",\"key\":\"b\"}\n");
    pc_buf_destroy(&lines);
    pc_raw_entries_clear(&raw);
    clear(entries);
}

/* Nothing is told of: not even the entries in front of what is wrong. */
static void assert_refused(struct pc_raw_entries *raw, const char *words)
{
    struct pc_buf lines = {0};
    struct pc_error error;
    pc_buf_append(&lines, "kept", 4);
    assert_int_equal(pc_feed_lines(raw, &lines, &error), PC_E_CORRUPT);
    assert_non_null(strstr(error.text, words));
    assert_int_equal(lines.len, 4);
    pc_buf_destroy(&lines);
    pc_raw_entries_clear(raw);
}

static void entries__not_what_was_asked_for__are_refused(void **state)
{
    (void)state;
    struct pc_entry entries[ENTRIES];
    struct pc_raw_entries raw;
    make(entries, 7);
    pack(entries, 3, &raw);
    raw.first = 8;
    assert_refused(&raw, "entry 8 does not follow");
    struct pc_entry kept = entries[2];
    entries[2].stamp_ms = 6; /* one byte, and its checksum with it */
    pack(entries, ENTRIES, &raw);
    assert_refused(&raw, "entry 9 does not follow");
    entries[2] = kept;
    pack(entries, 3, &raw);
    raw.n = 2;
    assert_refused(&raw, "entry 9 was not asked for");
    pack(entries, 3, &raw);
    raw.n = 4;
    assert_refused(&raw, "entry 10 cannot be decoded");
    pack(entries, 3, &raw);
    raw.bytes.data[0] = 0xc1;
    assert_refused(&raw, "entry 7 cannot be decoded");
    clear(entries);
}

static void await(struct pc_feed *feed, int fd, struct pc_feed_done *done)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    uint64_t count;
    assert_int_equal(poll(&item, 1, DEADLINE_MS), 1);
    assert_int_equal(read(fd, &count, sizeof count), sizeof count);
    assert_true(pc_feed_poll(feed, done));
}

static void thread__pieces_of_work__come_back_in_turn(void **state)
{
    (void)state;
    struct pc_entry entries[ENTRIES];
    struct pc_raw_entries raw;
    struct pc_feed_done done;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(fd >= 0);
    struct pc_feed *feed = pc_feed_start(fd);
    assert_false(pc_feed_poll(feed, &done));
    make(entries, 7);
    for (size_t n = 1; n <= ENTRIES; n++) {
        pack(entries, n, &raw);
        pc_feed_put(feed, &raw);
        assert_int_equal(raw.first, 0);
        await(feed, fd, &done);
        assert_ok(done.err);
        assert_int_equal(done.n, n);
        assert_int_equal(done.lines.data[done.lines.len - 1], '\n');
        pc_buf_destroy(&done.lines);
    }
    pack(entries, 2, &raw);
    raw.bytes.data[0] = 0xc1;
    pc_feed_put(feed, &raw);
    await(feed, fd, &done);
    assert_int_equal(done.err, PC_E_CORRUPT);
    assert_int_equal(done.lines.len, 0);
    pc_feed_stop(feed);
    clear(entries);
    close(fd);
}

static void thread__stopped__gives_back_what_it_holds(void **state)
{
    (void)state;
    struct pc_entry entries[ENTRIES];
    struct pc_raw_entries raw;
    make(entries, 7);
    pack(entries, ENTRIES, &raw);
    struct pc_feed *feed = pc_feed_start(-1);
    pc_feed_put(feed, &raw);
    pc_feed_stop(feed); /* the sanitizer counts */
    pc_feed_stop(NULL);
    clear(entries);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(lines__of_entries_in_order__are_one_each),
    PC_TEST(entries__not_what_was_asked_for__are_refused),
    PC_TEST(thread__pieces_of_work__come_back_in_turn),
    PC_TEST(thread__stopped__gives_back_what_it_holds),
};
PC_TEST_MAIN("feed", tests)
