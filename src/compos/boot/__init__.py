"""What firmware starts: a unified kernel image for UEFI, our own loader for BIOS, the small initrd
that finds a root."""
