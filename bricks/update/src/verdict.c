/* verdict.c: see verdict.h. */
#include "verdict.h"

#include "base/files.h"
#include "engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define VERDICT_VERSION ENGINE_FOLDER "/verdict-version"
#define VERDICT_REFUSAL ENGINE_FOLDER "/verdict-refusal"

void verdict_clear(void)
{
    unlink(VERDICT_VERSION);
    unlink(VERDICT_REFUSAL);
}

/* Where it cannot be noted, nothing is known, and somebody says less. */
static void verdict_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return;
    fprintf(file, "%s\n", text);
    fclose(file);
}

void verdict_note(const char *version)
{
    verdict_write(VERDICT_VERSION, version);
}

int verdict_refuse(const char *format, ...)
{
    char text[512];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    fprintf(stderr, "update: refused: %s\n", text);
    verdict_write(VERDICT_REFUSAL, text);
    return -1;
}

void verdict_read(struct verdict *verdict)
{
    if (file_line(VERDICT_VERSION, verdict->version, sizeof verdict->version) < 0)
        *verdict->version = '\0';
    if (file_line(VERDICT_REFUSAL, verdict->refusal, sizeof verdict->refusal) < 0)
        *verdict->refusal = '\0';
}
