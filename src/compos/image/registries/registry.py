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
from compos.http.download import Incomplete, Sink, WrongSize, download
from compos.http.retry import USUAL, Attempts, Patience
from compos.image.digest import Digest, digest_of
from compos.image.model import INDEX_TYPES, MANIFEST_TYPES, Descriptor, parse_document
from compos.image.reference import Reference, is_reserved
from compos.image.registries.credentials import Credentials, find_credentials
from compos.image.registries.mirrors import Endpoint, Mirrors
from compos.image.registries.session import Session
from compos.image.store import Store
from compos.image.transient import TransientError
from compos.progress import notice

__all__ = ["Registry", "manifest_body"]

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
        patience: Patience = USUAL,
    ) -> None:
        self._mirrors = mirrors or Mirrors()
        self._origin = (
            Registry(
                # Bricks have no origin but their registry.
                Mirrors(insecure=self._mirrors.insecure, bricks=self._mirrors.bricks),
                certificates=certificates,
                credentials=credentials,
                wait=wait,
                patience=patience,
            )
            if fallback and self._mirrors.urls
            else None
        )
        self._given_up: set[str] = set()
        """Hosts of mirrors that cannot be reached."""
        self._client = Client(certificates, wait, patience)
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

    def host(self, reference: Reference) -> str:
        """The registry that the name of an image says; of our bricks, the one that has them."""
        bricks = self._mirrors.bricks and is_reserved(reference)
        return self._mirrors.endpoint(reference).host if bricks else reference.origin[0]

    def patiently(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` again while it fails for reasons that may pass."""
        return self._client.patiently(work)

    def pause(self, seconds: float) -> None:
        """Give others that change the same thing the time to do so."""
        self._client.wait(seconds)

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

    def attempts(self) -> Attempts:
        """A count of failures in a row, for work that goes on where it failed."""
        return self._client.attempts()

    def repository(self, reference: Reference) -> tuple[str, str]:
        """The registry that is asked for a reference (HOST[:PORT]), and the repository there."""
        endpoint = self._mirrors.endpoint(reference)
        return endpoint.host, endpoint.repository

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
                return b"" if method == "HEAD" else manifest_body(answer)

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
                data = manifest_body(answer)
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
        try:
            with store.writer() as blob:
                self._receive(reference, descriptor, blob, advance)
                blob.commit(descriptor.media_type, descriptor.digest, descriptor.size)
        except ImageError as error:
            if error.place in (None, descriptor.digest):
                error.place = f"{self.session(reference).name}@{descriptor.digest}"
            raise

    def receive(
        self,
        reference: Reference,
        descriptor: Descriptor,
        sink: Sink,
        advance: Callable[[int], None],
    ) -> None:
        """As `download`, into `sink`; only the size is verified."""
        self._somewhere(
            reference, lambda registry: registry._receive(reference, descriptor, sink, advance)
        )

    def _receive(
        self,
        reference: Reference,
        descriptor: Descriptor,
        sink: Sink,
        advance: Callable[[int], None],
    ) -> None:
        session = self.session(reference)

        def send(headers: Mapping[str, str]) -> AbstractContextManager[Answer]:
            url = session.url(f"blobs/{descriptor.digest}")
            return session.request("GET", url, headers=headers, allowed=(416,))

        try:
            download(self._client, send, sink, descriptor.size, advance=advance)
        except Incomplete as error:
            raise _truncated(error) from error
        except WrongSize as error:
            raise _wrong_size(error, descriptor) from error


def manifest_body(answer: Answer) -> bytes:
    """A manifest or an index, at most 4 MiB; raises `ImageError` (`registry-error`)."""
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
