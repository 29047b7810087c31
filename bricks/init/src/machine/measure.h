/*
 * measure.h: how far a boot has come, in the TPM's PCR 11, by systemd's names of the phases. A
 * secret that is bound to an early phase can no longer be read in a later one.
 */
#ifndef COMPOS_MEASURE_H
#define COMPOS_MEASURE_H

/* Extends PCR 11 of every active bank with the phase. Machines without a TPM do nothing. */
void measure_phase(const char *phase);

/* The boot is still in the initrd: measure_leave_initrd extends the phase, once. */
void measure_stay_in_initrd(void);
void measure_leave_initrd(void);

#endif
