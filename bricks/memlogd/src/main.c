/*
 * main.c: one program with three names: memlogd keeps the last lines of all logs in memory, logread
 * prints them, logwrite runs a command whose output goes there.
 */
#include "daemon.h"
#include "logread.h"
#include "wrapper.h"

#include <string.h>

int main(int argument_count, char *arguments[])
{
    const char *slash = strrchr(arguments[0], '/');
    const char *name = slash ? slash + 1 : arguments[0];
    if (strcmp(name, "logread") == 0)
        return logread_main(argument_count, arguments);
    if (strcmp(name, "logwrite") == 0)
        return wrapper_main(argument_count, arguments);
    return daemon_main(argument_count, arguments);
}
