/* xts.h: AES-256 in the XTS mode, as dm-crypt does it with IVs of the kind plain64. */
#ifndef COMPOS_XTS_H
#define COMPOS_XTS_H

#include <stddef.h>

enum { XTS_KEY = 64, XTS_SECTOR = 512 };

/* In place: `count` sectors, which are numbered from 0. */
void xts_encrypt(const unsigned char key[XTS_KEY], unsigned char *bytes, size_t count);
void xts_decrypt(const unsigned char key[XTS_KEY], unsigned char *bytes, size_t count);

#endif
