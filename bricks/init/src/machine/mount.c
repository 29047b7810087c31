/* mount.c: see mount.h. */
#include "machine/mount.h"

#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS". Propagation words stand apart: the kernel takes
 * them alone.
 */
static const struct {
    const char *name;
    unsigned long set;
    unsigned long clear;
    unsigned long propagation;
} mount_words[] = {
    {"async", 0, MS_SYNCHRONOUS, 0},
    {"atime", 0, MS_NOATIME, 0},
    {"bind", MS_BIND, 0, 0},
    {"defaults", 0, 0, 0},
    {"dev", 0, MS_NODEV, 0},
    {"diratime", 0, MS_NODIRATIME, 0},
    {"dirsync", MS_DIRSYNC, 0, 0},
    {"exec", 0, MS_NOEXEC, 0},
    {"mand", MS_MANDLOCK, 0, 0},
    {"noatime", MS_NOATIME, 0, 0},
    {"nodev", MS_NODEV, 0, 0},
    {"nodiratime", MS_NODIRATIME, 0, 0},
    {"noexec", MS_NOEXEC, 0, 0},
    {"nomand", 0, MS_MANDLOCK, 0},
    {"norelatime", 0, MS_RELATIME, 0},
    {"nostrictatime", 0, MS_STRICTATIME, 0},
    {"nosuid", MS_NOSUID, 0, 0},
    {"private", 0, 0, MS_PRIVATE},
    {"rbind", MS_BIND | MS_REC, 0, 0},
    {"relatime", MS_RELATIME, 0, 0},
    {"remount", MS_REMOUNT, 0, 0},
    {"ro", MS_RDONLY, 0, 0},
    {"rprivate", 0, 0, MS_PRIVATE | MS_REC},
    {"rshared", 0, 0, MS_SHARED | MS_REC},
    {"rslave", 0, 0, MS_SLAVE | MS_REC},
    {"runbindable", 0, 0, MS_UNBINDABLE | MS_REC},
    {"rw", 0, MS_RDONLY, 0},
    {"shared", 0, 0, MS_SHARED},
    {"slave", 0, 0, MS_SLAVE},
    {"strictatime", MS_STRICTATIME, 0, 0},
    {"suid", 0, MS_NOSUID, 0},
    {"sync", MS_SYNCHRONOUS, 0, 0},
    {"unbindable", 0, 0, MS_UNBINDABLE},
};

static const unsigned long mount_flags_per_mount = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC |
                                                   MS_NOATIME | MS_NODIRATIME | MS_RELATIME |
                                                   MS_STRICTATIME;

static bool mount_read_word(struct mount_options *options, const char *word, size_t length)
{
    for (size_t i = 0; i < sizeof mount_words / sizeof *mount_words; i++) {
        if (strlen(mount_words[i].name) != length || memcmp(mount_words[i].name, word, length) != 0)
            continue;
        options->flags = (options->flags & ~mount_words[i].clear) | mount_words[i].set;
        if (mount_words[i].propagation)
            options->propagation = mount_words[i].propagation;
        return true;
    }
    return false;
}

int mount_options_read(struct mount_options *options, const char *list)
{
    options->flags = options->propagation = 0;
    size_t used = 0;
    for (const char *word = list;; word++) {
        size_t length = strcspn(word, ",");
        if (length > 0 && !mount_read_word(options, word, length)) {
            if (used + length + 2 > sizeof options->data)
                return -1;
            if (used > 0)
                options->data[used++] = ',';
            memcpy(options->data + used, word, length);
            used += length;
        }
        word += length;
        if (!*word)
            break;
    }
    options->data[used] = '\0';
    return 0;
}

int mount_on(const char *source, const char *target, const char *type,
             const struct mount_options *options)
{
    unsigned long flags = options->flags;
    if (flags & MS_REMOUNT) {
        if (mount(source, target, NULL, flags, options->data) < 0)
            return -1;
    } else if (flags & MS_BIND) {
        if (mount(source, target, NULL, flags & (MS_BIND | MS_REC), NULL) < 0)
            return -1;
        if ((flags & mount_flags_per_mount) &&
            mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | (flags & mount_flags_per_mount),
                  NULL) < 0)
            return -1;
    } else if (*type) {
        if (mount(source, target, type, flags, options->data) < 0)
            return -1;
    } else if (!options->propagation) {
        errno = EINVAL;
        return -1;
    }
    return options->propagation ? mount(NULL, target, NULL, options->propagation, NULL) : 0;
}

/* Makes the directory that an option such as upperdir= names. */
static int mount_make_named(const char *data, const char *key)
{
    const char *found = data;
    size_t size = strlen(key);
    while ((found = strstr(found, key)) != NULL && found != data && found[-1] != ',')
        found += size;
    if (!found)
        return 0;
    char path[PATH_SIZE];
    int length = snprintf(path, sizeof path, "%.*s", (int)strcspn(found + size, ","), found + size);
    if ((size_t)length >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return directory_make(path);
}

/* A file's bind needs a file to lie on. */
static int mount_make_target(const char *source, const char *target, unsigned long flags)
{
    struct stat status;
    if (!(flags & MS_BIND) || stat(source, &status) < 0 || S_ISDIR(status.st_mode))
        return directory_make(target);
    if (stat(target, &status) == 0)
        return 0;
    int file = directory_make_parents(target) < 0
                   ? -1
                   : open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return file < 0 ? -1 : close(file);
}

/*
 * The target as a path to mount on; for one below `root` through a descriptor, which the caller
 * closes.
 */
static int mount_place(const char *const argument[], const char *root, unsigned long flags,
                       char *path, int *descriptor)
{
    *descriptor = -1;
    if (*argument[1] == '/' || !root) {
        if (snprintf(path, PATH_SIZE, "%s", argument[1]) >= PATH_SIZE) {
            errno = ENAMETOOLONG;
            return -1;
        }
        return mount_make_target(argument[0], path, flags);
    }
    *descriptor = directory_make_below(root, argument[1]);
    snprintf(path, PATH_SIZE, "/proc/self/fd/%d", *descriptor);
    return *descriptor < 0 ? -1 : 0;
}

int mount_line(const char *const argument[], const char *root, struct failure *failure)
{
    struct mount_options options;
    char path[PATH_SIZE];
    int descriptor;
    if (mount_options_read(&options, argument[3]) < 0)
        return failed(failure, "mount %s: options too long", argument[1]);
    if (mount_make_named(options.data, "upperdir=") < 0 ||
        mount_make_named(options.data, "workdir=") < 0)
        return failed_errno(failure, "mount %s: cannot create a directory from its options",
                            argument[1]);
    if (mount_place(argument, root, options.flags, path, &descriptor) < 0)
        return failed_errno(failure, "mount %s: cannot create the mount point", argument[1]);
    int result = mount_on(argument[0], path, argument[2], &options);
    int reason = errno;
    if (result < 0)
        failed_errno(failure, "mount %s on %s", *argument[0] ? argument[0] : argument[2],
                     argument[1]);
    if (descriptor >= 0)
        close(descriptor);
    errno = reason;
    return result;
}

int mount_line_optional(const char *const argument[], const char *root, struct failure *failure)
{
    int result = mount_line(argument, root, failure);
    return result < 0 && (errno == ENODEV || errno == ENOENT || errno == EROFS || errno == EPERM)
               ? 0
               : result;
}
