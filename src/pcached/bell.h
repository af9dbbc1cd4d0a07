/* bell.h: how a thread tells the event loop that it has something: an eventfd that it rings, and
 * the event that hears it. Private to pcached. */
#ifndef PCACHED_BELL_H
#define PCACHED_BELL_H

#include <stdbool.h>

#include <event2/event.h>

#include "pcache/err.h"

struct bell {
    int fd; /* for the thread, to write 1 to; -1 = closed */
    struct event *event;
};

/* on_ring is called in the loop, with the fd; it begins with bell_silence. Returns false and says
 * why when the system gives no descriptor or no event: then bell_close frees what there is. */
bool bell_open(struct bell *bell, struct event_base *base, event_callback_fn on_ring, void *context,
    struct pc_error *error);
/* Rung before now counts as heard: whoever calls polls until there is nothing more. */
void bell_silence(evutil_socket_t fd);
/* Allowed on one that was never opened, {.fd = -1}. The thread has been stopped. */
void bell_close(struct bell *bell);

#endif
