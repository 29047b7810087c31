/* slots.S: the loader for disks with two slots: loader.S, with choose.S in it. */
#define SLOTS
#include "loader.S"
