/* control.h: the socket at which PID 1 hears requests (base/request.h). */
#ifndef COMPOS_CONTROL_H
#define COMPOS_CONTROL_H

/* Listens; only root is heard. */
void control_start(void);

#endif
