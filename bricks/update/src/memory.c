/*
 * memory.c: see memory.h. Slot A is what runs; slot B is what the kernel has taken. Where kernel,
 * command line and initrd are in a boot partition is in its first sector, for BIOSes
 * (docs/update.md, "The disk").
 */
#include "memory.h"

#include "base/boot_header.h"
#include "base/files.h"
#include "base/loop.h"
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define MEMORY_DEVICE ENGINE_FOLDER "/next"
#define MEMORY_VERSION ENGINE_FOLDER "/version"
#define MEMORY_LOADED "/sys/kernel/kexec_loaded"

enum {
    SECTOR = 512,
    CMDLINE = 4096, /* with its NUL; more than kernels take */
    CHUNK = 1 << 20,
    UNIT = 4096
};

static int memory_complain(const char *what, const char *reason)
{
    fprintf(stderr, "update: %s: %s\n", what, reason);
    return -1;
}

/* A device whose file takes memory only where something is written. */
static int memory_attach(int file, char *path, size_t size)
{
    struct loop_config config = {.fd = (uint32_t)file, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
    return loop_attach(&config, O_RDWR, path, size);
}

int memory_open(void)
{
    char path[32];
    struct sysinfo machine;
    mkdir(ENGINE_FOLDER, 0755);
    unlink(MEMORY_DEVICE);
    int device = -1, file = memfd_create("next", MFD_CLOEXEC);
    if (file >= 0 && sysinfo(&machine) == 0) {
        uint64_t room = (uint64_t)machine.totalram * machine.mem_unit;
        if (ftruncate(file, (off_t)(room / UNIT * UNIT)) == 0)
            device = memory_attach(file, path, sizeof path);
    }
    if (file >= 0)
        close(file);
    if (device < 0 || symlink(path, MEMORY_DEVICE) < 0) {
        memory_complain("no memory for the next version", strerror(errno));
        if (device >= 0)
            close(device);
        return -1;
    }
    return device;
}

int memory_fit(const char *folder)
{
    char path[PATH_SIZE];
    struct stat image;
    struct loop_info64 info;
    snprintf(path, sizeof path, "%s/boot.img", folder);
    if (stat(path, &image) < 0)
        return memory_complain(path, strerror(errno));
    int device = open(MEMORY_DEVICE, O_RDWR | O_CLOEXEC), result = -1;
    if (device >= 0 && ioctl(device, LOOP_GET_STATUS64, &info) == 0) {
        info.lo_sizelimit = ((uint64_t)image.st_size + UNIT - 1) / UNIT * UNIT;
        result = ioctl(device, LOOP_SET_STATUS64, &info);
    }
    if (result < 0)
        memory_complain(MEMORY_DEVICE, strerror(errno));
    if (device >= 0)
        close(device);
    return result;
}

/* Where the parts are; -1 with a message if nobody says so. */
static int memory_places(int device, struct boot_header *header)
{
    if (pread(device, header, sizeof *header, BOOT_HEADER_AT) != (ssize_t)sizeof *header)
        return memory_complain(MEMORY_DEVICE, "it cannot be read");
    if (!boot_header_is_whole(header))
        return memory_complain(MEMORY_DEVICE, "it does not say where its kernel is");
    return 0;
}

/* A part as a file that nobody writes to, as the kernel wants it; -1 with errno. */
static int memory_part(int device, const struct boot_header *header, enum boot_part part)
{
    char path[32], *chunk = malloc(CHUNK);
    int file = memfd_create("part", MFD_CLOEXEC), result = -1;
    off_t at = (off_t)(header->places[part].sector * SECTOR);
    size_t left = header->places[part].size;
    while (chunk && file >= 0 && left > 0) {
        ssize_t count = pread(device, chunk, left < CHUNK ? left : CHUNK, at);
        if (count <= 0 || write(file, chunk, (size_t)count) != count)
            break;
        at += count;
        left -= (size_t)count;
    }
    if (file >= 0 && left == 0) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
        result = open(path, O_RDONLY | O_CLOEXEC);
    } else if (errno == 0)
        errno = EIO;
    int reason = errno;
    free(chunk);
    if (file >= 0)
        close(file);
    errno = reason;
    return result;
}

static int memory_take(int device, const struct boot_header *header)
{
    char line[CMDLINE] = "";
    size_t length = header->places[BOOT_CMDLINE].size;
    off_t at = (off_t)(header->places[BOOT_CMDLINE].sector * SECTOR);
    if (length >= sizeof line)
        return memory_complain("the next version", "its command line is too long");
    if (pread(device, line, length, at) != (ssize_t)length)
        return memory_complain("the next version's command line", "it cannot be read");
    errno = 0;
    int kernel = memory_part(device, header, BOOT_KERNEL);
    int initrd = kernel < 0 ? -1 : memory_part(device, header, BOOT_INITRD);
    long result =
        initrd < 0 ? -1 : syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1, line, 0L);
    int reason = errno;
    if (kernel >= 0)
        close(kernel);
    if (initrd >= 0)
        close(initrd);
    return result < 0
               ? memory_complain("the kernel does not take the next version", strerror(reason))
               : 0;
}

static bool memory_taken(void)
{
    char text[8];
    return file_line(MEMORY_LOADED, text, sizeof text) == 0 && strcmp(text, "1") == 0;
}

/* What was taken before is no longer what the next restart goes on with. */
static int memory_drop(void)
{
    if (!memory_taken())
        return 0;
    if (syscall(SYS_kexec_file_load, -1, -1, 0L, NULL, (long)KEXEC_FILE_UNLOAD) == 0)
        return 0;
    return memory_complain("the kernel keeps what it has taken", strerror(errno));
}

static int memory_load(void)
{
    struct boot_header header;
    int device = open(MEMORY_DEVICE, O_RDONLY | O_CLOEXEC);
    if (device < 0)
        return memory_complain("there is no next version", strerror(errno));
    int result = memory_places(device, &header);
    if (result == 0)
        result = memory_take(device, &header);
    close(device);
    return result;
}

static int memory_set_version(const char *version)
{
    FILE *file = fopen(MEMORY_VERSION, "we");
    if (!file)
        return memory_complain(MEMORY_VERSION, strerror(errno));
    int result = fprintf(file, "%s\n", version) < 0 ? -1 : 0;
    return fclose(file) == 0 ? result : -1;
}

static int memory_say(const char *text)
{
    puts(text);
    return 0;
}

static int memory_status(void)
{
    char version[128];
    if (!memory_taken() || file_line(MEMORY_VERSION, version, sizeof version) < 0)
        return memory_say("the next restart starts this version, or what the medium has");
    printf("the next restart goes on with version %s\n", version);
    return 0;
}

static int memory_command(const char *verb, bool next, const char *value)
{
    char version[128];
    if (strcmp(verb, "get-current") == 0)
        return memory_say("A");
    if (strcmp(verb, "status") == 0)
        return memory_status();
    if (strcmp(verb, "get-primary") == 0)
        return memory_say(memory_taken() ? "B" : "A");
    if (strcmp(verb, "get-failures") == 0)
        return memory_say("0");
    if (strcmp(verb, "get-state") == 0)
        return memory_say(!next || memory_taken() ? "good" : "bad");
    if (strcmp(verb, "get-version") == 0)
        return next && file_line(MEMORY_VERSION, version, sizeof version) == 0 ? memory_say(version)
                                                                               : -1;
    if (strcmp(verb, "set-version") == 0)
        return memory_set_version(value);
    if (strcmp(verb, "set-primary") == 0)
        return next ? memory_load() : memory_drop();
    if (strcmp(verb, "set-state") == 0)
        return next && strcmp(value, "bad") == 0 ? memory_drop() : 0;
    return memory_complain(verb, "no such command");
}

int memory_slot(int count, char *const arguments[])
{
    const char *slot = count > 2 ? arguments[2] : "A";
    return memory_command(count > 1 ? arguments[1] : "", strcmp(slot, "B") == 0,
                          count > 3 ? arguments[3] : "") < 0;
}
