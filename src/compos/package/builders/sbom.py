"""An SBOM for an image whose builder has made none: what its package databases say, and what is
attested of the image that it is based on.

May touch: the store (reading). Nothing is guessed from other files. Sources: deb822(5) and dpkg's
`status`; apk-tools' `installed`; package URL specification ("deb", "apk" types); SPDX specification
2.3. Databases are the image's own claims, which are read with bounds and passed on as such.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from compos.image.attestation import spdx_documents
from compos.image.model import Image
from compos.image.store import Store
from compos.package.builders.request import Base
from compos.package.debian.control import stanzas
from compos.package.sbom import NAMESPACE, NOTHING
from compos.tree.contents import Contents
from compos.tree.flatten import image_tree
from compos.tree.node import FILE, Node
from compos.version import __version__

__all__ = ["own_document"]

DPKG = "var/lib/dpkg/status"
DPKG_PARTS = "var/lib/dpkg/status.d/"
"""Where images without a dpkg (distroless) have a file for each package."""
APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
OS_RELEASE = ("etc/os-release", "usr/lib/os-release")

MAX_DATABASE = 64 << 20
"""Bytes of a database; a whole desktop's has 6 MB."""

MAX_PACKAGES = 100_000
MAX_PURL = 1000

_TEXT = re.compile(r"[A-Za-z0-9][\w.+~:-]{0,255}", re.ASCII)


class _Package(NamedTuple):
    """A package of an image, with what names it wherever it is (its package URL)."""

    name: str
    version: str
    purl: str
    source: str = ""


def own_document(
    store: Store, image: Image, name: str, bases: Iterable[Base], epoch: int
) -> dict[str, Any] | None:
    """The SPDX document about `image`, called `name` (short), of the time `epoch`; None if nothing
    is known of what is in it. Raises `ImageError` for layers that cannot be read."""
    found: dict[str, _Package] = {}
    for package in (*_databases(store, image), *_inherited(store, image, bases)):
        if len(found) < MAX_PACKAGES:
            found.setdefault(package.purl, package)
    if not found:
        return None
    unknown = {"licenseConcluded": NOTHING, "licenseDeclared": NOTHING, "copyrightText": NOTHING}
    described = {
        "SPDXID": "SPDXRef-Image",
        "name": name.rpartition(":")[0] or name,
        "versionInfo": name.rpartition(":")[2],
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [
            {"algorithm": "SHA256", "checksumValue": image.digest.removeprefix("sha256:")}
        ],
        **unknown,
    }
    packages = [{**_spdx(found[purl]), **unknown} for purl in sorted(found)]
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image")]
    relations += [("SPDXRef-Image", "CONTAINS", one["SPDXID"]) for one in packages]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{name} for {image.config.architecture}",
        "documentNamespace": "",
        "creationInfo": {
            "created": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: compos-{__version__}"],
        },
        "packages": [described, *packages],
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in relations
        ],
    }
    content = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    return {**document, "documentNamespace": f"{NAMESPACE}/{quote(name, safe='')}-{content}"}


def _spdx(package: _Package) -> dict[str, Any]:
    reference = {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": package.purl,
    }
    source = {"sourceInfo": f"built package from: {package.source}"} if package.source else {}
    version = {"versionInfo": package.version} if package.version else {}
    return {
        "SPDXID": f"SPDXRef-Package-{hashlib.sha256(package.purl.encode()).hexdigest()[:24]}",
        "name": package.name,
        **version,
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        **source,
        "externalRefs": [reference],
    }


def _databases(store: Store, image: Image) -> Iterator[_Package]:
    """The packages that the image's databases list."""
    tree = image_tree(store, image)
    release = next(filter(None, (_text(store, tree.get(path)) for path in OS_RELEASE)), "")
    distribution = _value(release, "ID")
    codename = _value(release, "VERSION_CODENAME")
    parts = [path for path in tree if path.startswith(DPKG_PARTS) and not path.endswith(".md5sums")]
    for path in (DPKG, *sorted(parts)):
        for stanza in stanzas(_text(store, tree.get(path))):
            yield from _debian(stanza, distribution or "debian", codename)
    for path in APK:
        for block in _text(store, tree.get(path)).split("\n\n"):
            yield from _alpine(block, distribution or "alpine")


def _debian(stanza: Mapping[str, str], distribution: str, codename: str) -> Iterator[_Package]:
    name, version = stanza.get("package", ""), stanza.get("version", "")
    installed = stanza.get("status", "install ok installed").split()[-1:] == ["installed"]
    if not installed or not _TEXT.fullmatch(name) or not _TEXT.fullmatch(version):
        return
    query = {"arch": stanza.get("architecture", ""), "distro": codename}
    given, _, source_version = stanza.get("source", "").partition(" ")
    source = f"{given or name} {source_version.strip('()') or version}"
    yield _Package(name, version, _purl("deb", distribution, name, version, query), source[:600])


def _alpine(block: str, distribution: str) -> Iterator[_Package]:
    # Each line is a letter, a colon and the value; a letter may come several times, for files.
    found = dict(line.partition(":")[::2] for line in reversed(block.split("\n")) if ":" in line)
    name, version = found.get("P", ""), found.get("V", "")
    if _TEXT.fullmatch(name) and _TEXT.fullmatch(version):
        query = {"arch": found.get("A", "")}
        purl = _purl("apk", distribution, name, version, query)
        yield _Package(name, version, purl, f"{found.get('o') or name} {version}"[:600])


def _purl(kind: str, namespace: str, name: str, version: str, query: Mapping[str, str]) -> str:
    pairs = [f"{key}={value}" for key, value in sorted(query.items()) if _TEXT.fullmatch(value)]
    purl = f"pkg:{kind}/{quote(namespace, safe='')}/{quote(name, safe='')}"
    return f"{purl}@{quote(version, safe='')}" + (f"?{'&'.join(pairs)}" if pairs else "")


def _inherited(store: Store, image: Image, bases: Iterable[Base]) -> Iterator[_Package]:
    """The packages of the images whose layers are the lowest of this one's: it has their files,
    unlike those of other stages."""
    layers = image.config.diff_ids
    for base in (one for used in bases for one in used.images):
        below = base.config.diff_ids
        if below and layers[: len(below)] == below:
            for document in spdx_documents(store, base):
                entries = document.get("packages")
                yield from filter(None, map(_listed, entries if isinstance(entries, list) else ()))


def _listed(entry: object) -> _Package | None:
    """A package of another SBOM, if it has a package URL."""
    plain = entry if isinstance(entry, dict) else {}
    references = plain.get("externalRefs")
    for reference in references if isinstance(references, list) else ():
        if isinstance(reference, dict) and reference.get("referenceType") == "purl":
            texts = (plain.get("name"), plain.get("versionInfo") or "")
            purl = reference.get("referenceLocator")
            if all(isinstance(one, str) and len(one) <= MAX_PURL for one in (*texts, purl)):
                name, version = map(str, texts)
                prefix = "built package from: "
                source = str(plain.get("sourceInfo") or "")[:MAX_PURL]
                source = source.removeprefix(prefix) if source.startswith(prefix) else ""
                return _Package(name, version, str(purl), source)
    return None


def _text(store: Store, node: Node | None) -> str:
    """A file's text; nothing for what is no file, or larger than any database."""
    if node is None or node.kind != FILE or node.size > MAX_DATABASE:
        return ""
    with Contents(store.root) as contents:
        return b"".join(contents.chunks(node.content)).decode("utf-8", "replace")


def _value(text: str, name: str) -> str:
    """A value of os-release(5), if it is a plain word."""
    for line in text.splitlines():
        key, _, value = line.partition("=")
        value = value.strip().strip("\"'")
        if key.strip() == name and _TEXT.fullmatch(value):
            return value
    return ""
