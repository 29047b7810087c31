"""VirtualBox, by VBoxManage; LinuxKit's defects are put right.

Pure. Source: Oracle VirtualBox user manual, chapter "VBoxManage".
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from compos.errors import RunError
from compos.run.hypervisors.plan import Guest, Plan, Step, require_disk

__all__ = ["GROUP", "Network", "is_ours", "parse_network", "plan"]

GROUP = "/compos"
"""The group of the machines that we make: no other machine is touched, whatever its name."""
DISKS = (".vmdk", ".vhd", ".vdi")
IDE, SATA = "IDE Controller", "SATA"
TYPES = {
    "bridged": "bridgeadapter",
    "hostonly": "hostonlyadapter",
    "nat": "",
    "none": "",
    "null": "",
    "natnetwork": "natnetwork",
    "intnet": "intnet",
}
"""Kinds of networks, and the option that names the adapter or network of each."""


class Network(NamedTuple):
    """A network card: a row of `TYPES`, and what it is attached to."""

    type: str
    adapter: str = ""


def parse_network(text: str) -> Network:
    """`[type=]TYPE[,adapter=NAME]`; `bridgeadapter` and `hostadapter` are LinuxKit's other words
    for `adapter`. Raises `RunError` (`networking-syntax`)."""
    kind = adapter = ""
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals and not kind:
            kind = part
        elif key == "type":
            kind = value
        elif key in ("adapter", "bridgeadapter", "hostadapter"):
            adapter = value
        else:
            kind = ""
            break
    if kind not in TYPES or bool(adapter) != bool(TYPES[kind]):
        raise RunError(
            "networking-syntax",
            f"--networking {text} is not valid",
            hint=f"Use TYPE or TYPE,adapter=NAME, with one of: {', '.join(TYPES)}.",
        )
    return Network(kind, adapter)


def is_ours(information: str) -> bool:
    """Whether a machine is one that we made, by what `showvminfo --machinereadable` says."""
    return f'groups="{GROUP}"' in information.splitlines()


def plan(
    guest: Guest, *, program: str, networks: tuple[Network, ...] = (), replaces: bool = False
) -> Plan:
    """The commands of VBoxManage. `replaces` says that a machine of ours has the name."""
    medium = guest.boot.iso or (guest.boot.disk.path if guest.boot.disk else None)
    if medium is None:
        raise RunError(
            "disk-format",
            "VirtualBox boots CDs and disks, not kernels",
            place=str(guest.boot.prefix),
            hint="Build one: compos build -f iso,vmdk FILE.yml",
        )
    for disk in ([] if guest.boot.iso else [medium]) + [disk.path for disk in guest.disks]:
        require_disk(disk, DISKS, "VirtualBox", "vmdk")
    manage = _Manage(program)
    name, console = guest.name, guest.state / "console"
    modify = ("modifyvm", name)
    kind, boot = ("dvddrive", "dvd") if guest.boot.iso else ("hdd", "disk")
    steps = [
        *(_removal(manage, guest, medium) if replaces else ()),
        *_media(manage, guest),
        manage(
            *("createvm", "--name", name, "--register", "--groups", GROUP),
            *("--basefolder", str(guest.state)),
            makes=True,
        ),
        manage(*modify, "--acpi", "on"),
        manage(*modify, "--memory", str(guest.mem)),
        manage(*modify, "--cpus", str(guest.cpus)),
        manage(*modify, "--firmware", "efi" if guest.uefi else "bios"),
        manage(*modify, "--uart1", "0x3F8", "4"),
        manage(*modify, "--uartmode1", "client", str(console)),
        manage("storagectl", name, "--name", IDE, "--add", "ide"),
        manage(*_attach(name, IDE, 1, kind, str(medium))),
        manage(*modify, "--boot1", boot),
    ]
    if guest.disks:
        steps += [manage("storagectl", name, "--name", SATA, "--add", "sata")]
    steps += [
        manage(*_attach(name, SATA, port, "hdd", str(disk.path)))
        for port, disk in enumerate(guest.disks)
    ]
    steps += [manage(*modify, *_card(number, one)) for number, one in enumerate(networks, 1)]
    steps += [manage("startvm", name, "--type", "gui" if guest.gui else "headless")]
    after = [manage("controlvm", name, "poweroff", may_fail=True)]
    if not guest.keep:
        after = list(_removal(manage, guest, medium))
    return Plan(tuple(steps), (), console, tuple(after))


class _Manage(NamedTuple):
    program: str

    def __call__(self, *words: str, makes: bool = False, may_fail: bool = False) -> Step:
        return Step((self.program, *words), makes, may_fail)


def _media(manage: _Manage, guest: Guest) -> list[Step]:
    return [
        manage(
            *("createmedium", "disk", "--filename", str(disk.path), "--size", str(disk.size)),
            *("--format", disk.path.suffix[1:].upper()),
        )
        for disk in guest.disks
        if disk.size and not disk.path.exists()
    ]


def _removal(manage: _Manage, guest: Guest, medium: Path) -> list[Step]:
    """Take the disks out first: `unregistervm --delete`, which removes the machine's folder, would
    delete them, too."""
    attached = [(IDE, 1), *((SATA, port) for port in range(len(guest.disks)))]
    disks = [*([] if guest.boot.iso else [medium]), *(disk.path for disk in guest.disks)]
    return [
        manage("controlvm", guest.name, "poweroff", may_fail=True),
        *(
            manage(
                *("storageattach", guest.name, "--storagectl", controller, "--port", str(port)),
                *("--device", "0", "--medium", "none"),
                may_fail=True,
            )
            for controller, port in attached
        ),
        manage("unregistervm", guest.name, "--delete", may_fail=True),
        *(manage("closemedium", "disk", str(path), may_fail=True) for path in disks),
    ]


def _attach(name: str, controller: str, port: int, kind: str, medium: str) -> tuple[str, ...]:
    place = ("--storagectl", controller, "--port", str(port), "--device", "0")
    return ("storageattach", name, *place, "--type", kind, "--medium", medium)


def _card(number: int, network: Network) -> list[str]:
    line = [f"--nictype{number}", "virtio", f"--nic{number}", network.type]
    option = TYPES[network.type]
    spelt = {"natnetwork": "nat-network"}.get(option, option)
    line += [f"--{spelt}{number}", network.adapter] if network.adapter else []
    return [*line, f"--cableconnected{number}", "on"]
