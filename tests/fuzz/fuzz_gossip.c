/* Datagrams, before and after their seal. The first byte says what the rest is:
 *
 *     even   a datagram as it comes from anybody: head, replay window, authenticator
 *     odd    the text of an authentic one: a SWIM message; sealed, opened and decoded
 */
#include "fuzz/kit/fuzz.h"

#include "edge/gossip/gossip_int.h"
#include "pcache/wire_swim.h"

static const struct gossip_cluster cluster = {.key = {1, 2, 3}, .id = {4, 5, 6}};

/* Nothing that the key does not seal is opened, and the window does not mind any counter. */
static void recv_anything(struct pc_slice bytes)
{
    uint8_t packet[PC_GOSSIP_PACKET_BYTES_MAX + 1];
    size_t len = bytes.len < sizeof packet ? bytes.len : sizeof packet;
    memcpy(packet, bytes.data, len);
    struct gossip_head head;
    if (gossip_parse_head(pc_slice_of(packet, len), &head) != PC_OK) {
        return;
    }
    FUZZ_CHECK("a head is inside", len >= PC_GOSSIP_OVERHEAD_BYTES);
    FUZZ_CHECK("a datagram has a bound", len <= PC_GOSSIP_PACKET_BYTES_MAX);
    struct gossip_senders senders = {0};
    struct gossip_sender *sender = NULL;
    FUZZ_CHECK(
        "nobody is known yet", gossip_senders_judge(&senders, &head, &sender) != GOSSIP_KNOWN);
    uint8_t key[GOSSIP_KEY_BYTES];
    gossip_derive_key(&cluster, &head.life, key);
    struct pc_slice text;
    FUZZ_CHECK("forged", gossip_unseal(&cluster, key, &head, packet, len, &text) != PC_OK);
    sender = gossip_senders_admit(&senders, &head.life, key);
    for (int i = 0; i < 3; i++) {
        bool fresh = gossip_senders_judge(&senders, &head, &sender) == GOSSIP_KNOWN;
        FUZZ_CHECK("a counter counts once", i == 0 || !fresh);
        if (fresh) {
            gossip_window_mark(&sender->window, head.counter);
        }
    }
    gossip_senders_destroy(&senders);
}

static void check_message(const struct pc_swim_msg *msg)
{
    FUZZ_CHECK("wire_swim.h", msg->type >= PC_SWIM_PING);
    FUZZ_CHECK("wire_swim.h", msg->from != 0 && msg->updates_n <= PC_SWIM_UPDATES_MAX);
    for (uint32_t i = 0; i < msg->updates_n; i++) {
        const struct pc_member *member = &msg->updates[i];
        FUZZ_CHECK("names end", memchr(member->name, '\0', sizeof member->name) != NULL);
        FUZZ_CHECK("states", member->state >= PC_MEMBER_ALIVE && member->state <= PC_MEMBER_LEFT);
    }
}

/* What was decoded, encoded and decoded again is the same: the first bytes may have had fields of a
 * later version, the second ones have not. */
static void decode(struct pc_slice text)
{
    struct pc_swim_msg msg, twin;
    if (pc_wire_decode_swim(text, &msg) != PC_OK) {
        return;
    }
    check_message(&msg);
    struct pc_buf once = {0}, twice = {0};
    if (pc_wire_encode_swim(&msg, &once) == PC_OK) {
        FUZZ_CHECK("what was encoded decodes",
            pc_wire_decode_swim(pc_slice_of(once.data, once.len), &twin) == PC_OK);
        FUZZ_CHECK("again", pc_wire_encode_swim(&twin, &twice) == PC_OK);
        FUZZ_CHECK("to the same bytes",
            pc_slice_equal(pc_slice_of(once.data, once.len), pc_slice_of(twice.data, twice.len)));
        FUZZ_CHECK("no longer than it came", once.len <= text.len);
    }
    pc_buf_destroy(&once);
    pc_buf_destroy(&twice);
}

static void recv_sealed(struct pc_slice text)
{
    if (text.len > PC_GOSSIP_MESSAGE_BYTES_MAX) {
        text.len = PC_GOSSIP_MESSAGE_BYTES_MAX;
    }
    uint8_t packet[PC_GOSSIP_PACKET_BYTES_MAX];
    uint8_t key[GOSSIP_KEY_BYTES];
    struct gossip_head head = {
        .life = {.sender = 5, .generation = 6, .salt = {7}}, .counter = 1 + text.len};
    gossip_derive_key(&cluster, &head.life, key);
    size_t len = gossip_seal(&cluster, key, &head, text, packet);
    struct gossip_head seen;
    FUZZ_CHECK("our own head", gossip_parse_head(pc_slice_of(packet, len), &seen) == PC_OK);
    FUZZ_CHECK("our own head", memcmp(&seen.life, &head.life, sizeof seen.life) == 0);
    struct pc_slice opened;
    FUZZ_CHECK("authentic", gossip_unseal(&cluster, key, &seen, packet, len, &opened) == PC_OK);
    FUZZ_CHECK("unharmed", pc_slice_equal(opened, text));
    decode(opened);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    bool sealed = (fuzz_u8(&in) & 1) != 0;
    struct pc_slice rest = pc_slice_of(in.at, fuzz_left(&in));
    if (sealed) {
        recv_sealed(rest);
    } else {
        recv_anything(rest);
    }
    return 0;
}
