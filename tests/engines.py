"""Docker Engines on sockets of their own, that change nothing outside of their folders: that of the
installed docker.io, and Debian 13's, whose BuildKit can do more.

    with running(folder, trixie_programs(folder)) as engine:
        subprocess.run(["docker", ...], env={**os.environ, **engine.environment})
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from compos.cli.main import main
from tests.machine import unshared

__all__ = ["Engine", "buildkit_socket", "running", "trixie_programs"]

START_SECONDS = 60
PLUGIN = "usr/libexec/docker/cli-plugins/docker-buildx"
PROGRAMS = (
    *("usr/sbin/dockerd", "usr/bin/docker", PLUGIN),
    *("usr/bin/containerd", "usr/bin/containerd-shim-runc-v2"),
)
RECIPE = f"""
image: docker-of-trixie
org: test
tag: v1
debian:
  packages: [docker.io, docker-cli, docker-buildx, containerd]
  keep: {json.dumps(PROGRAMS)}
"""


class Engine(NamedTuple):
    """A running engine, and what the environment of its clients is."""

    socket: Path
    environment: dict[str, str]


def trixie_programs(folder: Path) -> Path:
    """A folder with Debian 13's Docker, its buildx plugin and containerd, which run here without
    being installed."""
    package, target = folder / "package", folder / "trixie"
    package.mkdir()
    target.mkdir()
    (package / "build.yml").write_text(RECIPE)
    store = ("--cache", str(Path(__file__).resolve().parents[1] / "build" / "test-store"))
    archive = package / "files.tar"
    assert main(["pkg", "build", *store, str(package)]) == 0
    name = "test/docker-of-trixie:v1"
    export = ("--format", "filesystem", "--outfile", str(archive), name)
    assert main(["cache", "export", *store, *export]) == 0
    assert main(["cache", "rm", *store, name]) == 0
    subprocess.run(["tar", "-xf", archive, "-C", target], check=True)
    archive.unlink()
    return target


@contextmanager
def running(folder: Path, programs: Path | None = None) -> Iterator[Engine]:
    """An engine with its data in `folder`, of the installed docker.io, or of `programs`, which
    keeps images in containerd's store, and runs in a network namespace."""
    # Debian's, whatever else is installed.
    path = f"/usr/bin:/usr/sbin:{os.environ['PATH']}"
    settings = folder / "client"
    (settings / "cli-plugins").mkdir(parents=True)
    if programs is None:
        features, driver = {}, "vfs"
    else:
        path = f"{programs / 'usr/bin'}:{programs / 'usr/sbin'}:{path}"
        features, driver = {"features": {"containerd-snapshotter": True}}, "native"
        (settings / "cli-plugins" / "docker-buildx").symlink_to(programs / PLUGIN)
    (folder / "daemon.json").write_text(json.dumps(features))
    address = folder / "docker.sock"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            (
                # Containers on a bridge have a network of the engine's own.
                *(unshared("--net") if programs else ()),
                *("dockerd", "--config-file", folder / "daemon.json"),
                *("--iptables=false", "--ip6tables=false"),
                *(() if programs else ("--bridge=none",)),
                *(f"--storage-driver={driver}", "--pidfile", folder / "pid"),
                *("--data-root", folder / "data", "--exec-root", folder / "exec"),
                *("--host", f"unix://{address}"),
            ),
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": path},
        )
    environment = {
        "PATH": path,
        "DOCKER_HOST": f"unix://{address}",
        "DOCKER_CONFIG": str(settings),
    }
    try:
        _wait(process, environment, folder / "log")
        yield Engine(address, environment)
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], environment: dict[str, str], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while subprocess.run(
        ["docker", "version"], env={**os.environ, **environment}, capture_output=True, check=False
    ).returncode:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


@contextmanager
def buildkit_socket(engine: Engine, path: Path) -> Iterator[str]:
    """The address of a BuildKit daemon: an engine's own, which speaks its protocol behind an
    upgrade of HTTP (Docker Engine API, "Initialize interactive gRPC session")."""
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
        server.listen()
        threading.Thread(target=_accept, args=(server, engine.socket), daemon=True).start()
        yield f"unix://{path}"
        # Ends the thread that waits for it.
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket, engine: Path) -> None:
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            behind = socket.socket(socket.AF_UNIX)
            behind.connect(str(engine))
            behind.sendall(
                b"POST /grpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
            )
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += behind.recv(1)
            for one, other in ((client, behind), (behind, client)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
