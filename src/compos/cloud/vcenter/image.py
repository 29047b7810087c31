"""Items of a content library of vCenter: an OVA, which machines are deployed from.

May touch: vCenter, the file to push.

Source: developer.broadcom.com/xapis/vsphere-automation-api, "content": "Library", "Local Library",
"Library Item" (find, get, create, delete), "Library Item Update Session" (create, list, get,
complete, delete) and "Update Session: File" (add). What compos has made is told by an item's
description.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from compos.cloud.attempts import has_ended, this_host
from compos.cloud.model import Image, Made, Pushed
from compos.cloud.rest import Answer, Rest
from compos.errors import CloudConflict, CloudError, CloudImport, CloudMissing
from compos.progress import task

__all__ = ["VcenterImages", "VcenterOptions", "described"]

CHUNK = 1 << 20
IMPORT_SECONDS = 7200
PAUSE = 3
_DESCRIPTION = re.compile(
    r"compos sha256:([0-9a-f]{64}) by:(\S+)/([0-9]{1,10}) name:(.*)", re.DOTALL
)
"""Digest, host and process that have made an item, name."""
ITEM = "/content/library/item"
SESSION = f"{ITEM}/update-session"


class VcenterOptions(NamedTuple):
    """`library` and `datastore` are names; a library that is not there is made on the datastore.
    `name` is an item's exact name."""

    library: str = "compos"
    datastore: str = ""
    name: str = ""


class VcenterImages:
    """Items of one library."""

    def __init__(self, rest: Rest, options: VcenterOptions) -> None:
        self._rest, self._options = rest, options

    def find(self, image: Image) -> Pushed | None:
        """The item of this name, if it is of the same file and complete."""
        library = self._library()
        found = self._item(image, library) if library else None
        if found is None or not found["size"]:
            return None
        if not _is_of(found, image):
            raise CloudConflict(
                "cloud-conflict",
                f"the library has another item {found['name']}",
                place=self._options.library,
                hint="Choose another --img-name, or remove it.",
            )
        self._end_sessions(found["id"])
        return Pushed(found["id"], {"item": found["id"], "library": library})

    def send(self, image: Image) -> Pushed:
        """Create an item, and put the OVA into it."""
        self.abandon(image)
        library = self._library() or self._new_library()
        body = {
            "library_id": library,
            "name": self._full_name(image),
            "type": "ovf",
            "description": f"compos sha256:{image.digest} by:{this_host()}/{os.getpid()} "
            f"name:{image.name}",
        }
        item = self._created(ITEM, body)
        session = self._created(SESSION, {"library_item_id": item})
        file = {
            "name": f"{self._full_name(image)}.ova",
            "source_type": "PUSH",
            "size": image.length,
        }
        added = self._rest(
            "POST",
            f"{SESSION}/{session}/file",
            file,
            answer={"upload_endpoint": {"uri": "UPLOAD"}},
        )
        self._upload(image, str(added["upload_endpoint"]["uri"]))
        self._complete(session)
        if not self._rest.calls.until(
            lambda: self._is_done(session), seconds=IMPORT_SECONDS, pause=PAUSE
        ):
            raise CloudError("cloud-slow", "vCenter has not read the OVA", place=item)
        self._delete(f"{SESSION}/{session}")
        return Pushed(item, {"item": item, "library": library})

    def abandon(self, image: Image) -> None:
        """Remove the item of this file if nothing is in it, and nobody is about to fill it."""
        library = self._library()
        found = self._item(image, library) if library else None
        if found and not found["size"] and _is_of(found, image) and _is_left(found):
            self._end_sessions(found["id"])
            self._delete(f"{ITEM}/{found['id']}")

    def made(self) -> Iterator[Made]:
        """Items with compos's description."""
        library = self._library()
        for id in self._ids({"library_id": library}) if library else ():
            found = self._rest("GET", f"{ITEM}/{id}", answer={})
            if match := _DESCRIPTION.fullmatch(found.get("description") or ""):
                created = _time(found["creation_time"])
                yield Made("item", id, match[4], match[1], created, bool(found["size"]))

    def remove(self, made: Made) -> None:
        """Delete an item."""
        self._delete(f"{ITEM}/{made.id}")

    def _full_name(self, image: Image) -> str:
        return self._options.name or image.full_name

    def _library(self) -> str:
        """The id of the library, empty if there is none."""
        body = {"name": self._options.library, "type": "LOCAL"}
        found = self._rest("POST", "/content/library?action=find", body, answer={"items": []})
        return str(next(iter(found.get("items", ())), ""))

    def _new_library(self) -> str:
        found = self._rest(
            "GET",
            f"/vcenter/datastore?{urlencode({'names': self._options.datastore})}",
            answer={"items": [{"datastore": "DATASTORE"}]},
        ).get("items", ())
        if not found or not self._options.datastore:
            raise CloudMissing(
                "cloud-missing",
                f"there is neither a library {self._options.library} nor a datastore to make it on",
                place=self._options.datastore or None,
                hint="Name one with --datastore [VCDATASTORE].",
            )
        store = {"type": "DATASTORE", "datastore_id": found[0]["datastore"]}
        body = {"name": self._options.library, "type": "LOCAL", "storage_backings": [store]}
        return self._created("/content/local-library", body)

    def _created(self, path: str, body: dict[str, Any]) -> str:
        """The id of what is created; the token lets vCenter know a request that is repeated."""
        query = f"client_token={uuid.uuid4()}"
        answer = self._rest("POST", f"{path}?{query}", body, answer={"items": "ID"})
        return str(answer["items"])

    def _ids(self, wanted: dict[str, str]) -> list[str]:
        found = self._rest("POST", f"{ITEM}?action=find", wanted, answer={"items": []})
        return [str(id) for id in found.get("items", ())]

    def _item(self, image: Image, library: str) -> dict[str, Any] | None:
        wanted = {"library_id": library, "name": self._full_name(image)}
        for id in self._ids(wanted):
            with suppress(CloudMissing):
                return self._rest("GET", f"{ITEM}/{id}", answer={})
        return None

    def _upload(self, image: Image, url: str) -> None:
        def chunks() -> Iterator[bytes]:
            with (
                image.path.open("rb", buffering=0) as stream,
                task(f"send {image.path.name}", image.length) as progress,
            ):
                hasher = hashlib.sha256()
                while data := stream.read(CHUNK):
                    hasher.update(data)
                    progress.advance(len(data))
                    yield data
            if hasher.hexdigest() != image.digest:
                raise CloudError("cloud-file", "the file has changed", place=str(image.path))

        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(image.length),
        }
        self._rest.exchange(
            "PUT",
            url,
            headers=headers,
            body=chunks,
            answer=Answer(200, {}, b""),
            shown={"bytes": image.length},
        )

    def _complete(self, session: str) -> None:
        path = f"{SESSION}/{session}"
        try:
            self._rest("POST", f"{path}?action=complete", answer={})
        except CloudError as error:
            # The answer to our first attempt was lost; vCenter's word is that of "Error.Type".
            if "NOT_ALLOWED_IN_CURRENT_STATE" not in error.message:
                raise

    def _is_done(self, session: str) -> bool:
        found = self._rest("GET", f"{SESSION}/{session}", answer={"state": "DONE"})
        if found["state"] in ("ERROR", "CANCELED"):
            reason = (found.get("error_message") or {}).get("default_message", "nobody says why")
            raise CloudImport("cloud-import", f"vCenter does not take the OVA: {reason}"[:300])
        return bool(found["state"] == "DONE")

    def _end_sessions(self, item: str) -> None:
        found = self._rest("GET", f"{SESSION}?library_item_id={item}", answer={"items": []})
        for id in found.get("items", ()):
            self._delete(f"{SESSION}/{id}")

    def _delete(self, path: str) -> None:
        with suppress(CloudMissing):
            self._rest("DELETE", path, answer={})


def described(found: dict[str, Any]) -> tuple[str, str]:
    """The name and the digest of an item that compos has made; both are empty for another's."""
    match = _DESCRIPTION.fullmatch(found.get("description") or "")
    return (match[4], match[1]) if match else ("", "")


def _is_of(found: dict[str, Any], image: Image) -> bool:
    return described(found)[1] == image.digest


def _is_left(found: dict[str, Any]) -> bool:
    """Whether nobody is about to fill an item."""
    match = _DESCRIPTION.fullmatch(found.get("description") or "")
    return match is not None and has_ended(match[2], int(match[3]))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
