/* user_file.h: user data from a file that the command line names: file=PATH. */
#ifndef COMPOS_USER_FILE_H
#define COMPOS_USER_FILE_H

#include "provider.h"

bool user_file_find(const struct search *search, struct result *result);

#endif
