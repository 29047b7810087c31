"""The table of `update`: what a system is called by those that bring it its next version. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from compos.config import model
from compos.config.check import Complaint
from compos.config.kinds import Flag, Text, key, table

__all__ = ["UPDATE"]

MAX_NAME = 64
# What stands in the key file of a bundle as it is, and in a file's name.
_COMPATIBLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
# semver.org, version 2.0.0, items 2, 9 and 10; RAUC takes fewer numbers than three as well.
_NUMBER = r"(0|[1-9][0-9]{0,8})"
_WORDS = r"[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"{_NUMBER}(\.{_NUMBER}){{0,2}}(-{_WORDS})?(\+{_WORDS})?")


def _compatible(text: str) -> Iterator[Complaint]:
    if len(text) > MAX_NAME or not _COMPATIBLE.fullmatch(text):
        yield Complaint(
            "config-update",
            f"{text[:100]!r} cannot name a kind of machine",
            f"Use up to {MAX_NAME} letters, digits and `.`, `_`, `+`, `-`: acme-gateway.",
        )


def _version(text: str) -> Iterator[Complaint]:
    if len(text) > MAX_NAME or not _VERSION.fullmatch(text):
        yield Complaint(
            "config-update",
            f"{text[:100]!r} is not a version",
            "Write it as semver.org describes it: 1.4.0, 2.0.0-rc.1; or as a date: 2026.11.29.",
        )


UPDATE = table(
    model.Update,
    "What updates of the system are called (docs/update-bundles.md).",
    key(
        "compatible",
        Text(_compatible),
        "The kind of machine: others refuse the update.",
        required=True,
    ),
    key("version", Text(_version), "This version: machines refuse older ones.", required=True),
    key("downgrade", Flag(), "Machines with a newer version take this one, too [false]."),
)
