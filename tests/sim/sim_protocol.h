/* sim_protocol.h: programs of different age, and what is checked of them. Part of sim_int.h. */
#ifndef PC_SIM_PROTOCOL_H
#define PC_SIM_PROTOCOL_H

#include "sim/sim.h"

struct pc_sim;
struct sim_node;
struct sim_op;

/* ---- sim_protocol.c */
/* The run begins: who is started as what. */
void sim_protocol_begin(struct pc_sim *sim);
void sim_protocol_strike(struct pc_sim *sim);
/* The machine gets an empty disk, and perhaps another program. */
void sim_protocol_renew(struct pc_sim *sim, struct sim_node *node);
/* While all heals: from now on it runs this build's program. One that runs another one dies. */
void sim_protocol_settle(struct pc_sim *sim, struct sim_node *node);
/* Its program does not read its log: it stays down until it has another one. */
void sim_protocol_unreadable(struct pc_sim *sim, struct sim_node *node, const char *text);
void sim_protocol_exit(struct pc_sim *sim, struct sim_node *node);
void sim_protocol_died(const struct pc_sim *sim, struct sim_node *node);

/* ---- sim_check_protocol.c: P.1 to P.4. In runs whose nodes are all of one age there is nothing to
 * look at. */
/* One of the two ends of a link of this protocol has got the message, or, NULL, sends one: what the
 * link does not know of it goes on the way. */
void sim_protocol_check_said(
    struct pc_sim *sim, const struct sim_node *node, uint8_t protocol, const struct pc_msg *msg);
void sim_protocol_check_refusal(struct pc_sim *sim, const struct sim_node *to,
    const struct sim_node *from, const struct pc_error *error);
/* The entry goes to the node's disk; its members are those in force before it. */
void sim_protocol_check_write(
    struct pc_sim *sim, struct sim_node *node, const struct pc_entry *entry);
void sim_protocol_check_applied(
    struct pc_sim *sim, const struct sim_node *node, pc_index before, pc_index applied);
/* May a write be refused with this text? */
void sim_protocol_check_refused(
    struct pc_sim *sim, const struct sim_op *op, const struct pc_reply *reply);
/* Is this reply what a member's age is the reason of? */
bool sim_protocol_owes(const struct sim_op *op, const struct pc_reply *reply);
/* All are of one age, and everything else is well. */
void sim_protocol_check_new(struct pc_sim *sim);

#endif
