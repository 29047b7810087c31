"""Pushes of sparse disks: what is sent of what is not zeros, requests at once, memory, and time
beside the providers' own tools.

A command: `make bench-clouds`. Prints tables and writes them to docs/benchmarks-clouds.md. Each
push is a process; the servers are moto, Azurite and Debian's Glance, behind a proxy that counts.
Times are compared within one run: the servers take most of them.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.cloud.worlds import KEY, World, aws, azure, openstack  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MIB = 1 << 20
GIB = 1 << 30
SMALL, LARGE = 512 * MIB, 20 * GIB
PARTS = 64
"""Parts of one MiB that are not zeros, spread over the disk."""

SDK = """
import sys
from azure.storage.blob import BlobServiceClient
path, endpoint, key = sys.argv[1:]
service = BlobServiceClient(endpoint, credential=key)
service.create_container("own")
with open(path, "rb") as stream:
    service.get_blob_client("own", "disk.vhd").upload_blob(
        stream, blob_type="PageBlob", max_concurrency=8
    )
"""
"""Uploads as `az storage blob upload` does, without the time that az takes to start."""

AZ = str(ROOT / "build" / "az" / "bin")

WATCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss, used.ru_utime + used.ru_stime)
"""
"""Starts a program, and says what it has used. Linux counts the memory of the process that starts
one as the new one's, so a small process has to do it, not this one, which is the cloud."""

HEAD = """\
# What pushes send

`make bench-clouds` pushes raw disks of which 64 MiB, in 64 places, are not zeros, and the rest are
holes. Each push is a process; the servers are moto, Azurite and Debian's Glance on loopback, behind
a proxy that counts bytes of bodies and requests. Memory is the most that the process had.

| push | disk, MiB | not zeros, MiB | sent, MiB | requests at once, most | memory, MiB | processor time, s |
|---|---|---|---|---|---|---|
"""  # noqa: E501
TOOLS = """
The processor time of large disks is that of their SHA-256, holes included.

## Beside the providers' own tools

The same disk of 512 MiB to the same server in the same run, as a ratio to compos. A push of compos
ends with a registered image; the others' with a file in a bucket or an account, which has still to
be imported, but for OpenStack's: 3 s of Azure's time are those of the fake that makes an image of
the blob, 2 s of OpenStack's a wait for other machines that push the same disk (Glance's times have
no fractions). With `--blob-only` there is just the upload. az is azure-cli of PyPI; beside it is
the upload of page blobs of the SDK that it is built on, which does not have to start it. Of Google
Cloud there is nothing to compare with: the emulator does not understand how gcloud uploads.

| upload | sent, MiB | time | processor time |
|---|---|---|---|
"""


class Measured(NamedTuple):
    """One process: bytes sent, most requests at once, KiB of memory, seconds, seconds of processor
    time."""

    sent: int
    at_once: int
    memory: int
    seconds: float
    processor: float


def main() -> None:
    """Print and write the tables."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    pushes: list[str] = []
    tools: list[str] = []
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
        folders = [Path(name, provider) for provider in ("aws", "azure", "openstack")]
        for folder in folders:
            folder.mkdir()
        with aws(folders[0]) as world:
            _aws(world, folders[0], pushes, tools)
        with azure(folders[1], copied=False) as world:
            _azure(world, folders[1], pushes, tools)
        with openstack(folders[2]) as world:
            _openstack(world, folders[2], pushes, tools)
    text = HEAD + "\n".join(pushes) + "\n" + TOOLS + "\n".join(tools) + "\n"
    (ROOT / "docs/benchmarks-clouds.md").write_text(text)


def _aws(world: World, folder: Path, pushes: list[str], tools: list[str]) -> None:
    own = _push(world, _disk(folder, SMALL), pushes)
    _push(world, _disk(folder, LARGE), pushes)
    _tool(tools, "`compos push aws`", own, own)
    if (program := shutil.which("aws")) is None:
        return
    _run(world, [program, "s3", "mb", "s3://own"])
    command = [program, "s3", "cp", "--quiet", str(_disk(folder, SMALL)), "s3://own/disk.raw"]
    _tool(tools, "`aws s3 cp`", _run(world, command), own)


def _azure(world: World, folder: Path, pushes: list[str], tools: list[str]) -> None:
    own = _push(world, _disk(folder, SMALL, ".vhd"), pushes)
    _push(world, _disk(folder, LARGE, ".vhd"), pushes)
    _tool(tools, "`compos push azure`", own, own)
    disk = _disk(folder, SMALL, ".vhd")
    own_blob = _push(world, disk, [], "--blob-only", "--img-name", "blob")
    _tool(tools, "`compos push azure --blob-only`", own_blob, own)
    endpoint = world.endpoint
    command = [sys.executable, "-c", SDK, str(disk), endpoint, KEY]
    _tool(tools, "azure-storage-blob's `upload_blob`", _run(world, command), own)
    if (program := shutil.which("az", path=AZ)) is None:
        return
    account = [
        "DefaultEndpointsProtocol=http", f"AccountName={endpoint.rpartition('/')[2]}",
        f"AccountKey={KEY}", f"BlobEndpoint={endpoint}",
    ]  # fmt: skip
    own_settings = {
        "AZURE_STORAGE_CONNECTION_STRING": ";".join(account),
        "AZURE_CONFIG_DIR": str(folder / "az"),
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
    }
    command = [program, "storage", "blob", "upload", "--type", "page", "--no-progress"]
    command += ["--container-name", "own", "--name", "az.vhd", "--file", str(disk)]
    command += ["--output", "none"]
    world = world._replace(environment={**world.environment, **own_settings})
    _tool(tools, "`az storage blob upload`", _run(world, command), own)


def _openstack(world: World, folder: Path, pushes: list[str], tools: list[str]) -> None:
    raw = _disk(folder, SMALL)
    disk = raw.with_suffix(".qcow2")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, disk], check=True)
    own = _push(world, disk, pushes)
    _tool(tools, "`compos push openstack` (qcow2)", own, own)
    if (program := shutil.which("openstack", path="/usr/bin")) is None:
        return
    for suffix, path in (("qcow2", disk), ("raw", raw)):
        command = [program, "image", "create", "--disk-format", suffix, "--file", str(path), suffix]
        found = _run(world, [*command, "-f", "value", "-c", "id"])
        _tool(tools, f"`openstack image create` ({suffix})", found, own)


def _disk(folder: Path, size: int, suffix: str = ".raw") -> Path:
    """A disk of which `PARTS` MiB are not zeros; a VHD has a footer, too."""
    path = folder / f"disk{size // MIB}{suffix}"
    if not path.exists():
        with path.open("wb") as stream:
            for number in range(PARTS):
                stream.seek(number * (size // PARTS))
                stream.write(os.urandom(MIB))
            stream.truncate(size)
            # What a BIOS looks for.
            stream.seek(510)
            stream.write(b"\x55\xaa")
            if suffix == ".vhd":
                footer = bytearray(512)
                footer[:8] = b"conectix"
                footer[48:56] = size.to_bytes(8, "big")
                footer[63] = 2
                stream.seek(size)
                stream.write(footer)
    return path


def _push(world: World, path: Path, rows: list[str], *flags: str) -> Measured:
    """Push with `compos`, and add a row to the first table."""
    command = [sys.executable, "-m", "compos", "push", world.name, "--no-check", "--quiet"]
    command += ["--cache", str(path.parent / "store"), *world.flags, *flags, str(path)]
    found = _run(world, command)
    size, data = path.stat().st_size // MIB, path.stat().st_blocks * 512 / MIB
    cells = (
        f"`{world.name}`, {path.suffix[1:]}", size, f"{data:.0f}", f"{found.sent / MIB:.1f}",
        found.at_once, found.memory // 1024, f"{found.processor:.1f}",
    )  # fmt: skip
    rows.append(f"| {' | '.join(map(str, cells))} |")
    sys.stdout.write(f"{rows[-1]}\n")
    sys.stdout.flush()
    return found


def _tool(rows: list[str], what: str, found: Measured, own: Measured) -> None:
    ratios = (found.seconds / own.seconds, found.processor / own.processor)
    rows.append(f"| {what} | {found.sent / MIB:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")
    sys.stdout.write(f"{rows[-1]}\n")
    sys.stdout.flush()


def _run(world: World, command: Sequence[str]) -> Measured:
    """Measure a process with the user's variables of a cloud."""
    environment: Mapping[str, str] = {
        **os.environ, **world.environment, "PYTHONPATH": str(ROOT / "src"),
    }  # fmt: skip
    if not command[0].startswith(sys.prefix):
        # A program of Debian's, or of another environment.
        environment = {key: value for key, value in environment.items() if key != "PYTHONPATH"}
    world.proxy.expect(None)
    began = time.monotonic()
    line = [sys.executable, "-c", WATCH, *command]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} has failed: {done.stderr}")
    memory, processor = done.stdout.split()[-2:]
    return Measured(
        world.proxy.body_bytes,
        world.proxy.most_at_once,
        int(memory),
        time.monotonic() - began,
        float(processor),
    )


if __name__ == "__main__":
    main()
