"""Whose a store is. As root, which these tests are: others are made with chown, and by dropping to
another user."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.errors import ImageError
from compos.image.derived_kinds import DerivedKind
from compos.image.staging import make_private
from compos.image.store import Store
from tests.images import make_image
from tests.nobody import NOBODY, as_nobody

pytestmark = pytest.mark.root

FOREIGN = 100
"""Instead of a number of images: the store is refused as somebody else's."""
ONE = [("a", "file", 0o644, "one")]


@pytest.fixture
def used(store: Store) -> Store:
    make_image(store, "xy:1", [ONE])
    with store.derive(DerivedKind.HOST, "key") as path:
        path.write_bytes(b"x")
    return store


def mode(name: str, bits: int) -> Callable[[Path], None]:
    return lambda root: (root / name).chmod(bits)


def owner(name: str, user: int = NOBODY, group: int = 0) -> Callable[[Path], None]:
    return lambda root: os.chown(root / name, user, group)


def access_list(root: Path) -> None:
    """The group's bits are the mask of the list: the group itself is root's own."""
    # acl(5); linux/posix_acl_xattr.h: owner, user nobody, group, mask, others.
    entries = ((1, 7, -1), (2, 7, NOBODY), (4, 5, -1), (0x10, 7, -1), (0x20, 5, -1))
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(root / "derived", "system.posix_acl_access", data)


def group_of_others(root: Path) -> None:
    os.chown(root, 0, 100)
    root.chmod(0o770)


def link_of_ones_own(root: Path) -> None:
    root.rename(root.parent / "real")
    root.symlink_to("real")


def blobs_elsewhere(root: Path) -> None:
    """A folder of the store that is a link to one that others can change."""
    elsewhere = root.parent / "elsewhere"
    (root / "blobs").rename(elsewhere)
    (root / "blobs").symlink_to(elsewhere)
    elsewhere.chmod(0o777)


def link_of_another(root: Path) -> None:
    link_of_ones_own(root)
    os.chown(root, NOBODY, 0, follow_symlinks=False)


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "the store is somebody else's": (owner(""), "store-foreign"),
    "everybody can write": (mode("", 0o777), "store-writable"),
    "even if sticky": (mode("", 0o1777), "store-writable"),
    "blobs are somebody else's": (owner("blobs"), "store-foreign"),
    "a folder of blobs": (owner("blobs/sha256"), "store-foreign"),
    "writable blobs": (mode("blobs/sha256", 0o757), "store-writable"),
    "derived results": (mode("derived", 0o777), "store-writable"),
    "one kind of them": (mode("derived/host", 0o777), "store-writable"),
    "the names": (owner("index.json"), "store-foreign"),
    "writable names": (mode("index.json", 0o666), "store-writable"),
    "the seals": (owner("seals"), "store-foreign"),
    "where files are made": (mode("ingest", 0o777), "store-writable"),
    "a group of others": (group_of_others, "store-writable"),
    "an access list": (access_list, "store-writable"),
    "a folder above": (mode("..", 0o777), "store-writable"),
    "a folder above is somebody else's": (owner(".."), "store-foreign"),
    "a link of somebody else": (link_of_another, "store-foreign"),
    "blobs elsewhere": (blobs_elsewhere, "store-writable"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_store_that_others_can_change_is_refused(
    used: Store, case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected = REFUSED[case]
    change(used.root)
    with pytest.raises(ImageError) as caught:
        Store(used.root)
    assert caught.value.id == expected
    assert str(used.root) in str(caught.value.place)
    assert "COMPOS_TRUST_CACHE" in str(caught.value.hint)
    assert main(["cache", "ls", "--cache", str(used.root)]) == 1
    assert f"error[{expected}]" in capsys.readouterr().err
    monkeypatch.setenv("COMPOS_TRUST_CACHE", "1")
    assert Store(used.root).derived(DerivedKind.HOST, "key") is not None
    assert main(["cache", "ls", "--cache", str(used.root)]) == 0
    monkeypatch.setenv("COMPOS_TRUST_CACHE", "0")
    with pytest.raises(ImageError):
        Store(used.root)


ACCEPTED: dict[str, Callable[[Path], None]] = {
    "the user's own group": mode("", 0o770),
    "below a sticky folder": mode("..", 0o1777),
    "private": mode("", 0o700),
    "readable": mode("", 0o755),
    "a link of one's own": link_of_ones_own,
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_nobody_else_can_change_is_used(used: Store, case: str) -> None:
    ACCEPTED[case](used.root)
    assert Store(used.root).derived(DerivedKind.HOST, "key") is not None


def test_whatever_the_umask_a_store_stays_ones_own(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = Store(tmp_path / "new/store")
        # Before anything else is: where Debian's packages go.
        make_private(store.root / "debian")
        for number in range(2):
            make_image(store, f"xy:{number}", [ONE])
            with store.derive(DerivedKind.HOST, f"key{number}") as path:
                path.write_bytes(b"x")
            assert Store(store.root).derived(DerivedKind.HOST, f"key{number}") is not None
    finally:
        os.umask(old)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new/store").stat().st_mode & 0o777 == 0o700
    assert all(
        not path.stat().st_mode & 0o022
        for path in store.root.rglob("*")
        if path.name not in (".lock", ".use")
    )


def test_files_of_others_become_ours_or_are_made_anew(used: Store) -> None:
    """As an archive leaves them that root has unpacked."""
    layer = next((used.root / "blobs/sha256").iterdir())
    for path in (layer, used.root / "derived/host/key"):
        os.chown(path, NOBODY, 0)
    fresh = Store(used.root)
    assert fresh.has(f"sha256:{layer.name}")
    assert layer.stat().st_uid == 0
    assert fresh.derived(DerivedKind.HOST, "key") is None


@pytest.mark.parametrize(("user", "expected"), [(0, 1), (NOBODY, 1), (1, FOREIGN)])
def test_a_user_takes_roots_store_and_no_other_users(used: Store, user: int, expected: int) -> None:
    """In a folder that nobody can reach into: pytest's own are root's alone."""
    place = Path("/var/tmp") / f"compos-test-{os.getpid()}"
    try:
        shutil.copytree(used.root, place, symlinks=True)
        for path in (place, *place.rglob("*")):
            os.chown(path, user, 0)
            path.chmod(0o755 if path.is_dir() else 0o644)

        def images() -> int:
            try:
                return len(Store(place).entries())
            except ImageError as error:
                return FOREIGN if error.id == "store-foreign" else 255

        assert as_nobody(images) == expected
    finally:
        shutil.rmtree(place, ignore_errors=True)
