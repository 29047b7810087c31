"""What an update sends: `examples/web.yml`, and the same with one line of a service changed.

Both versions are built as bundles, and RAUC extracts them. A machine has the blocks of the old
images in its slots, so it fetches the digests of all blocks and the blocks that it has not got
(RAUC's adaptive method `block-hash-index`). The bundle's own metadata comes on top: some 100 kB.

    python bench/update.py [--cache DIR]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from compos.api.keys import new_keys
from compos.cli.main import main as compos

ROOT = Path(__file__).resolve().parent.parent
BLOCK = 4096
DIGEST = 32
UPDATE = "update: {{compatible: web, version: {}}}\n"


class Images(NamedTuple):
    """The images of a bundle, whose size is in bytes."""

    bundle: int
    images: tuple[bytes, ...]


def main() -> int:
    """Print the figures of each change."""
    parser = argparse.ArgumentParser(description="What an update sends.")
    parser.add_argument("--cache", help="folder of the store", default=ROOT / "build/test-store")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        new_keys(folder / "keys")
        text = (ROOT / "examples" / "web.yml").read_text()
        old = _built(folder, options.cache, "1.0.0", text)
        for change, changed in _changes(folder, text):
            new = _built(folder, options.cache, "1.0.1", changed)
            print(f"{change}: {_figures(old, new)}")
    return 0


def _changes(folder: Path, text: str) -> Iterator[tuple[str, str]]:
    line = 'command: ["/bin/echo", "so long and thanks for all the fish"]'
    assert line in text
    yield "a container's command", text.replace(line, 'command: ["/bin/echo", "good night"]')
    page = "<h1>Hello from a Linux composed of containers</h1>"
    assert page in text
    yield "a line of the page", text.replace(page, "<h1>Hello again</h1>")
    brick = folder / "nginx"
    shutil.copytree(ROOT / "bricks" / "nginx", brick)
    settings = brick / "default.conf"
    settings.write_text(settings.read_text().replace("index.html", "index.html index.htm"))
    (brick / "build.yml").write_text((brick / "build.yml").read_text().replace("tag: v1", "tag: b"))
    yield "a line in nginx's image", text.replace("compos/nginx:v1", "./nginx")


def _built(folder: Path, cache: str | Path, version: str, text: str) -> Images:
    system = folder / "web.yml"
    system.write_text(text + UPDATE.format(version))
    flags = ["--cache", str(cache), "--dir", str(folder), "--keys", str(folder / "keys")]
    flags += ["--root", "erofs-verity-appended", "-f", "update"]
    assert compos(["build", *flags, str(system)]) == 0
    bundle, out = folder / "web.raucb", folder / "extracted"
    shutil.rmtree(out, ignore_errors=True)
    line: list[str | Path] = ["rauc", "extract", "--keyring"]
    line += [folder / "keys" / "update.crt", bundle, out]
    subprocess.run(line, check=True, capture_output=True)
    images = tuple(path.read_bytes() for path in sorted(out.glob("*.img")))
    return Images(bundle.stat().st_size, images)


def _blocks(image: bytes) -> Iterator[bytes]:
    return (image[at : at + BLOCK] for at in range(0, len(image), BLOCK))


def _figures(old: Images, new: Images) -> str:
    known = {block for image in old.images for block in _blocks(image)}
    size = sum(map(len, new.images))
    missing = {block for image in new.images for block in _blocks(image)} - known
    digests = size // BLOCK * DIGEST
    sent = digests + len(missing) * BLOCK
    return (
        f"{len(missing)} of {size // BLOCK:,} blocks; {sent / 1e6:.2f} MB with the digests, "
        f"{sent / size:.2%} of the images ({size / 1e6:.1f} MB), "
        f"{sent / new.bundle:.2%} of the bundle ({new.bundle / 1e6:.1f} MB)"
    )


if __name__ == "__main__":
    raise SystemExit(main())
