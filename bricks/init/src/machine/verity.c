/*
 * verity.c: see verity.h.
 *
 * Source: Linux, Documentation/admin-guide/device-mapper/verity.rst (parameters of the target).
 */
#include "machine/verity.h"

#include "base/mapper.h"

#include <stdio.h>

#define NAME "root"

enum { SECTORS_PER_BLOCK = 8, CORRECTION_SIZE = 400 };

void verity_close(void)
{
    mapper_remove(NAME);
}

int verity_open(const char *device, const char *tree, const struct verity *verity, char *path,
                size_t size, struct failure *failure)
{
    char parameters[MAPPER_PARAMETERS], correction[CORRECTION_SIZE] = "";
    const struct mapper_target target = {.type = "verity",
                                         .parameters = parameters,
                                         .sectors = verity->blocks * SECTORS_PER_BLOCK,
                                         .read_only = true};
    if (verity->corrected > 0)
        snprintf(correction, sizeof correction,
                 " 8 use_fec_from_device %s fec_roots 2 fec_blocks %llu fec_start %llu", tree,
                 verity->corrected, verity->correction);
    int length = snprintf(parameters, sizeof parameters,
                          "1 %s %s 4096 4096 %llu %llu sha256 %s %s%s", device, tree,
                          verity->blocks, verity->start, verity->root, verity->salt, correction);
    if (length < 0 || length >= MAPPER_PARAMETERS)
        return failed(failure, "verity: the parameters are too long");
    struct failure reason;
    return mapper_make(NAME, &target, path, size, &reason) < 0
               ? failed(failure, "verity: %s: %s", device, reason.text)
               : 0;
}
