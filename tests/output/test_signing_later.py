"""Signatures that come later: openssl, or `compos keys sign`, makes them of what a build has left;
the last build writes the same bytes as one that has the keys."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from compos.api.keys import new_keys, sign_later
from compos.errors import ComposError, OutputError
from compos.image.digest import digest_of
from compos.trust.later import DATA_ATTRIBUTES, Later, SignatureAwaited
from tests.compose.systems import World
from tests.output.bootable import YAML, filled
from tests.output.test_formats import build, refused

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "keys"
    new_keys(folder)
    return folder


@pytest.fixture
def certificates(keys: Path, tmp_path: Path) -> Path:
    """What the machine that builds has: nothing secret."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    for name in ("db.crt", "pcr.pub", "update.crt"):
        (folder / name).write_bytes((keys / name).read_bytes())
    return folder


def digests(out: Path) -> dict[str, str]:
    return {path.name: digest_of(path.read_bytes()) for path in out.iterdir()}


def openssl(keys: Path, folder: Path) -> None:
    for path in folder.glob("*.tbs"):
        key = keys / f"{path.name.partition('-')[0]}.key"
        signature = path.with_suffix(".sig")
        line = ["openssl", "dgst", "-sha256", "-sign", str(key), "-out", str(signature), str(path)]
        subprocess.run(line, check=True)


@pytest.mark.parametrize("signs", [openssl, sign_later], ids=["openssl", "compos keys sign"])
def test_the_same_bytes(
    signs: object,
    keys: Path,
    certificates: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert callable(signs)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    formats = ("-f", "raw-efi,uki,update")
    options = (*formats, "--root", "erofs-verity", "--pcr-phases", "enter-initrd,ready")
    yaml = YAML + "update: {compatible: acme, version: 1.0.0}\n"
    direct = digests(build(filled(World(here)), *options, "--keys", str(keys), yaml=yaml))
    world, awaited = filled(World(there)), tmp_path / "awaited"
    later = (*options, "--keys", str(certificates), "--sign-later", str(awaited))
    # A disk, a program alone and a slot have other initrds: first two phases of each, then three
    # programs; then what has them in it.
    for count, role in ((6, "pcr"), (3, "db"), (1, "update")):
        said = refused(world, capfd, *later, yaml=yaml)
        assert f"error[signatures-awaited]: signatures are awaited: {count}" in said
        assert str(awaited) in said
        new = [path for path in awaited.glob("*.tbs") if not path.with_suffix(".sig").exists()]
        assert [path.name.partition("-")[0] for path in new] == [role] * count
        signs(keys, awaited)
    assert digests(build(world, *later, yaml=yaml)) == direct


def test_a_wrong_signature(
    certificates: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    awaited = tmp_path / "awaited"
    options = ("-f", "uki", "--keys", str(certificates), "--sign-later", str(awaited))
    world = filled(World(tmp_path))
    assert "awaited: 1" in refused(world, capfd, *options)
    (asked,) = awaited.iterdir()
    for wrong in (b"", b"nonsense", bytes(256), bytes(10_000)):
        asked.with_suffix(".sig").write_bytes(wrong)
        assert "error[signing-failed]" in refused(world, capfd, *options)


def test_hostile_files_are_not_signed(keys: Path, tmp_path: Path) -> None:
    """Whoever can write to the folder must not get a signature of anything else."""
    data = b"\x31" + b"anything" * 4

    def name(role: str, content: bytes) -> str:
        return f"{role}-{hashlib.sha256(content).hexdigest()}.tbs"

    for path, content in (
        (name("db", data), data),
        (name("PK", data), data),
        (name("pcr", data), data),
        (name("db", b"other"), data),
        ("db-.tbs", b""),
        ("db.tbs", data),
        (name("pcr", bytes(33)), bytes(33)),
        (name("update", data), data),
        (name("update", DATA_ATTRIBUTES + bytes(33)), DATA_ATTRIBUTES + bytes(33)),
        (name("db", DATA_ATTRIBUTES + bytes(32)), DATA_ATTRIBUTES + bytes(32)),
    ):
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / path).write_bytes(content)
        with pytest.raises(OutputError) as caught:
            sign_later(keys, folder)
        assert caught.value.id == "signatures-foreign", path
        (folder / path).unlink()
        assert not [*folder.iterdir()]
        folder.rmdir()


def test_folders_that_do_not_serve(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "no" / "parent"):
        with pytest.raises(ComposError) as caught:
            Later(folder).sign("db", b"x")
        assert caught.value.id == "signatures-folder"
        with pytest.raises(ComposError) as absent:
            sign_later(keys, folder)
        assert absent.value.id == "signatures-folder"


def test_what_is_asked_for_twice_is_there_once(tmp_path: Path) -> None:
    later = Later(tmp_path)
    for _ in range(2):
        with pytest.raises(SignatureAwaited):
            later.sign("db", b"x")
    with pytest.raises(OutputError, match="awaited: 1"):
        later.require()
    assert len([*tmp_path.iterdir()]) == 1
