/* mapper.c: see mapper.h. */
#include "base/mapper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define CONTROL "/dev/mapper/control"

/* A request with room for one target. */
struct mapper_request {
    struct dm_ioctl head;
    struct dm_target_spec target;
    char parameters[MAPPER_PARAMETERS];
};

static void mapper_prepare(struct mapper_request *request, const char *name)
{
    *request =
        (struct mapper_request){.head = {.version = {DM_VERSION_MAJOR, 0, 0},
                                         .data_size = sizeof *request,
                                         .data_start = offsetof(struct mapper_request, target)}};
    snprintf(request->head.name, sizeof request->head.name, "%s", name);
}

static int mapper_ask(int control, unsigned long what, struct mapper_request *request)
{
    return ioctl(control, (int)what, &request->head);
}

static int mapper_create(int control, const char *name, unsigned *number, struct failure *failure)
{
    struct mapper_request request;
    mapper_prepare(&request, name);
    if (mapper_ask(control, DM_DEV_CREATE, &request) < 0)
        return failed_errno(failure, "device mapper: create");
    *number = minor(request.head.dev);
    return 0;
}

static int mapper_load(int control, const char *name, const struct mapper_target *target,
                       struct failure *failure)
{
    struct mapper_request request;
    mapper_prepare(&request, name);
    request.head.flags = target->read_only ? DM_READONLY_FLAG : 0;
    request.head.target_count = 1;
    request.target.length = target->sectors;
    strcpy(request.target.target_type, target->type);
    strcpy(request.parameters, target->parameters);
    int status = mapper_ask(control, DM_TABLE_LOAD, &request);
    if (status == 0) {
        mapper_prepare(&request, name);
        status = mapper_ask(control, DM_DEV_SUSPEND, &request); /* resumes */
    }
    int error = errno;
    explicit_bzero(&request, sizeof request);
    errno = error;
    return status < 0 ? failed_errno(failure, "device mapper: %s", target->type) : 0;
}

void mapper_remove(const char *name)
{
    struct mapper_request request;
    int control = open(CONTROL, O_RDWR | O_CLOEXEC);
    if (control < 0)
        return;
    mapper_prepare(&request, name);
    mapper_ask(control, DM_DEV_REMOVE, &request);
    close(control);
}

int mapper_make(const char *name, const struct mapper_target *target, char *path, size_t size,
                struct failure *failure)
{
    unsigned number = 0;
    if (strlen(target->parameters) >= MAPPER_PARAMETERS)
        return failed(failure, "device mapper: the parameters are too long");
    int control = open(CONTROL, O_RDWR | O_CLOEXEC);
    if (control < 0)
        return failed_errno(failure, CONTROL);
    int result = mapper_create(control, name, &number, failure);
    if (result == 0 && (result = mapper_load(control, name, target, failure)) < 0)
        mapper_remove(name);
    close(control);
    if (result == 0)
        snprintf(path, size, "/dev/dm-%u", number);
    return result;
}
