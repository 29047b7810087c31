"""The bricks beside those of the examples, many to a guest, each judged by who it serves: a real
client, the kernel's own tables, QEMU's side of a device."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from compos.cli.main import main
from tests.boot.agent import agent
from tests.boot.conftest import ROOT
from tests.boot.runtimes import until
from tests.guest import Guest, fetch, free_port

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

FOREIGN = {
    "aarch64": "aarch64",
    "arm": "armv7l",
    "powerpc64le": "ppc64le",
    "riscv64": "riscv64",
}
"""Architectures by the compiler's name, and as `uname -m` says."""

HEAD = """
kernel:
  image: compos/kernel:v1
  cmdline: "console=ttyS0 panic=-1"
  modules: [auto, ext4, dummy, nft_compat, xt_tcpudp]
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: swap
    image: compos/swap:v1
    command: [/swap.sh, --path, /var/external/swap/file, --size, 16M, --encrypt,
              --condition, "partsize:/var/external:32M:true"]
    runtime:
      mkdir: [/var/external]
      mounts: [{type: ext4, source: /dev/sda, destination: /var/external}]
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
    stop_signal: SIGCONT
    stop_grace_period: 3s
    logging: {driver: console}
  - name: openntpd
    image: compos/openntpd:v1
    command: [/usr/sbin/ntpd, -d, -s]
    binds.add: [/etc/ntpd.conf:/etc/openntpd/ntpd.conf]
    logging: {driver: console}
  - name: auditd
    image: compos/auditd:v1
    binds.add: [/etc/audit.rules:/etc/audit/audit.rules]
    logging: {driver: console}
  - name: tss
    image: compos/tss:v1
    logging: {driver: console}
  - name: open-vm-tools
    image: compos/open-vm-tools:v1
    logging: {driver: console}
  - name: qemu-ga
    image: compos/qemu-ga:v1
    logging: {driver: console}
files:
  - path: etc/ntpd.conf
    contents: "server 10.0.2.2\\n"
  - path: etc/audit.rules
    contents: "-a always,exit -F arch=b64 -S sethostname -k names"
    mode: "0600"
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
    HEAD.replace(
        "compos/crun:v1", "compos/crun:v1, compos/dummy:v1, compos/bpftrace:v1, compos/perf:v1"
    )
    + """
  - name: binfmt
    image: compos/binfmt:v1
  - name: foreign
    image: compos/busybox:v1
    binds: [/foreign:/foreign]
    capabilities: [CAP_SYS_ADMIN]
    command:
      - /bin/sh
      - -c
      - |
        for one in /foreign/*; do $one; done
        mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
        ls /proc/sys/fs/binfmt_misc
  - name: bpftrace
    image: compos/busybox:v1
    capabilities: [all]
    binds: [/:/system]
    timeout: 60s
    command:
      - /bin/sh
      - -c
      - |
        while sleep 1; do cat /proc/uptime; done >/dev/null &
        exec chroot /system /usr/bin/bpftrace -e '
          kprobe:do_sys_openat2 { @opens = count(); } interval:s:3 { exit(); }'
  - name: perf
    image: compos/busybox:v1
    pid: host
    capabilities: [all]
    binds: [/:/system]
    timeout: 60s
    command:
      - /bin/sh
      - -c
      - |
        alias perf='chroot /system /usr/bin/perf'
        perf record -q -e cpu-clock -o /tmp/samples /usr/bin/bpftrace --version
        perf report -q -i /tmp/samples --stdio --sort comm
  - name: tss
    image: compos/tss:v1
  - name: show
    image: compos/busybox:v1
    binds: [/dummy:/dummy]
    command: [/bin/cat, /proc/swaps, /dummy]
services:
  - name: poweroff
    image: compos/poweroff:v1
    command: [/bin/sh, /poweroff.sh, "1"]
files:
"""
    + "".join(
        f"  - {{path: foreign/{name}, source: FOLDER/{name}, mode: '0755'}}\n" for name in FOREIGN
    )
)

AHEAD = 3600
"""Seconds by which our time server is ahead of this machine."""


class TimeServer(threading.Thread):
    """An NTP server on loopback's port 123, which the guest reaches as 10.0.2.2."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 123))
        self.start()

    def run(self) -> None:
        """Answer until the process ends (RFC 5905, 7.3): version 4, mode 4, stratum 1."""
        while True:
            request, client = self.socket.recvfrom(1024)
            # Seconds since 1900 and their fraction; the request's time of sending comes back.
            now = int((time.time() + AHEAD + 2208988800) * (1 << 32))
            head = struct.pack(">BBbbII4s", 0x24, 1, 6, -20, 0, 0, b"TEST")
            stamp = struct.pack(">Q", now)
            self.socket.sendto(head + stamp + request[40:48] + stamp + stamp, client)


def compile_foreign(folder: Path) -> None:
    """A program for each of `FOREIGN` that says what machine it runs on."""
    source = Path(__file__).resolve().parent / "programs" / "foreign.c"
    options = ["-Os", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector"]
    for name in FOREIGN:
        target = ["-target", f"{name}-freestanding", "-o", str(folder / name), str(source)]
        subprocess.run([sys.executable, "-m", "ziglang", "cc", *options, *target], check=True)


class Machine(NamedTuple):
    """The running guest with its keys, published ports, disk, and QEMU's end of a port."""

    guest: Guest
    agent: Path
    key: Path
    ssh: int
    metrics: int
    disk: Path


@contextmanager
def swtpm(folder: Path) -> Iterator[None]:
    """A TPM 1.2 behind the socket `tpm` of the folder."""
    command = ["swtpm", "socket", "--tpmstate", f"dir={folder}", "--terminate"]
    command += ["--ctrl", f"type=unixio,path={folder}/tpm"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 20
        while not (folder / "tpm").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield
        process.terminate()


def qemu_with_tpm(folder: Path) -> Path:
    """QEMU with the TPM, which takes options that `compos run` does not have."""
    program = folder / "qemu"
    program.write_text(
        "#!/bin/sh\n"
        f'exec qemu-system-x86_64 "$@" -chardev socket,id=tpm,path={folder}/tpm '
        "-tpmdev emulator,id=tpm0,chardev=tpm -device tpm-tis,tpmdev=tpm0\n"
    )
    program.chmod(0o755)
    return program


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
    options += ["--device", "virtio-serial-pci"]
    if os.geteuid() == 0:
        TimeServer()
    log = folder / "console.log"
    options += ["--state", str(folder / "state"), "--qemu", str(qemu_with_tpm(folder))]
    with swtpm(folder), Guest(prefix, *options, log=log) as guest:
        guest.expect("Server listening on 0.0.0.0 port 22", 180)
        guest.prompt()
        yield Machine(guest, folder / "agent", folder / "key", ssh, metrics, disk)


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


def test_open_vm_tools_says_where_it_is_of_no_use(machine: Machine) -> None:
    assert "open-vm-tools: this machine is none of VMware's" in machine.guest.text()


def test_tss(machine: Machine) -> None:
    """tpm-tools ask the daemon, which asks QEMU's TPM 1.2, emulated by swtpm."""
    answer = machine.guest.run("nsenter -t $(pidof tcsd) -m /usr/sbin/tpm_version")
    assert re.search(r"TPM 1\.2 Version Info:", answer)
    assert re.search(r"TPM Vendor ID: +IBM", answer)


def test_auditd(machine: Machine) -> None:
    """Its own tool finds the record by the rule's key, with names in place of numbers."""
    machine.guest.run("hostname another")
    found = ""
    for _ in range(20):
        found = machine.guest.run("nsenter -t $(pidof auditd) -m ausearch -i -k names")
        if "type=SYSCALL" in found.replace("\n", ""):
            break
        time.sleep(1)
    found = found.replace("\n", "")
    assert "syscall=sethostname success=yes" in found
    assert "comm=hostname" in found


@pytest.mark.root
def test_openntpd(machine: Machine) -> None:
    """The guest's clock follows our server's."""
    deadline = time.monotonic() + 60
    while True:
        clock = [line for line in machine.guest.run("date +%s").splitlines() if line.isdecimal()]
        ahead = int(clock[0]) - time.time()
        if abs(ahead - AHEAD) < 60:
            return
        assert time.monotonic() < deadline, f"{ahead:.0f} s ahead:\n{machine.guest.text()[-2000:]}"
        time.sleep(1)


def test_qemu_ga(machine: Machine) -> None:
    with agent(machine.guest, machine.agent) as host:
        assert host.ask("guest-ping") == {}
        assert "guest-shutdown" in [
            one["name"] for one in host.ask("guest-info")["supported_commands"] if one["enabled"]
        ]
        interfaces = host.ask("guest-network-get-interfaces")
        name = host.ask("guest-get-host-name")["host-name"]
        kernel = host.ask("guest-get-osinfo")["kernel-release"]
        processors = host.ask("guest-get-vcpus")
        clock = host.ask("guest-get-time") / 1e9
    eth0 = next(one for one in interfaces if one["name"] == "eth0")
    assert "10.0.2.15" in [address["ip-address"] for address in eth0["ip-addresses"]]
    assert name in machine.guest.run("hostname")
    assert kernel in machine.guest.run("uname -r")
    assert len(processors) == 2
    seconds = [line for line in machine.guest.run("date +%s").splitlines() if line.isdecimal()]
    assert abs(int(seconds[0]) - clock) < 60


def test_acpid_and_swap_on_the_next_boot(
    machine: Machine, built: Callable[[str], Path], tmp_path: Path
) -> None:
    machine.guest.type("\x01csystem_powerdown\n")
    machine.guest.expect(r"acpid: power button", 60)
    assert machine.guest.process.wait(90) == 0
    # Both end in order when they are asked to.
    for service in ("auditd", "openntpd"):
        assert f"service {service} stopped: exit status 0" in machine.guest.text()
    options = ("--mem", "2048", "--disk", str(machine.disk), "--state", str(tmp_path / "state"))
    compile_foreign(tmp_path)
    prefix = built(AGAIN.replace("FOLDER", str(tmp_path)))
    with Guest(prefix, *options, log=tmp_path / "console.log") as guest:
        assert guest.process.wait(180) == 0
        text = guest.text()
    assert "swap: 16777216 bytes in /var/external/swap/file" in text
    assert "chown" not in text
    assert "16380" in text
    assert re.search(r"@opens: [1-9]", text), "cat opens a file every second"
    assert re.search(r"\d%\S* +bpftrace", text), "perf's samples are of this program"
    assert re.search(r"Could not find a device to open", text), "tss without a TPM says so"
    assert "\ndummy\n" in text, "a file of the brick in init"
    lines = text.replace("\r", "").splitlines()
    for name in FOREIGN.values():
        assert name in lines, "a program of another architecture ran"
        assert f"qemu-{name.removesuffix('v7l')}" in lines, "the kernel's entry"
    assert "service poweroff started" in text
    assert "reboot: Power down" in text


VMWARE = """
  - name: open-vm-tools
    image: compos/open-vm-tools:v1
    binds: ["/host:/host", "/run:/run"]
    command: [/host, /run/power-off, /bin/sh, /usr/bin/guest-daemon]
    logging: {driver: console}
"""


def test_a_static_address_on_vmware(built: Callable[[str], Path], tmp_path: Path) -> None:
    """The example: an address, a route and name servers without DHCP. A host asks for the address,
    and powers the guest off: a tracer carries out the instruction by which VMware's guests speak
    with it."""
    host = tmp_path / "host"
    source = Path(__file__).resolve().parent / "programs" / "vmware_host.c"
    subprocess.run(["gcc", "-static", "-Wall", "-Werror", "-o", host, source], check=True)
    example = (ROOT / "examples" / "static-ip.yml").read_text()
    own = f'  - {{path: host, source: {host}, mode: "0755"}}\n'
    text = example.replace("services:", f"services:{VMWARE.rstrip()}")
    system = built(text.replace("files:\n", f"files:\n{own}"))
    port = free_port()
    options = ("--publish", f"{port}:80", "--state", str(tmp_path / "state"))
    with Guest(system, *options, log=tmp_path / "console.log") as guest:
        assert fetch(port) == "At a fixed address\n"
        guest.prompt()
        assert "nameserver 10.0.2.3" in guest.run("cat /etc/resolv.conf")
        assert "default via 10.0.2.2" in guest.run("ip route")
        until(guest, 'host is told "info-set guestinfo.ip 10.0.2.15"')
        guest.type("touch /run/power-off\n")
        assert guest.process.wait(90) == 0
        assert 'host asks "OS_Halt"' in guest.text()
        assert 'host is told "tools.os.statechange.status 1 1"' in guest.text()
        assert "reboot: Power down" in guest.text()


FIRMWARE = """
kernel: {image: compos/kernel-generic:v1, modules: [bnx2], firmware: auto, ucode: ucode.cpio}
init: [compos/init:v1, compos/firmware:v1]
"""


def test_firmware_by_need_and_microcode(tmp_path: Path) -> None:
    """One driver's firmware stays, of several hundred files; microcode is Debian's, as cpio and
    iucode_tool read it."""
    source = tmp_path / "system.yml"
    source.write_text(FIRMWARE)
    assert main(["build", "-q", "-f", "tar", "--dir", str(tmp_path), str(source)]) == 0
    with tarfile.open(tmp_path / "system.tar") as archive:
        kept = [Path(member.name) for member in archive if member.isfile()]
        early = archive.extractfile("boot/ucode.cpio")
        assert early is not None
        subprocess.run(["cpio", "-id", "--quiet"], input=early.read(), cwd=tmp_path, check=True)
    found = [path for path in kept if path.is_relative_to("lib/firmware")]
    assert found
    assert {path.parts[2] for path in found} == {"bnx2"}
    microcode = tmp_path / "kernel/x86/microcode"
    listed = subprocess.run(
        ["iucode_tool", "-tb", "-l", microcode / "GenuineIntel.bin"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert listed.stdout.count(" sig 0x") > 100
    assert (microcode / "AuthenticAMD.bin").read_bytes().startswith(b"DMA\0")
