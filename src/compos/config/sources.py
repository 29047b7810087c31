"""Where YAML is read from: files, standard input, http(s) URLs; and what a name in one source means
from there.

May touch: the files named, standard input, the network for http(s) sources.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from compos.errors import AddressError, ConfigError, RedirectError, Transient

if TYPE_CHECKING:
    from compos.http.client import Answer

__all__ = [
    "STDIN",
    "Take",
    "default_name",
    "folder_of",
    "is_url",
    "joined",
    "read_now",
    "read_source",
]

MAX_SOURCE = 16 << 20
"""Bytes of YAML that are read from one source."""

STDIN = "<stdin>"
"""What standard input is called in places."""


Take = Callable[[str, str, Callable[[], bytes]], bytes]
"""What is taken as the contents of a source, from the source, what places call it, and a function
that reads it now. Raises `ComposError`."""


def read_now(source: str, name: str, read: Callable[[], bytes]) -> bytes:
    """A `Take` that changes nothing."""
    return read()


class _Busy(ConfigError, Transient):
    pass


def is_url(source: str) -> bool:
    """Whether `source` is fetched."""
    return source.startswith(("http://", "https://"))


def folder_of(source: str) -> Path | None:
    """The folder that names in `source` are relative to; None for a URL."""
    if is_url(source):
        return None
    return Path() if source in ("-", STDIN) else Path(source).parent


def joined(source: str, name: str) -> str:
    """The source that `name` means in `source`: relative to its folder or URL. Raises
    `ConfigError`.

    A file that came from the network includes nothing of this machine.
    """
    if is_url(name):
        return name
    if is_url(source):
        from urllib.parse import urljoin

        try:
            url = urljoin(source, name)
        except ValueError:
            url = ""
        if not is_url(url):
            hint = "Use a path relative to the URL, or an http(s) URL."
            raise ConfigError("config-include", f"{name!r} cannot be fetched", hint=hint)
        return url
    folder = folder_of(source)
    return os.path.normpath(os.path.join(folder or "", os.path.expanduser(name)))  # noqa: PTH111, PTH118  keeps it short


def read_source(
    source: str,
    stdin: Callable[[], bytes],
    certificates: tuple[str, ...] = (),
    take: Take = read_now,
) -> tuple[str, str]:
    """What `source` is called in places (no secrets), and its text, which `take` may replace.
    `certificates` are trusted beside the system's where it is fetched. Raises `ComposError`."""
    if source == "-":
        name, data = STDIN, take(source, STDIN, stdin)
    elif is_url(source):
        from compos.http.address import without_secrets

        name = without_secrets(source)
        data = take(source, name, lambda: _fetch(source, name, certificates))
    else:
        name, data = source, take(source, source, lambda: _read(source))
    if len(data) > MAX_SOURCE:
        raise ConfigError(
            "yaml-too-large",
            f"the YAML is larger than {MAX_SOURCE >> 20} MiB",
            place=name,
            hint="Use a YAML file.",
        )
    return name, _text(name, data)


def default_name(source: str) -> str:
    """Base of the output names: the source's name without its last extension; `moby` for standard
    input."""
    if is_url(source):
        from compos.http.address import without_secrets

        source = without_secrets(source).partition("://")[2].partition("/")[2]
    return "moby" if source == "-" else PurePosixPath(source).stem or "moby"


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as stream:
            return stream.read(MAX_SOURCE + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ConfigError(
            "config-source",
            f"the file cannot be read: {reason}",
            place=path,
            hint="Use a YAML file, - for standard input, or a URL.",
        ) from error


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "yaml-encoding",
            f"byte {error.start} is not UTF-8",
            place=f"{name}:{line}",
            hint="Save the file as UTF-8.",
        ) from error


def _fetch(url: str, name: str, certificates: tuple[str, ...]) -> bytes:
    """The body of a document that is really there (docs/linuxkit.md#N14), redirects followed."""
    from compos.http.client import Client

    client = Client(certificates)

    def attempt() -> bytes:
        with client.request("GET", url) as answer:
            if answer.status != 200:
                raise _refusal(answer, name)
            return answer.beginning(MAX_SOURCE + 1)

    try:
        return client.patiently(attempt)
    except (RedirectError, AddressError) as error:
        raise ConfigError(
            "config-source", error.message, place=error.place, hint="Use the final URL."
        ) from error


def _refusal(answer: Answer, name: str) -> ConfigError:
    from compos.http.retry import may_pass

    message = f"the server returned status {answer.status}"
    if not may_pass(answer.status):
        return ConfigError("config-source", message, place=name, hint="Check the URL.")
    hint = "Try again later."
    return _Busy("config-source", message, place=name, hint=hint, delay=answer.delay)
