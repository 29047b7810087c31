"""`make bench`: how long builds take beside `cp` of their outputs and beside the C tools, and how
much memory.

Writes docs/benchmarks.md. Cases and yardsticks take turns, so that a noisy machine is noisy for
both; ratios count. `python bench/build.py CASE...` runs some of the cases and prints them only.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from workload import SMALL, large_system, many_services, registry, small_image  # noqa: E402

from compos.config.images import image_references  # noqa: E402
from compos.config.load import load  # noqa: E402
from compos.image.reference import Reference  # noqa: E402
from compos.image.store import Store, default_root  # noqa: E402

COMPOS = [sys.executable, "-m", "compos"]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPATH": str(ROOT / "src"),
}
ROUNDS = 7
WEB = (ROOT / "examples/web.yml").read_text().replace("  modules: auto\n", "", 1)
"""With all kernel modules, as LinuxKit's systems have them: three times as much to compress."""
DISKS = (
    "raw",
    "qcow2",
    "raw-bios",
    "raw-efi",
    "iso",
    "iso-bios",
    "iso-efi",
    "vhd",
    "vmdk",
    "vhdx",
    "gcp",
    "ova",
    "uki",
)
YARDSTICKS = {"zstd": "zstd -q -3 -T2", "gzip": "pigz -6 -p2"}
"""What the C tools compress with, beside a build with `--compress`."""
MADE = ("result", "image")
"""Derived results that describe or hold outputs."""


class Row(NamedTuple):
    """A case: seconds of each round, its yardstick's, the yardstick's name, peak memory in MiB,
    bytes written."""

    case: str
    own: list[float]
    other: list[float]
    yardstick: str
    peak: float
    size: int

    def text(self) -> str:
        """The row as Markdown."""
        ratios = sorted(own / other for own, other in zip(self.own, self.other, strict=True))
        spread = f"{ratios[0]:.1f} to {ratios[-1]:.1f}" if len(ratios) > 1 else ""
        return (
            f"| {self.case} | {statistics.median(self.own):.3f} s | {self.yardstick} "
            f"{statistics.median(self.other):.3f} s "
            f"| {statistics.median(ratios):.1f} | {spread} | {self.peak:.0f} | "
            f"{self.size / 1e6:.1f} |"
        )


class Bench:
    """A folder to work in, and the store of whoever runs this: the bricks are there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(default_root())
        self.out = folder / "out"
        self.copy = folder / "copy"
        self.source = folder / "web.yml"
        self.anew()

    def run(self, *arguments: str) -> tuple[float, float]:
        """Seconds and MiB of one compos."""
        os.sync()  # what others have written is not paid for here
        started = time.perf_counter()
        child = subprocess.Popen([*COMPOS, *arguments], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if status:
            sys.exit(f"error: compos {' '.join(arguments)} failed")
        return time.perf_counter() - started, usage.ru_maxrss / 1024

    def build(self, text: str, *options: str) -> tuple[float, float]:
        """One build of this YAML."""
        self.source.write_text(text)
        return self.run("build", "-q", *options, "--dir", str(self.out), str(self.source))

    def cp(self) -> float:
        """The yardstick: `cp` of the outputs over an earlier copy, as a build writes over an
        earlier one."""
        os.sync()
        started = time.perf_counter()
        subprocess.run(["cp", "--", *self.outputs(), str(self.copy)], check=True)
        return time.perf_counter() - started

    def outputs(self) -> list[str]:
        """What the last build wrote."""
        return [str(path) for path in sorted(self.out.iterdir())]

    def anew(self) -> None:
        """Forget the outputs."""
        for folder in (self.out, self.copy):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()

    def repeated(
        self,
        case: str,
        make: Callable[[int], tuple[str, tuple[str, ...]]],
        first: str,
        *options: str,
        rounds: int = ROUNDS,
    ) -> Row:
        """`case` after a build of `first`; `make` gives YAML and options for each round, and is not
        measured."""
        self.anew()
        self.build(first, *options)
        self.cp()
        own, other, peak = [], [], 0.0
        for number in range(rounds):
            text, more = make(number)
            other.append(self.cp())
            seconds, used = self.build(text, *options, *more)
            own.append(seconds)
            peak = max(peak, used)
        size = sum(Path(path).stat().st_size for path in self.outputs())
        return Row(case, own, other, "cp", peak, size)

    def forget(self, *kinds: str) -> None:
        """Delete derived results."""
        for kind in kinds:
            shutil.rmtree(self.store.root / "derived" / kind, ignore_errors=True)


def unchanged(text: str, _: int) -> tuple[str, tuple[str, ...]]:
    """The same YAML in every round."""
    return text, ()


def web_with_small() -> str:
    """The web example and one small image more."""
    return WEB.replace("services:\n", f"services:\n  - {{name: small, image: '{SMALL}'}}\n", 1)


def changes(bench: Bench) -> Iterator[Row]:
    """Nothing, one file, the command line, one image."""
    stamp = f"{os.getpid()} {time.time()}"

    def file_changed(number: int) -> tuple[str, tuple[str, ...]]:
        entry = f"  - {{path: etc/bench, contents: '{stamp} {number}', mode: '0644'}}"
        return f"{WEB}\n{entry}\n", ()

    def image_changed(number: int) -> tuple[str, tuple[str, ...]]:
        small_image(bench.store, int(time.time()) * 100 + number)
        return web_with_small(), ()

    small_image(bench.store, 0)

    def line_changed(number: int) -> tuple[str, tuple[str, ...]]:
        return WEB.replace("tty0 ", f"tty0 bench={os.getpid()}.{number} "), ()

    yield bench.repeated("nothing changed", partial(unchanged, WEB), WEB)
    yield bench.repeated("nothing changed, `--force`", partial(unchanged, WEB), WEB, "--force")
    yield bench.repeated("one byte in one `files` entry", file_changed, WEB)
    yield bench.repeated("command line", line_changed, WEB)
    yield bench.repeated("one small image of twelve", image_changed, web_with_small())
    yield bench.repeated("`tar`, nothing changed", partial(unchanged, WEB), WEB, "-f", "tar")
    yield bench.repeated(
        "`kernel+squashfs`, nothing changed", partial(unchanged, WEB), WEB, "-f", "kernel+squashfs"
    )


def tar_anew(bench: Bench) -> Iterator[Row]:
    """`tar` when its description has to be made."""

    def forgotten(_: int) -> tuple[str, tuple[str, ...]]:
        bench.forget("result")
        return WEB, ()

    yield bench.repeated("`tar`, rebuilt", forgotten, WEB, "-f", "tar", "--force")


def disks(bench: Bench) -> Iterator[Row]:
    """What each disk format adds to a run that makes kernel and initrd anyway; and all that go
    together in one run."""
    for name in DISKS:
        bench.anew()
        bench.build(WEB, "-f", name)
        bench.cp()
        own, other, peak = [], [], 0.0
        size = sum(Path(path).stat().st_size for path in bench.outputs())
        for _ in range(ROUNDS):
            other.append(bench.cp())
            bench.forget(*MADE)
            without, _peak = bench.build(WEB, "--force")
            bench.forget(*MADE)
            for path in bench.out.glob("web-[kic]*"):
                path.unlink()
            seconds, used = bench.build(WEB, "-f", f"kernel+initrd,{name}", "--force")
            own.append(seconds - without)
            peak = max(peak, used)
            for path in bench.out.glob("web-[kic]*"):
                path.unlink()
        yield Row(f"`{name}` with kernel+initrd, added", own, other, "cp", peak, size)

    def forgotten(_: int) -> tuple[str, tuple[str, ...]]:
        bench.forget(*MADE)
        return WEB, ()

    every = ",".join(
        ("kernel+initrd", *(name for name in DISKS if name not in ("iso-bios", "iso-efi")))
    )
    yield bench.repeated(
        "all of these in one run", forgotten, WEB, "-f", every, "--force", rounds=3
    )
    yield bench.repeated(
        "all of these, nothing changed", partial(unchanged, WEB), WEB, "-f", every, rounds=3
    )


def timed(*command: str, stdout: int | None = subprocess.DEVNULL) -> float:
    """Seconds that a shell takes for `command`."""
    started = time.perf_counter()
    subprocess.run(["bash", "-o", "pipefail", "-c", *command], check=True, stdout=stdout)
    return time.perf_counter() - started


def cold(bench: Bench) -> Iterator[Row]:
    """Into an empty store from a registry on loopback, beside the C tools: skopeo copy, gzip -d and
    zstd -3 or pigz -6, two at a time."""
    bench.anew()
    bench.build(WEB)
    names = [
        str(Reference.parse(name))
        for name in dict.fromkeys(image_references(load([str(bench.source)])))
    ]
    with registry(bench.folder, bench.store.root, names) as host:
        paths = "\n".join(name.partition("/")[2] for name in names)
        (bench.folder / "names").write_text(paths + "\n")
        for compression in YARDSTICKS:
            yield _cold(bench, host, compression)


def _cold(bench: Bench, host: str, compression: str) -> Row:
    own, other, peak = [], [], 0.0
    tools = bench.folder / "tools"
    for _ in range(3):
        shutil.rmtree(tools, ignore_errors=True)
        tools.mkdir()
        other.append(
            timed(
                f"cd {tools}; xargs -P2 -I@ sh -c 'skopeo copy -q --src-tls-verify=false "
                f"docker://{host}/@ "
                f"dir:$(echo @ | tr / _)' < {bench.folder}/names; "
                "find . -type f -size +4k | xargs -P2 -I@ sh -c 'gzip -dcf @ > @.tar'; cat "
                f"*/*.tar | {YARDSTICKS[compression]} > out"
            )
        )
        shutil.rmtree(bench.folder / "cold", ignore_errors=True)
        mirror = ("--cache", str(bench.folder / "cold"), "--bricks", f"{host}/compos")
        seconds, used = bench.build(WEB, *mirror, "--compress", compression, "--force")
        own.append(seconds)
        peak = max(peak, used)
    size = sum(Path(path).stat().st_size for path in bench.outputs())
    case = "cold, registry on loopback"
    if compression != "zstd":
        case += f", `--compress {compression}`"
    program = YARDSTICKS[compression].split()[0]
    return Row(case, own, other, f"skopeo, gzip -d, {program}", peak, size)


def start(bench: Bench) -> Iterator[Row]:
    """The interpreter alone, `--version` and `--help`."""
    for option in ("--version", "--help"):
        own, other, peak = [], [], 0.0
        bench.run(option)
        for _ in range(ROUNDS):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", "pass"], check=True)
            other.append(time.perf_counter() - started)
            seconds, used = bench.run(option)
            own.append(seconds)
            peak = max(peak, used)
        yield Row(f"`{option}`", own, other, "python -c pass", peak, 0)


def large(bench: Bench) -> Iterator[Row]:
    """2 GB in 100,000 files."""
    text = large_system(bench.store)

    def file_changed(number: int) -> tuple[str, tuple[str, ...]]:
        return f"{text}files:\n  - {{path: etc/x, contents: '{os.getpid()} {number}'}}\n", ()

    yield bench.repeated(
        "2 GB, 100,000 files: nothing changed", partial(unchanged, text), text, rounds=3
    )
    yield bench.repeated("2 GB, 100,000 files: one file", file_changed, text, rounds=3)


def curve(bench: Bench) -> Iterator[Row]:
    """What a service more costs."""
    small_image(bench.store, 0)
    for count in (1, 10, 100, 1000):
        text = many_services(count)

        def file_changed(text: str, number: int) -> tuple[str, tuple[str, ...]]:
            return f"{text}files:\n  - {{path: etc/x, contents: '{os.getpid()} {number}'}}\n", ()

        yield bench.repeated(
            f"{count:,} services: nothing changed", partial(unchanged, text), text, rounds=5
        )
        yield bench.repeated(
            f"{count:,} services: one file", partial(file_changed, text), text, rounds=3
        )


def sizes(bench: Bench) -> str:
    """The initrd beside gzip -6 of the same archive, which LinuxKit makes."""
    sizes = {}
    for name in ("none", "gzip", "zstd", "max"):
        bench.anew()
        bench.build(WEB, "--compress", name)
        image = bench.out / "web-initrd.img"
        sizes[name] = image.stat().st_size
        if name == "none":
            for tool in ("gzip -6", "zstd -3 -T2", "zstd -9 -T2"):
                timed(f"{tool} -c {image} > {bench.folder}/packed")
                sizes[tool] = (bench.folder / "packed").stat().st_size
    lines = ["| initrd of the web example | MB | ratio to gzip -6 |", "|---|---|---|"]
    lines += [
        f"| {name} | {size / 1e6:.1f} | {size / sizes['gzip -6']:.2f} |"
        for name, size in sizes.items()
    ]
    return "\n".join(lines) + "\n"


HEAD = """\
# Benchmarks

Written by `make bench` (`bench/build.py`). {cpus} CPUs ({machine}), Python {python}, {system}.
Compare the ratios, because the machine is not idle. Each case alternates with its yardstick; ratios
are medians, and "spread" is the lowest and highest of all rounds. The web example is
`examples/web.yml` with all kernel modules: eleven images, 258 MB. MiB is the peak memory of the
process, MB the size of the outputs.

For comparison, LinuxKit's own tool on the web example, on another machine: nothing changed 3.86 s
(58 times `cp`, 537 MiB), `tar` 2.30 s (379 MiB), cold 5.0 s.

| case | time | yardstick | ratio | spread | MiB | MB |
|---|---|---|---|---|---|---|
"""

CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "start": start,
    "changes": changes,
    "tar": tar_anew,
    "disks": disks,
    "cold": cold,
    "large": large,
    "curve": curve,
}


def main(*wanted: str) -> None:
    """Run the cases, and write the page when all were wanted."""
    lines = []
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        bench = Bench(Path(folder))
        for name, case in CASES.items():
            if wanted and name not in wanted:
                continue
            for row in case(bench):
                lines.append(row.text())
                print(lines[-1], flush=True)
        sizes_table = sizes(bench) if not wanted or "sizes" in wanted else ""
        print(sizes_table)
    if not wanted:
        head = HEAD.format(
            cpus=os.cpu_count(),
            machine=platform.machine(),
            python=platform.python_version(),
            system=platform.system(),
        )
        (ROOT / "docs/benchmarks.md").write_text(head + "\n".join(lines) + "\n\n" + sizes_table)


if __name__ == "__main__":
    main(*sys.argv[1:])
