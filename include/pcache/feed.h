/* feed.h: a thread that turns entries, as the log's disk gives them, into lines of JSON (json.h):
 * that takes far longer than reading them, and neither the engine nor the log has the time. */
#ifndef PCACHE_FEED_H
#define PCACHE_FEED_H

#include "pcache/entry.h"

struct pc_feed; /* opaque; the calls below come from one thread */

/* What came of a piece of work. */
struct pc_feed_done {
    pc_err err;            /* PC_E_CORRUPT, PC_E_NOMEM */
    struct pc_error error; /* with err */
    size_t n;              /* entries */
    struct pc_buf lines;   /* one for each; owned by the receiver; empty with err */
};

/* notify_fd: an eventfd to which 1 is written whenever something is done. */
struct pc_feed *pc_feed_start(int notify_fd);
/* Ends what is under way, frees. NULL is allowed. */
void pc_feed_stop(struct pc_feed *feed);
/* Work: takes *raw over (emptied). Requires that what was put before was polled, and n > 0. */
void pc_feed_put(struct pc_feed *feed, struct pc_raw_entries *raw);
/* What is done; false when nothing is. */
bool pc_feed_poll(struct pc_feed *feed, struct pc_feed_done *out);

/* What the thread does, where it is called: appends a line for each entry. Entries that are not
 * what raw->first says, or do not follow each other by their chain, are not told of.
 * Returns PC_OK, PC_E_CORRUPT (the text names the entry), PC_E_NOMEM; then *lines is as before. */
PC_MUST_CHECK pc_err pc_feed_lines(
    const struct pc_raw_entries *raw, struct pc_buf *lines, struct pc_error *error);

#endif
