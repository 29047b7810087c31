"""A machine that updates itself: it streams version 1.1.0 from a web server into its slot B, starts
it, and stays with it. Of the bundle it fetches little: the two versions differ by a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from compos.api.keys import new_keys
from compos.cli.main import main
from tests.guest import Guest

pytestmark = pytest.mark.xdist_group("boot-disks")

YAML = """
kernel:
  image: compos/kernel:v1
  cmdline: console=ttyS0 quiet cryptomgr.notests=1
  modules: [auto]
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
services:
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
files:
  - {{path: etc/which, contents: "this is {version}\\n", mode: "0644"}}
slots: {{boot: 32m, system: 128m}}
update:
  compatible: gateway
  version: {version}
  keyring: {keys}/update.crt
  source: "http://10.0.2.2:{port}/os.raucb"
  every: 1m
  restart: true
"""


class _Ranges(BaseHTTPRequestHandler):
    """Parts of one file; counts what it sends."""

    protocol_version = "HTTP/1.1"
    content = b""
    sent = 0

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        size = len(self.content)
        first, last = 0, size - 1
        if found and found[1]:
            first, last = int(found[1]), min(int(found[2] or last), last)
        elif found:
            first = size - int(found[2])
        part = self.content[first : last + 1]
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        type(self).sent += len(part)
        self.wfile.write(part)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the console of the guest says enough."""


@contextmanager
def serving() -> Iterator[tuple[type[_Ranges], int]]:
    """A server on a free port, whose content can be set."""

    class Handler(_Ranges):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Handler, server.server_port
    finally:
        server.shutdown()
        server.server_close()


def built(folder: Path, version: str, port: int) -> Path:
    """What the names of its disk and its bundle begin with."""
    source = folder / f"v{version}.yml"
    source.write_text(YAML.format(version=version, port=port, keys=folder / "keys"))
    options = ["-f", "raw-efi,update", "--root", "erofs-verity-appended", "--size", "512M"]
    options += ["--keys", str(folder / "keys"), "--dir", str(folder), str(source)]
    assert main(["build", *options]) == 0
    return folder / f"v{version}"


def test_a_machine_updates_itself(tmp_path: Path) -> None:
    new_keys(tmp_path / "keys")
    with serving() as (handler, port):
        old, new = (built(tmp_path, version, port) for version in ("1.0.0", "1.1.0"))
        bundle = new.with_name(f"{new.name}.raucb").read_bytes()
        handler.content = bundle
        disk = old.with_name(f"{old.name}-efi.img")
        state = ("--uefi", "--state", str(tmp_path / "state"))
        with Guest(disk, *state, log=tmp_path / "console") as guest:
            guest.expect("slots: slot A is good", 240)
            guest.expect("slots: slot B is on trial", 300)
            guest.expect("slots: slot B is good", 240)
            guest.prompt()
            assert "this is 1.1.0" in guest.run("cat /hostroot/etc/which")
        assert handler.sent < len(bundle) / 20, (handler.sent, len(bundle))
