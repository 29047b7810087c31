"""What is fuzzed of a store's own files: records under a checksum that is right, and seals."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from functools import cache
from pathlib import Path

from compos.image.derived_kinds import DerivedKind
from compos.image.seal import Seals
from compos.image.store import Store
from compos.tree import record
from compos.tree.node import FILE, Hole, Node, Slice, directory, file, symlink
from tests.fuzz.engine import Target

__all__ = ["TARGETS"]

HEAD = f"compos-record 3 {DerivedKind.TREE.title}\n".encode()
BLOB = f"blobs/sha256/{hashlib.sha256(bytes(1000)).hexdigest()}"
NODES = (
    ("bin", directory(0o755, -7)),
    (
        "bin/a",
        Node(
            FILE, 0o4755, 1, 2, 10**18, 1000, (Slice(BLOB, 0, 1000),), xattrs=(("user.a", b"\0"),)
        ),
    ),
    (
        "bin/b",
        Node(
            FILE,
            0o644,
            size=560,
            content=(Slice(BLOB, 9, 400), Hole(150), b"0123456789"),
            inode="1:bin/b",
        ),
    ),
    ("bin/\udcff", file(b"x", 0o644, 0)),
    ("dev", Node("c", 0o600, device=(4095, 1))),
    ("link", symlink("../x", 1)),
)


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _store() -> Store:
    made = Store(_folder() / "store")
    made.put(bytes(1000), "text/plain")
    return made


def _bodies() -> list[bytes]:
    path = _store().root.parent / "valid"
    found = []
    for nodes in (NODES, NODES[:1], ()):
        record.save_nodes(path, DerivedKind.TREE, nodes, (("gone",), ("opaque", "x/y")))
        found.append(path.read_bytes()[len(HEAD) + 32 :])
    return found


def _run_record(body: bytes) -> None:
    """What is read is a tree whose files lie in the store and have their sizes, or nothing."""
    path = _store().root.parent / "record"
    path.write_bytes(HEAD + hashlib.sha256(body).digest() + body)
    for name, node in (record.load_tree(path, DerivedKind.TREE, _store()) or {}).items():
        if name.startswith("/") or {"..", "."} & {*name.split("/")} or "\0" in name:
            raise AssertionError(f"a path that leaves: {name!r}")
        size = 0
        for piece in node.content:
            if isinstance(piece, Slice) and (
                piece.source != BLOB or not 0 <= piece.offset <= 1000 - piece.size
            ):
                raise AssertionError(f"outside of the store: {piece}")
            size += len(piece) if isinstance(piece, bytes) else piece.size
        if node.content and (node.kind != FILE or size != node.size or size < 0):
            raise AssertionError(f"content of another size: {name!r}")


def _seals() -> list[bytes]:
    root = _folder()
    made = Seals(root / "seals")
    for number in range(4):
        made.seal(f"derived/kind/{number}", root.stat(), number, derived=True, synced=False)
    return [(root / "seals").read_bytes()]


def _run_seals(data: bytes) -> None:
    """No exception, and a seal that is added is there afterwards."""
    root = _store().root.parent / "seals"
    root.mkdir(exist_ok=True)
    (root / "seals").write_bytes(data)
    made = Seals(root / "seals")
    made.find("derived/kind/0")
    made.derived_size()
    made.seal("derived/kind/new", root.stat(), 7, derived=True, synced=True)
    found = Seals(root / "seals").find("derived/kind/new")
    if found is None or found.checksum != 7:
        raise AssertionError("a seal was lost")


TARGETS = (
    Target(
        "record",
        _run_record,
        _bodies(),
        (b"\0" * 8, b"\xff" * 8, b"/../", b"../", b"index.json", b"derived/host/x"),
    ),
    Target("seals", _run_seals, _seals(), (b"compos-seals 1\n", b"\0" * 61)),
)
