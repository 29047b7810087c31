"""What is recorded: each brick on a disk of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from tests.boot.power.host import attached, brick, mounted, run, trees

__all__ = ["ENCRYPTIONS", "EXTENSIONS", "FORMATS", "Scenario", "blank", "with_data"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`options` go to the brick's program, before the disk; sizes are in MiB. What is extended is
    `maker`'s: `format`, or sfdisk, which leaves less room before the first partition. What is
    encrypted was blank, or `unused`: an ext4 without files."""

    name: str
    kind: str
    table: str
    size: int
    options: tuple[str, ...] = ()
    grown: int = 0
    mounted: bool = False
    maker: str = "format"
    unused: bool = False

    @property
    def script(self) -> str:
        """What the guest does to disk `$n`, whose node is `$disk`."""
        if self in ENCRYPTIONS:
            # Not before all that mkfs has put off is on its way.
            return f"brick $n crypto {' '.join(self.options)} c$n $disk; sleep 6\n"
        program = "extend" if self.grown else "format"
        line = f"brick $n {program} {' '.join(self.options)} $disk\n"
        return WRITING.format(line) if self.mounted else line


# Somebody writes files while it grows, and after that.
WRITING = """
brick $n mountie -device ${{disk}}1 /mnt/$n
(
    i=0
    while sleep 0.05; do
        i=$((i + 1))
        head -c 50000 /dev/urandom > $mountie/mnt/$n/new$i
    done
) &
writer=$!
sleep 1
{}
sleep 1
kill $writer
wait $writer
sync
"""


def _format(kind: str, table: str, size: int) -> Scenario:
    options = ("-type", kind, "-partition", table, "-label", "data")
    return Scenario(f"format-{kind}-{table}", kind, table, size, options)


FORMATS: tuple[Scenario, ...] = (
    _format("ext4", "dos", 128),
    _format("ext4", "gpt", 128),
    _format("xfs", "gpt", 320),
    _format("btrfs", "dos", 160),
    _format("btrfs", "gpt", 160),
)

EXTENSIONS: tuple[Scenario, ...] = (
    Scenario("extend-ext4-dos", "ext4", "dos", 128, grown=400),
    Scenario("extend-ext4-gpt", "ext4", "gpt", 128, grown=400),
    Scenario("extend-ext4-gpt-mounted", "ext4", "gpt", 128, grown=400, mounted=True),
    Scenario("extend-ext4-gpt-sfdisk", "ext4", "gpt", 128, grown=400, maker="sfdisk"),
    Scenario("extend-xfs-gpt", "xfs", "gpt", 320, grown=640),
    Scenario("extend-xfs-dos-mounted", "xfs", "dos", 320, grown=640, mounted=True),
    Scenario("extend-btrfs-gpt", "btrfs", "gpt", 160, grown=400),
    Scenario("extend-btrfs-dos-mounted", "btrfs", "dos", 160, grown=400, mounted=True),
)

ENCRYPTIONS: tuple[Scenario, ...] = (
    Scenario("crypt-plain", "ext4", "", 64),
    Scenario("crypt-luks", "ext4", "", 64, ("-l",)),
    Scenario("crypt-plain-unused", "ext4", "", 64, unused=True),
    Scenario("crypt-luks-unused", "ext4", "", 64, ("-l",), unused=True),
)


def blank(path: Path, mib: int) -> Path:
    with path.open("wb") as image:
        image.truncate(mib << 20)
    return path


MAKERS = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
}


def with_data(scenario: Scenario, image: Path, point: Path) -> dict[str, str]:
    """A disk of `scenario.size` with a file system that holds files, then made larger; returns the
    digests of the files."""
    blank(image, scenario.size)
    if scenario.maker == "sfdisk":
        table = point.with_suffix(".table")
        table.write_text(f"label: {scenario.table}\ntype=linux\n")
        answer = run("sh", "-c", f"sfdisk -q {image} < {table}")
        assert answer.status == 0, answer.text
    with attached(image) as disk:
        if scenario.maker == "sfdisk":
            answer = run(*MAKERS[scenario.kind], f"{disk}p1")
        else:
            answer = brick("format", "-type", scenario.kind, "-partition", scenario.table, disk)
        assert answer.status == 0, answer.text
        with mounted(f"{disk}p1", point):
            _fill(point)
            kept = trees(point)
    with image.open("r+b") as stream:
        stream.truncate(scenario.grown << 20)
    return kept


def _fill(folder: Path) -> None:
    """Files of many sizes: 8 MiB together."""
    draw = random.Random(14)
    for number in range(60):
        path = folder / f"kept{number % 7}" / f"file{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(draw.randbytes(draw.choice([0, 10, 5000, 60000, 400000])))
