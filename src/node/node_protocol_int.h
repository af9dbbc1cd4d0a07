/* node_protocol_int.h: what this program and those of its peers read. Part of node_int.h. */
#ifndef PCACHE_NODE_PROTOCOL_INT_H
#define PCACHE_NODE_PROTOCOL_INT_H

#include "pcache/node.h"

/* The highest protocol that this node and all members linked to it speak. */
uint8_t node_protocol(const struct pc_node *n);
/* Does one of them speak less than `protocol`? Then text says who. */
bool node_protocol_lacks(const struct pc_node *n, uint8_t protocol, char *text, size_t max);
/* Does this program read the entry? PC_OK or PC_E_VERSION. */
PC_MUST_CHECK pc_err node_protocol_read(
    const struct pc_node *n, const struct pc_entry *entry, struct pc_error *error);
/* The same of an entry that is about to be applied. False: the node ends with this turn. */
bool node_protocol_applies(struct pc_node *n, const struct pc_entry *entry);
/* May this message of Raft leave? Its receiver reads it. */
bool node_protocol_may_send(struct pc_node *n, const struct pc_msg *msg);
void node_protocol_turn(struct pc_node *n);
/* Can this peer read the entries there are, and how the members are written? PC_OK or PC_E_VERSION.
 */
PC_MUST_CHECK pc_err node_protocol_admit(
    const struct pc_node *n, const struct pc_peer_hello *hello, struct pc_error *error);
/* What the member said of its program. */
void node_protocol_fill(const struct pc_node *n, struct pc_node_member *member);

#endif
