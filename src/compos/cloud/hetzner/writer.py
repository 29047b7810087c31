"""A disk written over ssh to a machine that runs a rescue system, and read back there.

May touch: the machine, the file; a folder for a key, which is gone afterwards; starts ssh-keygen
and ssh.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from compos.cloud.model import Image
from compos.errors import CloudError, CloudImport, CloudUnreachable
from compos.progress import task

__all__ = ["Key", "Writer", "new_key"]

CHUNK = 1 << 20
SSH_SECONDS = 300
"""For the rescue system to start."""
PAUSE = 5

# The whole disk is empty afterwards but for what is written: holes need not be sent.
SCRIPT = (
    "set -e; blkdiscard -f /dev/sda; gzip -dc | dd of=/dev/sda bs=1M iflag=fullblock conv=sparse "
    "status=none; sync; echo 3 > /proc/sys/vm/drop_caches; head -c {size} /dev/sda | sha256sum"
)


class Key(NamedTuple):
    """A pair of keys that only one push uses: the file of the private one, the public one."""

    path: Path
    public: str


@contextmanager
def new_key(*, dry: bool) -> Iterator[Key]:
    """A new pair, in a folder of the user's own."""
    if dry:
        yield Key(Path(), "PUBLIC-KEY")
        return
    with tempfile.TemporaryDirectory(prefix="compos-") as folder:
        path = Path(folder, "key")
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "compos", "-f", str(path)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CloudError(
                "cloud-ssh",
                "ssh-keygen does not work",
                hint="Install Debian's package openssh-client.",
            ) from error
        yield Key(path, path.with_suffix(".pub").read_text().strip())


class Writer:
    """Writes disks; `show` prints instead, `wait` sleeps."""

    def __init__(
        self, wait: Callable[[float], None], show: Callable[[str], None] | None = None
    ) -> None:
        self._wait, self._show = wait, show

    def write(self, image: Image, address: str, key: Key) -> None:
        """Write the raw disk of `image` to the machine's disk. Raises `CloudError` (`cloud-ssh`),
        `CloudImport` if other bytes have arrived."""
        script = SCRIPT.format(size=image.length)
        if self._show:
            self._show(f"ssh root@ADDRESS {script!r} < {image.path}")
            return
        if shutil.which("ssh") is None:
            raise CloudError(
                "cloud-ssh",
                "ssh is not installed",
                hint="Install Debian's package openssh-client.",
            )
        command = ["ssh", "-F", "none", "-i", str(key.path), "-l", "root"]
        # A machine that is a minute old has a key that nobody knows.
        for option in (
            "StrictHostKeyChecking=no",
            f"UserKnownHostsFile={key.path}.hosts",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "ConnectTimeout=10",
            "ServerAliveInterval=15",
        ):
            command += ["-o", option]
        self._reach([*command, "--", address, "true"])
        printed = self._send([*command, "--", address, script], image)
        if printed.split()[:1] != [image.digest]:
            raise CloudImport("cloud-import", "the disk has other contents there", place=address)

    def _reach(self, command: list[str]) -> None:
        waited = 0.0
        while subprocess.run(command, capture_output=True, check=False).returncode:
            if waited >= SSH_SECONDS:
                raise CloudUnreachable(
                    "cloud-unreachable", "the rescue system does not answer", place=command[-2]
                )
            self._wait(PAUSE)
            waited += PAUSE

    def _send(self, command: list[str], image: Image) -> str:
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        with (
            image.path.open("rb", buffering=0) as source,
            task(f"send {image.path.name}", image.length) as progress,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as process,
        ):
            assert process.stdin  # noqa: S101  of PIPE
            try:
                while data := source.read(CHUNK):
                    process.stdin.write(packer.compress(data))
                    progress.advance(len(data))
                process.stdin.write(packer.flush())
            except BrokenPipeError:
                pass  # its status says why
            except BaseException:
                process.kill()
                raise
            out, complaint = process.communicate()
        if process.returncode:
            text = complaint.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise CloudError("cloud-ssh", f"the disk cannot be written: {' '.join(text)}"[:300])
        return out.decode("ascii", "replace")
