/* volumes.c: see volumes.h. */
#include "volumes.h"

#include "base/mapper.h"
#include "disk/report.h"
#include "luks/sealed_root.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct sealed_root_system volumes_system = {SEALED20_DEVICE, SEALED_ROOT_SIGNATURES,
                                                         SEALED_ROOT_PUBLIC_KEY};

int volumes_check(const struct payload *payload, struct failure *failure)
{
    if (payload->volume_count == 0)
        return 0;
    if (access(SEALED_ROOT_PUBLIC_KEY, R_OK) < 0)
        return failed(failure, "the roots are to be encrypted, and the installer was not started "
                               "as a signed program that names the key of PCR 11");
    return platform_check(SEALED_ROOT_PCRS, false, failure);
}

static int volumes_open(struct volumes *volumes, size_t index, const struct disk *disk,
                        const char *path, const struct sealed_root_seal *seal,
                        struct failure *failure)
{
    const struct payload_volume *volume = &volumes->payload->volumes[index];
    struct sealed_root root = {.device = disk->descriptor, .start = volume->offset};
    char node[64];
    snprintf(node, sizeof node, "/dev/mapper/%s", volume->name);
    int status = sealed_root_make(&root, seal, failure);
    if (status == 0)
        status = sealed_root_map(&root, volume->name, path, volume->size, failure);
    explicit_bzero(&root, sizeof root);
    if (status < 0)
        return -1;
    volumes->descriptors[index] = open(node, O_RDWR | O_CLOEXEC);
    if (volumes->descriptors[index] >= 0)
        return 0;
    failed_errno(failure, "%s", node);
    mapper_remove(volume->name);
    return -1;
}

int volumes_make(struct volumes *volumes, const struct payload *payload, const struct disk *disk,
                 const char *path, struct failure *failure)
{
    struct sealed_root_seal seal;
    *volumes = (struct volumes){.payload = payload};
    for (size_t index = 0; index < PAYLOAD_VOLUMES; index++)
        volumes->descriptors[index] = -1;
    if (payload->volume_count == 0)
        return 0;
    /* What the kernel still has to write of the disk must not come behind what goes through. */
    if (fsync(disk->descriptor) < 0)
        return failed_errno(failure, "cannot be written");
    report("installer", "the roots are encrypted, and their keys sealed to this machine");
    int status = sealed_root_seal(&volumes_system, payload->recovery, &seal, failure);
    for (size_t index = 0; status == 0 && index < payload->volume_count; index++)
        status = volumes_open(volumes, index, disk, path, &seal, failure);
    memcpy(volumes->recovery, seal.recovery, sizeof volumes->recovery);
    sealed_root_wipe(&seal);
    return status;
}

int volumes_place(const struct volumes *volumes, const struct disk *disk, uint64_t *offset)
{
    for (size_t index = 0; index < volumes->payload->volume_count; index++) {
        const struct payload_volume *volume = &volumes->payload->volumes[index];
        if (*offset < volume->offset || *offset - volume->offset >= volume->size)
            continue;
        *offset -= volume->offset;
        return volumes->descriptors[index];
    }
    return disk->descriptor;
}

int volumes_close(struct volumes *volumes, struct failure *failure)
{
    int status = 0;
    for (size_t index = 0; index < PAYLOAD_VOLUMES; index++) {
        const char *name = volumes->payload->volumes[index].name;
        char node[64];
        if (volumes->descriptors[index] < 0)
            continue;
        if (fsync(volumes->descriptors[index]) < 0)
            status = failed_errno(failure, "cannot be written");
        close(volumes->descriptors[index]);
        snprintf(node, sizeof node, "/dev/mapper/%s", name);
        unlink(node);
        mapper_remove(name);
    }
    return status;
}
