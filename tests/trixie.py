"""Programs of Debian 13 that run here without being installed: oracles that the host's Debian has
not, or not as new."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from compos.cli.main import main

__all__ = ["loader", "unpacked"]

STORE = Path(__file__).resolve().parents[1] / "build" / "test-store"


def unpacked(folder: Path, name: str, packages: Sequence[str], keep: Sequence[str]) -> Path:
    """A folder with the files `keep` of Debian 13's `packages` and what these depend on."""
    package, target = folder / f"{name}-package", folder / name
    package.mkdir()
    target.mkdir()
    (package / "build.yml").write_text(
        f"image: {name}\norg: test\ntag: v1\n"
        f"debian: {json.dumps({'packages': [*packages], 'keep': [*keep]})}\n"
    )
    store = ("--cache", str(STORE))
    archive = package / "files.tar"
    assert main(["pkg", "build", *store, str(package)]) == 0
    image = f"test/{name}:v1"
    export = ("--format", "filesystem", "--outfile", str(archive), image)
    assert main(["cache", "export", *store, *export]) == 0
    assert main(["cache", "rm", *store, image]) == 0
    subprocess.run(["tar", "-xf", archive, "-C", target], check=True)
    archive.unlink()
    return target


def loader(root: Path) -> list[str]:
    """What starts a program of `root` with the libraries there, not the host's."""
    libraries = [root / "usr/lib/x86_64-linux-gnu", root / "usr/lib/x86_64-linux-gnu/systemd"]
    return [
        str(root / "usr/lib64/ld-linux-x86-64.so.2"),
        *("--library-path", ":".join(map(str, libraries))),
    ]
