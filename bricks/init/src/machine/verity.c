/*
 * verity.c: see verity.h.
 *
 * Sources: Linux, include/uapi/linux/dm-ioctl.h;
 * Documentation/admin-guide/device-mapper/verity.rst (parameters of the target).
 */
#include "machine/verity.h"

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define CONTROL "/dev/mapper/control"
#define NAME "root"

enum { SECTORS_PER_BLOCK = 8, MAX_PARAMETERS = 1024, CORRECTION_SIZE = 400 };

/* A request with room for one target. */
struct verity_request {
    struct dm_ioctl head;
    struct dm_target_spec target;
    char parameters[MAX_PARAMETERS];
};

static void verity_prepare(struct verity_request *request)
{
    *request =
        (struct verity_request){.head = {.version = {DM_VERSION_MAJOR, 0, 0},
                                         .data_size = sizeof *request,
                                         .data_start = offsetof(struct verity_request, target)}};
    strcpy(request->head.name, NAME);
}

static int verity_ask(int control, unsigned long what, struct verity_request *request)
{
    return ioctl(control, (int)what, &request->head);
}

static int verity_create(int control, unsigned *number, struct failure *failure)
{
    struct verity_request request;
    verity_prepare(&request);
    if (verity_ask(control, DM_DEV_CREATE, &request) < 0)
        return failed_errno(failure, "verity: create");
    *number = minor(request.head.dev);
    return 0;
}

static int verity_load(int control, const char *device, const char *tree,
                       const struct verity *verity, struct failure *failure)
{
    struct verity_request request;
    verity_prepare(&request);
    request.head.flags = DM_READONLY_FLAG;
    request.head.target_count = 1;
    request.target.length = verity->blocks * SECTORS_PER_BLOCK;
    strcpy(request.target.target_type, "verity");
    char correction[CORRECTION_SIZE] = "";
    if (verity->corrected > 0)
        snprintf(correction, sizeof correction,
                 " 8 use_fec_from_device %s fec_roots 2 fec_blocks %llu fec_start %llu", tree,
                 verity->corrected, verity->correction);
    int length = snprintf(request.parameters, sizeof request.parameters,
                          "1 %s %s 4096 4096 %llu %llu sha256 %s %s%s", device, tree,
                          verity->blocks, verity->start, verity->root, verity->salt, correction);
    if (length < 0 || length >= MAX_PARAMETERS)
        return failed(failure, "verity: the parameters are too long");
    if (verity_ask(control, DM_TABLE_LOAD, &request) < 0)
        return failed_errno(failure, "verity: %s", device);
    return 0;
}

static int verity_resume(int control, struct failure *failure)
{
    struct verity_request request;
    verity_prepare(&request);
    if (verity_ask(control, DM_DEV_SUSPEND, &request) < 0)
        return failed_errno(failure, "verity: resume");
    return 0;
}

static void verity_remove(int control)
{
    struct verity_request request;
    verity_prepare(&request);
    verity_ask(control, DM_DEV_REMOVE, &request);
}

void verity_close(void)
{
    int control = open(CONTROL, O_RDWR | O_CLOEXEC);
    if (control < 0)
        return;
    verity_remove(control);
    close(control);
}

int verity_open(const char *device, const char *tree, const struct verity *verity, char *path,
                size_t size, struct failure *failure)
{
    unsigned number = 0;
    int control = open(CONTROL, O_RDWR | O_CLOEXEC);
    if (control < 0)
        return failed_errno(failure, "verity: " CONTROL);
    int result = verity_create(control, &number, failure);
    if (result == 0) {
        result = verity_load(control, device, tree, verity, failure);
        if (result == 0)
            result = verity_resume(control, failure);
        if (result < 0)
            verity_remove(control);
    }
    close(control);
    if (result == 0)
        snprintf(path, size, "/dev/dm-%u", number);
    return result;
}
