"""Whole builds: names, contents, reproducibility, and what a changed input changes."""

from __future__ import annotations

import gc
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.errors import OutputError
from compos.output.formats import choose
from tests import initramfs
from tests.compose.systems import World
from tests.filesystem.trees import walked
from tests.images import Member, make_image
from tests.nobody import NOBODY, as_nobody
from tests.output.systems import WEB, build


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def unpacked(initrd: bytes, folder: Path) -> dict[str, tuple[int, bytes]]:
    """The initrd as the C tools see it: path → mode and contents."""
    folder.mkdir()
    for archive in archives(initrd):
        # No -d: the kernel makes no parents either.
        subprocess.run(
            ["cpio", "-ium", "--quiet"], cwd=folder, input=archive, check=True, capture_output=True
        )
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            data = b"" if path.is_symlink() or path.is_dir() else path.read_bytes()
            found[str(path.relative_to(folder))] = (path.lstat().st_mode, data)
    return found


def archives(initrd: bytes) -> list[bytes]:
    """The cpio archives in `initrd`: frames of zstd or streams of xz, told apart by the C tool's
    own listing of each."""
    zstd = initrd.startswith(b"\x28\xb5\x2f\xfd")
    magic, tool = (b"\x28\xb5\x2f\xfd", "zstd") if zstd else (b"\xfd7zXZ\0", "xz")
    starts = [at for at in range(len(initrd)) if initrd.startswith(magic, at)]
    found, begin = [], 0
    for end in [*starts[1:], len(initrd)]:
        done = subprocess.run(
            [tool, "-dcq"], input=initrd[begin:end], capture_output=True, check=False
        )
        if done.returncode == 0 and done.stdout:
            found.append(done.stdout)
            begin = end
    assert begin == len(initrd)
    return found


def test_kernel_and_initrd(world: World, tmp_path: Path) -> None:
    outputs = build(world)
    assert sorted(outputs) == ["os-cmdline", "os-initrd.img", "os-kernel"]
    assert outputs["os-kernel"] == b"KERNEL"
    assert outputs["os-cmdline"] == b"console=ttyS0"
    found = unpacked(outputs["os-initrd.img"], tmp_path / "root")
    assert found["init"] == (0o100755, b"#!")
    assert found["etc/motd"] == (0o100644, b"hello")
    assert found["containers/onboot/000-one/lower/bin/app"] == (0o100755, b"app")
    assert found["lib/modules/6.1/a.ko"][1] == b"module"
    assert "boot/kernel" not in found
    args = json.loads(found["containers/services/web/config.json"][1])["process"]["args"]
    assert args == ["/bin/app", "serve"]


@pytest.mark.parametrize("compression", ["zstd", "max"])
def test_directories_come_before_what_is_in_them(
    world: World, compression: str, tmp_path: Path
) -> None:
    yaml = (
        WEB + "  - {path: containers/services/web/extra/x, contents: x}\nvolumes: [{name: data}]\n"
    )
    members = [
        Member("init", mode=0o755),
        Member("etc/init.d", "dir", 0o755),
        Member("etc/init.d/050-x", mode=0o755),
    ]
    world.image("acme/init:1", [members], {"Labels": {"org.compos.init.plan": "1"}})
    initrd = build(world, "--compress", compression, yaml=yaml)["os-initrd.img"]
    found = unpacked(initrd, tmp_path / "root")
    assert {
        "etc/compos/plan",
        "etc/motd",
        "containers/services/web/extra/x",
        "lib/modules/6.1/a.ko",
    } <= set(found)


def test_small_systems_are_compressed_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As much as the C tool's level 9, and larger ones as its level 3."""
    sources = [*Path(subprocess.__file__).parent.glob("*.py")][:120]
    members = [Member(f"lib/{one.name}", content=one.read_bytes()) for one in sources]
    world.image("acme/app:1", [[Member("bin/app", content="app", mode=0o755), *members]])
    small = build(world)["os-initrd.img"]
    monkeypatch.setattr("compos.output.initrd.SMALL_SYSTEM", 1 << 20)
    large = build(world, yaml=WEB.replace("hello", "howdy"))["os-initrd.img"]
    for initrd, level in ((small, 9), (large, 3)):
        sizes = [
            len(subprocess.run(["zstd", f"-{level}", "-c"], input=one, capture_output=True).stdout)
            for one in archives(initrd)
        ]
        assert abs(len(initrd) / sum(sizes) - 1) < 0.01, level
    assert len(small) < 0.95 * len(large)


def test_tar_has_everything_once_with_its_source(world: World) -> None:
    outputs = build(world, "--format", "tar")
    with tarfile.open(fileobj=io.BytesIO(outputs["os.tar"])) as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert len(names) == len(set(names))
    assert names == sorted(names)
    records = {member.name: member.pax_headers for member in members}
    assert records["boot/kernel"]["LINUXKIT.location"] == "kernel"
    assert records["init"] == {
        "LINUXKIT.source": "docker.io/acme/init:1",
        "LINUXKIT.location": "init[0]",
    }
    assert records["etc/motd"] == {
        "LINUXKIT.source": "linuxkit.files",
        "LINUXKIT.location": "files[0]",
    }
    assert records["containers/services/web/config.json"]["LINUXKIT.location"] == "services[0]"


def test_tar_kernel_initrd(world: World) -> None:
    both = build(world, "--format", "kernel+initrd,tar-kernel-initrd")
    with tarfile.open(fileobj=io.BytesIO(both["os-initrd.tar"])) as archive:
        assert archive.getnames() == ["kernel", "initrd.img", "cmdline"]
        for member, file in (
            ("kernel", "os-kernel"),
            ("initrd.img", "os-initrd.img"),
            ("cmdline", "os-cmdline"),
        ):
            stream = archive.extractfile(member)
            assert stream is not None
            assert stream.read() == both[file]


def test_microcode_stands_in_front(world: World) -> None:
    members = [Member("kernel", content="K"), Member("ucode.cpio", content="070701early")]
    world.image("acme/kernel:1", [members])
    yaml = WEB.replace("cmdline:", "tar: none, ucode: ucode.cpio, cmdline:")
    initrd = build(world, yaml=yaml)["os-initrd.img"]
    assert initrd.startswith(b"070701early\0\x28\xb5\x2f\xfd")


LINKED = [
    Member("a", content="shared"),
    Member("b", "hardlink", content="a"),
    Member("c/d", "hardlink", content="a"),
]
"""In two containers: each has inodes of its own."""


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_one_archive_for_programs_that_read_one(
    world: World, compression: str, tmp_path: Path
) -> None:
    world.image("acme/app:1", [LINKED])
    world.image(
        "acme/more:1", [[Member("a", content="other"), Member("b", "hardlink", content="a")]]
    )
    yaml = WEB + "onshutdown: [{name: more, image: 'acme/more:1'}]\n"
    initrd = build(world, "--compress", compression, yaml=yaml)["os-initrd.img"]
    assert initrd.startswith(b"\x1f\x8b" if compression == "gzip" else b"070701")
    plain = gzip.decompress(initrd) if compression == "gzip" else initrd
    wanted = initramfs.unpacked(build(world, yaml=yaml)["os-initrd.img"])
    assert initramfs.unpacked(initrd) == wanted
    assert set(initramfs.names_of(plain)) == set(wanted)
    (first,) = (path for path in wanted if "/000-one/" in path and path.endswith("/a"))
    assert wanted[first].links == {first, f"{first[:-1]}b", f"{first[:-1]}c/d"}
    for tool in (["cpio", "-idm", "--quiet"], ["busybox", "cpio", "-idm"]):
        folder = tmp_path / tool[0]
        folder.mkdir()
        subprocess.run(tool, cwd=folder, input=plain, check=True, capture_output=True)
        found = walked(folder, tick=10**9, xattrs=False)
        assert {
            path: (seen.kind, seen.mode, seen.digest, seen.link) for path, seen in found.items()
        } == {path: (seen.kind, seen.mode, seen.digest, seen.link) for path, seen in wanted.items()}
        linked = {path: seen.links for path, seen in wanted.items() if seen.kind == "f"}
        assert {path: found[path].links for path in linked} == linked


def test_a_small_change_compresses_one_part(world: World) -> None:
    build(world, "--compress", "gzip")
    before = {path.name for path in (world.store.root / "derived/segment").iterdir()}
    build(world, "--compress", "gzip", yaml=WEB.replace("hello", "goodbye"))
    assert (
        len({path.name for path in (world.store.root / "derived/segment").iterdir()} - before) == 1
    )


def test_two_builds_are_identical_whatever_surrounds_them(world: World) -> None:
    first = build(world, "--format", "kernel+initrd,tar-kernel-initrd")
    (world.folder / "elsewhere").mkdir()
    other = World(world.folder / "elsewhere")
    os.utime(other.folder, (1, 1))
    old_mask = os.umask(0o077)
    try:
        second = build(other, "--format", "kernel+initrd,tar-kernel-initrd", out="o2")
    finally:
        os.umask(old_mask)
    assert first == second


@pytest.mark.root
def test_another_user_gets_the_same_bytes(world: World) -> None:
    """`nobody`, with a home, a store and a clock zone of its own; sources are readable to
    everybody."""
    expected = build(world)
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        shutil.copytree(world.store.root / "blobs", folder / "store/blobs")
        for name in ("index.json", "oci-layout"):
            shutil.copy(world.store.root / name, folder / "store" / name)
        shutil.copy(world.folder / "os.yml", folder / "os.yml")
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        assert as_nobody(partial(build_in, folder)) == 0
        assert {path.name: path.read_bytes() for path in folder.glob("os-*")} == expected
    finally:
        shutil.rmtree(folder)


def build_in(folder: Path) -> int:
    """In the child that has become nobody: a build in another place, time zone and language."""
    os.chdir(folder)
    os.environ.update(HOME=str(folder), TZ="Asia/Tokyo", LANG="C", USER="nobody")
    return main(["build", "--arch", "amd64", "--cache", "store", "os.yml"])


def test_a_second_build_takes_the_stored_result(world: World) -> None:
    first = build(world)
    for kind in ("tree", "layer-index", "segment-marker"):
        shutil.rmtree(world.store.root / "derived" / kind, ignore_errors=True)
    results = list((world.store.root / "derived/result").iterdir())
    assert build(world) == first
    assert list((world.store.root / "derived/result").iterdir()) == results
    assert not (world.store.root / "derived/tree").exists(), "nothing was composed"


@pytest.mark.parametrize(
    "kind", ["result", "segment", "tree", "layer", "layer-index", "kernel-tar"]
)
@pytest.mark.parametrize("damage", ["deleted", "cut"])
def test_derived_results_may_vanish_or_break(world: World, kind: str, damage: str) -> None:
    first = build(world)
    folder = world.store.root / "derived" / kind
    assert folder.exists()
    for path in folder.iterdir():
        if damage == "deleted":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-7])
    assert build(world) == first


CHANGES: dict[str, Callable[[str], str]] = {
    "command line": lambda yaml: yaml.replace("ttyS0", "ttyS1"),
    "a file": lambda yaml: yaml.replace("hello", "hallo"),
    "a mode": lambda yaml: yaml.replace("'0644'", "'0640'"),
    "a command": lambda yaml: yaml.replace("serve", "server"),
    "a container's name": lambda yaml: yaml.replace("name: web", "name: wob"),
    "order": lambda yaml: yaml.replace("onboot", "onshutdown"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_changes_the_output(world: World, change: str) -> None:
    assert build(world) != build(world, yaml=CHANGES[change](WEB))


def test_a_changed_image_and_a_changed_host_file_change_the_output(world: World) -> None:
    (world.folder / "source").write_text("one")
    yaml = WEB.replace("contents: hello", f"source: {world.folder}/source")
    first = build(world, yaml=yaml)
    (world.folder / "source").write_text("two")
    second = build(world, yaml=yaml)
    assert first != second
    make_image(
        world.store,
        "acme/app:1",
        [[Member("bin/app", content="new")]],
        {"Entrypoint": ["/bin/app"]},
    )
    assert build(world, yaml=yaml) != second


def test_one_output_to_a_file_and_to_standard_output(
    world: World, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    expected = build(world, "--format", "tar")["os.tar"]
    cache = [*world.flags]
    assert (
        main(["build", *cache, "--o", str(world.folder / "x.tar"), str(world.folder / "os.yml")])
        == 0
    )
    assert (world.folder / "x.tar").read_bytes() == expected
    capfdbinary.readouterr()
    assert main(["build", *cache, "-q", "--o", "-", str(world.folder / "os.yml")]) == 0
    assert (
        hashlib.sha256(capfdbinary.readouterr().out).digest() == hashlib.sha256(expected).digest()
    )


@pytest.mark.parametrize(
    ("names", "to_file", "id"),
    [
        (["qcow9"], False, "format-unknown"),
        (["tar", "kernel+initrd"], False, "format-alone"),
        (["kernel+initrd"], True, "format-not-streamable"),
    ],
)
def test_impossible_formats(names: list[str], to_file: bool, id: str) -> None:
    with pytest.raises(OutputError) as caught:
        choose(names, to_file=to_file)
    assert caught.value.id == id


def test_format_defaults() -> None:
    assert [format.name for format in choose([], to_file=False)] == ["kernel+initrd"]
    assert [format.name for format in choose([], to_file=True)] == ["tar"]
    assert [
        format.name for format in choose(["kernel+initrd,tar-kernel-initrd"], to_file=False)
    ] == [
        "kernel+initrd",
        "tar-kernel-initrd",
    ]


def inodes(world: World) -> dict[Path, int]:
    """Of all derived results but the list of outputs, which is new whenever one is written."""
    return {
        path: path.stat().st_ino
        for path in (world.store.root / "derived").rglob("*")
        if path.is_file() and path.parent.name != "output"
    }


def test_a_build_keeps_the_store_within_its_bound(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier one made goes, what this one uses stays, and nothing is made again for it."""
    other = WEB.replace("hello", "other").replace("ttyS0", "ttyS0 other=1")
    expected = build(world), build(world, yaml=other)
    shutil.rmtree(world.store.root / "derived")
    build(world)
    before = {path.name for path in (world.store.root / "derived/result").iterdir()}
    monkeypatch.setenv("COMPOS_CACHE_LIMIT", "0")
    gc.collect()  # stores of builds in this process, which still count as users
    assert build(world, yaml=other) == expected[1]
    assert not before & {path.name for path in (world.store.root / "derived/result").iterdir()}
    made = inodes(world)
    assert build(world, yaml=other) == expected[1]
    assert made == inodes(world)
    assert build(world) == expected[0]
    monkeypatch.setenv("COMPOS_CACHE_LIMIT", "much")
    assert build(world) == expected[0], "nothing was made"
