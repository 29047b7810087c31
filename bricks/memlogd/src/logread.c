/* logread.c: see logread.h. */
#include "logread.h"

#include "protocol/options.h"
#include "protocol/protocol.h"

#include <stdio.h>

/* "time;source;message", with a backslash before semicolons of the source. */
static int logread_print(const struct log_line *line, void *context, struct failure *failure)
{
    (void)context;
    printf("%s;", line->time);
    for (const char *byte = line->source; *byte; byte++) {
        if (*byte == ';')
            putchar('\\');
        putchar(*byte);
    }
    putchar(';');
    fwrite(line->message, 1, line->message_length, stdout);
    putchar('\n');
    return fflush(stdout) < 0 ? failed_errno(failure, "writing") : 0;
}

int logread_main(int argument_count, char *arguments[])
{
    struct failure failure;
    const char *path = QUERY_SOCKET;
    bool follow = false, dump_and_follow = false;
    const struct option options[] = {
        {.name = "f", .flag = &follow},
        {.name = "F", .flag = &dump_and_follow},
        {.name = "socket", .text = &path},
    };
    options_read(argument_count, arguments, options, sizeof options / sizeof *options);
    enum query query = dump_and_follow ? QUERY_DUMP_AND_FOLLOW : follow ? QUERY_FOLLOW : QUERY_DUMP;
    if (protocol_query(path, query, logread_print, NULL, &failure) == 0)
        return 0;
    fprintf(stderr, "logread: %s\n", failure.text);
    return 1;
}
