"""Our bricks through a real registry: pushed, pulled into an empty store, and the same system comes
out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.door import stored_image
from compos.image.platform import Platform
from compos.image.registries.push import push
from compos.image.registries.registry import Registry
from compos.image.store import Store
from tests.boot.conftest import ROOT, STORE

pytestmark = pytest.mark.xdist_group("boot")


def test_a_system_from_a_registry(
    built: Callable[[str], Path],
    docker_registry: Callable[[], str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    local = built("redis")
    host = docker_registry()
    store = Store(STORE)
    for name in ("kernel", "init", "runc", "containerd", "dhcpcd", "redis"):
        reference = f"docker.io/compos/{name}:v1"
        push(store, reference, registry=Registry(), target=f"{host}/compos/{name}:v1")
    arguments = ["build", "--cache", str(tmp_path / "store"), "--mirror", f"compos=http://{host}"]
    # A mirror that does not exist proves that nothing is built from Debian packages here.
    arguments += ["--debian-mirror", (tmp_path / "none").as_uri(), "--dir", str(tmp_path)]
    assert main([*arguments, str(ROOT / "examples/redis.yml")]) == 0, capfd.readouterr().err
    for suffix in ("-kernel", "-initrd.img", "-cmdline"):
        pulled = (tmp_path / f"redis{suffix}").read_bytes()
        assert pulled == local.with_name(f"redis{suffix}").read_bytes(), suffix


def test_bricks_are_reproducible(built: Callable[[str], Path], tmp_path: Path) -> None:
    """The same Debian index gives the same images, in another store and folder."""
    built("redis")
    other = tmp_path / "deep" / "store"
    other.mkdir(parents=True)
    (other / "debian").symlink_to(STORE / "debian")
    bricks = [str(ROOT / "bricks" / name) for name in ("runc", "dhcpcd", "redis", "sysctl")]
    assert main(["pkg", "build", "--cache", str(other), *bricks]) == 0
    # What an earlier compos left in the checkout's store is as good, but its SBOM is not this
    # one's.
    assert main(["pkg", "build", "--cache", str(STORE), "--force", *bricks]) == 0
    for name in ("runc", "dhcpcd", "redis"):
        # Not the whole index: this store's may list another architecture beside this one, from
        # another test.
        reference = f"docker.io/compos/{name}:v1"
        first, second = (
            stored_image(store, reference, store.named(reference), Platform("linux", "amd64"))
            for store in (Store(STORE), Store(other))
        )
        assert first == second
