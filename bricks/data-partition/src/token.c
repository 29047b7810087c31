/*
 * token.c: see token.h.
 *
 * Source: cryptsetup, docs/on-disk-format-luks2.pdf, 3.6 (tokens).
 */
#include "token.h"

#include "base/files.h"
#include "disk/tool.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "/run/data-partition.token"

enum { MAX_TOKEN = 16 << 10, TOOL_SECONDS = 60 };

int token_write(const char *node, const char *id, const char *text, struct failure *failure)
{
    const char *const arguments[] = {
        "cryptsetup",      "token",       "import",  "--token-id", id,
        "--token-replace", "--json-file", FILE_NAME, node,         NULL};
    FILE *file = fopen(FILE_NAME, "we");
    if (!file)
        return failed_errno(failure, FILE_NAME);
    fputs(text, file);
    int status = fclose(file) == 0 ? 0 : failed_errno(failure, FILE_NAME);
    if (status == 0)
        status = tool_run(arguments, -1, TOOL_SECONDS, false, failure);
    unlink(FILE_NAME);
    return status;
}

char *token_read(const char *node, const char *id)
{
    struct failure failure;
    size_t length = 0;
    const char *const arguments[] = {"cryptsetup",  "token",   "export", "--token-id", id,
                                     "--json-file", FILE_NAME, node,     NULL};
    unlink(FILE_NAME);
    char *token = tool_run(arguments, -1, TOOL_SECONDS, false, &failure) == 0
                      ? file_read(FILE_NAME, MAX_TOKEN, &length)
                      : NULL;
    unlink(FILE_NAME);
    return token;
}
