/* Snapshots: the newest one as it is found at a start, and between the node, which decides
 * (src/node/node_snapshot*.c), and the snapshot thread, which reads and writes. */
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "reactor.h"

/* ---- at the start */

pc_err reactor_snapshot_find(struct reactor *r, struct pc_error *error)
{
    struct pc_snap_found found;
    pc_err err = pc_snap_find(pc_fs_posix(), r->identity->log_dir, false, &found, error);
    if (err == PC_E_NOT_FOUND) {
        return PC_OK;
    }
    if (err != PC_OK) {
        return err;
    }
    if (found.damages > 0) {
        pc_log(PC_LOG_ERROR, "a snapshot is damaged: an older one is used", "where", found.where,
            NULL);
    }
    const struct pc_snap_info *info = pc_snap_reader_info(found.reader);
    r->snapshot_reader = found.reader;
    r->snapshot = (struct pc_node_snapshot){.meta = *pc_snap_reader_meta(found.reader),
        .hash = info->hash,
        .chunks = info->chunks,
        .bytes = info->bytes};
    r->has_snapshot = true;
    pc_log(PC_LOG_INFO, "snapshot found", "entry", pc_log_u64(info->base.index), "items",
        pc_log_u64(r->snapshot.meta.items), "bytes", pc_log_u64(info->bytes), NULL);
    return PC_OK;
}

pc_err reactor_snapshot_config(const struct reactor *r, struct pc_entry *out)
{
    const struct pc_snapshot_meta *meta = &r->snapshot.meta;
    *out = (struct pc_entry){.index = meta->config_index, .kind = PC_ENTRY_CONFIG};
    return pc_blob_new(meta->config, &out->body);
}

/* ---- what the thread reports */

#define TAG_OF_CLIENT (UINT64_C(1) << 63) /* http.h: the node counts its own from 1 */

bool reactor_snapshot_read(void *context, uint64_t tag, pc_index index, uint64_t offset, size_t max)
{
    PC_ASSERT((tag & TAG_OF_CLIENT) != 0);
    struct reactor *r = context;
    return pc_snap_thread_read_raw(r->snaps, tag, index, offset, max);
}

static void client_gets(struct reactor *r, struct pc_snap_done *done)
{
    struct pc_http_piece piece = {.tag = done->tag,
        .err = done->err,
        .text = done->err != PC_OK ? done->error.text : NULL,
        .index = done->info.base.index,
        .term = done->info.base.term,
        .file_bytes = done->info.file_bytes,
        .file_name = done->info.name,
        .bytes = &done->bytes};
    pc_http_snapshot_piece(r->http, &piece);
    pc_buf_destroy(&done->bytes);
}

static void snapshot_done(struct reactor *r, struct pc_snap_done *done)
{
    if (done->type == PC_SNAP_READ && (done->tag & TAG_OF_CLIENT) != 0) {
        client_gets(r, done);
        return;
    }
    if (done->type == PC_SNAP_SET_ASIDE) {
        if (done->err != PC_OK) {
            pc_log(PC_LOG_WARN, "cannot set the damaged snapshot aside", "reason", done->error.text,
                NULL);
        }
        return;
    }
    static const enum pc_node_snap_event_type types[] = {
        [PC_SNAP_BEGUN] = PC_NODE_SNAP_BEGUN,
        [PC_SNAP_WRITTEN] = PC_NODE_SNAP_WRITTEN,
        [PC_SNAP_FINISHED] = PC_NODE_SNAP_FINISHED,
        [PC_SNAP_FAILED] = PC_NODE_SNAP_FAILED,
        [PC_SNAP_READ] = PC_NODE_SNAP_GOT,
    };
    struct pc_node_snap_event snap = {
        .type = types[done->type],
        .tag = done->tag,
        .chunks = done->chunks,
        .err = done->err,
        .text = done->err != PC_OK ? done->error.text : NULL,
        .chunk = pc_slice_of(done->bytes.data, done->bytes.len),
    };
    if (done->type == PC_SNAP_FINISHED) {
        snap.hash = done->info.hash;
        snap.chunks = done->info.chunks;
        snap.bytes = done->info.bytes;
    }
    struct pc_node_event event = {.type = PC_NODE_SNAP};
    event.u.snap = &snap;
    reactor_step(r, &event);
    pc_buf_destroy(&done->bytes);
}

static void on_snapshot(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct reactor *r = context;
    bell_silence(fd);
    struct pc_snap_done done;
    while (pc_snap_thread_poll(r->snaps, &done)) {
        snapshot_done(r, &done);
    }
}

bool reactor_snapshot_open(struct reactor *r, struct pc_error *error)
{
    if (!bell_open(&r->snap_bell, r->base, on_snapshot, r, error)) {
        return false;
    }
    r->snaps = pc_snap_thread_start(
        pc_fs_posix(), r->identity->log_dir, r->snapshot_reader, r->snap_bell.fd);
    r->snapshot_reader = NULL; /* the thread's now */
    return true;
}

void reactor_snapshot_close(struct reactor *r)
{
    if (r->snaps != NULL) {
        pc_snap_thread_stop(r->snaps);
    }
    pc_snap_reader_close(r->snapshot_reader);
    bell_close(&r->snap_bell);
}

/* ---- what the node asks for */

static void snapshot_lost(struct reactor *r, pc_index index)
{
    pc_log(PC_LOG_ERROR,
        "stopping: this node is its cluster alone, its snapshot is damaged, and the log has no"
        " longer what it held: restore the snapshot from a copy, or start once with"
        " --accept-data-loss to go on with what can be read of it",
        "log_dir", r->identity->log_dir, "entries_from", pc_log_u64(1), "to", pc_log_u64(index),
        NULL);
    reactor_end(r, PC_EXIT_DATA);
}

static void snapshot_read(struct reactor *r, const struct pc_node_snap *snap)
{
    bool is_asked = pc_snap_thread_read(r->snaps, snap->tag, snap->base.index, snap->number);
    PC_ASSERT(is_asked); /* the node has fewer under way than fit the queue */
}

/* What is left of a write that was given up may fill the queue for a moment. */
static void snapshot_put(struct reactor *r, struct pc_node_snap *snap)
{
    if (pc_snap_thread_put(r->snaps, snap->tag, &snap->chunk)) {
        return;
    }
    pc_snap_thread_abort(r->snaps, snap->tag, true);
    struct pc_node_snap_event failed = {.type = PC_NODE_SNAP_FAILED,
        .tag = snap->tag,
        .err = PC_E_AGAIN,
        .text = "the queue to the disk is full"};
    struct pc_node_event event = {.type = PC_NODE_SNAP};
    event.u.snap = &failed;
    reactor_step(r, &event);
}

void reactor_snapshot_act(struct reactor *r, struct pc_node_snap *snap)
{
    switch (snap->type) {
    case PC_NODE_SNAP_BEGIN:
        pc_snap_thread_begin(r->snaps, snap->tag, &snap->base, snap->has_hash ? &snap->hash : NULL);
        break;
    case PC_NODE_SNAP_PUT:
        snapshot_put(r, snap);
        break;
    case PC_NODE_SNAP_FINISH:
        pc_snap_thread_finish(r->snaps, snap->tag, &snap->meta);
        break;
    case PC_NODE_SNAP_ABORT:
        pc_snap_thread_abort(r->snaps, snap->tag, snap->keep);
        break;
    case PC_NODE_SNAP_READ:
        snapshot_read(r, snap);
        break;
    case PC_NODE_SNAP_SET_ASIDE:
        pc_snap_thread_set_aside(r->snaps, snap->base.index);
        break;
    case PC_NODE_SNAP_LOST:
        snapshot_lost(r, snap->base.index);
        break;
    case PC_NODE_SNAP_DROP_LOG:
        pc_wal_thread_drop(r->wal, snap->base.index);
        break;
    }
}
