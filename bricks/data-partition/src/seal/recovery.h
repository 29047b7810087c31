/* recovery.h: recovery keys as systemd makes them: 256 random bits for people to type. */
#ifndef COMPOS_RECOVERY_H
#define COMPOS_RECOVERY_H

#include "base/failure.h"

enum { RECOVERY_BYTES = 32, RECOVERY_GROUP = 4 };
enum { RECOVERY_TEXT = RECOVERY_BYTES * 2 + RECOVERY_BYTES / RECOVERY_GROUP };

/* A new one, in groups with hyphens between them. */
int recovery_make(char text[RECOVERY_TEXT], struct failure *failure);

#endif
