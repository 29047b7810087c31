"""The build hook: the same sources give the same program in any folder, and an up-to-date one is
left alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hatch_build import PROGRAMS
from tests.bricks.compiler import DRIVERS, SOURCES

ROOT = Path(__file__).resolve().parents[2]
BUILT = shutil.ignore_patterns("*.bin", "*.stamp")


def copied(folder: Path) -> Path:
    """The hook and the sources alone, in a folder of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "hatch_build.py", folder)
    for part in sorted({part for parts in PROGRAMS.values() for part in parts}):
        shutil.copytree(ROOT / "bricks" / part, folder / "bricks" / part, dirs_exist_ok=True)
    shutil.copytree(
        ROOT / "src/compos/boot/loader", folder / "src/compos/boot/loader", ignore=BUILT
    )
    return folder


def build(folder: Path, *architectures: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "hatch_build.py"), *architectures]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


@pytest.mark.wide
@pytest.mark.slow
def test_any_folder_gives_the_same_static_program(tmp_path: Path) -> None:
    programs = []
    for name in ("a", "much/longer/b"):
        folder = copied(tmp_path / name)
        done = build(folder, "amd64")
        assert done.returncode == 0, done.stderr
        program = folder / "bricks/init/bin/amd64/init"
        assert done.stdout.splitlines() == [
            f"{folder}/bricks/{brick}/bin/amd64/{brick}" for brick in PROGRAMS
        ]
        programs.append(program.read_bytes())
    assert programs[0] == programs[1]
    assert str(tmp_path).encode() not in programs[0]
    assert programs[0][:4] == b"\x7fELF"
    # A static program has no interpreter; the limit is what PID 1 may weigh.
    assert b"ld-musl" not in programs[0]
    assert len(programs[0]) < 255_000  # 7 of them are the channel for commands, 21 slots
    loaders = [
        (tmp_path / name / "src/compos/boot/loader/loader.bin").read_bytes()
        for name in ("a", "much/longer/b")
    ]
    assert loaders[0] == loaders[1]
    assert len(loaders[0]) == 2048, "what El Torito loads at once"
    assert len((tmp_path / "a/src/compos/boot/loader/mbr.bin").read_bytes()) == 440, (
        "the rest of the sector is the disk's"
    )


@pytest.mark.slow
def test_only_changed_sources_are_compiled(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    program = folder / "bricks/init/bin/amd64/init"
    assert build(folder, "amd64").returncode == 0
    program.write_bytes(b"as it was")
    assert build(folder, "amd64").returncode == 0
    assert program.read_bytes() == b"as it was"
    with (folder / "bricks/init/src/main.c").open("a") as source:
        source.write("#error changed\n")
    failed = build(folder, "amd64")
    assert failed.returncode != 0
    assert "changed" in failed.stderr
    assert [path.name for path in sorted(program.parent.iterdir())] == ["init", "init.stamp"]


@pytest.mark.slow
def test_an_optimizing_compiler_has_nothing_to_say() -> None:
    """Of what may be used before it is set, above all; the programs of other tests are not
    optimized."""
    warnings = ("-Wall", "-Wextra", "-Wshadow", "-Werror")
    command = ["gcc", "-std=c11", "-D_GNU_SOURCE=", "-O1", *warnings, f"-I{SOURCES}"]
    for source in (*SOURCES.rglob("*.c"), *(DRIVERS / "init").glob("*.c")):
        done = subprocess.run(
            [*command, "-c", "-o", "/dev/null", str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    done = build(copied(tmp_path), "vax")
    assert done.returncode == 1
    assert "vax: not one of amd64, arm64, riscv64" in done.stderr
