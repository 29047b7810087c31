/*
 * slot.h: key slots of a LUKS2 volume: the volume's key under a passphrase. Of cryptsetup's ways
 * the one for passphrases that are random: PBKDF2, SHA-256, AES-256 in XTS mode.
 */
#ifndef COMPOS_SLOT_H
#define COMPOS_SLOT_H

#include "luks/header.h"
#include "luks/xts.h"

enum { SLOT_DATA = 1 << 20, SLOT_COUNT = 3, SLOT_TEXT = 1024 };

/* The volume's key, if the passphrase opens this slot. It is to be wiped. */
int slot_open(int device, uint64_t start, const struct header *header, const struct json *slot,
              const char *passphrase, unsigned char key[XTS_KEY], struct failure *failure);

/*
 * Writes what is on the disk of a slot, 0 to SLOT_COUNT - 1, of a volume whose data begin at
 * SLOT_DATA, and gives its member of the JSON.
 */
int slot_make(int device, uint64_t start, int number, const char *passphrase,
              const unsigned char key[XTS_KEY], char text[SLOT_TEXT], struct failure *failure);

/* Overwrites what a slot has on the disk. */
void slot_forget(int device, uint64_t start, const struct header *header, const struct json *slot);

/* The member of the JSON by which the key is recognised; `slots` as in "\"0\",\"1\"". */
int slot_digest(const unsigned char key[XTS_KEY], const char *slots, char text[SLOT_TEXT],
                struct failure *failure);

#endif
