/* vmware.h: metadata that a VMware host holds for its guest: guestinfo. */
#ifndef COMPOS_VMWARE_H
#define COMPOS_VMWARE_H

#include "provider.h"

bool vmware_find(const struct search *search, struct result *result);

#endif
