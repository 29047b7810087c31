/* report.c: see report.h. */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>

bool report_verbose;

static void report_line(const char *format, va_list arguments)
    __attribute__((format(printf, 1, 0)));

static void report_line(const char *format, va_list arguments)
{
    char line[1024];
    if (vsnprintf(line, sizeof line, format, arguments) < 0)
        return;
    for (char *byte = line; *byte; byte++)
        if (*byte < ' ' || *byte > '~')
            *byte = '?';
    fprintf(stderr, "metadata: %s\n", line);
}

void report(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report_line(format, arguments);
    va_end(arguments);
}

void report_detail(const char *format, ...)
{
    if (!report_verbose)
        return;
    va_list arguments;
    va_start(arguments, format);
    report_line(format, arguments);
    va_end(arguments);
}
