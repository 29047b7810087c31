"""Files under users' names: never through what others have put there, all of them or none, and
nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.errors import ComposError, OutputError
from compos.output import place
from compos.output.place import Place, put_file
from compos.output.write import Output, write_outputs
from compos.tree.node import Hole

NOBODY = 65534


@pytest.fixture(params=["nameless", "named", "no exchange"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Files without names and exchanges are not known to every file system."""
    if request.param == "named":
        # open(2) says so for a flag that it does not know.
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)
    if request.param == "no exchange":
        monkeypatch.setattr(place, "_EXCHANGE", 1 << 20)
    return str(request.param)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(folder: Path, *suffixes: str, content: bytes = b"new") -> list[Path]:
    return write_outputs(
        folder, folder / "os", [Output(suffix, (content, Hole(5))) for suffix in suffixes]
    )


def test_new_and_earlier_outputs(tmp_path: Path, way: str) -> None:
    (tmp_path / "os-a").write_bytes(b"a longer old one")
    write(tmp_path, "-a", "-b")
    assert names(tmp_path) == ["os-a", "os-b"]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"new" + bytes(5)}


def test_a_link_is_replaced_and_not_followed(tmp_path: Path, way: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "victim").write_bytes(b"victim")
    (out / "os-a").symlink_to(tmp_path / "victim")
    (out / "os-b").symlink_to(tmp_path / "dangling")
    (out / "os-c").symlink_to("os-c")
    write(out, "-a", "-b", "-c")
    assert all(path.is_file() and not path.is_symlink() for path in out.iterdir())
    assert (tmp_path / "victim").read_bytes() == b"victim"
    assert names(tmp_path) == ["out", "victim"]


def test_a_hard_link_keeps_its_other_name_and_its_permissions(tmp_path: Path, way: str) -> None:
    (tmp_path / "victim").write_bytes(b"victim")
    (tmp_path / "victim").chmod(0o666)
    os.link(tmp_path / "victim", tmp_path / "os-a")
    write(tmp_path, "-a")
    assert (tmp_path / "victim").read_bytes() == b"victim"
    assert stat.S_IMODE((tmp_path / "os-a").stat().st_mode) == 0o644


@pytest.mark.root
def test_what_another_user_put_there_is_nobodys_output(tmp_path: Path, way: str) -> None:
    (tmp_path / "os-a").write_bytes(b"theirs")
    os.chown(tmp_path / "os-a", NOBODY, NOBODY)
    (tmp_path / "os-a").chmod(0o666)
    with (tmp_path / "os-a").open("r+b") as theirs:
        write(tmp_path, "-a")
        theirs.write(b"evil")
    status = (tmp_path / "os-a").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o644)
    assert (tmp_path / "os-a").read_bytes() == b"new" + bytes(5)


@pytest.mark.parametrize(
    ("earlier", "umask", "secret", "expected"),
    [
        (None, 0o022, False, 0o644),
        (None, 0o077, False, 0o600),
        (None, 0o000, False, 0o644),
        (None, 0o000, True, 0o600),
        (0o600, 0o022, False, 0o600),
        (0o640, 0o022, False, 0o640),
        (0o755, 0o022, True, 0o600),
        (0o4755, 0o022, False, 0o755),
    ],
)
def test_permissions(
    tmp_path: Path, way: str, earlier: int | None, umask: int, secret: bool, expected: int
) -> None:
    path = tmp_path / "x"
    if earlier is not None:
        path.write_bytes(b"")
        path.chmod(earlier)
    old = os.umask(umask)
    try:
        put_file(path, b"new", secret=secret)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == expected


def device(path: Path) -> None:
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


SPECIAL: dict[str, tuple[Callable[[Path], None], str]] = {
    "a device": (device, "output-special"),
    "a pipe": (os.mkfifo, "output-special"),
    "a socket": (unix_socket, "output-special"),
    "a link to a device": (lambda path: path.symlink_to("/dev/null"), "output-special"),
    "a folder": (Path.mkdir, "output-failed"),
    "a link to a folder": (lambda path: path.symlink_to("."), "output-failed"),
}


@pytest.mark.parametrize(
    "what",
    [pytest.param(what, marks=[pytest.mark.root] * (what == "a device")) for what in SPECIAL],
)
def test_what_is_no_file_stays(tmp_path: Path, what: str) -> None:
    make, expected = SPECIAL[what]
    make(tmp_path / "os-b")
    before = (tmp_path / "os-b").lstat()
    with pytest.raises(OutputError) as caught:
        write(tmp_path, "-a", "-b")
    assert caught.value.id == expected
    assert (tmp_path / "os-b").lstat() == before
    assert names(tmp_path) == ["os-b"], "it is found out before anything is written"


@pytest.fixture
def immutable(tmp_path: Path) -> Iterator[Path]:
    """An earlier output that looks like any other and cannot be renamed: FS_IMMUTABLE_FL, on a file
    system that has it."""
    disk, folder = tmp_path / "disk", tmp_path / "mounted"
    with disk.open("wb") as stream:
        stream.truncate(8 << 20)
    folder.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, folder], check=True)
    try:
        (folder / "lost+found").rmdir()
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.root
def test_when_the_last_cannot_be_put_the_others_change_back(immutable: Path, way: str) -> None:
    folder = immutable
    for name in ("os-a", "os-c"):
        (folder / name).write_bytes(b"old " + name.encode())
    (folder / "os-link").symlink_to("os-a")
    before = {name: (folder / name).lstat().st_ino for name in names(folder)}
    subprocess.run(["chattr", "+i", folder / "os-c"], check=True)
    try:
        with pytest.raises(ComposError) as caught:
            write(folder, "-a", "-b", "-link", "-c")
    finally:
        subprocess.run(["chattr", "-i", folder / "os-c"], check=True)
    assert caught.value.id == "output-denied"
    assert {name: (folder / name).lstat().st_ino for name in names(folder)} == before
    assert (folder / "os-a").read_bytes() == b"old os-a"
    assert (folder / "os-link").is_symlink()


def test_interrupted_while_they_are_put(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "os-a").write_bytes(b"old")
    put = Place.put

    def interrupted(self: Place) -> None:
        if self.path.name == "os-b":
            raise KeyboardInterrupt
        put(self)

    monkeypatch.setattr(Place, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, "-a", "-b")
    assert names(tmp_path) == ["os-a"]
    assert (tmp_path / "os-a").read_bytes() == b"old"


KILLED = """
import os, sys, signal
from pathlib import Path
from compos.output.place import Place
place = Place(Path(sys.argv[1]))
os.write(place.descriptor, b"part")
print(sorted(os.listdir(Path(sys.argv[1]).parent)), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_build_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "os"], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "[]\n"
    assert names(tmp_path) == []


@pytest.mark.root
def test_what_a_killed_build_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it has a name; what is another build's, another user's or of another name stays."""
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)
    mine = Place(tmp_path / "mine")
    (held,) = names(tmp_path)
    kept = {f".compos-{'1' * 32}.part": 0, f".compos-{'2' * 32}.part": NOBODY, ".compos-x.part": 0}
    for name, user in kept.items():
        (tmp_path / name).write_bytes(b"left")
        os.chown(tmp_path / name, user, user)
    write(tmp_path, "-a")
    assert names(tmp_path) == sorted([*kept, held, "os-a"]), "too young"
    now = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: now)
    write(tmp_path, "-a")
    mine.close()
    assert names(tmp_path) == sorted([*list(kept)[1:], "os-a"])


def test_long_names(tmp_path: Path, way: str) -> None:
    for _ in range(2):
        put_file(tmp_path / ("n" * 255), b"x")
    with pytest.raises(OutputError) as caught:
        put_file(tmp_path / ("n" * 256), b"x")
    assert caught.value.id == "output-failed"


@pytest.mark.parametrize(
    "name", [".", "..", "/", "", "x/", "stdout", "missing/x", "file/x", "a" * 300]
)
def test_names_that_are_none(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors, and never `internal`."""
    (tmp_path / "x").mkdir()
    (tmp_path / "file").write_bytes(b"")
    # As /dev/stdout, which may be a file.
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    monkeypatch.chdir(tmp_path)
    before = os.lstat("stdout").st_ino
    with pytest.raises(OutputError):
        write_outputs(tmp_path, Path(name), [Output("", (b"x",))])
    assert os.lstat("stdout").st_ino == before


def test_metadata_is_the_users_alone(tmp_path: Path) -> None:
    """Through whatever lies there."""
    (tmp_path / "victim").write_bytes(b"victim")
    (tmp_path / "m.iso").symlink_to(tmp_path / "victim")
    assert main(["metadata", "create", str(tmp_path / "m.iso"), "secret"]) == 0
    assert stat.S_IMODE((tmp_path / "m.iso").lstat().st_mode) == 0o600
    assert b"secret" in (tmp_path / "m.iso").read_bytes()
    assert (tmp_path / "victim").read_bytes() == b"victim"


def test_metadata_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, expected in (
        (tmp_path / "none/m.iso", "output-folder"),
        (".", "output-name"),
        ("..", "output-failed"),
    ):
        assert main(["metadata", "create", str(name), "x"]) == 1
        assert f"error[{expected}]" in capsys.readouterr().err
