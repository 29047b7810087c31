"""What a URL means in a folder that is served: a file, a listing, another URL, or nothing; which
part of a file is asked for.

May touch: the folder (reading).
"""

from __future__ import annotations

import email.utils
import html
import mimetypes
import os
import posixpath
import re
import stat
from email.message import Message
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote, unquote_to_bytes

__all__ = ["Folder", "Found", "Page", "find", "listing", "parse_range", "unchanged"]

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII | re.IGNORECASE)
_INDEXES = ("index.html", "index.htm")
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_BEYOND = 1 << 62
"""Stands for a position of too many digits: no file is as long."""


class Found(NamedTuple):
    """A regular file inside the folder, open for reading."""

    stream: BinaryIO
    size: int
    modified: int
    headers: dict[str, str]


class Page(NamedTuple):
    """An answer that is no file."""

    content: bytes
    type: str


class Folder(NamedTuple):
    """A folder to be listed; `path` is what the URL says, decoded."""

    path: str


def find(root: Path, path: str) -> Found | Folder | str | None:
    """What the `path` of a URL means below `root` (which is resolved): a file, a folder, where to
    go instead, or nothing.

    Dots are resolved in the URL, as clients do; links are followed as long as they stay inside.
    """
    # http.server reads the request's line as Latin-1.
    decoded = os.fsdecode(unquote_to_bytes(path.encode("iso-8859-1", "replace")))
    clean = posixpath.normpath("/" + decoded.lstrip("/"))
    inside = _inside(root, clean)
    if inside is None:
        return None
    if not inside.is_dir():
        return None if decoded.endswith("/") else _opened(root, inside)
    if not decoded.endswith("/"):
        # Not `//`: that would lead to another host.
        return quote(os.fsencode(clean)).rstrip("/") + "/"
    for index in _INDEXES:
        file = _inside(root, f"{clean}/{index}")
        if file is not None and (found := _opened(root, file)):
            return found
    return Folder(clean)


def _inside(root: Path, path: str) -> Path | None:
    """Where `path` below `root` really is; None for what does not exist or lies outside."""
    try:
        found = Path(f"{root}/{path}").resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return found if found.is_relative_to(root) else None


def _opened(root: Path, path: Path) -> Found | None:
    try:
        # Opening a pipe would wait, opening a device may do anything.
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        descriptor = _open_below(root, path)
    except (OSError, ValueError):
        return None
    stream = os.fdopen(descriptor, "rb")
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        stream.close()
        return None
    modified = int(status.st_mtime)
    headers = {
        "Content-Type": _type_of(path.name),
        "Last-Modified": email.utils.formatdate(max(0, modified), usegmt=True),
    }
    return Found(stream, status.st_size, modified, headers)


def _open_below(root: Path, path: Path) -> int:
    """The file at `path`, which has no links, opened folder by folder: somebody may have put a link
    in the way since. Raises `OSError`."""
    folder = os.open(root, _FOLDER)
    try:
        *folders, name = path.relative_to(root).parts
        for part in folders:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(name, _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def _type_of(name: str) -> str:
    if name.endswith(".efi"):
        return "application/efi"  # UEFI specification 2.10, 24.7.1.2
    guessed, encoding = mimetypes.guess_type(name)
    if encoding == "gzip":
        return "application/gzip"
    return "application/octet-stream" if encoding or guessed is None else guessed


def unchanged(found: Found, headers: Message) -> bool:
    """Whether the client has this version of the file (RFC 9110 section 13.1.3)."""
    since = headers.get("If-Modified-Since")
    if not since or "If-None-Match" in headers:
        return False
    try:
        return found.modified <= email.utils.parsedate_to_datetime(since).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return False


def parse_range(found: Found, headers: Message) -> range | None:
    """The bytes that were asked for (RFC 9110 section 14); all of them where the request's range
    does not count.

    Several ranges do not, nor one of a file that has changed since (`If-Range`). None for a range
    beyond the file's end.
    """
    whole = range(found.size)
    asked = _RANGE.fullmatch(headers.get("Range") or "")
    if asked is None or not (asked[1] or asked[2]):
        return whole
    if headers.get("If-Range", found.headers["Last-Modified"]) != found.headers["Last-Modified"]:
        return whole
    if not asked[1]:
        last = _number(asked[2])
        return None if not last or not found.size else range(max(0, found.size - last), found.size)
    start, end = _number(asked[1]), _number(asked[2]) if asked[2] else _BEYOND
    if end < start:
        return whole
    return None if start >= found.size else range(start, min(end + 1, found.size))


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < 19 else _BEYOND


def listing(root: Path, folder: Folder) -> bytes:
    """A page that lists the folder; what leads outside of it is left out."""
    base = _inside(root, folder.path)
    try:
        names = sorted(os.listdir(base)) if base else []  # noqa: PTH208  names are enough
    except OSError:
        names = []
    title = html.escape(os.fsencode(folder.path).decode(errors="replace"))
    lines = [
        (
            "<!DOCTYPE html>\n<html>\n<head><meta "
            f'charset="utf-8"><title>{title}</title></head>\n<body>\n<ul>'
        )
    ]
    for name in names:
        found = _inside(root, f"{folder.path}/{name}")
        if found is not None and (found.is_dir() or found.is_file()):
            slash = "/" if found.is_dir() else ""
            shown = html.escape(os.fsencode(name).decode(errors="replace"))
            # `quote` leaves no colon: no name is taken for a scheme.
            lines.append(
                f'<li><a href="{quote(os.fsencode(name), safe="")}{slash}">{shown}{slash}</a></li>'
            )
    return "\n".join([*lines, "</ul>\n</body>\n</html>\n"]).encode()
