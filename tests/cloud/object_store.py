"""Object storage of a test: moto's S3, with one bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

__all__ = ["ObjectStore", "object_store"]


class ObjectStore(NamedTuple):
    """Its port; what fetches an object's SHA-256 as a cloud does, by key (None: it is not there);
    the names of all objects; what removes them."""

    port: int
    digest: Callable[[str], str | None]
    keys: Callable[[], list[str]]
    clear: Callable[[], None]


@contextmanager
def object_store(bucket: str) -> Iterator[ObjectStore]:
    """A server with an empty `bucket`."""
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    backend = s3_backends["123456789012"]["aws"]
    if bucket not in backend.buckets:
        backend.create_bucket(bucket, "eu-west-1")
    kept = backend.buckets[bucket]

    def digest(key: str) -> str | None:
        found = kept.keys.get(key)
        return hashlib.sha256(found.value).hexdigest() if found else None

    def clear() -> None:
        for key in list(kept.keys):
            kept.keys.pop(key)
        kept.multiparts.clear()

    try:
        yield ObjectStore(
            server.get_host_and_port()[1],
            digest,
            lambda: [*kept.keys, *kept.multiparts],
            clear,
        )
    finally:
        clear()
        server.stop()
