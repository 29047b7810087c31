/* bytes.c: numbers of on-disk records, and whole reads and writes at an offset. */
#include "disk/bytes.h"

#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

uint16_t little16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

uint32_t little32(const uint8_t *bytes)
{
    return little16(bytes) | (uint32_t)little16(bytes + 2) << 16;
}

uint64_t little64(const uint8_t *bytes)
{
    return little32(bytes) | (uint64_t)little32(bytes + 4) << 32;
}

uint32_t big32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

uint64_t big64(const uint8_t *bytes)
{
    return (uint64_t)big32(bytes) << 32 | big32(bytes + 4);
}

void put_little32(uint8_t *bytes, uint32_t number)
{
    for (int index = 0; index < 4; index++)
        bytes[index] = (uint8_t)(number >> 8 * index);
}

void put_little64(uint8_t *bytes, uint64_t number)
{
    put_little32(bytes, (uint32_t)number);
    put_little32(bytes + 4, (uint32_t)(number >> 32));
}

int read_at(int descriptor, void *bytes, size_t length, uint64_t offset)
{
    for (size_t done = 0; done < length;) {
        ssize_t count =
            pread(descriptor, (char *)bytes + done, length - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count == 0)
            errno = EIO;
        if (count <= 0)
            return -1;
        done += (size_t)count;
    }
    return 0;
}

int write_at(int descriptor, const void *bytes, size_t length, uint64_t offset)
{
    for (size_t done = 0; done < length;) {
        ssize_t count =
            pwrite(descriptor, (const char *)bytes + done, length - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count == 0)
            errno = EIO;
        if (count <= 0)
            return -1;
        done += (size_t)count;
    }
    return 0;
}
