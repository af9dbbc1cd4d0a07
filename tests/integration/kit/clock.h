/* clock.h: time and waiting, for programs of the kit that are no tests. */
#ifndef PC_IT_CLOCK_H
#define PC_IT_CLOCK_H

#include <stdint.h>

/* Milliseconds of the monotonic clock. */
uint64_t it_now_ms(void);
/* One pause of a wait for a condition. */
void it_pause(void);

#endif
