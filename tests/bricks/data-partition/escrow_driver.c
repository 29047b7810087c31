/* escrow_driver.c: NODE KEY RECOVERY FOLDER: puts the envelope into a header, and shows it. */
#include "escrow.h"

#include <stdio.h>

int main(int count, char *arguments[])
{
    struct failure failure = {""};
    if (count != 5)
        return 2;
    if (escrow_store(arguments[1], arguments[2], arguments[3], &failure) == 0 &&
        escrow_show(arguments[1], arguments[4], &failure) == 0)
        return 0;
    fprintf(stderr, "%s\n", failure.text);
    return 1;
}
