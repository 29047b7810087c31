"""The local Docker engine as a source of images (`--docker`): asked first, and passed over silently
when it cannot help.

May touch: the engine's socket, the store. Source: Docker Engine API 1.24 and later ("Inspect an
image", "Export an image"). Nothing of compos needs an engine; LinuxKit's users build packages into
theirs.
"""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Generator
from contextlib import closing
from urllib.parse import quote

from compos.errors import ImageError, StoreError
from compos.image.archives.archive import opened
from compos.image.archives.docker_archive import import_docker
from compos.image.derived_kinds import DerivedKind
from compos.image.json_document import parse_json
from compos.image.model import Descriptor
from compos.image.names import ENGINE, Origin
from compos.image.offer import Offer, Wanted
from compos.image.platform import Platform
from compos.image.reference import is_reserved
from compos.image.store import Store
from compos.progress import notice

__all__ = ["Engine"]

SOCKET = "/var/run/docker.sock"
SECONDS = 10
"""How long the engine may think before it answers."""

_PIECE = 1 << 20
MAX_ANSWER = 16 << 20
"""Bytes of the engine's description of an image."""


class Engine:
    """The engine behind `DOCKER_HOST` (a unix socket), by default behind its usual socket."""

    def __init__(self, store: Store, host: str | None = None) -> None:
        self._store = store
        self._host = host or os.environ.get("DOCKER_HOST") or f"unix://{SOCKET}"
        self._answers: dict[Wanted, Offer | None] = {}
        """It is asked once, which may take as long as exporting an image."""

    def offers(self, wanted: Wanted) -> Generator[Offer, None, None]:
        """The engine's image of this name; nothing when there is none, or no engine. It has no
        images as they were published."""
        # Whatever the engine has under a name of our bricks, it is not ours.
        if wanted.as_published or is_reserved(wanted.reference):
            return
        if wanted not in self._answers:
            self._answers[wanted] = self._offer(wanted)
        if (offer := self._answers[wanted]) is not None:
            yield offer

    def _offer(self, wanted: Wanted) -> Offer | None:
        try:
            found = self._inspect(wanted.text)
            if found is None or found.get("Architecture") not in (
                "",
                None,
                wanted.platform.architecture,
            ):
                return None
            identity = str(found["Id"])
            manifest = self._manifest(wanted.text, identity, wanted.platform)
            return Offer(wanted.text, manifest, Origin(ENGINE), kept_as=f"docker:{identity}")
        except StoreError:
            # A full disk is no reason to ask somebody else for the image.
            raise
        except ImageError as error:
            reason = error.message
        except (OSError, ValueError, KeyError, RecursionError, http.client.HTTPException) as error:
            reason = str(error)
        notice(f"the Docker engine does not serve {wanted.text}: {reason}")
        return None

    def _manifest(self, name: str, identity: str, platform: Platform) -> Descriptor:
        """The image as the store has it; exported once for each id, which names its config."""
        key = identity.replace(":", "-")
        if (known := self._store.recall(DerivedKind.ENGINE, key)) is not None:
            return known[1]
        with self._store.scratch() as folder:
            path = folder / "image.tar"
            with (
                closing(self._connect()) as connection,
                self._store.writing(),
                path.open("wb") as out,
            ):
                connection.request("GET", f"/images/{quote(name, safe='')}/get")
                response = connection.getresponse()
                if response.status != 200:
                    raise ValueError(f"it returned status {response.status}")
                while piece := response.read(_PIECE):
                    out.write(piece)
            with opened(path) as archive:
                _, manifest = import_docker(self._store, archive, platform, "")
        self._store.remember(DerivedKind.ENGINE, key, name, manifest)
        return manifest

    def _inspect(self, name: str) -> dict[str, object] | None:
        with closing(self._connect()) as connection:
            connection.request("GET", f"/images/{quote(name, safe='')}/json")
            response = connection.getresponse()
            data = response.read(MAX_ANSWER)
            if response.status == 404:
                return None
            if response.status != 200:
                raise ValueError(f"it returned status {response.status}")
            found = parse_json(data)
            if not isinstance(found, dict):
                raise ValueError("its response cannot be parsed")
            return found

    def _connect(self) -> http.client.HTTPConnection:
        scheme, _, path = self._host.partition("://")
        if scheme != "unix":
            raise ValueError(f"only unix sockets are supported, not {scheme}://")
        connection = http.client.HTTPConnection("localhost", timeout=SECONDS)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.sock.settimeout(SECONDS)
            connection.sock.connect(path)
        except OSError:
            connection.close()
            raise
        return connection
