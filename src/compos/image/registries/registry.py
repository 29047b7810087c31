"""The registry client: manifests and blobs, verified on the way in and resumed when the connection
breaks.

May touch: the network, through `session`, and the store it is given. Follows the OCI
distribution specification 1.1 ("Pulling manifests", "Pulling blobs") and its predecessor, Docker's
registry API version 2.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

from compos.errors import (
    ComposError,
    ImageError,
    Interrupted,
    NetworkError,
    StoreError,
    WrongContent,
)
from compos.http.client import Answer, Client
from compos.http.download import Incomplete, WrongSize, download
from compos.image.digest import Digest, digest_of
from compos.image.model import INDEX_TYPES, MANIFEST_TYPES, Descriptor, parse_document
from compos.image.reference import Reference
from compos.image.registries.credentials import Credentials, find_credentials
from compos.image.registries.mirrors import Endpoint, Mirrors
from compos.image.registries.session import Session
from compos.image.store import Store
from compos.image.transient import TransientError
from compos.progress import notice

__all__ = ["Registry"]

_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
_MANIFEST_LIMIT = 4 << 20
"""What the distribution specification has registries accept at least, and us at most."""

_Result = TypeVar("_Result")


def _ignore(_: int) -> None:
    pass


class Registry:
    """All registries, through one set of mirrors, certificates and credentials. Used by several
    threads.

    `wait` sleeps between attempts; tests pass one that does not. With `fallback`, what a mirror
    does not serve is fetched from where the name says; LinuxKit fails then.
    """

    def __init__(
        self,
        mirrors: Mirrors | None = None,
        *,
        certificates: tuple[str, ...] = (),
        credentials: Callable[[Endpoint], Credentials | None] = find_credentials,
        wait: Callable[[float], None] = time.sleep,
        fallback: bool = False,
    ) -> None:
        self._mirrors = mirrors or Mirrors()
        self._origin = (
            Registry(
                Mirrors(insecure=self._mirrors.insecure),
                certificates=certificates,
                credentials=credentials,
                wait=wait,
            )
            if fallback and self._mirrors.urls
            else None
        )
        self._given_up: set[str] = set()
        """Hosts of mirrors that cannot be reached."""
        self._client = Client(certificates, wait)
        self._credentials = credentials
        self._lock = threading.Lock()
        self._sessions: dict[tuple[str, Endpoint], Session] = {}

    def session(self, reference: Reference, *, actions: str = "pull") -> Session:
        """The session for a reference's repository, made once, so that its token serves for all
        requests."""
        endpoint = self._mirrors.endpoint(reference)
        with self._lock:
            key = (actions, endpoint)
            if key not in self._sessions:
                self._sessions[key] = Session(
                    endpoint,
                    f"{reference.domain}/{reference.path}",
                    actions=actions,
                    client=self._client,
                    credentials=self._credentials,
                )
            return self._sessions[key]

    def patiently(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` again while it fails for reasons that may pass."""
        return self._client.patiently(work)

    def exists(self, reference: Reference, *, actions: str = "pull") -> bool:
        """Whether the registry has a reference, whatever it is."""
        return self._ask("HEAD", reference, actions) is not None

    def digest(self, reference: Reference, *, actions: str = "pull") -> Digest | None:
        """The digest of what the registry has for a reference, or None when it does not have it.

        Computed from the bytes: registries need not send `Docker-Content-Digest`, proxies drop it,
        and what follows from equality (nothing is pushed, an image here is removed) must not hang
        on a header.
        """
        data = self._ask("GET", reference, actions)
        return None if data is None else digest_of(data)

    def _ask(self, method: str, reference: Reference, actions: str) -> bytes | None:
        """What the registry has for a reference, at most 4 MiB; None when it does not have it."""
        session = self.session(reference, actions=actions)

        def ask() -> bytes | None:
            url = session.url(f"manifests/{reference.version}")
            with session.request(
                method, url, headers={"Accept": _ACCEPT}, allowed=(404, 405)
            ) as answer:
                if answer.status == 404:
                    return None
                if answer.status == 405 and method == "HEAD":
                    return self._ask("GET", reference, actions)
                return b"" if method == "HEAD" else _manifest_body(answer)

        return self.patiently(ask)

    def _somewhere(self, reference: Reference, work: Callable[[Registry], _Result]) -> _Result:
        """Do `work` with the mirror, and with the origin when the mirror cannot."""
        mirror = self._mirrors.endpoint(reference).host
        if self._origin is None or mirror == self._origin._mirrors.endpoint(reference).host:
            return work(self)
        if mirror in self._given_up:
            return work(self._origin)
        try:
            return work(self)
        except (StoreError, Interrupted):
            raise
        except ComposError as error:
            if isinstance(error, NetworkError):
                self._given_up.add(mirror)
            notice(
                f"{mirror} does not serve {reference}: {error.message}; trying "
                f"{reference.origin[0]}"
            )
            try:
                return work(self._origin)
            except ComposError as second:
                # Where only the mirror can be reached, what it said counts.
                raise (error if isinstance(second, NetworkError) else second) from second

    def manifest(
        self, reference: Reference, child: Descriptor | None = None
    ) -> tuple[Descriptor, bytes]:
        """The manifest or index of a reference, or the `child` of its index; at most 4 MiB.

        Raises `ImageError`: `image-not-found`, `image-media-type`, `image-malformed`,
        `digest-mismatch`, `registry-*`.
        """
        return self._somewhere(reference, lambda registry: registry._manifest(reference, child))

    def _manifest(self, reference: Reference, child: Descriptor | None) -> tuple[Descriptor, bytes]:
        session = self.session(reference)
        version = child.digest if child else reference.version

        def fetch() -> tuple[str, bytes]:
            url = session.url(f"manifests/{version}")
            with session.request("GET", url, headers={"Accept": _ACCEPT}) as answer:
                data = _manifest_body(answer)
                expected = (
                    version if ":" in version else answer.headers.get("Docker-Content-Digest")
                )
                if expected and expected.startswith("sha256:") and digest_of(data) != expected:
                    raise _mismatch(str(reference), expected, digest_of(data))
                return answer.headers.get("Content-Type", "").partition(";")[0].strip(), data

        try:
            content_type, data = self.patiently(fetch)
            media_type, _ = parse_document(
                data, media_type=child.media_type if child else content_type
            )
        except ImageError as error:
            error.place = error.place or str(reference)
            raise
        return Descriptor(
            media_type, digest_of(data), len(data), platform=child.platform if child else None
        ), data

    def download(
        self,
        reference: Reference,
        descriptor: Descriptor,
        store: Store,
        *,
        advance: Callable[[int], None] = _ignore,
    ) -> None:
        """Fetch a blob into `store`; `advance` is told every number of bytes that arrives, and may
        raise to stop.

        A broken transfer is resumed where it broke. Raises `ImageError`: `digest-mismatch`,
        `download-truncated`, `download-oversized`, `registry-*`, `store-*`.
        """
        self._somewhere(
            reference, lambda registry: registry._download(reference, descriptor, store, advance)
        )

    def _download(
        self,
        reference: Reference,
        descriptor: Descriptor,
        store: Store,
        advance: Callable[[int], None],
    ) -> None:
        session = self.session(reference)

        def send(headers: Mapping[str, str]) -> AbstractContextManager[Answer]:
            url = session.url(f"blobs/{descriptor.digest}")
            return session.request("GET", url, headers=headers, allowed=(416,))

        try:
            with store.writer() as blob:
                try:
                    download(self._client, send, blob, descriptor.size, advance=advance)
                except Incomplete as error:
                    raise _truncated(error) from error
                except WrongSize as error:
                    raise _wrong_size(error, descriptor) from error
                blob.commit(descriptor.media_type, descriptor.digest, descriptor.size)
        except ImageError as error:
            if error.place in (None, descriptor.digest):
                error.place = f"{session.name}@{descriptor.digest}"
            raise


def _manifest_body(answer: Answer) -> bytes:
    data = answer.beginning(_MANIFEST_LIMIT + 1)
    if len(data) > _MANIFEST_LIMIT:
        raise ImageError("registry-error", f"the manifest is larger than {_MANIFEST_LIMIT} bytes")
    return data


def _truncated(error: Incomplete) -> TransientError:
    return TransientError(
        "download-truncated",
        error.message,
        hint="Try again; if it happens again, use a mirror or push the image again.",
    )


def _wrong_size(error: WrongSize, descriptor: Descriptor) -> ImageError:
    if error.too_short:
        return ImageError(
            "download-truncated",
            f"the registry has only {error.found} of {descriptor.size} bytes",
            hint="Push the image again.",
        )
    return WrongContent(
        "download-oversized",
        f"the registry sent more than the {descriptor.size} bytes that the manifest states",
        hint="Push the image again, or use a mirror.",
    )


def _mismatch(place: str, expected: str, actual: str) -> ImageError:
    return WrongContent(
        "digest-mismatch",
        f"the registry sent {actual} instead of {expected}",
        place=place,
        hint="Try again; if it happens again, the registry or a proxy alters the image.",
    )
