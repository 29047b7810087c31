"""What is looked for in bricks' sources in C."""

from __future__ import annotations

import re

__all__ = ["FUNCTION"]

FUNCTION = re.compile(r"^static [\w *]*?\b(\w+)\((?=[^;]*?\)\n\{|[^;{]*\);)", re.MULTILINE)
"""The name of a function that is static: defined, or declared."""
