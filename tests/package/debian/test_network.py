"""Against the real mirror: the same packages as apt would install, whole and signed."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from compos.package.debian.archive import data_tar, fetch_packages
from compos.package.debian.index import PackageIndex, load_index
from compos.package.debian.mirror import Mirror, default_mirror
from compos.package.debian.solver import resolve

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("debian-mirror")]

SUITES = ("trixie", "trixie-updates", "trixie-security")
BRICKS = [
    "nginx",
    "containerd",
    "runc",
    "linux-image-cloud-amd64",
    "util-linux",
    "dhcpcd-base",
    "wireguard-tools",
]


@pytest.fixture(scope="module")
def mirror() -> Mirror:
    return default_mirror()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def index(mirror: Mirror, cache: Path) -> PackageIndex:
    return load_index(mirror, cache, architecture="amd64", suites=SUITES)


class Apt:
    """apt with a root of its own, which knows main of trixie, its updates and security's, and has
    nothing installed."""

    def __init__(self, root: Path, mirror: Mirror) -> None:
        self.root = root
        for folder in (
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "var/lib/apt/lists/partial",
            "var/lib/dpkg",
        ):
            (root / folder).mkdir(parents=True)
        (root / "var/cache/apt/archives/partial").mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        sources = [
            f"deb [signed-by={mirror.keyring}] {mirror.address(suite, '')} {suite} main\n"
            for suite in SUITES
        ]
        (root / "etc/apt/sources.list").write_text("".join(sources))
        self.run("update")

    def run(self, *arguments: str) -> str:
        options = {
            "Dir": self.root,
            "Dir::State::status": self.root / "var/lib/dpkg/status",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "Acquire::Languages": "none",
            # Containers switch these off, and each call then takes 3 s longer.
            "Dir::Cache::pkgcache": "pkgcache.bin",
            "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
        }
        settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return subprocess.run(
            ["apt-get", *settings, *arguments], check=True, capture_output=True, text=True
        ).stdout

    def would_install(self, names: list[str]) -> set[tuple[str, str]]:
        lines = self.run("install", "-s", "--no-install-recommends", *names).splitlines()
        return {
            (words[1], words[2].strip("("))
            for line in lines
            if (words := line.split())[:1] == ["Inst"]
        }


def test_same_as_apt(tmp_path: Path, mirror: Mirror, index: PackageIndex) -> None:
    apt = Apt(tmp_path, mirror)
    for names in (BRICKS, ["systemd", "openssh-server", "exim4", "redis-server"]):
        assert {
            (package.name, package.version) for package in resolve(index, names)
        } == apt.would_install(names)


def test_fetch(mirror: Mirror, index: PackageIndex, cache: Path) -> None:
    packages = resolve(index, ["runc"], without=["libc6"])
    assert [package.name for package in packages] == ["libseccomp2", "runc"]
    paths = fetch_packages(mirror, packages, cache)
    with data_tar(paths[1]) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        assert "./usr/sbin/runc" in {member.name for member in archive}
