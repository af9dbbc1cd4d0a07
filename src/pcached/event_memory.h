/* event_memory.h: memory for libevent. Private to pcached. */
#ifndef PCACHED_EVENT_MEMORY_H
#define PCACHED_EVENT_MEMORY_H

/* Gives libevent an allocator that keeps what it gets back in lists by size.
 * To be called once, before anything else of libevent. From then on only one thread at a time may
 * use libevent. */
void event_memory_install(void);

#endif
