"""What goes wrong around a build or a run: each a one-screen error with id, place and hint, nothing
left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from compos.image.store import Store
from tests.images import Member, make_image
from tests.package.debian.archive_of import Archive, Key
from tests.registry import FakeRegistry

ROOT = Path(__file__).resolve().parents[2]
BRICK = "image: tool\norg: compos\ntag: v1\ndebian: {packages: [tool]}\n"


def compos(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "compos", *arguments],
        cwd=folder,
        env={**os.environ, "COMPOS_CACHE": str(folder / "store"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def explained(done: subprocess.CompletedProcess[str], id: str, place: str) -> None:
    assert done.returncode == 1
    assert f"error[{id}]" in done.stderr, done.stderr
    assert place in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 24


@pytest.fixture
def brick(tmp_path: Path) -> Path:
    folder = tmp_path / "tool"
    folder.mkdir()
    (folder / "build.yml").write_text(BRICK)
    return folder


@pytest.mark.slow
def test_a_wrong_signature_on_the_index(tmp_path: Path, brick: Path) -> None:
    archive = Archive(tmp_path / "archive", Key())
    archive.add_deb("tool", {"usr/bin/tool": b"x"})
    archive.write_all()
    keyring = Key().keyring(tmp_path / "other.gpg")  # somebody else's key
    mirror = {"COMPOS_DEBIAN_MIRROR": archive.root.as_uri(), "COMPOS_DEBIAN_KEYRING": str(keyring)}
    explained(
        compos(tmp_path, "pkg", "build", str(brick), **mirror), "debian-signature", "InRelease"
    )
    assert "tool" not in compos(tmp_path, "cache", "ls").stdout


def test_a_package_that_is_not_what_the_index_says(tmp_path: Path, brick: Path) -> None:
    archive = Archive(tmp_path / "archive", Key())
    archive.add_deb("tool", {"usr/bin/tool": b"x"})
    archive.write_all()
    deb = archive.root / "pool/main/tool_1.deb"
    deb.write_bytes(deb.read_bytes()[:-20])
    keyring = archive.key.keyring(tmp_path / "keyring.gpg")
    mirror = {"COMPOS_DEBIAN_MIRROR": archive.root.as_uri(), "COMPOS_DEBIAN_KEYRING": str(keyring)}
    done = compos(tmp_path, "pkg", "build", str(brick), **mirror)
    assert done.returncode == 1
    assert "error[debian-" in done.stderr
    assert "tool_1.deb" in done.stderr


def test_no_mirror(tmp_path: Path, brick: Path) -> None:
    explained(
        compos(tmp_path, "pkg", "build", "--debian-mirror", "http://127.0.0.1:9/x", str(brick)),
        "network-connect",
        "127.0.0.1:9",
    )


def test_no_qemu_and_a_port_in_use(tmp_path: Path) -> None:
    for suffix in ("-kernel", "-initrd.img", "-cmdline"):
        (tmp_path / f"os{suffix}").touch()
    explained(
        compos(tmp_path, "run", "qemu", "--accel", "tcg", "os", PATH="/nowhere"),
        "qemu-missing",
        "qemu-system",
    )
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = compos(tmp_path, "run", "qemu", "--accel", "tcg", "--publish", f"{port}:80", "os")
    explained(done, "port-in-use", str(port))
    explained(compos(tmp_path, "run", "nothing"), "boot-missing", "nothing")


@pytest.mark.root
def test_a_full_disk(tmp_path: Path) -> None:
    """A small tmpfs of our own holds store and outputs."""
    small = tmp_path / "small"
    small.mkdir()
    with FakeRegistry() as registry:
        source = Store(tmp_path / "source")
        make_image(
            source, "acme/init:1", [[Member("init", mode=0o755, content=os.urandom(3 << 20))]]
        )
        name = registry.load(source, "docker.io/acme/init:1", "acme/init", "1")
        (tmp_path / "os.yml").write_text(f"init: ['{name}']\n")
        command = [
            "skopeo",
            "copy",
            f"oci:{source.root}:docker.io/acme/init:1",
            f"oci-archive:{tmp_path}/image.tar:x.example/a:1",
        ]
        subprocess.run(command, check=True, capture_output=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], check=True)
        try:
            done = compos(small, "build", "--arch", "amd64", str(tmp_path / "os.yml"))
            explained(done, "store-full", "small")
            assert not list(small.glob("os*"))
            with (tmp_path / "image.tar").open("rb") as archive:
                done = subprocess.run(
                    [sys.executable, "-m", "compos", "cache", "import", "-"],
                    env={**os.environ, "COMPOS_CACHE": str(small / "store")},
                    stdin=archive,
                    capture_output=True,
                    text=True,
                    check=False,
                )
            explained(done, "store-full", "small")
            assert not list((small / "store/ingest").iterdir()), "nothing is left of it"
            subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
            assert (
                compos(small, "build", "--arch", "amd64", str(tmp_path / "os.yml")).returncode == 0
            )
            assert (small / "os-initrd.img").stat().st_size > 3 << 20
        finally:
            subprocess.run(["umount", small], check=True)
