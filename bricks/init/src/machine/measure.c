/*
 * measure.c: see measure.h.
 *
 * Sources: TCG, "TPM 2.0 Library", part 3, 22.3 (TPM2_PCR_Event: the TPM itself computes a digest
 * for each bank), part 1, 19.4 (an empty password as authorization); "TPM Main", 1.2 revision 116,
 * part 3, 13.1 and 13.4 (the TPM computes SHA-1, and extends a PCR by it); UAPI group, "Linux TPM
 * PCR Registry" (PCR 11).
 */
#include "machine/measure.h"

#include "base/console.h"
#include "base/failure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum {
    PCR = 11,
    TPM_ST_SESSIONS = 0x8002,
    TPM_CC_PCR_EVENT = 0x13C,
    TPM_RS_PW = 0x40000009,
    TPM12_TAG_COMMAND = 0xC1,
    TPM12_SHA1_START = 0xA0,
    TPM12_SHA1_COMPLETE_EXTEND = 0xA3,
    AUTHORIZATION_SIZE = 9,
    HEADER_SIZE = 10,
    MAX_PHASE = 64,
    MAX_RESPONSE = 4096
};

/* A command as it is put together. */
struct measure_command {
    unsigned char bytes[HEADER_SIZE + 4 + 4 + AUTHORIZATION_SIZE + 2 + MAX_PHASE];
    size_t size;
};

static void measure_put(struct measure_command *command, uint32_t value, size_t size)
{
    for (size_t i = size; i > 0; i--)
        command->bytes[command->size++] = (unsigned char)(value >> 8 * (i - 1));
}

static uint32_t measure_get(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void measure_event(struct measure_command *command, const char *phase)
{
    size_t length = strlen(phase);
    *command = (struct measure_command){0};
    measure_put(command, TPM_ST_SESSIONS, 2);
    measure_put(command, (uint32_t)(HEADER_SIZE + 4 + 4 + AUTHORIZATION_SIZE + 2 + length), 4);
    measure_put(command, TPM_CC_PCR_EVENT, 4);
    measure_put(command, PCR, 4);
    measure_put(command, AUTHORIZATION_SIZE, 4);
    measure_put(command, TPM_RS_PW, 4);
    measure_put(command, 0, 2); /* nonce */
    measure_put(command, 0, 1); /* attributes */
    measure_put(command, 0, 2); /* password */
    measure_put(command, (uint32_t)length, 2);
    memcpy(command->bytes + command->size, phase, length);
    command->size += length;
}

static int measure_send(int device, const struct measure_command *command, struct failure *failure)
{
    unsigned char response[MAX_RESPONSE];
    ssize_t length = write(device, command->bytes, command->size);
    if (length == (ssize_t)command->size)
        length = read(device, response, sizeof response);
    if (length < 0)
        return failed_errno(failure, "TPM");
    if (length < HEADER_SIZE)
        return failed(failure, "TPM: an answer of %zd bytes", length);
    uint32_t code = measure_get(response + 6);
    return code == 0 ? 0 : failed(failure, "TPM: error 0x%x", code);
}

/* What a TPM 1.2 is told: that a hash begins, then, with its end, the phase. */
static int measure_send_old(int device, const char *phase, struct failure *failure)
{
    struct measure_command command = {
        .bytes = {0, TPM12_TAG_COMMAND, [9] = TPM12_SHA1_START, [13] = PCR}};
    size_t length = strlen(phase);
    command.bytes[5] = HEADER_SIZE;
    command.size = HEADER_SIZE;
    if (measure_send(device, &command, failure) < 0)
        return -1;
    command.bytes[9] = TPM12_SHA1_COMPLETE_EXTEND;
    command.bytes[17] = (unsigned char)length;
    command.size = HEADER_SIZE + 4 + 4 + length;
    command.bytes[5] = (unsigned char)command.size;
    memcpy(command.bytes + HEADER_SIZE + 4 + 4, phase, length);
    return measure_send(device, &command, failure);
}

/* Whether what is sealed to the initrd can still be opened. */
static bool measure_in_initrd;

void measure_stay_in_initrd(void)
{
    measure_in_initrd = true;
}

void measure_leave_initrd(void)
{
    if (measure_in_initrd)
        measure_phase("leave-initrd");
    measure_in_initrd = false;
}

void measure_phase(const char *phase)
{
    static const char *const devices[] = {"/dev/tpmrm0", "/dev/tpm0"};
    struct measure_command command;
    struct failure failure;
    int device = -1;
    if (strlen(phase) > MAX_PHASE)
        return;
    size_t count = 0;
    while (count < sizeof devices / sizeof *devices && device < 0)
        device = open(devices[count++], O_RDWR | O_CLOEXEC);
    if (device < 0) {
        if (errno != ENOENT && errno != ENODEV)
            say("phase %s: TPM: %s", phase, strerror(errno));
        return;
    }
    measure_event(&command, phase);
    /* Linux manages the resources of a TPM 2.0 (tpmrm0); without that, it may be a TPM 1.2. */
    if (measure_send(device, &command, &failure) < 0 &&
        (count == 1 || measure_send_old(device, phase, &failure) < 0))
        say("phase %s: %s", phase, failure.text);
    close(device);
}
