"""A tree as bytes: archives (cpio, tar) and file systems (EROFS, squashfs, ext4, FAT, ISO 9660)."""
