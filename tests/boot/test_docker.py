"""A Docker Engine in a guest: an image loaded from a tar, run as a container within limits, its
port published, its data on a disk that the first boot has formatted; what cadvisor says of it. At
the second boot the container runs again, and trim-after-delete sees it go."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.boot.conftest import ROOT
from tests.boot.runtimes import until
from tests.guest import Guest, fetch, free_port
from tests.prometheus import parsed

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

BUSYBOX = Path("/bin/busybox")
"""Debian's static one, of this machine."""


def archive(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, contents in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(contents), 0o755
            tar.addfile(member, io.BytesIO(contents))
    return made.getvalue()


def image(name: str) -> bytes:
    """What `docker save` writes: an image with a shell and nothing else."""
    layer = archive({"bin/busybox": BUSYBOX.read_bytes()})
    digest = hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    return archive(
        {
            "layer.tar": layer,
            "config.json": json.dumps(config).encode(),
            "manifest.json": json.dumps(manifest).encode(),
        }
    )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The image's address in the guest."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "image.tar").write_bytes(image("hello:v1"))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://10.0.2.2:{server.server_port}/image.tar"
        server.shutdown()


BESIDES = """
  - {name: cadvisor, image: compos/cadvisor:v1}
  - name: trim-after-delete
    image: compos/trim-after-delete:v1
    binds.add: ["/run/docker:/run/docker"]
    command: [/usr/bin/trim-after-delete, -delay, 1s, -docker-socket, /run/docker/docker.sock,
              --, /sbin/fstrim, -v, /var/lib/docker]
    logging: {driver: console}"""

DOCKER = 'docker() { nsenter -t $(pidof dockerd) -m -n -p docker "$@"; }'

RUN = (
    "docker run -d --restart unless-stopped --name web --stop-timeout 1 -m 32m -p 80:8080 hello:v1 /bin/busybox sh -c '"
    "busybox cat /sys/fs/cgroup/memory.max /proc/self/cgroup;"
    "busybox mkdir -p /www; echo Hello from a container >>/www/index.html;"
    "exec busybox httpd -f -p 8080 -h /www'"
)


def expect_metrics(port: int, identifier: str) -> None:
    samples = parsed(fetch(port, path="/metrics"))
    web = {"id": f"/docker/{identifier}", "image": "hello:v1", "name": "web"}
    assert samples.value("container_spec_memory_limit_bytes", **web) == 32 << 20
    assert 0 < samples.value("container_memory_usage_bytes", **web) < 32 << 20
    assert samples.value("container_cpu_usage_seconds_total", **web) > 0
    received = "container_network_receive_bytes_total"
    assert samples.value(received, **web, interface="eth0") > 0, "its own network"
    assert samples.has("container_start_time_seconds", id="/getty", image="", name="getty")
    root = {"id": "/", "image": "", "name": ""}
    assert samples.value(received, **root, interface="eth0") > 1000000, "the image"


@pytest.mark.wide
def test_docker(built: Callable[[str], Path], tmp_path: Path, served: str) -> None:
    port, metrics = free_port(), free_port()
    options = ["--publish", f"{port}:80", "--publish", f"{metrics}:8080"]
    options += ["--disk", f"{tmp_path}/disk.img,size=1G"]
    example = (ROOT / "examples" / "docker.yml").read_text()
    system = built(example.replace("services:\n", f"services:{BESIDES}\n"))
    with Guest(
        system, *options, "--state", f"{tmp_path}/state", log=tmp_path / "console.log"
    ) as guest:
        guest.prompt()
        until(guest, "service docker healthy", 180)
        guest.run(DOCKER)
        loaded = guest.run(f"wget -qO- {served} | docker load", 120)
        assert "Loaded image: hello:v1" in loaded
        identifier = re.search(r"^[0-9a-f]{64}\b", guest.run(RUN, 120), re.MULTILINE)
        assert identifier
        assert fetch(port) == "Hello from a container\n"
        expect_metrics(metrics, identifier[0])
        logs = guest.run("docker logs web")
        assert str(32 << 20) in logs, "its limit"
        assert "0::/\n" in logs, "a namespace of control groups of its own"
        mounts = guest.run("cat /proc/1/mounts /proc/$(pidof dockerd)/mounts")
        assert "/dev/sda1 /var/lib/docker ext4 rw" in mounts
        assert "/var/lib/docker/overlay2/" in mounts
        assert guest.power_off() == 0
        assert "service docker stopped: exit status 0" in guest.text()
    state = ("--state", f"{tmp_path}/state")
    with Guest(system, *options, *state, log=tmp_path / "again.log") as guest:
        assert fetch(port, 300) == "Hello from a container\n" * 2, "by itself, with what it wrote"
        guest.prompt()
        guest.run(DOCKER)
        listed = guest.run("docker images; docker ps --no-trunc")
        assert re.search(r"hello +v1 ", listed)
        assert identifier[0] in listed, "the same container"
        assert "bytes) trimmed" not in guest.text()
        guest.run("docker rm -f web")
        until(guest, r"trim-after-delete: /var/lib/docker: .* bytes\) trimmed")
        assert guest.power_off() == 0
        assert "service docker stopped: exit status 0" in guest.text()
