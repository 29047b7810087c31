"""buildah without root: as nobody, with ranges of users for its namespace, and the same image comes
out."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.store import Store
from tests.machine import unshared
from tests.nobody import NOBODY, as_nobody
from tests.package.builders.test_builders import BASE, use

pytestmark = [pytest.mark.root, pytest.mark.slow]

RANGES = f"nobody:{10 * 65536}:65536\n"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of nobody's, who has ranges of users as long as the test runs: for processes of its
    mount namespace."""
    unshared("--mount")
    (tmp_path / "ranges").write_text(RANGES)
    made = Path(tempfile.mkdtemp(prefix="compos-rootless-", dir="/tmp"))
    for name in ("package", "home", "run"):
        (made / name).mkdir()
        os.chown(made / name, NOBODY, NOBODY)
    made.chmod(0o755)
    files = ("/etc/subuid", "/etc/subgid")
    for name in files:
        if not Path(name).exists():
            Path(name).touch()
        subprocess.run(["mount", "--bind", tmp_path / "ranges", name], check=True)
    yield made
    for name in files:
        subprocess.run(["umount", name], check=True)
    shutil.rmtree(made)


def test_nobody_builds_the_same_image(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder / "package"
    shutil.copy("/bin/busybox", package / "busybox")
    (package / "build.yml").write_text("image: base\norg: test\ntag: v1\n")
    (package / "Dockerfile").write_text(f"{BASE}RUN id -u >/id && cat /proc/net/dev >/devices\n")
    for variable in ("DOCKER_CONFIG", "XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(variable, raising=False)
    own = {"HOME": str(folder / "home"), "XDG_RUNTIME_DIR": str(folder / "run"), "USER": "nobody"}
    use(
        monkeypatch, {**own, "TMPDIR": str(folder / "run"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    use(monkeypatch, {"BUILDAH_ISOLATION": "rootless", "STORAGE_DRIVER": "vfs"})
    monkeypatch.chdir(folder)
    stores = (tmp_path / "root", folder / "home" / "store")
    builds = [
        lambda store=store: main(
            ["pkg", "build", "--builder", "buildah", "--cache", str(store), str(package)]
        )
        for store in stores
    ]
    # root's build imports what nobody's needs.
    assert builds[0]() == 0
    assert as_nobody(builds[1]) == 0
    roots, nobodys = (
        Store(store, trusted=True).named("docker.io/test/base:v1") for store in stores
    )
    assert roots.digest == nobodys.digest
    assert list((stores[1] / "ingest").iterdir()) == []
