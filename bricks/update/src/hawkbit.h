/*
 * hawkbit.h: updates that a hawkBit server orders. An order is kept on the data partition until the
 * server has heard how it ended: that a version is good is said when it has started and is good.
 */
#ifndef COMPOS_HAWKBIT_H
#define COMPOS_HAWKBIT_H

#include "base/failure.h"
#include "terms.h"

/* The source's name. */
#define HAWKBIT_WORD "hawkbit"

/* Installs what it is given: as source_install. */
typedef int hawkbit_installer(const char *url, const char *header, struct failure *reason);

/*
 * Tells the server how the last order has ended, and does what it asks for. 0 if something was
 * installed, which is tried at the next start; -1 with a message, or where there is nothing to do.
 */
int hawkbit_look(const struct terms *own, hawkbit_installer *install);

/* Seconds after which the server wants to be asked again, as it said last; 0 if it has not. */
uint32_t hawkbit_sleep(void);

#endif
