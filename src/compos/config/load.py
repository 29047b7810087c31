"""From files, standard input and URLs to one checked configuration.

May touch: the files named, standard input, the network for http(s) sources.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from compos.config.decode import Decoder
from compos.config.fields import SETTINGS
from compos.config.merge import merge
from compos.config.model import Config, Settings
from compos.config.nodes import Map, read_nodes
from compos.config.problems import Problems
from compos.config.references import check_names, check_references
from compos.errors import ComposError, ConfigError

__all__ = ["decode_label", "default_name", "load"]

LARGEST = 16 << 20
"""Bytes of YAML that are read from one source."""

MOST_REDIRECTS = 5
LABEL = "org.mobyproject.config"


def load(sources: Sequence[str], *, stdin: Callable[[], bytes] = lambda: sys.stdin.buffer.read()) -> Config:
    """Read, check and merge `sources` from left to right: paths, `-`, http(s) URLs.

    Raises `ConfigError`, or `CombinedError` for several mistakes, in the order of the sources.
    """
    merged = Config()
    problems = Problems()
    for source in sources:
        found = _one(source, problems, stdin)
        if found is not None:
            merged = merge(merged, found)
    check_names(merged, problems)
    # What a part with a mistake would have declared is unknown: complaints about its absence would mislead.
    if not problems:
        check_references(merged, problems)
    problems.raise_if_any()
    return merged


def default_name(sources: Sequence[str]) -> str:
    """Base of the output names: the last source's name without its last extension; `moby` for standard input."""
    last = sources[-1]
    if last.startswith(("http://", "https://")):
        from compos.http import without_secrets

        last = without_secrets(last).partition("://")[2].partition("/")[2]
    return "moby" if last == "-" else PurePosixPath(last).stem or "moby"


def decode_label(text: str, image: str) -> Settings:
    """The settings in the image label org.mobyproject.config (1.6); blank text says nothing.

    Raises `ConfigError` or `CombinedError`, with `image` in the place.
    """
    name = f"label {LABEL} of {image}"
    problems = Problems()
    problems.source(name, text)
    node = read_nodes(text, name, problems)
    if node is None:
        return Settings()
    decoder = Decoder(name, problems)
    if isinstance(node, Map):
        for key in ("name", "image"):
            if key in node.entries:
                entry = node.entries.pop(key)
                hint = "It is the YAML's entry that says it."
                decoder.fail("config-unknown-key", f"a label has no key {key!r}", entry.key.span, key, hint)
    settings = decoder.decode(node, SETTINGS)
    problems.raise_if_any()
    return settings if isinstance(settings, Settings) else Settings()


def _one(source: str, problems: Problems, stdin: Callable[[], bytes]) -> Config | None:
    """One source as far as it can be read; mistakes go to `problems`."""
    name = source
    try:
        name, data = _read(source, stdin)
        text = _text(name, data)
        problems.source(name, text)
        node = read_nodes(text, name, problems)
        if node is None:
            raise ConfigError(
                "yaml-empty", "there is no YAML in it", place=name, hint="Write at least `kernel:` and `init:`."
            )
    except ComposError as error:
        problems.stop(error, name)
        return None
    return Decoder(name, problems).config(node)


def _read(source: str, stdin: Callable[[], bytes]) -> tuple[str, bytes]:
    """What the source is called in places, and its bytes. Raises `ComposError`."""
    if source == "-":
        name, data = "<stdin>", stdin()
    elif source.startswith(("http://", "https://")):
        name, data = _fetch(source)
    else:
        name = source
        try:
            with Path(source).open("rb") as stream:
                data = stream.read(LARGEST + 1)
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise ConfigError(
                "config-source",
                f"the file cannot be read: {reason}",
                place=source,
                hint="Name a YAML file, - for standard input, or a URL.",
            ) from error
    if len(data) > LARGEST:
        raise ConfigError(
            "yaml-too-large", f"there are more than {LARGEST >> 20} MiB", place=name, hint="Name a YAML file."
        )
    return name, data


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


def _fetch(url: str) -> tuple[str, bytes]:
    """The body of a document that is really there (defect N14), redirects followed."""
    from urllib.parse import urljoin

    from compos.http import chunks, request, without_secrets

    name = without_secrets(url)
    for _ in range(MOST_REDIRECTS + 1):
        with request("GET", url) as response:
            location = response.headers.get("location")
            if response.status in (301, 302, 303, 307, 308) and location:
                url = urljoin(url, location)
                if not url.startswith(("http://", "https://")):
                    break
                continue
            if response.status != 200:
                hint = "Check the URL."
                raise ConfigError("config-source", f"the server answers {response.status}", place=name, hint=hint)
            data = bytearray()
            for piece in chunks(response, url):
                data += piece
                if len(data) > LARGEST:
                    break
            return name, bytes(data)
    raise ConfigError("config-source", "the redirects lead nowhere", place=name, hint="Name the final URL.")
