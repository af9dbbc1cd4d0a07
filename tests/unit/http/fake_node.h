/* fake_node.h: a node that is a small map, for tests of the HTTP edge. Its functions replace those
 * of the node, raft and store at link time. */
#ifndef PC_FAKE_NODE_H
#define PC_FAKE_NODE_H

#include <event2/event.h>

#include "pcache/http.h"
#include "pcache/raft.h"

#define FAKE_ITEMS_MAX 32
#define FAKE_HELD_MAX 128

struct fake_item {
    bool there;
    uint8_t key[PC_KEY_BYTES_MAX];
    size_t key_len;
    struct pc_blob *value;
    char content_type[PC_CONTENT_TYPE_BYTES_MAX + 1];
    pc_index version;
    pc_ms deadline_ms; /* 0 = never; cluster time stands at fake_node.stamp_ms */
};

struct fake_node {
    struct fake_item items[FAKE_ITEMS_MAX];
    pc_index applied;
    pc_ms stamp_ms;
    struct pc_http *http;
    struct event *deliver;
    struct pc_reply replies[FAKE_HELD_MAX]; /* in order, not yet given */
    size_t replies_n;
    bool hold;                  /* keep replies until fake_node_release */
    enum pc_reply_status force; /* not OK: every request gets this status */
    size_t submitted;
    enum pc_consistency last_consistency;
    struct pc_member_change last_change;
    bool growing;               /* there are more members than the three voters */
    size_t up_n;                /* voters */
    pc_ms age_ms;               /* of what it has */
    struct pc_instant clock_at; /* where the clock that the server sees stands; 0 = it goes on */
    pc_ms clock_skip_ms;        /* added to it */
    bool leading;
    bool no_leader;
    bool ready;
    struct pc_buf snapshot; /* the file; empty = there is none */
    pc_err snapshot_err;    /* not OK: what reads from now on give */
    size_t snapshot_reads;  /* and at most one at a time of a download */
    bool snapshot_damaged;  /* the node knows that it is */
    bool snapshot_held;     /* pieces wait until fake_node_piece */
    uint64_t piece_tag;     /* the last one asked for; 0 = none waits */
    uint64_t piece_offset;
    size_t piece_max;
    bool solo;             /* answers are those of a branch */
    uint64_t rollback_tag; /* the last question about closed branches; 0 = none waits */
    enum pc_http_rollback_ask rollback_what;
    char rollback_name[64];
    struct pc_http_place rollback_place;
    size_t rollbacks;
    pc_index log_oldest, log_last; /* what there is of the log */
    uint64_t log_tag;              /* the page that is asked for; 0 = none */
    pc_index log_first, log_upto;
    size_t log_reads;
    pc_node_id transferred; /* what ops.transfer was given */
    size_t transfers;
};

/* The one node of a test program; pc_node_* below answer from it. */
extern struct fake_node *fake_node_now;

void fake_node_open(struct fake_node *node, struct event_base *base);
void fake_node_close(struct fake_node *node);
/* Gives all held replies. */
void fake_node_release(struct fake_node *node);
/* Gives the piece that waits. */
void fake_node_piece(struct fake_node *node);
struct pc_http_ops fake_node_ops(struct fake_node *node);

#endif
