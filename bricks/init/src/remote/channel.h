/*
 * channel.h: commands of the host's. Where the kernel's command line has `compos.exec`, each
 * virtio-serial port called org.compos.exec.N serves one command at a time, in processes of their
 * own. Without that word nothing listens: what the host may do is said by whoever wrote, or signed,
 * the command line.
 *
 * Both sides speak frames: a letter, the length of the payload (four bytes, big-endian), the
 * payload.
 *
 *   host    H  16 bytes: a new client; ends what runs. Answered by the same frame
 *           E  a request, see command.h
 *           I  standard input; empty: its end
 *           W  rows and columns of the terminal, two bytes each
 *           K  the number of a signal, one byte
 *   guest   O, R  standard output, standard error
 *           F  why the command could not be started, or the file not be read
 *           X  0 and the exit status, or 1 and the signal: the end; two bytes
 */
#ifndef COMPOS_CHANNEL_H
#define COMPOS_CHANNEL_H

#include "boot/plan.h"

/* Looks for the word, and starts the process that waits for the ports. */
void channel_start(const struct plan *plan);

/* Serves one client on `port`, which does not block, until that has gone or sends no frames. */
void channel_attend(int port);

#endif
