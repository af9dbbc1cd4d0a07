#include "support/test.h"

#include <string.h>

#include "pcache/wire.h"

static struct pc_slice slice(const struct pc_buf *buf)
{
    return pc_slice_of(buf->data, buf->len);
}

/* ---- meta */

static void config_encode(struct pc_buf *out)
{
    const struct pc_cluster_config config = {
        .history = {1, 2, 3},
        .members_n = 1,
        .members = {{.id = 5, .name = "a", .want = PC_WANT_VOTER, .votes = true}},
    };
    pc_wire_encode_config(&config, out);
}

/* A meta whose config is borrowed from `config`. */
static struct pc_snapshot_meta meta_of(const struct pc_buf *config)
{
    return (struct pc_snapshot_meta){
        .history = {1, 2, 3},
        .base = {.index = 70000, .term = 3, .stamp_ms = 1700000000000, .chain = {{9, 8, 7}}},
        .config_index = 300,
        .config = slice(config),
        .digest = {{4, 5, 6}},
        .items = UINT64_MAX,
    };
}

static void assert_meta_equal(const struct pc_snapshot_meta *a, const struct pc_snapshot_meta *b)
{
    assert_memory_equal(a->history, b->history, sizeof a->history);
    assert_memory_equal(a->base.chain.b, b->base.chain.b, sizeof a->base.chain.b);
    assert_memory_equal(a->digest.b, b->digest.b, sizeof a->digest.b);
    assert_true(pc_slice_equal(a->config, b->config));
    assert_int_equal(a->base.index, b->base.index);
    assert_int_equal(a->base.term, b->base.term);
    assert_int_equal(a->base.stamp_ms, b->base.stamp_ms);
    assert_int_equal(a->config_index, b->config_index);
    assert_int_equal(a->items, b->items);
}

static void meta__round_trip__comes_back(void **state)
{
    (void)state;
    struct pc_buf config = {0}, bytes = {0};
    config_encode(&config);
    struct pc_snapshot_meta out, meta = meta_of(&config);
    pc_wire_encode_snapshot_meta(&meta, &bytes);
    assert_ok(pc_wire_decode_snapshot_meta(slice(&bytes), &out));
    assert_meta_equal(&out, &meta);
    for (size_t cut = 0; cut < bytes.len; cut++) {
        struct pc_slice part = pc_slice_of(bytes.data, cut);
        assert_int_equal(pc_wire_decode_snapshot_meta(part, &out), PC_E_MALFORMED);
    }
    pc_buf_append_u8(&bytes, 0);
    assert_int_equal(pc_wire_decode_snapshot_meta(slice(&bytes), &out), PC_E_MALFORMED);
    pc_buf_destroy(&bytes);
    pc_buf_destroy(&config);
}

/* The encoder would not write these: they are made by hand. */
static void meta_by_hand(const struct pc_snapshot_meta *meta, struct pc_buf *out)
{
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    pc_mpack_write_array(&w, 9);
    pc_mpack_write_bin(&w, pc_slice_of(meta->history, 16));
    pc_mpack_write_uint(&w, meta->base.index);
    pc_mpack_write_uint(&w, meta->base.term);
    pc_mpack_write_uint(&w, meta->base.stamp_ms);
    pc_mpack_write_bin(&w, pc_slice_of(meta->base.chain.b, 16));
    pc_mpack_write_uint(&w, meta->config_index);
    pc_mpack_write_bin(&w, meta->config);
    pc_mpack_write_bin(&w, pc_slice_of(meta->digest.b, 16));
    pc_mpack_write_uint(&w, meta->items);
}

static void meta__senseless__is_malformed(void **state)
{
    (void)state;
    struct pc_buf config = {0};
    config_encode(&config);
    struct pc_snapshot_meta out, bad[9];
    for (size_t i = 0; i < 9; i++) {
        bad[i] = meta_of(&config);
    }
    bad[1].base.index = 0;
    bad[2].base.term = 0;
    bad[3].base.term = PC_TERM_MAX + 1;
    bad[4].base.stamp_ms = PC_CLOCK_MS_MAX + 1;
    bad[5].config_index = 0;
    bad[6].config_index = bad[6].base.index + 1;
    bad[7].config.len = 0;
    bad[8].config.len--;
    for (size_t i = 0; i < 9; i++) {
        struct pc_buf bytes = {0};
        meta_by_hand(&bad[i], &bytes);
        pc_err err = pc_wire_decode_snapshot_meta(slice(&bytes), &out);
        assert_int_equal(err, i == 0 ? PC_OK : PC_E_MALFORMED);
        pc_buf_destroy(&bytes);
    }
    pc_buf_destroy(&config);
}

/* ---- chunks */

static struct pc_item item_of(struct pc_slice key, struct pc_slice value)
{
    struct pc_item item = {.key = key,
        .content_type = pc_slice_str("a/b"),
        .version = 70000,
        .created = 3,
        .deadline_ms = UINT64_MAX};
    assert_ok(pc_blob_new(value, &item.value));
    return item;
}

static size_t read_all(struct pc_slice bytes, struct pc_stored_item *last, pc_err *err)
{
    struct pc_wire_chunk_reader r = pc_wire_chunk_reader_of(bytes);
    size_t n = 0;
    while (pc_wire_chunk_next(&r, last)) {
        n++;
    }
    *err = pc_wire_chunk_finish(&r);
    return n;
}

/* A chunk of as many items as want a head of one, three and five bytes. */
static void chunk__any_number_of_items__comes_back(void **state)
{
    (void)state;
    const unsigned counts[] = {0, 1, 15, 16, 700};
    struct pc_wire_chunk chunk = {0};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        pc_wire_chunk_begin(&chunk);
        struct pc_item item = item_of(pc_slice_of("k\0y", 3), pc_slice_str("value"));
        for (unsigned n = 0; n < counts[i]; n++) {
            item.version = n + 3;
            assert_true(pc_wire_chunk_add(&chunk, &item));
        }
        struct pc_slice bytes = pc_wire_chunk_end(&chunk);
        struct pc_stored_item last = {0};
        pc_err err;
        assert_int_equal(read_all(bytes, &last, &err), counts[i]);
        assert_ok(err);
        if (counts[i] > 0) {
            assert_true(pc_slice_equal(last.key, item.key));
            assert_true(pc_slice_equal(last.value, pc_blob_slice(item.value)));
            assert_true(pc_slice_equal(last.content_type, item.content_type));
            assert_int_equal(last.version, item.version);
            assert_int_equal(last.created, item.created);
            assert_int_equal(last.deadline_ms, item.deadline_ms);
        }
        struct pc_buf taken;
        struct pc_buf kept = {0};
        pc_buf_append(&kept, bytes.data, bytes.len);
        pc_wire_chunk_take(&chunk, &taken);
        assert_true(pc_slice_equal(slice(&taken), slice(&kept)));
        bytes = slice(&taken);
        for (size_t cut = 0; counts[i] < 100 && cut < bytes.len; cut++) {
            (void)read_all(pc_slice_of(bytes.data, cut), &last, &err);
            assert_int_equal(err, PC_E_MALFORMED);
        }
        pc_buf_destroy(&kept);
        pc_buf_destroy(&taken);
        pc_blob_unref(item.value);
    }
    pc_buf_destroy(&chunk.bytes);
}

/* A chunk is full at its target; the item that fills it may be of any size. */
static void chunk__largest_item_last__stays_within_the_bound(void **state)
{
    (void)state;
    static uint8_t big[PC_VALUE_BYTES_MAX];
    struct pc_wire_chunk chunk = {0};
    struct pc_item small = item_of(pc_slice_str("k"), pc_slice_of(big, 1));
    struct pc_item large =
        item_of(pc_slice_of(big, PC_KEY_BYTES_MAX), pc_slice_of(big, sizeof big));
    large.content_type = pc_slice_of(big, PC_CONTENT_TYPE_BYTES_MAX);
    large.version = large.created = UINT64_MAX;
    pc_wire_chunk_begin(&chunk);
    while (chunk.bytes.len + 64 < PC_SNAPSHOT_CHUNK_BYTES) {
        assert_true(pc_wire_chunk_add(&chunk, &small));
    }
    assert_false(pc_wire_chunk_add(&chunk, &large));
    struct pc_slice bytes = pc_wire_chunk_end(&chunk);
    assert_true(bytes.len <= PC_SNAPSHOT_CHUNK_BYTES_MAX);
    struct pc_stored_item last = {0};
    pc_err err;
    assert_true(read_all(bytes, &last, &err) > 1000);
    assert_ok(err);
    assert_int_equal(last.value.len, PC_VALUE_BYTES_MAX);
    pc_blob_unref(small.value);
    pc_blob_unref(large.value);
    pc_buf_destroy(&chunk.bytes);
}

static void chunk__over_a_bound_or_torn__is_malformed(void **state)
{
    (void)state;
    static uint8_t big[PC_KEY_BYTES_MAX + 1];
    const struct {
        uint32_t items, fields;
        size_t key, type;
        bool extra;
        pc_err err;
    } cases[] = {
        {1, 6, 1, 0, false, PC_OK},
        {1, 6, PC_KEY_BYTES_MAX, PC_CONTENT_TYPE_BYTES_MAX, false, PC_OK},
        {1, 6, PC_KEY_BYTES_MAX + 1, 0, false, PC_E_MALFORMED},
        {1, 6, 1, PC_CONTENT_TYPE_BYTES_MAX + 1, false, PC_E_MALFORMED},
        {1, 7, 1, 0, true, PC_E_MALFORMED},
        {2, 6, 1, 0, false, PC_E_MALFORMED},
        {1, 6, 1, 0, true, PC_E_MALFORMED},
        {0, 6, 1, 0, false, PC_E_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pc_buf bytes = {0};
        struct pc_mpack_writer w = pc_mpack_writer_of(&bytes);
        pc_mpack_write_array(&w, cases[i].items);
        pc_mpack_write_array(&w, cases[i].fields);
        pc_mpack_write_bin(&w, pc_slice_of(big, cases[i].key));
        pc_mpack_write_bin(&w, pc_slice_str("v"));
        for (int n = 0; n < 3; n++) {
            pc_mpack_write_uint(&w, 5);
        }
        pc_mpack_write_bin(&w, pc_slice_of(big, cases[i].type));
        if (cases[i].extra) {
            pc_mpack_write_nil(&w);
        }
        struct pc_stored_item last;
        pc_err err;
        (void)read_all(slice(&bytes), &last, &err);
        assert_int_equal(err, cases[i].err);
        pc_buf_destroy(&bytes);
    }
}

/* ---- messages */

static pc_err decode_of(const struct pc_msg *msg, struct pc_msg *out)
{
    struct pc_buf bytes = {0}, again = {0};
    pc_wire_encode_msg(msg, &bytes);
    for (size_t cut = 0; cut < bytes.len && bytes.len < 1000; cut++) {
        struct pc_slice part = pc_slice_of(bytes.data, cut);
        assert_int_equal(pc_wire_decode_msg(part, 1, 2, out), PC_E_MALFORMED);
    }
    pc_err err = pc_wire_decode_msg(slice(&bytes), 1, 2, out);
    if (err == PC_OK) {
        pc_wire_encode_msg(out, &again);
        assert_true(pc_slice_equal(slice(&again), slice(&bytes)));
        assert_int_equal(out->type, msg->type);
        assert_int_equal(out->snapshot.nonce, msg->snapshot.nonce);
        assert_int_equal(out->snapshot.index, msg->snapshot.index);
        assert_int_equal(out->snapshot.chunk, msg->snapshot.chunk);
        assert_int_equal(out->snapshot.chunks, msg->snapshot.chunks);
        assert_int_equal(out->snapshot.bytes, msg->snapshot.bytes);
        assert_memory_equal(out->snapshot.hash.b, msg->snapshot.hash.b, sizeof(struct pc_hash));
        assert_true(
            pc_slice_equal(pc_blob_slice(out->snapshot.body), pc_blob_slice(msg->snapshot.body)));
    }
    pc_buf_destroy(&again);
    pc_buf_destroy(&bytes);
    return err;
}

static void messages__all_four__come_back(void **state)
{
    (void)state;
    struct pc_buf config = {0}, meta = {0};
    config_encode(&config);
    struct pc_snapshot_meta of = meta_of(&config);
    pc_wire_encode_snapshot_meta(&of, &meta);
    struct pc_blob *meta_blob, *chunk_blob;
    assert_ok(pc_blob_new(slice(&meta), &meta_blob));
    assert_ok(pc_blob_new(pc_slice_str("any bytes"), &chunk_blob));
    const struct pc_msg msgs[] = {
        {.type = PC_MSG_SNAP_ASK, .snapshot = {.nonce = 7, .index = 300}},
        {.type = PC_MSG_SNAP_META, .snapshot = {.nonce = UINT64_MAX}},
        {.type = PC_MSG_SNAP_META,
            .snapshot =
                {.nonce = 7, .bytes = 1000, .chunks = 3, .hash = {{1, 2}}, .body = meta_blob}},
        {.type = PC_MSG_SNAP_GET, .snapshot = {.nonce = 7, .index = 70000, .chunk = UINT32_MAX}},
        {.type = PC_MSG_SNAP_CHUNK, .snapshot = {.nonce = 7, .index = 70000}},
        {.type = PC_MSG_SNAP_CHUNK,
            .snapshot = {.nonce = 7, .index = 70000, .chunk = 2, .body = chunk_blob}},
    };
    for (size_t i = 0; i < sizeof msgs / sizeof msgs[0]; i++) {
        struct pc_msg out;
        assert_ok(decode_of(&msgs[i], &out));
        pc_msg_clear(&out);
        assert_null(out.snapshot.body);
    }
    pc_blob_unref(meta_blob);
    pc_blob_unref(chunk_blob);
    pc_buf_destroy(&meta);
    pc_buf_destroy(&config);
}

static void messages__senseless__are_malformed(void **state)
{
    (void)state;
    struct pc_blob *no_meta;
    assert_ok(pc_blob_new(pc_slice_str("no meta"), &no_meta));
    const struct pc_msg msgs[] = {
        {.type = PC_MSG_SNAP_META, .snapshot = {.bytes = 9, .chunks = 1, .body = no_meta}},
        {.type = PC_MSG_SNAP_GET, .snapshot = {.nonce = 7}},
        {.type = PC_MSG_SNAP_CHUNK, .snapshot = {.nonce = 7, .body = no_meta}},
    };
    for (size_t i = 0; i < sizeof msgs / sizeof msgs[0]; i++) {
        struct pc_msg out;
        assert_int_equal(decode_of(&msgs[i], &out), PC_E_MALFORMED);
    }
    pc_blob_unref(no_meta);
    /* META without a meta says nothing else. */
    struct pc_buf bytes = {0};
    struct pc_mpack_writer w = pc_mpack_writer_of(&bytes);
    pc_mpack_write_array(&w, 6);
    pc_mpack_write_uint(&w, PC_MSG_SNAP_META);
    pc_mpack_write_uint(&w, 7);
    pc_mpack_write_uint(&w, 0);
    pc_mpack_write_uint(&w, 0);
    pc_mpack_write_bin(&w, pc_slice_of("0123456789abcdef", 16));
    pc_mpack_write_bin(&w, pc_slice_of(NULL, 0));
    struct pc_msg out;
    assert_int_equal(pc_wire_decode_msg(slice(&bytes), 1, 2, &out), PC_E_MALFORMED);
    pc_buf_destroy(&bytes);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(meta__round_trip__comes_back),
    PC_TEST(meta__senseless__is_malformed),
    PC_TEST(chunk__any_number_of_items__comes_back),
    PC_TEST(chunk__largest_item_last__stays_within_the_bound),
    PC_TEST(chunk__over_a_bound_or_torn__is_malformed),
    PC_TEST(messages__all_four__come_back),
    PC_TEST(messages__senseless__are_malformed),
};
PC_TEST_MAIN("wire_snapshot", tests)
