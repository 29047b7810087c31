"""A machine that takes updates, and where it takes them from: servers on loopback that break off,
keys of its owner and of a stranger, bundles of several versions, sticks that are put in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

from compos.api.keys import new_keys
from compos.cli.main import main
from compos.run.guests import find_guest
from compos.run.qmp import Monitor
from tests.guest import COMPOS, Guest
from tests.ranges import asked_range

__all__ = ["UpdateServer", "Updating", "Workshop", "serving"]

NAME = "updating"


class UpdateServer(BaseHTTPRequestHandler):
    """Files, whole or in part; counts what it sends. With `cut`, it hangs up after that many
    bytes."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes]] = {}
    sent = 0
    cut: int | None = None

    def do_GET(self) -> None:
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        asked = asked_range(self.headers.get("Range"), len(content))
        part = content if asked is None else content[asked.start : asked.stop]
        self.send_response(200 if asked is None else 206)
        if asked is not None:
            self.send_header(
                "Content-Range", f"bytes {asked.start}-{asked.stop - 1}/{len(content)}"
            )
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        server = type(self)
        if server.cut is not None and server.sent + len(part) > server.cut:
            part = part[: max(0, server.cut - server.sent)]
            self.close_connection = True
        server.sent += len(part)
        self.wfile.write(part)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the console of the guest says enough."""


@contextmanager
def serving() -> Iterator[tuple[type[UpdateServer], int]]:
    """A server on a free port, whose files can be set."""

    class Handler(UpdateServer):
        files: ClassVar[dict[str, bytes]] = {}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Handler, server.server_port
    finally:
        server.shutdown()
        server.server_close()


class Workshop:
    """Builds versions of one system, whose YAML has `{version}`, `{keys}` and what else `fields`
    say. Keys are the owner's, in `keys`, unless a build is asked to use a stranger's."""

    def __init__(self, folder: Path, yaml: str, *flags: str, **fields: object) -> None:
        self.folder, self._yaml, self._flags, self._fields = folder, yaml, flags, fields
        self.keys = folder / "keys"
        new_keys(self.keys)

    def build(self, version: str, form: str, keys: Path | None = None, **fields: object) -> Path:
        """The disk (`raw-efi`) or the bundle (`update`) of a version."""
        folder = self.folder / (keys or self.keys).name
        folder.mkdir(exist_ok=True)
        source = folder / f"v{version}.yml"
        text = self._yaml.format(version=version, keys=self.keys, **{**self._fields, **fields})
        source.write_text(text)
        options = ["-f", form, "--root", "erofs-verity-appended", "--keys", str(keys or self.keys)]
        options += [*self._flags, "--dir", str(folder), str(source)]
        assert main(["build", *options]) == 0
        return folder / f"v{version}{'.raucb' if form == 'update' else '-efi.img'}"

    def stranger(self) -> Path:
        """Keys that nobody has asked for."""
        folder = self.folder / "stranger"
        if not folder.exists():
            new_keys(folder)
        return folder

    def stick(self, *bundles: Path) -> Path:
        """A FAT file system with bundles, as a disk without a partition table."""
        image = self.folder / "stick.img"
        size = sum(bundle.stat().st_size for bundle in bundles) + (16 << 20)
        with image.open("wb") as out:
            out.truncate(size)
        subprocess.run(["mkfs.fat", "-F", "32", "-n", "UPDATES", image], check=True)
        for number, bundle in enumerate(bundles):
            line = ("mcopy", "-i", image, bundle, f"::{number}-{bundle.name}")
            subprocess.run(line, check=True)
        return image


class Updating(Guest):
    """The machine, whose firmware keeps its variables in `state`."""

    def __init__(self, disk: Path, state: Path, *options: str, log: Path) -> None:
        given = ("--uefi", "--state", str(state), "--name", NAME, "--exec")
        sticks = ("--device", "virtio-scsi-pci,id=sticks")
        super().__init__(disk, *given, *sticks, *options, log=log)

    def update(self, *words: str, timeout: float = 900) -> tuple[int, str]:
        """A command of the service: its status, and all that it says."""
        command = [*COMPOS, "exec", "-T", "--service", "update", NAME, "/usr/bin/update", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
        return done.returncode, done.stdout + done.stderr

    def shell(self, command: str) -> str:
        """A command of the service `shell`, which must be there: what it says."""
        line = [*COMPOS, "exec", "-T", "--service", "shell", NAME, "/bin/sh", "-c", command]
        return subprocess.run(line, capture_output=True, text=True, check=True, timeout=300).stdout

    def put_in(self, stick: Path) -> None:
        """Put a stick in."""
        with Monitor(find_guest(NAME).monitor) as monitor:
            node = {"driver": "raw", "node-name": "stick", "read-only": True}
            node["file"] = {"driver": "file", "filename": str(stick)}
            monitor.execute("blockdev-add", **node)
            device = {"driver": "scsi-hd", "bus": "sticks.0", "drive": "stick", "id": "stick0"}
            monitor.execute("device_add", **device, removable=True)
