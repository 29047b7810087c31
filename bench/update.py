"""What an update sends, writes and takes: `make bench-update` writes docs/benchmarks-updates.md.

First `examples/web.yml`, and the same with one line of a service changed: both versions are built
as bundles, and RAUC extracts them. A machine has the blocks of the old images in its slots, so it
fetches the digests of all blocks and the blocks that it has not got (RAUC's adaptive method
`block-hash-index`). Then a guest that is updated by such a bundle, while this machine counts what
it fetches and asks for its page.

    python bench/update.py [--cache DIR] [--without-guest]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from compos.api.keys import new_keys  # noqa: E402
from compos.cli.main import main as compos  # noqa: E402
from tests.boot.updating import Updating, Workshop, serving  # noqa: E402
from tests.guest import free_port  # noqa: E402

PAGE = ROOT / "docs" / "benchmarks-updates.md"
START = "<!-- What follows is written by `make bench-update`. -->\n"
BLOCK = 4096
DIGEST = 32
SECTOR = 512
UPDATE = "update: {{compatible: web, version: {}}}\n"


class Images(NamedTuple):
    """The images of a bundle, whose size is in bytes."""

    bundle: int
    images: tuple[bytes, ...]


def main() -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description="What an update sends, writes and takes.")
    parser.add_argument("--cache", help="folder of the store", default=ROOT / "build/test-store")
    parser.add_argument("--without-guest", action="store_true", help="only what is sent")
    options = parser.parse_args()
    os.environ["COMPOS_CACHE"] = str(options.cache)
    # The path of a guest's socket is short.
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory(dir="/tmp") as short:
        os.environ["COMPOS_RUNTIME"] = short
        folder = Path(name)
        text = _sent(folder, options.cache)
        if not options.without_guest:
            text += "\n" + _guest(folder / "guest")
    PAGE.write_text(PAGE.read_text().partition(START)[0] + START + "\n" + text)
    return 0


def _sent(folder: Path, cache: str | Path) -> str:
    """The table of what is sent for each change."""
    new_keys(folder / "keys")
    yaml = (ROOT / "examples" / "web.yml").read_text()
    old = _built(folder, cache, "1.0.0", yaml)
    head = "| changed line | blocks that the machine has not got | sent, with the digests | of the "
    rows = [f"{head}images | of the bundle |\n|---|---|---|---|---|\n"]
    for change, changed in _changes(yaml):
        new = _built(folder, cache, "1.0.1", changed)
        rows.append(f"| {change} | {' | '.join(_figures(old, new))} |\n")
    return "".join(rows)


def _changes(text: str) -> Iterator[tuple[str, str]]:
    line = 'command: ["/bin/echo", "so long and thanks for all the fish"]'
    assert line in text
    yield "a container's command", text.replace(line, 'command: ["/bin/echo", "good night"]')
    page = "<h1>Hello from a Linux composed of containers</h1>"
    assert page in text
    yield "a line of the page", text.replace(page, "<h1>Hello again</h1>")


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


def _figures(old: Images, new: Images) -> tuple[str, ...]:
    known = {block for image in old.images for block in _blocks(image)}
    size = sum(map(len, new.images))
    missing = {block for image in new.images for block in _blocks(image)} - known
    digests = size // BLOCK * DIGEST
    sent = digests + len(missing) * BLOCK
    return (
        f"{len(missing)} of {size // BLOCK:,}",
        f"{sent / 1e6:.2f} MB",
        f"{sent / size:.2%} of {size / 1e6:.1f} MB",
        f"{sent / new.bundle:.2%} of {new.bundle / 1e6:.1f} MB",
    )


GUEST = """
kernel: {{image: compos/kernel:v1, cmdline: "console=ttyS0 quiet compos.exec", modules: [auto]}}
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
services:
  - name: web
    image: compos/nginx:v1
    binds: ["/srv/www:/usr/share/nginx/html:ro"]
    capabilities: [CAP_NET_BIND_SERVICE, CAP_CHOWN, CAP_SETUID, CAP_SETGID, CAP_DAC_OVERRIDE]
  - name: shell
    image: compos/busybox:v1
    command: [/bin/sleep, "1000000"]
    pid: host
    capabilities: [all]
files:
  - {{path: srv/www/index.html, contents: "{version}\\n", mode: "0644"}}
slots: {{boot: 48m, system: 192m}}
update: {{compatible: web, version: {version}{takes}}}
"""


class Watch(threading.Thread):
    """Asks for the page, ten times a second: when it was there last, and first with another
    version."""

    def __init__(self, port: int, old: str, new: str) -> None:
        super().__init__(daemon=True)
        self._url, self._old, self._new = f"http://127.0.0.1:{port}/", old, new
        self.last = self.first = 0.0

    def run(self) -> None:
        """Until the new version is there."""
        while not self.first:
            with suppress(OSError):
                with urllib.request.urlopen(self._url, timeout=1) as answer:
                    page = answer.read().decode().strip()
                now = time.monotonic()
                self.last = now if page == self._old else self.last
                self.first = now if page == self._new else 0.0
            time.sleep(0.1)


def _guest(folder: Path) -> str:
    """The table of one update in a guest."""
    folder.mkdir()
    shop = Workshop(folder, GUEST, "--size", "1G", takes="")
    without = shop.build("1.0.0", "update").stat().st_size
    takes = f", keyring: {shop.keys}/update.crt"
    with_brick = shop.build("1.0.0", "update", takes=takes).stat().st_size
    disk = shop.build("1.0.0", "raw-efi", takes=takes)
    bundle = shop.build("1.1.0", "update", takes=takes)
    port = free_port()
    published = ("--publish", f"{port}:80")
    with (
        serving() as (server, own),
        Updating(disk, folder / "state", *published, log=folder / "console") as guest,
    ):
        server.files["/os.raucb"] = bundle.read_bytes()
        guest.expect("slots: slot A is good", 600)
        before = _written(guest)
        began = time.monotonic()
        status, said = guest.update("now", f"http://10.0.2.2:{own}/os.raucb", timeout=1200)
        took = time.monotonic() - began
        if status:
            raise SystemExit(said)
        written = _written(guest) - before
        watch = Watch(port, "1.0.0", "1.1.0")
        watch.start()
        time.sleep(2)
        guest.shell("kill -TERM 1")
        guest.expect(r"slot B is good", 900)
        watch.join(60)
    rows = (
        ("the bundle", f"{bundle.stat().st_size / 1e6:.1f} MB"),
        ("of which the brick `update` is", f"{(with_brick - without) / 1e6:.1f} MB"),
        ("fetched by RAUC, its own tables included", f"{server.sent / 1e6:.2f} MB"),
        ("which is, of the bundle", f"{server.sent / bundle.stat().st_size:.1%}"),
        ("written to the disk", f"{written / 1e6:.1f} MB"),
        ("time to install, emulated", f"{took:.0f} s"),
        ("seconds without the page, emulated", f"{watch.first - watch.last:.0f} s"),
    )
    table = "".join(f"| {what} | {figure} |\n" for what, figure in rows)
    return "| an update of one line in a guest | |\n|---|---|\n" + table


def _written(guest: Updating) -> int:
    """Bytes that all disks of the guest have been given to write (Documentation/block/stat.rst:
    the seventh number is in sectors)."""
    lines = guest.shell("sync; cat /sys/block/sd*/stat /sys/block/vd*/stat 2>/dev/null; true")
    return sum(int(line.split()[6]) for line in lines.splitlines()) * SECTOR


if __name__ == "__main__":
    raise SystemExit(main())
