"""Where a built system runs: QEMU."""
