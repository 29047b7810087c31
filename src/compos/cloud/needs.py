"""What each cloud needs of an image: one row for each. Pure.

Sources stand beside the rows. Sizes are in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["NEEDS", "Need"]

MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40


class Need(NamedTuple):
    """What a cloud takes and what runs there.

    `containers` are the kinds of files that it takes (`disk_file.CONTAINERS`); `suffixes` are what
    `compos build` calls them. `formats` are the formats to build, by architecture; `uefi` the ones
    if the image has to be started by UEFI. A disk's size is a multiple of `unit`, and at most
    `largest`. `firmware` is what starts machines, by architecture. `disk_drivers` and
    `network_drivers` are groups of kernel modules; of each group the disk must have one.
    """

    containers: tuple[str, ...]
    suffixes: tuple[str, ...]
    formats: Mapping[str, str]
    uefi: Mapping[str, str]
    firmware: Mapping[str, frozenset[str]]
    unit: int = 1
    largest: int = 64 * TIB
    disk_drivers: tuple[tuple[str, ...], ...] = ()
    network_drivers: tuple[tuple[str, ...], ...] = ()


_BOTH = frozenset({"bios", "efi"})
_UEFI = frozenset({"efi"})
_FIRMWARE = {"amd64": _BOTH, "arm64": _UEFI}

NEEDS = {
    # Amazon EC2 user guide, "Amazon EBS volumes and NVMe", "Enhanced networking": what all
    # instances of the Nitro system have. A snapshot is of whole GiB, which are filled up.
    "aws": Need(
        ("raw",),
        (".raw", "-efi.img", "-bios.img", ".img"),
        {"amd64": "aws", "arm64": "aws"},
        {"amd64": "raw-efi", "arm64": "aws"},
        _FIRMWARE,
        disk_drivers=(("nvme",),),
        network_drivers=(("ena",),),
    ),
    # Azure: "Prepare Linux for imaging", "Windows VHD": a fixed VHD, whole MiB; OS disks of the
    # second generation have up to 4 TiB.
    "azure": Need(
        ("vhd",),
        (".vhd",),
        {"amd64": "vhd", "arm64": "vhd"},
        {"amd64": "vhd", "arm64": "vhd"},
        _FIRMWARE,
        unit=MIB,
        largest=4 * TIB,
        disk_drivers=(("hv_storvsc", "nvme"),),
        network_drivers=(("hv_netvsc", "mana"),),
    ),
    # Compute Engine: "Manually import boot disks": disk.raw of whole GiB in a tar, up to
    # 2 TiB.
    "gcp": Need(
        ("gcp",),
        (".img.tar.gz",),
        {"amd64": "gcp", "arm64": "gcp"},
        {"amd64": "gcp", "arm64": "gcp"},
        _FIRMWARE,
        unit=GIB,
        largest=2 * TIB,
        disk_drivers=(("virtio_scsi", "nvme"),),
        network_drivers=(("virtio_net", "gve"),),
    ),
    # Glance's usual disk formats; Nova's machines with libvirt have virtio.
    "openstack": Need(
        ("qcow2", "raw", "iso", "vmdk", "vhdx", "vhd", "dynamic-vhd"),
        (".qcow2", "-efi.qcow2", ".img", ".iso", ".vmdk", ".vhdx", ".vhd"),
        {"amd64": "qcow2", "arm64": "qcow2", "riscv64": "qcow2"},
        {"amd64": "qcow2", "arm64": "qcow2", "riscv64": "qcow2"},
        {**_FIRMWARE, "riscv64": _UEFI},
        disk_drivers=(("virtio_blk", "virtio_scsi", "ahci", "ata_piix"),),
        network_drivers=(("virtio_net", "e1000"),),
    ),
    # Scaleway: "Importing an image", "Understanding Instance boot": a qcow2 with an EFI system
    # partition; SCSI disks for block storage.
    "scaleway": Need(
        ("qcow2",),
        (".qcow2", "-efi.qcow2"),
        {"amd64": "qcow2", "arm64": "qcow2"},
        {"amd64": "qcow2-efi", "arm64": "qcow2"},
        {"amd64": _UEFI, "arm64": _UEFI},
        disk_drivers=(("virtio_scsi", "virtio_blk"),),
        network_drivers=(("virtio_net",),),
    ),
    # DigitalOcean: "Custom Images", image requirements: below 100 GB, started by a BIOS.
    "digitalocean": Need(
        ("qcow2", "raw", "vmdk", "vhdx"),
        (".qcow2", ".img", ".vmdk", ".vhdx"),
        {"amd64": "qcow2"},
        {},
        {"amd64": frozenset({"bios"})},
        largest=100 * 10**9,
        disk_drivers=(("virtio_blk", "virtio_scsi"),),
        network_drivers=(("virtio_net",),),
    ),
    # Hetzner Cloud: machines have a SCSI disk of virtio's; x86 starts by a BIOS or UEFI, Arm by
    # UEFI. The smallest has 40 GB.
    "hetzner": Need(
        ("raw",),
        (".img", ".raw", "-efi.img", "-bios.img"),
        {"amd64": "raw", "arm64": "raw"},
        {"amd64": "raw-efi", "arm64": "raw"},
        _FIRMWARE,
        disk_drivers=(("virtio_scsi",),),
        network_drivers=(("virtio_net",),),
    ),
    # vCenter takes OVAs as they are: `compos build -f ova` says in them which firmware they need.
    "vcenter": Need(
        ("ova",),
        (".ova",),
        {"amd64": "ova"},
        {"amd64": "ova"},
        {"amd64": _BOTH},
    ),
}
