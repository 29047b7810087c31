/*
 * namespace.h: namespaces that several containers share: made once, kept by a bound file, joined by
 * path.
 */
#ifndef COMPOS_NAMESPACE_H
#define COMPOS_NAMESPACE_H

#include "base/failure.h"

/* kind (net, ipc or uts), path. A new network namespace has its loopback interface up. */
int namespace_make(const char *const argument[], struct failure *failure);

#endif
