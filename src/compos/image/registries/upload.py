"""Upload of one blob to one repository: in one request or in several, and from where it stopped
when a connection breaks.

May touch: the network, through `session`, and the store for reading. Follows the OCI distribution
specification 1.1 ("Pushing blobs"): a small blob goes with the POST, one of up to 64 MiB with a
PUT, a longer one in PATCH requests. What a registry does not take is learned once for all blobs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from compos.errors import (
    ComposError,
    ImageError,
    NetworkError,
    StoreDamaged,
    Transient,
    Unauthorized,
    WrongContent,
)
from compos.http.address import without_secrets
from compos.http.client import Answer
from compos.http.retry import Attempts
from compos.image.digest import Digest
from compos.image.model import Descriptor
from compos.image.registries.session import Session
from compos.image.store import Store
from compos.image.transient import TransientError

__all__ = ["Uploader", "require_digest"]

SMALL = 128 << 10
"""Bytes of a blob that goes with the POST. Servers in Go read 256 KiB of a body that they have no
use for, and close the connection when there is more."""

CHUNK = 64 << 20
"""Bytes of a request: what is sent again at most when a connection breaks."""

MIN_CHUNK = 1 << 20
"""Bytes of a request where a server or a proxy takes no longer ones: nginx's default."""

PIECE = 1 << 20
"""Bytes that are in memory."""

PROGRESS = 1 << 20
"""Bytes that a registry must have taken for a failure to count as the first again."""

_UNKNOWN, _TOO_LARGE, _WRONG_RANGE = 404, 413, 416
_NOT_IN_CHUNKS = (400, 405, 411, 501)
"""What registries answer that take a blob only in one request."""

_WISH_REFUSED = (400, 401, 403, 404, 405, 411, 413, 415, 422, 501)
"""What registries answer to a POST that asks for more than they can."""


class _Upload:
    """An upload that is under way: where it is continued, and how much the registry has."""

    def __init__(self) -> None:
        self.location = ""
        self.offset = 0
        self.requests = 0
        self.least_chunk = 0

    def restart(self) -> None:
        """Begin anew."""
        self.location, self.offset, self.requests = "", 0, 0


class _Part:
    """Bytes `start` to `end` of a stored blob, read again each time they are sent."""

    def __init__(self, path: Path, start: int, end: int, sent: Callable[[int], None]) -> None:
        self.size = end - start
        self._path = path
        self._start, self._end = start, end
        self._sent = sent

    def __iter__(self) -> Iterator[bytes]:
        position = self._start
        with self._path.open("rb", buffering=0) as file:
            file.seek(position)
            while position < self._end:
                self._sent(position)
                piece = file.read(min(PIECE, self._end - position))
                if not piece:
                    raise StoreDamaged(
                        "store-corrupt",
                        "a blob was truncated while it was being sent",
                        place=self._path.name,
                        hint="Build or pull the image again.",
                    )
                yield piece
                position += len(piece)
        self._sent(position)


class Uploader:
    """Uploads blobs of `store` into the repository of `session`. Used by several threads.

    `mounts` says in which other repository of the registry a blob may be.
    """

    def __init__(
        self,
        store: Store,
        session: Session,
        attempts: Callable[[], Attempts],
        *,
        mounts: Callable[[Digest], str | None] = lambda _: None,
    ) -> None:
        self._store = store
        self._session = session
        self._attempts = attempts
        self._mounts = mounts
        # Learned from the registry's answers; threads may learn the same.
        self._in_post = True
        self._in_chunks = True
        self._chunk = CHUNK

    def has(self, blob: Descriptor) -> bool:
        """Whether the repository has the blob. Raises as `Session.request` does."""
        url = self._session.url(f"blobs/{blob.digest}")
        with self._session.request("HEAD", url, allowed=(404, 405, 501)) as answer:
            if answer.status < 300 or answer.status == 404:
                return answer.status != 404
        # The body is not read.
        with self._session.request("GET", url, allowed=(404,)) as answer:
            return answer.status != 404

    def upload(self, blob: Descriptor, sent: Callable[[int], None]) -> None:
        """Have the repository hold the blob, which the store must have.

        `sent` is called with how many bytes have been sent, which may become fewer, and may raise
        to stop. Raises `ImageError`, `NetworkError`.
        """
        upload, attempts = _Upload(), self._attempts()
        taken = 0
        while True:
            try:
                self._go_on(upload, blob, sent)
                return
            except _Anew:
                upload.restart()
            except ComposError as error:
                attempts.failed(error)
                self._ask(upload, blob)
                if upload.offset >= taken + PROGRESS:
                    taken = upload.offset
                    attempts.reset()
                # What broke off may have arrived.
                if not upload.location and self._arrived(blob):
                    return

    def _go_on(self, upload: _Upload, blob: Descriptor, sent: Callable[[int], None]) -> None:
        """Continue to the end. Raises `_Anew` when it must be begun again in another way."""
        if not upload.location and self._begin(upload, blob, sent):
            return
        if upload.offset and not self._in_chunks:
            raise _Anew
        if self._in_chunks and (upload.offset or blob.size > self._length(upload)):
            while upload.offset < blob.size:
                self._patch(upload, blob, sent)
        self._put(upload, blob, sent)

    def _begin(self, upload: _Upload, blob: Descriptor, sent: Callable[[int], None]) -> bool:
        """Open an upload; says whether the registry has the blob with that."""
        origin = self._mounts(blob.digest)
        if origin and self._post(upload, blob, {"mount": blob.digest, "from": origin}):
            return True
        if not upload.location and self._in_post and blob.size <= SMALL:
            part = self._part(blob, 0, blob.size, sent)
            if self._post(upload, blob, {"digest": blob.digest}, part):
                return True
            self._in_post = False
        if not upload.location:
            self._post(upload, blob, {})
        return False

    def _post(
        self,
        upload: _Upload,
        blob: Descriptor,
        wish: Mapping[str, str],
        body: _Part | None = None,
    ) -> bool:
        """Open an upload; says whether the blob is there with it, as the `wish` was. That a wish is
        refused counts for nothing."""
        start = self._session.url("blobs/uploads/")
        url = f"{start}?{urlencode(wish)}" if wish else start
        headers = _sized(body.size if body else 0)
        allowed = _WISH_REFUSED if wish else (_UNKNOWN,)
        try:
            with self._session.request(
                "POST", url, headers=headers, body=body, allowed=allowed
            ) as answer:
                if answer.status >= 300 and wish:
                    return False
                if answer.status == _UNKNOWN:
                    raise self._no_repository(answer)
                if wish and answer.status == 201:
                    require_digest(answer, blob.digest, self._session.name)
                    return True
                upload.location = self._location(answer, start)
                upload.least_chunk = _least_chunk(answer)
        except Unauthorized:
            # For another repository, of which the token's server knows nothing.
            if "mount" not in wish:
                raise
        return False

    def _no_repository(self, answer: Answer) -> ImageError:
        """Not every registry makes a repository for the first push."""
        error = self._session.refusal(answer.url, answer)
        error.message = error.message.replace("the image", "the repository", 1)
        error.hint = "Create the repository at the registry, or check its name."
        return error

    def _part(self, blob: Descriptor, start: int, end: int, sent: Callable[[int], None]) -> _Part:
        return _Part(self._store.path(blob.digest), start, end, sent)

    def _length(self, upload: _Upload) -> int:
        """Bytes that one request has at most."""
        return max(self._chunk, upload.least_chunk)

    def _patch(self, upload: _Upload, blob: Descriptor, sent: Callable[[int], None]) -> None:
        """Send the next chunk."""
        start = upload.offset
        end = min(blob.size, start + self._length(upload))
        part = self._part(blob, start, end, sent)
        headers = {**_sized(part.size), "Content-Range": f"{start}-{end - 1}"}
        allowed = (_UNKNOWN, _TOO_LARGE, _WRONG_RANGE, *_NOT_IN_CHUNKS)
        upload.requests += 1
        with self._session.request(
            "PATCH", upload.location, headers=headers, body=part, allowed=allowed
        ) as answer:
            if answer.status < 300:
                upload.location = self._location(answer, upload.location)
                upload.offset = self._taken(answer, start, end)
            else:
                self._refused(answer, upload, part.size)
        if upload.offset < end:
            # Counted as a failure: one that takes a byte at a time would go on for ever.
            raise TransientError(
                "registry-error",
                f"the registry took {upload.offset - start} of {part.size} bytes",
                place=f"{self._session.name}@{blob.digest}",
                hint="Try again later.",
            )

    def _put(self, upload: _Upload, blob: Descriptor, sent: Callable[[int], None]) -> None:
        """Send the rest, and finish the upload."""
        part = self._part(blob, upload.offset, blob.size, sent)
        separator = "&" if "?" in upload.location else "?"
        url = f"{upload.location}{separator}digest={quote(blob.digest, safe='')}"
        allowed = (_UNKNOWN, _TOO_LARGE, _WRONG_RANGE, *_NOT_IN_CHUNKS)
        with self._session.request(
            "PUT", url, headers=_sized(part.size), body=part, allowed=allowed
        ) as answer:
            if answer.status < 300:
                require_digest(answer, blob.digest, self._session.name)
                return
            self._refused(answer, upload, part.size)

    def _refused(self, answer: Answer, upload: _Upload, size: int) -> None:
        """Choose another way after `size` bytes were refused, or raise what it means."""
        if answer.status == _TOO_LARGE and self._in_chunks:
            smaller = max(MIN_CHUNK, upload.least_chunk, min(self._chunk, size) // 4)
            if smaller < size:
                self._chunk = min(self._chunk, smaller)
                raise _Anew
        if answer.status in _NOT_IN_CHUNKS and upload.requests:
            self._in_chunks = False
            raise _Anew
        error = self._session.refusal(answer.url, answer)
        if answer.status in (_UNKNOWN, _WRONG_RANGE):
            # It was restarted, or cleans up too early.
            raise TransientError(
                "registry-error",
                f"the registry does not continue the upload (status {answer.status})",
                place=error.place,
                hint="Try again later.",
            )
        if answer.status == _TOO_LARGE:
            error.hint = "Have the registry, or the proxy before it, take longer requests."
        raise error

    def _ask(self, upload: _Upload, blob: Descriptor) -> None:
        """Learn how much of the blob has arrived; begin anew where the registry does not say."""
        location, upload.location = upload.location, ""
        try:
            if not location:
                raise _Anew
            with self._session.request("GET", location, allowed=(*_NOT_IN_CHUNKS, 404)) as answer:
                taken = _end_of(answer)
                if answer.status >= 300 or taken is None or taken > blob.size:
                    raise _Anew
                upload.offset = taken
                moved = answer.headers.get("Location")
                upload.location = self._session.follow(location, moved) if moved else location
        except (_Anew, ImageError, NetworkError):
            # Whatever lasts shows again with the next request.
            upload.restart()

    def _arrived(self, blob: Descriptor) -> bool:
        try:
            return self.has(blob)
        except Transient:
            return False

    def _taken(self, answer: Answer, start: int, end: int) -> int:
        """How many bytes of the blob a registry has after a chunk that ended at `end`."""
        taken = _end_of(answer)
        if taken is None:
            return end
        if start < taken <= end:
            return taken
        # Chunks that are put elsewhere than they belong would only show at the end.
        self._in_chunks = False
        raise _Anew

    def _location(self, answer: Answer, url: str) -> str:
        """Where an upload is continued."""
        location = answer.headers.get("Location", "")
        if not location:
            raise ImageError(
                "registry-error",
                "the registry does not name the place for the upload",
                place=f"{self._session.name} at {without_secrets(url)}",
                hint="Check that the address is that of a registry, and not of its web pages.",
            )
        return self._session.follow(url, location)


class _Anew(Exception):
    """The upload begins again, in another way or at the beginning."""


def require_digest(answer: Answer, digest: str, name: str) -> None:
    """Raise `WrongContent` (`digest-mismatch`) when a registry says that it has stored something
    else; it need not say anything."""
    stored = answer.headers.get("Docker-Content-Digest", digest)
    if stored.startswith("sha256:") and stored != digest:
        raise WrongContent(
            "digest-mismatch",
            f"the registry stored {stored[:80]} instead of {digest}",
            place=name,
            hint="Try again; if it happens again, the registry or a proxy alters the image.",
        )


def _sized(size: int) -> dict[str, str]:
    return {"Content-Type": "application/octet-stream", "Content-Length": str(size)}


def _end_of(answer: Answer) -> int | None:
    """How many bytes the `Range` of an answer covers; None when it does not say."""
    span = re.fullmatch(r"(?:bytes=)?([0-9]{1,18})-([0-9]{1,18})", answer.headers.get("Range", ""))
    if span is None:
        return None
    # Nothing is written as one byte is.
    return int(span[2]) + 1 if int(span[2]) else 0


def _least_chunk(answer: Answer) -> int:
    """The shortest chunk that a registry takes, in bytes."""
    least = answer.headers.get("OCI-Chunk-Min-Length", "0")
    return int(least) if re.fullmatch("[0-9]{1,18}", least) else 0
