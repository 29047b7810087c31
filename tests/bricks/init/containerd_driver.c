/*
 * Drives containerd.c from a test: containerd_driver SOCKET NAMESPACE CALL ARGUMENTS... prints what
 * came of it.
 */
#include "base/failure.h"
#include "containerd/containerd.h"
#include "containerd/hpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char spec[2 * 1024 * 1024];

static int huffman(const char *hex)
{
    uint8_t data[256];
    char out[256];
    size_t length = strlen(hex) / 2;
    for (size_t index = 0; index < length && index < sizeof data; index++)
        sscanf(hex + 2 * index, "%2hhx", &data[index]);
    if (hpack_huffman(data, length, out, sizeof out))
        return puts("malformed"), 1;
    return puts(out), 0;
}

int main(int count, char **argument)
{
    struct failure failure = {""};
    uint32_t pid = 0;
    if (count == 3 && !strcmp(argument[1], "huffman"))
        return huffman(argument[2]);
    if (count < 4)
        return 2;
    struct containerd *c = containerd_connect(argument[1], &failure);
    if (!c) {
        printf("error: %s\n", failure.text);
        return 1;
    }
    const char *ns = argument[2], *what = argument[3], *id = count > 4 ? argument[4] : "";
    int result = -1;
    if (!strcmp(what, "create") && count == 6) {
        FILE *stream = fopen(argument[5], "rb");
        size_t length = stream ? fread(spec, 1, sizeof spec, stream) : 0;
        if (stream)
            fclose(stream);
        result = containerd_create(c, ns, id, "", spec, length, &failure);
    } else if (!strcmp(what, "task") && count == 7) {
        result = containerd_task(c, ns, id, argument[5], argument[6], &pid, &failure);
    } else if (!strcmp(what, "start")) {
        result = containerd_start(c, ns, id, &pid, &failure);
    } else if (!strcmp(what, "kill")) {
        result = containerd_kill(c, ns, id, 9, &failure);
    } else if (!strcmp(what, "remove-all")) {
        result = containerd_remove_all(c, ns, &failure);
    }
    if (result < 0)
        printf("error: %s\n", failure.text);
    else
        printf("ok %u\n", pid);
    containerd_close(c);
    return result < 0;
}
