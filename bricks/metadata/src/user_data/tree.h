/* tree.h: LinuxKit's JSON user data as files and directories. */
#ifndef COMPOS_TREE_H
#define COMPOS_TREE_H

#include <stddef.h>

/*
 * Makes what the user data describes below `folder` (config_open). Data that is no JSON object is
 * left alone; an entry that is not valid, or whose name is one of `reserved` (up to NULL), is
 * reported and left out.
 */
void tree_write(int folder, const char *const *reserved, const char *data, size_t length);

#endif
