"""The power is cut while an installer writes a disk. What is left then either holds the whole
system or is known as unfinished, and the installer's next run makes it whole. Part of
`make installs`.

A guest's installer writes a recorded disk; the program looks at the disks after the cuts, and
completes them, on this machine.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.cli.main import main
from tests.boot.power.cuts import BLOCKS, Cut, Recorded
from tests.boot.power.guests import Disk, run_script, system
from tests.bricks.compiler import BRICKS

pytestmark = [pytest.mark.boot, pytest.mark.root]

MIB = 1 << 20
CUTS = 75
"""In each of four tests."""
PROGRAM = BRICKS / "installer/bin/amd64/installer"
BRICK = '  - {name: partition, image: "compos/installer:v1"}\n'
SMALL = """
kernel: {image: "compos/kernel:v1", cmdline: console=ttyS0, modules: []}
init: ["compos/init:v1"]
slots: {boot: 32m}
"""


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small system's, out of its installer."""
    folder = tmp_path_factory.mktemp("payload")
    (folder / "os.yml").write_text(SMALL)
    assert main(["build", "-f", "installer", "--dir", str(folder), str(folder / "os.yml")]) == 0
    iso = folder / "os-installer.iso"
    at = iso.read_bytes().find(b"hsqs")
    command = ["unsquashfs", "-no-progress", "-offset", str(at), "-d", str(folder / "root")]
    subprocess.run([*command, str(iso), "payload"], check=True, capture_output=True)
    return folder / "root/payload"


def blank(path: Path) -> Path:
    with path.open("wb") as stream:
        os.truncate(stream.fileno(), 128 * MIB)
    return path


def install(payload: Path, disk: Path) -> subprocess.CompletedProcess[str]:
    rules = payload.parent / "rules"
    rules.write_text("")
    options = ["-payload", str(payload), "-rules", str(rules), "-cmdline", str(rules)]
    command = [str(PROGRAM), *options, str(disk)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def record(guest: Path, payload: Path, folder: Path) -> Recorded:
    """An installation in the guest; the payload is a second disk, with its list in front."""
    parts = (payload / "parts").read_bytes()
    source = folder / "source.img"
    source.write_bytes(parts.ljust(4096, b"\0") + (payload / "data").read_bytes())
    with source.open("r+b") as stream:
        stream.truncate(-(-source.stat().st_size // MIB) * MIB)
    before = blank(folder / "before")
    disks = [Disk(blank(folder / "disk.img")), Disk(source)]
    script = f"""
    unit 1; source=$disk
    unit 0
    mkdir -p $partition/run/payload
    head -c {len(parts)} $source > $partition/run/payload/parts
    dd if=$source of=$partition/run/payload/data bs=4096 skip=1 2>&-
    : > $partition/run/rules
    said=$(chroot $partition /usr/bin/installer -payload /run/payload -rules /run/rules \\
        -cmdline /run/rules $disk 2>&1); status=$?
    echo "@ 0 installer $status" $said
    """
    result = run_script(guest, folder, disks, script, seconds=1800, memory=640)
    ((answer,),) = result.answers.values()
    assert answer.status == 0, answer
    return Recorded(before, result.servers[0].recording)


@pytest.fixture(scope="module")
def recorded(
    built: Callable[[str], Path], payload: Path, tmp_path_factory: pytest.TempPathFactory
) -> Recorded:
    return record(built(system(BRICK)), payload, tmp_path_factory.mktemp("recorded"))


@pytest.mark.parametrize("seed", range(4))
def test_every_cut_leaves_a_whole_system_or_none(
    seed: int, recorded: Recorded, payload: Path, tmp_path: Path
) -> None:
    whole = blank(tmp_path / "whole")
    assert install(payload, whole).returncode == 0
    moments = recorded.recording.moments()
    choice = random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(CUTS):
        # Most of what matters happens in the last requests.
        last = choice.choice(moments[-40:] if number % 2 else moments) if number else moments[-1]
        cut = Cut(last, choice.randrange(1 << 30) if number else None, choice.choice(BLOCKS))
        disk = tmp_path / "cut"
        recorded.make(cut, disk)
        done = install(payload, disk)
        if done.returncode:
            assert "it holds " in done.stderr, done.stderr
            counts["whole"] += 1
        else:
            counts["completed"] += 1
        assert subprocess.run(["cmp", disk, whole], check=False).returncode == 0, cut
    shutil.rmtree(tmp_path)
    print(f"power cuts of installations: {len(moments)} moments, {dict(counts)}")
    assert counts["completed"] > counts["whole"] > 0
