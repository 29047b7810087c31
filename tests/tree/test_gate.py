"""What no Linux file system can hold is refused by name when a layer is read, and what is odd and
can be held is not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.errors import ImageError
from compos.tree.gate import GateError, admitted, clean
from compos.tree.node import BLOCK, CHARACTER, DIRECTORY, FILE, HARD_LINK, SYMLINK, Node
from tests.rawtar import END, Header, folder, padded, pax, record
from tests.tree.layers import tree_of

LONG = b"d/" * 2047 + b"x"


REFUSED: list[tuple[str, bytes, str]] = [
    ("a path of 4,096 bytes", pax({"path": LONG + b"y"}) + bytes(Header(b"x")), "PATH_MAX"),
    ("a path of 1 MB", pax({"path": b"a/" * 500_000}) + bytes(Header(b"x")), "PATH_MAX"),
    ("a name of 256 bytes", pax({"path": b"d/" + b"n" * 256}) + bytes(Header(b"x")), "NAME_MAX"),
    ("a name of 128 two-byte letters", pax({"path": "ü".encode() * 128}) + bytes(Header(b"x")), "NAME_MAX"),
    ("a path with a NUL", pax({"path": b"a\0b"}) + bytes(Header(b"x")), "NUL"),
    ("a hidden name of 256 bytes", pax({"path": b".wh." + b"n" * 256}) + bytes(Header(b"x")), "NAME_MAX"),
    ("an opaque folder that is too long", pax({"path": LONG + b"y/.wh..wh..opq"}) + bytes(Header(b"x")), "PATH_MAX"),
    ("a whiteout of nothing", bytes(Header(b"d/.wh.")), "a whiteout of an impossible name"),
    ("a whiteout of the folder above", bytes(Header(b"d/.wh...")), "a whiteout of an impossible name"),
    ("a symbolic link to nothing", bytes(Header(b"l", b"2")), "1 to 4,095"),
    ("a symbolic link of 4,096 bytes", pax({"linkpath": b"a" * 4096}) + bytes(Header(b"l", b"2", link=b"x")), "1 to 4,095"),
    ("a symbolic link with a NUL", pax({"linkpath": b"a\0b"}) + bytes(Header(b"l", b"2", link=b"x")), "NUL"),
    ("a hard link to a long name", pax({"linkpath": b"n" * 256}) + bytes(Header(b"l", b"1", link=b"x")), "NAME_MAX"),
    ("a hard link to a NUL", pax({"linkpath": b"a\0b"}) + bytes(Header(b"l", b"1", link=b"x")), "NUL"),
    ("a major number of 13 bits", bytes(Header(b"c", b"3", device=(4096, 0))), "12 and 20 bits"),
    ("a minor number of 21 bits", bytes(Header(b"b", b"4", device=(0, 1 << 20))), "12 and 20 bits"),
    ("a major number of 56 bits", bytes(Header(b"c", b"3", device=(1 << 55, 0))), "12 and 20 bits"),
    ("a negative minor number", bytes(Header(b"c", b"3", device=(0, -1))), "12 and 20 bits"),
    ("a negative user", bytes(Header(b"x", uid=-5)), "user id"),
    ("a negative group", pax({"gid": b"-5"}) + bytes(Header(b"x")), "group id"),
    ("nobody at all", bytes(Header(b"x", uid=0xFFFF_FFFF)), "user id"),
    ("a user of 100 bits", pax({"uid": str(10**29).encode()}) + bytes(Header(b"x")), "user id"),
    ("an attribute of 65,537 bytes", pax({"SCHILY.xattr.user.a": b"x" * 65537}) + bytes(Header(b"x")), "65,536"),
    ("an attribute's name of 256 bytes", pax({"SCHILY.xattr." + "n" * 256: b"x"}) + bytes(Header(b"x")), "255"),
    ("an attribute without a name", pax({"SCHILY.xattr.": b"x"}) + bytes(Header(b"x")), "255"),
    ("too many attributes", pax({f"SCHILY.xattr.user.{n:059}": b"" for n in range(1010)}) + bytes(Header(b"x")), "65,536"),
    ("a hole of 2⁶³ bytes", pax({"GNU.sparse.major": b"0", "GNU.sparse.size": str(1 << 63).encode(), "GNU.sparse.map": b"0,0"}) + bytes(Header(b"x")), "size"),
    ("a file in place of the root", bytes(Header(b".")), "the root"),
    ("a link in place of the root", bytes(Header(b"./", b"2", link=b"x")), "the root"),
    ("no name", bytes(Header(b"")) + folder(b"d"), "the root"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused(tmp_path: Path, layer: bytes, reason: str) -> None:
    if reason == "the root" and layer.startswith(b"\0"):
        # A header that begins with a NUL must not be taken for the end of the archive.
        layer = bytes(Header(b"first")) + layer
    with pytest.raises(ImageError) as caught:
        tree_of(tmp_path, layer + END)
    assert caught.value.id == "layer-limit"
    assert reason in caught.value.message
    assert "example/app:1, layer sha256:" in (caught.value.place or "")
    assert len(caught.value.message) < 500
    assert caught.value.message.isprintable()


ODD: list[tuple[str, bytes, str, Node]] = [
    ("a path of 4,095 bytes", pax({"path": LONG}) + bytes(Header(b"x")), LONG.decode(), Node(FILE, 0o644)),
    ("a name of 255 bytes", pax({"path": b"n" * 255}) + bytes(Header(b"x")), "n" * 255, Node(FILE, 0o644)),
    ("255 bytes that are not UTF-8", pax({"path": b"\xff" * 255}) + bytes(Header(b"x")), "\udcff" * 255, Node(FILE, 0o644)),
    ("a symbolic link of 4,095 bytes", pax({"linkpath": b"a" * 4095}) + bytes(Header(b"l", b"2", link=b"x")), "l", Node(SYMLINK, 0o644, link="a" * 4095)),
    ("the last device", bytes(Header(b"c", b"3", device=(4095, (1 << 20) - 1))), "c", Node(CHARACTER, 0o644, device=(4095, (1 << 20) - 1))),
    ("the last user", bytes(Header(b"x", uid=0xFFFF_FFFE, gid=65534)), "x", Node(FILE, 0o644, 0xFFFF_FFFE, 65534)),
    ("a type in the mode", bytes(Header(b"x", mode=0o104755)), "x", Node(FILE, 0o4755)),
    ("a device number of what is no device", bytes(Header(b"x", device=(1 << 40, 0))), "x", Node(FILE, 0o644)),
    ("before 1970", pax({"mtime": b"-1.5"}) + bytes(Header(b"x")), "x", Node(FILE, 0o644, mtime=-1_500_000_000)),
    ("before 1970, in the header", bytes(Header(b"x", mtime=-2)), "x", Node(FILE, 0o644, mtime=-2_000_000_000)),
    ("the year 9999", bytes(Header(b"x", mtime=253402300799)), "x", Node(FILE, 0o644, mtime=(1 << 63) - 1)),
    ("before the flood", pax({"mtime": b"-99999999999999999999.9"}) + bytes(Header(b"x")), "x", Node(FILE, 0o644, mtime=-(1 << 63))),
    ("an attribute of 65,536 bytes", pax({"SCHILY.xattr.user.a": b"x" * 65536}) + bytes(Header(b"x")), "x", Node(FILE, 0o644, xattrs=(("user.a", b"x" * 65536),))),
    ("an attribute of no bytes", pax({"SCHILY.xattr.user.a": b""}) + bytes(Header(b"x")), "x", Node(FILE, 0o644, xattrs=(("user.a", b""),))),
    ("up and down", bytes(Header(b"a/../b/./c/..//d")), "b/d", Node(FILE, 0o644)),
    ("above the root", bytes(Header(b"../../d")), "d", Node(FILE, 0o644)),
    ("the root itself", bytes(Header(b"./", b"5", mode=0o750)), "", Node(DIRECTORY, 0o750)),
    ("a line's end in a name", bytes(Header(b"a\nb")), "a\nb", Node(FILE, 0o644)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "path", "node"), [case[1:] for case in ODD], ids=[case[0] for case in ODD]
)
def test_odd_and_taken(tmp_path: Path, layer: bytes, path: str, node: Node) -> None:
    assert tree_of(tmp_path, layer + END) == {path: node}


def test_a_hidden_name_may_be_as_long_as_a_name(tmp_path: Path) -> None:
    name = b"n" * 255
    lower, upper = (
        pax({"path": path}) + bytes(Header(b"x")) + END for path in (name, b".wh." + name)
    )
    assert tree_of(tmp_path, lower, upper) == {}


@pytest.mark.parametrize("kind", [FILE, BLOCK, SYMLINK])
def test_modes_have_twelve_bits(kind: str) -> None:
    with pytest.raises(GateError, match="mode"):
        admitted("x", Node(kind, 0o10000, link="x"))


def test_a_hard_link_is_clean_on_both_ends() -> None:
    assert admitted("./a", Node(HARD_LINK, 0, link="../b//c")) == (
        "a",
        Node(HARD_LINK, 0, link="b/c"),
    )


@pytest.mark.parametrize(
    ("name", "path"), [("/", ""), (".", ""), ("..", ""), ("a/..", ""), ("./a//b/", "a/b")]
)
def test_clean(name: str, path: str) -> None:
    assert clean(name) == path


def sparse_map(chunks: int) -> bytes:
    """A sparse file of the PAX format 0.0, whose records repeat."""
    pairs = b"".join(
        record(b"GNU.sparse.offset", b"%d" % number) + record(b"GNU.sparse.numbytes", b"0")
        for number in range(chunks)
    )
    body = record(b"GNU.sparse.size", b"%d" % chunks) + pairs
    return bytes(Header(b"pax", b"x", len(body))) + padded(body) + bytes(Header(b"x"))


PROPORTIONATE: dict[str, Callable[[], bytes]] = {
    "many records": lambda: pax({f"a{n}": b"" for n in range(70_000)}) + bytes(Header(b"x")),
    "a header for all, again and again": lambda: (
        (pax({f"a{n}": b"" for n in range(999)}, b"g") + bytes(Header(b"x"))) * 300
    ),
    "a header for all, and many files": lambda: (
        pax({f"a{n}": b"" for n in range(70_000)}, b"g") + bytes(Header(b"x")) * 20_000
    ),
    "a sparse map in records": lambda: sparse_map(18_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", PROPORTIONATE)
def test_time_is_in_proportion(tmp_path: Path, case: str) -> None:
    """Beside reading as many plain files: hundreds of times as long, if it grew with the square."""

    def seconds(tar: bytes, name: str) -> float:
        started = time.process_time()
        tree_of(tmp_path / name, tar + END)
        return time.process_time() - started

    tar = PROPORTIONATE[case]()
    files = b"".join(bytes(Header(b"f%d" % number)) for number in range(len(tar) // 512))
    plain = seconds(files, "plain")
    assert seconds(tar, "case") < 20 * plain + 0.5


PEAK = """
import sys
from pathlib import Path
from tests.rawtar import END, Header, pax
from tests.tree.layers import tree_of
import tempfile, resource
from compos.errors import ImageError
with tempfile.TemporaryDirectory() as name:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        tree_of(Path(name), eval(sys.argv[1]) + END)
    except ImageError as error:
        print(error.id)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def peak_of(layer: str) -> tuple[list[str], int]:
    """What was said, and KiB of memory that reading took, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, layer], capture_output=True, text=True, check=True
    )
    *said, peak = done.stdout.split()
    return said, int(peak)


def test_deep_paths_take_no_memory() -> None:
    said, peak = peak_of("pax({'path': b'a/' * 30000 + b'x'}) + bytes(Header(b'x'))")
    assert said == ["layer-limit"]
    assert peak < 50 << 10
