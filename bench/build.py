"""`make bench`: build times of examples/web.yml as ratios to `cp` of the outputs, sizes, and peak memory, in one run.

Cases: cold from a loopback registry is tests' business; here the store has the images and derived results are deleted
(cold), kept (second build), or one file changed. Every case is interleaved with its yardstick and repeated.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPOS = [sys.executable, "-m", "compos"]
ROUNDS = 7


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def build(out: Path, source: Path) -> int:
    """One build; returns the peak memory in KiB."""
    child = subprocess.Popen([*COMPOS, "build", "-q", "--dir", str(out), str(source)])
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit("error: the build failed")
    return usage.ru_maxrss


def copy(out: Path, to: Path) -> None:
    """The yardstick: `cp` of the outputs, synced as the build syncs them."""
    for path in out.iterdir():
        subprocess.run(["cp", "--", str(path), str(to)], check=True)


def main() -> None:
    """Run all cases and print a table."""
    from compos.image.store import default_root

    derived = default_root() / "derived"
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        out, to = Path(folder) / "out", Path(folder) / "copy"
        out.mkdir()
        to.mkdir()
        source = Path(folder) / "web.yml"
        text = (ROOT / "examples/web.yml").read_text()
        source.write_text(text)
        build(out, source)
        rows: dict[str, list[tuple[float, float]]] = {"nothing changed": [], "one file changed": []}
        peaks: dict[str, int] = {}
        for number in range(ROUNDS):
            for case, rows_of_case in rows.items():
                if case == "one file changed":
                    source.write_text(
                        f"{text}\n  - path: etc/bench\n    contents: '{number} {os.getpid()}'\n    mode: '0644'\n"
                    )
                else:
                    source.write_text(text)
                    build(out, source)
                yardstick = timed(lambda: copy(out, to))
                started = time.perf_counter()
                peaks[case] = max(peaks.get(case, 0), build(out, source))
                rows_of_case.append((time.perf_counter() - started, yardstick))
        source.write_text(text)
        for kind in ("result", "segment", "tree", "layer-index", "kernel-tar"):
            shutil.rmtree(derived / kind, ignore_errors=True)
        yardstick = timed(lambda: copy(out, to))
        started = time.perf_counter()
        peaks["derived results deleted"] = build(out, source)
        rows["derived results deleted"] = [(time.perf_counter() - started, yardstick)]
        bare = statistics.median(
            timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)) for _ in range(9)
        )
        print(f"python -c pass: {bare:.3f} s")
        for path in sorted(out.iterdir()):
            print(f"{path.name:<24}{path.stat().st_size / 1e6:10.1f} MB")
        print(f"{'case':<26}{'seconds':>9}{'cp':>8}{'ratio':>8}{'peak MiB':>10}")
        for case, times in rows.items():
            seconds = statistics.median(own for own, _ in times)
            cp = statistics.median(other for _, other in times)
            print(f"{case:<26}{seconds:9.3f}{cp:8.3f}{seconds / cp:8.1f}{peaks[case] / 1024:10.1f}")


if __name__ == "__main__":
    main()
