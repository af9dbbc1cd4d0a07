/* os_int.h: what the files of edge/os share. */
#ifndef PCACHE_OS_INT_H
#define PCACHE_OS_INT_H

#include "pcache/os.h"

enum pc_os_protocol { PC_OS_TCP, PC_OS_UDP };

/* Says who holds a local port, as far as /proc tells this user: "pid 4711 (pcached)", else "". */
void pc_os_port_holder(enum pc_os_protocol protocol, uint16_t port, char *out, size_t out_max);

#endif
