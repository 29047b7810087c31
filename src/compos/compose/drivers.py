"""Which kernel modules a machine needs that nobody names in a YAML: disks, networks, what init
itself uses. Pure.

Names are the kernel's; a kernel has few of them as modules, the rest is built in or not for its
machines.
"""

from __future__ import annotations

__all__ = ["ANY", "BASE", "CHECKSUMS", "DISKS", "LABEL", "MACHINES", "TPMS"]

LABEL = "org.compos.modules"
"""Of images whose programs need kernel modules: their names, with blanks between them."""

TPMS = ("tpm_tis", "tpm_crb")
"""Interfaces of TPMs, which init measures the boot into; kernels for x86 have them built in."""

BASE = ("overlay", "loop", "evdev", "button", "rtc_cmos", "rtc_pl031", "efivarfs", *TPMS)
"""What init uses: writable roots, roots in files, the power button, the clock, TPMs."""

CHECKSUMS = ("crc32c_generic", "crc32c_intel", "crc32c_x86", "libcrc32c", "crc32c_cryptoapi")
"""What file systems ask the kernel's cryptography for by name, which no index says."""

_VIRTIO = (
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_scsi",
    "virtio_net",
    "virtio_rng",
    "virtio_console",
)
_USB = (
    "xhci_pci",
    "xhci_plat_hcd",
    "ehci_pci",
    "ohci_pci",
    "uhci_hcd",
    "usb_storage",
    "uas",
    "usbhid",
    "hid_generic",
)

DISKS = (
    # Virtual machines and clouds.
    *(
        "virtio_pci",
        "virtio_mmio",
        "virtio_blk",
        "virtio_scsi",
        "hv_vmbus",
        "hv_storvsc",
        "pci_hyperv",
        "vmw_pvscsi",
    ),
    *("mptspi", "mptsas", "xen_blkfront", "xen_scsifront"),
    # Disks and CDs on real machines.
    *("sd_mod", "sr_mod", "nvme", "ahci", "ahci_platform", "ata_piix", "ata_generic", "pata_acpi"),
    *("sata_nv", "sata_sil", "megaraid_sas", "mpt3sas", "hpsa", "smartpqi", "aacraid", "vmd"),
    # USB, cards, and what leads to them.
    *("xhci_pci", "xhci_plat_hcd", "ehci_pci", "ohci_pci", "uhci_hcd", "usb_storage", "uas"),
    *(
        "mmc_block",
        "sdhci_pci",
        "sdhci_acpi",
        "sdhci_iproc",
        "bcm2835",
        "dw_mmc_rockchip",
        "phy_generic",
    ),
)
"""Where a root file system can be."""

_NETWORKS = (
    *(
        "e1000",
        "e1000e",
        "igb",
        "igc",
        "ixgbe",
        "i40e",
        "ice",
        "r8169",
        "tg3",
        "bnxt_en",
        "mlx5_core",
    ),
    *(
        "atlantic",
        "forcedeth",
        "sky2",
        "alx",
        "8139cp",
        "bcmgenet",
        "lan78xx",
        "smsc95xx",
        "dwmac_rk",
        "stmmac_pci",
    ),
)

MACHINES = {
    "virtual": (*_VIRTIO, "ahci", "nvme", "sd_mod", "sr_mod", "e1000", "e1000e"),
    "firecracker": ("virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng", "virtio_vsock"),
    "aws": ("nvme", "ena", "xen_blkfront", "xen_netfront", "ixgbevf"),
    "gcp": (*_VIRTIO, "gve", "nvme", "sd_mod"),
    "azure": (
        "hv_vmbus",
        "hv_storvsc",
        "hv_netvsc",
        "hv_utils",
        "pci_hyperv",
        "sd_mod",
        "nvme",
        "mana",
        "mlx5_core",
    ),
    "vmware": (
        "vmw_pvscsi",
        "vmxnet3",
        "vmw_balloon",
        "vmw_vsock_vmci_transport",
        "ahci",
        "sd_mod",
        "sr_mod",
        "e1000e",
    ),
    "metal": (*DISKS, *_NETWORKS, *_USB),
}
"""By where a system runs."""

ANY = tuple(MACHINES)
"""For formats that run anywhere."""
