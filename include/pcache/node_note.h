/* node_note.h: what a node has to say to whoever reads its log lines. */
#ifndef PCACHE_NODE_NOTE_H
#define PCACHE_NODE_NOTE_H

#include "pcache/types.h"

enum pc_note_type {
    PC_NOTE_ROLE = 1,       /* a: role, b: term, id: leader or 0 */
    PC_NOTE_FORMED,         /* entry 1 was made or received */
    PC_NOTE_MEMBER,         /* a: pc_member_state, id, text: name */
    PC_NOTE_REFUSED,        /* text */
    PC_NOTE_DIVERGENCE,     /* an append did not fit the log's chain: id = sender */
    PC_NOTE_MEMBERS_EDITED, /* the configured members are not those of entry 1 */
    PC_NOTE_DISK,           /* text: how it is; a: 1 = worse than it should be, 0 = well again */
    PC_NOTE_CONFIG,         /* other members count from entry a on; b: voters; text: who */
    PC_NOTE_DEATH,          /* votes change in entry a because a member is dead; text: who, and what
                               becomes of its vote */
    PC_NOTE_JOINED,         /* invited into a cluster; text: its history */
    PC_NOTE_NOT_MEMBER,     /* a leader says that this node is no member; text: why */
    PC_NOTE_REPAIR,         /* entries a..b; id: the peer it is about, or 0; text: what of them */
    PC_NOTE_CATCHUP,        /* entries a..b lack here; text: what of them */
    PC_NOTE_DIGEST,         /* text: of states that differ, at entry a; id: who differs, or 0;
                               b: 1 = an alarm, 0 = well again */
    PC_NOTE_SNAPSHOT,       /* of entry a, b bytes; id: the peer it is about, or 0; text */
    PC_NOTE_SNAPSHOT_FAILED, /* of entry a; b: 1 = what there is of it is no good, 0 = not this
                                time; id: the peer it is about, or 0; text */
    PC_NOTE_BRANCH, /* text: what became of a branch; a: 1 = it is open now, 2 = it is being closed,
                       3 = it is closed, 4 = its file failed; b: its records */
    PC_NOTE_UNREADABLE, /* the log has an entry that this program does not read: the node has failed
                           (text), and the process is to end */
    PC_NOTE_WITHHELD,   /* id: a member whose program cannot read its next entries, of protocol a */
};

/* Something worth a log line. */
struct pc_note {
    enum pc_note_type type;
    pc_node_id id;
    uint64_t a;
    uint64_t b;
    char text[256];
};

#endif
