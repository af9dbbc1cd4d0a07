/* Pages of the log for clients: the server asks (http_log.c), the log thread reads, the feed thread
 * writes them as lines. One at a time, so that between two groups of batches the log is never kept
 * for longer than one page takes. */
#include <string.h>

#include "pcache/assert.h"
#include "pcache/limits.h"
#include "reactor.h"

#define FEED_LOG_BUCKET 4 /* of pc_log_limited: what cannot be read of the log */

void reactor_feed_ask(void *context, uint64_t tag, pc_index first, pc_index last)
{
    struct reactor *r = context;
    PC_ASSERT(r->feed_tag == 0 && tag != 0);
    r->feed_tag = tag;
    pc_wal_thread_load_raw(r->wal, PC_NODE_TAG_DRIVER, first, last, PC_FEED_BYTES);
}

static void feed_answer(struct reactor *r, struct pc_feed_done *done)
{
    struct pc_http_log_page page = {.tag = r->feed_tag,
        .err = done->err,
        .text = done->err != PC_OK ? done->error.text : NULL,
        .n = done->n,
        .lines = &done->lines};
    if (done->err != PC_OK && done->err != PC_E_NOT_FOUND) {
        pc_log_limited(FEED_LOG_BUCKET, PC_LOG_ERROR, "cannot give the log to a client", "reason",
            done->error.text, NULL);
    }
    r->feed_tag = 0;
    pc_http_log_page(r->http, &page);
    pc_buf_destroy(&done->lines);
}

void reactor_feed_loaded(struct reactor *r, struct pc_wal_done *loaded)
{
    PC_ASSERT(r->feed_tag != 0);
    if (loaded->err == PC_OK) {
        pc_feed_put(r->feed, &loaded->raw);
        return;
    }
    struct pc_feed_done done = {.err = loaded->err, .error = loaded->error};
    feed_answer(r, &done);
}

static void on_feed(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct reactor *r = context;
    bell_silence(fd);
    struct pc_feed_done done;
    while (pc_feed_poll(r->feed, &done)) {
        feed_answer(r, &done);
    }
}

bool reactor_feed_open(struct reactor *r, struct pc_error *error)
{
    if (!bell_open(&r->feed_bell, r->base, on_feed, r, error)) {
        return false;
    }
    r->feed = pc_feed_start(r->feed_bell.fd);
    return true;
}

void reactor_feed_close(struct reactor *r)
{
    pc_feed_stop(r->feed);
    bell_close(&r->feed_bell);
}
