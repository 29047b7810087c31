/*
 * report.h: what the program says: one line on standard error for each thing, whatever bytes a
 * stranger put into it.
 */
#ifndef COMPOS_REPORT_H
#define COMPOS_REPORT_H

#include <stdbool.h>

/* Whether `report_detail` prints anything (-v). */
extern bool report_verbose;

/* "metadata: ...": bytes outside printable ASCII become question marks. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* As `report`, if the user asked for details. */
void report_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
