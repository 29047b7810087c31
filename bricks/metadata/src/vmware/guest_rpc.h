/* guest_rpc.h: questions to a VMware host, of which guestinfo is asked. */
#ifndef COMPOS_GUEST_RPC_H
#define COMPOS_GUEST_RPC_H

#include "base/failure.h"

#include <stddef.h>
#include <stdint.h>

struct guest_rpc {
    uint32_t channel;   /* in the upper half of edx */
    uint32_t cookie[2]; /* which the host wants back in esi and edi */
};

int guest_rpc_open(struct guest_rpc *rpc, struct failure *failure);
void guest_rpc_close(const struct guest_rpc *rpc);

/*
 * Asks, and reads the answer, without the "1 " or "0 " in front of it: at most `limit` bytes, a
 * zero byte behind them, to be freed. NULL if there is none such; `failure` is then empty if the
 * host says so, and a reason otherwise.
 */
char *guest_rpc_ask(const struct guest_rpc *rpc, const char *question, size_t limit, size_t *length,
                    struct failure *failure);

#endif
