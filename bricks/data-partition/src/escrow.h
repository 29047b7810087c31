/*
 * escrow.h: the recovery key for somebody who is not here: encrypted to a public key, with what
 * tells the machine from others, in a token of the volume's header. Whoever finds it can do nothing
 * with it without the private key.
 */
#ifndef COMPOS_ESCROW_H
#define COMPOS_ESCROW_H

#include "base/failure.h"

/*
 * Puts the recovery key into the header of a volume, encrypted to the public key of a PEM file (RSA
 * of 2048 bits).
 */
int escrow_store(const char *node, const char *key, const char *recovery, struct failure *failure);

/*
 * Puts the envelope, if the header has one, into a file of the folder where the volume is mounted,
 * from where it is sent. What is there already stays.
 */
int escrow_show(const char *node, const char *folder, struct failure *failure);

#endif
