/*
 * sealed_driver.c: sealed PROGRAM [MOST] [ARGUMENT...]: copies PROGRAM, drops a copy of more than
 * MOST bytes, becomes it.
 */
#include "base/sealed.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char *arguments[])
{
    if (count < 3)
        return 2;
    const size_t most = strtoul(arguments[2], NULL, 10);
    sealed_make(arguments[1]);
    sealed_drop(most);
    printf("%s\n", sealed_path(arguments[1], most));
    printf("%s\n", sealed_path("/elsewhere", most));
    fflush(stdout);
    arguments[2] = arguments[1];
    sealed_exec((const char *const *)arguments + 2);
    printf("not copied\n");
    return 0;
}
