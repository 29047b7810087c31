"""Odd numbers, records and types in tars: read as GNU tar and Python's tarfile read them.

Where these two disagree the case says who counts; Go's archive/tar, which containerd and Docker
use, decides then: its documentation (`Reader.Next`, `Header`, "Format") and strconv.go say that
numbers are octal among blanks and NULs or base-256 wherever the first bit is set, that an empty
record leaves the header's field, and that links have no data.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from compos.tree.contents import Contents
from compos.tree.node import FILE, HARD_LINK
from compos.tree.tar import TarError, read_members
from tests.rawtar import END, Header, padded, pax, raw_file, record

AFTER = raw_file(Header(b"after"), b"after")
"""What follows: it is read only if what stands before was understood."""


class Seen(NamedTuple):
    """What a reader says of the member `x`: contents, or a link's target; and permissions, owner
    and seconds."""

    content: bytes
    mode: int = 0o644
    uid: int = 0
    mtime: int = 0


def ours(path: Path) -> dict[str, Seen]:
    with path.open("rb") as stream:
        members = list(read_members(stream, path.name))
    found: dict[str, Seen] = {}
    with Contents(path.parent) as contents:
        for name, node, _ in members:
            data = (
                b"".join(contents.chunks(node.content)) if node.kind == FILE else node.link.encode()
            )
            if node.kind == HARD_LINK:
                data = found[node.link].content
            found[name.strip("/")] = Seen(data, node.mode, node.uid, node.mtime // 10**9)
    return found


def pythons(path: Path) -> dict[str, Seen]:
    with tarfile.open(path) as archive:
        return {
            member.name: Seen(
                found.read()
                if not member.issym() and (found := archive.extractfile(member))
                else member.linkname.encode(),
                member.mode & 0o7777,
                member.uid,
                int(member.mtime // 1),
            )
            for member in archive
        }


def gnus(path: Path) -> dict[str, Seen]:
    folder = path.parent / "extracted"
    folder.mkdir()
    command = ["tar", "--extract", "--numeric-owner", "--same-owner", "--same-permissions", "--file", str(path), "--directory", str(folder)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    found = {}
    for one in folder.iterdir():
        status = one.lstat()
        data = (
            os.fsencode(one.readlink())
            if one.is_symlink()
            else one.read_bytes()
            if one.is_file()
            else b""
        )
        mode = 0o644 if one.is_symlink() else status.st_mode & 0o7777
        found[one.name] = Seen(data, mode, status.st_uid, int(status.st_mtime // 1))
    return found


READERS = {"python": pythons, "gnu": gnus}
BOTH = ("python", "gnu")
HELLO = Seen(b"hello")
SPARSE = Seen(b"\0" * 1000 + b"hello" + b"\0" * 995)


def hello(
    typeflag: bytes = b"0",
    mtime: int = 0,
    magic: bytes = b"ustar\x0000",
    fields: Mapping[int, bytes] | None = None,
) -> bytes:
    return raw_file(Header(b"x", typeflag, mtime=mtime, magic=magic, fields=fields or {}), b"hello")


def field(offset: int, value: bytes) -> bytes:
    return hello(fields={offset: value})


def old_sparse(*numbers: bytes, real: bytes = b"00000003720", stored: bytes = b"hello") -> bytes:
    """The old GNU format: pairs from 386 on, the real size at 483."""
    entries = b"".join(number.ljust(12, b"\0") for number in numbers)
    return raw_file(
        Header(b"x", b"S", magic=b"ustar  \0", fields={386: entries, 483: real.ljust(12, b"\0")}),
        stored,
    )


CASES: list[tuple[str, bytes, Seen, tuple[str, ...]]] = [
    ("leading blanks", field(100, b"   644 \0"), HELLO, BOTH),
    ("a blank at the end", field(100, b"0000644 "), HELLO, BOTH),
    ("no room for an end", field(100, b"00000644"), HELLO, BOTH),
    ("an empty field", field(136, b"\0" * 12), HELLO, ("python",)),
    ("a blank field", field(108, b" " * 8), HELLO, ("python",)),
    ("base-256", field(108, b"\x80" + (70000).to_bytes(7, "big")), HELLO._replace(uid=70000), BOTH),
    ("base-256 of a size", hello(fields={124: b"\x80" + (5).to_bytes(11, "big")}), HELLO, BOTH),
    ("base-256 below zero", field(136, b"\xff" * 11 + b"\xfe"), HELLO._replace(mtime=-2), BOTH),
    ("base-256 behind another first byte", field(136, b"\x80\0\0\0\0\0\0\x01\0\0\0\0"), HELLO._replace(mtime=1 << 32), BOTH),
    ("a type in the mode", field(100, b"0100644\0"), HELLO, BOTH),
    ("a negative time with a fraction", pax({"mtime": b"-1.25"}) + hello(), HELLO._replace(mtime=-2), BOTH),
    ("a time with many digits", pax({"mtime": b"5.123456789123456789"}) + hello(), HELLO._replace(mtime=5), BOTH),
    ("a record for all", pax({"uid": b"7"}, b"g") + hello(), HELLO._replace(uid=7), BOTH),
    ("a record for all, and one's own", pax({"uid": b"7"}, b"g") + pax({"uid": b"8"}) + hello(), HELLO._replace(uid=8), BOTH),
    ("a record for all, deleted", pax({"mtime": b"7"}, b"g") + pax({"mtime": b""}) + hello(mtime=9), HELLO._replace(mtime=9), ()),
    ("a size in a record", pax({"size": b"5"}) + hello(fields={124: b"00000000000\0"}), HELLO, BOTH),
    ("unknown records", pax({"comment": b"x", "VENDOR.key": b"\0=\n"}) + hello(), HELLO, BOTH),
    ("names in binary", pax({"hdrcharset": b"BINARY", "path": b"x"}) + raw_file(Header(b"y"), b"hello"), HELLO, BOTH),
    ("a long name", raw_file(Header(b"././@LongLink", b"L", magic=b"ustar  \0"), b"x\0") + raw_file(Header(b"y", magic=b"ustar  \0"), b"hello"), HELLO, BOTH),
    ("a type that nobody knows", hello(typeflag=b"Z"), HELLO, BOTH),
    ("a contiguous file", hello(typeflag=b"7"), HELLO, BOTH),
    ("v7", hello(typeflag=b"\0", magic=bytes(8)), HELLO, BOTH),
    ("signed sums", hello(fields={265: b"\xff\xfe"}), HELLO, BOTH),
    ("a hard link with a size", raw_file(Header(b"y"), b"hello") + bytes(Header(b"x", b"1", size=5, link=b"y")), HELLO, BOTH),
    ("a hard link with a size, PAX", raw_file(Header(b"y"), b"hello") + pax({"size": b"5"}) + bytes(Header(b"x", b"1", link=b"y")), HELLO, ()),
    ("a hard link with data", raw_file(Header(b"y"), b"hello") + pax({"comment": b"x"}) + raw_file(Header(b"x", b"1", link=b"y"), b"hello"), HELLO, ()),
    ("a symbolic link with a size", bytes(Header(b"x", b"2", size=1, link=b"y")), Seen(b"y"), ("python",)),
    ("a volume's label", bytes(Header(b"label", b"V", magic=b"ustar  \0")) + hello(), HELLO, ()),
    ("old sparse", old_sparse(b"00000001750", b"00000000005", b"00000003720", b"00000000000"), SPARSE, BOTH),
    ("old sparse, base-256", old_sparse(b"\x80" + (1000).to_bytes(11, "big"), b"\x80" + (5).to_bytes(11, "big"), b"00000003720", b"00000000000", real=b"\x80" + (2000).to_bytes(11, "big")), SPARSE, BOTH),
    ("sparse 0.0", raw_file(Header(b"pax", b"x"), record(b"GNU.sparse.size", b"2000") + record(b"GNU.sparse.numblocks", b"2") + record(b"GNU.sparse.offset", b"1000") + record(b"GNU.sparse.numbytes", b"5") + record(b"GNU.sparse.offset", b"2000") + record(b"GNU.sparse.numbytes", b"0")) + hello(), SPARSE, BOTH),
    ("sparse 0.1", pax({"GNU.sparse.major": b"0", "GNU.sparse.minor": b"1", "GNU.sparse.name": b"x", "GNU.sparse.size": b"2000", "GNU.sparse.numblocks": b"2", "GNU.sparse.map": b"1000,5,2000,0"}) + raw_file(Header(b"y"), b"hello"), SPARSE, BOTH),
    ("sparse 1.0", pax({"GNU.sparse.major": b"1", "GNU.sparse.minor": b"0", "GNU.sparse.name": b"x", "GNU.sparse.realsize": b"2000"}) + raw_file(Header(b"y"), padded(b"2\n1000\n5\n2000\n0\n") + b"hello"), SPARSE, BOTH),
    ("sparse 1.0 with a size in a record", pax({"GNU.sparse.major": b"1", "GNU.sparse.minor": b"0", "GNU.sparse.name": b"x", "GNU.sparse.realsize": b"2000", "size": b"517"}) + padded(bytes(Header(b"y", fields={124: bytes(12)}))) + padded(padded(b"2\n1000\n5\n2000\n0\n") + b"hello"), SPARSE, ("gnu",)),
]  # fmt: skip


@pytest.mark.root
@pytest.mark.parametrize(
    ("tar", "expected", "agreeing"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_read_alike(tmp_path: Path, tar: bytes, expected: Seen, agreeing: tuple[str, ...]) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar + AFTER + END)
    for name in ("", *agreeing):
        found = READERS.get(name, ours)(path)
        assert (name, found["x"], found["after"].content) == (name, expected, b"after")


REFUSED: dict[str, bytes] = {
    "digits beyond octal": field(100, b"0000899\0"),
    "a sign": field(100, b"-000644\0"),
    "an underscore": field(100, b"0_00644\0"),
    "two numbers": field(100, b"644 644\0"),
    "a size below zero": hello(fields={124: b"\xff" * 12}),
    "a size beyond the archive": hello(fields={124: b"\x80" + (1 << 60).to_bytes(11, "big")}),
    "a size with a sign in a record": pax({"size": b"-5"}) + hello(),
    "an underscore in a record": pax({"uid": b"1_0"}) + hello(),
    "blanks in a record": pax({"uid": b" 5"}) + hello(),
    "a time that is none": pax({"mtime": b"1e9"}) + hello(),
    "a point alone": pax({"mtime": b"."}) + hello(),
    "a number of a million digits": pax({"uid": b"1" * 1_000_000}) + hello(),
    "a record without a key": raw_file(Header(b"pax", b"x"), b"6 =xx\n") + hello(),
    "a record without an end": raw_file(Header(b"pax", b"x"), b"6 a=xx") + hello(),
    "a record that is longer than all": raw_file(Header(b"pax", b"x"), b"9 a=x\n") + hello(),
    "a record of no length": raw_file(Header(b"pax", b"x"), b"0 a=x\n") + hello(),
    "a header in front of nothing": pax({"path": b"x"}),
    "headers beyond a megabyte": pax({"comment": b"x" * 600_000}) + pax({"comment": b"x" * 600_000}) + hello(),
    "attributes for all": pax({"SCHILY.xattr.user.a": b"x"}, b"g") + hello(),
    "the rest of another archive's file": hello(typeflag=b"M"),
    "old sparse below zero": old_sparse(b"00000001750", b"00000000005", real=b"\xff" * 12),
    "old sparse, a stretch below zero": old_sparse(b"00000001750", b"\xff" * 12),
    "old sparse, an offset below zero": old_sparse(b"\xff" * 12, b"00000000005"),
    "old sparse, beyond the file": old_sparse(b"00000003720", b"00000000005"),
    "old sparse, more than is stored": old_sparse(b"00000001750", b"00000000006"),
    "old sparse, out of order": old_sparse(b"00000001750", b"00000000002", b"00000000000", b"00000000003"),
    "sparse with half a pair": pax({"GNU.sparse.major": b"0", "GNU.sparse.size": b"2000", "GNU.sparse.map": b"1000,5,2000"}) + hello(),
    "sparse 0.0 with half a pair": pax({"GNU.sparse.size": b"2000", "GNU.sparse.offset": b"1000,2000", "GNU.sparse.numbytes": b"5"}) + hello(),
    "sparse 1.0 without its map": pax({"GNU.sparse.major": b"1", "GNU.sparse.realsize": b"2000"}) + raw_file(Header(b"x"), b"9999999999\n1\n"),
    "sparse 1.0 with a map below zero": pax({"GNU.sparse.major": b"1", "GNU.sparse.realsize": b"2000"}) + raw_file(Header(b"x"), padded(b"1\n-5\n5\n") + b"hello"),
    "sparse of no size": pax({"GNU.sparse.major": b"0", "GNU.sparse.size": b"-1", "GNU.sparse.map": b"0,0"}) + hello(),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(
        REFUSED[case] + (b"" if case == "a header in front of nothing" else AFTER) + END
    )
    with pytest.raises(TarError) as caught, path.open("rb") as stream:
        list(read_members(stream, path.name))
    assert len(str(caught.value)) < 200


def test_star_has_a_shorter_prefix(tmp_path: Path) -> None:
    """Two times stand where ustar's prefix ends (star(5))."""
    fields = {345: b"folder", 476: b"00000000001 00000000002 ", 508: b"tar\0"}
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(Header(b"x", fields=fields)) + END)
    with path.open("rb") as stream:
        assert [member.name for member in read_members(stream, path.name)] == ["folder/x"]


def test_what_stays_of_a_file_that_is_only_holes(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    empty = ",".join(f"{number},0" for number in range(1000)).encode()
    path.write_bytes(pax({"GNU.sparse.major": b"0", "GNU.sparse.size": b"5000", "GNU.sparse.map": empty}) + bytes(Header(b"x")) + END)  # fmt: skip
    with path.open("rb") as stream:
        (member,) = read_members(stream, path.name)
    assert (member.node.size, len(member.node.content)) == (5000, 1)
    assert io.BytesIO(ours(path)["x"].content).read() == bytes(5000)
