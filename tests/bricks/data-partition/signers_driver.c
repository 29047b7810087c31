/* signers_driver.c: SIGNATURES: whether they are of several keys. */
#include "seal/signers.h"

#include <stdio.h>

int main(int count, char *arguments[])
{
    if (count < 2)
        return 2;
    puts(signers_are_several(arguments[1]) ? "several" : "one");
    return 0;
}
