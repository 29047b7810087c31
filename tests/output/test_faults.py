"""Builds that are killed, that share a store, that find it damaged, full or read-only, and clocks
that jump: never a wrong output under its final name, and the next build succeeds."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compos.cli.main import main
from tests.compose.systems import World
from tests.images import Member
from tests.output.systems import WEB, build

KILLS = int(os.environ.get("COMPOS_TEST_KILLS", "60"))
"""`make fuzz` kills a thousand."""

FORMATS = ("-f", "kernel+initrd,kernel+squashfs")
Files = dict[str, bytes]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    noise = random.Random(1)
    made.image(
        "acme/app:1",
        [[Member("bin/app", mode=0o755, content=noise.randbytes(3 << 20))]],
        {"Entrypoint": ["/bin/app"]},
    )
    return made


def changed(version: str) -> str:
    return WEB.replace("hello", version).replace("ttyS0", f"ttyS0 version={version}")


def begin(world: World, yaml: str, *options: str, out: str = "out") -> int:
    """Start a build in a process of its own; returns its id. Outputs that are there stay."""
    folder = world.folder / out
    folder.mkdir(exist_ok=True)
    # Each its own: another build may be reading the last one's.
    source = Path(tempfile.mkdtemp(dir=world.folder)) / "os.yml"
    source.write_text(yaml)
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        arguments = ["build", "-q", *world.flags, "--dir", str(folder), *FORMATS]
        status = main([*arguments, *options, str(source)])
    finally:
        os._exit(status)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outputs(world: World, out: str = "out") -> Files:
    """What is there under final names."""
    return {
        path.name: path.read_bytes()
        for path in (world.folder / out).iterdir()
        if path.name[0] != "."
    }


def forget(world: World, choice: random.Random) -> None:
    """Delete some derived results, or all, or none, so that builds are caught in every step."""
    derived = world.store.root / "derived"
    for kind in sorted(path.name for path in derived.iterdir()) if derived.exists() else ():
        if choice.random() < 0.4:
            shutil.rmtree(derived / kind)


@pytest.mark.slow
def test_killed_at_any_moment(world: World) -> None:
    choice = random.Random(7)
    expected = {
        version: build(world, *FORMATS, yaml=changed(version)) for version in ("one", "two")
    }
    started = time.monotonic()
    assert ended(begin(world, changed("one"))) == 0
    usual = max(time.monotonic() - started, 0.05)
    killed = 0
    for number in range(KILLS):
        version = choice.choice(("one", "two"))
        forget(world, choice)
        child = begin(world, changed(version))
        time.sleep(choice.uniform(0, usual * 1.5))
        os.kill(child, signal.SIGKILL)
        killed += ended(child) == -signal.SIGKILL
        for name, data in outputs(world).items():
            assert data in (expected["one"][name], expected["two"][name]), (number, name)
        if number % 3 == 0:
            assert ended(begin(world, changed(version))) == 0
            assert outputs(world) == expected[version]
    assert killed > KILLS // 4
    assert ended(begin(world, changed("one"))) == 0
    assert outputs(world) == expected["one"]
    # What killed builds left behind in the store is swept by the next that writes to it.
    assert len(list((world.store.root / "ingest").iterdir())) <= 1


@pytest.mark.slow
def test_many_builds_at_once(world: World) -> None:
    """Of the same and of different systems, in one store, into one folder and into several."""
    versions = ("one", "two", "three")
    expected = {version: build(world, *FORMATS, yaml=changed(version)) for version in versions}
    choice = random.Random(3)
    for _ in range(6):
        forget(world, choice)
        builds = [
            (version, f"out-{version}-{number}") for version in versions for number in range(2)
        ]
        children = [begin(world, changed(version), out=out) for version, out in builds]
        children += [begin(world, changed("one"), out="together") for _ in range(2)]
        assert [ended(child) for child in children] == [0] * len(children)
        for version, out in builds:
            assert outputs(world, out) == expected[version]
        assert outputs(world, "together") == expected["one"]


@pytest.mark.root
def test_a_disk_that_is_full_at_any_byte(world: World) -> None:
    expected = build(world, *FORMATS)
    place = world.folder / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", place], check=True)
    try:
        shutil.copytree(world.store.root / "blobs", place / "store/blobs")
        for name in ("index.json", "oci-layout"):
            shutil.copy(world.store.root / name, place / "store" / name)
        small = World.__new__(World)
        small.folder, small.store = place, type(world.store)(place / "store")
        failures = 0
        for size in range(3300, 16000, 900):  # KiB; the images alone take 3 MiB
            shutil.rmtree(place / "store/derived", ignore_errors=True)
            shutil.rmtree(place / "out", ignore_errors=True)
            used = sum(path.stat().st_blocks for path in place.rglob("*")) // 2
            subprocess.run(
                ["mount", "-o", f"remount,size={max(size, used + 100)}k", place], check=True
            )
            status = ended(begin(small, WEB))
            found = outputs(small)
            if status:
                failures += 1
                assert status == 1
                assert found == {}
            else:
                assert found == expected
        assert failures > 3
        subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
        assert ended(begin(small, WEB)) == 0
        assert outputs(small) == expected
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.root
def test_a_read_only_store(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """What it has can be built; what it lacks is an error that says so."""
    expected = build(world, *FORMATS)
    (world.folder / "os.yml").write_text(WEB)
    (world.folder / "other.yml").write_text(changed("other"))
    out = world.folder / "elsewhere"
    out.mkdir()
    root = world.store.root
    subprocess.run(["mount", "--bind", root, root], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
        arguments = [
            "build",
            "-q",
            "--cache",
            str(root),
            "--arch",
            "amd64",
            "--dir",
            str(out),
            *FORMATS,
        ]
        assert main([*arguments, str(world.folder / "os.yml")]) == 0
        assert {path.name: path.read_bytes() for path in out.iterdir()} == expected
        capfd.readouterr()
        assert main([*arguments, str(world.folder / "other.yml")]) == 1
        said = capfd.readouterr().err
        assert "error[store-read-only]" in said
        assert "COMPOS_CACHE" in said
        assert {path.name: path.read_bytes() for path in out.iterdir()} == expected
    finally:
        subprocess.run(["umount", root], check=True)


@pytest.mark.parametrize("years", [-60, 30])
def test_a_clock_that_jumps(world: World, years: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = build(world, *FORMATS, yaml=changed("one"))
    other = build(world, *FORMATS, yaml=changed("two"))
    now = time.time() + years * 365 * 86400
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(time, "time_ns", lambda: int(now * 10**9))
    os.utime(world.store.root / "index.json", (now, now))
    assert build(world, *FORMATS, yaml=changed("one")) == expected
    shutil.rmtree(world.store.root / "derived")
    assert build(world, *FORMATS, yaml=changed("two")) == other


def stored(root: Path) -> Iterator[Path]:
    for folder in ("derived", "blobs"):
        yield from sorted(
            path for path in (root / folder).rglob("*") if path.is_file() and path.stat().st_size
        )


def flip(path: Path) -> None:
    """Another byte in the middle; the length stays."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes((byte[0] ^ 0x55,)))


@pytest.mark.slow
def test_a_flipped_byte_anywhere_is_noticed(world: World) -> None:
    """A derived result is made again; a blob has no second source here, so it is an error that
    names the image."""
    expected = build(world, *FORMATS)
    kept = world.folder / "kept"
    shutil.copytree(world.store.root, kept)
    names = [path.relative_to(world.store.root) for path in stored(world.store.root)]
    assert {str(name).split("/")[1] for name in names} >= {
        "image",
        "layer-index",
        "result",
        "segment",
        "sha256",
        "tree",
    }
    errors = 0
    for name in names:
        flip(world.store.root / name)
        child = begin(world, WEB, out="checked")
        status = ended(child)
        if name.parts[0] == "derived":
            assert status == 0, name
            assert outputs(world, "checked") == expected, name
        else:
            # A blob of an image that the fixture has replaced is nobody's.
            assert outputs(world, "checked") == (expected if status == 0 else {}), name
            errors += status == 1
            shutil.rmtree(world.store.root)
            shutil.copytree(kept, world.store.root)
        shutil.rmtree(world.folder / "checked")
    assert errors == 9, "manifest, config and layers of three images"


def test_a_store_that_another_tool_has_copied(world: World) -> None:
    """Its files have other times: blobs are verified once, and derived results made again."""
    expected = build(world, *FORMATS)
    for path in stored(world.store.root):
        os.utime(path)
    assert build(world, *FORMATS) == expected
    # The list of outputs is new whenever one is written.
    made = {
        path: path.stat().st_ino
        for path in stored(world.store.root)
        if path.parent.name != "output"
    }
    assert build(world, *FORMATS) == expected
    assert {path: path.stat().st_ino for path in made} == made
