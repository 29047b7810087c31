"""From files, standard input and URLs to one checked configuration.

May touch: the files named, standard input, the network for http(s) sources.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from compos.config.check import check, check_settings
from compos.config.decode import Decoder
from compos.config.model import Config, Kernel, Mark, Settings
from compos.config.schema import CONFIG, SETTINGS
from compos.errors import CombinedError, ComposError, ConfigError

__all__ = ["decode_label", "default_name", "load"]

LARGEST = 16 << 20
"""Bytes of YAML that are read."""


def load(sources: Sequence[str], *, stdin: Callable[[], bytes] = lambda: sys.stdin.buffer.read()) -> Config:
    """Read, check and merge `sources` from left to right: paths, `-`, http(s) URLs.

    Raises `ConfigError`, or `CombinedError` for several mistakes.
    """
    merged = Config()
    errors: list[ComposError] = []
    decoders: dict[str, Decoder] = {}
    for source in sources:
        text, name = _read(source, stdin)
        decoder = Decoder(name, text)
        decoders[name] = decoder
        found = _decode(decoder, text)
        errors += decoder.errors
        decoder.errors = []
        if found is not None:
            merged = _merge(merged, found)

    def fail(id: str, message: str, mark: Mark, hint: str | None) -> None:
        decoder = decoders[mark.file]
        errors.append(ConfigError(id, message, place=str(mark), hint=hint, excerpt=decoder.excerpt(mark)))

    check(merged, fail)
    _raise(errors)
    return merged


def default_name(sources: Sequence[str]) -> str:
    """Base of the output names: the last source's name without its last extension; `moby` for standard input."""
    if sources[-1] == "-":
        return "moby"
    return Path(sources[-1].rstrip("/").rpartition("/")[2]).stem or "moby"


def decode_label(text: str, image: str) -> Settings:
    """The settings in an image's label `org.mobyproject.config`. Raises like `load`; `image` is named as the place."""
    decoder = Decoder(f"label of {image}", text)
    node = _compose(decoder, text)
    settings = decoder.decode(node, SETTINGS) if node is not None else Settings()
    errors: list[ComposError] = list(decoder.errors)
    if isinstance(settings, Settings):

        def report(id: str, message: str, key: str, hint: str | None) -> None:
            errors.append(ConfigError(id, message, place=f"{image}: {key}", hint=hint))

        check_settings(settings, report)
        # The label's own ".add" keys are accepted and ignored (reference, class "add").
        settings = replace(settings, capabilities_add=None, binds_add=None)
    _raise(errors)
    return settings if isinstance(settings, Settings) else Settings()


def _raise(errors: Sequence[ComposError]) -> None:
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise CombinedError(errors)


def _read(source: str, stdin: Callable[[], bytes]) -> tuple[str, str]:
    """The text of a source and what it is called in places."""
    if source == "-":
        data, name = stdin(), "<stdin>"
    elif source.startswith(("http://", "https://")):
        data, name = _fetch(source)
    else:
        name = source
        try:
            with Path(source).open("rb") as stream:
                data = stream.read(LARGEST + 1)
        except OSError as error:
            raise ConfigError(
                "config-source",
                f"the file cannot be read: {(error.strerror or str(error)).lower()}",
                place=source,
                hint="Name a YAML file, - for standard input, or a URL.",
            ) from error
    if len(data) > LARGEST:
        raise ConfigError("yaml-too-large", f"the file is larger than {LARGEST >> 20} MiB", place=name)
    try:
        return data.decode("utf-8-sig"), name
    except UnicodeDecodeError as error:
        raise ConfigError("yaml-encoding", f"byte {error.start} is not UTF-8", place=name) from error


def _fetch(url: str) -> tuple[bytes, str]:
    from compos.http import chunks, request, without_secrets

    name = without_secrets(url)
    for _ in range(5):
        with request("GET", url) as response:
            location = response.headers.get("location")
            if response.status in (301, 302, 303, 307, 308) and location:
                from urllib.parse import urljoin

                url = urljoin(url, location)
                continue
            if response.status != 200:
                raise ConfigError("config-source", f"the server answers {response.status}", place=name)
            data = bytearray()
            for piece in chunks(response, url):
                data += piece
                if len(data) > LARGEST:
                    break
            return bytes(data), name
    raise ConfigError("config-source", "the server redirects in a circle", place=name)


def _decode(decoder: Decoder, text: str) -> Config | None:
    node = _compose(decoder, text)
    if node is None:
        raise ConfigError(
            "yaml-empty", "the file is empty", place=decoder.file, hint="Write at least `kernel:` and `init:`."
        )
    if node.tag == "tag:yaml.org,2002:null":
        return Config()
    try:
        found = decoder.decode(node, CONFIG)
    except RecursionError as error:
        raise ConfigError("yaml-too-large", "the document contains itself", place=decoder.file) from error
    return found if isinstance(found, Config) else None


def _compose(decoder: Decoder, text: str) -> Any:
    import yaml

    loader_class = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        loader = loader_class(text)
        try:
            return loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = Mark(decoder.file, place.line + 1, place.column + 1, "") if place else Mark(decoder.file)
        raise ConfigError(
            "yaml-syntax",
            f"this is not YAML: {error.problem or error.context}",
            place=str(mark).rstrip(": "),
            excerpt=decoder.excerpt(mark),
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError("yaml-syntax", f"this is not YAML: {error}", place=decoder.file) from error


def _merge(base: Config, over: Config) -> Config:
    """The rules of reference 2.2: kernel fields replaced, lists appended."""
    return Config(
        _merge_kernel(base.kernel, over.kernel),
        *(
            (*getattr(base, name), *getattr(over, name))
            for name in ("init", "onboot", "onshutdown", "services", "volumes", "files", "init_marks")
        ),
    )


def _merge_kernel(base: Kernel | None, over: Kernel | None) -> Kernel | None:
    if base is None or over is None:
        return over or base
    return Kernel(
        over.image or base.image,
        over.cmdline or base.cmdline,
        over.binary or base.binary,
        base.tar if over.tar is None else over.tar,
        base.ucode if over.ucode is None else over.ucode,
        over.mark,
    )
