/*
 * memory.h: the next version of a system without slots. RAUC writes its boot partition into a block
 * device that is memory, as into a slot; then the kernel takes what is in it for the next restart
 * (kexec_file_load(2)), with which init goes on in place of firmware. No disk is written: a machine
 * that is switched off starts what its medium or its server has.
 */
#ifndef COMPOS_MEMORY_H
#define COMPOS_MEMORY_H

/* The program for slots of such a system, with the commands of init's `slot`. */
#define MEMORY_PROGRAM "/usr/bin/update-kexec"

/*
 * The device for the next version, at the path that RAUC's configuration has. A descriptor, as long
 * as which is open it exists; or -1 with a message on standard error.
 */
int memory_open(void);

/*
 * Before RAUC writes: the device is no larger than the bundle's boot partition, mounted in
 * `folder`, for RAUC first reads all of it (block-hash-index). -1 with a message.
 */
int memory_fit(const char *folder);

/* Carries out a command of MEMORY_PROGRAM: its exit status. */
int memory_slot(int count, char *const arguments[]);

#endif
