"""Platforms: operating system, architecture and variant, in the names that OCI images use (those of Go).

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

_IMPLIED = {("arm64", "v8"): "", ("arm", ""): "v7", ("amd64", "v1"): ""}
"""Variants that mean the same as another spelling (OCI image specification, "Platform Variants")."""

_NAME = re.compile(r"[a-z0-9_.]+")


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
                f"not a platform: {text!r}",
                hint="Write it as OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, for example linux/arm64.",
            )
        return cls(*parts)

    @classmethod
    def named(cls, architecture: str) -> Platform:
        """Linux on an architecture as Go or uname(2) call it: `arm64`, `aarch64`. Raises `ImageError`."""
        known = _MACHINES.get(architecture, (architecture, ""))
        if known[0] not in {name for name, _ in _MACHINES.values()}:
            raise ImageError(
                "platform-unknown",
                f"there is no architecture {architecture!r}",
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
        """Read the `platform` object of a descriptor, or an image config, which has the same keys."""
        return cls(*(str(value.get(key) or "") for key in ("os", "architecture", "variant")))

    def to_json(self) -> dict[str, str]:
        """The `platform` object of a descriptor (OCI image specification, "Image Index")."""
        plain = {"architecture": self.architecture, "os": self.os}
        return {**plain, "variant": self.variant} if self.variant else plain

    def offers(self, wanted: Platform) -> bool:
        """Whether something made for this platform serves for `wanted`.

        A wanted platform without a variant takes any; a variant must be the same (`arm64` is `arm64/v8`).
        """
        if (self.os, self.architecture) != (wanted.os, wanted.architecture):
            return False
        return not wanted.variant or self._plain_variant() == wanted._plain_variant()

    def _plain_variant(self) -> str:
        return _IMPLIED.get((self.architecture, self.variant), self.variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
