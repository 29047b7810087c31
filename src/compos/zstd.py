"""zstd, wherever this Python has it: in the standard library from 3.14 on, else as its backport.

Importing it loads the C library (5 ms): inside of functions that compress or decompress.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
