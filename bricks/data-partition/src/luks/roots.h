/*
 * roots.h: the command by which the small initrd opens the roots of a machine's slots, before it
 * looks for the one that it is of.
 */
#ifndef COMPOS_ROOTS_H
#define COMPOS_ROOTS_H

#define ROOTS_COMMAND "open-roots"

/*
 * Arguments: [-ask] [-move] NAME DEVICE [NAME DEVICE]: what of them is LUKS2 becomes
 * /dev/mapper/NAME. The first one is that of the slot that was started; the other one is opened by
 * what opens that, so that nobody gets the next version who has put another volume there. With
 * -ask, the recovery key is asked for where the TPM does not help; with -move, what is sealed to a
 * previous key of the system's is sealed to the present one. The exit status is 0 when the first is
 * open, or not encrypted.
 */
int roots_command(int count, char *arguments[]);

#endif
