"""libvirt, by virsh and a domain's XML: QEMU, as libvirt runs it.

Pure. Sources: libvirt.org/formatdomain.html; virsh(1).
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from compos.errors import RunError
from compos.run.hypervisors.plan import Guest, Plan, Step

__all__ = ["domain", "parse_network", "plan"]

FORMATS = {"vpc": "vpc", "": "raw"}
BUSES = {"x86_64": "sata", "aarch64": "scsi", "riscv64": "scsi"}
"""What CDs are attached to."""
MACHINES = {"x86_64": "q35", "aarch64": "virt", "riscv64": "virt"}


def parse_network(text: str) -> tuple[str, str]:
    """`user`, `none`, `network,NAME`, `bridge,NAME`: kind and name. Raises `RunError`
    (`networking-syntax`)."""
    kind, comma, name = text.partition(",")
    if (kind in ("user", "none") and not comma) or (kind in ("network", "bridge") and name):
        return kind, name
    raise RunError(
        "networking-syntax",
        f"--networking {text} is not valid",
        hint="Use user, network,NAME, bridge,NAME or none.",
    )


def plan(
    guest: Guest,
    *,
    program: str,
    uri: str,
    arch: str,
    accel: str,
    network: tuple[str, str],
    mac: str | None,
) -> Plan:
    """A transient domain: libvirt forgets it when it ends. With `keep` it goes on without us."""
    file = guest.state / "domain.xml"
    text = domain(guest, arch=arch, accel=accel, network=network, mac=mac)
    virsh = (program, "--connect", uri, "--quiet")
    after = () if guest.keep else (Step((*virsh, "destroy", "--", guest.name), may_fail=True),)
    return Plan(
        (Step((*virsh, "create", "--", str(file)), makes=True),),
        ((file, text),),
        guest.state / "console",
        after,
    )


def domain(
    guest: Guest, *, arch: str, accel: str, network: tuple[str, str], mac: str | None
) -> bytes:
    """The domain's XML; `accel` is `kvm` or `tcg`."""
    root = ElementTree.Element("domain", type="kvm" if accel == "kvm" else "qemu")
    _add(root, "name", guest.name)
    _add(root, "memory", str(guest.mem), unit="MiB")
    _add(root, "vcpu", str(guest.cpus))
    os = _add(root, "os", **({"firmware": "efi"} if guest.uefi else {}))
    _add(os, "type", "hvm", arch=arch, machine=MACHINES[arch])
    if guest.uefi:
        # libvirt's first choice has Microsoft's keys, and starts only what they have signed.
        _add(_add(os, "firmware"), "feature", enabled="no", name="enrolled-keys")
    boot = guest.boot
    if boot.kernel:
        _add(os, "kernel", _absolute(boot.kernel))
        if boot.initrd:
            _add(os, "initrd", _absolute(boot.initrd))
        cmdline = boot.cmdline
        if boot.disk and not boot.initrd:
            cmdline = f"{cmdline} root=/dev/vda".strip()
        if cmdline:
            _add(os, "cmdline", cmdline)
    else:
        _add(os, "boot", dev="cdrom" if boot.iso else "hd")
    features = _add(root, "features")
    _add(features, "acpi")
    if accel == "kvm":
        _add(root, "cpu", mode="host-passthrough")
    _add(root, "on_reboot", "restart")
    _add(root, "on_crash", "destroy")
    devices = _add(root, "devices")
    disks = [*([boot.disk] if boot.disk else []), *guest.disks]
    for number, disk in enumerate(disks):
        _disk(devices, disk.path, FORMATS.get(disk.format, disk.format), f"vd{chr(97 + number)}")
    for number, path in enumerate(path for path in (boot.iso, guest.metadata) if path):
        _disk(devices, path, "raw", f"sd{chr(97 + number)}", cd=BUSES[arch])
    _network(devices, network, mac)
    serial = _add(devices, "serial", type="unix")
    _add(serial, "source", mode="connect", path=str(guest.state / "console"))
    _add(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    if guest.gui:
        _add(devices, "graphics", type="spice", autoport="yes")
        _add(_add(devices, "video"), "model", type="virtio")
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _add(
    parent: ElementTree.Element, tag: str, text: str = "", **fields: str
) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, fields)
    element.text = text or None
    return element


def _disk(
    devices: ElementTree.Element, path: Path, format: str, target: str, *, cd: str = ""
) -> None:
    disk = _add(devices, "disk", type="file", device="cdrom" if cd else "disk")
    _add(disk, "driver", name="qemu", type=format)
    _add(disk, "source", file=_absolute(path))
    _add(disk, "target", dev=target, bus=cd or "virtio")
    if cd:
        _add(disk, "readonly")


def _network(devices: ElementTree.Element, network: tuple[str, str], mac: str | None) -> None:
    kind, name = network
    if kind == "none":
        return
    card = _add(devices, "interface", type=kind)
    if mac:
        _add(card, "mac", address=mac)
    if name:
        _add(card, "source", **{kind: name})
    _add(card, "model", type="virtio")


def _absolute(path: Path) -> str:
    # libvirt's daemon has another folder.
    return str(path.absolute())
