/*
 * backdoor.h: VMware's channel from a guest to its host: an input instruction on a port that the
 * host watches, whose registers it reads and writes. There is one on x86 only.
 */
#ifndef COMPOS_BACKDOOR_H
#define COMPOS_BACKDOOR_H

#include <stdbool.h>
#include <stdint.h>

enum { BACKDOOR_VERSION = 10, BACKDOOR_MESSAGE = 30 };

struct backdoor {
    uint32_t ebx;
    uint32_t ecx; /* the command in its lower half */
    uint32_t edx; /* the lower half is the port */
    uint32_t esi;
    uint32_t edi;
};

/* Whether VMware has answered: elsewhere the instruction is not permitted, which does no harm. */
bool backdoor_call(struct backdoor *registers);

/* Whether this is a machine of VMware. */
bool backdoor_is_there(void);

#endif
