"""What a system is made of, found before anything is composed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from compos.image.layout import ImageLayout
from compos.image.model import Image

if TYPE_CHECKING:
    from compos.compose.input_tar import Copies

__all__ = ["Parts"]


@dataclass(frozen=True, slots=True)
class Parts:
    """Images by their names in the YAML; layouts by the names of the volumes that hold them; sections of an earlier build;
    images of tools that output formats are made with, by their references."""

    images: Mapping[str, Image]
    layouts: Mapping[str, ImageLayout] = field(default_factory=dict)
    copies: Copies | None = None
    tools: Mapping[str, Image] = field(default_factory=dict)
