"""Systems booted in QEMU and driven through their serial consoles."""
