/* names.c: see names.h. */
#include "names.h"

#include "base/files.h"
#include "json/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DOCUMENT = 1 << 20, MAX_UEVENT = 4096, ID_LENGTH = 64 };

static bool names_is_docker_id(const char *name)
{
    return strlen(name) == ID_LENGTH && strspn(name, "0123456789abcdef") == ID_LENGTH;
}

/* Image and name of Docker's container `name`, as its settings have them; false without them. */
static bool names_label_docker(struct text *labels, const char *docker, const char *name)
{
    char path[PATH_SIZE];
    size_t length;
    struct failure failure;
    snprintf(path, sizeof path, "%s/containers/%s/config.v2.json", docker, name);
    char *text = file_read(path, MAX_DOCUMENT, &length);
    struct json *root = text ? json_parse(text, length, &failure) : NULL;
    const struct json *called = json_string(root, "Name"), *image;
    if (called) {
        image = json_string(root, "Config.Image");
        text_add_label(labels, "image", image ? image->text : "");
        text_add_label(labels, "name", called->text + (*called->text == '/'));
    }
    json_free(root);
    free(text);
    return called != NULL;
}

void names_label(struct text *labels, const char *id, bool container, const char *docker)
{
    const char *last = strrchr(id, '/');
    last = last ? last + 1 : id;
    text_add_label(labels, "id", id);
    if (container && names_is_docker_id(last) && names_label_docker(labels, docker, last))
        return;
    text_add_label(labels, "image", "");
    text_add_label(labels, "name", container ? last : "");
}

void names_device(unsigned major, unsigned minor, char name[NAME_SIZE])
{
    static const char key[] = "DEVNAME=";
    char path[NAME_SIZE];
    size_t length;
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/uevent", major, minor);
    char *text = file_read(path, MAX_UEVENT, &length);
    snprintf(name, NAME_SIZE, "%u:%u", major, minor);
    for (char *rest = text, *line; rest && (line = strsep(&rest, "\n")) != NULL;)
        if (strncmp(line, key, strlen(key)) == 0)
            snprintf(name, NAME_SIZE, "/dev/%s", line + strlen(key));
    free(text);
}
