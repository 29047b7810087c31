"""What is kept of an SPDX document's elements: tables of their fields, and the readers that check
them.

Pure. Source: SPDX 2.3, sections 6 to 11, and its JSON schema. What has the wrong type makes a
document invalid; an optional value that the specification does not know (another algorithm, a date
that is none) is left out, so that what is kept is valid whoever wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

__all__ = [
    "ANNOTATION",
    "EXTERNAL",
    "FILE",
    "LICENCE",
    "PACKAGE",
    "RELATIONSHIP",
    "InvalidError",
    "Shape",
    "items",
    "text",
]

Shape: TypeAlias = Callable[[object, str], Any]
"""Takes a value and where it stands; gives it as it is kept. Raises `InvalidError` or
`_UnusableError`."""

UNKNOWN_SHA1 = {"algorithm": "SHA1", "checksumValue": "0" * 40}
"""A file must have a SHA-1; this is how Syft, whose documents most attestations are, says that it
does not know it."""


class InvalidError(ValueError):
    """The document cannot be used; the text says why and where."""


class _UnusableError(ValueError):
    """This one value is left out."""


def text(value: object, where: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise InvalidError(f"{where} is not a string")
    return value


def items(shape: Shape) -> Shape:
    """A list of what `shape` reads; null is an empty one."""

    def read(value: object, where: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise InvalidError(f"{where} is not a list")
        kept = []
        for number, item in enumerate(value):
            try:
                kept.append(shape(item, f"{where}[{number}]"))
            except _UnusableError:
                continue
        return kept

    return read


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidError(f"{where} is not true or false")
    return value


def _matching(pattern: str, otherwise: str | None = None) -> Shape:
    """A text that fits `pattern` wholly, else `otherwise`."""
    compiled = re.compile(pattern)

    def read(value: object, where: str) -> str:
        given = text(value, where)
        if compiled.fullmatch(given):
            return given
        if otherwise is None:
            raise _UnusableError(where)
        return otherwise

    return read


def _one_of(names: str) -> Shape:
    """One of some names; `-` and `_` are the same, as they were in earlier versions."""
    known = {name.replace("-", "_"): name for name in names.split()}

    def read(value: object, where: str) -> str:
        name = known.get(text(value, where).replace("-", "_"))
        if name is None:
            raise _UnusableError(where)
        return name

    return read


def _record(required: Mapping[str, Shape], optional: Mapping[str, Shape]) -> Shape:
    """An object, its fields in the tables' order, others left out; what is optional and empty is
    left out too."""

    def read(value: object, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise InvalidError(f"{where} is not an object")
        kept = {}
        for name, shape in required.items():
            if value.get(name) is None:
                raise InvalidError(f"{where} has no {name}")
            kept[name] = shape(value[name], f"{where}.{name}")
        for name, shape in optional.items():
            if value.get(name) is None:
                continue
            try:
                found = shape(value[name], f"{where}.{name}")
            except _UnusableError:
                continue
            if found not in ("", []):
                kept[name] = found
        return kept

    return read


def _date(value: object, where: str) -> str:
    given = text(value, where)
    try:
        datetime.strptime(given, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError as error:
        raise _UnusableError(where) from error
    return given


DIGITS = {
    "SHA1": 40, "SHA224": 56, "SHA256": 64, "SHA384": 96, "SHA512": 128, "SHA3-256": 64,
    "SHA3-384": 96, "SHA3-512": 128,
    "BLAKE2b-256": 64, "BLAKE2b-384": 96, "BLAKE2b-512": 128, "MD2": 32, "MD4": 32, "MD5": 32,
    "ADLER32": 8,
}  # fmt: skip
"""Hexadecimal digits by algorithm; BLAKE3 and MD6, which have no fixed length, are left out."""


def _checksum(value: object, where: str) -> dict[str, str]:
    kept: dict[str, str] = _CHECKSUM(value, where)
    kept["checksumValue"] = kept["checksumValue"].lower()
    if not re.fullmatch(f"[0-9a-f]{{{DIGITS[kept['algorithm']]}}}", kept["checksumValue"]):
        raise _UnusableError(where)
    return kept


REFERENCE_TYPES = {
    "SECURITY": ("cpe22Type", "cpe23Type", "advisory", "fix", "url", "swid"),
    "PACKAGE-MANAGER": ("maven-central", "npm", "nuget", "bower", "purl"),
    "PERSISTENT-ID": ("swh", "gitoid"),
}
"""Annex F; what is none of them is in the category OTHER."""


def _reference(value: object, where: str) -> dict[str, str]:
    kept: dict[str, str] = _REFERENCE(value, where)
    if kept["referenceType"] not in REFERENCE_TYPES.get(kept["referenceCategory"], ()):
        kept["referenceCategory"] = "OTHER"
    if kept["referenceType"] == "purl" and not re.match("pkg:.+/.", kept["referenceLocator"]):
        raise _UnusableError(where)
    return kept


def _file(value: object, where: str) -> dict[str, Any]:
    kept: dict[str, Any] = _FILE(value, where)
    checksums = kept.setdefault("checksums", [])
    if all(checksum["algorithm"] != "SHA1" for checksum in checksums):
        checksums.append(UNKNOWN_SHA1)
    return kept


_CHECKSUM = _record({"algorithm": _one_of(" ".join(DIGITS)), "checksumValue": text}, {})
_REFERENCE = _record(
    {
        "referenceCategory": _one_of("OTHER PERSISTENT-ID SECURITY PACKAGE-MANAGER"),
        "referenceType": _matching(r"\S+"),
        "referenceLocator": _matching(r"\S+"),
    },
    {"comment": text},
)
_ACTOR = r"(Person|Organization): \S.*"
_LICENCE = _matching(r"\s*\S.*")

ANNOTATION = _record(
    {
        "annotationDate": _date,
        "annotationType": _one_of("OTHER REVIEW"),
        "annotator": _matching(rf"{_ACTOR}|Tool: \S.*"),
        "comment": text,
    },
    {},
)
PACKAGE = _record(
    {"name": text},
    {
        "versionInfo": text,
        "packageFileName": text,
        "supplier": _matching(f"{_ACTOR}|NOASSERTION"),
        "originator": _matching(f"{_ACTOR}|NOASSERTION"),
        "downloadLocation": _matching(r"NONE|NOASSERTION|[A-Za-z0-9+.]+(://|@)\S+", "NOASSERTION"),
        "filesAnalyzed": _flag,
        "packageVerificationCode": _record(
            {"packageVerificationCodeValue": _matching("[0-9a-f]{40}")},
            {"packageVerificationCodeExcludedFiles": items(text)}
        ),
        "checksums": items(_checksum),
        "homepage": _matching(r"https?://\S+\.\S+"),
        "sourceInfo": text,
        "licenseConcluded": _LICENCE,
        "licenseInfoFromFiles": items(_LICENCE),
        "licenseDeclared": _LICENCE,
        "licenseComments": text,
        "copyrightText": text,
        "summary": text,
        "description": text,
        "comment": text,
        "externalRefs": items(_reference),
        "attributionTexts": items(text),
        "primaryPackagePurpose": _one_of(
            "OTHER INSTALL ARCHIVE FIRMWARE APPLICATION FRAMEWORK LIBRARY CONTAINER SOURCE DEVICE "
            "OPERATING_SYSTEM FILE"
        ),
        "releaseDate": _date,
        "builtDate": _date,
        "validUntilDate": _date,
        "annotations": items(ANNOTATION),
    },
)  # fmt: skip
_FILE = _record(
    {"fileName": text},
    {
        "checksums": items(_checksum),
        "fileTypes": items(
            _one_of(
                "SOURCE BINARY ARCHIVE APPLICATION AUDIO IMAGE TEXT VIDEO DOCUMENTATION SPDX OTHER"
            )
        ),
        "licenseConcluded": _LICENCE,
        "licenseInfoInFiles": items(_LICENCE),
        "licenseComments": text,
        "copyrightText": text,
        "comment": text,
        "noticeText": text,
        "fileContributors": items(text),
        "attributionTexts": items(text),
        "annotations": items(ANNOTATION),
    },
)
FILE: Shape = _file
LICENCE = _record(
    {"licenseId": _matching(r"LicenseRef-[A-Za-z0-9.\-]+"), "extractedText": text},
    {"name": text, "comment": text, "seeAlsos": items(_matching(r"https?://\S+\.\S+"))},
)
EXTERNAL = _record(
    {
        "externalDocumentId": _matching(r"DocumentRef-[A-Za-z0-9.+\-]+"),
        "spdxDocument": _matching(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s#]+"),
        "checksum": _checksum,
    },
    {},
)
RELATIONSHIP = _record(
    {
        "spdxElementId": text,
        "relationshipType": _one_of(
            "AMENDS ANCESTOR_OF BUILD_DEPENDENCY_OF BUILD_TOOL_OF CONTAINED_BY CONTAINS COPY_OF "
            "DATA_FILE_OF "
            "DEPENDENCY_MANIFEST_OF DEPENDENCY_OF DEPENDS_ON DESCENDANT_OF DESCRIBED_BY DESCRIBES "
            "DEV_DEPENDENCY_OF "
            "DEV_TOOL_OF DISTRIBUTION_ARTIFACT DOCUMENTATION_OF DYNAMIC_LINK EXAMPLE_OF "
            "EXPANDED_FROM_ARCHIVE FILE_ADDED "
            "FILE_DELETED FILE_MODIFIED GENERATED_FROM GENERATES HAS_PREREQUISITE METAFILE_OF "
            "OPTIONAL_COMPONENT_OF "
            "OPTIONAL_DEPENDENCY_OF OTHER PACKAGE_OF PATCH_APPLIED PATCH_FOR PREREQUISITE_FOR "
            "PROVIDED_DEPENDENCY_OF "
            "REQUIREMENT_DESCRIPTION_FOR RUNTIME_DEPENDENCY_OF SPECIFICATION_FOR STATIC_LINK "
            "TEST_CASE_OF "
            "TEST_DEPENDENCY_OF TEST_OF TEST_TOOL_OF VARIANT_OF"
        ),
        "relatedSpdxElement": text,
    },
    {"comment": text},
)
