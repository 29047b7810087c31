"""The metadata brick in a guest: a CD of `compos metadata create`, a cloud's service over the
network, a FAT disk, and one that means harm."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

SERVICE = Path(__file__).resolve().parent / "programs" / "imds.py"

HEAD = """
kernel: {image: compos/kernel:v1, cmdline: "console=ttyS0 panic=-1", modules: auto}
init: [compos/init:v1, compos/crun:v1]
"""
TAIL = """
services:
  - {name: getty, image: compos/getty:v1, env: [INSECURE=true]}
"""

KEEP = """
  - name: keep-{0}
    image: compos/busybox:v1
    binds: [/run:/run]
    command: [/bin/sh, -c, "mv /run/config /run/config-{0}; hostname > /run/hostname-{0}"]
"""

BOTH = f"""{HEAD}
onboot:
  - name: metadata-cd
    image: compos/metadata:v1
    command: [/usr/bin/metadata, cdrom]
  {KEEP.format("cd")}
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: [/sbin/dhcpcd, --nobackground, -f, /dhcpcd.conf, "-1"]
  - name: metadata
    image: compos/metadata:v1
  {KEEP.format("cloud")}
{TAIL}
"""

DISK = f"""{HEAD}
onboot:
  - name: metadata
    image: compos/metadata:v1
    command: [/usr/bin/metadata, -v, cdrom]
{TAIL}
"""


def shown(guest: Guest, command: str) -> str:
    """What a command prints, without the echo of what was typed, which the terminal wraps."""
    text = guest.run(f"echo out''put of; {command}").replace("\r", "")
    return text.split("output of\n", 1)[1].strip()


def link_local_qemu(folder: Path) -> Path:
    """QEMU with a user network in which the link-local address answers."""
    script = folder / "qemu"
    network = (
        "net=169.254.0.0/16,host=169.254.0.2,dns=169.254.0.3,dhcpstart=169.254.0.15,"
        f"guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} {SERVICE}"
    )
    script.write_text(
        "#!/bin/bash\n"
        f'exec qemu-system-x86_64 "${{@/#user,id=t0/user,id=t0,{network.replace("/", chr(92) + "/")}}}"\n'
    )
    script.chmod(0o755)
    return script


def test_a_cd_and_a_cloud(built: Callable[[str], Path], tmp_path: Path) -> None:
    data = {
        "ssh": {"entries": {"authorized_keys": {"perm": "0600", "content": "ssh-rsa CD"}}},
        "motd": {"content": "from the CD"},
    }
    options = ["--state", f"{tmp_path}/state", "--data", json.dumps(data)]
    options += ["--qemu", str(link_local_qemu(tmp_path))]
    with Guest(built(BOTH), *options, log=tmp_path / "console.log") as guest:
        guest.expect("compos: services started", 300)
        guest.prompt()
        assert re.fullmatch(r"CDROM /dev/sr\d", shown(guest, "cat /run/config-cd/provider; echo"))
        assert shown(guest, "cat /run/config-cd/motd; echo") == "from the CD"
        assert shown(guest, "cat /run/config-cd/ssh/authorized_keys; echo") == "ssh-rsa CD"
        assert shown(guest, "stat -c %a /run/config-cd/ssh/authorized_keys") == "600"
        assert shown(guest, "cat /run/config-cloud/provider; echo") == "AWS"
        assert shown(guest, "cat /run/config-cloud/instance_id; echo") == "i-guest"
        assert shown(guest, "cat /run/config-cloud/ssh/authorized_keys") == "ssh-ed25519 AAAA guest"
        assert shown(guest, "cat /run/config-cloud/from; echo") == "the cloud"
        assert shown(guest, "hostname; cat /run/hostname-cloud") == "ip-10-0-0-1\nip-10-0-0-1"
        assert shown(guest, "cat /run/hostname-cd") != "ip-10-0-0-1"
        assert guest.power_off() == 0


def test_disks(built: Callable[[str], Path], tmp_path: Path) -> None:
    """One has the right label, and a file system that is nonsense; which one the kernel finds first
    varies."""
    broken, disk = tmp_path / "broken.img", tmp_path / "disk.img"
    (tmp_path / "user-data").write_text("from FAT")
    (tmp_path / "meta-data").write_text("local-hostname: by-disk\ninstance-id: fat\n")
    for image in (broken, disk):
        with image.open("wb") as file:
            file.truncate(8 << 20)
        command = ["mkfs.fat", "-n", "CIDATA", str(image)]
        subprocess.run(command, check=True, capture_output=True)
    subprocess.run(
        ["mcopy", "-i", disk, tmp_path / "user-data", tmp_path / "meta-data", "::"], check=True
    )
    with broken.open("r+b") as file:
        file.seek(11)
        file.write(b"\xff" * 25)
    options = ["--state", f"{tmp_path}/state", "--disk", str(broken), "--disk", str(disk)]
    with Guest(built(DISK), *options, log=tmp_path / "console.log") as guest:
        guest.expect("compos: services started", 300)
        guest.prompt()
        assert re.fullmatch(r"CDROM /dev/\w+", shown(guest, "cat /run/config/provider; echo"))
        assert shown(guest, "cat /run/config/userdata; echo") == "from FAT"
        assert shown(guest, "cat /run/config/instance_id; echo") == "fat"
        assert shown(guest, "hostname") == "by-disk"
        assert guest.power_off() == 0
