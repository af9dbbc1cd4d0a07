/* The edge's part of src/node/node_lives.c: notes on peers' lives go to their thread and come back
 * as events, this life is noted as met before it speaks Raft, and a node that its peers refuse for
 * its life ends. */
#define _GNU_SOURCE
#include <string.h>

#include "reactor.h"

static void on_lives(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct reactor *r = context;
    bell_silence(fd);
    struct pc_node_event event = {.type = PC_NODE_LIFE_NOTED};
    struct pc_error error;
    pc_err err;
    while (lives_thread_poll(r->lives, &event.u.life, &err, &error)) {
        if (err != PC_OK) {
            reactor_log_failed(r, &error);
            return;
        }
        reactor_step(r, &event);
    }
}

bool reactor_lives_open(struct reactor *r, struct pc_error *error)
{
    if (!bell_open(&r->lives_bell, r->base, on_lives, r, error)) {
        return false;
    }
    return true;
}

void reactor_lives_close(struct reactor *r)
{
    lives_thread_stop(r->lives);
    bell_close(&r->lives_bell);
}

void reactor_note_lives(struct reactor *r, const struct pc_node_effects *fx)
{
    pc_node_id kept[PC_LIVES_KEPT_MAX];
    size_t kept_n = fx->lives_n > 0 ? pc_node_lives_kept(r->node, kept) : 0;
    for (size_t i = 0; i < fx->lives_n; i++) {
        lives_thread_note(r->lives, &fx->lives[i], kept, kept_n);
    }
}

/* Messages to whom there is no link go nowhere, and a peer that has not admitted this life must not
 * make it a met one: an older copy of a disk would pass for the disk. */
static bool speaks_raft(const struct reactor *r, const struct pc_node_effects *fx)
{
    for (size_t i = 0; i < fx->msgs_n; i++) {
        if (fx->msgs[i].type == PC_MSG_RAFT && pc_node_peer_is_up(r->node, fx->msgs[i].to)) {
            return true;
        }
    }
    return false;
}

bool reactor_note_met(struct reactor *r, const struct pc_node_effects *fx)
{
    struct pc_error error;
    if (r->identity->has_met || !speaks_raft(r, fx)) {
        return true;
    }
    if (identity_note_met(r->identity, &error) != PC_OK) {
        reactor_log_failed(r, &error);
        return false;
    }
    return true;
}

/* Nothing is promised from now on: not to those either who have not noticed. */
static void reactor_leave(struct reactor *r, int exit_status)
{
    struct pc_node_event event = {.type = PC_NODE_LOG_FAILED};
    reactor_step(r, &event);
    reactor_end(r, exit_status);
}

void reactor_lives_refused(struct reactor *r, pc_err why, const char *text)
{
    if (r->exit_status != 0) {
        return; /* it is on its way out: the others say the same */
    }
    if (why == PC_E_STALE) {
        pc_log(PC_LOG_ERROR,
            "stopping: this data directory is an older copy of this node's own. What this node has"
            " promised since must not be denied: move the directory away and start with an empty"
            " one",
            "data_dir", r->identity->data_dir, "id", pc_log_id(r->identity->id), "generation",
            pc_log_u64(r->identity->generation), "reason", text, NULL);
        reactor_leave(r, PC_EXIT_DATA);
    } else if (why == PC_E_SUPERSEDED) {
        pc_log(PC_LOG_ERROR,
            "stopping: another process runs as this node, and has begun later. Give each node its"
            " own data directory",
            "data_dir", r->identity->data_dir, "id", pc_log_id(r->identity->id), "generation",
            pc_log_u64(r->identity->generation), "reason", text, NULL);
        reactor_leave(r, PC_EXIT_TEMPFAIL);
    }
}
