"""What becomes of the machine: its watchdog, the next kernel by kexec, cgroup v1, an initrd in xz,
and init in a container."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.filesystem.cpio import cpio_pieces
from compos.tree.node import directory, file
from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

ROOT = Path(__file__).resolve().parents[2]

SYSTEM = """
kernel:
  image: compos/kernel:v1
  cmdline: "console=ttyS0 {words}"
  modules: [auto, i6300esb]
init: [compos/init:v1, compos/crun:v1]
services:
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
"""


def test_a_watchdog_ends_a_system_whose_init_stands_still(
    built: Callable[[str], Path], tmp_path: Path
) -> None:
    prefix = built(SYSTEM.format(words="compos.watchdog=6 linuxkit.unified_cgroup_hierarchy=0"))
    options = ("--device", "i6300esb", "--no-reboot", "--state", str(tmp_path / "state"))
    with Guest(prefix, *options, log=tmp_path / "console.log") as guest:
        guest.expect(r"compos: watchdog: fed, 6 s")
        guest.prompt()
        time.sleep(13)  # twice its time, and it lives
        groups = "/sys/fs/cgroup"
        mounts = guest.run(
            f"grep -c 'cgroup {groups}/' /proc/mounts; grep name=systemd /proc/mounts"
        )
        assert f"cgroup {groups}/systemd cgroup" in mounts
        assert "rw" in guest.run(f"grep '{groups}/pids ' /proc/mounts")
        # A frozen PID 1 feeds nobody.
        guest.run(
            "mkdir /tmp/g && mount -t cgroup -o freezer freezer /tmp/g && mkdir /tmp/g/f && echo 1 > /tmp/g/f/tasks"
        )
        guest.type("echo FROZEN > /tmp/g/f/freezer.state\n")
        assert guest.process.wait(60) == 0
        assert "reboot: shutting down" not in guest.text()


@pytest.mark.wide
def test_the_strongest_compression_boots(tmp_path: Path) -> None:
    source = tmp_path / "system.yml"
    source.write_text(SYSTEM.format(words="panic=-1"))
    assert main(["build", "-q", "--compress", "max", "--dir", str(tmp_path), str(source)]) == 0
    # One stream of what the kernel's decoder takes: CRC-32, and no more than the filter for x86
    # before LZMA2.
    listing = subprocess.run(
        ["xz", "-lvv", tmp_path / "system-initrd.img"], capture_output=True, text=True, check=True
    )
    assert "CRC32" in listing.stdout
    assert re.search(r"--x86 --lzma2=dict=32MiB", listing.stdout)
    with Guest(
        tmp_path / "system", "--state", str(tmp_path / "state"), log=tmp_path / "console.log"
    ) as guest:
        guest.prompt()


LOAD = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **argument)
{
    const char *line = argument[3];
    long result = syscall(SYS_kexec_file_load, open(argument[1], O_RDONLY), open(argument[2], O_RDONLY),
                          strlen(line) + 1, line, 0);
    perror("kexec_file_load");
    return count != 4 || result < 0;
}
"""


def test_a_reboot_goes_to_the_kernel_that_was_loaded(
    built: Callable[[str], Path], tmp_path: Path
) -> None:
    kernel = built(SYSTEM.format(words="panic=-1")).with_suffix("")
    program = tmp_path / "load"
    subprocess.run(
        ["gcc", "-static", "-x", "c", "-", "-o", program], input=LOAD.encode(), check=True
    )
    # A system of its own: init without a plan says so, and ends.
    init = (ROOT / "bricks/init/bin/amd64/init").read_bytes()
    nodes = (
        ("dev", directory(0o755, 0)),
        ("init", file(init, 0o755, 0)),
        ("proc", directory(0o755, 0)),
    )
    initrd = tmp_path / "next.img"
    initrd.write_bytes(b"".join(piece for piece in cpio_pieces(nodes) if isinstance(piece, bytes)))
    files = f"""
files:
  - {{path: usr/bin/load, source: {program}, mode: "0755"}}
  - {{path: usr/bin/next-kernel, source: {kernel}-kernel, mode: "0644"}}
  - {{path: usr/bin/next-initrd, source: {initrd}, mode: "0644"}}
"""
    prefix = built(SYSTEM.format(words="panic=-1") + files)
    with Guest(prefix, "--state", str(tmp_path / "state"), log=tmp_path / "console.log") as guest:
        guest.prompt()
        here = "/system/bin"
        guest.run(f"{here}/load {here}/next-kernel {here}/next-initrd 'console=ttyS0 the-next=one'")
        assert "1" in guest.run("cat /sys/kernel/kexec_loaded").split()
        guest.type("reboot\n")
        guest.expect(r"compos: reboot at")
        guest.expect(r"Command line: console=ttyS0 the-next=one")
        guest.expect(r"compos: /etc/compos/plan: No such file or directory")
        assert guest.process.wait(60) == 0
    assert guest.text().count("SeaBIOS") <= 1, "the firmware had no part in it"


CONTAINER = """
init: [compos/init:v1]
files:
  - path: etc/hostname
    contents: "in-a-container"
  - {path: bin/busybox, source: /bin/busybox, mode: "0755"}
  - path: etc/init.d/050-greet
    contents: "#!/bin/busybox sh\\necho begun on $(/bin/busybox hostname)\\n"
    mode: "0755"
  - path: etc/shutdown.d/050-bye
    contents: "#!/bin/busybox sh\\necho ended\\n"
    mode: "0755"
"""


def test_the_docker_format_starts_in_a_container(tmp_path: Path) -> None:
    """Reference 15: `/proc` is there already, so no mounts, no devices, no drivers; the rest as in
    a machine."""
    source = tmp_path / "system.yml"
    source.write_text(CONTAINER)
    assert main(["build", "-q", "-f", "docker", "--dir", str(tmp_path), str(source)]) == 0
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(
        ["tar", "-xf", tmp_path / "system.docker", "-C", root, "--warning=none"], check=True
    )
    entry = (root / "Dockerfile").read_text().rpartition("ENTRYPOINT")[2].strip(' []"\n')
    log = tmp_path / "log"
    line = [
        "unshare",
        "--pid",
        "--mount",
        "--uts",
        "--fork",
        "--kill-child",
        f"--mount-proc={root}/proc",
    ]
    line += ["chroot", str(root), entry]
    with log.open("wb") as output:
        engine = subprocess.Popen(line, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 20
        while "begun on" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        # The host's own number of the container's first process.
        first = int(Path(f"/proc/{engine.pid}/task/{engine.pid}/children").read_text().split()[0])
        os.kill(first, signal.SIGTERM)
        assert engine.wait(20) == 0
    finally:
        engine.kill()
    text = log.read_text()
    assert "begun on in-a-container" in text
    assert "ended" in text
    assert "mount" not in text
