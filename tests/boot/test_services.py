"""The running system through its console: order, health, restarts, the ends of what must not end,
logs, data on disks."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

HEAD = """
kernel:
  image: compos/kernel:v1
  cmdline: "console=ttyS0 panic=-1"
  modules: [auto, ext4]
"""

GETTY = """
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
"""

PROCESSES = """
  - name: owner
    image: compos/busybox:v1
    command: [/bin/sleep, "77777"]
    restart: always
  - name: watcher
    image: compos/busybox:v1
    pid: "service:owner"
    command: [/bin/sh, -c, "tr '\\\\0' ' ' < /proc/1/cmdline; echo; exec sleep 100000"]
    restart: always
    logging: {driver: console}
"""

DIRECT = f"""{HEAD}
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: hangs
    image: compos/busybox:v1
    command: [/bin/sleep, "1000"]
    timeout: 1s
services: {GETTY} {PROCESSES}
  - name: slow
    image: compos/busybox:v1
    command: [/bin/sh, -c, "sleep 2; touch /ready; exec sleep 100000"]
    healthcheck:
      test: [CMD, /bin/test, -f, /ready]
      interval: 1s
      start_period: 30s
      start_interval: 300ms
  - name: needs-slow
    image: compos/busybox:v1
    command: [/bin/sleep, "100000"]
    depends_on:
      slow: {{condition: service_healthy}}
  - name: job
    image: compos/busybox:v1
    command: [/bin/sh, -c, "sleep 1; exit 0"]
  - name: after-job
    image: compos/busybox:v1
    command: [/bin/sleep, "100000"]
    depends_on:
      job: {{condition: service_completed_successfully}}
  - name: crashes
    image: compos/busybox:v1
    command: [/bin/sh, -c, "echo x >> /run/crashes; test $(wc -l < /run/crashes) -gt 3 || exit 7; exec sleep 100000"]
    binds: [/run:/run]
    restart: on-failure
  - name: deaf
    image: compos/busybox:v1
    command: [/bin/sh, -c, "trap 'echo no' TERM; while true; do sleep 1; done"]
    stop_grace_period: 2s
  - name: default
    image: compos/busybox:v1
    command: [/bin/sleep, "100000"]
  - name: pod
    image: compos/busybox:v1
    net: new
    command: [/bin/sh, -c, "mkdir /w; echo from the pod > /w/index.html; exec httpd -f -p 127.0.0.1:8080 -h /w"]
  - name: sidecar
    image: compos/busybox:v1
    net: "service:pod"
    command: [/bin/sh, -c, "until wget -q -O - http://127.0.0.1:8080/; do sleep 1; done; exec sleep 100000"]
    depends_on: [pod]
    logging: {{driver: console, options: {{tag: beside}}}}
  - name: bomb
    image: compos/busybox:v1
    command: [/bin/sh, -c, "until test -e /run/go-bomb; do sleep 1; done; while true; do sleep 1000 & done"]
    binds: [/run:/run]
    resources:
      pids: {{limit: 40}}
  - name: hog
    image: compos/busybox:v1
    command: [/bin/sh, -c, "until test -e /run/go-hog; do sleep 1; done; exec tail /dev/zero"]
    binds: [/run:/run]
  - name: flood
    image: compos/busybox:v1
    command: [/bin/sh, -c, "until test -e /run/go-flood; do sleep 1; done; dd if=/dev/zero bs=64k count=16384; echo all of it"]
    binds: [/run:/run]
    logging: {{driver: file, options: {{max-size: 256k, max-file: "2"}}}}
"""


@pytest.fixture(scope="module")
def direct(
    built: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    """A system without containerd; its tests follow one another."""
    folder = tmp_path_factory.mktemp("direct")
    prefix = built(DIRECT)
    with Guest(prefix, "--state", str(folder / "state"), log=folder / "console.log") as guest:
        guest.prompt()
        yield guest


def status(guest: Guest) -> dict[str, list[str]]:
    """The status file: state, health, pid, restarts, exit status and time by service."""
    lines = re.findall(
        r"^([\w-]+)\t(\S.*)$", guest.run("cat /run/compos/status").replace("\r", ""), re.MULTILINE
    )
    return {name: rest.split("\t") for name, rest in lines}


def until(guest: Guest, service: str, *wanted: str, seconds: float = 60) -> list[str]:
    """Wait until a service's line has all the words."""
    deadline = time.monotonic() + seconds
    while True:
        found = status(guest).get(service, [])
        if set(wanted) <= set(found):
            return found
        assert time.monotonic() < deadline, (service, found, guest.text()[-2000:])
        time.sleep(0.5)


def at(text: str, what: str) -> float:
    """When the console says `what`, in seconds since the kernel's start."""
    found = re.search(rf"compos: {what} at (\d+\.\d+) s", text)
    assert found, f"{what}:\n{text[-3000:]}"
    return float(found[1])


def test_order_and_health(direct: Guest) -> None:
    until(direct, "needs-slow", "running")
    until(direct, "after-job", "running")
    text = direct.text()
    assert at(text, "service slow started") + 1.9 <= at(text, "service slow healthy")
    assert at(text, "service slow healthy") <= at(text, "service needs-slow started")
    assert at(text, "service job ended: exit status 0") <= at(text, "service after-job started")
    # What waits for nothing waits for nobody.
    assert at(text, "service default started") < at(text, "service needs-slow started")


def test_an_onboot_container_that_hangs_is_ended(direct: Guest) -> None:
    assert "compos: onboot 000-hangs: did not end in time: killed" in direct.text()
    assert 1 <= at(direct.text(), "onboot 000-hangs failed") - at(direct.text(), "boot done") < 5


def test_a_crashing_service_backs_off_and_recovers(direct: Guest) -> None:
    found = until(direct, "crashes", "running", "3")
    assert found[3] == "3", "three restarts"
    text = direct.text()
    ends = [
        float(one) for one in re.findall(r"service crashes ended: exit status 7 at (\S+) s", text)
    ]
    starts = [float(one) for one in re.findall(r"service crashes started again at (\S+) s", text)]
    pauses = [start - end for start, end in zip(starts, ends, strict=True)]
    assert len(pauses) == 3
    assert pauses[2] >= 0.4
    assert pauses[1] >= 0.2


def test_services_share_a_namespace(direct: Guest) -> None:
    until(direct, "sidecar", "running")
    time.sleep(2)
    assert re.search(r"beside: from the pod", direct.text())
    assert "8080" not in direct.run("netstat -ltn"), "the system's own network has no such port"


def share_processes(guest: Guest) -> None:
    """The watcher sees the owner as process 1; it ends with it, and starts after it."""
    until(guest, "watcher", "running")
    pid = until(guest, "owner", "running")[2]
    assert len(re.findall(r"watcher: (?:/bin/)?sleep 77777", guest.text())) == 1
    guest.run(f"kill -9 {pid}")
    guest.expect(r"service watcher started again at (\S+) s")
    until(guest, "watcher", "running")
    time.sleep(1)
    assert len(re.findall(r"watcher: (?:/bin/)?sleep 77777", guest.text())) == 2
    assert at(guest.text(), "service owner started again") <= at(
        guest.text(), "service watcher started again"
    )


def test_services_share_processes(direct: Guest) -> None:
    share_processes(direct)


def test_svc(direct: Guest) -> None:
    until(direct, "slow", "healthy")
    until(direct, "job", "exited")
    table = direct.run("/usr/bin/svc ps")
    assert re.search(r"slow +running +healthy +\d+ +0 +- ", table)
    assert re.search(r"job +exited +- +- +0 +0 ", table)
    pid = until(direct, "default", "running")[2]
    assert (
        direct.run("/usr/bin/svc restart default; /usr/bin/svc wait default running").count("svc:")
        == 0
    )
    deadline = time.monotonic() + 20
    while until(direct, "default", "running")[2] == pid:
        assert time.monotonic() < deadline
    assert '"name": "default", "state": "running"' in direct.run("/usr/bin/svc ps --json")
    assert "no such service" in direct.run("/usr/bin/svc stop nobody")
    assert "usage" in direct.run("/usr/bin/svc")


def test_a_service_that_ignores_its_signal(direct: Guest) -> None:
    direct.run("/usr/bin/svc stop deaf")
    until(direct, "deaf", "stopped")
    text = direct.text()
    assert "compos: service deaf did not end: killed" in text
    # Nobody waits for a first process without a handler: the kernel keeps the signal from it.
    direct.run("/usr/bin/svc stop default")
    until(direct, "default", "stopped")
    assert "service default does not end" not in direct.text()
    direct.run("/usr/bin/svc start default")
    until(direct, "default", "running")


def test_a_fork_bomb(direct: Guest) -> None:
    direct.run("touch /run/go-bomb")
    time.sleep(3)
    assert "fork" in direct.run("/usr/bin/svc logs -n 3 bomb")
    assert "running" in until(direct, "default", "running")
    # Its shell gives up at last.
    until(direct, "bomb", "failed")
    assert "sleep 1000\r" not in direct.run("ps -o args"), "all of it has gone"


def test_a_flood_of_logs(direct: Guest) -> None:
    direct.run("touch /run/go-flood")
    until(direct, "flood", "exited", seconds=200)
    sizes = re.findall(
        r"(\d+)\s+\S*flood\.out\.log\S*", direct.run("wc -c /var/log/flood.out.log*")
    )
    assert sizes
    assert sum(map(int, sizes)) <= 2 * 256 * 1024
    assert "all of it" in direct.run("tail -c 20 /var/log/flood.out.log"), "the end is there"
    assert "16384+0 records out" in direct.run("/usr/bin/svc logs flood | tail -n 4")


def test_memory_that_runs_out_ends_a_service(direct: Guest) -> None:
    direct.run("touch /run/go-hog")
    until(direct, "hog", "failed", "137", seconds=120)
    assert until(direct, "default", "running")[0] == "running"
    assert until(direct, "slow", "running")[1] == "healthy"


def test_a_full_tmpfs_is_told(direct: Guest) -> None:
    direct.run("dd if=/dev/zero of=/run/fill bs=1M")
    direct.expect(r"compos: /run is (9[5-9]|100)% full", 30)
    direct.run("rm /run/fill")
    assert "running" in until(direct, "default", "running")


def test_init_stays_small(direct: Guest) -> None:
    memory = re.search(r"VmRSS:\s+(\d+) kB", direct.run("cat /proc/1/status"))
    assert memory
    assert int(memory[1]) < 1024


def test_services_end_in_reverse_order(direct: Guest) -> None:
    """Last: it ends the system."""
    until(direct, "needs-slow", "running")
    assert direct.power_off() == 0
    text = direct.text()
    assert at(text, "service needs-slow stopped: signal 9 \\(Killed\\)") <= at(
        text, "service slow stopped: signal 9 \\(Killed\\)"
    )
    assert text.index("service slow stopped") < text.index("ending all processes")
    assert "reboot: Power down" in text


UNDER = f"""{HEAD}
init: [compos/init:v1, compos/runc:v1, compos/containerd:v1, compos/ctr:v1]
services: {GETTY} {PROCESSES}
  - name: steady
    image: compos/busybox:v1
    command: [/bin/sleep, "100000"]
    restart: always
    healthcheck: {{test: [CMD, /bin/true], interval: 2s}}
  - name: once
    image: compos/busybox:v1
    command: [/bin/sleep, "100000"]
files:
  - path: etc/containerd/runtime-config.toml
    contents: 'cliopts="--log-level  debug"'
"""


def test_containerd_and_its_shims_may_die(built: Callable[[str], Path], tmp_path: Path) -> None:
    with Guest(
        built(UNDER), "--state", str(tmp_path / "state"), log=tmp_path / "console.log"
    ) as guest:
        guest.prompt()
        share_processes(guest)
        before = until(guest, "steady", "running", "healthy")
        guest.run("pkill -9 -x containerd || killall -9 containerd")
        guest.expect(r"compos: containerd: signal 9")
        guest.expect(r"compos: containerd ready at")
        assert until(guest, "steady", "running")[2] == before[2], "the service has not noticed"
        assert "steady" in guest.run("ctr -n services.linuxkit task ls")
        assert "containerd --log-level debug" in guest.run("ps -o args")
        guest.run("/usr/bin/svc restart steady")
        guest.expect(r"service steady started")
        pid = until(guest, "steady", "running")[2]
        guest.run(f"kill -9 $(awk '/PPid/ {{print $2}}' /proc/{pid}/status)")
        guest.expect(r"service steady ended")
        guest.expect(r"service steady started again")
        until(guest, "steady", "running", "healthy")
        # Whoever is not restarted has not ended by itself.
        pid = until(guest, "once", "running")[2]
        guest.run(f"kill -9 $(awk '/PPid/ {{print $2}}' /proc/{pid}/status)")
        guest.expect(r"compos: service once: its shim has ended")
        guest.expect(r"service once started again")
        pid = until(guest, "once", "running")[2]
        guest.run(f"kill -9 {pid}")
        guest.expect(r"service once ended: signal 9")
        until(guest, "once", "failed")
        # The power button, pressed in QEMU's monitor.
        guest.type("\x01c")
        guest.expect(r"\(qemu\)")
        guest.type("system_powerdown\n\x01c")
        assert guest.process.wait(90) == 0
        assert "compos: power button" in guest.text()


DISK = f"""{HEAD}
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: data
    image: compos/busybox:v1
    command: [/bin/sh, -c, "mkdir -p /var/data && mount -t ext4 /dev/sda /var/data"]
    binds: ["/var:/var:rw,rshared", "/dev:/dev"]
    capabilities: [all]
    devices: [{{path: all, type: b}}]
    rootfsPropagation: shared
services: {GETTY}
  - name: writer
    image: compos/busybox:v1
    command: [/bin/sh, -c, "trap 'echo last > /data/last; exit 0' TERM; while true; do date >> /data/log; sleep 0.1; done"]
    binds: [/var/data:/data]
"""


@pytest.mark.parametrize("clean", [True, False], ids=["clean", "unclean"])
def test_a_disk_survives(clean: bool, built: Callable[[str], Path], tmp_path: Path) -> None:
    disk = tmp_path / "data.img"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", disk, "64m"], check=True)
    options = ("--state", str(tmp_path / "state"), "--disk", f"file={disk},format=raw")
    with Guest(built(DISK), *options, log=tmp_path / "console.log") as guest:
        guest.prompt()
        until(guest, "writer", "running")
        time.sleep(3)
        guest.run("sync")
        if clean:
            assert guest.power_off() == 0
    # Without a clean end, the guest has been killed here.
    check = subprocess.run(
        ["e2fsck", "-f", "-n" if clean else "-p", disk], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0 if clean else check.returncode <= 1, check.stdout
    listing = subprocess.run(
        ["debugfs", "-R", "cat /log", disk], capture_output=True, text=True, check=True
    ).stdout
    assert listing.count("\n") > 5
    if clean:
        last = subprocess.run(
            ["debugfs", "-R", "cat /last", disk], capture_output=True, text=True, check=True
        ).stdout
        assert last == "last\n", "the service was asked to end, and its disk was there until then"
