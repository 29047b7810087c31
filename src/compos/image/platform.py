"""Platforms: operating system, architecture and variant, in the names that OCI images use (those of
Go).

Pure, apart from asking the kernel what this machine is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from compos.errors import ImageError

__all__ = ["Platform"]

_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv6l": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "loongarch64": ("loong64", ""),
    "ppc64le": ("ppc64le", ""),
    "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""),
}
"""What uname(2) calls a machine → GOARCH and GOARM."""

_BASELINES = {"amd64": "v1", "arm": "v7", "arm64": "v8"}
"""What no variant means (OCI image specification, "Platform Variants"): what every machine of the
kind runs."""

_LEVEL = re.compile(r"v([0-9]{1,4})(?:\.([0-9]{1,4}))?")

_NAME = re.compile(r"[a-z0-9_.]{1,64}")
"""An operating system, an architecture or a variant; Go's longest has eleven characters."""


class Platform(NamedTuple):
    """Operating system, architecture (Go's names) and variant (`v7`; empty when there is none)."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `OS/ARCHITECTURE[/VARIANT]`; raises `ImageError` (`platform-syntax`)."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(_NAME.fullmatch(part) for part in parts):
            raise ImageError(
                "platform-syntax",
                f"{text!r} is not a platform",
                hint="Write it as OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, for example "
                "linux/arm64.",
            )
        return cls(*parts)

    @classmethod
    def named(cls, architecture: str) -> Platform:
        """Linux on an architecture as Go or uname(2) call it: `arm64`, `aarch64`. Raises
        `ImageError`."""
        known = _MACHINES.get(architecture, (architecture, ""))
        if known[0] not in {name for name, _ in _MACHINES.values()}:
            raise ImageError(
                "platform-unknown",
                f"unknown architecture {architecture!r}",
                hint="Use amd64, arm64 or riscv64.",
            )
        return cls("linux", *known)

    @classmethod
    def host(cls) -> Platform:
        """The platform of this machine, with the operating system `linux`."""
        machine = os.uname().machine
        architecture, variant = _MACHINES.get(machine, (machine, ""))
        return cls("linux", architecture, variant)

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Platform:
        """Read the `platform` object of a descriptor, or an image config, which has the same
        keys."""
        found = [value.get(key) or "" for key in ("os", "architecture", "variant")]
        # What is not a name is printed nowhere.
        return cls(
            *(
                text
                if isinstance(text, str) and _NAME.fullmatch(text)
                else "unknown"
                if text
                else ""
                for text in found
            )
        )

    def to_json(self) -> dict[str, str]:
        """The `platform` object of a descriptor (OCI image specification, "Image Index")."""
        plain = {"architecture": self.architecture, "os": self.os}
        return {**plain, "variant": self.variant} if self.variant else plain

    def offers(self, wanted: Platform) -> bool:
        """Whether something made for this platform serves for `wanted`."""
        return self.rank(wanted) is not None

    def rank(self, wanted: Platform) -> tuple[int, int] | None:
        """How well something made for this platform serves for `wanted`, smaller is better; None
        when it does not.

        A machine runs what is made for its own variant and for lower ones: `arm/v7` runs `arm/v6`.
        Where no variant is wanted the baseline serves best, and a higher one only if there is
        nothing else: nobody said that it would not do.
        """
        if (self.os, self.architecture) != (wanted.os, wanted.architecture):
            return None
        mine, theirs = self._level(), wanted._level()
        if mine == theirs:
            return 0, 0
        if isinstance(mine, int) and isinstance(theirs, int) and mine < theirs:
            return 1, theirs - mine
        return None if wanted.variant else (2, mine if isinstance(mine, int) else 0)

    def _level(self) -> int | str:
        """The variant as a number that grows with what it asks of a machine; as it is where it is
        none of ours."""
        variant = self.variant or _BASELINES.get(self.architecture, "")
        match = _LEVEL.fullmatch(variant)
        return int(match[1]) * 10_000 + int(match[2] or 0) if match else variant

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
