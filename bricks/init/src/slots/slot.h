/* slot.h: the command `slot`: what RAUC calls as its custom boot loader backend, and people. */
#ifndef COMPOS_SLOT_H
#define COMPOS_SLOT_H

/* slot get-primary | set-primary | get-state | set-state | get-current | status: exit status. */
int slot_command(int count, char *const arguments[]);

#endif
