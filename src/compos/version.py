"""Which compos this is."""

from __future__ import annotations

__all__ = ["__version__"]

try:
    from compos._version import __version__
except ImportError:
    # A checkout that was never installed: `hatch_build.py` has not asked git (scripts/version.py).
    __version__ = "0+unknown"
