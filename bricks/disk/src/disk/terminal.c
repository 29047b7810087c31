/* terminal.c: see terminal.h. */
#include "disk/terminal.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define CONSOLE "/dev/console"

void terminal_show(const char *format, ...)
{
    va_list arguments;
    int console = open(CONSOLE, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (console < 0)
        return;
    va_start(arguments, format);
    vdprintf(console, format, arguments);
    va_end(arguments);
    close(console);
}

/* Up to the end of the line, whatever the terminal's settings make of it. */
static int terminal_read_line(int console, char *answer, size_t size, struct failure *failure)
{
    size_t length = 0;
    for (;;) {
        char byte;
        ssize_t count = read(console, &byte, 1);
        if (count <= 0)
            return count < 0 ? failed_errno(failure, CONSOLE)
                             : failed(failure, "the console has no input");
        if (byte == '\n' || byte == '\r')
            break;
        if (length + 1 < size)
            answer[length++] = byte;
    }
    answer[length] = 0;
    return 0;
}

static int terminal_question(const char *question, bool shown, char *answer, size_t size,
                             struct failure *failure)
{
    struct termios before, wanted;
    int console = open(CONSOLE, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (console < 0)
        return failed_errno(failure, CONSOLE);
    bool is_terminal = tcgetattr(console, &before) == 0;
    if (is_terminal) {
        wanted = before;
        wanted.c_lflag |= ICANON | (shown ? ECHO : 0);
        wanted.c_lflag &= ~(tcflag_t)(shown ? 0 : ECHO);
        wanted.c_iflag |= ICRNL;
        /* What was typed before the question is no answer to it. */
        tcsetattr(console, TCSAFLUSH, &wanted);
    }
    /* Behind what has been reported, which init passes on. */
    fputs(question, stderr);
    int status = terminal_read_line(console, answer, size, failure);
    if (is_terminal)
        tcsetattr(console, TCSANOW, &before);
    if (!shown)
        fputs("\n", stderr);
    close(console);
    return status;
}

int terminal_ask_secret(const char *question, char *answer, size_t size, struct failure *failure)
{
    return terminal_question(question, false, answer, size, failure);
}

int terminal_ask(const char *question, char *answer, size_t size, struct failure *failure)
{
    return terminal_question(question, true, answer, size, failure);
}
