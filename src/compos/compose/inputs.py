"""What a system is made of, found before anything is composed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from compos.image.layout import ImageLayout
from compos.image.model import Image

if TYPE_CHECKING:
    from compos.compose.copies import Copies

__all__ = ["Inputs"]


class Inputs(NamedTuple):
    """Images by their names in the YAML; layouts by the names of the volumes that hold them;
    sections of an earlier build; images of tools that output formats are made with, by their
    references."""

    images: Mapping[str, Image]
    layouts: Mapping[str, ImageLayout] = MappingProxyType({})
    copies: Copies | None = None
    tools: Mapping[str, Image] = MappingProxyType({})
