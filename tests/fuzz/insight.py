"""What is fuzzed of looking inside: outputs that are read again, documents in them, consoles."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

from compos.api.outputs import facts_of_output
from compos.errors import ComposError
from compos.report.difference import compare
from compos.report.document import Report
from compos.report.facts import Facts, described
from compos.report.page import MAX_PAGE, report_json, report_page
from compos.report.timeline import boot_stages
from compos.tree.gate import require_path
from tests.fuzz.engine import Target
from tests.report.systems import fact

__all__ = ["TARGETS"]


def _member(name: bytes, data: bytes = b"", mode: int = 0o100644, links: int = 1) -> bytes:
    fields = (7, mode, 0, 0, links, 0, len(data), 0, 0, 5, 1, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % one for one in fields) + name + b"\0"
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


SPEC = json.dumps(
    {
        "process": {"user": {"uid": 1}, "capabilities": {"bounding": ["CAP_CHOWN"]}},
        "root": {"readonly": True},
        "mounts": [{"type": "bind", "source": "/a", "destination": "/b", "options": ["ro"]}],
        "linux": {"namespaces": [{"type": "pid"}], "devices": [{"path": "/dev/x"}]},
    }
).encode()
INITRD = (
    _member(b".", mode=0o40755)
    + _member(b"etc/a", b"contents", links=2)
    + _member(b"etc/b", links=2)
    + _member(b"etc/link", b"a", mode=0o120777)
    + _member(b"dev/null", mode=0o20666)
    + _member(b"containers/services/web/config.json", SPEC)
    + _member(b"etc/compos/plan", b"container\tweb\t/containers/services/web\nseccomp\t1\t/x\n")
    + _member(b"sbom.spdx.json", b'{"spdxVersion": "SPDX-2.3", "packages": [{"name": "a"}]}')
    + _member(b"TRAILER!!!")
)


def _program(initrd: bytes) -> bytes:
    """A UEFI program with the sections of a UKI."""
    sections = ((b".linux", b"K" * 600), (b".cmdline", b"console=x"), (b".initrd", initrd))
    head = bytearray(b"MZ".ljust(64, b"\0"))
    struct.pack_into("<I", head, 60, 64)
    head += b"PE\0\0" + struct.pack("<HH12xHH", 0x8664, len(sections), 0, 0)
    at = 1024
    for name, data in sections:
        head += struct.pack("<8sIIII16x", name, len(data), 0, len(data), at)
        at += len(data)
    return bytes(head.ljust(1024, b"\0")) + b"".join(data for _, data in sections)


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in (("containers/services/web/config.json", SPEC), ("boot/cmdline", b"c")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("hard")
        link.type, link.linkname = tarfile.LNKTYPE, "boot/cmdline"
        archive.addfile(link)
    return buffer.getvalue()


def _file_system(program: list[str], behind: list[str], magic: bytes) -> bytes:
    """Small files, a folder and a link in an image that `program` makes, with the options `behind`
    the names of folder and image, which it takes in this order if there are any."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        root = folder / "root"
        root.mkdir()
        (root / "a").write_bytes(b"a" * 5000)
        (root / "folder").mkdir()
        (root / "folder" / "b").write_bytes(b"b")
        (root / "link").symlink_to("a")
        names = [str(root), str(folder / "image")]
        line = [*program, *(names if behind else names[::-1]), *behind]
        subprocess.run(line, check=True, capture_output=True)
        return (folder / "image").read_bytes()
    except FileNotFoundError:
        return magic
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _squashfs() -> bytes:
    """With and without compression, fragments, a device."""
    behind = ["-quiet", "-no-progress", "-b", "4096", "-noI", "-p", "null c 666 0 0 1 3", "-nopad"]
    return _file_system(["mksquashfs"], behind, b"hsqs")


def _erofs() -> bytes:
    """Blocks, and ends of files beside their inodes."""
    return _file_system(["mkfs.erofs"], [], bytes(1024) + b"\xe2\xe1\xf5\xe0")


def _ext4() -> bytes:
    """Extents, a target in its inode, a folder's blocks."""
    program = ["/sbin/mkfs.ext4", "-q", "-F", "-b", "1024", "-N", "16", "-O", "^has_journal", "-d"]
    return _file_system(program, ["200k"], bytes(1080) + b"\x53\xef")


def _iso() -> bytes:
    """Names, modes and targets of Rock Ridge."""
    program = ["xorriso", "-as", "mkisofs", "-R", "-quiet", "-o"]
    return _file_system(program, [], bytes(0x8001) + b"CD001")


def _run_output(data: bytes) -> None:

    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        (folder / "output").write_bytes(data)
        with suppress(ComposError):
            found = facts_of_output(folder / "output")
            for path in found.files:
                if path.startswith("/") or ".." in path.split("/"):
                    raise AssertionError(f"a path that leaves: {path!r}")
                require_path(path)
            compare(found, Facts("other", {}))
            if compare(found, found):
                raise AssertionError("an output that is not like itself")
        if [path.name for path in folder.iterdir()] != ["output"]:
            raise AssertionError("something was written outside")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_page(data: bytes) -> None:
    """The page about a system whose documents and console are these bytes."""

    paths = ("containers/services/a/config.json", "etc/compos/plan", "sbom.spdx.json")
    facts = described("x", {}, dict.fromkeys(paths, data))
    text = data.decode("utf-8", "surrogateescape")
    names = text.replace("\0", "").split("\n")[:50]
    report = Report(
        text, "amd64", text, (), {name: fact(9) for name in names if name.strip("/")}, (), (),
        facts.powers, facts.packages, (), (), boot_stages(text),
    )  # fmt: skip
    page = report_page(report)
    if len(page) > MAX_PAGE or page.count(b"</script") != 2 or page.count(b"<script") != 2:
        raise AssertionError("a page that is too long, or whose script has changed")
    json.loads(report_json(report))


WORDS = (
    b"TRAILER!!!\0", b"070701", b"../../x\0", b"</script>", b"<!--", b"\x1f\x8b\x08", b"PE\0\0",
    b".initrd\0", b"ffffffff", b"\x28\xb5\x2f\xfd", b"compos: boot done at 1.5 s\n", b'"CONTAINS"',
)  # fmt: skip
TARGETS = (
    Target(
        "outputs",
        _run_output,
        [INITRD, _program(INITRD), _tar(), _squashfs(), _erofs(), _ext4(), _iso()],
        WORDS,
    ),
    Target("page", _run_page, [SPEC, INITRD, b"compos: service a started at 2 s\n" * 3], WORDS),
)
