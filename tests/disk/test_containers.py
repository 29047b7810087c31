"""qcow2, VHD, VHDX and VMDK against qemu-img; OVA against tar and an XML parser."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from compos.disk.gzip_tar import write_gzip_tar
from compos.disk.ova import ova_pieces
from compos.disk.qcow2 import qcow2_pieces, write_qcow2
from compos.disk.spool import Spool
from compos.disk.vhd import vhd_dynamic_pieces, vhd_fixed_pieces
from compos.disk.vhdx import vhdx_pieces
from compos.disk.vmdk import write_vmdk
from compos.errors import OutputError
from compos.tree.contents import Contents
from compos.tree.node import Hole, Piece, Slice
from compos.tree.runs import data_runs, disk_size
from tests.filesystem.trees import blob

ID = bytes(range(16))
Disk = Sequence[Piece]
MIB = 1 << 20

PIECES: dict[str, tuple[str, Callable[[Disk], list[Piece]]]] = {
    "qcow2": ("qcow2", qcow2_pieces),
    "vhd": ("vpc", lambda disk: vhd_fixed_pieces(disk, ID)),
    "dynamic-vhd": ("vpc", lambda disk: vhd_dynamic_pieces(disk, ID)),
    "vhdx": ("vhdx", lambda disk: vhdx_pieces(disk, ID)),
}
WRITERS: dict[str, tuple[str, Callable[[Disk, Contents, BinaryIO], object]]] = {
    "qcow2-zlib": (
        "qcow2",
        lambda disk, contents, out: write_qcow2(disk, contents, out, compression="zlib"),
    ),
    "qcow2-zstd": (
        "qcow2",
        lambda disk, contents, out: write_qcow2(disk, contents, out, compression="zstd"),
    ),
    "vmdk": ("vmdk", lambda disk, contents, out: spooled(write_vmdk, disk, contents, out)),
}
ALL = [*PIECES, *WRITERS]


def spooled(
    write: Callable[..., None], disk: Disk, contents: Contents, out: BinaryIO, **options: object
) -> None:
    """What a writer makes lies in the store, and its pieces are copied from there."""
    with (contents.root / "spool").open("wb") as file:
        spool = Spool(file, "spool")
        write(disk, contents, spool, **({"identity": ID} | options))
        pieces = spool.finish()
    assert disk_size(pieces) == spool.size
    assert hashlib.sha256(b"".join(contents.chunks(pieces))).hexdigest() == contents.digest(pieces)
    contents.copy(pieces, out.fileno())


def write(name: str, disk: Disk, path: Path, store: Path) -> str:
    """Write the container; gives QEMU's name of its format."""
    with path.open("w+b") as out, Contents(store) as contents:
        if name in PIECES:
            form, make = PIECES[name]
            contents.copy(make(disk), out.fileno(), sparse=True)
        else:
            form, put = WRITERS[name]
            put(disk, contents, out)
    return form


def qemu_img(*arguments: object) -> str:
    done = subprocess.run(
        ["qemu-img", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def raw(disk: Disk, path: Path, store: Path) -> Path:
    with path.open("wb") as out, Contents(store) as contents:
        contents.copy(disk, out.fileno(), sparse=True)
    return path


def sample(store: Path) -> list[Piece]:
    noise = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(40_000))
    text = blob(store, b"all work and no play makes jack a dull boy\n" * 50_000)
    return [
        b"boot",
        Hole(MIB - 4),
        text,
        Hole(700_001),
        blob(store, noise),
        Hole(9 * MIB),
        b"x" * 5,
        Hole(3 * MIB + 512 - 98_710),
    ]


@pytest.mark.parametrize("name", ALL)
def test_qemu_reads_it(name: str, tmp_path: Path) -> None:
    disk = sample(tmp_path)
    disk.append(Hole(-disk_size(disk) % 512))
    path = tmp_path / "disk"
    form = write(name, disk, path, tmp_path)
    if form in ("qcow2", "vhdx", "vmdk"):
        qemu_img("check", "-f", form, path)
    qemu_img("convert", "-f", form, "-O", "raw", path, tmp_path / "back")
    whole = raw(disk, tmp_path / "raw", tmp_path).read_bytes()
    back = (tmp_path / "back").read_bytes()
    assert back[: len(whole)] == whole
    assert back[len(whole) :] == bytes(len(back) - len(whole))
    other = tmp_path / "again"
    write(name, disk, other, tmp_path)
    assert other.read_bytes() == path.read_bytes()
    told = json.loads(qemu_img("info", "--output=json", "-f", form, path))
    assert told["virtual-size"] == len(back)
    if name == "vmdk":
        assert told["format-specific"]["data"]["create-type"] == "streamOptimized"
    if name == "qcow2-zstd":
        assert told["format-specific"]["data"]["compression-type"] == "zstd"


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
@settings(
    max_examples=12, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
def test_generated(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = tmp_path_factory.mktemp("disk")
    disk: list[Piece] = []
    for _ in range(data.draw(st.integers(1, 12))):
        size = data.draw(
            st.one_of(
                st.integers(1, 5000),
                st.integers(1, 3 * MIB),
                st.sampled_from((65536, 2 * MIB, 40 * MIB)),
            )
        )
        if data.draw(st.booleans()) or size > 4 * MIB:
            disk.append(Hole(size))
        else:
            whole = blob(store, b"%d," % size * (size // 2 + 10))
            disk.append(Slice(whole.source, data.draw(st.integers(0, 9)), size))
    disk.append(Hole(512 - disk_size(disk) % 512))
    form = write(name, disk, store / "disk", store)
    plain = raw(disk, store / "raw", store)
    qemu_img("compare", "-f", "raw", "-F", form, plain, store / "disk")
    if form == "qcow2":
        qemu_img("check", "-f", form, store / "disk")
    for path in store.iterdir():
        if path.is_file():
            path.unlink()


@pytest.mark.parametrize("name", ALL)
def test_what_is_empty_takes_no_space(name: str, tmp_path: Path) -> None:
    disk: list[Piece] = [b"front", Hole((25 << 30) - 10), b"e" * 5]
    form = write(name, disk, tmp_path / "disk", tmp_path)
    told = json.loads(qemu_img("info", "--output=json", "-f", form, tmp_path / "disk"))
    assert told["virtual-size"] == 25 << 30
    assert (tmp_path / "disk").stat().st_blocks * 512 < 10 * MIB


def test_azures_rules(tmp_path: Path) -> None:
    write("vhd", [b"x" * 1000, Hole(5 * MIB)], tmp_path / "disk.vhd", tmp_path)
    data = (tmp_path / "disk.vhd").read_bytes()
    assert len(data) == 6 * MIB + 512, "whole MiB and the footer"
    footer = data[-512:]
    assert footer[:8] == b"conectix"
    assert int.from_bytes(footer[48:56]) == 6 * MIB, "current size is the real size"
    assert footer[24:28] == (1492533000 - 946684800).to_bytes(4), "seconds since 2000"
    assert footer[56:60] == bytes.fromhex("ffff10ff"), "65535 cylinders, 16 heads, 255 sectors"
    assert footer[60:64] == b"\0\0\0\2"
    blank = footer[:64] + bytes(4) + footer[68:]
    assert int.from_bytes(footer[64:68]) == ~sum(blank) & 0xFFFFFFFF


def test_limits() -> None:
    with pytest.raises(OutputError) as caught:
        vhd_fixed_pieces([Hole(3000 << 30)], ID)
    assert caught.value.id == "vhd-too-large"
    with pytest.raises(OutputError) as caught:
        vhdx_pieces([Hole(65 << 40)], ID)
    assert caught.value.id == "vhdx-too-large"


@pytest.mark.parametrize(
    ("name", "title"), [('a "b" & <c>', None), ("a\udcff\n\x01b", "a___b"), ("ünï", None)]
)
def test_an_appliance(tmp_path: Path, name: str, title: str | None) -> None:
    disk: list[Piece] = [b"boot" * 128, Hole(3 * MIB)]
    write("vmdk", disk, tmp_path / "disk.vmdk", tmp_path)
    body = (tmp_path / "disk.vmdk").read_bytes()
    digest = hashlib.sha256(body).hexdigest()
    vmdk = blob(tmp_path, body)
    pieces = ova_pieces(name, [vmdk], digest, capacity=disk_size(disk), firmware="efi")
    with tarfile.open(raw(pieces, tmp_path / "x.ova", tmp_path)) as archive:
        names = archive.getnames()
        assert [name.rpartition(".")[2] for name in names] == ["ovf", "mf", "vmdk"]
        contents = {name: archive.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    for line in contents[names[1]].decode().splitlines():
        member, _, told = line.removeprefix("SHA256(").partition(")= ")
        assert hashlib.sha256(contents[member]).hexdigest() == told
    ovf = "{http://schemas.dmtf.org/ovf/envelope/1}"
    root = ET.fromstring(contents[names[0]])
    assert root.find(f"{ovf}VirtualSystem/{ovf}Name").text == (title or name)  # type: ignore[union-attr]
    reference = root.find(f"{ovf}References/{ovf}File")
    assert reference is not None
    assert reference.get(f"{ovf}href") == names[2]
    assert int(reference.get(f"{ovf}size", "")) == len(body)


def packed_disk(store: Path) -> tuple[list[Piece], bytes]:
    """A disk with a piece that is known to be compressed, at a place that is no border of anything;
    and its contents."""
    (store / "derived/image").mkdir(parents=True)
    noise = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(100_000))
    (store / "derived/image/x").write_bytes(noise)
    disk: list[Piece] = [
        b"boot",
        Hole(70_000),
        Slice("derived/image/x", 5, 3_100_000),
        b"end",
        Hole(5 * MIB),
    ]
    disk.append(Hole(-disk_size(disk) % 512))
    whole = raw(disk, store / "raw", store).read_bytes()
    assert whole[70_004 : 70_004 + 3_100_000] == noise[5 : 5 + 3_100_000]
    return disk, whole


def test_what_is_compressed_stays_where_it_is(tmp_path: Path) -> None:
    disk, whole = packed_disk(tmp_path)
    write("vmdk", disk, tmp_path / "disk", tmp_path)
    qemu_img("compare", "-f", "raw", "-F", "vmdk", tmp_path / "raw", tmp_path / "disk")
    qemu_img("check", "-f", "vmdk", tmp_path / "disk")
    assert (tmp_path / "spool").stat().st_size < 300_000, "grains at its ends and the tables only"
    with (tmp_path / "tar").open("wb") as out, Contents(tmp_path) as contents:
        spooled(
            lambda disk, contents, spool, **_: write_gzip_tar("x", disk, contents, spool),
            disk,
            contents,
            out,
        )
    assert (tmp_path / "spool").stat().st_size < 2 * MIB + 10_000
    done = subprocess.run(["tar", "-xzf", "tar"], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b""), "GNU tar and gzip, which checks the sum"
    assert (tmp_path / "x").read_bytes() == whole


def test_runs() -> None:
    runs = data_runs([b"a", Hole(9), b"b" * 12, Hole(28), b"c"], 10)
    assert [(run.first, run.length) for run in runs] == [(0, 3), (5, 1)]
    assert runs[1].pieces == (b"c",)
