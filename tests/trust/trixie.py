"""Programs that only a newer Debian has, or has whole: their packages, unpacked. They run with the
libraries that come along."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

from compos.cli.main import main

__all__ = ["program"]

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "image: {0}\norg: test\ntag: v1\ndebian: {{packages: [{0}], keep: [usr/bin/{0}]}}\n"


def program(name: str) -> list[str]:
    """The command that runs a program, unpacked once for a checkout: cosign has 70 MB."""
    target = ROOT / "build" / "trixie" / name
    target.mkdir(parents=True, exist_ok=True)
    # One worker would remove the image that another exports.
    with (target.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        binary = target / "usr" / "bin" / name
        if not binary.exists():
            _unpack(name, target)
    for loader in target.glob("usr/lib/*/ld-linux-*.so.*"):
        return [str(loader), "--library-path", str(loader.parent), str(binary)]
    return [str(binary)]


def _unpack(name: str, target: Path) -> None:
    (target / "build.yml").write_text(RECIPE.format(name))
    store = ("--cache", str(ROOT / "build" / "test-store"))
    archive = target / "files.tar"
    assert main(["pkg", "build", *store, str(target)]) == 0
    export = ("--format", "filesystem", "--outfile", str(archive), f"test/{name}:v1")
    assert main(["cache", "export", *store, *export]) == 0
    assert main(["cache", "rm", *store, f"test/{name}:v1"]) == 0
    subprocess.run(["tar", "-xf", archive, "-C", target], check=True)
    archive.unlink()
