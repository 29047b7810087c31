"""`compos run libvirt` with a real libvirtd, QEMU's emulation and a guest; `make matrix` runs it.

libvirt uses the machine's own daemon for root. This one is the test's: in a mount namespace in
which its folders are empty, with a socket of its own, and without users of its own.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest import COMPOS
from tests.machine import unshared

pytestmark = [pytest.mark.boot, pytest.mark.root]

SYSTEM = """
kernel: {image: compos/kernel:v1, cmdline: console=ttyS0, modules: auto}
init: [compos/init:v1, compos/crun:v1]
onboot:
  - {name: metadata, image: "compos/metadata:v1"}
services: [{name: getty, image: "compos/getty:v1", env: [INSECURE=true]}]
"""

DAEMON = """
set -e
for folder in /var/lib/libvirt /var/cache/libvirt /etc/libvirt /run/libvirt /var/log/libvirt; do
  mkdir -p $folder; mount -t tmpfs none $folder
done
for file in passwd group; do cp /etc/$file "$0"; done
echo 'libvirt-qemu:x:0:0::/:/bin/false' >> "$0/passwd"
grep -q ^kvm: "$0/group" || echo 'kvm:x:997:' >> "$0/group"
echo 'libvirt-qemu:x:0:' >> "$0/group"
for file in passwd group; do mount --bind "$0/$file" /etc/$file; done
cat > /etc/libvirt/qemu.conf <<'END'
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
END
cat > "$0/libvirtd.conf" <<END
unix_sock_dir = "$0"
unix_sock_group = "root"
auth_unix_rw = "none"
log_outputs = "3:file:$0/log"
END
exec /usr/sbin/libvirtd --config "$0/libvirtd.conf" --pid-file "$0/pid"
"""


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "daemon"
    folder.mkdir()
    command = [*unshared("--mount"), "bash", "-c", DAEMON, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (folder / "libvirt-sock").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"qemu+unix:///system?socket={folder}/libvirt-sock"
    finally:
        process.terminate()
        process.wait()


def virsh(uri: str, *words: str) -> str:
    return subprocess.check_output(["virsh", "--quiet", "--connect", uri, *words], text=True)


def until(log: Path, text: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while text not in log.read_text(errors="replace"):
        assert time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
        time.sleep(0.2)


@pytest.mark.parametrize("kind", ["kernel", "qcow2-efi"])
def test_a_domain(built: Callable[[str], Path], tmp_path: Path, uri: str, kind: str) -> None:
    prefix = built(SYSTEM)
    options = ["--data", '{"a": {"content": "from libvirt"}}']
    if kind != "kernel":
        source = prefix.with_suffix(".yml")
        build = [*COMPOS, "build", "-f", kind, "--dir", str(tmp_path), str(source)]
        subprocess.run(build, check=True)
        prefix = tmp_path / f"{prefix.name}-efi.qcow2"
    options += ["--connect", uri, "--accel", "tcg", "--state", str(tmp_path / "state")]
    options += ["--name", "domain", "--disk", "size=64M,format=raw"]
    log = tmp_path / "console"
    with log.open("wb") as console:
        process = subprocess.Popen(
            [*COMPOS, "run", "libvirt", *options, str(prefix)],
            stdin=subprocess.PIPE,
            stdout=console,
            stderr=subprocess.STDOUT,
        )
    assert process.stdin
    try:
        until(log, "services started (1 of 1)")
        assert virsh(uri, "domstate", "domain").strip() == "running"
        until_typed = time.monotonic() + 60
        while "from libvirt" not in log.read_text(errors="replace").split("services started")[1]:
            assert time.monotonic() < until_typed, log.read_text(errors="replace")[-3000:]
            os.write(process.stdin.fileno(), b"cat /run/config/a; poweroff\n")
            time.sleep(2)
        assert process.wait(60) == 0, log.read_text(errors="replace")[-3000:]
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
    assert virsh(uri, "list", "--all").strip() == ""
