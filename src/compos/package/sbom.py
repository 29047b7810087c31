"""What a brick is made of, as an SPDX 2.3 document: its Debian packages, exactly, and its own
files.

May touch: the store (reading). Sources: SPDX specification 2.3 (clauses 6 to 11, JSON form),
package URL specification ("deb" type). The mirror that packages came from is not named: any mirror
has them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from compos.image.store import Store
from compos.package.choice import Choice
from compos.package.debian.package import Package
from compos.package.local_package import LocalPackage
from compos.package.recipe import Recipe
from compos.tree.contents import Contents
from compos.tree.node import EPOCH, FILE, Node
from compos.version import __version__

__all__ = ["brick_document"]

NAMESPACE = "https://compos.invalid/spdx"
"""A namespace is a name, not an address; `.invalid` never becomes one (RFC 2606)."""

NOTHING = "NOASSERTION"
_ID = re.compile(r"[^A-Za-z0-9.-]+")


def brick_document(
    store: Store,
    recipe: Recipe,
    architecture: str,
    digest: str,
    packages: Iterable[Package | LocalPackage],
    files: Iterable[tuple[str, Node]],
    choice: Choice,
) -> dict[str, Any]:
    """The document about the image with the manifest `digest`; `files` are the brick's own,
    `choice` says which indexes its packages were chosen from."""
    image = {
        "SPDXID": "SPDXRef-Image",
        "name": f"{recipe.org}/{recipe.image}",
        "versionInfo": recipe.tag,
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest.removeprefix("sha256:")}],
        **_unknown(),
    }
    debs = [
        _local(package) if isinstance(package, LocalPackage) else _package(package)
        for package in sorted(packages, key=lambda one: (one.name, one.version))
    ]
    own = [
        _file(store, path, node) for path, node in sorted(dict(files).items()) if node.kind == FILE
    ]
    elements = [image, *debs]
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image")]
    relations += [("SPDXRef-Image", "CONTAINS", one["SPDXID"]) for one in debs]
    # A package whose files are not all listed contains none (clause 7.8).
    relations += [("SPDXRef-DOCUMENT", "DESCRIBES", one["SPDXID"]) for one in own]
    created = datetime.fromtimestamp(EPOCH // 10**9, UTC)
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{recipe.name} for {architecture}",
        "documentNamespace": "",
        "creationInfo": {
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: compos-{__version__}"],
            **_indexes(choice),
        },
        "packages": elements,
        "files": own,
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in relations
        ],
    }
    content = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    return {**document, "documentNamespace": f"{NAMESPACE}/{quote(recipe.image)}-{content}"}


def _indexes(choice: Choice) -> dict[str, str]:
    if not choice.dates:
        return {}
    listed = ", ".join(f"{suite} of {date}" for suite, date in sorted(choice.dates.items()))
    without = f"; left out: {', '.join(choice.left_out)}" if choice.left_out else ""
    return {"comment": f"Debian's indexes: {listed}{without}"}


def _package(package: Package) -> dict[str, Any]:
    purl = f"pkg:deb/debian/{quote(package.name)}@{quote(package.version, safe='')}"
    upstream = f"{package.source}@{package.source_version}"
    distro, source = package.suite.partition("-")[0], quote(upstream, safe="")
    query = f"arch={package.architecture}&distro={distro}&upstream={source}"
    described = {
        "SPDXID": f"SPDXRef-Package-deb-{_ID.sub('-', package.name)}-{package.sha256[:12]}",
        "name": package.name,
        "versionInfo": package.version,
        "supplier": "Organization: Debian",
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        # In these words, which scanners look for: Debian tracks vulnerabilities by source package.
        "sourceInfo": f"built package from: {package.source} {package.source_version}",
        "checksums": [{"algorithm": "SHA256", "checksumValue": package.sha256}],
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"{purl}?{query}",
            }
        ],
        **_unknown(),
    }
    if re.fullmatch(r"https?://[\w.~:/?#@!$&'()*+,;=%-]+", package.homepage):
        described["homepage"] = package.homepage
    return described


def _local(package: LocalPackage) -> dict[str, Any]:
    """A package file of the brick's folder; whose it is, nobody knows."""
    return {
        "SPDXID": f"SPDXRef-Package-{package.kind}-{_ID.sub('-', package.name)}"
        f"-{package.sha256[:12]}",
        "name": package.name,
        **({"versionInfo": package.version} if package.version else {}),
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        "comment": f"from the brick's folder: {package.kind}",
        "checksums": [{"algorithm": "SHA256", "checksumValue": package.sha256}],
        **_unknown(),
    }


def _file(store: Store, path: str, node: Node) -> dict[str, Any]:
    # SPDX wants SHA-1 of every file (clause 8.4).
    sums = {"SHA1": hashlib.sha1(usedforsecurity=False), "SHA256": hashlib.sha256()}
    with Contents(store.root) as contents:
        for chunk in contents.chunks(node.content):
            for one in sums.values():
                one.update(chunk)
    name = path.encode("utf-8", "surrogateescape")
    return {
        "SPDXID": f"SPDXRef-File-{hashlib.sha256(name).hexdigest()[:16]}",
        "fileName": f"./{name.decode('utf-8', 'replace')}",
        "checksums": [
            {"algorithm": name, "checksumValue": one.hexdigest()} for name, one in sums.items()
        ],
        "licenseConcluded": NOTHING,
        "licenseInfoInFiles": [NOTHING],
        "copyrightText": NOTHING,
    }


def _unknown() -> dict[str, str]:
    return {"licenseConcluded": NOTHING, "licenseDeclared": NOTHING, "copyrightText": NOTHING}
