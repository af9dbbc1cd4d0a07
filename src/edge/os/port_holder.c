/* Who holds a port: the socket's inode from /proc/net, then the process that has it open.
 *
 * For an error text only, so every failure on the way simply gives less of an answer. */
#define _GNU_SOURCE
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os_int.h"

#define PROC_TCP_LISTEN 0x0a

/* The inode of the socket bound to `port` in one of the /proc/net tables, or 0. */
static uint64_t table_find_inode(const char *path, bool listening_only, uint16_t port)
{
    FILE *table = fopen(path, "re");
    if (table == NULL) {
        return 0;
    }
    char row[512];
    uint64_t found = 0;
    while (found == 0 && fgets(row, sizeof row, table) != NULL) {
        unsigned local_port;
        unsigned state;
        uint64_t inode;
        int fields =
            sscanf(row, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*d %*d %" SCNu64,
                &local_port, &state, &inode);
        if (fields == 3 && local_port == port && (!listening_only || state == PROC_TCP_LISTEN)) {
            found = inode;
        }
    }
    (void)fclose(table);
    return found;
}

static bool process_has_socket(const char *pid, const char *wanted)
{
    char path[288];
    (void)snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *fds = opendir(path);
    if (fds == NULL) {
        return false;
    }
    bool found = false;
    for (struct dirent *fd = readdir(fds); fd != NULL && !found; fd = readdir(fds)) {
        char target[64];
        ssize_t len = readlinkat(dirfd(fds), fd->d_name, target, sizeof target - 1);
        if (len > 0) {
            target[len] = '\0';
            found = strcmp(target, wanted) == 0;
        }
    }
    (void)closedir(fds);
    return found;
}

static void process_describe(const char *pid, char *out, size_t out_max)
{
    char path[288];
    char name[64] = "";
    (void)snprintf(path, sizeof path, "/proc/%s/comm", pid);
    FILE *comm = fopen(path, "re");
    if (comm != NULL) {
        if (fgets(name, sizeof name, comm) != NULL) {
            name[strcspn(name, "\n")] = '\0';
        }
        (void)fclose(comm);
    }
    (void)snprintf(out, out_max, "pid %.20s (%s)", pid, name);
}

void pc_os_port_holder(enum pc_os_protocol protocol, uint16_t port, char *out, size_t out_max)
{
    bool tcp = protocol == PC_OS_TCP;
    out[0] = '\0';
    uint64_t inode = table_find_inode(tcp ? "/proc/net/tcp" : "/proc/net/udp", tcp, port);
    if (inode == 0) {
        inode = table_find_inode(tcp ? "/proc/net/tcp6" : "/proc/net/udp6", tcp, port);
    }
    DIR *processes = inode != 0 ? opendir("/proc") : NULL;
    if (processes == NULL) {
        return;
    }
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "socket:[%" PRIu64 "]", inode);
    for (struct dirent *p = readdir(processes); p != NULL; p = readdir(processes)) {
        bool is_pid = p->d_name[0] >= '1' && p->d_name[0] <= '9';
        if (is_pid && process_has_socket(p->d_name, wanted)) {
            process_describe(p->d_name, out, out_max);
            break;
        }
    }
    (void)closedir(processes);
}
