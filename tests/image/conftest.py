"""Fixtures: stores, the fake registry, and Debian's docker-registry on loopback as the real one."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from compos.image.registries.registry import Registry
from compos.image.store import Store
from tests.registry import FakeRegistry

# The password is "secret"; bcrypt, the only kind that docker-registry reads.
HTPASSWD = "tester:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"


@pytest.fixture(autouse=True)
def _no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own credentials, mirrors or stores play a part."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("COMPOS_CACHE", "LINUXKIT_CACHE", "LINUXKIT_MIRROR", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("COMPOS_BRICKS", "COMPOS_BRICKS_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The store under test."""
    return Store(tmp_path / "store")


@pytest.fixture
def source(tmp_path: Path) -> Store:
    """A store in which images for a registry are made."""
    return Store(tmp_path / "source")


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def waits() -> list[float]:
    """The waits between attempts, which are not waited for."""
    return []


@pytest.fixture
def registry(waits: list[float]) -> Registry:
    return Registry(wait=waits.append)


StartRegistry = Callable[..., str]


@pytest.fixture
def docker_registry(tmp_path: Path) -> Iterator[StartRegistry]:
    """Starts Debian's docker-registry; gives its host and port. Keyword `auth` is its
    configuration's `auth`."""
    yield from started_registries(tmp_path)


def started_registries(folder: Path) -> Iterator[StartRegistry]:
    """What starts docker-registry with its images in `folder`; all end when it is closed."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*, auth: dict[str, object] | None = None) -> str:
        for _ in range(5):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                host = f"127.0.0.1:{probe.getsockname()[1]}"
            configuration = {
                "version": 0.1,
                "log": {"level": "error", "accesslog": {"disabled": True}},
                "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
                "http": {"addr": host, "secret": "only for this test"},
                **({"auth": auth} if auth else {}),
            }
            path = folder / "registry.yml"
            path.write_text(json.dumps(configuration))
            process = subprocess.Popen(
                ["docker-registry", "serve", path], stderr=subprocess.DEVNULL
            )
            processes.append(process)
            if _answers(process, host):
                return host
        raise AssertionError("docker-registry does not start")

    yield start
    for process in processes:
        process.terminate()
        process.wait()


def _answers(process: subprocess.Popen[bytes], host: str) -> bool:
    opener = build_opener(ProxyHandler({}))
    for _ in range(200):
        if process.poll() is not None:
            return False
        try:
            opener.open(f"http://{host}/v2/", timeout=5).close()
        except OSError as error:
            # An HTTPError, which asks for credentials, is an answer too.
            if not hasattr(error, "code"):
                time.sleep(0.05)
                continue
        return True
    return False
