"""The one family of exceptions that users see.

    ComposError            anything that compos can explain
    ├── ConfigError        the YAML: syntax, schema, values
    ├── ImageError         references, registries, the store, layers
    ├── PackageError       bricks, Debian indexes and packages
    ├── OutputError        writing results
    └── RunError           starting what was built

The library raises; only `compos.cli` prints and exits.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "CombinedError",
    "ComposError",
    "ConfigError",
    "ImageError",
    "OutputError",
    "PackageError",
    "RunError",
]


class ComposError(Exception):
    """An error with a stable id, what is wrong, where, and what to do.

    `id` is kebab-case and never changes its meaning between releases. `place` is `file:line:column`
    with a key path, an image and layer, or a URL without secrets. `hint` is one imperative
    sentence. `excerpt` is preformatted text that shows the place (source line and caret).
    """

    def __init__(
        self,
        id: str,
        message: str,
        *,
        place: str | None = None,
        hint: str | None = None,
        excerpt: str | None = None,
    ) -> None:
        super().__init__(message)
        self.id = id
        self.message = message
        self.place = place
        self.hint = hint
        self.excerpt = excerpt

    def __str__(self) -> str:
        where = f" ({self.place})" if self.place else ""
        return f"{self.message}{where} [{self.id}]"


class ConfigError(ComposError):
    """The YAML cannot be used as it is."""


class ImageError(ComposError):
    """An image cannot be named, fetched, verified or read."""


class PackageError(ComposError):
    """A brick or a Debian package cannot be resolved, verified or built."""


class OutputError(ComposError):
    """A result cannot be written."""


class RunError(ComposError):
    """A built system cannot be started."""


class CombinedError(ComposError):
    """Several mistakes found in one run, in the order in which they stand in the input."""

    def __init__(self, errors: Sequence[ComposError]) -> None:
        super().__init__(errors[0].id, f"{len(errors)} errors")
        self.errors = tuple(errors)
