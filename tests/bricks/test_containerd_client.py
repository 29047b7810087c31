"""init's containerd client with Debian's containerd."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compos.compose.plan import CONTAINERD_ID, MAX_CONTAINERD_ID, MAX_SPECIFICATION
from tests.bricks.containerd_client import call
from tests.machine import require_cgroups


def accepts(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(address)) == 0


@pytest.fixture
def containerd(driver: Path, tmp_path: Path) -> Iterator[Path]:
    """A containerd of the test's own; gives its socket. Its containers, in the namespace `test`,
    end with it."""
    address = tmp_path / "containerd.sock"
    (tmp_path / "config.toml").write_text(
        f'version = 2\nroot = "{tmp_path}/root"\nstate = "{tmp_path}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{address}"\n'
    )
    with (tmp_path / "containerd.log").open("wb") as log:
        process = subprocess.Popen(
            ["containerd", "--config", tmp_path / "config.toml"], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 30
        while not accepts(address):
            assert time.monotonic() < deadline, (tmp_path / "containerd.log").read_text()
            time.sleep(0.05)
        yield address
    finally:
        subprocess.run(
            [driver, address, "test", "remove-all"], capture_output=True, timeout=90, check=False
        )
        process.terminate()
        process.wait(30)


def control(address: Path, *arguments: str) -> str:
    """What containerd's own client says."""
    command = ["ctr", "-a", str(address), "-n", "test", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def bundle(tmp_path: Path, script: str, padding: int = 0) -> Path:
    """A container's specification; `padding` makes it longer than HTTP/2's first window."""
    root = tmp_path / "rootfs/bin"
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", root)
    spec = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/busybox", "sh", "-c", script],
            "cwd": "/",
        },
        "root": {"path": str(tmp_path / "rootfs")},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "annotations": {"padding": "x" * padding},
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}], "resources": {}},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(spec))
    return path


@pytest.mark.root
def test_a_container_from_birth_to_removal(driver: Path, containerd: Path, tmp_path: Path) -> None:
    require_cgroups()
    spec = bundle(tmp_path, "echo out; echo err >&2; exec sleep 300", padding=200_000)
    out, err = tmp_path / "one.out.log", tmp_path / "one.log"
    out.touch()
    err.touch()
    assert call(driver, containerd, "test", "create", "one", spec) == "ok 0"
    assert (
        call(driver, containerd, "test", "create", "one", spec)
        == 'error: container "one": already exists'
    )
    info = json.loads(control(containerd, "containers", "info", "one"))
    assert info["Spec"] == json.loads(spec.read_text())
    assert info["Runtime"]["Name"] == "io.containerd.runc.v2"
    created = call(driver, containerd, "test", "task", "one", out, err)
    assert re.fullmatch(r"ok [1-9]\d*", created)
    assert call(driver, containerd, "test", "start", "one") == created, "the same process"
    until(lambda: (out.read_text(), err.read_text()) == ("out\n", "err\n"))
    assert "RUNNING" in control(containerd, "task", "ls")
    assert "not found" in call(driver, containerd, "test", "start", "other")
    assert call(driver, containerd, "test", "kill", "one") == "ok 0"
    until(lambda: "STOPPED" in control(containerd, "task", "ls"))
    assert "not found" in call(driver, containerd, "test", "kill", "other")
    assert call(driver, containerd, "test", "remove-all") == "ok 0"
    assert "one" not in control(containerd, "task", "ls") + control(containerd, "containers", "ls")
    assert call(driver, containerd, "elsewhere", "remove-all") == "ok 0"


@pytest.mark.root
def test_the_longest_specification_is_a_request(
    driver: Path, containerd: Path, tmp_path: Path
) -> None:
    """With the longest names around it; what init reads for longer ones, the build refuses."""
    short = len(bundle(tmp_path, "true").read_bytes())
    spec = bundle(tmp_path, "true", padding=MAX_SPECIFICATION - short)
    assert spec.stat().st_size == MAX_SPECIFICATION
    assert call(driver, containerd, "test", "create", "a" * 76, spec) == "ok 0"
    info = json.loads(control(containerd, "containers", "info", "a" * 76))
    assert info["Spec"] == json.loads(spec.read_text())
    spec.write_bytes(spec.read_bytes().ljust(MAX_SPECIFICATION + 4096))
    problem = "error: the container's configuration is longer than a request can be"
    assert call(driver, containerd, "test", "create", "b", spec) == problem


@pytest.mark.root
def test_containerd_takes_the_names_that_the_build_lets_through(
    driver: Path, containerd: Path, tmp_path: Path
) -> None:
    spec = bundle(tmp_path, "true")
    for name in (
        "web",
        "a-b_c.d",
        "a" * 76,
        "a" * 77,
        "a--b",
        "end-",
        "-a",
        ".a",
        "a+b",
        "a b",
        "ä",
        "0",
    ):
        taken = call(driver, containerd, "test", "create", name, spec) == "ok 0"
        assert taken == bool(CONTAINERD_ID.fullmatch(name) and len(name) <= MAX_CONTAINERD_ID), name


@pytest.mark.root
def test_removing_what_still_runs(driver: Path, containerd: Path, tmp_path: Path) -> None:
    """A killed task needs a moment to die, above all one of many processes; no name may stay
    taken."""
    require_cgroups()
    spec = bundle(
        tmp_path, "i=0; while [ $i -lt 50 ]; do sleep 300 & i=$((i+1)); done; echo up; wait"
    )
    out = tmp_path / "log"
    for _ in range(4):
        out.write_text("")
        for name in ("running", "created"):
            assert call(driver, containerd, "test", "create", name, spec) == "ok 0"
            assert call(driver, containerd, "test", "task", name, out, out).startswith("ok ")
        assert call(driver, containerd, "test", "start", "running").startswith("ok ")
        until(lambda: "up" in out.read_text())
        assert call(driver, containerd, "test", "remove-all") == "ok 0"
        assert (
            control(containerd, "task", "ls", "-q") + control(containerd, "containers", "ls", "-q")
            == ""
        )


@pytest.mark.root
def test_removing_more_than_a_small_answer_holds(
    driver: Path, containerd: Path, tmp_path: Path
) -> None:
    spec = bundle(tmp_path, "true", padding=400_000)
    for number in range(6):
        assert call(driver, containerd, "test", "create", f"large-{number}", spec) == "ok 0"
    assert call(driver, containerd, "test", "remove-all") == "ok 0"
    assert control(containerd, "containers", "ls", "-q") == ""


def test_nobody_listens(driver: Path, tmp_path: Path) -> None:
    assert "error:" in call(driver, tmp_path / "none.sock", "test", "remove-all")
