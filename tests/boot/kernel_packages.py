"""Kernels from the packages of other distributions: Debian's kernel in the places, compressions and
package formats of Fedora, Alpine and Arch, made into kernel bricks and booted. `make matrix` runs
it; no mirror of these distributions is asked.

The kernel is Debian's because it is at hand and known to boot: what is tried are the formats and
the places of files. rpmbuild makes the RPM; no tool of Alpine's or Arch's is in Debian, so that
Python's tarfile writes their packages as their documentation says (tests/package).
"""

from __future__ import annotations

import gzip
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from compos.cli.main import main
from compos.zstd import zstd
from tests.boot.conftest import ROOT
from tests.boot.test_brick_images import stored
from tests.guest import Guest, fetch, free_port

pytestmark = [pytest.mark.boot, pytest.mark.slow]

SECONDS = 300

SPEC = """\
Name: kernel-core
Version: 6.12
Release: 1.fc43
Summary: A kernel
License: GPL
%description
A kernel.
%global __os_install_post %{nil}
%global debug_package %{nil}
AutoReqProv: no
%install
cp -a FOLDER/. %{buildroot}/
%files
/lib/modules
"""

SYSTEM = """\
kernel:
  image: "@pkg:FOLDER"
  cmdline: "console=ttyS0"
  modules: auto
init: [compos/init:v1, compos/runc:v1, compos/containerd:v1]
onboot:
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: [/sbin/dhcpcd, --nobackground, -f, /dhcpcd.conf, "-1"]
services:
  - name: nginx
    image: compos/nginx:v1
    capabilities: [CAP_NET_BIND_SERVICE, CAP_CHOWN, CAP_SETUID, CAP_SETGID, CAP_DAC_OVERRIDE]
  - {name: getty, image: compos/getty:v1, env: [INSECURE=true]}
"""


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of Debian's cloud kernel, without compression of modules."""
    folder = ROOT / "bricks" / "kernel"
    assert main(["pkg", "build", "-q", "--platforms", "linux/amd64", str(folder)]) == 0
    brick = stored(folder, yaml.safe_load((folder / "build.yml").read_text()), "amd64")
    (package,) = (
        path
        for path in brick.packages
        if subprocess.run(
            ["dpkg-deb", "-f", path, "Package"], capture_output=True, text=True, check=True
        ).stdout.startswith("linux-image-6")
    )
    tree = tmp_path_factory.mktemp("debian")
    subprocess.run(["dpkg-deb", "-x", package, tree], check=True)
    subprocess.run(f"find {tree} -name '*.ko.xz' -exec xz -d {{}} +", shell=True, check=True)
    return tree


def modules(debian: Path, target: Path, command: str) -> str:
    """Copies the modules to `target`/VERSION, each compressed by `command`; the version."""
    (source,) = (debian / "usr/lib/modules").iterdir()
    subprocess.run(["mkdir", "-p", target], check=True)
    subprocess.run(["cp", "-a", source, target], check=True)
    compress = f"find {target} -name '*.ko' -exec {command} {{}} +"
    subprocess.run(compress, shell=True, check=True)
    return source.name


def fedora(debian: Path, folder: Path) -> Path:
    """kernel-core: everything below /lib/modules/VERSION, .ko.xz, a payload in zstd."""
    tree = folder / "tree"
    version = modules(debian, tree / "lib/modules", "xz -T2 -0 --check=crc32")
    for name, place in (("vmlinuz", "vmlinuz"), ("config", "config"), ("System.map", "System.map")):
        source = debian / "boot" / f"{name}-{version}"
        subprocess.run(["cp", source, tree / "lib/modules" / version / place], check=True)
    spec = folder / "kernel.spec"
    spec.write_text(SPEC.replace("FOLDER", str(tree)))
    options = ["--define", f"_topdir {folder}/rpm", "--define", "_binary_payload w3.zstdio"]
    command = ["rpmbuild", "-bb", "--quiet", "--target", "x86_64", *options, str(spec)]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = (folder / "rpm/RPMS").rglob("*.rpm")
    return found


def alpine(debian: Path, folder: Path) -> Path:
    """linux-virt: /boot/vmlinuz-virt, .ko.gz; three gzip streams."""
    tree = folder / "tree"
    version = modules(debian, tree / "lib/modules", "gzip -1")
    (tree / "boot").mkdir()
    subprocess.run(["cp", debian / f"boot/vmlinuz-{version}", tree / "boot/vmlinuz-virt"])
    subprocess.run(["cp", debian / f"boot/config-{version}", tree / f"boot/config-{version}"])
    info = folder / ".PKGINFO"
    info.write_text("pkgname = linux-virt\npkgver = 6.12.60-r0\narch = x86_64\n")
    (folder / ".SIGN.RSA.alpine-devel@example.org.rsa.pub").write_text("signature")
    made = folder / "linux-virt.apk"
    with made.open("wb") as stream:
        for names, base in (
            ([".SIGN.RSA.alpine-devel@example.org.rsa.pub"], folder),
            ([".PKGINFO"], folder),
            (["boot", "lib"], tree),
        ):
            part = folder / "part.tar"
            with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as archive:
                for name in names:
                    archive.add(base / name, name)
                end = archive.offset
            data = part.read_bytes()
            stream.write(gzip.compress(data if base == tree else data[:end], 1))
    return made


def arch(debian: Path, folder: Path) -> Path:
    """linux: /usr/lib/modules/VERSION/vmlinuz beside pkgbase, .ko.zst."""
    tree = folder / "tree"
    version = modules(debian, tree / "usr/lib/modules", "zstd -q --rm -1")
    own = tree / "usr/lib/modules" / version
    subprocess.run(["cp", debian / f"boot/vmlinuz-{version}", own / "vmlinuz"], check=True)
    (own / "pkgbase").write_text("linux\n")
    (tree / ".PKGINFO").write_text("pkgname = linux\npkgver = 6.12.60.arch1-1\narch = x86_64\n")
    (tree / ".MTREE").write_text("#mtree\n")
    part = folder / "part.tar"
    with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in (".MTREE", ".PKGINFO", "usr"):
            archive.add(tree / name, name)
    made = folder / "linux.pkg.tar.zst"
    made.write_bytes(zstd.compress(part.read_bytes(), 3))
    return made


MAKERS = {"fedora": fedora, "alpine": alpine, "arch": arch}


@pytest.mark.parametrize("name", MAKERS)
def test_a_kernel_of_another_distribution(
    name: str, debian: Path, built: Callable[[str], Path], tmp_path: Path
) -> None:
    brick, work = tmp_path / "kernel", tmp_path / "work"
    brick.mkdir()
    work.mkdir()
    package = MAKERS[name](debian, work)
    package.rename(brick / package.name)
    (brick / "build.yml").write_text(
        f"image: kernel-{name}\norg: example\ntag: v1\narches: [amd64]\n"
        f"kernel:\n  packages: [{package.name}]\n"
    )
    port = free_port()
    options = ("--publish", f"{port}:80", "--state", str(tmp_path / "state"))
    system = built(SYSTEM.replace("FOLDER", str(brick)))
    with Guest(system, *options, log=tmp_path / "console.log") as guest:
        assert "nginx" in fetch(port, SECONDS)
        guest.prompt(SECONDS)
        (version,) = (path.name for path in (debian / "usr/lib/modules").iterdir())
        assert version in guest.run("uname -r")
        assert "overlay" in guest.run("cat /proc/modules"), "its modules are loaded"
        assert guest.power_off() == 0
