"""Outputs that are there and right are left alone; what anybody has touched is written again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.store import Store
from compos.output import unchanged
from compos.output.unchanged import MAX_FILES, WrittenFiles, contents_key
from compos.output.write import Output, update_outputs
from compos.tree.node import Hole, Slice
from tests.compose.systems import World
from tests.output.systems import WEB

CONTENT = b"0123456789" * 1000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


def update(
    store: Store, folder: Path, content: bytes = CONTENT, *, suffix: str = "-a", force: bool = False
) -> list[str]:
    """One output; returns the names that were written."""
    outputs = [Output(suffix, (content, Hole(5)))]
    written, unchanged = update_outputs(Store(store.root), folder / "os", outputs, force=force)
    path = folder / f"os{suffix}"
    assert written + unchanged == [path]
    assert path.read_bytes() == content + bytes(5)
    assert not path.is_symlink()
    return [path.name for path in written]


def state(path: Path) -> tuple[int, ...]:
    status = path.lstat()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def test_what_is_there_is_left_alone(store: Store, folder: Path) -> None:
    assert update(store, folder) == ["os-a"]
    before = state(folder / "os-a"), folder.stat().st_mtime_ns
    for _ in range(3):
        assert update(store, folder) == []
    assert (state(folder / "os-a"), folder.stat().st_mtime_ns) == before


def test_forced(store: Store, folder: Path) -> None:
    update(store, folder)
    before = state(folder / "os-a")
    assert update(store, folder, force=True) == ["os-a"]
    assert state(folder / "os-a") != before
    assert update(store, folder) == []


def touched(path: Path) -> None:
    path.touch()


def touched_with_its_own_times(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def overwritten_with_its_own_times(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as stream:
        stream.write(b"X")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced_by_a_copy(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    copy.replace(path)


def replaced_by_another_of_its_size_and_time(path: Path) -> None:
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"X" * status.st_size)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def cut(path: Path) -> None:
    os.truncate(path, 5)


def cut_and_mended(path: Path) -> None:
    status = path.stat()
    os.truncate(path, 5)
    os.truncate(path, status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def appended_and_cut(path: Path) -> None:
    status = path.stat()
    with path.open("ab") as stream:
        stream.write(b"more")
    os.truncate(path, status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def restored_from_a_backup(path: Path) -> None:
    archive = path.with_name("backup.tar")
    subprocess.run(["tar", "-cf", archive, "-C", path.parent, path.name], check=True)
    path.unlink()
    subprocess.run(["tar", "-xpf", archive, "-C", path.parent], check=True)


def linked(path: Path) -> None:
    path.with_name("second").hardlink_to(path)


def linked_for_a_while(path: Path) -> None:
    linked(path)
    path.with_name("second").unlink()


def moved_away_and_back(path: Path) -> None:
    path.rename(path.with_name("away"))
    path.with_name("away").rename(path)


def of_other_permissions(path: Path) -> None:
    path.chmod(0o640)


def behind_a_link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "change",
    [
        touched,
        touched_with_its_own_times,
        overwritten_with_its_own_times,
        replaced_by_a_copy,
        replaced_by_another_of_its_size_and_time,
        cut,
        cut_and_mended,
        appended_and_cut,
        restored_from_a_backup,
        linked,
        linked_for_a_while,
        moved_away_and_back,
        of_other_permissions,
        behind_a_link,
        gone,
    ],
    ids=lambda change: change.__name__,
)
def test_what_was_changed_is_written_again(
    store: Store, folder: Path, change: Callable[[Path], None]
) -> None:
    """At once: the change may come in the tick in which the build ended."""
    for _ in range(20):
        update(store, folder)
        change(folder / "os-a")
        assert update(store, folder) == ["os-a"]
        assert update(store, folder) == []
        for other in ("second", "real", "backup.tar"):
            (folder / other).unlink(missing_ok=True)


def test_what_is_written_as_soon_as_the_name_is_there(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process changes the file in the very tick of its appearance."""
    real = os.fstat

    def meddle(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        if (folder / "os-a").exists() and status.st_ino == (folder / "os-a").stat().st_ino:
            with (folder / "os-a").open("r+b") as stream:
                stream.write(b"X")
        return status

    for _ in range(20):
        (folder / "os-a").unlink(missing_ok=True)
        monkeypatch.setattr(os, "fstat", meddle)
        with pytest.raises(AssertionError):
            update(store, folder)
        monkeypatch.setattr(os, "fstat", real)
        assert update(store, folder) == ["os-a"]


def test_permissions_of_secrets_stay(store: Store, folder: Path) -> None:
    update(store, folder)
    (folder / "os-a").chmod(0o600)
    assert update(store, folder) == ["os-a"]
    assert update(store, folder) == []
    assert (folder / "os-a").stat().st_mode & 0o777 == 0o600


def test_other_contents_and_other_names(store: Store, folder: Path) -> None:
    update(store, folder)
    assert update(store, folder, b"other") == ["os-a"]
    assert update(store, folder) == ["os-a"], "what was there before the last build"
    (folder / "os-a").rename(folder / "os-b")
    assert update(store, folder, suffix="-b") == ["os-b"]
    assert update(store, folder) == ["os-a"]
    assert update(store, folder, suffix="-b") == []


def test_a_file_of_another_builds(store: Store, tmp_path: Path, folder: Path) -> None:
    """A store knows what was written with it."""
    other = Store(tmp_path / "other")
    update(store, folder)
    assert update(other, folder) == ["os-a"]
    assert update(store, folder) == ["os-a"]


def test_builds_that_overlap(store: Store, tmp_path: Path, folder: Path) -> None:
    """What another one has written meanwhile stays known."""
    files = WrittenFiles(Store(store.root))
    update(store, folder)
    (tmp_path / "other").write_bytes(b"other")
    os.utime(tmp_path / "other", (10**9, 10**9))
    files.add([((tmp_path / "other").stat(), "key")])
    assert update(store, folder) == []
    assert WrittenFiles(Store(store.root)).has(tmp_path / "other", "key")


def test_only_what_changed_is_written(store: Store, folder: Path) -> None:
    def names(*contents: bytes) -> tuple[list[str], list[str]]:
        outputs = [Output(f"-{number}", (data,)) for number, data in enumerate(contents)]
        done = update_outputs(store, folder / "os", outputs)
        return [path.name for path in done.written], [path.name for path in done.unchanged]

    assert names(b"a", b"b", b"c") == (["os-0", "os-1", "os-2"], [])
    assert names(b"a", b"x", b"c") == (["os-1"], ["os-0", "os-2"])
    assert names(b"a", b"x", b"c") == ([], ["os-0", "os-1", "os-2"])


def test_after_the_machine_was_started_anew(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs are not synced: a loss of power may have left anything."""
    update(store, folder)
    monkeypatch.setattr(unchanged, "_boot", lambda: "another")
    assert update(store, folder) == ["os-a"]
    monkeypatch.setattr(unchanged, "_boot", lambda: "")
    assert update(store, folder) == ["os-a"]
    assert update(store, folder) == ["os-a"], "nobody knows"


def test_an_owner_that_is_not_the_user(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update(store, folder)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert not WrittenFiles(Store(store.root, trusted=True)).has(
        folder / "os-a", contents_key((CONTENT, Hole(5)))
    )


@contextmanager
def mounted(tmp_path: Path, *options: str) -> Iterator[Path]:
    folder = tmp_path / "mounted"
    folder.mkdir()
    subprocess.run(["mount", *options, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_file_system_without_times_of_change(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Linux shows files on FAT, whose times are even seconds; the time of change is that of
    modification. A change whose times were put back shows nowhere."""
    real = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        modified = status.st_mtime_ns // (2 * 10**9) * 2 * 10**9
        return os.stat_result(tuple(status), {"st_mtime_ns": modified, "st_ctime_ns": modified})

    monkeypatch.setattr(os, "fstat", fstat)
    for _ in range(3):
        assert update(store, folder) == ["os-a"]


@pytest.mark.root
def test_another_file_system(store: Store, tmp_path: Path) -> None:
    with mounted(tmp_path, "-t", "tmpfs", "tmpfs") as folder:
        assert update(store, folder) == ["os-a"]
        assert update(store, folder) == []
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        assert update(store, folder) == [], "nothing is to be written"


def test_records_are_bounded_and_hold_nothing_of_paths(store: Store, folder: Path) -> None:
    update(store, folder)
    status = (folder / "os-a").stat()
    files = WrittenFiles(store)
    files.add((status, str(number)) for number in range(MAX_FILES + 10))
    path = store.root / "derived/output/written"
    assert path.stat().st_size < 128 * MAX_FILES
    assert b"os-a" not in path.read_bytes()
    files = WrittenFiles(Store(store.root))
    assert files.has(folder / "os-a", str(MAX_FILES + 9))
    assert files.has(folder / "os-a", "10")
    assert not files.has(folder / "os-a", "9")


def test_a_damaged_or_absent_record(store: Store, folder: Path) -> None:
    path = store.root / "derived/output/written"
    for damage in (
        lambda: path.write_bytes(b"x"),
        lambda: os.truncate(path, 50),
        path.unlink,
        lambda: shutil.rmtree(store.root),
    ):
        update(store, folder)
        damage()
        assert update(store, folder) == ["os-a"]
        assert update(store, folder) == []


@pytest.mark.root
def test_a_full_store_is_no_error(store: Store, folder: Path, tmp_path: Path) -> None:
    with mounted(tmp_path, "-t", "tmpfs", "-o", "size=64k", "tmpfs") as small:
        full = Store(small / "store")
        assert update(full, folder) == ["os-a"]
        with (small / "filler").open("wb", buffering=0) as stream:
            while shutil.disk_usage(small).free:
                stream.write(bytes(4096))
        assert update(full, folder, b"other") == ["os-a"]


def test_keys_of_contents() -> None:
    different = [
        (),
        (b"",),
        (b"a",),
        (b"a", b"b"),
        (Hole(1),),
        (Hole(11),),
        (Hole(1), Hole(1)),
        (Slice("s", 1, 2),),
        (Slice("s", 12, 2),),
        (Slice("s", 1, 22),),
        (Slice("t", 1, 2),),
        (b"s1 2 ",),
    ]
    assert len({contents_key(pieces) for pieces in different}) == len(different)
    many = [Slice("s", number, 1) for number in range(10_000)]
    assert contents_key(many) == contents_key(iter(many)) != contents_key(many[:-1])


def build(world: World, *options: str, yaml: str = WEB) -> int:
    (world.folder / "os.yml").write_text(yaml)
    arguments = ["build", *world.flags, *options]
    return main([*arguments, str(world.folder / "os.yml")])


def test_a_build_says_what_is_unchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert build(world) == 0
    assert "Unchanged" not in capsys.readouterr().err
    # Other words for the same system.
    assert build(world, yaml=f"# a comment\n{WEB}") == 0
    assert capsys.readouterr().err == "Unchanged outputs: os-kernel os-cmdline os-initrd.img\n"
    assert build(world, yaml=WEB.replace("ttyS0", "ttyS1")) == 0
    text = capsys.readouterr().err
    assert "Create outputs:\n  os-cmdline\nUnchanged outputs: os-kernel os-initrd.img\n" in text
    assert Path("os-cmdline").read_text() == "console=ttyS1"
    assert build(world, "--force", yaml=WEB.replace("ttyS0", "ttyS1")) == 0
    assert "Unchanged" not in capsys.readouterr().err


def test_outputs_of_one_name_in_several_formats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert build(world, "--o", "os.img") == 0
    tar = Path("os.img").read_bytes()
    assert build(world, "--o", "os.img", "-f", "docker") == 0
    assert Path("os.img").read_bytes() != tar
    capsys.readouterr()
    assert build(world, "--o", "os.img") == 0
    assert "Create outputs:\n  os.img\n" in capsys.readouterr().err
    assert Path("os.img").read_bytes() == tar


def test_a_stream_is_written_always(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    world = World(tmp_path)
    assert build(world, "-q", "--o", "-") == 0
    first = capfdbinary.readouterr().out
    assert first
    assert build(world, "-q", "--o", "-") == 0
    assert capfdbinary.readouterr().out == first


def test_waiting_for_a_clock_that_is_behind_ends(store: Store, folder: Path) -> None:
    started = time.monotonic()
    unchanged._wait_beyond(time.time_ns() + 10**12)
    assert time.monotonic() - started < 60, "the clock is 1000 s behind"
