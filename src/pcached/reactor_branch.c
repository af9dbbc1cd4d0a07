/* Branches: the one that a start finds open, and between the node, which decides
 * (src/node/node_solo.c), and the branch thread, which writes. Clients' questions about closed ones
 * go to the same thread. */
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "reactor.h"

/* ---- at the start */

pc_err reactor_branch_find(struct reactor *r, struct pc_error *error)
{
    struct pc_branch_found *found = &r->branch_found;
    pc_err err = pc_branch_find(pc_fs_posix(), r->identity->data_dir, found, error);
    if (err != PC_OK) {
        return err;
    }
    if (found->where[0] != '\0') {
        pc_log(PC_LOG_ERROR, "a branch of this node alone is not as it should be", "where",
            found->where, "data_dir", r->identity->data_dir, NULL);
    }
    if (found->writer != NULL) {
        pc_log(PC_LOG_WARN, "found an open branch of this node alone", "records",
            pc_log_u64(found->records_n), "base",
            pc_log_u64(pc_branch_writer_head(found->writer)->base.index), NULL);
    }
    return PC_OK;
}

const struct pc_node_branch_found *reactor_branch_found(
    const struct reactor *r, struct pc_node_branch_found *out)
{
    if (r->branch_found.writer == NULL) {
        return NULL;
    }
    const struct pc_branch_head *head = pc_branch_writer_head(r->branch_found.writer);
    *out = (struct pc_node_branch_found){.base = head->base,
        .records = r->branch_found.records,
        .records_n = r->branch_found.records_n};
    memcpy(out->id, head->id, sizeof out->id);
    return out;
}

/* ---- what the thread reports */

static void tell_node(struct reactor *r, const struct pc_branch_done *done)
{
    static const enum pc_node_branch_event_type types[] = {
        [PC_BRANCH_BEGUN] = PC_NODE_BRANCH_BEGUN,
        [PC_BRANCH_WRITTEN] = PC_NODE_BRANCH_WRITTEN,
        [PC_BRANCH_ENDED] = PC_NODE_BRANCH_ENDED,
        [PC_BRANCH_FAILED] = PC_NODE_BRANCH_FAILED,
    };
    if (done->type == PC_BRANCH_ENDED && done->info.name[0] != '\0') {
        pc_log(PC_LOG_WARN,
            "a branch of this node alone is closed: see pcadmin rollback show, and replay", "name",
            done->info.name, "records", pc_log_u64(done->info.records), NULL);
    }
    struct pc_node_event event = {.type = PC_NODE_BRANCH};
    event.u.branch = (struct pc_node_branch_event){.type = types[done->type],
        .number = done->number,
        .err = done->err,
        .text = done->err != PC_OK ? done->error.text : NULL};
    reactor_step(r, &event);
}

static void rollback_of(const struct pc_branch_info *info, struct pc_http_rollback *out)
{
    *out = (struct pc_http_rollback){.base = info->head.base.index,
        .records = info->records,
        .lost = info->last - info->records,
        .begun_ms = info->head.begun_ms,
        .is_closed = info->is_ended,
        .closed_ms = info->ended_ms,
        .bytes = info->bytes,
        .is_replayed = info->is_replayed};
    PC_STATIC_ASSERT(sizeof out->name == sizeof info->name, "one length of names");
    memcpy(out->name, info->name, sizeof out->name);
    memcpy(out->branch, info->head.id, sizeof out->branch);
}

static void tell_client(struct reactor *r, struct pc_branch_done *done)
{
    struct pc_http_rollback *v = pc_xalloc((done->infos_n + 1) * sizeof *v);
    for (size_t i = 0; i < done->infos_n; i++) {
        rollback_of(&done->infos[i], &v[i]);
    }
    struct pc_http_rollback_answer answer = {.tag = done->tag,
        .err = done->err,
        .text = done->err != PC_OK ? done->error.text : NULL,
        .v = v,
        .n = done->infos_n,
        .lines = &done->lines,
        .place = {{done->place.at, done->place.records, done->place.last, done->place.before}},
        .is_last = done->is_last};
    pc_http_rollback_answer(r->http, &answer);
    free(v);
    free(done->infos);
    pc_buf_destroy(&done->lines);
}

static void on_branch(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct reactor *r = context;
    bell_silence(fd);
    struct pc_branch_done done;
    while (pc_branch_thread_poll(r->branches, &done)) {
        if (done.type <= PC_BRANCH_FAILED) {
            tell_node(r, &done);
        } else {
            tell_client(r, &done);
        }
    }
}

bool reactor_branch_open(struct reactor *r, struct pc_error *error)
{
    struct pc_branch_head self = {.node = r->identity->id};
    if (!bell_open(&r->branch_bell, r->base, on_branch, r, error)) {
        return false;
    }
    memcpy(self.name, r->config->node.name, strlen(r->config->node.name) + 1);
    r->branches = pc_branch_thread_start(
        pc_fs_posix(), r->identity->data_dir, &self, r->branch_found.writer, r->branch_bell.fd);
    r->branch_found.writer = NULL; /* the thread's now */
    pc_branch_found_clear(&r->branch_found);
    return true;
}

void reactor_branch_close(struct reactor *r)
{
    pc_branch_thread_stop(r->branches);
    pc_branch_found_clear(&r->branch_found);
    bell_close(&r->branch_bell);
}

/* ---- what is asked for */

void reactor_branch_act(struct reactor *r, struct pc_node_branch *branch)
{
    switch (branch->type) {
    case PC_NODE_BRANCH_BEGIN:
        pc_branch_thread_begin(r->branches, branch->id, branch->history, &branch->base);
        break;
    case PC_NODE_BRANCH_PUT:
        pc_branch_thread_put(r->branches, &branch->record);
        break;
    case PC_NODE_BRANCH_END:
        pc_branch_thread_end(r->branches);
        break;
    }
}

bool reactor_rollback_ask(void *context, uint64_t tag, enum pc_http_rollback_ask what,
    const char *name, const struct pc_http_place *place)
{
    struct reactor *r = context;
    struct pc_branch_place at = {.at = place->v[0],
        .records = place->v[1],
        .last = place->v[2],
        .before = (uint32_t)place->v[3]};
    switch (what) {
    case PC_HTTP_ROLLBACK_LIST:
        return pc_branch_thread_list(r->branches, tag);
    case PC_HTTP_ROLLBACK_READ:
        return pc_branch_thread_read(r->branches, tag, name, &at);
    case PC_HTTP_ROLLBACK_NOTE:
        return pc_branch_thread_note(r->branches, tag, name);
    case PC_HTTP_ROLLBACK_REMOVE:
        return pc_branch_thread_remove(r->branches, tag, name);
    }
    return false;
}

uint64_t reactor_rollbacks_pending(void *context)
{
    const struct reactor *r = context;
    return pc_branch_thread_pending(r->branches);
}
