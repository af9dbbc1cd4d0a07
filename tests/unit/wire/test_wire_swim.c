#include "unit/swim/swim_net.h"

#include "pcache/wire_swim.h"

static struct pc_member longest_record(void)
{
    struct pc_member member = {.id = UINT64_MAX,
        .generation = UINT64_MAX,
        .incarnation = UINT32_MAX,
        .state = PC_MEMBER_LEFT,
        .accuser = UINT64_MAX};
    memset(member.name, 'n', PC_NAME_BYTES_MAX);
    memset(&member.addr, 0xee, sizeof member.addr);
    return member;
}

static struct pc_swim_msg longest_head(void)
{
    struct pc_swim_msg msg = {.type = PC_SWIM_PULL,
        .from = UINT64_MAX,
        .from_generation = UINT64_MAX,
        .nonce = UINT64_MAX,
        .target_id = UINT64_MAX,
        .page = PC_MEMBERS_MAX - 1,
        .pages = PC_MEMBERS_MAX};
    memset(&msg.target, 0xee, sizeof msg.target);
    return msg;
}

static bool members_equal(const struct pc_member *a, const struct pc_member *b)
{
    return a->id == b->id && strcmp(a->name, b->name) == 0 && pc_addr_equal(&a->addr, &b->addr) &&
           a->generation == b->generation && a->incarnation == b->incarnation &&
           a->state == b->state && a->accuser == b->accuser;
}

static bool messages_equal(const struct pc_swim_msg *a, const struct pc_swim_msg *b)
{
    bool equal = a->type == b->type && a->from == b->from &&
                 a->from_generation == b->from_generation && a->nonce == b->nonce &&
                 a->target_id == b->target_id && pc_addr_equal(&a->target, &b->target) &&
                 a->page == b->page && a->pages == b->pages && a->updates_n == b->updates_n;
    for (uint32_t i = 0; equal && i < a->updates_n; i++) {
        equal = members_equal(&a->updates[i], &b->updates[i]);
    }
    return equal;
}

static void assert_round_trip(const struct pc_swim_msg *msg)
{
    struct pc_buf buf = {0};
    struct pc_swim_msg back;
    assert_ok(pc_wire_encode_swim(msg, &buf));
    assert_ok(pc_wire_decode_swim(pc_slice_of(buf.data, buf.len), &back));
    assert_true(messages_equal(msg, &back));
    pc_buf_destroy(&buf);
}

static void swim_message__extremes__round_trip_within_their_bounds(void **state)
{
    (void)state;
    struct pc_swim_msg msg = longest_head();
    struct pc_buf buf = {0};
    for (uint32_t n = 0; n <= 9; n++) {
        msg.updates_n = n;
        pc_buf_reset(&buf);
        assert_ok(pc_wire_encode_swim(&msg, &buf));
        assert_true(buf.len <= PC_SWIM_HEAD_BYTES_MAX + n * PC_SWIM_UPDATE_BYTES_MAX);
        assert_round_trip(&msg);
        msg.updates[n] = longest_record();
    }
    pc_buf_destroy(&buf);

    struct pc_swim_msg least = {.type = PC_SWIM_PING, .from = 1};
    assert_round_trip(&least);
}

static void swim_message__over_a_packet__is_too_big_and_leaves_the_buffer(void **state)
{
    (void)state;
    struct pc_swim_msg msg = longest_head();
    for (msg.updates_n = 0; msg.updates_n < PC_SWIM_UPDATES_MAX; msg.updates_n++) {
        msg.updates[msg.updates_n] = longest_record();
    }
    struct pc_buf buf = {0};
    pc_buf_append_u8(&buf, 7);
    assert_int_equal(pc_wire_encode_swim(&msg, &buf), PC_E_TOO_BIG);
    assert_int_equal(buf.len, 1);
    pc_buf_destroy(&buf);
}

/* The layout is a contract between versions: changing a byte must be a decision. */
static void swim_message__golden__has_these_bytes(void **state)
{
    (void)state;
    struct pc_swim_msg msg = {.type = PC_SWIM_PING_REQ,
        .from = 0x0102030405060708,
        .from_generation = 300,
        .nonce = 5,
        .target_id = 0xff,
        .updates_n = 1};
    assert_ok(pc_addr_parse("10.0.0.9:7946", &msg.target));
    msg.updates[0] = (struct pc_member){.id = 2,
        .name = "node2",
        .generation = 70000,
        .incarnation = 1,
        .state = PC_MEMBER_SUSPECT,
        .accuser = 3};
    assert_ok(pc_addr_parse("[::1]:258", &msg.updates[0].addr));
    static const char want[] = "87"
                               "0003"
                               "01cf0102030405060708"
                               "02cd012c"
                               "0305"
                               "04ccff"
                               "05c4060a0000091f0a"
                               "0891"
                               "9702a56e6f646532"
                               "c412000000000000000000000000000000010102"
                               "ce00011170010203";
    struct pc_buf buf = {0};
    assert_ok(pc_wire_encode_swim(&msg, &buf));
    char hex[512];
    pc_hex_encode(buf.data, buf.len, hex);
    assert_string_equal(hex, want);
    assert_round_trip(&msg);
    pc_buf_destroy(&buf);
}

static pc_err decode_hex(const char *hex, struct pc_swim_msg *out)
{
    size_t len = strlen(hex) / 2;
    uint8_t *bytes = malloc(len > 0 ? len : 1);
    assert_non_null(bytes);
    assert_true(pc_hex_decode(hex, bytes, len));
    pc_err err = pc_wire_decode_swim(pc_slice_of(bytes, len), out);
    free(bytes);
    return err;
}

static void swim_decode__what_a_newer_version_adds__is_read_over(void **state)
{
    (void)state;
    struct pc_swim_msg msg;
    assert_ok(decode_hex("8400010107089199" /* two fields more than we know */
                         "05a16ec4060a0000010001070401000102"
                         "2092c3a178",
        &msg));
    assert_true(msg.type == PC_SWIM_PING && msg.from == 7 && msg.updates_n == 1);
    assert_true(msg.updates[0].id == 5 && msg.updates[0].generation == 7);
    assert_true(msg.updates[0].incarnation == 4 && msg.updates[0].state == PC_MEMBER_ALIVE);
}

static void swim_decode__malformed__is_refused_and_writes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "80",
        "c0",
        "81000101",                                       /* trailing byte */
        "820000010100",                                   /* trailing byte, type 0 */
        "8200000107",                                     /* type 0 */
        "8200090107",                                     /* type 9 */
        "8200070107",                                     /* NACK about nobody */
        "8200010100",                                     /* from nobody */
        "82000101cc07",                                   /* a longer form than needed */
        "8201070001",                                     /* keys fall */
        "830001010701 07",                                /* a key twice */
        "8200050107",                                     /* PUSH of no pages */
        "8400050107060207 02",                            /* page 2 of 2 */
        "8300050107 07cd0401",                            /* more pages than members */
        "8200020107",                                     /* ACK of nobody */
        "83000101070891 9605a16ec4060a00000100010704 01", /* a field short */
        "83000101070891 9700a16ec4060a00000100010704 0100",
        "83000101070891 9705a0c4060a00000100010704 0100",
        "83000101070891 9705a120c4060a00000100010704 0100",
        "83000101070891 9705a16ec4050a000001000704 0100",
        "83000101070891 9705a16ec4060a00000100010704 0000",
        "83000101070891 9705a16ec4060a00000100010704 0500",
        "83000101070891 9705a16ec4060a000001000107ff 0100",
        "83000101070891 9705a16ec41200000000000000000000ffff0a00000100010704 0100",
        "83000101070891 9705a16ec412000000000000000000000000000000000000 07040100",
        "830001010708dc0021",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char hex[256];
        size_t n = 0;
        for (const char *at = bad[i]; *at != '\0'; at++) {
            if (*at != ' ') {
                hex[n++] = *at;
            }
        }
        hex[n] = '\0';
        struct pc_swim_msg msg = {.nonce = 99};
        if (decode_hex(hex, &msg) != PC_E_MALFORMED) {
            fail_msg("accepted: %s", hex);
        }
        assert_true(msg.nonce == 99 && msg.type == 0);
    }
    struct pc_swim_msg msg;
    assert_ok(decode_hex("8300070107040b", &msg));
    assert_true(msg.type == PC_SWIM_NACK && msg.target_id == 11);
    assert_ok(decode_hex("8300080107030b", &msg));
    assert_true(msg.type == PC_SWIM_DIGEST && msg.nonce == 11);
    /* The same with nothing wrong, so that the above fail for their own reasons. */
    assert_ok(decode_hex("830001010708919705a16ec4060a000001000107040100", &msg));
}

/* Cut anywhere, and any byte changed: an error or a message that makes sense, never more. */
static void swim_decode__damaged_bytes__never_break_a_rule(void **state)
{
    (void)state;
    struct pc_swim_msg msg = longest_head();
    msg.updates[msg.updates_n++] = longest_record();
    msg.updates[msg.updates_n++] = longest_record();
    struct pc_buf buf = {0};
    assert_ok(pc_wire_encode_swim(&msg, &buf));
    for (size_t len = 0; len < buf.len; len++) {
        uint8_t *cut = malloc(len > 0 ? len : 1);
        assert_non_null(cut);
        memcpy(cut, buf.data, len);
        struct pc_swim_msg out;
        assert_int_equal(pc_wire_decode_swim(pc_slice_of(cut, len), &out), PC_E_MALFORMED);
        free(cut);
    }
    struct pc_prng prng;
    pc_prng_seed(&prng, 4);
    for (int i = 0; i < 50000; i++) {
        size_t at = (size_t)pc_prng_below(&prng, buf.len);
        uint8_t old = buf.data[at];
        buf.data[at] = (uint8_t)pc_prng_next(&prng);
        struct pc_swim_msg out;
        if (pc_wire_decode_swim(pc_slice_of(buf.data, buf.len), &out) == PC_OK) {
            assert_true(out.updates_n <= PC_SWIM_UPDATES_MAX && out.from != 0);
            for (uint32_t k = 0; k < out.updates_n; k++) {
                assert_in_range(out.updates[k].state, PC_MEMBER_ALIVE, PC_MEMBER_LEFT);
                assert_in_range(strlen(out.updates[k].name), 1, PC_NAME_BYTES_MAX);
            }
        }
        buf.data[at] = old;
    }
    pc_buf_destroy(&buf);
}

static size_t fullest_packet;

static void check_packet(const struct pc_swim_msg *msg, size_t packet_bytes_max)
{
    struct pc_buf buf = {0};
    struct pc_swim_msg back;
    assert_ok(pc_wire_encode_swim(msg, &buf));
    assert_true(buf.len <= packet_bytes_max);
    assert_ok(pc_wire_decode_swim(pc_slice_of(buf.data, buf.len), &back));
    assert_true(messages_equal(msg, &back));
    fullest_packet = buf.len > fullest_packet ? buf.len : fullest_packet;
    pc_buf_destroy(&buf);
}

static void swim_cluster__every_packet_sent__fits_its_budget(void **state)
{
    (void)state;
    static const size_t budgets[] = {400, 1300};
    for (size_t b = 0; b < 2; b++) {
        struct net net;
        net_create(&net, 40, 21 + b);
        net.opts.packet_bytes_max = budgets[b];
        net.on_send = check_packet;
        fullest_packet = 0;
        for (size_t i = 0; i < net.n; i++) {
            /* Ids and names of every length up to the longest. */
            net.nodes[i].self.id = UINT64_MAX - 977 * i;
            net.nodes[i].self.generation = UINT64_MAX - 1000;
            size_t len = strlen(net.nodes[i].self.name);
            memset(net.nodes[i].self.name + len, 'x', (PC_NAME_BYTES_MAX - len) * (i + 1) / net.n);
        }
        net_form(&net);
        net.loss_per_million = 50000;
        net_crash(&net, 3);
        net_crash(&net, 4);
        net_run(&net, 12000);
        net_event(&net, 5, PC_SWIM_LEAVE, 0);
        net_start(&net, 3);
        net_join(&net, 3, 0);
        net_run(&net, 5000);
        /* The budget is used, too, as far as bounds for the longest numbers allow. */
        assert_true(fullest_packet > budgets[b] * 3 / 5);
        assert_int_equal(net.false_deaths, 0);
        net_destroy(&net);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(swim_message__extremes__round_trip_within_their_bounds),
    PC_TEST(swim_message__over_a_packet__is_too_big_and_leaves_the_buffer),
    PC_TEST(swim_message__golden__has_these_bytes),
    PC_TEST(swim_decode__what_a_newer_version_adds__is_read_over),
    PC_TEST(swim_decode__malformed__is_refused_and_writes_nothing),
    PC_TEST(swim_decode__damaged_bytes__never_break_a_rule),
    PC_TEST(swim_cluster__every_packet_sent__fits_its_budget),
};
PC_TEST_MAIN("wire_swim", tests)
