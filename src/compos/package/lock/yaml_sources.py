"""YAML from URLs, as a lock has it: exactly these bytes, from the store, the lock's mirror, or the
URL as long as it still has them.

May touch: the store, the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from compos.config.sources import is_url
from compos.errors import ComposError, PackageError
from compos.image.digest import digest_of
from compos.image.model import Descriptor
from compos.image.store import Store
from compos.package.lock.mirror import LockMirror
from compos.package.lock.model import YAML
from compos.progress import notice

__all__ = ["YamlSources"]


class YamlSources:
    """What is taken for URLs while YAML is read (`config.sources.Take`).

    `known` says what URLs, without their secrets, stand for; `mirror` is asked first for what the
    store lacks. Others are read now, or refused if the lock is to be `complete`. `found` has what
    was taken.
    """

    def __init__(
        self,
        store: Store,
        known: Mapping[str, Descriptor],
        *,
        mirror: LockMirror | None = None,
        complete: bool = False,
    ) -> None:
        self._store = store
        self._known = known
        self._mirror = mirror
        self._complete = complete
        self._urls: dict[str, str] = {}
        self.found: dict[str, Descriptor] = {}

    def take(self, source: str, name: str, read: Callable[[], bytes]) -> bytes:
        """The contents of `source`, which is `name` without its secrets; `read` reads them now.
        Raises `PackageError` (`lock-entry-missing`, `lock-source`, `lock-source-twice`)."""
        if not is_url(source):
            # In version control, as the lock is.
            return read()
        if self._urls.setdefault(name, source) != source:
            raise PackageError(
                "lock-source-twice",
                "two URLs differ only in what a lock does not hold: a user, password, query or "
                "fragment, or what follows a very long beginning",
                place=name,
                hint="Use URLs with different paths.",
            )
        known = self._known.get(name)
        if known is None and self._complete:
            raise PackageError(
                "lock-entry-missing",
                "the lock does not have the YAML of this URL",
                place=name,
                hint="Add it with `compos lock`.",
            )
        data = read() if known is None else self._exact(name, known, read)
        self.found[name] = self._store.put(data, YAML)
        return data

    def _exact(self, name: str, known: Descriptor, read: Callable[[], bytes]) -> bytes:
        if self._mirror and not self._store.has(known.digest, known.size):
            try:
                self._mirror.fetch(known)
            except ComposError as error:
                notice(
                    f"{name}: the mirror {self._mirror.repository} does not help: {error.message}"
                )
        if self._store.has(known.digest, known.size):
            return self._store.read(known.digest)
        data = read()
        if digest_of(data) != known.digest:
            raise PackageError(
                "lock-source",
                f"the URL has other YAML now, {digest_of(data)}; the lock has {known.digest}",
                place=name,
                hint="Look at what has changed, and lock it with `compos lock --update`; or name a "
                "registry that has the lock's parts with --mirror-from.",
            )
        return data
