"""Seals: a file is used unread only if nothing has touched it since it was whole, on this machine,
in this store."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.errors import ImageError
from compos.image import seal
from compos.image.derived_kinds import DerivedKind
from compos.image.seal import HOUR, Seals
from compos.image.store import Store

CONTENT = bytes(range(256)) * 40


def derive(store: Store, key: str = "key", content: bytes = CONTENT) -> Path:
    with store.derive(DerivedKind.HOST, key) as path:
        path.write_bytes(content)
    return store.root / "derived/host" / key


def rewritten(path: Path, content: bytes) -> None:
    """Other bytes in place, with the old time of modification: what only the kernel's time of
    change tells."""
    before = path.stat()
    with path.open("r+b") as stream:
        stream.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino


def replaced(path: Path, content: bytes) -> None:
    before = path.stat()
    new = path.with_name("new")
    new.write_bytes(content)
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(path)


def linked(path: Path, content: bytes) -> None:
    other = path.parent.parent.parent / "other"
    other.write_bytes(content)
    path.unlink()
    path.symlink_to(other)


FORGED = CONTENT[:-1] + b"x"


@pytest.mark.parametrize("again", [False, True], ids=["another process", "the same"])
@pytest.mark.parametrize("change", [rewritten, replaced, linked])
def test_other_bytes_with_the_old_times_are_noticed(
    store: Store, change: Callable[[Path, bytes], None], again: bool
) -> None:
    path, blob = derive(store), store.put(CONTENT, "text/plain")
    assert store.derived(DerivedKind.HOST, "key") == path
    assert store.has(blob.digest)
    change(path, FORGED)
    change(store.path(blob.digest), FORGED)
    store = store if again else Store(store.root)
    assert store.derived(DerivedKind.HOST, "key") is None
    assert not store.has(blob.digest)
    assert not store.holds([("derived/host/key", 1)])


@pytest.mark.parametrize("tool", ["cp -a", "tar", "tar without times"])
def test_a_restored_store_is_read_once(store: Store, tmp_path: Path, tool: str) -> None:
    """A copy that keeps names, lengths and times: nothing holds by itself, and what is whole is
    taken, once."""
    derive(store)
    derive(store, "harmed")
    blob, other = store.put(CONTENT, "text/plain"), store.put(b"other", "text/plain")
    copy = tmp_path / "copy"
    if tool == "cp -a":
        subprocess.run(["cp", "-a", store.root, copy], check=True)
    else:
        copy.mkdir(mode=0o700)
        archive = subprocess.run(
            ["tar", "-C", store.root, "-c", "."], check=True, capture_output=True
        ).stdout
        subprocess.run(
            ["tar", "-C", copy, "-x", *(["-m"] if tool != "tar" else [])], input=archive, check=True
        )
    rewritten(copy / "derived/host/harmed", FORGED)
    rewritten(copy / "blobs" / other.digest.replace(":", "/"), b"OTHER")
    restored = Store(copy)
    for name in ("derived/host/key", f"blobs/{blob.digest.replace(':', '/')}"):
        assert not restored.seals.holds(name, (copy / name).stat())
    assert restored.derived(DerivedKind.HOST, "key") is not None
    assert restored.derived(DerivedKind.HOST, "harmed") is None
    assert restored.has(blob.digest)
    assert not restored.has(other.digest)
    again = Store(copy)
    for name in ("derived/host/key", f"blobs/{blob.digest.replace(':', '/')}"):
        assert again.seals.holds(name, (copy / name).stat())


def test_without_its_seals_a_derived_result_is_not_believed(store: Store) -> None:
    derive(store)
    blob = store.put(CONTENT, "text/plain")
    (store.root / "seals").unlink()
    fresh = Store(store.root)
    assert fresh.derived(DerivedKind.HOST, "key") is None
    assert fresh.has(blob.digest)


@pytest.mark.parametrize(
    "lost", [False, True], ids=["all on the disk", "the beginning was not yet"]
)
def test_after_a_new_start_derived_results_are_read_once(
    store: Store, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss of power may leave a file of the right length whose beginning, written last, never
    reached the disk: the journal of a file system orders names and lengths, not rewritten blocks.
    Here the state of the inode stays, too."""
    path, blob = derive(store), store.put(CONTENT, "text/plain")
    if lost:
        with path.open("r+b") as stream:
            stream.write(bytes(16))
    status, boot = path.stat(), store.seals.find("derived/host/key")
    assert boot is not None
    store.seals.seal("derived/host/key", status, boot.checksum, derived=True, synced=False)
    assert store.derived(DerivedKind.HOST, "key") is not None, "in the same boot a seal is enough"
    monkeypatch.setattr(seal, "_boot", lambda: 12345)
    fresh = Store(store.root)
    name = f"blobs/{blob.digest.replace(':', '/')}"
    assert fresh.seals.holds(name, (store.root / name).stat()), "blobs are synced"
    assert not fresh.seals.holds("derived/host/key", status)
    assert (fresh.derived(DerivedKind.HOST, "key") is None) == lost
    monkeypatch.setattr(seal, "_boot", lambda: 67890)
    assert Store(store.root).seals.holds("derived/host/key", path.stat()) != lost


def test_blobs_are_synced_before_they_are_sealed(store: Store, tmp_path: Path) -> None:
    """As the kernel sees it."""
    code = (
        "import sys; from pathlib import Path; from compos.image.store import Store\n"
        "Store(Path(sys.argv[1])).put(b'x' * 5000, 'text/plain')"
    )
    trace = tmp_path / "trace"
    watched = "trace=fsync,fdatasync,rename,renameat,renameat2,write"
    subprocess.run(
        ["strace", "-f", "-y", "-o", trace, "-e", watched, sys.executable, "-c", code, store.root],
        check=True,
    )
    calls = [
        line for line in trace.read_text().splitlines() if re.search(r"/blob[>\"]|/seals>", line)
    ]
    names = [call.split(None, 1)[1].partition("(")[0] for call in calls]
    assert names == ["write", "fsync", "rename", "write", "write"], (
        "the head of a new file of seals, and a seal"
    )


def test_when_files_were_used_is_known_to_the_hour(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    derive(store)
    size = (store.root / "seals").stat().st_size
    for _ in range(3):
        Store(store.root).derived(DerivedKind.HOST, "key")
    assert (store.root / "seals").stat().st_size == size, "in the same hour nothing is written"
    found = store.seals.find("derived/host/key")
    assert found is not None
    later = found.used + 2 * HOUR
    monkeypatch.setattr(time, "time", lambda: later)
    Store(store.root).derived(DerivedKind.HOST, "key")
    again = Store(store.root).seals.find("derived/host/key")
    assert again == found._replace(used=later)


def seals(path: Path) -> Seals:
    path.mkdir(exist_ok=True)
    return Seals(path / "seals")


def test_the_file_is_written_anew_when_most_of_it_is_old(tmp_path: Path) -> None:
    made = seals(tmp_path / "s")
    status = tmp_path.stat()
    for number in range(3000):
        made.seal("a", status, number, derived=True, synced=False)
    made.seal("b", status, 1, derived=True, synced=False)
    before = (tmp_path / "s/seals").stat().st_size
    fresh = seals(tmp_path / "s")
    assert fresh.find("none") is None
    assert (tmp_path / "s/seals").stat().st_size < before / 1000
    for one in (fresh, seals(tmp_path / "s"), made):
        found = one.find("a")
        assert found is not None
        assert found.checksum == 2999
        assert one.find("b")
    made.seal("c", status, 7, derived=True, synced=False)
    assert fresh.find("c")


@pytest.mark.slow
@pytest.mark.parametrize("spare", [1 << 20, 3], ids=["added only", "written anew all the time"])
def test_many_write_at_once(tmp_path: Path, spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "_SPARE", spare)
    status = tmp_path.stat()

    def add(prefix: str) -> None:
        made = seals(tmp_path / "s")
        for number in range(200):
            for total in range(number, number - 4, -1):
                made.seal(f"{prefix}{number}", status, total % 1000, derived=True, synced=False)
            seals(tmp_path / "s").find(f"{prefix}-none")

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = seals(tmp_path / "s")
    for prefix in "abcd":
        for number in range(200):
            found = made.find(f"{prefix}{number}")
            assert found is not None
            assert found.checksum == (number - 3) % 1000


def test_places_in_a_file_that_was_written_anew(tmp_path: Path) -> None:
    status = tmp_path.stat()
    one = seals(tmp_path / "s")
    for number in range(20):
        one.seal(str(number), status, number, derived=True, synced=False)
    other = seals(tmp_path / "s")
    assert other.find("0")
    one.keep_only(["7", "19"])
    for number in (7, 19, 3, 1):
        found = other.find(str(number))
        assert found is None or found.checksum == number
        assert (found is not None) or number not in (7, 19)


@pytest.mark.parametrize(
    "harm", ["cut", "cut in the head", "zeros", "noise", "a folder", "a link", "empty"]
)
def test_a_damaged_file_of_seals(store: Store, harm: str, tmp_path: Path) -> None:
    """Costs what it lists, and nothing else; what comes later is whole."""
    derive(store)
    path = store.root / "seals"
    data = path.read_bytes()
    path.unlink()
    if harm == "a folder":
        path.mkdir()
    elif harm == "a link":
        (tmp_path / "victim").write_bytes(b"victim")
        path.symlink_to(tmp_path / "victim")
    else:
        path.write_bytes(
            {
                "cut": data[:-3],
                "cut in the head": data[:30],
                "zeros": bytes(len(data)),
                "noise": os.urandom(5000),
                "empty": b"",
            }[harm]
        )
    fresh = Store(store.root)
    assert fresh.derived(DerivedKind.HOST, "key") is None
    derive(fresh, "key", b"new")
    assert fresh.derived(DerivedKind.HOST, "key") is not None
    if harm == "a link":
        assert (tmp_path / "victim").read_bytes() == b"victim"
    elif harm != "a folder":
        assert Store(store.root).derived(DerivedKind.HOST, "key") is not None


def test_blobs_of_another_tool_are_hashed_once(store: Store) -> None:
    blob = store.put(CONTENT, "text/plain")
    shutil.copy(store.path(blob.digest), store.root / "copy")
    (store.root / "copy").replace(store.path(blob.digest))
    assert Store(store.root).has(blob.digest)
    name = f"blobs/{blob.digest.replace(':', '/')}"
    assert Store(store.root).seals.holds(name, store.path(blob.digest).stat())
    rewritten(store.path(blob.digest), FORGED)
    with pytest.raises(ImageError) as caught:
        Store(store.root).require(blob.digest)
    assert caught.value.id == "store-corrupt"
