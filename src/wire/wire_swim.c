/* See the header for the layout. Every rule about values that the SWIM machine relies on is
 * enforced here, so that it never meets a name without an end or a state out of range. */
#include "pcache/wire_swim.h"

#include <string.h>

#include "pcache/mpack.h"

#define UPDATE_FIELDS 7
#define ADDR_V4_BYTES 6
#define ADDR_V6_BYTES 18

/* A map head, nine keys of a byte each, type, four 64-bit numbers, an address, two pages, the head
 * of the updates. */
PC_STATIC_ASSERT(1 + 9 + 1 + 4 * 9 + (2 + ADDR_V6_BYTES) + 2 * 5 + 3 <= PC_SWIM_HEAD_BYTES_MAX,
    "the longest head fits its bound");
PC_STATIC_ASSERT(
    1 + 3 * 9 + (2 + PC_NAME_BYTES_MAX) + (2 + ADDR_V6_BYTES) + 5 + 1 <= PC_SWIM_UPDATE_BYTES_MAX,
    "the longest update fits its bound");

enum key {
    KEY_TYPE = 0,
    KEY_FROM = 1,
    KEY_GENERATION = 2,
    KEY_NONCE = 3,
    KEY_TARGET_ID = 4,
    KEY_TARGET = 5,
    KEY_PAGE = 6,
    KEY_PAGES = 7,
    KEY_UPDATES = 8,
};

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void write_addr(struct pc_mpack_writer *writer, const struct pc_addr *addr)
{
    uint8_t bytes[ADDR_V6_BYTES];
    memcpy(bytes, addr->ip, 16);
    bytes[16] = (uint8_t)(addr->port >> 8);
    bytes[17] = (uint8_t)addr->port;
    size_t skip = 0;
    if (pc_addr_is_none(addr)) {
        skip = sizeof bytes;
    } else if (memcmp(bytes, v4_prefix, sizeof v4_prefix) == 0) {
        skip = sizeof v4_prefix;
    }
    pc_mpack_write_bin(writer, pc_slice_of(bytes + skip, sizeof bytes - skip));
}

static void write_update(struct pc_mpack_writer *writer, const struct pc_member *update)
{
    pc_mpack_write_array(writer, UPDATE_FIELDS);
    pc_mpack_write_uint(writer, update->id);
    pc_mpack_write_str(writer, pc_slice_str(update->name));
    write_addr(writer, &update->addr);
    pc_mpack_write_uint(writer, update->generation);
    pc_mpack_write_uint(writer, update->incarnation);
    pc_mpack_write_uint(writer, (uint64_t)update->state);
    pc_mpack_write_uint(writer, update->accuser);
}

static void write_field(struct pc_mpack_writer *writer, enum key key, uint64_t v)
{
    if (v != 0) {
        pc_mpack_write_uint(writer, key);
        pc_mpack_write_uint(writer, v);
    }
}

static uint32_t count_fields(const struct pc_swim_msg *msg)
{
    const bool present[] = {msg->type != 0, msg->from != 0, msg->from_generation != 0,
        msg->nonce != 0, msg->target_id != 0, !pc_addr_is_none(&msg->target), msg->page != 0,
        msg->pages != 0, msg->updates_n != 0};
    uint32_t n = 0;
    for (size_t i = 0; i < sizeof present / sizeof present[0]; i++) {
        n += present[i];
    }
    return n;
}

pc_err pc_wire_encode_swim(const struct pc_swim_msg *msg, struct pc_buf *out)
{
    PC_ASSERT(msg->updates_n <= PC_SWIM_UPDATES_MAX);
    size_t start = out->len;
    struct pc_mpack_writer writer = pc_mpack_writer_of(out);
    pc_mpack_write_map(&writer, count_fields(msg));
    write_field(&writer, KEY_TYPE, (uint64_t)msg->type);
    write_field(&writer, KEY_FROM, msg->from);
    write_field(&writer, KEY_GENERATION, msg->from_generation);
    write_field(&writer, KEY_NONCE, msg->nonce);
    write_field(&writer, KEY_TARGET_ID, msg->target_id);
    if (!pc_addr_is_none(&msg->target)) {
        pc_mpack_write_uint(&writer, KEY_TARGET);
        write_addr(&writer, &msg->target);
    }
    write_field(&writer, KEY_PAGE, msg->page);
    write_field(&writer, KEY_PAGES, msg->pages);
    if (msg->updates_n != 0) {
        pc_mpack_write_uint(&writer, KEY_UPDATES);
        pc_mpack_write_array(&writer, msg->updates_n);
        for (uint32_t i = 0; i < msg->updates_n; i++) {
            write_update(&writer, &msg->updates[i]);
        }
    }
    if (out->len - start > PC_GOSSIP_PACKET_BYTES_MAX) {
        out->len = start;
        return PC_E_TOO_BIG;
    }
    return PC_OK;
}

static void read_addr(struct pc_mpack_reader *reader, struct pc_addr *out)
{
    struct pc_slice in = pc_mpack_read_bin(reader, ADDR_V6_BYTES);
    *out = (struct pc_addr){0};
    if (in.len == 0) {
        return;
    }
    if (in.len != ADDR_V4_BYTES && in.len != ADDR_V6_BYTES) {
        pc_mpack_fail(reader);
        return;
    }
    uint8_t *ip = out->ip;
    if (in.len == ADDR_V4_BYTES) {
        memcpy(ip, v4_prefix, sizeof v4_prefix);
        ip += sizeof v4_prefix;
    }
    memcpy(ip, in.data, in.len - 2);
    out->port = (uint16_t)(in.data[in.len - 2] << 8 | in.data[in.len - 1]);
    bool shorter_form =
        pc_addr_is_none(out) ||
        (in.len == ADDR_V6_BYTES && memcmp(out->ip, v4_prefix, sizeof v4_prefix) == 0);
    if (shorter_form) {
        pc_mpack_fail(reader);
    }
}

static bool is_name_byte(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static void read_name(struct pc_mpack_reader *reader, char *out)
{
    struct pc_slice in = pc_mpack_read_str(reader, PC_NAME_BYTES_MAX);
    if (in.len == 0) {
        pc_mpack_fail(reader);
        return;
    }
    for (size_t i = 0; i < in.len; i++) {
        if (!is_name_byte(in.data[i])) {
            pc_mpack_fail(reader);
        }
    }
    memcpy(out, in.data, in.len);
    out[in.len] = '\0';
}

static void read_update(struct pc_mpack_reader *reader, struct pc_member *out)
{
    uint32_t fields = pc_mpack_read_array(reader);
    if (fields < UPDATE_FIELDS) {
        pc_mpack_fail(reader);
        return;
    }
    out->id = pc_mpack_read_uint(reader, UINT64_MAX);
    read_name(reader, out->name);
    read_addr(reader, &out->addr);
    out->generation = pc_mpack_read_uint(reader, UINT64_MAX);
    out->incarnation = (uint32_t)pc_mpack_read_uint(reader, UINT32_MAX);
    uint64_t state = pc_mpack_read_uint(reader, PC_MEMBER_LEFT);
    out->accuser = pc_mpack_read_uint(reader, UINT64_MAX);
    pc_mpack_skip_rest(reader, fields - UPDATE_FIELDS);
    if (state < PC_MEMBER_ALIVE || out->id == 0) {
        pc_mpack_fail(reader);
        return;
    }
    out->state = (enum pc_member_state)state;
}

static void read_updates(struct pc_mpack_reader *reader, struct pc_swim_msg *out)
{
    uint32_t n = pc_mpack_read_array(reader);
    if (n > PC_SWIM_UPDATES_MAX) {
        pc_mpack_fail(reader);
        return;
    }
    for (uint32_t i = 0; i < n && !reader->failed; i++) {
        read_update(reader, &out->updates[i]);
    }
    out->updates_n = n;
}

static void read_value(struct pc_mpack_reader *reader, uint64_t key, struct pc_swim_msg *out)
{
    switch (key) {
    case KEY_TYPE:
        out->type = (enum pc_swim_msg_type)pc_mpack_read_uint(reader, PC_SWIM_DIGEST);
        return;
    case KEY_FROM:
        out->from = pc_mpack_read_uint(reader, UINT64_MAX);
        return;
    case KEY_GENERATION:
        out->from_generation = pc_mpack_read_uint(reader, UINT64_MAX);
        return;
    case KEY_NONCE:
        out->nonce = pc_mpack_read_uint(reader, UINT64_MAX);
        return;
    case KEY_TARGET_ID:
        out->target_id = pc_mpack_read_uint(reader, UINT64_MAX);
        return;
    case KEY_TARGET:
        read_addr(reader, &out->target);
        return;
    case KEY_PAGE:
        out->page = (uint32_t)pc_mpack_read_uint(reader, PC_MEMBERS_MAX);
        return;
    case KEY_PAGES:
        out->pages = (uint32_t)pc_mpack_read_uint(reader, PC_MEMBERS_MAX);
        return;
    case KEY_UPDATES:
        read_updates(reader, out);
        return;
    default:
        (void)pc_mpack_skip(reader);
    }
}

static bool makes_sense(const struct pc_swim_msg *msg)
{
    bool paged = msg->type == PC_SWIM_PUSH || msg->type == PC_SWIM_PULL;
    bool aimed = msg->type == PC_SWIM_ACK || msg->type == PC_SWIM_NACK ||
                 msg->type == PC_SWIM_PING_REQ;
    return msg->type != 0 && msg->from != 0 && (!paged || msg->page < msg->pages) &&
           (!aimed || msg->target_id != 0);
}

pc_err pc_wire_decode_swim(struct pc_slice bytes, struct pc_swim_msg *out)
{
    struct pc_swim_msg msg = {0};
    struct pc_mpack_reader reader = pc_mpack_reader_of(bytes);
    uint64_t last = UINT64_MAX;
    uint32_t pairs = pc_mpack_read_map(&reader);
    for (uint32_t i = 0; i < pairs && !reader.failed; i++) {
        uint64_t key = pc_mpack_read_key(&reader, &last);
        read_value(&reader, key, &msg);
    }
    pc_err err = pc_mpack_finish(&reader);
    if (err == PC_OK && !makes_sense(&msg)) {
        err = PC_E_MALFORMED;
    }
    if (err == PC_OK) {
        *out = msg;
    }
    return err;
}
