"""VMware Workstation and Fusion, by a .vmx file and vmrun.

Pure. Sources: VMware, "Using vmrun to Control Virtual Machines"; "Virtual Disk Manager User's
Guide".
"""

from __future__ import annotations

from compos.errors import RunError
from compos.run.hypervisors.plan import Guest, Plan, Step, require_disk

__all__ = ["plan"]


def plan(guest: Guest, *, vmrun: str, diskmanager: str, fusion: bool) -> Plan:
    """The machine in `STATE/linuxkit.vmx`, started; it goes on by itself, and its serial port is in
    `STATE/console.log`."""
    if guest.boot.disk is None:
        raise RunError(
            "disk-format",
            "VMware boots disks here",
            place=str(guest.boot.prefix),
            hint="Build one: compos build -f vmdk FILE.yml",
        )
    disks = [guest.boot.disk.path, *(disk.path for disk in guest.disks)]
    for path in disks:
        require_disk(path, (".vmdk",), "VMware", "vmdk")
    made = [
        Step(
            (diskmanager, "-c", "-s", f"{disk.size}MB", "-a", "lsilogic", "-t", "0", str(disk.path))
        )
        for disk in guest.disks
        if disk.size and not disk.path.exists()
    ]
    file = guest.state / "linuxkit.vmx"
    kind = "fusion" if fusion else "ws"
    start = Step((vmrun, "-T", kind, "start", str(file), *(() if guest.gui else ("nogui",))))
    settings = {
        ".encoding": "UTF-8",
        "config.version": "8",
        "virtualHW.version": "12",
        "displayName": guest.name,
        "guestOS": "other3xlinux-64",
        "firmware": "efi" if guest.uefi else "bios",
        "numvcpus": str(guest.cpus),
        "memsize": str(guest.mem),
        "floppy0.present": "FALSE",
        "vmci0.present": "TRUE",
        "scsi0.present": "TRUE",
        "scsi0.virtualDev": "lsilogic",
        "pciBridge0.present": "TRUE",
        "pciBridge4.present": "TRUE",
        "pciBridge4.virtualDev": "pcieRootPort",
        "pciBridge4.functions": "8",
        "ethernet0.present": "TRUE",
        "ethernet0.virtualDev": "e1000",
        "ethernet0.addressType": "generated",
        "serial0.present": "TRUE",
        "serial0.fileType": "file",
        "serial0.fileName": str(guest.state / "console.log"),
    }
    for number, path in enumerate(disks):
        settings[f"scsi0:{number}.present"] = "TRUE"
        settings[f"scsi0:{number}.fileName"] = str(path)
    text = "".join(f'{key} = "{_escaped(value)}"\n' for key, value in settings.items())
    return Plan((*made, start), ((file, text.encode()),))


def _escaped(value: str) -> str:
    """A value of a .vmx: what would end it is written as `|` and two hexadecimal digits."""
    return "".join(
        f"|{ord(letter):02X}" if letter in '"|#' or ord(letter) < 0x20 else letter
        for letter in value
    )
