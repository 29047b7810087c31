/* dhcp_client.c: see dhcp_client.h. The file is that of dhcpcd.conf(5). */
#include "network/dhcp_client.h"

#include "config.h"
#include "small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SETTINGS = 65536 };

/* The container's settings, without the interfaces that they allow. */
static void dhcp_client_copy(struct text *text, const char *line, bool all)
{
    static const char allow[] = "allowinterfaces ";
    while (*line) {
        size_t length = strcspn(line, "\n");
        if (all || strncmp(line, allow, sizeof allow - 1) != 0) {
            text_add(text, line, length);
            text_add(text, "\n", 1);
        }
        line += length + (line[length] == '\n');
    }
}

int dhcp_client_write(const struct result *result, struct failure *failure)
{
    struct text text = {0};
    size_t length;
    char *bytes = small_file_read(AT_FDCWD, "/etc/dhcpcd.conf", MAX_SETTINGS, &length, failure);
    if (!bytes && errno != ENOENT)
        return -1;
    dhcp_client_copy(&text, bytes ? bytes : "", !result->has_network);
    free(bytes);
    /* A member of a bond or a bridge gets no address of its own. */
    if (result->dhcp.length > 0)
        text_format(&text, "allowinterfaces%s\n", result->dhcp.bytes);
    else if (result->has_network)
        text_format(&text, "denyinterfaces *\n");
    int done = text.failed ? failed(failure, "no memory")
                           : config_write(result->folder, "dhcpcd.conf",
                                          text.bytes ? text.bytes : "", text.length, 0644, failure);
    text_free(&text);
    return done;
}
