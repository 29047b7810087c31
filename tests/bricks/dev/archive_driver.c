/* archive_driver.c: unpacks the archive on standard input: archive_driver FOLDER [apart] */
#include "archive.h"

int main(int count, char *arguments[])
{
    struct failure failure;
    if (count < 2 || archive_unpack(stdin, arguments[1], count > 2, &failure) == 0)
        return count < 2;
    fprintf(stderr, "%s\n", failure.text);
    return 1;
}
