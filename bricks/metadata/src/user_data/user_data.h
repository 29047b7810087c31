/* user_data.h: user data of any kind: what it is, by its first bytes, and what follows of it. */
#ifndef COMPOS_USER_DATA_H
#define COMPOS_USER_DATA_H

#include "result.h"

/* `bytes` are those of the result, or what they are compressed from. */
struct user_data {
    const char *bytes;
    size_t length;
    char *decompressed; /* or NULL */
};

void user_data_open(struct user_data *data, const struct result *result);
void user_data_close(struct user_data *data);

/*
 * Carries out a #cloud-config, alone or as a part of a MIME message, whose other parts are saved
 * below /run/config/parts.
 */
void user_data_apply(const struct user_data *data, struct result *result);

/* LinuxKit's JSON as files, which take the place of others. */
void user_data_write_tree(const struct user_data *data, const struct result *result);

#endif
