/* fetch.c: see fetch.h. */
#include "web/fetch.h"

#include "base/files.h"
#include "web/web.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FETCH_TRAILER = FETCH_CHALLENGE + 16 };

/* What curl writes behind the document: a line with the status and what it is asked to prove. */
#define FETCH_FORMAT "\n%{http_code} %header{www-authenticate}"

/* In the child. Tokens reach curl through a pipe: everybody can read a command line. */
static _Noreturn void fetch_start(int input, int output)
{
    const char *arguments[] = {
        "/usr/bin/curl",
        "--disable",
        "--silent",
        "--show-error",
        "--location",
        "--max-redirs",
        "5",
        "--proto",
        "=http,https",
        "--max-time",
        "120",
        "--connect-timeout",
        "30",
        "--max-filesize",
        "1048576",
        "--retry",
        "2",
        "--write-out",
        FETCH_FORMAT,
        "--config",
        "-",
        NULL,
    };
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    if (web_nobody() == 0)
        execv(arguments[0], (char *const *)arguments);
    fprintf(stderr, "%s: %s\n", arguments[0], strerror(errno));
    _exit(127);
}

/* A line of curl's configuration, its value between quotes. */
static void fetch_say(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s = \"", name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            fputc('\\', out);
        if (*value >= ' ')
            fputc(*value, out);
    }
    fputs("\"\n", out);
}

static int fetch_ask(int input, const struct fetch_request *request)
{
    FILE *out = fdopen(input, "w");
    if (!out)
        return close(input);
    fetch_say(out, "url", request->url);
    if (request->direct)
        fputs("no-location\n", out);
    if (strncmp(request->url, "https:", 6) == 0)
        fetch_say(out, "proto-redir", "=https");
    for (const char *const *header = request->headers; *header; header++)
        fetch_say(out, "header", *header);
    if (request->method) {
        fetch_say(out, "request", request->method);
        fetch_say(out, "data-raw", request->body);
    }
    return fclose(out);
}

/* Takes the trailer off what curl has written. */
static int fetch_split(struct fetch_answer *answer, struct failure *failure)
{
    char *trailer = memrchr(answer->text, '\n', answer->length);
    if (!trailer || sscanf(trailer + 1, "%3d", &answer->status) != 1 || answer->status < 100)
        return failed(failure, "no answer");
    size_t skipped = strspn(trailer + 1, "0123456789") + 1;
    snprintf(answer->challenge, sizeof answer->challenge, "%s", trailer + 1 + skipped);
    *trailer = '\0';
    answer->length = (size_t)(trailer - answer->text);
    return 0;
}

static int fetch_read(int output, struct fetch_answer *answer, struct failure *failure)
{
    size_t size = FETCH_LIMIT + FETCH_TRAILER;
    answer->text = malloc(size + 1);
    if (!answer->text)
        return failed_errno(failure, "no memory");
    ssize_t length = file_fill(output, answer->text, size);
    if (length < 0)
        return failed_errno(failure, "no answer");
    if ((size_t)length == size)
        return failed(failure, "the answer is too long");
    answer->length = (size_t)length;
    answer->text[length] = '\0';
    return fetch_split(answer, failure);
}

int fetch_send(const struct fetch_request *request, struct fetch_answer *answer,
               struct failure *failure)
{
    int input[2], output[2];
    *answer = (struct fetch_answer){0};
    if (pipe2(input, O_CLOEXEC) < 0)
        return failed_errno(failure, "no pipe");
    if (pipe2(output, O_CLOEXEC) < 0) {
        close(input[0]);
        close(input[1]);
        return failed_errno(failure, "no pipe");
    }
    pid_t pid = fork();
    if (pid == 0)
        fetch_start(input[0], output[1]);
    close(input[0]);
    close(output[1]);
    signal(SIGPIPE, SIG_IGN);
    fetch_ask(input[1], request);
    signal(SIGPIPE, SIG_DFL);
    int result =
        pid < 0 ? failed_errno(failure, "no process") : fetch_read(output[0], answer, failure);
    close(output[0]);
    if (pid > 0 && web_wait(pid) != 0 && result == 0)
        result = failed(failure, "the answer is not whole");
    if (result < 0) {
        free(answer->text);
        answer->text = NULL;
    }
    return result;
}

int fetch_document(const char *url, const char *const headers[], struct fetch_answer *answer,
                   struct failure *failure)
{
    const struct fetch_request request = {.url = url, .headers = headers};
    return fetch_send(&request, answer, failure);
}
