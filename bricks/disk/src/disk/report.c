/* report.c: see report.h. */
#include "disk/report.h"

#include <stdarg.h>
#include <stdio.h>

void report(const char *program, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}
