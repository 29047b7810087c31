"""What a system is, whatever it was read from: files, packages, settings, powers. Pure.

Everything here may be a stranger's: documents that cannot be read say nothing, and are no error.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from compos.config.check import CAPABILITIES
from compos.image.json_document import parse_json
from compos.tree.node import FILE

__all__ = [
    "CMDLINE",
    "DOCUMENTS",
    "MAX_DOCUMENT",
    "SBOMS",
    "Facts",
    "FileFact",
    "Package",
    "Powers",
    "described",
    "documents_of",
    "flattened",
    "part_of",
]

MAX_DOCUMENT = 64 << 20
"""Bytes of a document that is read: SBOMs are the longest."""

PLAN = "etc/compos/plan"
CMDLINE = "boot/cmdline"
SBOMS = ("sbom.spdx.json", "sbom.cdx.json")
_BUNDLE = re.compile(r"containers/(onboot|services|onshutdown)/([^/]+)/config\.json")

DOCUMENTS = re.compile(rf"{_BUNDLE.pattern}|{'|'.join(map(re.escape, (PLAN, CMDLINE, *SBOMS)))}")
"""Paths of the files whose contents say what a system is."""

_ARCHITECTURE = re.compile(rb"[?&]arch=(?!all\b)([a-z0-9_]{1,20})")
_NUMBER = re.compile(r"^[0-9]{3}-")
_SHARED = {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}
"""Namespaces of the machine that a container can share, by the specification's names."""


class FileFact(NamedTuple):
    """A file, folder, link or device. `mode` is the low twelve bits, `size` in bytes, `digest` the
    SHA-256 of a file's contents in hexadecimal. `xattrs` is None where they are not known; `part`
    is the entry of the YAML that it comes from."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int = 0
    digest: str = ""
    link: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] | None = None
    part: str = ""


class Package(NamedTuple):
    """A package of the SBOM: its kind (`deb`), name and version, and the images that have it."""

    kind: str
    name: str
    version: str
    images: tuple[str, ...] = ()


class Powers(NamedTuple):
    """What a container may do: `location` is its entry (`services[web]`), `shares` the machine's
    namespaces that it is in, `binds` the machine's files that it sees. `seccomp` is the profile's
    path, `built in` for one in its own specification, or empty: no system call is refused."""

    location: str
    user: str
    capabilities: tuple[str, ...]
    ambient: tuple[str, ...]
    shares: tuple[str, ...]
    seccomp: str
    no_new_privileges: bool
    readonly: bool
    masked: int
    devices: tuple[str, ...]
    binds: tuple[str, ...]

    @property
    def has_all_capabilities(self) -> bool:
        """Whether it has every capability."""
        return set(self.capabilities).issuperset(CAPABILITIES)


class Facts(NamedTuple):
    """A system. `settings` are the YAML's values by key path, None if it was not read from YAML;
    `lacks` says what paths begin with that this kind of output leaves out. `architecture` is that
    of most packages in the SBOM, empty if none says it."""

    name: str
    files: Mapping[str, FileFact]
    packages: tuple[Package, ...] = ()
    cmdline: str = ""
    powers: tuple[Powers, ...] = ()
    settings: Mapping[str, str] | None = None
    lacks: tuple[str, ...] = ()
    architecture: str = ""


def part_of(path: str) -> str:
    """The part of a system that a path belongs to, as far as the path tells it."""
    names = path.split("/")
    if names[0] == "containers" and len(names) > 3:
        return f"{names[1]}[{_NUMBER.sub('', names[2])}]"
    if names[0] == "boot" or path.startswith(("lib/modules/", "usr/lib/modules/")):
        return "kernel"
    return "root"


def described(
    name: str,
    files: Mapping[str, FileFact],
    documents: Mapping[str, bytes],
    *,
    settings: Mapping[str, str] | None = None,
    lacks: tuple[str, ...] = (),
) -> Facts:
    """The facts that `files` and the contents of those that match `DOCUMENTS` make."""
    profiles = _profiles(documents.get(PLAN, b""))
    powers = []
    for path in sorted(documents):
        match = _BUNDLE.fullmatch(path)
        spec = _object(documents[path]) if match else None
        if match and spec:
            location = f"{match[1]}[{_NUMBER.sub('', match[2])}]"
            powers.append(_powers(location, spec, profiles.get(path.rpartition("/")[0], "")))
    packages: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for path in SBOMS:
        for package in _packages(_object(documents.get(path, b"")) or {}):
            known = packages.get(package[:3], ())
            packages[package[:3]] = tuple(dict.fromkeys((*known, *package.images)))
    cmdline = documents.get(CMDLINE, b"").decode("utf-8", "replace").strip("\n\0 ")
    return Facts(
        name,
        files,
        tuple(Package(*key, packages[key]) for key in sorted(packages)),
        cmdline,
        tuple(powers),
        settings,
        lacks,
        _architecture(documents),
    )


def _architecture(documents: Mapping[str, bytes]) -> str:
    """What most package URLs name that name one."""
    named = Counter(
        found for path in SBOMS for found in _ARCHITECTURE.findall(documents.get(path, b""))
    )
    return max(named, key=lambda one: (named[one], one)).decode() if named else ""


def flattened(document: str) -> dict[str, str]:
    """The values of a system's YAML, as JSON, by key path; entries that have names by these."""
    found: dict[str, str] = {}

    def walk(value: object, path: str) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(inner, f"{path}.{key}" if path else key)
        elif isinstance(value, list) and value:
            for number, inner in enumerate(value):
                named = inner.get("name") or inner.get("path") if isinstance(inner, dict) else None
                walk(inner, f"{path}[{named if isinstance(named, str) else number}]")
        else:
            found[path] = value if isinstance(value, str) else json.dumps(value)

    walk(json.loads(document), "")
    return found


def _object(data: bytes) -> Mapping[str, Any] | None:
    try:
        value = parse_json(data, limit=MAX_DOCUMENT)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _profiles(plan: bytes) -> dict[str, str]:
    """The seccomp profiles that init inserts, by the bundle's path (docs/plan-format.md)."""
    found = {}
    bundle = ""
    for line in plan.decode("utf-8", "surrogateescape").split("\n"):
        words = line.split("\t")
        if words[0] == "container" and len(words) > 2:
            bundle = words[2].strip("/")
        elif words[0] == "seccomp" and len(words) > 2:
            found[bundle] = words[2]
    return found


def _inside(value: object, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _items(value: object) -> Iterator[Mapping[str, Any]]:
    yield from (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _texts(value: object) -> tuple[str, ...]:
    return (
        tuple(sorted({one for one in value if isinstance(one, str)}))
        if isinstance(value, list)
        else ()
    )


def _powers(location: str, spec: Mapping[str, Any], profile: str) -> Powers:
    process, linux = spec.get("process"), spec.get("linux")
    own = {
        str(one.get("type")) for one in _items(_inside(linux, "namespaces")) if "path" not in one
    }
    user = _inside(process, "user")
    return Powers(
        location,
        f"{_inside(user, 'uid') or 0}:{_inside(user, 'gid') or 0}",
        _texts(_inside(process, "capabilities", "bounding")),
        _texts(_inside(process, "capabilities", "ambient")),
        tuple(short for kind, short in _SHARED.items() if kind not in own),
        profile or ("built in" if _inside(linux, "seccomp") else ""),
        _inside(process, "noNewPrivileges") is True,
        _inside(spec.get("root"), "readonly") is True,
        len(_texts(_inside(linux, "maskedPaths"))),
        tuple(sorted(str(one.get("path")) for one in _items(_inside(linux, "devices")))),
        tuple(_binds(_items(spec.get("mounts")))),
    )


def _binds(mounts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for mount in mounts:
        options = _texts(mount.get("options"))
        if mount.get("type") == "bind" or {"bind", "rbind"}.intersection(options):
            access = "ro" if "ro" in options else "rw"
            yield f"{mount.get('source')} → {mount.get('destination')} ({access})"


def _packages(document: Mapping[str, Any]) -> Iterator[Package]:
    """Packages of an SPDX or CycloneDX document; images are none."""
    if "spdxVersion" in document:
        yield from _spdx_packages(document)
        return
    for one in _items(document.get("components")):
        purl, name = str(one.get("purl", "")), one.get("name")
        if isinstance(name, str) and one.get("type") not in ("container", "file"):
            yield Package(_kind((purl,)), name, str(one.get("version", "")))


def _spdx_packages(document: Mapping[str, Any]) -> Iterator[Package]:
    listed: Sequence[Mapping[str, Any]] = [*_items(document.get("packages"))]
    images = {
        str(one.get("SPDXID")): f"{one.get('name')}:{one.get('versionInfo', '')}".rstrip(":")
        for one in listed
        if one.get("primaryPackagePurpose") == "CONTAINER"
    }
    owners: dict[str, list[str]] = {}
    for relation in _items(document.get("relationships")):
        image = images.get(str(relation.get("spdxElementId")))
        if image and relation.get("relationshipType") == "CONTAINS":
            owners.setdefault(str(relation.get("relatedSpdxElement")), []).append(image)
    for one in listed:
        name, id = one.get("name"), str(one.get("SPDXID"))
        if isinstance(name, str) and id not in images:
            references = [
                str(reference.get("referenceLocator"))
                for reference in _items(one.get("externalRefs"))
            ]
            yield Package(
                _kind(references), name, str(one.get("versionInfo", "")), tuple(owners.get(id, ()))
            )


def _kind(references: Iterable[str]) -> str:
    """The type of a package URL (`pkg:TYPE/…`)."""
    found = next((one for one in references if one.startswith("pkg:")), "pkg:")
    return found[4:].partition("/")[0]


def documents_of(files: Mapping[str, FileFact], read: Callable[[str], bytes]) -> dict[str, bytes]:
    """The contents of the files that say what a system is; `read` gives those of a path."""
    return {
        path: read(path)
        for path, fact in files.items()
        if fact.kind == FILE and fact.size <= MAX_DOCUMENT and DOCUMENTS.fullmatch(path)
    }
