/* See bell.h. */
#include "bell.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool bell_open(struct bell *bell, struct event_base *base, event_callback_fn on_ring, void *context,
    struct pc_error *error)
{
    bell->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (bell->fd >= 0) {
        bell->event = event_new(base, bell->fd, EV_READ | EV_PERSIST, on_ring, context);
    }
    if (bell->event == NULL || event_add(bell->event, NULL) != 0) {
        (void)pc_error_set(error, PC_E_IO, "event loop: %s", strerror(errno));
        return false;
    }
    return true;
}

void bell_silence(evutil_socket_t fd)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got; /* a spurious wake-up polls for nothing */
}

void bell_close(struct bell *bell)
{
    if (bell->event != NULL) {
        event_free(bell->event);
    }
    if (bell->fd >= 0) {
        close(bell->fd);
    }
    *bell = (struct bell){.fd = -1};
}
