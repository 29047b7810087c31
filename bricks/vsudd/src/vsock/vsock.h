/* vsock.h: connections between a virtual machine and its host (vsock(7)). */
#ifndef COMPOS_VSOCK_H
#define COMPOS_VSOCK_H

#include "base/failure.h"

/*
 * A socket that listens on the port, for `cid` or, with VMADDR_CID_ANY, any; -1. It does not block.
 */
int vsock_listen(unsigned cid, unsigned port, struct failure *failure);

#endif
