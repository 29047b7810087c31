"""Images of Scaleway: a qcow2 in object storage, imported as a snapshot of block storage, and the
image that starts from it.

May touch: Scaleway's APIs and object storage, the file to push.

Sources: www.scaleway.com/en/developers/api/block ("Import a snapshot from a Scaleway Object Storage
bucket", "List all snapshots", "Get a snapshot", "Delete a snapshot"); .../api/instances ("Create an
Instance image", "List Instance images", "Delete an Instance image").
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from compos.arithmetic import align_up
from compos.cloud.machine import ATTEMPT
from compos.cloud.model import DIGEST, NAME, Image, Made, Pushed
from compos.cloud.object_storage import Bucket
from compos.cloud.rest import Rest, delete, pages
from compos.errors import CloudError, CloudImport, CloudMissing

__all__ = ["ScalewayImages", "Zone", "tag_of"]

PAGE = 50
IMPORT_SECONDS = 3600
PAUSE = 5
GB = 10**9
"""Scaleway's volumes are of whole decimal gigabytes."""

_ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}


class Zone(NamedTuple):
    """An availability zone and a project in it."""

    name: str
    project: str

    @property
    def images(self) -> str:
        """The path of images."""
        return f"/instance/v1/zones/{self.name}/images"

    @property
    def snapshots(self) -> str:
        """The path of snapshots."""
        return f"/block/v1alpha1/zones/{self.name}/snapshots"

    @property
    def servers(self) -> str:
        """The path of servers."""
        return f"/instance/v1/zones/{self.name}/servers"

    @property
    def volumes(self) -> str:
        """The path of volumes of block storage."""
        return f"/block/v1alpha1/zones/{self.name}/volumes"


class ScalewayImages:
    """Images of the user's project in one zone; `name` is an image's exact name."""

    def __init__(self, rest: Rest, zone: Zone, bucket: Bucket, *, name: str = "") -> None:
        self._rest, self._zone, self._bucket, self._name = rest, zone, bucket, name

    def find(self, image: Image) -> Pushed | None:
        """The first image of this file and name."""
        found = self._registered(image)
        if not found:
            return None
        self._tidy(image)
        return _pushed(found[0])

    def send(self, image: Image) -> Pushed:
        """Upload, import, register."""
        attempt = uuid.uuid4().hex
        snapshot = self._snapshot(image, attempt)
        tags = [*_tags(image), f"{ATTEMPT}={attempt}"]
        self._rest(
            "POST",
            self._zone.images,
            {
                "name": self._full_name(image),
                "root_volume": snapshot,
                "arch": _ARCHITECTURES[image.architecture],
                "project": self._zone.project,
                "public": False,
                "tags": tags,
            },
            answer={"image": {"id": "IMAGE"}},
        )
        if self._rest.calls.dry:
            self._bucket.remove(image)
            return Pushed("IMAGE", {"image": "IMAGE", "snapshot": snapshot})
        first, *others = self._registered(image)
        for one in others:
            if f"{ATTEMPT}={attempt}" in one["tags"]:
                delete(self._rest, f"{self._zone.images}/{one['id']}")
        self._tidy(image, attempt)
        return _pushed(first)

    def abandon(self, image: Image) -> None:
        """Remove the uploaded file, and snapshots that no image starts from."""
        self._tidy(image)

    def made(self) -> Iterator[Made]:
        """Images, and snapshots that belong to none."""
        used = set()
        for one in self._pages(self._zone.images, "images", {}):
            used.add(one.get("root_volume", {}).get("id"))
            if tag_of(one, DIGEST):
                yield _made("image", one, "creation_date", one.get("state") == "available")
        for one in self._pages(self._zone.snapshots, "snapshots", {}):
            if tag_of(one, DIGEST) and one["id"] not in used:
                yield _made("snapshot", one, "created_at", complete=False)

    def remove(self, made: Made) -> None:
        """Delete an image with its snapshot, or a snapshot."""
        if made.kind == "snapshot":
            delete(self._rest, f"{self._zone.snapshots}/{made.id}")
            return
        try:
            path = f"{self._zone.images}/{made.id}"
            found = self._rest("GET", path, answer={"image": {"root_volume": {"id": "SNAPSHOT"}}})
        except CloudMissing:
            return
        delete(self._rest, path)
        delete(self._rest, f"{self._zone.snapshots}/{found['image']['root_volume']['id']}")

    def _full_name(self, image: Image) -> str:
        return self._name or image.full_name

    def _snapshot(self, image: Image, attempt: str) -> str:
        """An imported snapshot that is there, or a new one."""
        for one in self._snapshots(image):
            with suppress(CloudImport, CloudMissing):
                return self._awaited(str(one["id"]))
        key = self._bucket.upload(image)
        begun = self._rest(
            "POST",
            f"{self._zone.snapshots}/import-from-object-storage",
            {
                "bucket": self._bucket.name,
                "key": key,
                "name": self._full_name(image),
                "project_id": self._zone.project,
                "tags": [*_tags(image), f"{ATTEMPT}={attempt}"],
                "size": align_up(image.size, GB),
            },
            answer={"id": "SNAPSHOT"},
        )
        return self._awaited(str(begun["id"]))

    def _awaited(self, id: str) -> str:
        if not self._rest.calls.until(
            lambda: self._is_imported(id), seconds=IMPORT_SECONDS, pause=PAUSE
        ):
            raise CloudError("cloud-slow", "the import has not ended", place=id)
        return id

    def _is_imported(self, id: str) -> bool:
        path = f"{self._zone.snapshots}/{id}"
        status = self._rest("GET", path, answer={"status": "available"})["status"]
        if status in ("error", "deleted", "deleting"):
            raise CloudImport("cloud-import", f"the snapshot is {status}", place=id)
        return bool(status == "available")

    def _tidy(self, image: Image, attempt: str = "") -> None:
        """Remove what belongs to no image of this file; of snapshots, in the middle of pushes, only
        what the own attempt has made."""
        used = {one["root_volume"]["id"] for one in self._registered(image)}
        for one in self._snapshots(image):
            own = not attempt or tag_of(one, ATTEMPT) == attempt
            if own and one["id"] not in used:
                delete(self._rest, f"{self._zone.snapshots}/{one['id']}")
        self._bucket.remove(image)

    def _registered(self, image: Image) -> list[dict[str, Any]]:
        wanted = {"project": self._zone.project, "tags": f"{DIGEST}={image.digest}"}
        found = [
            one
            for one in self._pages(self._zone.images, "images", wanted)
            if one["name"] == self._full_name(image)
        ]
        return sorted(found, key=lambda one: (one.get("creation_date", ""), one["id"]))

    def _snapshots(self, image: Image) -> list[dict[str, Any]]:
        wanted = {"project_id": self._zone.project, "tags": f"{DIGEST}={image.digest}"}
        return list(self._pages(self._zone.snapshots, "snapshots", wanted))

    def _pages(self, path: str, kind: str, wanted: dict[str, str]) -> Iterator[dict[str, Any]]:
        word = "per_page" if kind == "images" else "page_size"
        return pages(self._rest, path, kind, wanted, size=PAGE, size_word=word)


def _tags(image: Image) -> list[str]:
    return [f"{DIGEST}={image.digest}", f"{NAME}={image.name}"]


def tag_of(found: dict[str, Any], name: str) -> str:
    """The value of a tag, of `NAME=VALUE`."""
    pairs = (str(tag).partition("=") for tag in found.get("tags") or ())
    return next((value for key, _, value in pairs if key == name), "")


def _pushed(found: dict[str, Any]) -> Pushed:
    return Pushed(
        str(found["id"]), {"image": str(found["id"]), "snapshot": str(found["root_volume"]["id"])}
    )


def _made(kind: str, found: dict[str, Any], time: str, complete: bool) -> Made:
    created = datetime.fromisoformat(str(found[time]))
    name, digest = tag_of(found, NAME), tag_of(found, DIGEST)
    return Made(kind, str(found["id"]), name, digest, created, complete)
