/* jitter LOW HIGH: holds every packet of netfilter queue 0 back for LOW to HIGH ms, each for a time
 * of its own, so that they also change order. Runs until it is ended; what it still holds is then
 * lost with the queue. For kernels without netem. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include <arpa/inet.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>

#define HELD_MAX 8192

struct held {
    uint32_t id;
    uint64_t due_ms;
};

struct jitter {
    struct nfq_q_handle *queue;
    uint64_t low_ms, spread_ms;
    struct held held[HELD_MAX];
    size_t n;
    uint64_t random;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void let_go(struct jitter *j, uint32_t id)
{
    (void)nfq_set_verdict(j->queue, id, NF_ACCEPT, 0, NULL);
}

static int take(
    struct nfq_q_handle *queue, struct nfgenmsg *message, struct nfq_data *packet, void *context)
{
    (void)queue;
    (void)message;
    struct jitter *j = context;
    struct nfqnl_msg_packet_hdr *head = nfq_get_msg_packet_hdr(packet);
    if (head == NULL) {
        return 0;
    }
    if (j->n == HELD_MAX) {
        let_go(j, ntohl(head->packet_id));
        return 0;
    }
    j->random = j->random * 6364136223846793005u + 1442695040888963407u;
    j->held[j->n++] = (struct held){.id = ntohl(head->packet_id),
        .due_ms = now_ms() + j->low_ms + (j->random >> 33) % (j->spread_ms + 1)};
    return 0;
}

/* Lets go what is due and returns how long the next one may wait. */
static int release_due(struct jitter *j)
{
    uint64_t now = now_ms(), wait_ms = 1000;
    for (size_t i = 0; i < j->n;) {
        if (j->held[i].due_ms <= now) {
            let_go(j, j->held[i].id);
            j->held[i] = j->held[--j->n];
            continue;
        }
        uint64_t left_ms = j->held[i].due_ms - now;
        wait_ms = left_ms < wait_ms ? left_ms : wait_ms;
        i++;
    }
    return (int)wait_ms;
}

static void run(struct jitter *j, struct nfq_handle *handle)
{
    static char buffer[65536] __attribute__((aligned(8)));
    struct pollfd poller = {.fd = nfq_fd(handle), .events = POLLIN};
    for (;;) {
        (void)poll(&poller, 1, release_due(j));
        ssize_t got;
        while ((got = recv(poller.fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
            (void)nfq_handle_packet(handle, buffer, (int)got);
        }
        if (got < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
            perror("jitter");
            return;
        }
    }
}

int main(int argc, char **argv)
{
    static struct jitter j;
    uint64_t high_ms = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    j.low_ms = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;
    if (high_ms < j.low_ms || high_ms == 0) {
        fprintf(stderr, "usage: jitter LOW-MS HIGH-MS\n");
        return 2;
    }
    j.spread_ms = high_ms - j.low_ms;
    j.random = now_ms();
    struct nfq_handle *handle = nfq_open();
    j.queue = handle != NULL ? nfq_create_queue(handle, 0, take, &j) : NULL;
    if (j.queue == NULL || nfq_set_mode(j.queue, NFQNL_COPY_META, 0) < 0) {
        perror("jitter: no queue");
        return 1;
    }
    (void)nfq_set_queue_maxlen(j.queue, HELD_MAX);
    run(&j, handle);
    return 1;
}
