/* faultfs: a preload library that has the disk and the wall clock of one process fail on order.
 *
 *   LD_PRELOAD=faultfs.so FAULTFS_DIR=/data FAULTFS_CONTROL=/run/orders pcached ...
 *
 * Only files that the process opens by a path below FAULTFS_DIR are concerned. The orders are words
 * in the control file, which is to be replaced by rename; a new file is a new set of orders:
 *
 *   sync=eio      the next sync of a file or directory fails, once
 *   sync=lie      syncs succeed and do nothing
 *   sync_ms=N     every sync takes that much longer
 *   write=eio     the next write fails, once
 *   write=short   a write takes half of what it was given
 *   space=N       after files have grown by N more bytes the disk is full; what lies within a file
 *                 has its space already
 *   clock_ms=N    the wall clock is N ms ahead (behind when negative); no file is concerned
 *
 * Whoever gave an order can see that it had effect: the first effect of each, in each set, is a
 * line in FAULTFS_CONTROL.done. Calls that glibc makes for itself (stdio) do not come through here.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 65536
#define ORDERS_BYTES_MAX 512

enum order { SYNC_EIO, SYNC_LIE, SYNC_SLOW, WRITE_EIO, WRITE_SHORT, SPACE, CLOCK, ORDERS_N };
static const char *const order_names[ORDERS_N] = {
    "sync=eio", "sync=lie", "sync_ms", "write=eio", "write=short", "space", "clock_ms"};

static struct {
    pthread_mutex_t lock;
    ino_t inode; /* of the orders in force */
    struct timespec changed;
    bool given[ORDERS_N], noted[ORDERS_N];
    int64_t sync_ms, space, clock_ms;
} orders = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_bool is_ours[FILES_MAX];

/* ---- the real calls */
static struct {
    int (*open)(const char *, int, ...);
    int (*close)(int);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    ssize_t (*pwritev)(int, const struct iovec *, int, off_t);
    int (*fsync)(int);
    int (*fdatasync)(int);
    int (*rename)(const char *, const char *);
    int (*ftruncate)(int, off_t);
    int (*fallocate)(int, int, off_t, off_t);
    int (*posix_fallocate)(int, off_t, off_t);
    int (*clock_gettime)(clockid_t, struct timespec *);
} real;

static atomic_bool is_found;
#define FIND(name) (*(void **)&real.name = dlsym(RTLD_NEXT, #name))

/* Called at the top of every call that stands in here: an allocator opens files before the
 * constructors of this library run. Twice, or by two threads, does no harm. */
__attribute__((constructor)) static void find_real(void)
{
    if (atomic_load(&is_found)) {
        return;
    }
    FIND(open);
    FIND(close);
    FIND(write);
    FIND(pwrite);
    FIND(pwritev);
    FIND(fsync);
    FIND(fdatasync);
    FIND(rename);
    FIND(ftruncate);
    FIND(fallocate);
    FIND(posix_fallocate);
    FIND(clock_gettime);
    atomic_store(&is_found, true);
}

/* ---- orders */
static int64_t value_of(const char *text, const char *name, bool *given)
{
    const char *at = strstr(text, name);
    *given = at != NULL && at[strlen(name)] == '=';
    return *given ? strtoll(at + strlen(name) + 1, NULL, 10) : 0;
}

static void orders_parse(const char *text)
{
    for (int i = 0; i < ORDERS_N; i++) {
        orders.given[i] = strstr(text, order_names[i]) != NULL;
        orders.noted[i] = false;
    }
    orders.sync_ms = value_of(text, order_names[SYNC_SLOW], &orders.given[SYNC_SLOW]);
    orders.space = value_of(text, order_names[SPACE], &orders.given[SPACE]);
    orders.clock_ms = value_of(text, order_names[CLOCK], &orders.given[CLOCK]);
}

/* Takes the lock, with the newest orders in force. */
static void orders_lock(void)
{
    const char *path = getenv("FAULTFS_CONTROL");
    struct stat status;
    pthread_mutex_lock(&orders.lock);
    if (path == NULL || stat(path, &status) != 0 ||
        (status.st_ino == orders.inode && status.st_mtim.tv_sec == orders.changed.tv_sec &&
            status.st_mtim.tv_nsec == orders.changed.tv_nsec)) {
        return;
    }
    char text[ORDERS_BYTES_MAX + 1] = {0};
    int fd = real.open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, text, ORDERS_BYTES_MAX) >= 0) {
            orders_parse(text);
            orders.inode = status.st_ino;
            orders.changed = status.st_mtim;
        }
        (void)real.close(fd);
    }
}

static void orders_unlock(void)
{
    pthread_mutex_unlock(&orders.lock);
}

/* Under the lock. */
static void note(enum order order, const char *call)
{
    char path[512], line[96];
    if (orders.noted[order]) {
        return;
    }
    orders.noted[order] = true;
    (void)snprintf(path, sizeof path, "%s.done", getenv("FAULTFS_CONTROL"));
    int used = snprintf(line, sizeof line, "%s %s\n", order_names[order], call);
    int fd = real.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)!real.write(fd, line, (size_t)used);
        (void)real.close(fd);
    }
}

/* Is the order given? One that is for once is over with that. */
static bool take(enum order order, const char *call)
{
    if (!orders.given[order]) {
        return false;
    }
    note(order, call);
    if (order == SYNC_EIO || order == WRITE_EIO) {
        orders.given[order] = false;
    }
    return true;
}

/* ---- files */
static bool path_is_ours(const char *path)
{
    const char *dir = getenv("FAULTFS_DIR");
    size_t len = dir != NULL ? strlen(dir) : 0;
    return len > 0 && strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool file_is_ours(int fd)
{
    return fd >= 0 && fd < FILES_MAX && atomic_load(&is_ours[fd]);
}

static int open_path(const char *path, int flags, mode_t mode)
{
    find_real();
    bool ours = path_is_ours(path);
    if (ours && (flags & O_CREAT) != 0) {
        orders_lock();
        bool full = orders.given[SPACE] && orders.space <= 0 && access(path, F_OK) != 0;
        if (full) {
            note(SPACE, "open");
        }
        orders_unlock();
        if (full) {
            errno = ENOSPC;
            return -1;
        }
    }
    int fd = real.open(path, flags, mode);
    if (fd >= 0 && fd < FILES_MAX) {
        atomic_store(&is_ours[fd], ours);
    }
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    return open_path(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    return open_path(path, flags, mode);
}

int close(int fd)
{
    find_real();
    if (fd >= 0 && fd < FILES_MAX) {
        atomic_store(&is_ours[fd], false);
    }
    return real.close(fd);
}

/* Under the lock: how many bytes at `offset` there is space for. */
static size_t space_for(int fd, size_t len, off_t offset, const char *call)
{
    struct stat status;
    off_t end = offset + (off_t)len;
    if (!orders.given[SPACE] || fstat(fd, &status) != 0 || end <= status.st_size) {
        return len;
    }
    size_t within = offset < status.st_size ? (size_t)(status.st_size - offset) : 0;
    size_t grows = len - within;
    if (orders.space < (int64_t)grows) {
        note(SPACE, call);
        grows = orders.space > 0 ? (size_t)orders.space : 0;
    }
    orders.space -= (int64_t)grows;
    return within + grows;
}

/* How many of `len` bytes a write may take; -1 with errno set when none. */
static ssize_t allowed(int fd, size_t len, off_t offset, const char *call)
{
    if (!file_is_ours(fd) || len == 0) {
        return (ssize_t)len;
    }
    size_t left = len;
    int error = 0;
    orders_lock();
    if (take(WRITE_EIO, call)) {
        error = EIO;
    }
    if (error == 0 && len > 1 && take(WRITE_SHORT, call)) {
        left = len / 2;
    }
    if (error == 0) {
        left = space_for(fd, left, offset, call);
        error = left == 0 ? ENOSPC : 0;
    }
    orders_unlock();
    if (error != 0) {
        errno = error;
        return -1;
    }
    return (ssize_t)left;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    find_real();
    /* Whoever writes without an offset appends. */
    struct stat status;
    off_t end = file_is_ours(fd) && fstat(fd, &status) == 0 ? status.st_size : 0;
    ssize_t n = allowed(fd, len, end, "write");
    return n < 0 ? -1 : real.write(fd, bytes, (size_t)n);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    find_real();
    ssize_t n = allowed(fd, len, offset, "pwrite");
    return n < 0 ? -1 : real.pwrite(fd, bytes, (size_t)n, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
    return pwrite(fd, bytes, len, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    find_real();
    if (!file_is_ours(fd) || count <= 0) {
        return real.pwritev(fd, parts, count, offset);
    }
    /* The first part alone is an answer that pwritev may give. */
    return pwrite(fd, parts[0].iov_base, parts[0].iov_len, offset);
}

/* Whether to go on to the real sync: 1 yes, 0 claim success, -1 fail. */
static int sync_allowed(int fd, const char *call)
{
    if (!file_is_ours(fd)) {
        return 1;
    }
    orders_lock();
    int64_t ms = take(SYNC_SLOW, call) ? orders.sync_ms : 0;
    int verdict = take(SYNC_EIO, call) ? -1 : take(SYNC_LIE, call) ? 0 : 1;
    orders_unlock();
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
    errno = EIO;
    return verdict;
}

int fsync(int fd)
{
    find_real();
    int verdict = sync_allowed(fd, "fsync");
    return verdict > 0 ? real.fsync(fd) : verdict;
}

int fdatasync(int fd)
{
    find_real();
    int verdict = sync_allowed(fd, "fdatasync");
    return verdict > 0 ? real.fdatasync(fd) : verdict;
}

/* ---- what takes space without bytes */
static bool is_full(const char *call)
{
    orders_lock();
    bool full = orders.given[SPACE] && orders.space <= 0;
    if (full) {
        note(SPACE, call);
    }
    orders_unlock();
    return full;
}

static int no_space(void)
{
    errno = ENOSPC;
    return -1;
}

int rename(const char *from, const char *to)
{
    find_real();
    return path_is_ours(to) && is_full("rename") ? no_space() : real.rename(from, to);
}

int ftruncate(int fd, off_t len)
{
    find_real();
    struct stat status;
    bool grows = file_is_ours(fd) && fstat(fd, &status) == 0 && len > status.st_size;
    return grows && is_full("ftruncate") ? no_space() : real.ftruncate(fd, len);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    find_real();
    return file_is_ours(fd) && is_full("fallocate") ? no_space()
                                                    : real.fallocate(fd, mode, offset, len);
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
    find_real();
    return file_is_ours(fd) && is_full("posix_fallocate") ? ENOSPC
                                                          : real.posix_fallocate(fd, offset, len);
}

/* ---- the wall clock */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    find_real();
    int rc = real.clock_gettime(clock, now);
    if (rc != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) {
        return rc;
    }
    orders_lock();
    int64_t ms = take(CLOCK, "clock_gettime") ? orders.clock_ms : 0;
    orders_unlock();
    now->tv_sec += ms / 1000;
    now->tv_nsec += ms % 1000 * 1000000;
    if (now->tv_nsec >= 1000000000) {
        now->tv_nsec -= 1000000000;
        now->tv_sec++;
    } else if (now->tv_nsec < 0) {
        now->tv_nsec += 1000000000;
        now->tv_sec--;
    }
    return 0;
}
