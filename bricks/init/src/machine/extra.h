/*
 * extra.h: what the UEFI stub lays into the initrd, below /.extra: signed PCR policies and the key
 * that signed them. Programs that unseal secrets look for them in /run/systemd.
 */
#ifndef COMPOS_EXTRA_H
#define COMPOS_EXTRA_H

/* Reads what the stub has laid there, or what `extra_provide` has left in `run` before. */
void extra_take(const char *run);

/* Writes what was read to `run`/systemd. */
void extra_provide(const char *run);

#endif
