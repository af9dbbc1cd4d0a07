/* Which protocol a message came with. What a later one adds to a message that was there before, its
 * encoder and decoder know: they are given the protocol. */
#include "pcache/protocol.h"

#include "wire_int.h"

uint8_t pc_wire_msg_protocol(const struct pc_msg *msg)
{
    switch (msg->type) {
    case PC_MSG_RAFT:
        return msg->raft.type == PC_RAFT_MSG_SNAPSHOT ? PC_PROTOCOL_MEMBERS : PC_PROTOCOL_FIRST;
    case PC_MSG_FORWARD:
    case PC_MSG_FORWARD_REFUSED:
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
