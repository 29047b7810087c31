"""Very large systems through every kind of output: a 6 GiB file, 500,000 files, a 20 GiB hole.
Right output or a refusal.

A command: `python bench/large.py`. Writes docs/large-systems.md: time, peak memory, size of the
outputs, or the error's id. Needs 25 GB below build/, and the store of the user with the bricks in
it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "large"
GIB = 1 << 30

SYSTEM = """\
kernel: {{image: compos/kernel:v1, cmdline: console=ttyS0}}
init: [compos/init:v1]
onboot:
  - {{name: large, image: "docker-archive:{archive}", command: [/x]}}
"""

WAYS = (
    ("kernel+initrd", "initrd"),
    ("tar", "initrd"),
    ("kernel+erofs", "erofs"),
    ("kernel+squashfs", "squashfs"),
    ("kernel+iso", "initrd"),
    ("firecracker", "ext4"),
    ("raw", "initrd"),
    ("raw", "erofs"),
    ("gcp", "erofs"),
)

HEAD = """\
# Very large systems

Three images: one has a file of 6 GiB that compresses to half its size, one has 500,000 small files
in 500 folders, one has a file with a hole of 20 GiB. Each cell shows the time, the peak memory and
the size of the output, or the error that refuses the image. Times include filling the store.
Written by `python bench/large.py` on {cpus} CPUs.

| format | root | 6 GiB file | 500,000 files | 20 GiB hole |
|---|---|---|---|---|
"""

TAIL = """\

## Half a million small files

An image of 500,000 files of some bytes each in 26,000 folders, paths of 70 characters; a store that
has read its layer, no SBOM. Peak memory of the build, MiB, with one other file changed and with
nothing changed; before and after nodes and inodes were packed (`tree.packed_tree`,
`filesystem.inodes`).

| format | root | one file changed | nothing changed |
|---|---|---|---|
| `kernel+initrd` | initrd | 414 → 182 | 23 |
| `tar` | initrd | 423 → 191 | 61 → 48 |
| `kernel+erofs` | erofs | 631 → 221 | 55 → 47 |
| `firecracker` | ext4 | 748 → 215 | 307 → 51 |
| `kernel+squashfs` | squashfs | 773 → 279 | 24 |

What remains is mostly the image's record: its paths, and 60 bytes of columns for each node. An
image in `init` is merged node by node, which takes 300 bytes for each.
"""


def archive(name: str) -> Path:
    """A docker archive with one layer, made once."""
    path = WORK / f"{name}.tar"
    if path.exists():
        return path
    layer = WORK / f"{name}.layer"
    if name == "hole":
        folder = WORK / "hole"
        folder.mkdir()
        with (folder / "hole").open("wb") as out:
            out.truncate(20 * GIB)
            out.seek(10 * GIB)
            out.write(b"in the middle")
        subprocess.run(
            ["tar", "-S", "--format=gnu", "-cf", layer, "-C", folder, "hole"], check=True
        )
    else:
        with tarfile.open(layer, "w") as out:
            if name == "file":
                block = os.urandom(1 << 20) + bytes(1 << 20)
                big = WORK / "big"
                with big.open("wb") as stream:
                    for _ in range(6 * GIB // len(block)):
                        stream.write(block)
                out.add(big, "big")
                big.unlink()
            else:
                for number in range(500_000):
                    info = tarfile.TarInfo(f"d{number % 500}/f{number}")
                    data = b"%d\n" % number
                    info.size = len(data)
                    out.addfile(info, io.BytesIO(data))
    with layer.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    root = {"type": "layers", "diff_ids": [f"sha256:{digest}"]}
    manifest = [{"Config": "config.json", "RepoTags": [f"large/{name}:1"], "Layers": ["layer.tar"]}]
    documents = {
        "config.json": json.dumps(
            {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": root}
        ).encode(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    with tarfile.open(path, "w") as out:
        for member, data in documents.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
        out.add(layer, "layer.tar")
    layer.unlink()
    return path


def measured(name: str, form: str, root: str) -> str:
    """One build in a process of its own."""
    out = WORK / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    (WORK / "system.yml").write_text(SYSTEM.format(archive=archive(name)))
    command = [
        sys.executable,
        "-m",
        "compos",
        "build",
        "--no-sbom",
        "--dir",
        str(out),
        "-f",
        form,
        "--root",
        root,
    ]
    begin = time.monotonic()
    child = subprocess.Popen(
        [*command, str(WORK / "system.yml")], stderr=subprocess.PIPE, text=True
    )
    _, said = child.communicate()
    seconds = time.monotonic() - begin
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    if child.returncode:
        error = re.search(r"error\[([\w-]+)\]", said)
        return f"refused: `{error[1] if error else said[-200:]}`"
    stored = sum(path.stat().st_blocks * 512 for path in out.iterdir())
    return f"{seconds:.0f} s, {memory} MiB, {stored / 1e9:.2f} GB"


def main() -> None:
    """Build all of them."""
    if len(sys.argv) > 1:
        print(measured(*sys.argv[1:4]))
        return
    WORK.mkdir(parents=True, exist_ok=True)
    lines = []
    for form, root in WAYS:
        # A process of its own: the largest memory of all children so far is all that the kernel
        # tells.
        cells = [
            subprocess.run(
                [sys.executable, __file__, name, form, root],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for name in ("file", "files", "hole")
        ]
        lines.append(f"| `{form}` | {root} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    (ROOT / "docs" / "large-systems.md").write_text(
        HEAD.format(cpus=os.cpu_count()) + "\n".join(lines) + "\n" + TAIL
    )
    shutil.rmtree(WORK)


if __name__ == "__main__":
    main()
