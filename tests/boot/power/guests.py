"""A guest that runs the programs of the disk bricks, by a script, on as many disks as wanted."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from compos.run.virtual_machine import VirtualMachine, arguments
from tests.boot.power.host import Answer, run
from tests.boot.power.server import Fault, Server

__all__ = ["Disk", "Result", "run_script", "system"]

SYSTEM = """
kernel:
  image: compos/kernel:v1
  cmdline: "console=ttyS0 panic=-1"
  modules: [auto, ext4, xfs, btrfs, virtio_blk, virtio_scsi, sd_mod]
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: script
    image: compos/busybox:v1
    command: [/bin/sh, /dev/vda]
    binds: ["/:/host:rw,rshared", "/dev:/dev"]
    capabilities: [all]
    pid: host
    rootfsPropagation: shared
    devices:
      - {path: all, type: a}
# Never run as containers: their programs are run by the script, where they are.
onshutdown:
  - {name: format, image: "compos/format:v1"}
  - {name: extend, image: "compos/extend:v1"}
  - {name: mount, image: "compos/mount:v1", command: [/usr/bin/mountie]}
  - {name: crypt, image: "compos/dm-crypt:v1", command: [/usr/bin/crypto]}
{more}files:
  - {path: etc/dm-crypt/key, contents: "0123456789abcdef0123456789abcdef", mode: "0600"}
"""

# `unit NUMBER` sets `n` and `disk`, the node of that disk: names are given out as disks answer. `brick NUMBER PROGRAM...` runs a program in its container's root, and says on one line of
# the console how it ended and what it said.
HEAD = r"""
exec > /dev/console 2>&1
cd /host/containers/onshutdown
for root in */; do
    root=${root%/}
    [ -d $root/lower ] && root=$root/lower || root=$root/rootfs
    mkdir -p $root/dev $root/proc $root/sys $root/run $root/mnt $root/etc/dm-crypt
    mount --rbind /dev $root/dev
    mount -t proc proc $root/proc
    mount -t sysfs sys $root/sys
    mount -t tmpfs run $root/run
    mount --bind /host/etc/dm-crypt $root/etc/dm-crypt
    case $root in
        *format*) format=$root;; *extend*) extend=$root;; *mount*) mountie=$root;; *part*) partition=$root;;
        *) crypto=$root;;
    esac
done
unit() { n=$1; disk=/dev/$(ls /sys/bus/scsi/devices/0:0:0:$1/block); }
brick() {
    number=$1; program=$2; shift 2
    eval root=\$$program
    said=$(chroot $root /usr/bin/$program "$@" 2>&1); status=$?
    echo "@ $number $program $status" $said
    return $status
}
"""


def system(more: str = "") -> str:
    """The YAML of the guest: the bricks, and this machine's e2fsck with what it is linked to, for
    file systems that only the guest can decrypt. `more` are lines of `onshutdown`."""
    linked = re.findall(r"(/\S+) \(0x", run("ldd", "/usr/sbin/e2fsck").text)
    assert linked
    paths = ["/usr/sbin/e2fsck", *linked]
    lines = [f"  - {{path: judge{path}, source: {path}, mode: '0755'}}" for path in paths]
    return SYSTEM.replace("{more}", more) + "\n".join(lines) + "\n"


class Disk(NamedTuple):
    """A disk of a guest: the image is written to."""

    image: Path
    fault: Fault | None = None


class Result(NamedTuple):
    """What a guest did: the console, what `brick` said of each disk (by number and program, in
    order), and the disks."""

    console: str
    answers: dict[tuple[int, str], list[Answer]]
    servers: list[Server]


def run_script(
    prefix: Path,
    folder: Path,
    disks: Sequence[Disk],
    script: str,
    *,
    seconds: float = 600,
    memory: int = 384,
    tpm: Path | None = None,
) -> Result:
    """Boots, runs the shell script, and takes the power away. `tpm` is the socket of one."""
    (folder / "script").write_bytes(f"{HEAD}{script}\necho END\nexit 0\n".encode().ljust(1 << 18))
    machine = VirtualMachine(
        kernel=Path(f"{prefix}-kernel"),
        initrd=Path(f"{prefix}-initrd.img"),
        cmdline="console=ttyS0 panic=-1 quiet",
        console=folder / "console.log",
        memory=memory,
        tpm=tpm,
        defaults=False,
        reboot=False,
        networking="none",
    )
    command = arguments(machine)
    command += ["-drive", f"if=virtio,format=raw,readonly=on,file={folder / 'script'}"]
    command += ["-device", "virtio-scsi-pci,id=scsi0"]
    with ExitStack() as stack:
        servers = []
        for number, disk in enumerate(disks):
            socket = folder / f"{number}.sock"
            servers.append(stack.enter_context(Server(disk.image, socket, fault=disk.fault)))
            node = f"driver=nbd,node-name=n{number},server.type=unix,server.path={socket}"
            device = f"scsi-hd,bus=scsi0.0,scsi-id=0,lun={number},drive=n{number}"
            command += ["-blockdev", f"{node},discard=unmap", "-device", device]
        console = _until_end(command, folder / "console.log", seconds)
    answers: dict[tuple[int, str], list[Answer]] = {}
    for number, program, status, text in re.findall(r"^@ (\d+) (\w+) (\d+) ?(.*)$", console, re.M):
        answers.setdefault((int(number), program), []).append(Answer(int(status), text))
    return Result(console, answers, servers)


def _until_end(command: list[str], log: Path, seconds: float) -> str:
    """The console up to the script's last line."""
    log.write_bytes(b"")
    deadline = time.monotonic() + seconds
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        while True:
            text = log.read_text(errors="replace")
            if "\nEND\n" in text:
                return text
            assert process.poll() is None, text[-3000:]
            assert time.monotonic() < deadline, text[-3000:]
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
