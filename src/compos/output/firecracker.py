"""`firecracker`: an uncompressed kernel, the root as a read-only disk, the initrd that finds it,
and the machine's description.

May touch: the store (the kernel decompressed). Source: Firecracker, docs/getting-started.md
("configuration file").
"""

from __future__ import annotations

import json

from compos.output.job import Job
from compos.output.payload import finder_initrd, plain_kernel_pieces, required_kernel
from compos.output.root_filesystem import root_filesystem
from compos.output.roots import PLAIN, ROOTS
from compos.output.write import Output

__all__ = ["microvm"]


def microvm(job: Job) -> list[Output]:
    """`-vmlinux`, `-firecracker.img`, `-firecracker-initrd.img`, `-firecracker.json`. Raises
    `OutputError` (`kernel-none`)."""
    kernel = required_kernel(job)
    asked = ROOTS.get(job.request.root, PLAIN)
    root = root_filesystem(job, asked if asked.microvm else PLAIN)
    names = {
        part: f"{job.request.name}{part}"
        for part in ("-vmlinux", "-firecracker.img", "-firecracker-initrd.img")
    }
    machine = {
        "boot-source": {
            "kernel_image_path": names["-vmlinux"],
            "initrd_path": names["-firecracker-initrd.img"],
            # Firecracker has neither PCI nor a keyboard controller; a panic or a reboot ends the
            # machine.
            "boot_args": f"{job.system.cmdline.strip()} reboot=k panic=1 pci=off".strip(),
        },
        "drives": [
            {
                "drive_id": "root",
                "path_on_host": names["-firecracker.img"],
                "is_root_device": False,
                "is_read_only": True,
            }
        ],
        "machine-config": {"vcpu_count": 1, "mem_size_mib": 512},
    }
    return [
        Output("-vmlinux", plain_kernel_pieces(job, kernel)),
        Output("-firecracker.img", root.pieces),
        Output("-firecracker-initrd.img", finder_initrd(job, root, (0, 0))),
        Output("-firecracker.json", (json.dumps(machine, indent=2).encode() + b"\n",)),
    ]
