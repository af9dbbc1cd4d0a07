/* Which protocol a message, or the body of an entry, came with. What a later one adds to a message
 * that was there before, its encoder and decoder know: they are given the protocol.
 *
 * Bodies stay in logs, where a program may find what was written after its time. Forms that are
 * known here say by their first byte which they are; every later one begins with its number:
 *
 *     [ protocol, ... ]        an array of two
 *
 * so that a program which does not know it can tell that it is not damaged, and whom it takes. */
#include "pcache/protocol.h"

#include "pcache/assert.h"
#include "wire_int.h"

/* The forms of this build are those of the second. */
PC_STATIC_ASSERT(PC_PROTOCOL_MEMBERS == 2 && PC_PROTOCOL_CONDITIONS == 2, "later is above");

uint8_t wire_later_protocol(struct pc_slice body)
{
    enum { ARRAY_OF_2 = 0x92, ONE_BYTE_MAX = 0x7f };
    bool is_later = body.len > 2 && body.data[0] == ARRAY_OF_2 &&
                    body.data[1] > PC_PROTOCOL_MEMBERS && body.data[1] <= ONE_BYTE_MAX;
    return is_later ? body.data[1] : 0;
}

uint8_t pc_wire_entry_protocol(const struct pc_entry *entry)
{
    switch (entry->kind) {
    case PC_ENTRY_COMMAND:
        return pc_wire_command_protocol(pc_blob_slice(entry->body));
    case PC_ENTRY_CONFIG:
        return pc_wire_config_protocol(pc_blob_slice(entry->body));
    case PC_ENTRY_NOOP:
        break;
    }
    return PC_PROTOCOL_FIRST;
}

static uint8_t newer_of(uint8_t a, uint8_t b)
{
    return a > b ? a : b;
}

/* One entry in a newer form makes the message newer: what the other end cannot read it must not
 * have, or its state would become another one. */
static uint8_t entries_protocol(const struct pc_entries *entries)
{
    uint8_t protocol = PC_PROTOCOL_FIRST;
    for (size_t i = 0; i < entries->n; i++) {
        protocol = newer_of(protocol, pc_wire_entry_protocol(&entries->v[i]));
    }
    return protocol;
}

static uint8_t forward_protocol(const struct pc_msg *msg)
{
    if (msg->forward.reason == PC_REFUSAL_PROTOCOL) {
        return PC_PROTOCOL_CONDITIONS;
    }
    uint8_t protocol = PC_PROTOCOL_FIRST;
    for (size_t i = 0; i < msg->forward.items_n; i++) {
        const struct pc_blob *body = msg->forward.items[i].body;
        if (body != NULL) {
            protocol = newer_of(protocol, pc_wire_command_protocol(pc_blob_slice(body)));
        }
    }
    return protocol;
}

uint8_t pc_wire_msg_protocol(const struct pc_msg *msg)
{
    switch (msg->type) {
    case PC_MSG_RAFT:
        return msg->raft.type == PC_RAFT_MSG_SNAPSHOT ? PC_PROTOCOL_MEMBERS
                                                      : entries_protocol(&msg->raft.entries);
    case PC_MSG_FORWARD:
    case PC_MSG_FORWARD_REFUSED:
        return forward_protocol(msg);
    case PC_MSG_FORM:
        return pc_wire_entry_protocol(&msg->form);
    case PC_MSG_ENTRIES:
        return newer_of(PC_PROTOCOL_MEMBERS, entries_protocol(&msg->fetch.v));
    case PC_MSG_FETCH:
    case PC_MSG_SNAP_ASK:
    case PC_MSG_SNAP_META:
    case PC_MSG_SNAP_GET:
    case PC_MSG_SNAP_CHUNK:
    case PC_MSG_MEMBER:
    case PC_MSG_MEMBER_RESULT:
    case PC_MSG_INVITE:
    case PC_MSG_DISK:
    case PC_MSG_DIGEST:
        break;
    }
    return PC_PROTOCOL_MEMBERS;
}
