/* node_snaps.h: the snapshot thread and the snapshots of the nodes of node_net.h, in memory. A node
 * takes part from snaps_attach on. */
#ifndef NODE_SNAPS_H
#define NODE_SNAPS_H

#include "unit/node/node_net.h"

#define SNAPS_CHUNKS_MAX 64

struct snaps_file {
    struct pc_raft_base base; /* index 0 = there is none */
    struct pc_buf meta;
    struct pc_hash hash;
    struct pc_buf chunks[SNAPS_CHUNKS_MAX];
    uint32_t chunks_n;
    uint64_t bytes;
};

struct snaps {
    struct net_snaps asked; /* first: a node knows this part */
    struct snaps_file newest, writing;
    uint64_t tag;
    size_t reads_n;
    pc_err read_err; /* of chunk read_err_at and those behind it; PC_OK = all can be read */
    uint32_t read_err_at;
    pc_err finish_err;    /* of the next FINISH; PC_OK = it is done */
    pc_index aside, lost; /* SET_ASIDE, LOST: of this entry */
};

static inline struct snaps *snaps_of(struct net *net, size_t i)
{
    return (struct snaps *)net->nodes[i].snaps;
}

static inline void snaps_attach(struct net *net, size_t i)
{
    net->nodes[i].snaps = pc_xalloc(sizeof(struct snaps));
}

static inline void snaps_file_clear(struct snaps_file *file)
{
    pc_buf_destroy(&file->meta);
    for (uint32_t k = 0; k < file->chunks_n; k++) {
        pc_buf_destroy(&file->chunks[k]);
    }
    *file = (struct snaps_file){0};
}

static inline void snaps_forget_asked(struct snaps *s)
{
    for (size_t k = 0; k < s->asked.queue_n; k++) {
        pc_buf_destroy(&s->asked.queue[k].chunk);
        pc_blob_unref(s->asked.queue[k].config);
    }
    s->asked.queue_n = 0;
}

static inline void snaps_detach_all(struct net *net)
{
    for (size_t i = 1; i <= net->n; i++) {
        struct snaps *s = snaps_of(net, i);
        if (s != NULL) {
            snaps_file_clear(&s->newest);
            snaps_file_clear(&s->writing);
            snaps_forget_asked(s);
            free(s);
            net->nodes[i].snaps = NULL;
        }
    }
}

static inline void snaps_tell(struct net *net, size_t i, struct pc_node_snap_event *snap)
{
    struct pc_node_event event = {.type = PC_NODE_SNAP};
    event.u.snap = snap;
    net_do(net, i, &event);
}

/* Files with other bytes have another one. */
static inline struct pc_hash snaps_hash(const struct snaps_file *file)
{
    struct pc_hash hash = {{0}};
    uint64_t sum = UINT64_C(14695981039346656037);
    for (uint32_t k = 0; k < file->chunks_n; k++) {
        for (size_t b = 0; b < file->chunks[k].len; b++) {
            sum = (sum ^ file->chunks[k].data[b]) * UINT64_C(1099511628211);
        }
    }
    pc_put_u64(hash.b, sum);
    pc_put_u64(hash.b + 8, file->base.index);
    return hash;
}

static inline void snaps_begin(struct net *net, size_t i, const struct pc_node_snap *snap)
{
    struct snaps *s = snaps_of(net, i);
    snaps_file_clear(&s->writing);
    s->tag = snap->tag;
    s->writing.base = snap->base;
    snaps_tell(net, i, &(struct pc_node_snap_event){.type = PC_NODE_SNAP_BEGUN, .tag = snap->tag});
}

static inline void snaps_put(struct net *net, size_t i, struct pc_node_snap *snap)
{
    struct snaps *s = snaps_of(net, i);
    assert_true(s->writing.chunks_n < SNAPS_CHUNKS_MAX);
    s->writing.bytes += snap->chunk.len;
    s->writing.chunks[s->writing.chunks_n++] = snap->chunk;
    snap->chunk = (struct pc_buf){0};
    snaps_tell(net, i,
        &(struct pc_node_snap_event){
            .type = PC_NODE_SNAP_WRITTEN, .tag = snap->tag, .chunks = s->writing.chunks_n});
}

static inline void snaps_finish(struct net *net, size_t i, const struct pc_node_snap *snap)
{
    struct snaps *s = snaps_of(net, i);
    if (s->finish_err != PC_OK) {
        struct pc_node_snap_event failed = {
            .type = PC_NODE_SNAP_FAILED, .tag = snap->tag, .err = s->finish_err};
        s->finish_err = PC_OK;
        snaps_file_clear(&s->writing);
        snaps_tell(net, i, &failed);
        return;
    }
    pc_wire_encode_snapshot_meta(&snap->meta, &s->writing.meta);
    s->writing.hash = snaps_hash(&s->writing);
    snaps_file_clear(&s->newest);
    s->newest = s->writing;
    s->writing = (struct snaps_file){0};
    snaps_tell(net, i,
        &(struct pc_node_snap_event){.type = PC_NODE_SNAP_FINISHED,
            .tag = snap->tag,
            .chunks = s->newest.chunks_n,
            .bytes = s->newest.bytes,
            .hash = s->newest.hash});
}

static inline void snaps_read(struct net *net, size_t i, const struct pc_node_snap *snap)
{
    struct snaps *s = snaps_of(net, i);
    bool is_there = snap->base.index == s->newest.base.index && snap->number < s->newest.chunks_n;
    struct pc_node_snap_event got = {
        .type = PC_NODE_SNAP_GOT, .tag = snap->tag, .err = is_there ? PC_OK : PC_E_NOT_FOUND};
    s->reads_n++;
    if (s->read_err != PC_OK && snap->number >= s->read_err_at) {
        got.err = s->read_err;
    }
    if (got.err == PC_OK) {
        const struct pc_buf *chunk = &s->newest.chunks[snap->number];
        got.chunk = pc_slice_of(chunk->data, chunk->len);
    }
    snaps_tell(net, i, &got);
}

static inline void snaps_serve_one(struct net *net, size_t i, struct pc_node_snap *snap)
{
    struct snaps *s = snaps_of(net, i);
    bool is_write = snap->type == PC_NODE_SNAP_PUT || snap->type == PC_NODE_SNAP_FINISH;
    if (is_write && snap->tag != s->tag) {
        return;
    }
    switch (snap->type) {
    case PC_NODE_SNAP_BEGIN:
        snaps_begin(net, i, snap);
        break;
    case PC_NODE_SNAP_PUT:
        snaps_put(net, i, snap);
        break;
    case PC_NODE_SNAP_FINISH:
        snaps_finish(net, i, snap);
        break;
    case PC_NODE_SNAP_ABORT:
        s->tag = 0;
        break;
    case PC_NODE_SNAP_READ:
        snaps_read(net, i, snap);
        break;
    case PC_NODE_SNAP_SET_ASIDE:
        s->aside = snap->base.index;
        break;
    case PC_NODE_SNAP_LOST:
        s->lost = snap->base.index;
        break;
    case PC_NODE_SNAP_DROP_LOG:
        break;
    }
}

/* Does what the nodes want done; false when that is nothing. */
static inline bool snaps_serve(struct net *net)
{
    bool any = false;
    for (size_t i = 1; i <= net->n; i++) {
        struct snaps *s = snaps_of(net, i);
        while (s != NULL && net->nodes[i].node != NULL && s->asked.queue_n > 0) {
            struct pc_node_snap snap = s->asked.queue[0];
            s->asked.queue_n--;
            memmove(s->asked.queue, s->asked.queue + 1, s->asked.queue_n * sizeof snap);
            snaps_serve_one(net, i, &snap);
            pc_buf_destroy(&snap.chunk);
            pc_blob_unref(snap.config);
            any = true;
        }
    }
    return any;
}

static inline void snaps_run(struct net *net, pc_ms ms)
{
    for (pc_ms past = 0; past < ms; past += 10) {
        for (size_t rounds = 0; snaps_serve(net); rounds++) {
            assert_true(rounds < 1000);
            net_settle(net);
        }
        net_run(net, 10);
    }
}

/* Node i makes a snapshot of all it has, and drops the log up to `upto`. */
static inline void snaps_make(struct net *net, size_t i, pc_index upto)
{
    net_event(net, i, PC_NODE_SNAPSHOT);
    snaps_run(net, 200);
    assert_int_equal(snaps_of(net, i)->newest.base.index, net_status(net, i).applied);
    net->nodes[i].dropped_upto = upto;
    struct pc_node_event event = {.type = PC_NODE_LOG_DROPPED};
    event.u.log_first = upto + 1;
    net_do(net, i, &event);
}

/* The snapshot of node i, as a start finds it; borrowed. */
static inline struct pc_node_snapshot snaps_found(struct net *net, size_t i)
{
    const struct snaps_file *file = &snaps_of(net, i)->newest;
    struct pc_node_snapshot found = {
        .hash = file->hash, .chunks = file->chunks_n, .bytes = file->bytes};
    assert_ok(
        pc_wire_decode_snapshot_meta(pc_slice_of(file->meta.data, file->meta.len), &found.meta));
    return found;
}

#endif
