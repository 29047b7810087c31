"""`.sbat`: which components a UEFI program has, in which generation. shim refuses generations that
have been revoked. Pure.

Source: shim, SBAT.md ("SBAT formatting": CSV without quotes; component, generation, and for humans
vendor, package, version, URL).
"""

from __future__ import annotations

import re

from compos.errors import OutputError

__all__ = ["MAX_SBAT", "merged_sbat"]

MAX_SBAT = 4096
"""Bytes of what is added."""
LINE = re.compile(rb"[!-+\--~]+,[1-9][0-9]{0,9}(,[ -+\--~]*){0,4}")


def merged_sbat(stub: bytes, more: bytes, place: str) -> bytes:
    """The stub's section with the lines of `more`, which come from the file `place`. Raises
    `OutputError` (`sbat-invalid`)."""
    lines = stub.rstrip(b"\0").splitlines()
    components = {line.partition(b",")[0] for line in lines}
    if len(more) > MAX_SBAT:
        raise _invalid(place, f"it is longer than {MAX_SBAT} bytes")
    added = [line for line in more.splitlines() if line]
    for number, line in enumerate(added, 1):
        if not LINE.fullmatch(line):
            raise _invalid(f"{place}:{number}", "a line is no component with its generation")
        component = line.partition(b",")[0]
        if component in components:
            text = component.decode("ascii", "replace")
            raise _invalid(f"{place}:{number}", f"the component {text} is there already")
        components.add(component)
    return b"".join(line + b"\n" for line in (*lines, *added))


def _invalid(place: str, reason: str) -> OutputError:
    return OutputError(
        "sbat-invalid",
        f"the SBAT entries cannot be used: {reason}",
        place=place,
        hint="Write a line for each: component,generation,vendor,package,version,URL.",
    )
