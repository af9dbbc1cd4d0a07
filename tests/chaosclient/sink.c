/* The history file. Lines leave whole, in one write() each time, so that several programs may
 * append to one file. What cannot be written ends the load: a history with holes proves nothing. */
#define _GNU_SOURCE
#include "chaosclient/chaos_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pcache/assert.h"

#define FLUSH_US 200000

/* An empty file, or one that ends with a newline. */
static bool ends_with_line(int fd)
{
    char last = '\n';
    off_t size = lseek(fd, 0, SEEK_END);
    return size >= 0 && (size == 0 || (pread(fd, &last, 1, size - 1) == 1 && last == '\n'));
}

bool chaos_sink_open(struct chaos_sink *sink, const char *path, char *why, size_t why_max)
{
    memset(sink, 0, sizeof *sink);
    PC_ASSERT(pthread_mutex_init(&sink->lock, NULL) == 0);
    sink->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (sink->fd < 0) {
        (void)snprintf(why, why_max, "%s: %s", path, strerror(errno));
        return false;
    }
    if (!ends_with_line(sink->fd)) {
        (void)snprintf(why, why_max, "%s ends within a line", path);
        (void)close(sink->fd);
        return false;
    }
    return true;
}

static void flush(struct chaos_sink *sink)
{
    size_t done = 0;
    while (done < sink->len && !sink->has_failed) {
        ssize_t written = write(sink->fd, sink->buffer + done, sink->len - done);
        if (written > 0) {
            done += (size_t)written;
        } else if (errno != EINTR) {
            sink->has_failed = true;
            atomic_store(&chaos_stopped, true);
        }
    }
    sink->len = 0;
    sink->flushed_us = chaos_now_us();
}

void chaos_sink_add(struct chaos_sink *sink, const struct lin_record *r)
{
    PC_ASSERT(pthread_mutex_lock(&sink->lock) == 0);
    size_t len = lin_record_format(r, sink->buffer + sink->len, sizeof sink->buffer - sink->len);
    PC_ASSERT(len > 0);
    sink->len += len;
    sink->operations++;
    sink->ok += r->status == LIN_OK ? 1 : 0;
    sink->failed += r->status == LIN_FAIL ? 1 : 0;
    sink->unknown += r->status == LIN_INFO ? 1 : 0;
    if (sink->len >= CHAOS_SINK_BYTES || chaos_now_us() - sink->flushed_us > FLUSH_US) {
        flush(sink);
    }
    PC_ASSERT(pthread_mutex_unlock(&sink->lock) == 0);
}

bool chaos_sink_close(struct chaos_sink *sink)
{
    flush(sink);
    bool is_closed = close(sink->fd) == 0;
    return is_closed && !sink->has_failed;
}
