"""Mount options, directories below a root, small files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bricks.drivers import Run

# <sys/mount.h>
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, NOATIME, BIND, REC = 1, 2, 4, 8, 32, 1024, 4096, 16384
PRIVATE, SLAVE, SHARED, RELATIME = 1 << 18, 1 << 19, 1 << 20, 1 << 21

OPTIONS = [
    ("", 0, 0, ""),
    ("defaults", 0, 0, ""),
    (
        "nodev,nosuid,noexec,relatime,size=10%,mode=755",
        NODEV | NOSUID | NOEXEC | RELATIME,
        0,
        "size=10%,mode=755",
    ),
    ("rbind,ro,rshared", BIND | REC | RDONLY, SHARED | REC, ""),
    ("bind,rw", BIND, 0, ""),
    ("ro,rw", 0, 0, ""),
    ("rw,ro", RDONLY, 0, ""),
    ("remount,private", REMOUNT, PRIVATE, ""),
    ("slave,noatime,atime", 0, SLAVE, ""),
    (",,lowerdir=/a:/b,,upperdir=/c,", 0, 0, "lowerdir=/a:/b,upperdir=/c"),
    ("rox,bindx", 0, 0, "rox,bindx"),
]


@pytest.mark.parametrize("case", OPTIONS, ids=[case[0] or "none" for case in OPTIONS])
def test_mount_options(case: tuple[str, int, int, str], run: Run) -> None:
    words, flags, propagation, data = case
    number = [f"{value:#x}" if value else "0" for value in (flags, propagation)]
    assert run("options", words) == f"{number[0]} {number[1]} <{data}>\n"


def test_mount_data_ends_with_the_kernels_page(run: Run) -> None:
    assert run("options", "a" * 4094).endswith(f"<{'a' * 4094}>\n")
    assert run("options", "a" * 4095) == "too long\n"
    assert run("options", "a" * 4000 + "," + "b" * 200) == "too long\n"


def test_directories_below_a_root_stay_below_it(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "rootfs"
    (root / "real").mkdir(parents=True)
    (root / "absolute").symlink_to("/real")
    (root / "outside").symlink_to("../../..")
    (root / "file").write_text("")
    (root / "dangling").symlink_to("/nowhere")
    for path, place in (
        ("var/lib/deep", "var/lib/deep"),
        ("absolute/below", "real/below"),
        ("outside/below", "below"),
        ("a//b/./c", "a/b/c"),
        ("../../up", "up"),
        ("trailing/", "trailing"),
    ):
        assert run("files", "below", root, path) == f"{root / place}\n"
        assert (root / place).is_dir()
    assert run("files", "below", root, "file/below") == "error Not a directory\n"
    assert run("files", "below", root, "dangling/below") == "error File exists\n"
    assert run("files", "below", root, "a/" * 3000) == "error File name too long\n"
    assert run("files", "below", tmp_path / "missing", "a") == "error No such file or directory\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rootfs"]


def test_directories_are_made_with_their_parents(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run("files", "make", tmp_path / "a/b/c") == "made\n"
    assert (tmp_path / "a/b/c").is_dir()
    assert run("files", "make", tmp_path / "a/b") == "made\n"
    assert run("files", "make", tmp_path / "file") == "Not a directory\n"
    assert run("files", "make", tmp_path / "file/below") == "Not a directory\n"


def test_small_files(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "name"
    for content, size, expected in (
        ("  host name \n\n", 65, "host name"),
        ("", 65, ""),
        (" \n ", 65, ""),
        ("abcdef", 4, "abc"),
    ):
        path.write_text(content)
        assert run("files", "line", path, str(size)) == f"<{expected}>\n"
    path.write_bytes(b"12345")
    assert run("files", "read", path, "5") == "5\n"
    assert run("files", "read", path, "4") == "error File too large\n"
    assert int(run("files", "read", "/proc/self/status", "70000")) > 100
    assert run("files", "read", tmp_path / "missing", "4") == "error No such file or directory\n"
