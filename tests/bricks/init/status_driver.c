/* status_driver.c: NAME: writes the status files with one service of this name, as init does. */
#include "services/status.h"

int main(int count, char *arguments[])
{
    if (count != 2)
        return 2;
    struct service service = {.bundle = {.id = arguments[1]}};
    status_write(&service, 1);
    return 0;
}
