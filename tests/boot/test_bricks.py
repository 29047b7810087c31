"""The bricks beside those of the examples, many to a guest, each judged by who it serves: a real
client, the kernel's own tables, QEMU's side of a device."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.guest import Guest, fetch, free_port

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

HEAD = """
kernel:
  image: compos/kernel:v1
  cmdline: "console=ttyS0 panic=-1"
  modules: [auto, ext4, dummy, nft_compat, xt_tcpudp]
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: disk
    image: compos/busybox:v1
    command: [/bin/true]
    runtime:
      mkdir: [/var/external]
      mounts: [{type: ext4, source: /dev/sda, destination: /var/external}]
  - name: swap
    image: compos/swap:v1
    command: [/swap.sh, --path, /var/external/swap/file, --size, 16M, --encrypt,
              --condition, "partsize:/var/external:32M:true"]
"""

SYSTEM = (
    HEAD
    + """
  - name: modprobe
    image: compos/modprobe:v1
    command: [modprobe, dummy]
  - name: sysfs
    image: compos/sysfs:v1
    binds.add: [/etc/sysfs.d:/etc/sysfs.d]
  - name: ip
    image: compos/ip:v1
    binds: [/etc/ip:/etc/ip]
    command: [ip, -b, /etc/ip/eth0.conf]
  - name: filter
    image: compos/ip:v1
    command: [iptables, -A, INPUT, -p, tcp, --dport, "81", -j, DROP]
  - name: losetup
    image: compos/losetup:v1
    command: [/usr/bin/loopy, --create, --size, "5", --dev, /dev/loop3, /var/external/loop.img]
services:
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
  - name: sshd
    image: compos/sshd:v1
    binds.add: [/root/.ssh:/root/.ssh]
    logging: {driver: console}
  - name: node_exporter
    image: compos/node_exporter:v1
  - name: acpid
    image: compos/acpid:v1
    logging: {driver: console}
files:
  - path: root/.ssh/authorized_keys
    source: KEY
    mode: "0600"
  - path: etc/sysfs.d/50-own.conf
    contents: "kernel/mm/ksm/run = 1"
  - path: etc/ip/eth0.conf
    contents: |
      address add 10.0.2.15/24 dev eth0
      link set eth0 up
      route add default via 10.0.2.2 dev eth0
"""
)

AGAIN = (
    HEAD
    + """
  - name: show
    image: compos/busybox:v1
    command: [/bin/cat, /proc/swaps]
services:
  - name: poweroff
    image: compos/poweroff:v1
    command: [/bin/sh, /poweroff.sh, "1"]
"""
)


class Machine(NamedTuple):
    """The running guest with its keys, published ports and disk."""

    guest: Guest
    key: Path
    ssh: int
    metrics: int
    disk: Path


@pytest.fixture(scope="module")
def machine(
    built: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """One system with a service or onboot entry for each brick; its tests follow one another."""
    folder = tmp_path_factory.mktemp("bricks")
    for name in ("key", "other"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
        )
    disk = folder / "disk.img"
    with disk.open("wb") as stream:
        stream.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    prefix = built(SYSTEM.replace("KEY", str(folder / "key.pub")))
    ssh, metrics = free_port(), free_port()
    options = ["--publish", f"{ssh}:22", "--publish", f"{metrics}:9100", "--disk", str(disk)]
    log = folder / "console.log"
    with Guest(prefix, *options, "--state", str(folder / "state"), log=log) as guest:
        guest.expect("Server listening on 0.0.0.0 port 22", 180)
        guest.prompt()
        yield Machine(guest, folder / "key", ssh, metrics, disk)


def login(machine: Machine, key: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Debian's ssh client with one key and no agent, configuration or password."""
    options = ["IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
    line = ["ssh", "-F", "none", "-i", str(key), "-p", str(machine.ssh), "-o", "BatchMode=yes"]
    for option in options:
        line += ["-o", option]
    return subprocess.run(
        [*line, "root@127.0.0.1", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"},
    )


def test_the_right_key_logs_in(machine: Machine) -> None:
    done = login(machine, machine.key, "echo $PATH; cat /proc/1/comm; /usr/bin/svc ps")
    assert done.returncode == 0, done.stderr
    path, first, *services = done.stdout.splitlines()
    assert path.endswith("/system/bin")
    assert first == "init", "the system's processes are seen"
    assert any(line.split()[:2] == ["sshd", "running"] for line in services), services


def test_a_login_has_a_terminal(machine: Machine) -> None:
    done = login(machine, machine.key, "-tt", "tty")
    assert done.stdout.startswith("/dev/pts/"), done.stderr


def test_no_other_key_and_no_password_logs_in(machine: Machine) -> None:
    done = login(machine, machine.key.with_name("other"), "true")
    assert done.returncode == 255
    # The methods that the server offers: no password among them.
    assert "Permission denied (publickey)." in done.stderr


def test_modprobe(machine: Machine) -> None:
    assert "dummy " in machine.guest.run("grep ^dummy /proc/modules")


def test_sysfs(machine: Machine) -> None:
    assert "1" in machine.guest.run("cat /sys/kernel/mm/ksm/run").splitlines()
    # What the brick brings applies only without files of one's own.
    assert "[always]" in machine.guest.run("cat /sys/kernel/mm/transparent_hugepage/enabled")


def test_ip(machine: Machine) -> None:
    assert "10.0.2.15/24" in machine.guest.run("ip addr show dev eth0")
    assert "default via 10.0.2.2" in machine.guest.run("ip route")
    assert "xt_tcpudp " in machine.guest.run("grep ^xt_ /proc/modules"), "the filter's match"


def test_losetup(machine: Machine) -> None:
    assert "/loop.img" in machine.guest.run("cat /sys/block/loop3/loop/backing_file")
    script = """set -e
        mke2fs /dev/loop3 >/dev/null; mkdir /tmp/m
        mount -t ext4 /dev/loop3 /tmp/m; echo kept > /tmp/m/file; umount /tmp/m
        mount -t ext4 /dev/loop3 /tmp/m; cat /tmp/m/file; umount /tmp/m"""
    done = login(machine, machine.key, script)
    assert done.stdout == "kept\n", done.stderr


def test_swap(machine: Machine) -> None:
    assert "16380" in machine.guest.run("cat /proc/swaps")


def test_node_exporter(machine: Machine) -> None:
    page = fetch(machine.metrics, path="/metrics")
    assert 'node_filesystem_size_bytes{device="/dev/sda",device_error="",fstype="ext4"' in page
    assert 'mountpoint="/var/external"' in page
    assert 'node_network_up{device="eth0"} 1' in page
    assert "node_memory_SwapTotal_bytes 1.677312e+07" in page


def test_acpid_and_swap_on_the_next_boot(
    machine: Machine, built: Callable[[str], Path], tmp_path: Path
) -> None:
    machine.guest.type("\x01c")
    machine.guest.type("system_powerdown\n")
    machine.guest.expect(r"acpid: power button", 60)
    assert machine.guest.process.wait(90) == 0
    options = ("--disk", str(machine.disk), "--state", str(tmp_path / "state"))
    with Guest(built(AGAIN), *options, log=tmp_path / "console.log") as guest:
        assert guest.process.wait(180) == 0
        text = guest.text()
    assert "swap: 16777216 bytes in /var/external/swap/file" in text
    assert "16380" in text
    assert "service poweroff started" in text
    assert "reboot: Power down" in text
