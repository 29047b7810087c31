/* refused.h: providers that LinuxKit knows, and that this program cannot ask. */
#ifndef COMPOS_REFUSED_H
#define COMPOS_REFUSED_H

#include "provider.h"

/* Never found; if the user asked for it, the reason (`settings`, a string) is reported. */
bool refused_find(const struct search *search, struct result *result);

#endif
