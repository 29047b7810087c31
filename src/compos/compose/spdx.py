"""Many SPDX documents as one: the SPDX documents of a system's images, put together (reference
yaml-and-build.md 3.9).

Pure. Reads SPDX 2.1 to 2.3 in JSON, gives 2.3. As LinuxKit has it, with its defects put right
(docs/linuxkit.md#N24): every identifier is unique, references follow a renamed one, what refers to
nothing is left out, and the namespace is a digest of the content.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from compos.compose.spdx_fields import (
    ANNOTATION,
    EXTERNAL,
    FILE,
    LICENCE,
    PACKAGE,
    RELATIONSHIP,
    InvalidError,
    Shape,
    items,
    text,
)
from compos.image.attestation import sbom_error
from compos.version import __version__

__all__ = ["DOCUMENT", "Merged", "joined_path", "spdx_document", "timestamp"]

DOCUMENT = "SPDXRef-DOCUMENT"
VERSION = "SPDX-2.3"
READ = ("SPDX-2.1", "SPDX-2.2", VERSION)
NAMESPACE = "https://compos.invalid/sbom"
"""Where nothing is: a namespace need not be reachable, and `.invalid` belongs to nobody (RFC
2606)."""

_NOTHING = ("NONE", "NOASSERTION")
_LICENCE_REF = re.compile(r"(?<![\w:.\-])LicenseRef-[A-Za-z0-9.\-]+")
_EXTERNAL_REF = re.compile(r"DocumentRef-[A-Za-z0-9.+\-]+(?=:)")
_LICENCE_FIELDS = (
    "licenseConcluded",
    "licenseDeclared",
    "licenseInfoFromFiles",
    "licenseInfoInFiles",
)


class Merged:
    """What several documents say, in the order in which they were added; `owners` has the image's
    number by element."""

    def __init__(self) -> None:
        self.packages: list[dict[str, Any]] = []
        self.files: list[dict[str, Any]] = []
        self.licences: list[dict[str, Any]] = []
        self.relationships: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.external: list[dict[str, Any]] = []
        self.owners: dict[str, int] = {}
        self.taken = {DOCUMENT}

    def add(
        self, document: Mapping[str, Any], *, prefix: str, mark: str, owner: int, place: str
    ) -> None:
        """Add one document, of the image number `owner`, whose files lie below `prefix`.

        `mark` (letters, digits, `.` and `-`) tells an identifier from an equal one of another
        document. Raises `ImageError` (`sbom-invalid`).
        """
        version = document.get("spdxVersion")
        if version not in READ:
            raise sbom_error(
                f"its version is {str(version)[:40]!r}, not SPDX 2.1, 2.2 or 2.3", place
            )
        try:
            _DocumentMerge(self, document, prefix, mark, owner).add()
        except InvalidError as error:
            raise sbom_error(str(error), place) from error


class _DocumentMerge:
    """One document on its way into the whole."""

    def __init__(
        self, merged: Merged, document: Mapping[str, Any], prefix: str, mark: str, owner: int
    ) -> None:
        self._merged = merged
        self._document = document
        self._prefix = prefix
        self._mark = mark
        self._owner = owner
        self._ids = {DOCUMENT: DOCUMENT}
        self._licences: dict[str, str] = {}
        self._external: dict[str, str] = {}
        self._unanalysed: set[str] = set()
        self._files: set[str] = set()

    def add(self) -> None:
        merged, document = self._merged, self._document
        if isinstance(own := document.get("SPDXID"), str):
            self._ids[own] = DOCUMENT
        for entry in items(LICENCE)(
            document.get("hasExtractedLicensingInfos"), "hasExtractedLicensingInfos"
        ):
            self._add_shared(merged.licences, entry, "licenseId", self._licences)
        for entry in items(EXTERNAL)(document.get("externalDocumentRefs"), "externalDocumentRefs"):
            self._add_shared(merged.external, entry, "externalDocumentId", self._external)
        packages = [self._package(one) for one in self._elements("packages", PACKAGE)]
        files = [self._file(one) for one in self._elements("files", FILE)]
        self._unanalysed = {one["SPDXID"] for one in packages if one.get("filesAnalyzed") is False}
        self._files = {one["SPDXID"] for one in files}
        merged.packages += packages
        merged.files += files
        relationships = [*self._relationships(), *self._contained(), *self._described()]
        # A document of several elements must say what it describes (section 11.1).
        if not any(_describes(one) for one in relationships):
            relationships += [
                _relationship(DOCUMENT, "DESCRIBES", one["SPDXID"]) for one in packages or files
            ]
        merged.relationships += {json.dumps(one): one for one in relationships}.values()
        merged.annotations += items(ANNOTATION)(document.get("annotations"), "annotations")

    def _elements(self, name: str, shape: Shape) -> Iterable[dict[str, Any]]:
        """Each element as it is kept, with its new identifier."""
        for number, raw in enumerate(items(lambda value, _: value)(self._document.get(name), name)):
            kept = shape(raw, f"{name}[{number}]")
            old = raw.get("SPDXID")
            new = self._identifier(old if isinstance(old, str) else "", f"{name}-{number}")
            if isinstance(old, str):
                self._ids.setdefault(old, new)
            self._merged.owners[new] = self._owner
            yield {"SPDXID": new, **kept}

    def _identifier(self, old: str, otherwise: str) -> str:
        base = re.sub(r"[^A-Za-z0-9.\-]+", "-", old.removeprefix("SPDXRef-")) or otherwise
        return self._unique(f"SPDXRef-{base}", self._merged.taken)

    def _unique(self, wanted: str, taken: set[str]) -> str:
        name, count = wanted, 1
        while name in taken:
            name = f"{wanted}-{self._mark}" if count == 1 else f"{wanted}-{self._mark}-{count}"
            count += 1
        taken.add(name)
        return name

    def _add_shared(
        self, entries: list[dict[str, Any]], entry: dict[str, Any], key: str, names: dict[str, str]
    ) -> None:
        """Add what several documents may share: an equal entry stands once, another of the same
        name is renamed."""
        old = entry[key]
        if old in names:
            return
        if entry not in entries:
            entry[key] = self._unique(old, {one[key] for one in entries})
            entries.append(entry)
        names[old] = entry[key]

    def _package(self, package: dict[str, Any]) -> dict[str, Any]:
        package.setdefault("downloadLocation", "NOASSERTION")
        place = joined_path(self._prefix, package.pop("packageFileName", ""))
        if place:
            package["packageFileName"] = place
        if package.get("filesAnalyzed") is False:
            # Sections 7.9 and 7.14: there is nothing that they could be about.
            package.pop("packageVerificationCode", None)
            package.pop("licenseInfoFromFiles", None)
        return self._with_licences(package)

    def _file(self, file: dict[str, Any]) -> dict[str, Any]:
        file["fileName"] = joined_path(self._prefix, file["fileName"]) or "."
        return self._with_licences(file)

    def _with_licences(self, element: dict[str, Any]) -> dict[str, Any]:
        for name in _LICENCE_FIELDS:
            value = element.get(name)
            if isinstance(value, str):
                element[name] = self._licence(value)
            elif value is not None:
                element[name] = [self._licence(one) for one in value]
        return element

    def _licence(self, expression: str) -> str:
        def renamed(match: re.Match[str]) -> str:
            if match[0] not in self._licences:
                entry = {"licenseId": match[0], "extractedText": "NOASSERTION"}
                self._add_shared(self._merged.licences, entry, "licenseId", self._licences)
            return self._licences[match[0]]

        expression = _EXTERNAL_REF.sub(
            lambda match: self._external.get(match[0], match[0]), expression
        )
        return _LICENCE_REF.sub(renamed, expression)

    def _relationships(self) -> Iterable[dict[str, Any]]:
        for one in items(RELATIONSHIP)(self._document.get("relationships"), "relationships"):
            origin, target = (
                self._known(one["spdxElementId"]),
                self._known(one["relatedSpdxElement"], nothing=True),
            )
            if not origin or not target:
                continue
            kind = one["relationshipType"]
            pair = {"CONTAINS": (origin, target), "CONTAINED_BY": (target, origin)}.get(
                kind, ("", "")
            )
            if pair[0] in self._unanalysed and pair[1] in self._files:
                # Section 7.8: a package whose files were not analysed contains none.
                one = {**one, "relationshipType": "OTHER", "comment": one.get("comment", kind)}
            yield {**one, "spdxElementId": origin, "relatedSpdxElement": target}

    def _known(self, name: str, *, nothing: bool = False) -> str | None:
        """What `name` is called in the whole; None when it names nothing there is."""
        if nothing and name in _NOTHING:
            return name
        document, colon, element = name.partition(":")
        if (
            colon
            and document in self._external
            and re.fullmatch(r"SPDXRef-[A-Za-z0-9.\-]+", element)
        ):
            return f"{self._external[document]}:{element}"
        return self._ids.get(name)

    def _described(self) -> Iterable[dict[str, Any]]:
        """`documentDescribes`, the shorthand of relationships."""
        for name in items(text)(self._document.get("documentDescribes"), "documentDescribes"):
            if target := self._known(name):
                yield _relationship(DOCUMENT, "DESCRIBES", target)

    def _contained(self) -> Iterable[dict[str, Any]]:
        """`hasFiles`, which 2.3 gave up for relationships."""
        for number, package in enumerate(self._document.get("packages") or ()):
            names = items(text)(package.get("hasFiles"), f"packages[{number}].hasFiles")
            origin = (
                self._known(package["SPDXID"])
                if names and isinstance(package.get("SPDXID"), str)
                else None
            )
            if origin and package.get("filesAnalyzed") is not False:
                yield from (
                    _relationship(origin, "CONTAINS", file)
                    for name in names
                    if (file := self._known(name))
                )


def _relationship(origin: str, kind: str, target: str) -> dict[str, Any]:
    return {"spdxElementId": origin, "relationshipType": kind, "relatedSpdxElement": target}


def _describes(one: Mapping[str, Any]) -> bool:
    ends = {"DESCRIBES": "spdxElementId", "DESCRIBED_BY": "relatedSpdxElement"}
    end = ends.get(one["relationshipType"])
    return end is not None and one[end] == DOCUMENT


def joined_path(prefix: str, path: str) -> str:
    """`path` below `prefix`, both relative to the root in the end; a `..` stays below `prefix`."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(([prefix] if prefix else []) + parts)


def timestamp(seconds: int) -> str:
    """Unix seconds as SPDX and CycloneDX write them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def spdx_document(merged: Merged, *, name: str, created: int, comment: str = "") -> dict[str, Any]:
    """The whole document; `created` is in Unix seconds."""
    # Also an empty document must describe something; that nothing is known is something.
    describes: Sequence[Mapping[str, Any]] = merged.relationships
    if not any(map(_describes, describes)):
        describes = [*describes, _relationship(DOCUMENT, "DESCRIBES", "NOASSERTION")]
    body = {
        "packages": merged.packages,
        "files": merged.files,
        "hasExtractedLicensingInfos": merged.licences,
        "relationships": describes,
        "annotations": merged.annotations,
        "externalDocumentRefs": merged.external,
    }
    header = {
        "spdxVersion": VERSION,
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": name,
        "documentNamespace": "",
        "creationInfo": {
            "licenseListVersion": "3.20",
            "creators": [f"Tool: compos-{__version__}"],
            "created": timestamp(created),
        },
        **({"comment": comment} if comment else {}),
    }
    document = {**header, **{key: value for key, value in body.items() if value}}
    digest = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    document["documentNamespace"] = f"{NAMESPACE}/{digest}"
    return document
