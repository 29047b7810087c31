"""Pushes that are killed at random, several at once on one store and one registry: a name stands
for a whole image, or is not there."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from compos.image.model import INDEX, MANIFEST
from compos.image.store import Store
from tests.image.conftest import StartRegistry
from tests.images import AMD64, ARM64, make_index, put_image

KILLS = int(os.environ.get("COMPOS_TEST_KILLS", "6"))
AT_ONCE = 3
OPENER = build_opener(ProxyHandler({}))


def get(url: str) -> bytes | None:
    """What a registry has; None if it has nothing there."""
    try:
        with OPENER.open(
            Request(url, headers={"Accept": f"{INDEX}, {MANIFEST}"}), timeout=30
        ) as got:
            data: bytes = got.read()
            return data
    except HTTPError as error:
        if error.code != 404:
            raise
        return None


def whole(repository: str, tag: str = "1") -> bool:
    """Whether the repository at this URL has the tag, and then everything that it leads to."""
    index = get(f"{repository}/manifests/{tag}")
    if index is None:
        return False
    for entry in json.loads(index)["manifests"]:
        manifest = _verified(f"{repository}/manifests/", entry["digest"])
        document = json.loads(manifest)
        for blob in (document["config"], *document["layers"]):
            _verified(f"{repository}/blobs/", blob["digest"])
    return True


def _verified(folder: str, digest: str) -> bytes:
    data = get(folder + digest)
    assert data is not None, f"{digest} is not there"
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
    return data


@pytest.mark.slow
def test_killed_at_random(docker_registry: StartRegistry, source: Store, tmp_path: Path) -> None:
    host = docker_registry()
    randomly = random.Random(15)
    manifests = {
        platform: put_image(
            source,
            layers=[
                [(f"f{number}", "file", 0o644, randomly.randbytes(400_000))] for number in "123"
            ],
            platform=platform,
        )[0]
        for platform in (AMD64, ARM64)
    }
    make_index(source, "x/y:1", manifests)

    def start(repository: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "compos", "cache", "push", "--cache", str(source.root)]
        name = f"{host}/{repository}:1"
        return subprocess.Popen(
            [*command, "x/y:1", "--remote-name", name], stderr=subprocess.DEVNULL
        )

    killed = 0
    for number in range(0, KILLS, AT_ONCE):
        repository = f"team/app{number}"
        running = [start(repository) for _ in range(AT_ONCE)]
        for process in running:
            _wait_for(layers(tmp_path, repository), randomly.randrange(1, 8), process)
            process.kill()
        killed += sum(process.wait() == -signal.SIGKILL for process in running)
        whole(f"http://{host}/v2/{repository}")
        assert start(repository).wait() == 0
        assert whole(f"http://{host}/v2/{repository}")
    assert killed


def layers(folder: Path, repository: str) -> Path:
    """Where docker-registry notes the blobs of a repository."""
    return folder / "registry/docker/registry/v2/repositories" / repository / "_layers/sha256"


def _wait_for(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Return when `folder` has so many entries, or the process has ended."""
    while process.poll() is None:
        if folder.is_dir() and len([*folder.iterdir()]) >= count:
            return
        time.sleep(0.005)
