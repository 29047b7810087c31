"""What can be attested: documents and their types. May touch: the document's file (reading)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn

from compos.errors import ImageError
from compos.image.json_document import parse_json
from compos.trust.dsse import MAX_STATEMENT, PREDICATES

__all__ = ["predicate_uri", "read_predicate", "short_type"]

_SBOMS = {"spdxVersion": "spdxjson", "bomFormat": "cyclonedx"}
"""Keys that only documents of a type have."""


def predicate_uri(kind: str) -> str:
    """The URI of a type that is one, or is cosign's short name. Raises `ImageError`
    (`attestation-type`)."""
    uri = PREDICATES.get(kind, kind)
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*:\S+", uri):
        raise ImageError(
            "attestation-type",
            f"{kind[:100]!r} is not a type of what can be attested",
            hint=f"Write {', '.join(PREDICATES)}, or a URI.",
        )
    return uri


def short_type(uri: str) -> str:
    """The name of a type in a file's name."""
    short = {uri: name for name, uri in PREDICATES.items()}
    return short.get(uri) or re.sub("[^A-Za-z0-9.-]+", "-", uri.partition(":")[2]).strip("-.")


def read_predicate(path: Path, kind: str | None) -> tuple[str, Any]:
    """The type and the document in a JSON file; an SBOM says itself what it is. Raises `ImageError`
    (`attestation-type`, `attestation-predicate`)."""
    try:
        with path.open("rb") as stream:
            document = parse_json(stream.read(MAX_STATEMENT + 1), limit=MAX_STATEMENT)
    except OSError as error:
        _refuse(path, str(error.strerror), error)
    except ValueError as error:
        _refuse(path, f"it is no JSON that can be attested: {error}", error)
    if kind is None:
        known = document if isinstance(document, dict) else {}
        kind = next((short for key, short in _SBOMS.items() if key in known), "")
    return predicate_uri(kind), document


def _refuse(path: Path, reason: str, error: Exception) -> NoReturn:
    raise ImageError(
        "attestation-predicate",
        f"the predicate cannot be read: {reason}",
        place=str(path),
        hint="Name a JSON file.",
    ) from error
