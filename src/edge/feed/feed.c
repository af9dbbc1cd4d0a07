/* One piece of work at a time: whoever asks for more waits, and the memory that is taken is that of
 * one piece. The log has looked at the checksums; here the entries are compared with each other:
 * what is told of was, in this order, what the cluster agreed upon. */
#include "pcache/feed.h"

#include <inttypes.h>
#include <stdlib.h>

#include "pcache/assert.h"
#include "pcache/json.h"
#include "pcache/os.h"
#include "pcache/wire_entry.h"

struct pc_feed {
    struct pc_worker worker;   /* its lock guards what follows */
    struct pc_raw_entries raw; /* to do; first 0 = nothing */
    bool is_done;
    struct pc_feed_done done;
    bool is_busy; /* put, and not polled yet */
};

static pc_err lost(pc_index index, const char *why, struct pc_error *error)
{
    return pc_error_set(error, PC_E_CORRUPT, "entry %" PRIu64 " %s", index, why);
}

/* The next one, behind the entry with this chain value; NULL = not known. */
static pc_err take_entry(struct pc_mpack_reader *reader, pc_index index,
    const struct pc_hash *before, struct pc_entry *out, struct pc_error *error)
{
    pc_err err = pc_wire_read_entry(reader, out);
    if (err != PC_OK) {
        return err == PC_E_NOMEM ? pc_error_set(error, err, "no memory for entry %" PRIu64, index)
                                 : lost(index, "cannot be decoded", error);
    }
    struct pc_hash chain = before != NULL ? pc_entry_chain(before, out) : out->chain;
    bool is_right = out->index == index && pc_hash_equal(&chain, &out->chain);
    if (!is_right) {
        pc_entry_clear(out);
        return lost(index, "does not follow on the one before it", error);
    }
    return PC_OK;
}

pc_err pc_feed_lines(const struct pc_raw_entries *raw, struct pc_buf *lines, struct pc_error *error)
{
    struct pc_mpack_reader reader =
        pc_mpack_reader_of(pc_slice_of(raw->bytes.data, raw->bytes.len));
    struct pc_hash chain = {{0}};
    size_t before = lines->len;
    for (size_t i = 0; i < raw->n; i++) {
        struct pc_entry entry;
        pc_err err = take_entry(&reader, raw->first + i, i > 0 ? &chain : NULL, &entry, error);
        if (err != PC_OK) {
            lines->len = before;
            return err;
        }
        chain = entry.chain;
        pc_json_append_entry(&entry, lines);
        pc_entry_clear(&entry);
    }
    if (pc_mpack_finish(&reader) != PC_OK) {
        lines->len = before;
        return lost(raw->first + raw->n, "was not asked for", error);
    }
    return PC_OK;
}

static void *feed_run(void *arg)
{
    struct pc_feed *feed = arg;
    pc_worker_lock(&feed->worker);
    while (!feed->worker.stopping) {
        if (feed->raw.first == 0) {
            (void)pc_worker_wait(&feed->worker, UINT64_MAX);
            continue;
        }
        struct pc_raw_entries raw = feed->raw;
        struct pc_feed_done done = {.n = raw.n};
        feed->raw = (struct pc_raw_entries){0};
        pc_worker_unlock(&feed->worker);
        done.err = pc_feed_lines(&raw, &done.lines, &done.error);
        if (done.err != PC_OK) {
            pc_buf_destroy(&done.lines);
        }
        pc_raw_entries_clear(&raw);
        pc_worker_lock(&feed->worker);
        PC_ASSERT(!feed->is_done);
        feed->done = done;
        feed->is_done = true;
        pc_worker_notify(&feed->worker);
    }
    pc_worker_unlock(&feed->worker);
    return NULL;
}

struct pc_feed *pc_feed_start(int notify_fd)
{
    struct pc_feed *feed = pc_xalloc(sizeof *feed);
    pc_worker_start(&feed->worker, "pcached-feed", notify_fd, feed_run, feed);
    return feed;
}

void pc_feed_stop(struct pc_feed *feed)
{
    if (feed == NULL) {
        return;
    }
    pc_worker_stop(&feed->worker);
    pc_worker_destroy(&feed->worker);
    pc_raw_entries_clear(&feed->raw);
    if (feed->is_done) {
        pc_buf_destroy(&feed->done.lines);
    }
    free(feed);
}

void pc_feed_put(struct pc_feed *feed, struct pc_raw_entries *raw)
{
    PC_ASSERT(!feed->is_busy && raw->first > 0 && raw->n > 0);
    feed->is_busy = true;
    pc_worker_lock(&feed->worker);
    feed->raw = *raw;
    pc_worker_wake(&feed->worker);
    pc_worker_unlock(&feed->worker);
    *raw = (struct pc_raw_entries){0};
}

bool pc_feed_poll(struct pc_feed *feed, struct pc_feed_done *out)
{
    pc_worker_lock(&feed->worker);
    bool is_done = feed->is_done;
    if (is_done) {
        *out = feed->done;
        feed->is_done = false;
    }
    pc_worker_unlock(&feed->worker);
    feed->is_busy = feed->is_busy && !is_done;
    return is_done;
}
