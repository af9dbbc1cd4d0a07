#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "integration/kit/cluster.h"

#define PORT_LOWEST 10240

static bool is_drawn[UINT16_MAX + 1]; /* by this program: not twice, taken or not */

static bool port_can_bind(uint16_t port, int type)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    bool can = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return can;
}

static uint16_t port_highest(void)
{
    unsigned lowest_of_clients = 0;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (file != NULL) {
        (void)fscanf(file, "%u", &lowest_of_clients);
        (void)fclose(file);
    }
    return lowest_of_clients > PORT_LOWEST + 2000 ? (uint16_t)(lowest_of_clients - 1) : 32000;
}

/* A node that is down for a while leaves its ports free, and other tests may run at the same time:
 * PCACHE_PORTS, "I/N", says which N-th part of the ports is for this one. */
static void port_range(uint16_t *first, uint16_t *span)
{
    const char *text = getenv("PCACHE_PORTS");
    unsigned part = 0, parts = 1;
    if (text != NULL) {
        assert_int_equal(sscanf(text, "%u/%u", &part, &parts), 2);
        assert_true(part < parts && parts <= 8);
    }
    *span = (uint16_t)((unsigned)(port_highest() - PORT_LOWEST) / parts);
    *first = (uint16_t)(PORT_LOWEST + part * *span);
}

uint16_t it_port_free(void)
{
    uint16_t first, span;
    port_range(&first, &span);
    for (int i = 0; i < 1000; i++) {
        uint16_t draw = 0;
        assert_int_equal(getrandom(&draw, sizeof draw, 0), sizeof draw);
        uint16_t port = (uint16_t)(first + draw % span);
        if (!is_drawn[port] && port_can_bind(port, SOCK_STREAM) &&
            port_can_bind(port, SOCK_DGRAM)) {
            is_drawn[port] = true;
            return port;
        }
    }
    fail_msg("no free port in 1000 draws");
    return 0;
}
