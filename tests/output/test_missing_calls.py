"""Whole builds where calls of Linux are missing: each alone and all together; the same bytes come
out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.compose.systems import World
from tests.images import Member
from tests.output.bootable import YAML, filled

FORMATS = "kernel+initrd,kernel+squashfs,kernel+erofs,raw-bios,qcow2-efi,vmdk,ova,iso-bios,oci"
LARGE = bytes(range(256)) * (4 << 10)
"""Large enough to be copied by the kernel."""

ALONE = (
    *("copy_file_range:ENOSYS", "copy_file_range:EOPNOTSUPP", "copy_file_range:EXDEV"),
    *("copy_file_range:EPERM", "copy_file_range:0", "copy_file_range:absent"),
    *("renameat2:EINVAL", "renameat2:absent"),
    *("O_TMPFILE:EOPNOTSUPP", "O_TMPFILE:EISDIR", "O_TMPFILE:ENOSYS", "O_TMPFILE:absent"),
    *("/proc:ENOENT", "sendfile:absent", "holes:absent", "linux:absent"),
    *("locks:ENOSYS", "locks:EOPNOTSUPP", "locks:ENOLCK"),
)
TOGETHER = (
    (
        *("copy_file_range:EXDEV", "renameat2:EINVAL", "O_TMPFILE:EOPNOTSUPP", "/proc:ENOENT"),
        *("sendfile:ENOSYS", "holes:absent", "locks:ENOLCK"),
    ),
    ("linux:absent", "renameat2:absent", "/proc:ENOENT", "sendfile:absent", "locks:EOPNOTSUPP"),
)
UNUSED = {"sendfile"}
"""What a build does not ask for; `compos serve` does."""

Outputs = dict[str, bytes]


def built(folder: Path, *missing: str) -> list[Outputs]:
    """The outputs of a first build, and of a second one of other YAML over them."""
    world = filled(World(folder))
    world.image("acme/app:1", [[Member("bin/app", mode=0o755, content=LARGE)]])
    out = folder / "out"
    out.mkdir()
    results = []
    for text in ("hello", "goodbye"):
        (folder / "os.yml").write_text(YAML.replace("hello", text))
        command = [sys.executable, "-m", "tests.missing", *missing, "--", "build"]
        options = [*world.flags, "--format", FORMATS]
        done = subprocess.run(
            [*command, *options, "--dir", str(out), str(folder / "os.yml")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        needed = {name.partition(":")[0] for name in missing if not name.endswith(":absent")}
        if "/proc:ENOENT" in missing:
            needed.discard("O_TMPFILE")  # such a file gets its name through /proc
        asked = set(done.stderr.rpartition("asked:")[2].split())
        assert needed - UNUSED - asked <= ({"renameat2"} if text == "hello" else set())
        results.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert results[0] != results[1]
    return results


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> list[Outputs]:
    return built(tmp_path_factory.mktemp("usual"))


@pytest.mark.slow
@pytest.mark.parametrize("missing", [*((one,) for one in ALONE), *TOGETHER], ids=" ".join)
def test_the_same_bytes_come_out(
    tmp_path: Path, usual: list[Outputs], missing: tuple[str, ...]
) -> None:
    for found, expected in zip(built(tmp_path, *missing), usual, strict=True):
        assert sorted(found) == sorted(expected)
        assert [name for name in found if found[name] != expected[name]] == []
