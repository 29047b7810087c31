"""Versions of a system for disks with slots, and a guest that writes them into its slot B."""

from __future__ import annotations

from pathlib import Path

from compos.cli.main import main
from tests.guest import Guest
from tests.output.test_verified_disks import part, partitions

__all__ = ["BROKEN", "HALTS", "HANGS", "PANICS", "UNHEALTHY", "Versions", "boot"]

MIB = 1 << 20
BOOT, SYSTEM = 64 * MIB, 48 * MIB
TRIAL = 120
"""Seconds that a version has."""

YAML = """
kernel:
  image: compos/kernel:v1
  cmdline: console=ttyS0 quiet compos.watchdog=30 no_timer_check
  modules: [auto, i6300esb]
init: [compos/init:v1, compos/crun:v1]
slots: {{boot: 64m, system: 48m, timeout: {seconds}s}}
files:
  - {{path: etc/compos/version, contents: "{version}\\n"}}
services:
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
    devices: [{{path: all, type: a}}]
{more}
"""
_ONBOOT = """onboot:
  - name: wrong
    image: compos/busybox:v1
    binds: [/proc:/hostproc, /sys:/hostsys]
    pid: host
    capabilities: [all]
    on_failure: halt
    command: [/bin/sh, -c, "{}"]
"""
PANICS = _ONBOOT.format("echo c > /hostproc/sysrq-trigger")
HALTS = _ONBOOT.format("exit 3")
# A frozen PID 1 feeds no watchdog.
HANGS = _ONBOOT.format(
    "cd /hostsys/fs/cgroup; mkdir f; echo 1 > f/cgroup.procs; echo 1 > f/cgroup.freeze; sleep 1000"
)
UNHEALTHY = """  - name: web
    image: compos/busybox:v1
    command: [/bin/sleep, "1000"]
    healthcheck: {test: [CMD, /bin/false], interval: 1s, retries: 2, start_period: 1s}
"""
BROKEN = "broken"
"""In place of more YAML: the version is well, but a bit of its root is another one."""


class Versions:
    """A disk with version 1 in slot A, and others on a disk without a partition table."""

    def __init__(self, folder: Path, others: dict[str, str], *, form: str = "raw-efi") -> None:
        self.folder = folder
        self.form = form
        self.disk = self._build("1.0", "")
        self.store = folder / "versions.img"
        self._names = list(others)
        with self.store.open("wb") as out:
            for name, more in others.items():
                out.seek(self._at(name))
                boot, system = self._images(name, more)
                out.write(boot)
                out.seek(self._at(name) + BOOT)
                out.write(system)
            out.truncate(self._at("") + MIB)

    def _at(self, name: str) -> int:
        count = self._names.index(name) if name else len(self._names)
        return MIB + count * (BOOT + SYSTEM)

    def _build(self, version: str, more: str) -> Path:
        source = self.folder / f"v{version}.yml"
        source.write_text(YAML.format(seconds=TRIAL, version=version, more=more))
        options = ["-f", self.form, "--root", "erofs-verity-appended", "--size", "256M"]
        assert main(["build", *options, "--dir", str(self.folder), str(source)]) == 0
        return self.folder / f"v{version}{self.form.removeprefix('raw')}.img"

    def _images(self, name: str, more: str) -> tuple[bytes, bytes]:
        """What an update would write into the partitions of slot B."""
        disk = self._build(name, "" if more == BROKEN else more)
        _, found = partitions(disk)
        boot, _, system, _ = (part(disk, one, "part").read_bytes() for one in found[:4])
        disk.unlink()
        if more == BROKEN:
            system = system[:1088] + bytes((system[1088] ^ 1,)) + system[1089:]
        return boot.rstrip(b"\0"), system.rstrip(b"\0")

    def write(self, guest: Guest, name: str) -> None:
        """In the running guest: write a version into slot B, and have it tried."""
        guest.prompt()
        at = self._at(name) // MIB
        # Which disk is which depends on whose driver was first.
        store = "for d in /dev/sd?; do [ -e ${d}1 ] || break; done"
        copy = "dd bs=1M if=$d of=/dev/disk/by-partlabel"
        said = guest.run(
            f"{store}; {copy}/boot-b skip={at} count={BOOT // MIB} && "
            f"{copy}/system-b skip={at + BOOT // MIB} count={SYSTEM // MIB} && sync && "
            "slot set-primary B && echo written-$(slot get-primary)",
            180,
        )
        assert "written-B" in said, said


def boot(versions: Versions) -> Guest:
    """A guest with the disk; whoever calls ends it. UEFI keeps its variables, and there is a
    watchdog; with a BIOS there is none but the kernel's."""
    options = ["--state", str(versions.folder / "state")]
    if versions.form != "raw-bios":
        options += ["--uefi", "--device", "i6300esb"]
    stored = ("--disk", f"file={versions.store},format=raw")
    log = versions.folder / f"console-{len(list(versions.folder.glob('console-*')))}"
    return Guest(versions.disk, *options, *stored, log=log)
