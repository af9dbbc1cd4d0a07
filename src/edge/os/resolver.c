/* Names to addresses on one thread, because getaddrinfo blocks and the engine must not.
 *
 *   engine                      thread
 *   ask ---> waiting (FIFO) ---> getaddrinfo
 *   done <-- event <-- finished <---'
 *
 * Numeric addresses go straight to `finished`, so a caller sees one way of answering only: from the
 * event loop, never from inside pc_resolver_ask. getaddrinfo cannot be interrupted: closing while
 * it runs leaves the thread to end by itself, and whoever is last frees the shared part. */
#define _GNU_SOURCE
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "os_int.h"
#include "pcache/assert.h"
#include "pcache/limits.h"

struct question {
    TAILQ_ENTRY(question) link;
    uint64_t ticket;
    pc_resolver_done *done; /* NULL = cancelled */
    void *context;
    char address[PC_ADDRESS_BYTES_MAX + 1];
    struct pc_addr addrs[PC_RESOLVER_ADDRS_MAX];
    size_t addrs_n;
    char error[128];
};
TAILQ_HEAD(question_list, question);

/* What the thread touches, under the mutex. */
struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t wanted;
    struct question_list waiting;
    struct question_list finished;
    struct question *running;
    int wake_fd; /* -1 when the owner is gone */
    bool stop;
};

struct pc_resolver {
    struct shared *shared;
    struct event *wake_event;
    struct question_list delivering; /* taken from `finished`, being answered one by one */
    pthread_t thread;
    uint64_t tickets;
    size_t outstanding; /* asked, not yet answered, dropped, or collected after a cancel */
};

static void list_free(struct question_list *list)
{
    struct question *q;
    while ((q = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, q, link);
        free(q);
    }
}

static void shared_delete(struct shared *shared)
{
    list_free(&shared->waiting);
    list_free(&shared->finished);
    pthread_cond_destroy(&shared->wanted);
    pthread_mutex_destroy(&shared->mutex);
    free(shared);
}

static void question_add_addr(struct question *q, const struct sockaddr *sockaddr)
{
    struct pc_addr addr;
    pc_os_addr_of(sockaddr, &addr);
    for (size_t i = 0; i < q->addrs_n; i++) {
        if (pc_addr_equal(&q->addrs[i], &addr)) {
            return;
        }
    }
    if (q->addrs_n < PC_RESOLVER_ADDRS_MAX && !pc_addr_is_none(&addr)) {
        q->addrs[q->addrs_n++] = addr;
    }
}

static void question_answer(struct question *q, int flags)
{
    char host[PC_ADDRESS_BYTES_MAX + 1];
    uint16_t port;
    if (pc_os_split_address(q->address, host, sizeof host, &port) != PC_OK) {
        (void)snprintf(q->error, sizeof q->error, "not host:port");
        return;
    }
    char service[8];
    (void)snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, service, &hints, &found);
    if (rc != 0) {
        (void)snprintf(q->error, sizeof q->error, "%s", gai_strerror(rc));
        return;
    }
    for (const struct addrinfo *info = found; info != NULL; info = info->ai_next) {
        question_add_addr(q, info->ai_addr);
    }
    freeaddrinfo(found);
}

static void shared_signal(const struct shared *shared)
{
    uint64_t one = 1;
    ssize_t wrote = write(shared->wake_fd, &one, sizeof one);
    PC_ASSERT(wrote == sizeof one);
}

static void *resolver_run(void *arg)
{
    struct shared *shared = arg;
    pthread_mutex_lock(&shared->mutex);
    while (!shared->stop) {
        struct question *q = TAILQ_FIRST(&shared->waiting);
        if (q == NULL) {
            pthread_cond_wait(&shared->wanted, &shared->mutex);
            continue;
        }
        TAILQ_REMOVE(&shared->waiting, q, link);
        shared->running = q;
        pthread_mutex_unlock(&shared->mutex);
        question_answer(q, AI_ADDRCONFIG);
        pthread_mutex_lock(&shared->mutex);
        shared->running = NULL;
        TAILQ_INSERT_TAIL(&shared->finished, q, link);
        if (!shared->stop) {
            shared_signal(shared);
        }
    }
    bool last = shared->wake_fd < 0;
    pthread_mutex_unlock(&shared->mutex);
    if (last) {
        shared_delete(shared);
    }
    return NULL;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct pc_resolver *resolver = arg;
    struct shared *shared = resolver->shared;
    uint64_t count;
    (void)!read(fd, &count, sizeof count);

    pthread_mutex_lock(&shared->mutex);
    TAILQ_CONCAT(&resolver->delivering, &shared->finished, link);
    pthread_mutex_unlock(&shared->mutex);

    struct question *q;
    while ((q = TAILQ_FIRST(&resolver->delivering)) != NULL) {
        TAILQ_REMOVE(&resolver->delivering, q, link);
        PC_ASSERT(resolver->outstanding > 0);
        resolver->outstanding--;
        if (q->done != NULL) {
            const char *error = q->addrs_n == 0 ? q->error : NULL;
            q->done(q->context, q->addrs, q->addrs_n, error);
        }
        free(q);
    }
}

/* Signals are the business of the engine thread. */
static int thread_start(struct pc_resolver *resolver)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = pthread_create(&resolver->thread, NULL, resolver_run, resolver->shared);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static struct shared *shared_new(int wake_fd)
{
    struct shared *shared = pc_xalloc(sizeof *shared);
    pthread_mutex_init(&shared->mutex, NULL);
    pthread_cond_init(&shared->wanted, NULL);
    TAILQ_INIT(&shared->waiting);
    TAILQ_INIT(&shared->finished);
    shared->wake_fd = wake_fd;
    return shared;
}

pc_err pc_resolver_open(struct event_base *base, struct pc_resolver **out, struct pc_error *error)
{
    int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake_fd < 0) {
        return pc_error_set(error, PC_E_IO, "resolver: eventfd: %s", strerror(errno));
    }
    struct pc_resolver *resolver = pc_xalloc(sizeof *resolver);
    TAILQ_INIT(&resolver->delivering);
    resolver->shared = shared_new(wake_fd);
    int rc = thread_start(resolver);
    if (rc != 0) {
        close(wake_fd);
        shared_delete(resolver->shared);
        free(resolver);
        return pc_error_set(error, PC_E_IO, "resolver: thread: %s", strerror(rc));
    }
    resolver->wake_event = event_new(base, wake_fd, EV_READ | EV_PERSIST, on_wake, resolver);
    PC_ASSERT(resolver->wake_event != NULL);
    event_add(resolver->wake_event, NULL);
    *out = resolver;
    return PC_OK;
}

void pc_resolver_close(struct pc_resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }
    struct shared *shared = resolver->shared;
    event_free(resolver->wake_event);
    list_free(&resolver->delivering);
    pthread_mutex_lock(&shared->mutex);
    bool busy = shared->running != NULL;
    close(shared->wake_fd);
    shared->stop = true;
    shared->wake_fd = busy ? -1 : shared->wake_fd;
    pthread_cond_signal(&shared->wanted);
    pthread_mutex_unlock(&shared->mutex);
    if (busy) {
        pthread_detach(resolver->thread);
    } else {
        pthread_join(resolver->thread, NULL);
        shared_delete(shared);
    }
    free(resolver);
}

uint64_t pc_resolver_ask(
    struct pc_resolver *resolver, const char *address, pc_resolver_done *done, void *context)
{
    PC_ASSERT(done != NULL);
    if (resolver->outstanding >= PC_RESOLVER_QUEUE_MAX) {
        return 0;
    }
    struct question *q = pc_xalloc(sizeof *q);
    q->ticket = ++resolver->tickets;
    q->done = done;
    q->context = context;
    (void)snprintf(q->address, sizeof q->address, "%s", address);
    question_answer(q, AI_NUMERICHOST);
    resolver->outstanding++;

    struct shared *shared = resolver->shared;
    bool numeric = q->addrs_n > 0 || strlen(address) > PC_ADDRESS_BYTES_MAX;
    uint64_t ticket = q->ticket;
    pthread_mutex_lock(&shared->mutex);
    if (numeric) {
        TAILQ_INSERT_TAIL(&shared->finished, q, link);
        shared_signal(shared);
    } else {
        TAILQ_INSERT_TAIL(&shared->waiting, q, link);
        pthread_cond_signal(&shared->wanted);
    }
    pthread_mutex_unlock(&shared->mutex);
    return ticket;
}

static struct question *list_find(struct question_list *list, uint64_t ticket)
{
    struct question *q;
    TAILQ_FOREACH(q, list, link)
    {
        if (q->ticket == ticket) {
            return q;
        }
    }
    return NULL;
}

/* A question that the thread has not begun is dropped: behind a name server that does not answer,
 * questions that nobody waits for any more would hold up the others and fill the queue. */
void pc_resolver_cancel(struct pc_resolver *resolver, uint64_t ticket)
{
    struct shared *shared = resolver->shared;
    pthread_mutex_lock(&shared->mutex);
    struct question *waiting = list_find(&shared->waiting, ticket);
    if (waiting != NULL) {
        TAILQ_REMOVE(&shared->waiting, waiting, link);
    }
    struct question *q = shared->running;
    if (q == NULL || q->ticket != ticket) {
        q = list_find(&shared->finished, ticket);
    }
    if (q == NULL) {
        q = list_find(&resolver->delivering, ticket);
    }
    if (q != NULL) {
        q->done = NULL;
    }
    pthread_mutex_unlock(&shared->mutex);
    if (waiting != NULL) {
        PC_ASSERT(resolver->outstanding > 0);
        resolver->outstanding--;
        free(waiting);
    }
}
