/* control.h: the socket on which `svc` asks PID 1 to start, stop and restart services. */
#ifndef COMPOS_CONTROL_H
#define COMPOS_CONTROL_H

#define CONTROL_SOCKET "/run/compos/control"

enum { CONTROL_MESSAGE = 512 };

/* Listens; only root is heard. */
void control_start(void);

#endif
