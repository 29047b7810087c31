"""Where an output comes from: a predicate of SLSA provenance v1.

Pure. Source: slsa.dev, "Provenance", version 1. No time, host or user is in it: the same build has
the same provenance. Values of variables are left out, because they may be secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from compos.version import __version__

__all__ = ["BUILD_TYPE", "LOCAL_BUILDER", "Material", "provenance"]

BUILD_TYPE = "urn:compos:build:v1"
LOCAL_BUILDER = "urn:compos:local"
"""Who built, where nobody says: some machine with compos."""


class Material(NamedTuple):
    """What went into a build: a URI or a path, and its SHA-256 in hexadecimal digits."""

    uri: str
    sha256: str


def provenance(
    sources: Sequence[str],
    architecture: str,
    variables: Iterable[str],
    materials: Iterable[Material],
    *,
    builder: str = LOCAL_BUILDER,
) -> Mapping[str, Any]:
    """The predicate of outputs that were built from the YAML `sources` with `materials`."""
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "sources": [*sources],
                "architecture": architecture,
                "variables": sorted(variables),
            },
            "resolvedDependencies": [
                {"uri": one.uri, "digest": {"sha256": one.sha256}} for one in materials
            ],
        },
        "runDetails": {"builder": {"id": builder, "version": {"compos": __version__}}},
    }
