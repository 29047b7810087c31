"""Machines with sealed data: what is built, and how a guest with its TPM and its firmware's
variables is started, again and again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compos.cli.main import main
from tests.guest import Guest

__all__ = ["ASKED", "OPENED", "RECOVERY", "STARTED", "Machine", "build", "in_root"]

RECOVERY = r"\b((?:[cbdefghijklnrtuv]{8}-){7}[cbdefghijklnrtuv]{8})\b"
"""A recovery key in modhex."""

STARTED = "services started"
OPENED = "is mounted at /var/lib/data"
ASKED = "Recovery key of the data partition: "

TPM2_CLEAR = bytes.fromhex("8002 0000001b 00000126 4000000a 00000009 40000009 0000 00 0000")
"""TPM 2.0 Library, part 3, 24.6: by the lockout hierarchy, whose password is empty."""

SUCCESS = bytes.fromhex("8002 00000013 00000000")

SYSTEM = """
kernel: {{image: compos/kernel:v1, cmdline: "console=ttyS0 quiet {cmdline}", modules: auto}}
init: [compos/init:v1, compos/crun:v1]
disk:
  mountpoint: /var/lib/data
  encrypt: tpm
  {disk}
services:
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
{more}"""


def build(
    folder: Path,
    keys: Path,
    *,
    name: str = "sealed",
    disk: str = "",
    cmdline: str = "",
    more: str = "",
    root: str = "erofs-verity",
    size: int = 256,
) -> Path:
    """The disk of a system, with room for its data."""
    source = folder / f"{name}.yml"
    source.write_text(SYSTEM.format(disk=disk, cmdline=cmdline, more=more))
    options = ["-f", "raw-efi", "--keys", str(keys), "--root", root, "--size", f"{size}M"]
    assert main(["build", *options, "--dir", str(folder), str(source)]) == 0
    return folder / f"{name}-efi.img"


def in_root(command: str) -> str:
    """`command` of getty's shell, where the system's own mounts are."""
    return f"nsenter -t 1 -m {command}"


class Machine:
    """A virtual machine: keys of Secure Boot in its firmware, a TPM, both with a memory."""

    def __init__(self, folder: Path, keys: Path, *, tpm: str = "--tpm") -> None:
        self.state = folder
        self._keys = keys
        self._tpm = tpm

    @contextmanager
    def boot(self, image: Path, log: Path, *options: str) -> Iterator[Guest]:
        """Its guest, which is switched off at the end, halted or not."""
        given = ("--secure-boot", str(self._keys), self._tpm, "--state", str(self.state), *options)
        with Guest(image, *given, log=log) as guest:
            try:
                yield guest
            finally:
                if guest.process.poll() is None:
                    os.kill(int((self.state / "qemu.pid").read_text()), signal.SIGTERM)
                    guest.process.wait(30)

    def clear_tpm(self) -> None:
        """As the firmware's menu does it."""
        path = self.state / "server"
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state / 'tpm'}"]
        command += ["--server", f"type=unixio,path={path}", "--flags", "startup-clear"]
        server = subprocess.Popen(command)
        try:
            deadline = time.monotonic() + 30
            while not path.exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.send(TPM2_CLEAR)
                assert client.recv(4096).startswith(SUCCESS)
        finally:
            server.terminate()
            server.wait()
