/*
 * tpm.c: see tpm.h.
 *
 * Sources: TCG, "TPM 2.0 Library", part 1, 18 (commands and responses) and 19.4 (passwords); part
 * 2, 6.6.3 (codes). Those of a TPM 1.2 have the same header ("TPM Main", part 3, 3.1).
 */
#include "tpm/tpm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    FLUSH_CONTEXT = 0x165,
    TPM_RS_PW = 0x40000009,
    TPM_RC_RETRY = 0x922, /* it has written down that passwords will be tried, and done no more */
    TRIES = 5
};

static int tpm_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    int device = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (device >= 0 && connect(device, (struct sockaddr *)&address, sizeof address) < 0) {
        close(device);
        device = -1;
    }
    return device;
}

int tpm_open(const char *path, struct failure *failure)
{
    int device = open(path, O_RDWR | O_CLOEXEC);
    if (device < 0 && errno == ENXIO)
        device = tpm_connect(path);
    return device >= 0 ? device : failed_errno(failure, "%s", path);
}

void tpm_begin(struct tpm_message *message, uint16_t tag, uint32_t command)
{
    *message = (struct tpm_message){0};
    tpm_put(message, tag, 2);
    tpm_put(message, 0, 4);
    tpm_put(message, command, 4);
}

void tpm_put_bytes(struct tpm_message *message, const void *bytes, size_t size)
{
    if (message->bad || size > TPM_MAX_MESSAGE - message->size) {
        message->bad = true;
        return;
    }
    if (size)
        memcpy(message->bytes + message->size, bytes, size);
    message->size += size;
}

void tpm_put(struct tpm_message *message, uint32_t value, size_t size)
{
    unsigned char bytes[4];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(value >> 8 * (size - 1 - i));
    tpm_put_bytes(message, bytes, size);
}

void tpm_put_sized(struct tpm_message *message, const void *bytes, size_t size)
{
    tpm_put(message, (uint32_t)size, 2);
    tpm_put_bytes(message, bytes, size);
}

void tpm_put_password(struct tpm_message *message)
{
    tpm_put(message, TPM_RS_PW, 4);
    tpm_put(message, 0, 2); /* nonce */
    tpm_put(message, 0, 1); /* attributes */
    tpm_put(message, 0, 2); /* password */
}

void tpm_flush(int device, uint32_t handle)
{
    struct tpm_message message;
    struct failure ignored;
    tpm_begin(&message, TPM_ST_NO_SESSIONS, FLUSH_CONTEXT);
    tpm_put(&message, handle, 4);
    tpm_send(device, &message, "TPM2_FlushContext", &ignored);
}

uint32_t tpm_get(struct tpm_message *message, size_t size)
{
    uint32_t value = 0;
    const unsigned char *bytes = tpm_get_bytes(message, size);
    for (size_t i = 0; bytes && i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

const unsigned char *tpm_get_bytes(struct tpm_message *message, size_t size)
{
    if (message->bad || size > message->size - message->at) {
        message->bad = true;
        return NULL;
    }
    message->at += size;
    return message->bytes + message->at - size;
}

size_t tpm_get_sized(struct tpm_message *message, const unsigned char **bytes)
{
    size_t size = tpm_get(message, 2);
    *bytes = tpm_get_bytes(message, size);
    return *bytes ? size : 0;
}

/* One command and its answer. */
static int tpm_exchange(int device, struct tpm_message *message, const char *what,
                        struct failure *failure)
{
    ssize_t length = write(device, message->bytes, message->size);
    if (length == (ssize_t)message->size)
        length = read(device, message->bytes, sizeof message->bytes);
    if (length < 0)
        return failed_errno(failure, "%s", what);
    message->size = (size_t)length;
    message->at = 2;
    uint32_t size = tpm_get(message, 4);
    message->code = tpm_get(message, 4);
    if (message->bad || size != message->size)
        return failed(failure, "%s: an answer of %zd bytes", what, length);
    return 0;
}

int tpm_send(int device, struct tpm_message *message, const char *what, struct failure *failure)
{
    struct tpm_message command;
    if (message->bad)
        return failed(failure, "%s: too long for a TPM", what);
    for (size_t i = 0; i < 4; i++)
        message->bytes[2 + i] = (unsigned char)(message->size >> 8 * (3 - i));
    command = *message;
    int status = tpm_exchange(device, message, what, failure);
    for (int more = TRIES; status == 0 && message->code == TPM_RC_RETRY && more > 0; more--) {
        *message = command;
        status = tpm_exchange(device, message, what, failure);
    }
    explicit_bzero(&command, sizeof command);
    if (status < 0 || message->code == 0)
        return status;
    return failed(failure, "%s: the TPM's error 0x%x", what, message->code);
}
