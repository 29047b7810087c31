"""Updates: bundles as Debian's RAUC reads them, the signature as openssl does, the hash tree as
veritysetup does; the same bytes again; and what is refused."""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from compos.api.keys import new_keys
from compos.config.model import Update
from compos.output.rauc import block_hash_index, terms
from tests.compose.systems import World
from tests.output.bootable import YAML, filled
from tests.output.test_formats import build, refused

pytestmark = pytest.mark.slow

UPDATE = YAML + "update: {compatible: acme-gateway, version: 1.4.0}\n"
ROOT = ("--root", "erofs-verity-appended")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "keys"
    new_keys(folder)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return filled(World(tmp_path_factory.mktemp("world")))


@pytest.fixture(scope="module")
def bundle(world: World, keys: Path) -> Path:
    made = build(world, "-f", "update", "--keys", str(keys), *ROOT, yaml=UPDATE)
    (path,) = made.iterdir()
    assert path.name == "os.raucb"
    return path.rename(world.folder / "kept.raucb")


def run(*line: str | Path) -> bytes:
    return subprocess.run(line, check=True, capture_output=True).stdout


def rauc(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["rauc", *arguments], capture_output=True, text=True, check=False)


def parts(bundle: Path) -> tuple[bytes, bytes]:
    """What is in front of the signature, and the signature."""
    data = bundle.read_bytes()
    (length,) = struct.unpack(">Q", data[-8:])
    return data[: -8 - length], data[-8 - length : -8]


def test_what_rauc_says_of_it(bundle: Path, keys: Path) -> None:
    done = rauc("info", "--keyring", keys / "update.crt", "--output-format", "shell", bundle)
    assert done.returncode == 0, done.stderr
    told = dict(re.findall(r"(RAUC_[A-Z0-9_]+)='?([^'\n]*)'?", done.stdout))
    assert told["RAUC_MF_COMPATIBLE"] == "acme-gateway"
    assert told["RAUC_MF_VERSION"] == "1.4.0"
    assert told["RAUC_MF_IMAGES"] == "2"
    assert [told[f"RAUC_IMAGE_CLASS_{number}"] for number in range(2)] == ["boot", "system"]
    text = rauc("info", "--keyring", keys / "update.crt", bundle).stdout
    assert text.count("block-hash-index") == 2
    assert re.search(r"Bundle Format:\s+verity", text)


def test_what_rauc_extracts(bundle: Path, keys: Path, world: World) -> None:
    """The images are what the manifest says, and what a disk of the same system has."""
    out = world.folder / "extracted"
    done = rauc("extract", "--keyring", keys / "update.crt", bundle, out)
    assert done.returncode == 0, done.stderr
    assert (out / "terms").read_text() == "version\t1.4.0\n"
    boot, system = (out / "boot.img").read_bytes(), (out / "system.img").read_bytes()
    for name, data in (("boot", boot), ("system", system)):
        blocks = (data[at : at + 4096] for at in range(0, len(data), 4096))
        index = b"".join(hashlib.sha256(block).digest() for block in blocks)
        assert (out / f"{name}.img.block-hash-index").read_bytes() == index
    run("fsck.fat", "-n", out / "boot.img")
    run("mcopy", "-n", "-i", out / "boot.img", "::EFI/BOOT/BOOTX64.EFI", out / "program.efi")
    run("sbverify", "--cert", keys / "db.crt", out / "program.efi")
    options = ("-f", "raw-efi", "--keys", str(keys), *ROOT)
    disk = (build(world, *options, yaml=UPDATE) / "os-efi.img").read_bytes()
    assert system in disk
    assert (out / "program.efi").read_bytes() in disk


def test_the_signature_is_one_that_openssl_takes(bundle: Path, keys: Path, tmp_path: Path) -> None:
    payload, signature = parts(bundle)
    (tmp_path / "signature").write_bytes(signature)
    line = ("openssl", "cms", "-verify", "-inform", "DER", "-in", tmp_path / "signature")
    text = run(*line, "-CAfile", keys / "update.crt", "-purpose", "any").decode()
    fields = dict(re.findall(r"^([a-z-]+)=(.*)$", text.partition("[image")[0], re.M))
    size = int(fields["verity-size"])
    (tmp_path / "data").write_bytes(payload[:-size])
    (tmp_path / "tree").write_bytes(payload[-size:])
    blocks = str((len(payload) - size) // 4096)
    run(
        *("veritysetup", "verify", tmp_path / "data", tmp_path / "tree", fields["verity-hash"]),
        *("--no-superblock", "--salt", fields["verity-salt"], "--data-blocks", blocks),
    )


def test_the_same_bytes_again(bundle: Path, keys: Path, tmp_path: Path) -> None:
    other = filled(World(tmp_path))
    made = build(other, "-f", "update", "--keys", str(keys), *ROOT, yaml=UPDATE)
    assert (made / "os.raucb").read_bytes() == bundle.read_bytes()


def test_strangers_and_changed_bundles(bundle: Path, keys: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "keys"
    new_keys(stranger)
    assert rauc("info", "--keyring", stranger / "update.crt", bundle).returncode
    assert rauc("info", "--keyring", keys / "db.crt", bundle).returncode
    changed = tmp_path / "changed.raucb"
    data = bytearray(bundle.read_bytes())
    payload, _ = parts(bundle)
    for at, verb in ((4096, "extract"), (len(payload) - 1, "extract"), (len(payload) + 90, "info")):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        data[at] ^= 1
        changed.write_bytes(data)
        target = [tmp_path / "out"] if verb == "extract" else []
        assert rauc(verb, "--keyring", keys / "update.crt", changed, *target).returncode, at
        data[at] ^= 1


def test_a_root_in_the_program(world: World, keys: Path) -> None:
    """Then there is the boot partition only."""
    options = ("-f", "update", "--keys", str(keys), "--root", "initrd")
    made = build(world, *options, yaml=UPDATE) / "os.raucb"
    done = rauc("info", "--keyring", keys / "update.crt", "--output-format", "shell", made)
    assert "RAUC_MF_IMAGES='1'" in done.stdout.replace("=1", "='1'")
    assert "boot" in done.stdout


def test_what_is_lacking(world: World, keys: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "error[update-unnamed]" in refused(world, capfd, "-f", "update", "--keys", str(keys))
    said = refused(world, capfd, "-f", "update", yaml=UPDATE)
    assert "error[update-keys]" in said
    assert "compos keys new keys" in said


def test_terms() -> None:
    """What machines read before they install: a downgrade is signed as such."""
    assert terms(Update("acme", "1.0.0")) == b"version\t1.0.0\n"
    assert terms(Update("acme", "1.0.0", downgrade=False)) == b"version\t1.0.0\n"
    assert terms(Update("acme", "1.0.0", downgrade=True)) == b"version\t1.0.0\ndowngrade\tyes\n"


@pytest.mark.parametrize("sizes", [(8192,), (4095, 4097), (1, 8190, 1), (5000, 3192)])
def test_the_index_does_not_depend_on_chunks(sizes: Sequence[int]) -> None:
    data = bytes(range(256)) * 32
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    chunks = [data[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    expected = b"".join(hashlib.sha256(data[at : at + 4096]).digest() for at in (0, 4096))
    assert block_hash_index(chunks) == expected
    with pytest.raises(ValueError, match="whole"):
        block_hash_index([*chunks, b"x"])
