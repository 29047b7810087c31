"""`make bench`: build times of examples/web.yml as ratios to `cp` of the outputs, sizes, and peak memory, in one run.

Cases: nothing changed; one file changed; derived results deleted; cold, from a docker-registry on loopback into an empty
store. The repeated ones are interleaved with their yardstick. Writes docs/benchmarks.md.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
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


def build(out: Path, source: Path, *options: str) -> int:
    """One build; returns the peak memory in KiB."""
    child = subprocess.Popen([*COMPOS, "build", "-q", *options, "--dir", str(out), str(source)])
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit("error: the build failed")
    return usage.ru_maxrss


def cold(folder: Path, out: Path, source: Path) -> tuple[float, int]:
    """Seconds and KiB of a build that pulls everything from a registry on loopback."""
    from compos.config.images import image_references
    from compos.config.load import load
    from compos.image.push import push
    from compos.image.reference import Reference
    from compos.image.registry import Registry
    from compos.image.store import Store, default_root

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": host, "secret": "bench"},
    }
    (folder / "registry.yml").write_text(json.dumps(settings))
    server = subprocess.Popen(["docker-registry", "serve", str(folder / "registry.yml")], stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        for name in dict.fromkeys(image_references(load([str(source)]))):
            reference = Reference.parse(name)
            push(
                Store(default_root()),
                str(reference),
                registry=Registry(),
                target=f"{host}/{reference.path}:{reference.tag}",
            )
        started = time.perf_counter()
        peak = build(out, source, "--cache", str(folder / "cold"), "--mirror", f"docker.io=http://{host}")
        return time.perf_counter() - started, peak
    finally:
        server.terminate()
        server.wait()


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
        yardstick = timed(lambda: copy(out, to))
        seconds, peaks["cold, loopback registry"] = cold(Path(folder), out, source)
        rows["cold, loopback registry"] = [(seconds, yardstick)]
        bare = statistics.median(
            timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)) for _ in range(9)
        )
        report(out, rows, peaks, bare)


def report(out: Path, rows: dict[str, list[tuple[float, float]]], peaks: dict[str, int], bare: float) -> None:
    """Print the tables and write them to docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench` (`bench/build.py`): the web example with all kernel modules. Compare ratios, not seconds.",
        f"{os.cpu_count()} CPUs, Python {platform.python_version()}; `python -c pass` took {bare:.3f} s.",
        "",
        "| case | seconds | `cp` of the outputs | ratio | peak MiB |",
        "|---|---|---|---|---|",
    ]
    for case, times in rows.items():
        seconds = statistics.median(own for own, _ in times)
        cp = statistics.median(other for _, other in times)
        lines.append(f"| {case} | {seconds:.3f} | {cp:.3f} | {seconds / cp:.1f} | {peaks[case] / 1024:.0f} |")
    lines += ["", "| output | MB |", "|---|---|"]
    lines += [f"| `{path.name}` | {path.stat().st_size / 1e6:.1f} |" for path in sorted(out.iterdir())]
    lines += ["", "| brick (amd64) | MB, as a plain layer |", "|---|---|"]
    lines += [f"| {name} | {size / 1e6:.1f} |" for name, size in brick_sizes()]
    text = "\n".join(lines) + "\n"
    print(text)
    (ROOT / "docs/benchmarks.md").write_text(text)


def brick_sizes() -> list[tuple[str, int]]:
    """The bricks in the store and the bytes of their layers."""
    from compos.image.platform import Platform
    from compos.image.source import stored_image
    from compos.image.store import Store, default_root

    store = Store(default_root())
    sizes = []
    for entry in store.entries():
        name = entry.annotations["org.opencontainers.image.ref.name"]
        if "/compos/" in name:
            image = stored_image(store, name, entry, Platform("linux", "amd64"))
            sizes.append((name.rpartition("/")[2], sum(layer.size for layer in image.layers)))
    return sizes


if __name__ == "__main__":
    main()
