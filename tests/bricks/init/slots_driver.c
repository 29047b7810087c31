/*
 * slots_driver.c: the command `slot` in a folder: `efivars` has firmware's variables, `block` what
 * is known of devices, `dev` the devices, `cmdline` the kernel's command line.
 */
#include "base/cmdline.h"
#include "base/variables.h"
#include "slots/slot.h"
#include "slots/table.h"

#include <stdio.h>

int main(int count, char *arguments[])
{
    char places[4][512];
    static const char *const names[] = {"efivars", "block", "dev", "cmdline"};
    if (count < 2)
        return 3;
    for (size_t i = 0; i < 4; i++)
        snprintf(places[i], sizeof places[i], "%s/%s", arguments[1], names[i]);
    variables_folder = places[0];
    table_descriptions = places[1];
    table_devices = places[2];
    cmdline_file = places[3];
    return slot_command(count - 1, arguments + 1);
}
