/*
 * disc_driver.c: [--network] PATH: of a directory, reads it as a metadata disc that is mounted
 * there; of a file, prints the type of the volume in it, and its label.
 */
#include "disc_files.h"
#include "volume.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

int main(int count, char *arguments[])
{
    struct stat status;
    struct result result = {.folder = -1};
    char label[64];
    result.allowed.network = count == 3;
    int file = count >= 2 ? open(arguments[count - 1], O_RDONLY) : -1;
    if (file < 0 || fstat(file, &status) < 0)
        return 2;
    if (S_ISDIR(status.st_mode))
        return disc_files_read(file, "disc", &result) && result_finish(&result) < 0;
    const char *type = volume_type(file, label, sizeof label);
    if (type)
        fprintf(stderr, "%s '%s'\n", type, label);
    else
        fprintf(stderr, "neither\n");
    return 0;
}
