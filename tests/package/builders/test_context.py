"""The build context as a tar: what GNU tar makes of it, and what is refused."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.errors import PackageError
from compos.package.builders import context
from compos.package.builders.context import context_digest, write_context


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "package"
    for name in ("a/b", "a.b", ".git"):
        (package / name).mkdir(parents=True)
    for name in ("a/b/file", "a.b/file", "a-b", ".dockerignore", ".git/HEAD", "ä", "x" * 200):
        (package / name).write_text(f"contents of {name}")
    (package / "a-b").chmod(0o4711)
    os.utime(package / "a-b", (1, 1_000_000_000))
    (package / "link").symlink_to("/etc/passwd")
    (package / "dangling").symlink_to("nowhere")
    os.link(package / "a-b", package / "hard")
    (tmp_path / "more" / "x").mkdir(parents=True)
    (tmp_path / "more" / "x" / "y").write_text("more")
    return package


def packed(folder: Path, *extra: str, **options: object) -> bytes:
    out = io.BytesIO()
    write_context(out, folder, extra, **options)  # type: ignore[arg-type]
    return out.getvalue()


def test_gnu_tar_unpacks_the_same_files(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    data = packed(folder, "../more:/in/more")
    subprocess.run(["tar", "-xp", "-C", target], input=data, check=True)
    same = ("diff", "-r", "--no-dereference", "-x", "in")
    subprocess.run([*same, str(folder), str(target)], check=True)
    subprocess.run(["diff", "-r", tmp_path / "more", target / "in" / "more"], check=True)
    for name in ("a-b", "link", "hard", "ä", ".git/HEAD"):
        one, other = (folder / name).lstat(), (target / name).lstat()
        assert (one.st_mode, int(one.st_mtime)) == (other.st_mode, int(other.st_mtime)), name
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
    # Lexical order, folder by folder: a/b before a-b would be the order of whole paths.
    assert names[:9] == [
        *(".dockerignore", ".git", ".git/HEAD"),
        *("a", "a/b", "a/b/file", "a-b", "a.b", "a.b/file"),
    ]
    assert names[-3:] == ["in/more", "in/more/x", "in/more/x/y"]


def test_what_stands_instead(folder: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.tar"
    image.write_text("image")
    data = packed(
        folder,
        instead={"a-b": b"new", "link": b"was a link"},
        added={"images/one.tar": image},
        without=("a", "hard"),
    )
    expected = {"a-b": b"new", "link": b"was a link", "images/one.tar": b"image"}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
        for name, content in expected.items():
            stream = archive.extractfile(name)
            assert stream is not None
            assert stream.read() == content
    assert not {"a", "a/b", "a/b/file", "hard"} & set(names)
    assert {"a-b", "a.b", "images/one.tar"} <= set(names)


def test_digest(folder: Path, tmp_path: Path) -> None:
    """All that an image can depend on, and nothing that differs between two checkouts."""
    extra = ("../more:/in/more",)
    seen = {context_digest(folder), context_digest(folder, extra)}

    def changes(change: Callable[[], object], *, new: bool = True) -> None:
        change()
        digest = context_digest(folder, extra)
        assert (digest not in seen) is new
        seen.add(digest)

    changes(lambda: os.utime(folder / "a-b", (5, 5)), new=False)
    changes(lambda: (folder / "ä").chmod(0o600), new=False)
    changes(lambda: (folder / ".git" / "HEAD").write_text("other"), new=False)
    changes(lambda: (folder / "ä").write_text("changed"))
    changes(lambda: (folder / "ä").chmod(0o755))
    changes(lambda: (folder / "ä").rename(folder / "ö"))
    changes(lambda: (folder / "new").mkdir())
    changes(lambda: (folder / "to").symlink_to("new"))
    (folder / "to").unlink()
    changes(lambda: (folder / "to").write_text("new"))
    changes(lambda: (tmp_path / "more" / "x" / "y").write_text("changed"))


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ("../more:/../out", "leaves the build context"),
        ("../none:/x", "is not a folder"),
        ("a-b:/x", "is not a folder"),
    ],
)
def test_extra_sources(folder: Path, extra: str, reason: str) -> None:
    for work in (lambda *given: write_context(io.BytesIO(), *given), context_digest):
        with pytest.raises(PackageError, match=reason) as caught:
            work(folder, (extra,))
        assert caught.value.id == "package-extra-source"
        assert caught.value.place == str(folder / "build.yml")


def test_strange_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(folder)
        server.bind("socket")
        with tarfile.open(fileobj=io.BytesIO(packed(folder))) as archive:
            assert archive.getmember("fifo").isfifo()
            # A tar has no sockets.
            assert "socket" not in archive.getnames()
        assert context_digest(folder)
    monkeypatch.setattr(context, "MAX_MEMBERS", 3)
    with pytest.raises(PackageError, match="more than 3 files"):
        packed(folder)


def test_a_file_that_shrinks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = context._opened

    def shrinking(member: context._Member) -> io.BufferedReader:
        stream = opened(member)
        os.truncate(member.path, 1)
        return stream

    monkeypatch.setattr(context, "_opened", shrinking)
    with pytest.raises(PackageError) as caught:
        packed(folder)
    assert caught.value.id == "package-changed"


def test_a_file_that_becomes_a_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = context._opened

    def exchanged(member: context._Member) -> io.BufferedReader:
        member.path.unlink()
        member.path.symlink_to("/etc/shadow")
        return opened(member)

    monkeypatch.setattr(context, "_opened", exchanged)
    with pytest.raises(PackageError) as caught:
        packed(folder)
    assert caught.value.id == "package-context"
