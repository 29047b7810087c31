"""The brick cadvisor on a hierarchy of the test's, judged by Prometheus' own parser."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.bricks.compiler import compile_brick
from tests.guest import fetch, free_port
from tests.prometheus import Samples, parsed

MIB = 1 << 20
ID = "0123456789abcdef" * 4

CPU = """usage_usec 2500000
user_usec 2000000
system_usec 500000
nr_periods 10
nr_throttled 4
throttled_usec 125000
"""
MEMORY = "anon 4096\nfile 8192\nfile_mapped 1024\ninactive_file 2048\npgfault 70\npgmajfault 7\n"
PRESSURE = "some avg10=0.00 total=1500000\nfull avg10=0.00 total=500000\n"
DEVICES = "4095:77 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\nnonsense\n"
INTERFACES = """Inter-|   Receive                            |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes
    lo: 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9
  eth0: 1001 12 1 2 0 0 0 0 2002 23 3 4 0 0 0 0
"""

GROUPS = {
    "": {"cpu.stat": CPU, "memory.stat": MEMORY},
    "web": {
        "cgroup.procs": "42\n43\n",
        "cpu.stat": CPU,
        "cpu.max": "50000 100000\n",
        "cpu.weight": "100\n",
        "memory.current": f"{10 * MIB}\n",
        "memory.max": f"{32 * MIB}\n",
        "memory.swap.max": "max\n",
        "memory.stat": MEMORY,
        "memory.events": "low 0\nhigh 0\nmax 5\noom 1\noom_kill 1\n",
        "memory.pressure": PRESSURE,
        "pids.current": "3\n",
        "pids.max": "max\n",
        "io.stat": DEVICES,
    },
    "docker": {"cgroup.procs": "", "memory.current": "1\n"},
    f"docker/{ID}": {"cgroup.procs": "44\n", "memory.current": "77\n"},
    # The name of a group is anybody's choice.
    'a"b\\c\nd': {"cgroup.procs": "45\n", "memory.current": "5\n"},
    "damaged": {"cgroup.procs": "x", "cpu.stat": "usage_usec", "io.stat": "1", "cpu.max": "\n"},
}


def written(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


class Served(NamedTuple):
    """Where it listens, and its folders."""

    port: int
    groups: Path

    def samples(self) -> Samples:
        return parsed(fetch(self.port, 10, "/metrics"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("cadvisor")
    for group, files in GROUPS.items():
        written(folder / "groups" / group, files)
    stat = "(a) name) S " + " ".join(["0"] * 18) + " 2000 0\n"
    processes = {
        "meminfo": "MemTotal:     2048 kB\nMemFree:      1024 kB\n",
        "stat": "cpu 1 2\nbtime 1700000000\n",
        "1/net/dev": INTERFACES.replace("1001", "7"),
        "42/net/dev": INTERFACES,
        "42/stat": f"42 {stat}",
    }
    written(folder / "proc", processes)
    # A container that shares the machine's network.
    (folder / "proc" / "44" / "net").mkdir(parents=True)
    os.link(folder / "proc" / "1" / "net" / "dev", folder / "proc" / "44" / "net" / "dev")
    settings = json.dumps({"Name": "/shop", "Config": {"Image": "nginx:1"}})
    written(folder / "docker", {f"containers/{ID}/config.v2.json": settings})
    port = free_port()
    options = [f"-cgroup_root={folder}/groups", f"-proc_root={folder}/proc"]
    options += [f"-docker_root={folder}/docker", "-listen_ip=127.0.0.1", "-port", str(port)]
    with subprocess.Popen(
        [compile_brick("cadvisor"), *options], stderr=subprocess.PIPE, text=True
    ) as process:
        assert fetch(port, 20, "/healthz") == "ok\n"
        yield Served(port, folder / "groups")
        assert process.poll() is None
        process.terminate()
        _, said = process.communicate(timeout=20)
    assert said == "", "no sanitizer has anything to say"


WEB = {"id": "/web", "image": "", "name": "web"}

EXPECTED = {
    "container_cpu_usage_seconds_total": 2.5,
    "container_cpu_user_seconds_total": 2,
    "container_cpu_system_seconds_total": 0.5,
    "container_cpu_cfs_periods_total": 10,
    "container_cpu_cfs_throttled_periods_total": 4,
    "container_cpu_cfs_throttled_seconds_total": 0.125,
    "container_memory_usage_bytes": 10 * MIB,
    "container_memory_working_set_bytes": 10 * MIB - 2048,
    "container_memory_rss": 4096,
    "container_memory_cache": 8192,
    "container_memory_mapped_file": 1024,
    # cAdvisor's counter has no `_total`; the parser adds it, as OpenMetrics wants.
    "container_memory_failcnt_total": 5,
    "container_oom_events_total": 1,
    "container_pressure_memory_waiting_seconds_total": 1.5,
    "container_pressure_memory_stalled_seconds_total": 0.5,
    "container_spec_memory_limit_bytes": 32 * MIB,
    "container_spec_memory_swap_limit_bytes": 0,
    "container_spec_cpu_quota": 50000,
    "container_spec_cpu_period": 100000,
    "container_spec_cpu_shares": 2597,
    "container_processes": 2,
    "container_threads": 3,
    "container_threads_max": 0,
}


def test_a_containers_metrics(served: Served) -> None:
    samples = served.samples()
    assert {name: samples.value(name, **WEB) for name in EXPECTED} == EXPECTED
    ticks = os.sysconf("SC_CLK_TCK")
    assert samples.value("container_start_time_seconds", **WEB) == 1700000000 + 2000 / ticks
    assert abs(samples.value("container_last_seen", **WEB) - time.time()) < 60
    eth0 = {**WEB, "interface": "eth0"}
    assert samples.value("container_network_receive_bytes_total", **eth0) == 1001
    assert samples.value("container_network_receive_packets_dropped_total", **eth0) == 2
    assert samples.value("container_network_transmit_bytes_total", **eth0) == 2002
    assert samples.value("container_network_transmit_errors_total", **eth0) == 3
    disk = {**WEB, "device": "4095:77"}
    assert samples.value("container_fs_reads_bytes_total", **disk) == 1
    assert samples.value("container_fs_writes_total", **disk) == 4
    faults = {**WEB, "failure_type": "pgmajfault", "scope": "hierarchy"}
    assert samples.value("container_memory_failures_total", **faults) == 7


def test_names(served: Served) -> None:
    samples = served.samples()
    usage = "container_memory_usage_bytes"
    docker = {"id": f"/docker/{ID}", "image": "nginx:1", "name": "shop"}
    assert samples.value(usage, **docker) == 77
    assert samples.value(usage, id="/docker", image="", name="") == 1, "no container"
    odd = 'a"b\\c\nd'
    assert samples.value(usage, id=f"/{odd}", image="", name=odd) == 5
    root = {"id": "/", "image": "", "name": ""}
    assert samples.value(usage, **root) == MIB
    network = "container_network_receive_bytes_total"
    assert samples.value(network, **root, interface="eth0") == 7
    assert not samples.has(network, **docker, interface="eth0"), "counted for the machine"
    assert not samples.has(network, **root, interface="lo")


def test_the_machine(served: Served) -> None:
    samples = served.samples()
    assert samples.value("machine_memory_bytes") == 2 * MIB
    assert samples.value("machine_cpu_cores") == os.cpu_count()
    labels = {"cadvisorVersion": "compos", "kernelVersion": os.uname().release}
    assert samples.value("cadvisor_version_info", **labels) == 1


def exchange(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(request)
        return connection.makefile("rb").read()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", 200),
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET /../metrics HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"GET " + b"x" * 9000, 400),
    ],
    ids=["query", "elsewhere", "outside", "post", "long"],
)
def test_requests(served: Served, request_: bytes, status: int) -> None:
    assert exchange(served.port, request_).startswith(f"HTTP/1.1 {status} ".encode())


def test_idle_clients_stop_nobody(served: Served) -> None:
    idle = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(10)]
    assert fetch(served.port, 10, "/healthz") == "ok\n"
    for one in idle:
        one.close()


def test_a_hierarchy_without_end(served: Served) -> None:
    deep = served.groups / "/".join(["deep"] * 40)
    deep.mkdir(parents=True)
    samples = served.samples()
    assert samples.has("container_last_seen", id="/deep/deep", image="", name="")
    assert not samples.has("container_last_seen", id="/deep" * 20, image="", name="")


def test_command_line() -> None:
    program = compile_brick("cadvisor")
    for arguments, status in ((["-port", "0"], 2), (["-x"], 2), (["x"], 1), (["-listen_ip=x"], 1)):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == status
        assert done.stderr.endswith("\n")


def test_the_address_is_taken(served: Served) -> None:
    command = [str(compile_brick("cadvisor")), "-listen_ip", "127.0.0.1", "-port", str(served.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stderr) == (
        1,
        f"cadvisor: {served.port}: Address already in use\n",
    )
