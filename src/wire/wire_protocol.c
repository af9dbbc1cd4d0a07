/* Which protocol a message came with. What a later one adds to a message that was there before, its
 * encoder and decoder know: they are given the protocol. */
#include "pcache/protocol.h"

#include "wire_int.h"

/* One entry in a newer form makes the message newer: what the other end cannot read it must not
 * have, or its state would become another one. */
static uint8_t entries_protocol(const struct pc_entries *entries)
{
    uint8_t protocol = PC_PROTOCOL_FIRST;
    for (size_t i = 0; i < entries->n && protocol == PC_PROTOCOL_FIRST; i++) {
        const struct pc_entry *entry = &entries->v[i];
        if (entry->kind == PC_ENTRY_COMMAND) {
            protocol = pc_wire_command_protocol(pc_blob_slice(entry->body));
        }
    }
    return protocol;
}

static uint8_t forward_protocol(const struct pc_msg *msg)
{
    if (msg->forward.reason == PC_REFUSAL_PROTOCOL) {
        return PC_PROTOCOL_CONDITIONS;
    }
    uint8_t protocol = PC_PROTOCOL_FIRST;
    for (size_t i = 0; i < msg->forward.items_n && protocol == PC_PROTOCOL_FIRST; i++) {
        if (msg->forward.items[i].body != NULL) {
            protocol = pc_wire_command_protocol(pc_blob_slice(msg->forward.items[i].body));
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
        return PC_PROTOCOL_FIRST;
    case PC_MSG_FETCH:
    case PC_MSG_ENTRIES:
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
