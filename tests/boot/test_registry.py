"""Our bricks through a real registry: pushed and signed, pulled into an empty store by somebody
without a Debian mirror, and the same system comes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.door import stored_image
from compos.image.platform import Platform
from compos.image.store import Store
from tests.boot.conftest import ROOT, STORE
from tests.initramfs import unpacked
from tests.trust.pairs import key_pair, require_cryptography

SBOM = "sbom.spdx.json"

pytestmark = pytest.mark.xdist_group("boot")


def test_a_system_from_a_registry(
    built: Callable[[str], Path],
    docker_registry: Callable[[], str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    require_cryptography()
    local = built("redis")
    registry = f"{docker_registry()}/bricks"
    private, public = key_pair(tmp_path)
    names = ("kernel", "init", "runc", "containerd", "dhcpcd", "redis")
    push = ["pkg", "push", "--registry", registry, "--sign-key", str(private)]
    folders = [str(ROOT / "bricks" / name) for name in names]
    assert main([*push, "--platforms", "linux/amd64", *folders]) == 0
    arguments = ["build", "--cache", str(tmp_path / "store"), "--dir", str(tmp_path)]
    # Where nobody answers, nothing is built from Debian packages.
    arguments += ["--debian-mirror", "http://127.0.0.1:1/debian"]
    arguments += ["--bricks", registry, "--bricks-key", str(public)]
    assert main([*arguments, str(ROOT / "examples/redis.yml")]) == 0, capfd.readouterr().err
    for suffix in ("-kernel", "-cmdline"):
        pulled = (tmp_path / f"redis{suffix}").read_bytes()
        assert pulled == local.with_name(f"redis{suffix}").read_bytes(), suffix
    # The SBOM names images by the digests of their manifests, which change when layers travel
    # compressed: apart from it the systems are the same.
    theirs, ours = (
        unpacked(prefix.with_name("redis-initrd.img").read_bytes())
        for prefix in (tmp_path / "redis", local)
    )
    assert theirs.pop(SBOM) != ours.pop(SBOM)
    assert theirs == ours


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
