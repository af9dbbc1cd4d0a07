/* What this build speaks is said in this file alone: a program with the next number is the same
 * objects with another one of this file (Makefile, NEXT).
 *
 *   PC_PROTOCOL_NEXT   speaks    what it stands for
 *          0           1 to 2    this version
 *          1           1 to 3    the next one
 *          2           3         one that has given the older protocols up */
#include "pcache/protocol.h"

#include <stdio.h>

#include "pcache/assert.h"

PC_STATIC_ASSERT(PC_PROTOCOL_NEXT >= 0 && PC_PROTOCOL_NEXT <= 2, "there are three");

struct pc_protocols pc_protocols_spoken(void)
{
    return (struct pc_protocols){
        .min = PC_PROTOCOL_NEXT < 2 ? PC_PROTOCOL_FIRST : PC_PROTOCOL_DISK_SIZE,
        .max = PC_PROTOCOL_NEXT < 1 ? PC_PROTOCOL_MEMBERS : PC_PROTOCOL_DISK_SIZE,
    };
}

uint8_t pc_protocols_common(struct pc_protocols a, struct pc_protocols b)
{
    uint8_t max = a.max < b.max ? a.max : b.max;
    return max >= a.min && max >= b.min ? max : 0;
}

void pc_protocols_format(struct pc_protocols range, char out[16])
{
    if (range.min == range.max) {
        (void)snprintf(out, 16, "%u", range.max);
    } else {
        (void)snprintf(out, 16, "%u to %u", range.min, range.max);
    }
}

pc_err pc_protocols_refuse(const char *peer, struct pc_protocols theirs, const char *self,
    struct pc_protocols ours, struct pc_error *error)
{
    char their_text[16], our_text[16];
    pc_protocols_format(theirs, their_text);
    pc_protocols_format(ours, our_text);
    return pc_error_set(error, PC_E_VERSION, "%s speaks protocol %s, %s %s: upgrade %s first", peer,
        their_text, self, our_text, theirs.max < ours.max ? peer : self);
}
