/* report.h: what a disk brick reports to its log. */
#ifndef COMPOS_DISK_REPORT_H
#define COMPOS_DISK_REPORT_H

/* One line on standard error: the program's name, a colon, and the text. */
void report(const char *program, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
