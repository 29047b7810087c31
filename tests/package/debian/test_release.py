"""The Release file: nothing is believed that the keyring did not sign, or that is not what was
asked for."""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path

import pytest

from compos.errors import PackageError
from compos.package.debian.download import Expected
from compos.package.debian.release import load_release, verify_release
from tests.package.debian import archive_of
from tests.package.debian.archive_of import Archive, Key, serve

HASH = "ab" * 32
NOW = 1_795_252_544
"""Sat, 21 Nov 2026 09:15:44 UTC"""
DAY = 86400
TEXT = f"Suite: stable\nCodename: trixie\nDate: Sat, 21 Nov 2026 09:15:44 UTC\nSHA256:\n {HASH} 12 main/x\n"


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


@pytest.fixture
def keyring(key: Key, tmp_path: Path) -> Path:
    return key.keyring(tmp_path / "keyring.gpg")


def failure(data: bytes, keyring: Path, *, suite: str = "trixie", now: float = NOW) -> PackageError:
    with pytest.raises(PackageError) as caught:
        verify_release(data, keyring, suite=suite, place="place", now=now)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("suite", ["trixie", "stable"])
def test_verified(key: Key, keyring: Path, suite: str) -> None:
    release = verify_release(key.sign(TEXT), keyring, suite=suite, place="place", now=NOW)
    assert release.codename == "trixie"
    assert release.files == {"main/x": Expected(12, HASH)}
    assert not release.by_hash


def test_only_signed_text_is_used(key: Key, keyring: Path) -> None:
    around = b"Acquire-By-Hash: yes\n\n" + key.sign(TEXT) + b"\nCodename: other\n"
    release = verify_release(around, keyring, suite="trixie", place="place", now=NOW)
    assert (release.codename, release.by_hash) == ("trixie", False)


def test_tampered(key: Key, keyring: Path) -> None:
    signed = key.sign(TEXT)
    assert failure(signed.replace(b" 12 main", b" 13 main"), keyring).id == "debian-signature"


@pytest.mark.parametrize("data", [b"", b"\xff\x00", TEXT.encode(), b"<html>not found</html>"])
def test_unsigned(keyring: Path, data: bytes) -> None:
    assert failure(data, keyring).id == "debian-signature"


def test_signature_cut_off(key: Key, keyring: Path) -> None:
    assert failure(key.sign(TEXT)[:-200], keyring).id == "debian-signature"


def test_signed_by_somebody_else(keyring: Path) -> None:
    error = failure(Key().sign(TEXT), keyring)
    assert error.id == "debian-signature"
    assert "backtrace" not in str(error)


def test_other_suite(key: Key, keyring: Path) -> None:
    error = failure(key.sign(TEXT), keyring, suite="bookworm")
    assert error.id == "debian-release-suite"
    assert "trixie" in error.message


@pytest.mark.parametrize(
    ("until", "accepted", "refused"),
    [
        ("Valid-Until: Sun, 22 Nov 2026 09:15:44 UTC\n", NOW + DAY, NOW + DAY + 1),
        # Stable's main suite says nothing, and its last index serves long-term support for two
        # years.
        ("", NOW + 2 * 365 * DAY, NOW + 4 * 365 * DAY),
        # Clocks differ.
        ("", NOW - DAY, NOW - DAY - 1),
    ],
)
def test_dates(key: Key, keyring: Path, until: str, accepted: float, refused: float) -> None:
    signed = key.sign(until + TEXT)
    assert (
        verify_release(signed, keyring, suite="trixie", place="place", now=accepted).seconds == NOW
    )
    id = "debian-release-expired" if refused > NOW else "debian-release-future"
    assert failure(signed, keyring, now=refused).id == id


def test_an_archive_of_the_past(key: Key, keyring: Path) -> None:
    signed = key.sign("Valid-Until: Sun, 22 Nov 2026 09:15:44 UTC\n" + TEXT)
    assert "COMPOS_DEBIAN_EXPIRED" in str(failure(signed, keyring, now=NOW * 2).hint)
    assert verify_release(
        signed, keyring, suite="trixie", place="p", now=NOW * 2, expired=True
    ).date


@pytest.mark.parametrize(
    "text",
    [
        "Valid-Until: soon\n" + TEXT,
        TEXT.replace("Date: ", "Day: "),
        TEXT.replace("21 Nov", "21 Nov 9999999999"),
        TEXT + "Codename: trixie\n",
        TEXT + f" {HASH} 13 main/x\n",
        TEXT.replace(" 12 ", f" {'9' * 5000} "),
    ],
)
def test_unreadable(key: Key, keyring: Path, text: str) -> None:
    assert failure(key.sign(text), keyring).id == "debian-release"


def test_an_older_index_does_not_replace_a_newer_one(
    key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path / "mirror", key).write()
    mirror = archive.mirror(tmp_path / "k")
    first = load_release(mirror, "trixie", tmp_path / "cache")
    (kept,) = (tmp_path / "cache/releases").iterdir()
    newest = kept.read_bytes()
    monkeypatch.setattr(archive_of, "DATE", formatdate(first.seconds - 1))
    archive.write()
    with pytest.raises(PackageError) as caught:
        load_release(mirror, "trixie", tmp_path / "cache")
    assert caught.value.id == "debian-release-older"
    assert first.date in caught.value.message
    assert kept.read_bytes() == newest
    assert load_release(mirror, "trixie", tmp_path / "cache", offline=True) == first
    # Signed anew at the same time, or later: taken.
    for seconds in (first.seconds, first.seconds + 1):
        monkeypatch.setattr(archive_of, "DATE", formatdate(seconds))
        archive.write()
        assert load_release(mirror, "trixie", tmp_path / "cache").seconds == seconds
    # What was damaged there says nothing.
    kept.write_bytes(b"nonsense")
    monkeypatch.setattr(archive_of, "DATE", formatdate(first.seconds - 1))
    archive.write()
    assert load_release(mirror, "trixie", tmp_path / "cache").seconds == first.seconds - 1


def test_no_hashes(key: Key, keyring: Path) -> None:
    assert (
        failure(key.sign("Codename: trixie\nMD5Sum:\n abc 1 x\n"), keyring).id == "debian-release"
    )


def test_keyring_that_is_none(key: Key, tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"nothing")
    for path in (tmp_path / "k", tmp_path / "missing"):
        assert failure(key.sign(TEXT), path).id == "debian-no-keyring"


def test_kept_for_offline(key: Key, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "mirror", key).write()
    mirror = archive.mirror(tmp_path / "k")
    cache = tmp_path / "cache"
    with pytest.raises(PackageError) as caught:
        load_release(mirror, "trixie", cache, offline=True)
    assert caught.value.id == "debian-offline"
    fetched = load_release(mirror, "trixie", cache)
    (archive.root / "dists/trixie/InRelease").unlink()
    assert load_release(mirror, "trixie", cache, offline=True) == fetched
    with pytest.raises(PackageError) as caught:
        load_release(mirror, "trixie", cache)
    assert caught.value.id == "debian-not-found"
    (kept,) = (cache / "releases").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"trixie", b"trixia"))
    with pytest.raises(PackageError) as caught:
        load_release(mirror, "trixie", cache, offline=True)
    assert caught.value.id == "debian-signature"


def test_wrong_signature_does_not_replace_what_is_kept(key: Key, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "mirror", key).write()
    mirror = archive.mirror(tmp_path / "k")
    load_release(mirror, "trixie", tmp_path / "cache")
    Archive(tmp_path / "mirror", Key()).write()
    with pytest.raises(PackageError) as caught:
        load_release(mirror, "trixie", tmp_path / "cache")
    assert caught.value.id == "debian-signature"
    assert load_release(mirror, "trixie", tmp_path / "cache", offline=True).codename == "trixie"


def test_endless_file_is_refused(key: Key, tmp_path: Path) -> None:
    folder = tmp_path / "mirror/dists/trixie"
    folder.mkdir(parents=True)
    with (folder / "InRelease").open("wb") as stream:
        stream.truncate(9 << 20)
    with serve(tmp_path / "mirror") as server, pytest.raises(PackageError) as caught:
        load_release(
            Archive(tmp_path, key).mirror(tmp_path / "k", server.url), "trixie", tmp_path / "cache"
        )
    assert caught.value.id == "debian-file-size"
