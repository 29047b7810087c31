/*
 * signature.c: the magic numbers of file systems and volumes, where each format's specification
 * puts them.
 */
#include "disk/signature.h"

#include "disk/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 0x11000, MIB = 1 << 20 };

/* The first HEAD bytes, zeros behind the region's end. */
struct head {
    uint8_t bytes[HEAD];
};

struct magic {
    const char *name;
    const char *what;
    const char *bytes;
    uint32_t length;
    uint32_t offset;
    uint32_t label, label_size;
    uint32_t uuid;
    bool mountable;
};

/* clang-format off */
static const struct magic signature_magics[] = {
    {"LUKS1",      "volume",      "LUKS\xba\xbe\0\1",  8, 0,       0, 0,           0,       false},
    {"LUKS2",      "volume",      "LUKS\xba\xbe\0\2",  8, 0,       24, 48,         0,       false},
    {"LUKS2",      "volume",      "SKUL\xba\xbe",      6, 0x4000,  0, 0,           0,       false},
    {"xfs",        "file system", "XFSB",              4, 0,       108, 12,        32,      true},
    {"ext",        "file system", "\x53\xef",          2, 0x438,   0x478, 16,      0x468,   true},
    {"btrfs",      "file system", "_BHRfS_M",          8, 0x10040, 0x1012b, 256,   0x10020, true},
    {"exfat",      "file system", "EXFAT   ",          8, 3,       0, 0,           0,       true},
    {"NTFS",       "file system", "NTFS    ",          8, 3,       0, 0,           0,       false},
    {"BitLocker",  "volume",      "-FVE-FS-",          8, 3,       0, 0,           0,       false},
    {"vfat",       "file system", "FAT32   ",          8, 0x52,    0x47, 11,       0,       true},
    {"vfat",       "file system", "FAT16   ",          8, 0x36,    0x2b, 11,       0,       true},
    {"vfat",       "file system", "FAT12   ",          8, 0x36,    0x2b, 11,       0,       true},
    {"iso9660",    "file system", "CD001",             5, 0x8001,  0x8028, 32,     0,       true},
    {"squashfs",   "file system", "hsqs",              4, 0,       0, 0,           0,       true},
    {"erofs",      "file system", "\xe2\xe1\xf5\xe0",  4, 0x400,   0x440, 16,      0x430,   true},
    {"f2fs",       "file system", "\x10\x20\xf5\xf2",  4, 0x400,   0, 0,           0x46c,   true},
    {"swap",       "area",        "SWAPSPACE2",        10, 0xff6,  0x41c, 16,      0x40c,   false},
    {"swap",       "area",        "SWAPSPACE2",        10, 0xfff6, 0x41c, 16,      0x40c,   false},
    {"LVM",        "volume",      "LABELONE",          8, 0,       0, 0,           0,       false},
    {"LVM",        "volume",      "LABELONE",          8, 0x200,   0, 0,           0,       false},
    {"bcache",     "volume",      "\xc6\x85\x73\xf6",  4, 0x1018,  0, 0,           0,       false},
    {"md RAID",    "member",      "\xfc\x4e\x2b\xa9",  4, 0,       0, 0,           0,       false},
    {"md RAID",    "member",      "\xfc\x4e\x2b\xa9",  4, 0x1000,  0, 0,           0,       false},
};
/* clang-format on */

static void signature_text(char *text, const uint8_t *bytes, size_t size)
{
    size_t length = 0;
    while (length < size && bytes[length] != 0)
        length++;
    while (length > 0 && bytes[length - 1] == ' ')
        length--;
    memcpy(text, bytes, length);
    text[length] = 0;
}

static void signature_uuid(char *text, const uint8_t *bytes)
{
    for (int index = 0; index < 16; index++) {
        if (index == 4 || index == 6 || index == 8 || index == 10)
            *text++ = '-';
        snprintf(text, 3, "%02x", bytes[index]);
        text += 2;
    }
}

/*
 * Nothing but what mkfs makes: the inodes up to lost+found, and an orphan file's. All fields are in
 * the superblock's first sector, which a disk writes as a whole.
 */
static bool signature_ext_unused(const uint8_t *super)
{
    enum { LOST_FOUND = 11, CLEAN = 1 };
    uint32_t used = little32(super) - little32(super + 0x10);
    uint32_t made = LOST_FOUND + (little32(super + 0x5c) & 0x1000 ? 1 : 0);
    uint32_t mounted = little32(super + 0x2c), mounts = little16(super + 0x34);
    return mounted == 0 && mounts == 0 && little16(super + 0x3a) == CLEAN && super[0x88] == 0 &&
           used <= made;
}

/* ext2, ext3 and ext4 differ by the features of the superblock at 1024. */
static bool signature_ext(struct signature *signature, const uint8_t *super)
{
    uint32_t compatible = little32(super + 0x5c), incompatible = little32(super + 0x60),
             writable = little32(super + 0x64), shift = little32(super + 0x18);
    if (shift > 6)
        return false;
    if (incompatible & 0x8) {
        signature->name = "ext", signature->what = "journal", signature->mountable = false;
        return true;
    }
    uint64_t blocks = little32(super + 4);
    if (incompatible & 0x80)
        blocks |= (uint64_t)little32(super + 0x150) << 32;
    signature->size = blocks << (10 + shift);
    /* extents, 64bit, mmp, flex_bg, ea_inode, inline_data...; huge_file and what followed. */
    if (incompatible & ~0x3eu || writable & ~0x7u)
        signature->name = "ext4";
    else
        signature->name = compatible & 0x4 ? "ext3" : "ext2";
    signature->unused = signature_ext_unused(super);
    return true;
}

static void signature_serial(char *text, const uint8_t *bytes)
{
    snprintf(text, 10, "%04X-%04X", little16(bytes + 2), little16(bytes));
}

/* What a table of magic numbers cannot say. False: this is not one after all. */
static bool signature_complete(struct signature *signature, const uint8_t *head,
                               const struct magic *magic)
{
    if (strcmp(magic->name, "ext") == 0)
        return signature_ext(signature, head + 0x400);
    if (strcmp(magic->name, "xfs") == 0)
        signature->size = big64(head + 8) * big32(head + 4);
    if (strcmp(magic->name, "btrfs") == 0)
        signature->size = little64(head + 0x100d1);
    if (strncmp(magic->name, "LUKS", 4) == 0 && magic->offset == 0)
        signature_text(signature->uuid, head + 168, 40);
    if (strcmp(magic->name, "vfat") == 0) {
        signature_serial(signature->uuid, head + (magic->offset == 0x52 ? 0x43 : 0x27));
        if (strcmp(signature->label, "NO NAME") == 0)
            *signature->label = 0;
        return head[510] == 0x55 && head[511] == 0xaa;
    }
    return true;
}

static bool signature_match(struct signature *signature, const uint8_t *head,
                            const struct magic *magic)
{
    if (memcmp(head + magic->offset, magic->bytes, magic->length) != 0)
        return false;
    *signature = (struct signature){.name = magic->name, .what = magic->what};
    signature->mountable = magic->mountable;
    if (magic->label_size)
        signature_text(signature->label, head + magic->label, magic->label_size);
    if (magic->uuid)
        signature_uuid(signature->uuid, head + magic->uuid);
    return signature_complete(signature, head, magic);
}

/* md's superblocks 0.90 and 1.0 stand at the end, so that the file system begins at 0. */
static int signature_read_tail(const struct region *region, struct signature *signature,
                               struct failure *failure)
{
    if (region->size < 0x20000)
        return 0;
    const uint64_t places[] = {(region->size & ~UINT64_C(0xffff)) - 0x10000,
                               (region->size - 0x2000) & ~UINT64_C(0xfff)};
    for (int index = 0; index < 2; index++) {
        uint8_t magic[4];
        if (read_at(region->descriptor, magic, sizeof magic, region->start + places[index]) < 0)
            return failed_errno(failure, "cannot be read");
        if (little32(magic) == 0xa92b4efc) {
            *signature = (struct signature){.name = "md RAID", .what = "member"};
            return 1;
        }
    }
    return 0;
}

/* Whether a second magic number is there: what was here before is seen beside what is. */
static bool signature_is_alone(const uint8_t *head)
{
    int found = 0;
    for (size_t index = 0; index < sizeof signature_magics / sizeof *signature_magics; index++) {
        const struct magic *magic = &signature_magics[index];
        found += memcmp(head + magic->offset, magic->bytes, magic->length) == 0;
    }
    return found == 1;
}

int signature_read(const struct region *region, struct signature *signature,
                   struct failure *failure)
{
    *signature = (struct signature){0};
    int found = signature_read_tail(region, signature, failure);
    if (found != 0)
        return found;
    struct head *head = calloc(1, sizeof *head);
    if (!head)
        return failed_errno(failure, "no memory");
    size_t length = region->size < HEAD ? (size_t)region->size : HEAD;
    if (read_at(region->descriptor, head->bytes, length, region->start) < 0)
        found = failed_errno(failure, "cannot be read");
    const size_t count = sizeof signature_magics / sizeof *signature_magics;
    for (size_t index = 0; found == 0 && index < count; index++)
        found = signature_match(signature, head->bytes, &signature_magics[index]);
    signature->unused = signature->unused && signature_is_alone(head->bytes);
    free(head);
    if (found == 0)
        *signature = (struct signature){0};
    return found;
}

static int signature_is_uniform(const struct region *region, uint64_t offset, size_t length,
                                struct failure *failure)
{
    uint8_t *bytes = malloc(length);
    if (!bytes)
        return failed_errno(failure, "no memory");
    int blank = read_at(region->descriptor, bytes, length, region->start + offset);
    if (blank < 0)
        failed_errno(failure, "cannot be read");
    else
        blank = length == 0 ||
                ((bytes[0] == 0 || bytes[0] == 0xff) && memcmp(bytes, bytes + 1, length - 1) == 0);
    free(bytes);
    return blank;
}

int region_is_blank(const struct region *region, struct failure *failure)
{
    size_t length = region->size < MIB ? (size_t)region->size : MIB;
    int blank = signature_is_uniform(region, 0, length, failure);
    if (blank <= 0)
        return blank;
    return signature_is_uniform(region, region->size - length, length, failure);
}
