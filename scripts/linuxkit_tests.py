"""`make linuxkit-tests LINUXKIT=FOLDER`: builds the YAML of the test cases of a checkout of
LinuxKit with their text untouched, boots them, and writes docs/linuxkit-tests.md.

Each case is judged more strictly than by its own script (`linuxkit_judges`). May touch:
build/linuxkit-store, which needs the Debian mirror, and build/linuxkit-tests. With names,
`python -m scripts.linuxkit_tests FOLDER NAME…` tries these only and leaves other rows as they are.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.linuxkit_cases import CASES, Case  # noqa: E402
from scripts.linuxkit_examples import NOT_NOW  # noqa: E402
from scripts.linuxkit_judges import Judge  # noqa: E402

__all__ = ["PAGE", "main", "row"]

PAGE = ROOT / "docs" / "linuxkit-tests.md"
WORK = ROOT / "build" / "linuxkit-tests"

HEAD = """\
# LinuxKit's test cases

LinuxKit has {total} test cases (`test/cases`). This table says of each what it looks for, and
which of our tests shows the same. The last column is another test: the case's own YAML, its text
untouched, built with `--bricks-for linuxkit` and booted in QEMU without hardware acceleration until
the containers in it have said that they passed; of those that only build, the files are looked at,
and of packages with a Dockerfile, which buildah builds on a base image of Debian's BusyBox, the
image. Written by `make linuxkit-tests LINUXKIT=FOLDER`, FOLDER being a checkout of LinuxKit; its
files are no part of compos.

Success is judged more strictly than by LinuxKit's scripts, for which one container that prints
`suite PASSED` is enough: here each has to, none may print `FAILED`, and the system must power
itself off. As with the [examples](linuxkit-examples.md), LinuxKit's packages are our bricks, and
busybox and nginx from Debian have the names of alpine and nginx.

| case | looks for | shown here by | its own YAML |
|---|---|---|---|
"""


def shown(case: Case) -> str:
    """Our tests, as links."""
    links = []
    for test in case.shown:
        file, _, name = test.partition("::")
        links.append(f"[{name}](../tests/{file})")
    return ", ".join(links) or "nothing"


def title(case: Case) -> str:
    """Its name, and how many cases it is."""
    return case.name if case.cases == 1 else f"{case.name} ({case.cases})"


def judged(case: Case, judge: Judge, cases: Path) -> str:
    """What has become of its YAML."""
    folder = cases / case.name.removesuffix("/…")
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    os.chdir(folder)  # to which its YAML names files
    missing = judge(folder, WORK)
    return f"**fails**: {missing}" if missing else "passes"


def row(case: Case, last: str) -> str:
    """The case's line of the page."""
    return f"| {title(case)} | {case.looks_for} | {shown(case)} | {last} |"


def main(checkout: Path, names: list[str]) -> None:
    """Try `names`, or all, and write the page."""
    os.environ.setdefault("COMPOS_CACHE", str(ROOT / "build" / "linuxkit-store"))
    cases = checkout.resolve() / "test/cases"
    said = {}
    if names and PAGE.exists():
        for line in PAGE.read_text().splitlines():
            cells = line.split(" | ")
            said[cells[0].removeprefix("| ")] = cells[-1].removesuffix(" |")
    said.update({title(case): f"not run: {case.why}" for case in CASES if case.judge is None})
    for case in CASES:
        if case.judge and (not names or case.name in names):
            said[title(case)] = judged(case, case.judge, cases)
            print(title(case), said[title(case)], flush=True)
        rows = [row(one, said.get(title(one), NOT_NOW)) for one in CASES]
        head = HEAD.format(total=sum(one.cases for one in CASES))
        PAGE.write_text(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
