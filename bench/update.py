"""What an update sends, writes and takes: `make bench-update` writes docs/benchmarks-updates.md.

First `examples/web.yml`, and the same with one line of a service changed: both versions are built
as bundles, and RAUC extracts them. A machine has the blocks of the old images in its slots, so it
fetches the digests of all blocks and the blocks that it has not got (RAUC's adaptive method
`block-hash-index`). Then a guest that is updated twice by such bundles: into its empty slot, then
into the one that has the version before the last. This machine counts what it fetches, QEMU what it
writes, and a client asks for its page meanwhile.

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
from compos.run.guests import find_guest  # noqa: E402
from compos.run.qmp import Monitor  # noqa: E402
from tests.boot.updating import NAME, UpdateServer, Updating, Workshop, serving  # noqa: E402
from tests.guest import free_port  # noqa: E402

PAGE = ROOT / "docs" / "benchmarks-updates.md"
START = "<!-- What follows is written by `make bench-update`. -->\n"
BLOCK = 4096
DIGEST = 32
MB = 1e6
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
    return _extracted(folder / "web.raucb", folder / "keys")


def _extracted(bundle: Path, keys: Path) -> Images:
    out = bundle.with_name("extracted")
    shutil.rmtree(out, ignore_errors=True)
    line: list[str | Path] = ["rauc", "extract", "--keyring"]
    line += [keys / "update.crt", bundle, out]
    subprocess.run(line, check=True, capture_output=True)
    images = tuple(path.read_bytes() for path in sorted(out.glob("*.img")))
    return Images(bundle.stat().st_size, images)


def _blocks(image: bytes) -> Iterator[bytes]:
    return (image[at : at + BLOCK] for at in range(0, len(image), BLOCK))


def _missing(old: Images, new: Images) -> set[bytes]:
    """Blocks of the new version that the old one has not got."""
    known = {block for image in old.images for block in _blocks(image)}
    return {block for image in new.images for block in _blocks(image)} - known


def _figures(old: Images, new: Images) -> tuple[str, ...]:
    size = sum(map(len, new.images))
    missing = _missing(old, new)
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


class Cost(NamedTuple):
    """Of one update: bytes and seconds."""

    fetched: int
    changed: int
    """Blocks that the version before has not got."""
    disk: int
    flash: int
    """Of the firmware's variables."""
    install: float
    away: float
    """Without the page."""


VERSIONS = ("1.0.0", "1.1.0", "1.2.0")


def _guest(folder: Path) -> str:
    """The table of the updates of a guest."""
    folder.mkdir()
    shop = Workshop(folder, GUEST, "--size", "1G", takes="")
    without = shop.build("1.0.0", "update").stat().st_size
    takes = f", keyring: {shop.keys}/update.crt"
    disk = shop.build(VERSIONS[0], "raw-efi", takes=takes)
    bundles = [shop.build(version, "update", takes=takes) for version in VERSIONS]
    images = [_extracted(bundle, shop.keys) for bundle in bundles]
    port = free_port()
    published = ("--publish", f"{port}:80")
    costs = []
    with (
        serving() as (server, own),
        Updating(disk, folder / "state", *published, log=folder / "console") as guest,
    ):
        guest.expect("slots: slot A is good", 900)
        for number, version in enumerate(VERSIONS[1:], 1):
            server.files["/os.raucb"] = bundles[number].read_bytes()
            changed = len(_missing(images[number - 1], images[number])) * BLOCK
            watch = Watch(port, VERSIONS[number - 1], version)
            url = f"http://10.0.2.2:{own}/os.raucb"
            costs.append(_update(guest, url, server, changed, watch))
    size, whole = images[1].bundle, sum(map(len, images[1].images))
    rows = (
        (
            "fetched by RAUC, its own tables included",
            [f"{one.fetched / MB:.2f} MB" for one in costs],
        ),
        ("which is, of the bundle", [f"{one.fetched / size:.1%}" for one in costs]),
        ("changed", [f"{one.changed / MB:.2f} MB" for one in costs]),
        ("written to the disk", [f"{one.disk / MB:.1f} MB" for one in costs]),
        ("which is, of what has changed", [f"{one.disk / one.changed:.0f} times" for one in costs]),
        ("written to the firmware's flash memory", [f"{one.flash / MB:.1f} MB" for one in costs]),
        ("time to install, emulated", [f"{one.install:.0f} s" for one in costs]),
        ("seconds without the page, emulated", [f"{one.away:.0f} s" for one in costs]),
    )
    head = "| updates of a guest by one line | the first | the second |\n|---|---|---|\n"
    table = "".join(f"| {what} | {' | '.join(figures)} |\n" for what, figures in rows)
    brick = (images[0].bundle - without) / MB
    return (
        f"{head}{table}\nThe bundle has {size / MB:.1f} MB, of which the brick `update` is "
        f"{brick:.1f} MB, and its images {whole / MB:.1f} MB. A machine that has none of its "
        "blocks fetches all of it.\n"
    )


def _update(
    guest: Updating, url: str, server: type[UpdateServer], changed: int, watch: Watch
) -> Cost:
    """Installs a bundle, restarts, and waits for the new version to be good."""
    fetched, (disk, flash) = server.sent, _written(guest)
    began = time.monotonic()
    status, said = guest.update("now", url, timeout=1800)
    install = time.monotonic() - began
    if status:
        raise SystemExit(said)
    fetched = server.sent - fetched
    watch.start()
    time.sleep(2)
    guest.shell("kill -TERM 1")
    guest.expect(r"slot [AB] is on trial", 900)
    guest.expect(r"slot [AB] is good", 900)
    watch.join(60)
    now = _written(guest)
    return Cost(fetched, changed, now[0] - disk, now[1] - flash, install, watch.first - watch.last)


def _written(guest: Updating) -> tuple[int, int]:
    """Bytes that QEMU has written to disks and to flash memory (query-blockstats)."""
    guest.shell("sync")
    disk = flash = 0
    with Monitor(find_guest(NAME).monitor) as monitor:
        for one in monitor.execute("query-blockstats"):
            written = one["stats"]["wr_bytes"]
            if one.get("device", "").startswith("pflash"):
                flash += written
            else:
                disk += written
    return disk, flash


if __name__ == "__main__":
    raise SystemExit(main())
