/* The members of a cluster and the messages about them. */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "pcache/mpack.h"
#include "pcache/wire.h"

static struct pc_slice slice(const struct pc_buf *buf)
{
    return pc_slice_of(buf->data, buf->len);
}

#define VOTER(id_, name_)                                                                          \
    {                                                                                              \
        .id = (id_), .name = name_, .want = PC_WANT_VOTER, .votes = true                           \
    }
#define OTHER(id_, name_, want_, votes_)                                                           \
    {                                                                                              \
        .id = (id_), .name = name_, .want = PC_WANT_##want_, .votes = (votes_)                     \
    }

/* Bytes of a config as they stand, valid or not; long_form = every member by four elements. */
static void write_raw(const struct pc_cluster_config *config, bool long_form, struct pc_buf *out)
{
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    pc_buf_reset(out);
    pc_mpack_write_array(&w, 2);
    pc_mpack_write_bin(&w, pc_slice_of(config->history, sizeof config->history));
    pc_mpack_write_array(&w, (uint32_t)config->members_n);
    for (size_t i = 0; i < config->members_n; i++) {
        const struct pc_cluster_member *m = &config->members[i];
        bool is_short = m->want == PC_WANT_VOTER && m->votes && !long_form;
        pc_mpack_write_array(&w, is_short ? 2 : 4);
        pc_mpack_write_uint(&w, m->id);
        pc_mpack_write_str(&w, pc_slice_str(m->name));
        if (!is_short) {
            pc_mpack_write_uint(&w, m->want);
            pc_mpack_write_uint(&w, m->votes);
        }
    }
}

static void config__all_there_can_be__comes_back(void **state)
{
    (void)state;
    static const struct pc_cluster_config configs[] = {
        {.history = {1}, .members_n = 1, .members = {VOTER(5, "a")}},
        {.history = {2},
            .members_n = 6,
            .members = {VOTER(7, "a"), OTHER(0, "b", VOTER, false), OTHER(9, "b", REPLICA, true),
                OTHER(0, "c", REPLICA, false), OTHER(3, "d", SPARE, false),
                OTHER(2, "e", VOTER, false)}},
        {.members_n = 2, .members = {VOTER(1, "a"), OTHER(8, "a", REPLICA, true)}},
        {.members_n = 2, .members = {OTHER(1, "a", REPLICA, true), VOTER(8, "a")}},
        {.members_n = 2, .members = {OTHER(1, "a", VOTER, false), VOTER(8, "a")}},
    };
    struct pc_buf buf = {0}, raw = {0};
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        struct pc_cluster_config out;
        pc_buf_reset(&buf);
        pc_wire_encode_config(&configs[i], &buf);
        assert_ok(pc_wire_decode_config(slice(&buf), &out));
        assert_memory_equal(&out, &configs[i], sizeof out);
        write_raw(&configs[i], false, &raw);
        assert_true(pc_slice_equal(slice(&buf), slice(&raw)));
        for (size_t cut = 0; cut < buf.len; cut++) {
            assert_int_equal(
                pc_wire_decode_config(pc_slice_of(buf.data, cut), &out), PC_E_MALFORMED);
        }
        write_raw(&configs[i], true, &raw); /* the long form of a plain voter: not canonical */
        assert_int_equal(pc_wire_decode_config(slice(&raw), &out), PC_E_MALFORMED);
    }
    pc_buf_destroy(&raw);
    pc_buf_destroy(&buf);
}

/* A cluster that was formed before members could change has these bytes in its entry 1. */
static void config__plain_voters__have_the_bytes_of_the_first_format(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x92, 0xc4, 16, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0x92, 0x92, 5, 0xa1, 'a', 0x92, 6, 0xa1, 'b'};
    struct pc_cluster_config config = {
        .history = {1, 2, 3}, .members_n = 2, .members = {VOTER(5, "a"), VOTER(6, "b")}};
    struct pc_buf buf = {0};
    pc_wire_encode_config(&config, &buf);
    assert_true(pc_slice_equal(slice(&buf), pc_slice_of(bytes, sizeof bytes)));
    pc_buf_destroy(&buf);
}

static void config__what_makes_no_sense__is_malformed(void **state)
{
    (void)state;
    static const struct pc_cluster_config configs[] = {
        {.members_n = 0},
        {.members_n = 1, .members = {VOTER(5, "")}},
        {.members_n = 1, .members = {VOTER(0, "a")}},
        {.members_n = 1, .members = {OTHER(5, "a", VOTER, false)}}, /* nobody votes */
        {.members_n = 1, .members = {{.id = 5, .name = "a", .want = 3, .votes = true}}},
        {.members_n = 2, .members = {VOTER(5, "a"), VOTER(5, "b")}},
        {.members_n = 2, .members = {VOTER(5, "a"), OTHER(5, "b", REPLICA, false)}},
        {.members_n = 2, .members = {VOTER(5, "b"), VOTER(6, "a")}},
        {.members_n = 2, .members = {OTHER(6, "a", REPLICA, true), VOTER(5, "a")}},
        {.members_n = 2, .members = {VOTER(5, "a"), VOTER(6, "a")}}, /* which one is old? */
        {.members_n = 2, .members = {OTHER(5, "a", REPLICA, true), OTHER(6, "a", REPLICA, true)}},
        {.members_n = 3,
            .members = {OTHER(5, "a", VOTER, false), OTHER(6, "a", VOTER, false), VOTER(7, "b")}},
        {.members_n = 3,
            .members = {OTHER(0, "a", VOTER, false), OTHER(5, "a", VOTER, false), VOTER(6, "a")}},
        {.members_n = 3,
            .members = {OTHER(0, "a", VOTER, false), OTHER(0, "a", VOTER, false), VOTER(6, "b")}},
    };
    struct pc_buf buf = {0};
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        struct pc_cluster_config out;
        write_raw(&configs[i], false, &buf);
        if (pc_wire_decode_config(slice(&buf), &out) != PC_E_MALFORMED) {
            fail_msg("config %zu was taken", i);
        }
    }
    pc_buf_destroy(&buf);
}

static void raft_config__of_a_body__has_voters_and_learners(void **state)
{
    (void)state;
    static const struct pc_cluster_config config = {.members_n = 5,
        .members = {VOTER(7, "a"), OTHER(0, "b", VOTER, false), OTHER(9, "b", REPLICA, true),
            OTHER(3, "d", SPARE, false), OTHER(2, "e", VOTER, false)}};
    struct pc_buf buf = {0};
    pc_wire_encode_config(&config, &buf);
    struct pc_raft_config raft = {.index = 77, .voters_n = 9, .learners_n = 9};
    assert_true(pc_wire_raft_config(slice(&buf), &raft));
    assert_int_equal(raft.index, 77);
    assert_int_equal(raft.voters_n, 2);
    assert_int_equal(raft.voters[0], 7);
    assert_int_equal(raft.voters[1], 9);
    assert_int_equal(raft.learners_n, 2);
    assert_int_equal(raft.learners[0], 3);
    assert_int_equal(raft.learners[1], 2);
    buf.len--;
    assert_false(pc_wire_raft_config(slice(&buf), &raft));
    assert_int_equal(raft.voters_n, 2);
    pc_buf_destroy(&buf);
}

static void config__as_many_members_as_there_may_be__is_the_bound(void **state)
{
    (void)state;
    struct pc_buf buf = {0};
    struct pc_cluster_config config = {.members_n = PC_CLUSTER_MEMBERS_MAX}, out;
    for (size_t i = 0; i < PC_CLUSTER_MEMBERS_MAX; i++) {
        config.members[i].id = i + 1;
        (void)snprintf(config.members[i].name, sizeof config.members[i].name, "n%02zu", i);
        config.members[i].votes = i < PC_VOTERS_MAX;
    }
    pc_wire_encode_config(&config, &buf);
    assert_ok(pc_wire_decode_config(slice(&buf), &out));
    config.members[PC_VOTERS_MAX].votes = true;
    write_raw(&config, false, &buf);
    assert_int_equal(pc_wire_decode_config(slice(&buf), &out), PC_E_MALFORMED);
    pc_buf_destroy(&buf);
}

static struct pc_msg message(enum pc_msg_type type, const struct pc_member_msg *member)
{
    struct pc_msg msg = {.type = type, .member = pc_xalloc(sizeof *member)};
    *msg.member = *member;
    return msg;
}

/* Every cut and every appended byte is refused; what comes back is what was sent. */
static void messages__about_members__come_back(void **state)
{
    (void)state;
    struct pc_msg msgs[] = {
        message(PC_MSG_MEMBER, &(struct pc_member_msg){.nonce = 7,
                                   .op = PC_MEMBER_ADD,
                                   .want = PC_WANT_SPARE,
                                   .again = true,
                                   .name = "node4"}),
        message(PC_MSG_MEMBER_RESULT,
            &(struct pc_member_msg){
                .nonce = UINT64_MAX, .result = PC_MEMBER_REFUSED, .text = "node2 does not answer"}),
        message(PC_MSG_INVITE, &(struct pc_member_msg){.history = {1, 2, 3}, .name = "node4"}),
    };
    struct pc_buf buf = {0};
    for (size_t i = 0; i < sizeof msgs / sizeof msgs[0]; i++) {
        struct pc_msg out = {0};
        pc_buf_reset(&buf);
        pc_wire_encode_msg(&msgs[i], &buf);
        for (size_t cut = 0; cut < buf.len; cut++) {
            assert_int_equal(
                pc_wire_decode_msg(pc_slice_of(buf.data, cut), 1, 2, &out), PC_E_MALFORMED);
        }
        assert_ok(pc_wire_decode_msg(slice(&buf), 1, 2, &out));
        assert_int_equal(out.type, msgs[i].type);
        assert_memory_equal(out.member, msgs[i].member, sizeof *out.member);
        pc_msg_clear(&out);
        pc_buf_append_u8(&buf, 0);
        assert_int_equal(pc_wire_decode_msg(slice(&buf), 1, 2, &out), PC_E_MALFORMED);
        pc_msg_clear(&msgs[i]);
    }
    pc_buf_destroy(&buf);
}

static void messages__with_what_nobody_sends__are_malformed(void **state)
{
    (void)state;
    struct pc_msg msgs[] = {
        message(PC_MSG_MEMBER, &(struct pc_member_msg){.op = 0, .name = "a"}),
        message(PC_MSG_MEMBER, &(struct pc_member_msg){.op = PC_MEMBER_YIELD + 1, .name = "a"}),
        message(PC_MSG_MEMBER, &(struct pc_member_msg){.op = PC_MEMBER_ADD, .want = 3}),
        message(PC_MSG_MEMBER_RESULT, &(struct pc_member_msg){.result = 0}),
        message(PC_MSG_MEMBER_RESULT, &(struct pc_member_msg){.result = PC_MEMBER_REMOVED + 1}),
    };
    struct pc_buf buf = {0};
    for (size_t i = 0; i < sizeof msgs / sizeof msgs[0]; i++) {
        struct pc_msg out = {0};
        pc_buf_reset(&buf);
        pc_wire_encode_msg(&msgs[i], &buf);
        assert_int_equal(pc_wire_decode_msg(slice(&buf), 1, 2, &out), PC_E_MALFORMED);
        pc_msg_clear(&msgs[i]);
    }
    pc_buf_destroy(&buf);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(config__all_there_can_be__comes_back),
    PC_TEST(config__plain_voters__have_the_bytes_of_the_first_format),
    PC_TEST(config__what_makes_no_sense__is_malformed),
    PC_TEST(raft_config__of_a_body__has_voters_and_learners),
    PC_TEST(config__as_many_members_as_there_may_be__is_the_bound),
    PC_TEST(messages__about_members__come_back),
    PC_TEST(messages__with_what_nobody_sends__are_malformed),
};

PC_TEST_MAIN("wire_member", tests)
