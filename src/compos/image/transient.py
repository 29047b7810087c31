"""A registry's failure that may pass by itself. Pure."""

from __future__ import annotations

from compos.errors import ImageError, Transient

__all__ = ["TransientError"]


class TransientError(ImageError, Transient):
    """A registry or its token server is busy, limits us, or breaks off; `delay` as it asked."""
