/* machine.c: see machine.h. */
#include "machine.h"

#include "base/files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The address of a network card; interfaces without a device are not of the machine. */
static int machine_card(const char *card, char *name, size_t size)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/sys/class/net/%.200s/device", card);
    if (access(path, F_OK) < 0)
        return -1;
    snprintf(path, sizeof path, "/sys/class/net/%.200s/address", card);
    return file_line(path, name, size);
}

static void machine_address(char *name, size_t size)
{
    struct dirent **cards;
    int count = scandir("/sys/class/net", &cards, NULL, alphasort);
    for (int i = 0, found = -1; i < count; i++) {
        if (found < 0)
            found = machine_card(cards[i]->d_name, name, size);
        free(cards[i]);
    }
    if (count >= 0)
        free(cards);
}

void machine_name(char *name, size_t size)
{
    *name = '\0';
    if (file_line("/sys/class/dmi/id/product_uuid", name, size) == 0 && *name)
        return;
    if (file_line("/sys/firmware/devicetree/base/serial-number", name, size) == 0 && *name)
        return;
    *name = '\0';
    machine_address(name, size);
}
