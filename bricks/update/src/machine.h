/* machine.h: what tells this machine from others, for as long as it exists. */
#ifndef COMPOS_MACHINE_H
#define COMPOS_MACHINE_H

#include <stddef.h>

/*
 * The UUID that firmware gives it, else the serial number of the board, else the address of the
 * first of its network cards by name; empty if it has none of them.
 */
void machine_name(char *name, size_t size);

#endif
