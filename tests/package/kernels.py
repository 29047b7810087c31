"""What a kernel's package holds, as far as every kernel image needs it."""

from __future__ import annotations

from compos.tree.node import Tree, file

__all__ = ["BASE", "KERNEL"]

BASE = "usr/lib/modules/6.12"
KERNEL: Tree = {
    "boot/vmlinuz-6.12": file(b"kernel", 0o600, 0),
    f"{BASE}/modules.builtin": file(b"", 0o644, 0),
}
