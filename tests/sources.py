"""A source of images that a test makes."""

from __future__ import annotations

from collections.abc import Callable, Generator

from compos.image.model import Image
from compos.image.offer import Offer, Wanted
from compos.image.store import Store

__all__ = ["Maker"]


class Maker:
    """Offers what `make` puts into `store` for a name; nothing where that returns None. `asked` are
    the names so far."""

    def __init__(self, store: Store, make: Callable[[str], Image | None]) -> None:
        self._store = store
        self._make = make
        self.asked: list[str] = []

    def offers(self, wanted: Wanted) -> Generator[Offer, None, None]:
        self.asked.append(wanted.text)
        if (image := self._make(wanted.text)) is not None:
            yield Offer(wanted.text, self._store.named(image.name))
