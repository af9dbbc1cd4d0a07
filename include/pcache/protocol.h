/* protocol.h: the numbers by which programs of different age know what they may say to each other.
 *
 * Every program speaks a range of protocols. Two of them speak the highest one that both know; with
 * none in common they refuse each other by name. What is newer than the first number (a message, a
 * field, a form of a log entry) has the number of the protocol that it came with, and is only said
 * where that is spoken. docs/PROTOCOL.md lists what came with which number. */
#ifndef PCACHE_PROTOCOL_H
#define PCACHE_PROTOCOL_H

#include <stdint.h>

#include "pcache/err.h"

#define PC_PROTOCOL_FIRST 1 /* RAFT, FORWARD, FORWARD_REFUSED, FORM */
/* Repair, snapshots, fetching, disks, members: messages 5 and above, and entries that name members
 * who do not vote. */
#define PC_PROTOCOL_MEMBERS 2
/* Entries and forwarded commands with a condition; the refusal of those. */
#define PC_PROTOCOL_CONDITIONS 2
/* DISK says how large the disk is. The next version's first: no release speaks it yet. */
#define PC_PROTOCOL_DISK_SIZE 3

/* A range of protocols, min..max; {0, 0} = not said. */
struct pc_protocols {
    uint8_t min;
    uint8_t max;
};

/* What this build speaks. */
struct pc_protocols pc_protocols_spoken(void);

/* The highest protocol that both speak; 0 = none. */
uint8_t pc_protocols_common(struct pc_protocols a, struct pc_protocols b);

/* "1 to 2", or "3". */
void pc_protocols_format(struct pc_protocols range, char out[16]);

/* Says which of two programs without a protocol in common is to be upgraded:
 * "node2 speaks protocol 3 to 4, node1 1 to 2: upgrade node1 first". Returns PC_E_VERSION. */
pc_err pc_protocols_refuse(const char *peer, struct pc_protocols theirs, const char *self,
    struct pc_protocols ours, struct pc_error *error);

#endif
