"""A lock as a file: JSON that is written in one way, and read as if a stranger had written it
(docs/lock.md).

May touch: the file. Every object is written with its keys in a fixed order and one value per line,
so that a version control system shows what has changed. The file ends with the digest of
everything else in it: what was edited by hand, or merged halfway, is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from compos.config.sources import default_name, folder_of, is_url
from compos.errors import ComposError, PackageError
from compos.http.address import without_secrets
from compos.image.digest import Digest, digest_of
from compos.image.json_document import canonical_json, parse_json
from compos.image.model import INDEX_TYPES, MANIFEST, MANIFEST_TYPES, Descriptor
from compos.image.platform import Platform
from compos.image.reference import LOCAL_IMAGES, Reference
from compos.package.choice import Choice
from compos.package.debian.package import PATTERNS, Package
from compos.package.debian.relation import NAME
from compos.package.debian.version import VERSION
from compos.package.lock.model import YAML, BuiltImage, Lock, Locked, Published

__all__ = ["SCHEMA", "lock_path", "lock_text", "read_lock"]

SCHEMA = 1

MAX_LOCK = 64 << 20
"""Bytes of a lock; that of a system with 600 Debian packages has 300 KB."""

_SUITE = r"[a-z0-9][a-z0-9.-]{0,63}"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_INDEX = re.compile(f"({_SUITE})@({_DATE})")
_PACKAGE = re.compile(rf"({_SUITE})/({NAME})_({VERSION})_([a-z0-9-]{{1,64}})", re.ASCII)
_LIST = re.compile(r"[a-z-]+/binary-[a-z0-9-]+/Packages")
_BLOB = ("mediaType", "digest", "size")
_HEX = PATTERNS["sha256"]
_HOMEPAGE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,2048}")


def lock_path(sources: Sequence[str]) -> Path:
    """Where the lock of `sources` is: `os.lock` beside `os.yml`, for a URL in the current
    folder."""
    return (folder_of(sources[-1]) or Path()) / f"{default_name(sources[-1])}.lock"


def lock_text(lock: Lock) -> str:
    """`lock` as a file's contents; equal locks have equal texts."""
    document = _document(lock)
    document["digest"] = _digest(document)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read_lock(path: Path) -> Lock:
    """The lock at `path`. Raises `PackageError` (`lock-missing`, `lock-unreadable`,
    `lock-schema`, `lock-edited`, `lock-invalid`)."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_LOCK + 1)
    except FileNotFoundError as error:
        raise PackageError(
            "lock-missing",
            "the system has no lock",
            place=str(path),
            hint="Write one with `compos lock`.",
        ) from error
    except OSError as error:
        raise PackageError(
            "lock-unreadable",
            f"the lock cannot be read: {error.strerror or error}",
            place=str(path),
            hint="Make the file readable.",
        ) from error
    try:
        document = parse_json(data, limit=MAX_LOCK)
    except ValueError as error:
        raise _invalid(path, "", f"it is not JSON: {error}") from error
    return _Reader(path).lock(document)


def _digest(document: Mapping[str, Any]) -> Digest:
    rest = {key: value for key, value in document.items() if key != "digest"}
    return digest_of(canonical_json(rest))


# Writing


def _document(lock: Lock) -> dict[str, Any]:
    images = sorted(lock.images.items())
    choices = [built.choice for _, one in images for built in one.built.values()]
    lists: dict[str, dict[str, str]] = {}
    for choice in choices:
        for suite, date in choice.dates.items():
            lists.setdefault(f"{suite}@{date}", {}).update(choice.lists.get(suite, {}))
    return {
        "schemaVersion": SCHEMA,
        "tool": lock.tool,
        **({"mirror": lock.mirror} if lock.mirror else {}),
        **({"sources": _sources(lock.sources)} if lock.sources else {}),
        "images": {name: _image(one) for name, one in images},
        "debian": {
            "indexes": {name: dict(sorted(one.items())) for name, one in sorted(lists.items())},
            "packages": _packages(lock.packages),
        },
    }


def _sources(sources: Mapping[str, Descriptor]) -> dict[str, Any]:
    return {
        name: {"digest": source.digest, "size": source.size}
        for name, source in sorted(sources.items())
    }


def _packages(packages: Iterable[Package]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for package in packages:
        entry = _package(package)
        if found.setdefault(_package_key(package), entry) != entry:
            raise PackageError(
                "lock-package-twice",
                f"two Debian packages are called {package} in {package.suite}",
                place=f"{package.filename}, SHA-256 {package.sha256}",
                hint="Lock all images anew with `compos lock --update`.",
            )
    return found


def _image(locked: Locked) -> dict[str, Any]:
    if published := locked.published:
        manifests = sorted(published.manifests.items())
        return {
            **published.root.plain.to_json(),
            "platforms": {str(platform): {"digest": digest} for platform, digest in manifests},
        }
    return {
        "platforms": {
            str(platform): _built(image) for platform, image in sorted(locked.built.items())
        }
    }


def _built(image: BuiltImage) -> dict[str, Any]:
    choice = image.choice
    return {
        **image.manifest.plain.to_json(),
        "attestations": [one.plain.to_json() for one in image.attestations],
        "recipe": image.recipe,
        **({"bases": list(image.bases)} if image.bases else {}),
        "indexes": sorted(f"{suite}@{date}" for suite, date in choice.dates.items()),
        **({"leftOut": list(choice.left_out)} if choice.left_out else {}),
        "packages": [_package_key(package) for package in choice.packages],
    }


def _package_key(package: Package) -> str:
    return f"{package.suite}/{package.name}_{package.version}_{package.architecture}"


def _package(package: Package) -> dict[str, Any]:
    return {
        "path": package.filename,
        "size": package.size,
        "sha256": package.sha256,
        "source": package.source,
        "sourceVersion": package.source_version,
        **({"homepage": package.homepage} if package.homepage else {}),
    }


# Reading


class _Reader:
    """Reads the lock at `path`, strictly: what is not known is an error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lists: dict[str, dict[str, str]] = {}
        self._packages: dict[str, Package] = {}
        self._images: Mapping[str, object] = {}

    def lock(self, value: object) -> Lock:
        """The whole document. Raises `PackageError`."""
        document = _mapping(value, self._fail(""))
        if document.get("schemaVersion") != SCHEMA:
            raise PackageError(
                "lock-schema",
                f"the lock has the schema version {_shown(document.get('schemaVersion'))}; this "
                f"compos reads version {SCHEMA}",
                place=str(self._path),
                hint="Use the compos that wrote it, or write it again with `compos lock`.",
            )
        if document.get("digest") != _digest(document):
            raise PackageError(
                "lock-edited",
                "the lock is not as compos wrote it: its digest does not match its contents",
                place=str(self._path),
                hint="Restore it from version control, or remove it and run `compos lock`.",
            )
        keys = ("schemaVersion", "tool", "images", "debian", "digest")
        self._keys(document, "", keys, ("mirror", "sources"))
        debian = self._object(document["debian"], "debian")
        self._keys(debian, "debian", ("indexes", "packages"))
        for name, found in self._items(debian["indexes"], "debian.indexes"):
            self._lists[name] = self._index(name, found)
        for name, found in self._items(debian["packages"], "debian.packages"):
            self._packages[name] = self._package(name, found)
        self._images = self._object(document["images"], "images")
        images = {
            self._name(name): self._image(found, f"images.{name[:100]}")
            for name, found in self._images.items()
        }
        tool = self._text(document["tool"], "tool", re.compile(r"[0-9A-Za-z.+_-]{1,100}"))
        sources = {
            self._url(name): self._source(found, f"sources.{name[:100]}")
            for name, found in self._items(document.get("sources", {}), "sources")
        }
        return Lock(tool, images, self._mirror(document.get("mirror", "")), sources)

    def _url(self, text: str) -> str:
        if not is_url(text) or without_secrets(text) != text:
            raise self._fail("sources")(f"{without_secrets(text)[:100]!r} is not a plain URL")
        return text

    def _source(self, value: object, key: str) -> Descriptor:
        found = self._object(value, key)
        self._keys(found, key, ("digest", "size"))
        digest = self._digest(found["digest"], f"{key}.digest")
        return Descriptor(YAML, digest, self._size(found["size"], f"{key}.size"))

    def _name(self, text: str) -> str:
        if text.startswith(LOCAL_IMAGES) and text.isprintable():
            return text
        reference = Reference.find(text)
        if reference is None or str(reference) != text:
            raise self._fail("images")(f"{text[:100]!r} is not an image's canonical name")
        return text

    def _mirror(self, value: object) -> str:
        if value == "":
            return ""
        reference = Reference.find(value) if isinstance(value, str) else None
        if reference is None or str(reference) != value or reference.tag or reference.digest:
            raise self._fail("mirror")("it is not a repository of a registry")
        return str(reference)

    def _image(self, value: object, key: str) -> Locked:
        document = self._object(value, key)
        platforms = {
            self._platform(name, key): (found, f"{key}.platforms.{name[:100]}")
            for name, found in self._items(document.get("platforms"), f"{key}.platforms")
        }
        if "digest" not in document:
            self._keys(document, key, ("platforms",))
            return Locked(
                built={name: self._built(found, at) for name, (found, at) in platforms.items()}
            )
        self._keys(document, key, (*_BLOB, "platforms"))
        manifests = {}
        for name, (found, at) in platforms.items():
            only = self._object(found, at)
            self._keys(only, at, ("digest",))
            manifests[name] = self._digest(only["digest"], f"{at}.digest")
        root = self._blob(document, key, (*INDEX_TYPES, *MANIFEST_TYPES))
        return Locked(Published(root, manifests))

    def _built(self, value: object, key: str) -> BuiltImage:
        found = self._object(value, key)
        names = (*_BLOB, "attestations", "recipe", "indexes", "packages")
        self._keys(found, key, names, ("bases", "leftOut"))
        attestations = []
        if not isinstance(found["attestations"], list):
            raise self._fail(f"{key}.attestations")("it is not a list")
        for number, one in enumerate(found["attestations"]):
            at = f"{key}.attestations[{number}]"
            blob = self._object(one, at)
            self._keys(blob, at, _BLOB)
            attestations.append(self._blob(blob, at, (MANIFEST,)))
        dates: dict[str, str] = {}
        lists: dict[str, Mapping[str, str]] = {}
        for name in self._texts(found["indexes"], f"{key}.indexes"):
            if name not in self._lists:
                raise self._fail(f"{key}.indexes")(f"{name[:100]!r} is not in debian.indexes")
            suite, _, dates[suite] = name.partition("@")
            lists[suite] = self._lists[name]
        packages: dict[str, Package] = {}
        for name in self._texts(found["packages"], f"{key}.packages"):
            package = self._packages.get(name)
            if package is None or package.name in packages or package.suite not in dates:
                raise self._fail(f"{key}.packages")(
                    f"{name[:100]!r} is not in debian.packages, is there twice, or its suite has "
                    "no index"
                )
            packages[package.name] = package
        if [*packages] != sorted(packages):
            raise self._fail(f"{key}.packages")("they are not sorted by name")
        left_out = tuple(self._texts(found.get("leftOut", []), f"{key}.leftOut"))
        if not all(re.fullmatch(_SUITE, suite) for suite in left_out):
            raise self._fail(f"{key}.leftOut")("it is not a list of suites")
        return BuiltImage(
            self._blob(found, key, MANIFEST_TYPES),
            tuple(attestations),
            self._digest(found["recipe"], f"{key}.recipe"),
            Choice(tuple(packages.values()), dates, lists, left_out),
            self._bases(found.get("bases", []), f"{key}.bases"),
        )

    def _bases(self, value: object, key: str) -> tuple[str, ...]:
        names = tuple(self._texts(value, key))
        for name in names:
            if name not in self._images:
                raise self._fail(key)(f"{name[:100]!r} is not in images")
        return names

    def _index(self, name: str, value: object) -> dict[str, str]:
        key = f"debian.indexes.{name[:100]}"
        if not _INDEX.fullmatch(name):
            raise self._fail(key)("its name is not SUITE@DATE")
        lists = {}
        for path, found in self._items(value, key):
            if not _LIST.fullmatch(path):
                raise self._fail(key)(f"{path[:100]!r} is not the path of a list of packages")
            lists[path] = self._text(found, f"{key}.{path}", _HEX)
        return lists

    def _package(self, name: str, value: object) -> Package:
        key = f"debian.packages.{name[:100]}"
        found = self._object(value, key)
        named = _PACKAGE.fullmatch(name)
        if named is None:
            raise self._fail(key)("its name is not SUITE/NAME_VERSION_ARCHITECTURE")
        self._keys(found, key, ("path", "size", "sha256", "source", "sourceVersion"), ("homepage",))
        return Package(
            name=named[2],
            version=named[3],
            architecture=named[4],
            suite=named[1],
            source=self._text(found["source"], f"{key}.source", re.compile(NAME)),
            source_version=self._text(
                found["sourceVersion"], f"{key}.sourceVersion", re.compile(VERSION)
            ),
            filename=self._text(found["path"], f"{key}.path", PATTERNS["filename"]),
            size=self._size(found["size"], f"{key}.size"),
            sha256=self._text(found["sha256"], f"{key}.sha256", _HEX),
            homepage=self._text(found.get("homepage", ""), f"{key}.homepage", _HOMEPAGE),
            priority=0,
            depends=(),
            conflicts=(),
            provides=(),
        )

    def _platform(self, text: str, key: str) -> Platform:
        fail = self._fail(f"{key}.platforms")
        try:
            platform = Platform.parse(text)
        except ComposError as error:
            raise fail(error.message) from error
        if ".." in text:
            raise fail(f"{text[:100]!r} is not a platform")
        return platform

    def _blob(self, value: Mapping[str, Any], key: str, kinds: tuple[str, ...]) -> Descriptor:
        kind = value["mediaType"]
        if kind not in kinds:
            raise self._fail(f"{key}.mediaType")(f"{_shown(kind)} is not allowed here")
        digest = self._digest(value["digest"], f"{key}.digest")
        return Descriptor(kind, digest, self._size(value["size"], f"{key}.size"))

    def _digest(self, value: object, key: str) -> Digest:
        try:
            digest = Digest.parse(value)
        except ComposError as error:
            raise self._fail(key)(error.message) from error
        if not digest.is_verifiable:
            raise self._fail(key)("it is not a SHA-256 digest")
        return digest

    def _size(self, value: object, key: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**11:
            raise self._fail(key)("it is not a number of bytes")
        return value

    def _text(self, value: object, key: str, pattern: re.Pattern[str]) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self._fail(key)(f"{_shown(value)} is not allowed here")
        return value

    def _texts(self, value: object, key: str) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self._fail(key)("it is not a list of strings")
        return value

    def _object(self, value: object, key: str) -> Mapping[str, Any]:
        return _mapping(value, self._fail(key))

    def _items(self, value: object, key: str) -> Iterable[tuple[str, Any]]:
        return self._object(value, key).items()

    def _keys(
        self,
        found: Mapping[str, object],
        key: str,
        required: tuple[str, ...],
        optional: tuple[str, ...] = (),
    ) -> None:
        for name in (*required, *found):
            if name not in found:
                raise self._fail(key)(f"it lacks {name!r}")
            if name not in (*required, *optional):
                raise self._fail(key)(f"it has the unknown key {name[:100]!r}")

    def _fail(self, key: str) -> Callable[[str], PackageError]:
        return lambda reason: _invalid(self._path, key, reason)


def _mapping(value: object, fail: Callable[[str], PackageError]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise fail(f"{_shown(value)} is not an object")
    return value


def _shown(value: object) -> str:
    return f"{value[:100]!r}" if isinstance(value, str) else f"a {type(value).__name__}"


def _invalid(path: Path, key: str, reason: str) -> PackageError:
    return PackageError(
        "lock-invalid",
        f"the lock cannot be used: {reason}",
        place=f"{path}: {key}" if key else str(path),
        hint="Restore it from version control, or remove it and run `compos lock`.",
    )
