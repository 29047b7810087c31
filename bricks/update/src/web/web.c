/* web.c: see web.h. */
#include "web/web.h"

#include <errno.h>
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534 };

int web_nobody(void)
{
    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0)
        return -1;
    return setresuid(NOBODY, NOBODY, NOBODY);
}

int web_wait(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
