"""The content store: what is written, what is verified, what is left after every kind of
failure."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.errors import ImageError
from compos.image.derived_kinds import DerivedKind
from compos.image.digest import digest_of
from compos.image.model import MANIFEST, Descriptor
from compos.image.removal import clean, remove
from compos.image.staging import disk_errors
from compos.image.store import REF_NAME, Store, default_root
from tests.images import AMD64, ARM64, make_image, make_index, put_image
from tests.machine import unshared

FILE = [("a", "file", 0o644, "content")]
OTHER = [("b", "file", 0o644, "other")]


def files(store: Store) -> set[str]:
    """Everything in the store, by path, but for locks and seals."""
    found = {str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file()}
    return found - {".lock", ".use", "seals"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"COMPOS_CACHE": "/c", "LINUXKIT_CACHE": "/l", "XDG_CACHE_HOME": "/x"}, "/c"),
        ({"LINUXKIT_CACHE": "/l", "XDG_CACHE_HOME": "/x"}, "/l"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/compos"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/compos"),
        ({"HOME": "/h", "COMPOS_CACHE": ""}, "/h/.cache/compos"),
    ],
)
def test_default_root(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_root() == Path(expected)


def test_reading_makes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert store.entries() == []
    assert store.resolve("x") is None
    assert store.derived(DerivedKind.HOST, "key") is None
    assert not store.has("sha256:" + "0" * 64)
    assert not store.root.exists()


def test_layout_is_one_that_skopeo_reads(store: Store) -> None:
    image = make_image(store, "xy:1", [FILE])
    command = ["skopeo", "inspect", f"oci:{store.root}:{image.name}"]
    said = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert said["Digest"] == image.digest
    assert said["Layers"] == [layer.digest for layer in image.layers]
    assert (store.root / "index.json").read_text().startswith('{\n   "schemaVersion": 2,')


def test_two_ways_to_the_same_store_give_the_same_bytes(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name) for name in "ab"]
    for store in stores:
        make_image(store, "xy:1", [FILE], {"Labels": {"b": "1", "a": "2"}})
    one, other = stores
    assert files(one) == files(other)
    assert all(
        (one.root / name).read_bytes() == (other.root / name).read_bytes() for name in files(one)
    )


def test_writer(store: Store) -> None:
    with store.writer() as blob:
        blob.write(b"one ")
        blob.write(b"two")
        descriptor = blob.commit("text/plain", digest_of(b"one two"), 7)
    assert descriptor == Descriptor("text/plain", digest_of(b"one two"), 7)
    assert store.read(descriptor.digest) == b"one two"
    assert store.has(descriptor.digest, 7)
    assert not store.has(descriptor.digest, 8)
    assert list((store.root / "ingest").iterdir()) == []


@pytest.mark.parametrize(
    ("digest", "size", "expected"),
    [
        (digest_of(b"x"), None, "digest-mismatch"),
        (None, 4, "download-truncated"),
        (None, 2, "digest-mismatch"),
    ],
)
def test_writer_refuses_another_blob(
    store: Store, digest: str | None, size: int | None, expected: str
) -> None:
    with store.writer() as blob:
        blob.write(b"abc")
        with pytest.raises(ImageError) as caught:
            blob.commit("text/plain", digest, size)
    assert caught.value.id == expected
    assert files(store) == {"oci-layout", "index.json"}


def fail_while_writing(store: Store) -> None:
    with store.writer() as blob:
        blob.write(b"abc")
        raise RuntimeError("from within")


def fail_while_deriving(store: Store) -> None:
    with store.derive(DerivedKind.HOST, "key") as path:
        path.write_bytes(b"x")
        raise RuntimeError("from within")


@pytest.mark.parametrize("fail", [fail_while_writing, fail_while_deriving])
def test_an_error_leaves_nothing(store: Store, fail: Callable[[Store], None]) -> None:
    with pytest.raises(RuntimeError):
        fail(store)
    assert files(store) == {"oci-layout", "index.json"}
    assert list((store.root / "ingest").iterdir()) == []


def test_errors_of_the_block_are_not_the_stores(store: Store) -> None:
    with pytest.raises(FileNotFoundError), store.writer():
        Path("/nowhere").read_bytes()
    with pytest.raises(FileNotFoundError), store.derive(DerivedKind.HOST, "key"):
        Path("/nowhere").read_bytes()


@pytest.mark.parametrize(
    ("number", "only_full", "expected"),
    [
        (errno.ENOSPC, False, "store-full"),
        (errno.EDQUOT, True, "store-full"),
        (errno.EROFS, False, "store-read-only"),
        (errno.EACCES, False, "store-read-only"),
        (errno.EIO, False, "store-error"),
    ],
)
def test_disk_errors(number: int, only_full: bool, expected: str) -> None:
    with pytest.raises(ImageError) as caught, disk_errors(Path("/store"), only_full=only_full):
        raise OSError(number, os.strerror(number))
    assert (caught.value.id, caught.value.place) == (expected, "/store")
    assert caught.value.hint


LITTLE_DISK = """
import sys
from pathlib import Path
from compos.errors import ImageError
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
store = Store(Path(sys.argv[1]))
small = store.put(b"small", "text/plain")
def fill():
    with store.writer() as blob:
        for _ in range(100):
            blob.write(bytes(100_000))
        blob.commit("x")
def derive():
    with store.derive(DerivedKind.HOST, "key") as path:
        path.write_bytes(bytes(10_000_000))
for action in (fill, derive):
    try:
        action()
    except ImageError as error:
        print(error.id)
print(list((store.root / "ingest").iterdir()), store.read(small.digest))
"""


READ_ONLY = """
import sys
from pathlib import Path
from compos.errors import ImageError
from compos.image.removal import clean
from compos.image.store import Store
store = Store(Path(sys.argv[1]))
print(store.read(store.resolve("h/xy:1").digest))
for action in (lambda: store.put(b"new", "text/plain"), lambda: store.untag("h/xy:1"), lambda: clean(store)):
    try:
        action()
    except ImageError as error:
        print(error.id)
"""


def in_namespace(mount: str, script: str, folder: Path) -> str:
    """What a script prints after a mount that nobody else sees."""
    words = [sys.executable, "-c", script, str(folder)]
    command = [
        *unshared("--mount", "--map-root-user"),
        "sh",
        "-c",
        f'{mount} && exec "$@"',
        "sh",
        *words,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.root
def test_full_disk(tmp_path: Path) -> None:
    """On a real disk of 1 MB."""
    printed = in_namespace(
        f"mount -t tmpfs -o size=1m none {tmp_path}", LITTLE_DISK, tmp_path / "store"
    )
    assert printed == "store-full\nstore-full\n[] b'small'\n"


@pytest.mark.root
def test_read_only_disk(store: Store) -> None:
    store.tag("h/xy:1", store.put(b"content", MANIFEST))
    mount = f"mount --bind {store.root} {store.root} && mount -o remount,ro,bind {store.root}"
    assert in_namespace(mount, READ_ONLY, store.root) == "b'content'\n" + "store-read-only\n" * 3


def damage(store: Store, digest: str, change: Callable[[bytes], bytes]) -> None:
    path = store.path(digest)
    path.write_bytes(change(path.read_bytes()))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "flipped": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "shorter": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("part", ["layer", "manifest"])
def test_damage_is_found_and_moved_aside(store: Store, kind: str, part: str) -> None:
    image = make_image(store, "xy:1", [[("big", "file", 0o644, os.urandom(3 << 20))]])
    root = store.resolve(image.name)
    assert root is not None
    blob = image.layers[0] if part == "layer" else root
    damage(store, blob.digest, DAMAGE[kind])
    with pytest.raises(ImageError) as caught:
        read_all(store, blob)
    assert caught.value.id == "store-corrupt"
    assert caught.value.place == f"{image.name}: {blob.digest}"
    assert "cache rm" in str(caught.value.hint)
    assert not store.has(blob.digest)
    with pytest.raises(ImageError) as caught:
        read_all(store, blob)
    assert caught.value.id == "store-missing"


def read_all(store: Store, blob: Descriptor) -> int:
    """Read a blob in pieces, as a decompressor does; no piece of a damaged blob's end may come."""
    size = 0
    with store.open(blob) as stream:
        while piece := stream.read(100_000):
            size += len(piece)
            assert size <= blob.size
    return size


def test_what_is_added_while_reading_is_not_read(store: Store) -> None:
    blob = store.put(bytes(3_000_000), "text/plain")
    with store.open(blob) as stream:
        stream.read(1)
        damage(store, blob.digest, lambda data: data + b"more")
        assert len(stream.read()) == blob.size - 1


def test_read_verifies(store: Store) -> None:
    blob = store.put(b"abc", "text/plain")
    damage(store, blob.digest, DAMAGE["flipped"])
    with pytest.raises(ImageError) as caught:
        store.read(blob.digest)
    assert caught.value.id == "store-corrupt"


def test_names(store: Store) -> None:
    one, two = (Descriptor(MANIFEST, store.put(text, MANIFEST).digest, 1) for text in (b"1", b"2"))
    store.tag("h/b:1", one, annotations={"note": "kept"})
    store.tag("h/a:1", two)
    store.tag("h/b:1", two)
    assert [(entry.annotations[REF_NAME], entry.digest) for entry in store.entries()] == [
        ("h/a:1", two.digest),
        ("h/b:1", two.digest),
    ]
    assert store.resolve("h/b:1") == store.entries()[1]
    assert store.resolve("h/b") is None
    assert store.untag("h/b:1")
    assert not store.untag("h/b:1")
    assert len(store.entries()) == 1


def test_what_other_tools_wrote_in_the_index_survives(store: Store) -> None:
    store.put(b"x", MANIFEST)
    foreign = {
        "mediaType": MANIFEST,
        "digest": digest_of(b"x"),
        "size": 1,
        "artifactType": "theirs",
    }
    (store.root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [foreign]}))
    store.tag("h/a:1", Descriptor(MANIFEST, digest_of(b"x"), 1))
    assert json.loads((store.root / "index.json").read_text())["manifests"][0] == foreign


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"manifests": 3}'])
def test_an_index_that_cannot_be_read(store: Store, text: str) -> None:
    store.put(b"x", MANIFEST)
    (store.root / "index.json").write_text(text)
    with pytest.raises(ImageError) as caught:
        store.entries()
    assert caught.value.id == "store-corrupt"


def _tag_many(root: Path, prefix: str) -> None:
    store = Store(root)
    for number in range(10):
        store.tag(f"{prefix}{number}", store.put(f"{prefix}{number}".encode(), MANIFEST))


def test_names_from_several_processes_and_threads(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_tag_many, args=(store.root, f"p{number}")) for number in range(2)
    ]
    threads = [
        threading.Thread(target=_tag_many, args=(store.root, f"t{number}")) for number in range(2)
    ]
    workers: list[multiprocessing.process.BaseProcess | threading.Thread] = [*processes, *threads]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(store.entries()) == 40


def test_leftovers_of_a_killed_process_go(store: Store) -> None:
    script = (
        "import os, sys; from pathlib import Path; from compos.image.store import Store\n"
        "with Store(Path(sys.argv[1])).writer() as blob:\n    blob.write(bytes(1000)); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(store.root)], check=False)
    assert len(list((store.root / "ingest").iterdir())) == 1
    with Store(store.root).writer() as mine:
        mine.write(b"x")
        Store(store.root).put(b"y", "text/plain")
        assert len(list((store.root / "ingest").iterdir())) == 1, (
            "what is being written stays, what was left is gone"
        )
        mine.commit("text/plain")


def test_derived(store: Store) -> None:
    with store.derive(DerivedKind.HOST, "sha256:ab") as path:
        assert store.derived(DerivedKind.HOST, "sha256:ab") is None
        path.write_bytes(b"one")
    found = store.derived(DerivedKind.HOST, "sha256:ab")
    assert found is not None
    assert found.read_bytes() == b"one"


@pytest.mark.parametrize("key", ["", "..", "a/b", ".hidden", "-x"])
def test_keys_are_file_names(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="file name"):
        store.derived(DerivedKind.HOST, key)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "[",
            "3",
            "[]",
            "null",
            '{"a": 1}',
            "[" * 100_000,
            '["a", "b", "../../etc/passwd", 3]',
            '["a", "b", 3, 3]',
        ),
        *(
            '["a", "b", "DIGEST", "7"]',
            '["a", "b", "DIGEST", true]',
            '["a", "b", "DIGEST", -1]',
            '[1, "b", "DIGEST", 7]',
        ),
        *('["a", 1, "DIGEST", 7]', '["a", "b", "DIGEST", 7, 8]', '["a", "b", "DIGEST", 6]', "\xff"),
    ],
)
def test_what_is_recalled_was_remembered(store: Store, text: str) -> None:
    blob = store.put(b"content", MANIFEST)
    store.remember(DerivedKind.LOCAL, "key", "h/a:1", blob)
    assert store.recall(DerivedKind.LOCAL, "key") == ("h/a:1", blob)
    assert store.recall(DerivedKind.LOCAL, "other") is None
    with store.derive(DerivedKind.LOCAL, "key") as path:
        path.write_bytes(text.replace("DIGEST", blob.digest).encode("latin-1"))
    assert store.recall(DerivedKind.LOCAL, "key") is None
    store.remember(DerivedKind.LOCAL, "key", "h/a:1", blob)
    store.path(blob.digest).unlink()
    assert store.recall(DerivedKind.LOCAL, "key") is None


def test_remove_keeps_what_others_need(store: Store) -> None:
    one = make_image(store, "one:1", [FILE, OTHER])
    two = make_image(store, "two:1", [FILE])
    make_index(
        store,
        "three:1",
        {
            AMD64: put_image(store, layers=[OTHER])[0],
            ARM64: Descriptor(MANIFEST, digest_of(b"no"), 2),
        },
    )
    manifests = [one.digest, one.config_digest]
    freed = sum(store.path(digest).stat().st_size for digest in manifests)
    assert remove(store, one.name) == freed
    assert store.resolve(one.name) is None
    assert [store.has(digest) for digest in manifests] == [False, False]
    assert store.read(two.layers[0].digest)
    assert store.has(one.layers[1].digest), "the index needs it"
    remove(store, two.name, "docker.io/library/three:1")
    assert files(store) == {"oci-layout", "index.json"}


def test_remove_is_all_or_nothing(store: Store) -> None:
    image = make_image(store, "one:1", [FILE])
    before = files(store)
    with pytest.raises(ImageError) as caught:
        remove(store, image.name, "h/none:1")
    assert (caught.value.id, caught.value.place) == ("image-not-found", "h/none:1")
    assert files(store) == before


def test_clean(store: Store) -> None:
    make_image(store, "one:1", [FILE])
    (store.root / "of-the-user").write_text("stays")
    clean(store)
    assert files(store) == {"of-the-user"}
    assert make_image(store, "one:1", [FILE]).name == store.entries()[0].annotations[REF_NAME]
