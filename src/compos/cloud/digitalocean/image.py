"""Custom images of DigitalOcean, which fetches them from a URL: a file in Spaces, signed for a few
hours.

May touch: DigitalOcean's API and Spaces, the file to push.

Source: docs.digitalocean.com/reference/api, "Images": "Create a Custom Image", "List All Images",
"Retrieve an Existing Image", "Delete an Image"; docs.digitalocean.com/products/custom-images
(formats, limits).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from compos.cloud.machine import ATTEMPT
from compos.cloud.model import DIGEST, NAME, Image, Made, Pushed
from compos.cloud.object_storage import Bucket
from compos.cloud.rest import Rest, delete, pages
from compos.errors import CloudError, CloudImport, CloudMissing

__all__ = ["OURS", "DigitalOceanImages", "plain", "tag_of"]

PAGE = 200
IMPORT_SECONDS = 3600
PAUSE = 10
_COMING = ("NEW", "pending")
"""Of images whose import has begun."""
OURS = "compos"
"""The tag of all that compos has made."""


class DigitalOceanImages:
    """Custom images in one region; `name` is an image's exact name."""

    def __init__(self, rest: Rest, region: str, bucket: Bucket, *, name: str = "") -> None:
        self._rest, self._region, self._bucket, self._name = rest, region, bucket, name

    def find(self, image: Image) -> Pushed | None:
        """The first available image of this file and name."""
        found = self._listed(image, "available")
        if not found:
            return None
        self._bucket.remove(image)
        return _pushed(found[0])

    def send(self, image: Image) -> Pushed:
        """Upload, and have it imported, or wait for an import that has begun."""
        attempt = uuid.uuid4().hex
        begun = self._listed(image, *_COMING)
        try:
            self._await(begun[0]["id"] if begun else self._begin(image, attempt))
        except (CloudMissing, CloudImport):
            if not begun:
                raise
            self._await(self._begin(image, attempt))
        if self._rest.calls.dry:
            self._bucket.remove(image)
            return Pushed("0", {"image": "0"})
        return self._settled(image, attempt)

    def _begin(self, image: Image, attempt: str) -> int:
        self._bucket.upload(image)
        begun = self._rest(
            "POST",
            "/v2/images",
            {
                "name": self._full_name(image),
                "url": self._bucket.address(image),
                "region": self._region,
                "distribution": "Unknown",
                "description": f"compos sha256:{image.digest}",
                "tags": [*_tags(image), f"{ATTEMPT}:{attempt}"],
            },
            answer={"image": {"id": 0}},
        )
        return int(begun["image"]["id"])

    def _await(self, id: int) -> None:
        if not self._rest.calls.until(
            lambda: self._is_available(id), seconds=IMPORT_SECONDS, pause=PAUSE
        ):
            raise CloudError("cloud-slow", "the import has not ended", place=str(id))

    def _settled(self, image: Image, attempt: str) -> Pushed:
        """The image that counts of those that several machines have begun at once: the first. Who
        has another one deletes it."""

        def first() -> dict[str, Any]:
            found = self._listed(image, "available", *_COMING)
            if not found:
                raise CloudMissing("cloud-missing", "the image is gone again", place=image.name)
            return found[0]

        if not self._rest.calls.until(
            lambda: bool(self._is_first_there(first())), seconds=IMPORT_SECONDS, pause=PAUSE
        ):
            raise CloudError("cloud-slow", "another import has not ended", place=image.name)
        winner = first()
        for one in self._listed(image, "available", *_COMING):
            if f"{ATTEMPT}:{attempt}" in one["tags"] and one["id"] != winner["id"]:
                self._delete(one["id"])
        self._bucket.remove(image)
        return _pushed(winner)

    def _is_first_there(self, found: dict[str, Any]) -> bool:
        """Also where its import has failed: then the next one counts."""
        try:
            return found["status"] == "available" or self._is_available(found["id"])
        except (CloudImport, CloudMissing):
            return False

    def abandon(self, image: Image) -> None:
        """Delete images that were not finished, and the file."""
        for one in self._listed(image, *_COMING, "deleted"):
            self._delete(one["id"])
        self._bucket.remove(image)

    def made(self) -> Iterator[Made]:
        """Images with compos's tag."""
        for one in self._pages(OURS):
            created = datetime.fromisoformat(str(one["created_at"]))
            name, digest = tag_of(one, NAME), tag_of(one, DIGEST)
            complete = one["status"] == "available"
            yield Made("image", str(one["id"]), name, digest, created, complete)

    def remove(self, made: Made) -> None:
        """Delete an image."""
        self._delete(made.id)

    def _full_name(self, image: Image) -> str:
        return self._name or image.full_name

    def _is_available(self, id: object) -> bool:
        found = self._rest("GET", f"/v2/images/{id}", answer={"image": {"status": "available"}})
        status = found["image"]["status"]
        if status in ("deleted", "retired"):
            reason = found["image"].get("error_message") or f"the image is {status}"
            raise CloudImport("cloud-import", f"the import has failed: {reason}"[:300])
        return bool(status == "available")

    def _listed(self, image: Image, *statuses: str) -> list[dict[str, Any]]:
        found = [
            one
            for one in self._pages(f"{DIGEST}:{image.digest}")
            if one["status"] in statuses and one["name"] == self._full_name(image)
        ]
        return sorted(found, key=lambda one: (str(one.get("created_at")), int(one["id"])))

    def _pages(self, tag: str) -> Iterator[dict[str, Any]]:
        return pages(self._rest, "/v2/images", "images", {"tag_name": tag}, size=PAGE)

    def _delete(self, id: object) -> None:
        delete(self._rest, f"/v2/images/{id}")


def _tags(image: Image) -> list[str]:
    """Tags have letters, digits, colons, dashes and underscores."""
    return [OURS, f"{DIGEST}:{image.digest}", f"{NAME}:{plain(image.name)}"]


def plain(name: str) -> str:
    """`name` with what tags may have."""
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name)


def tag_of(found: dict[str, Any], name: str) -> str:
    """The value of a tag, of `NAME:VALUE`; empty without it."""
    pairs = (str(tag).partition(":") for tag in found.get("tags") or ())
    return next((value for key, _, value in pairs if key == name), "")


def _pushed(found: dict[str, Any]) -> Pushed:
    return Pushed(str(found["id"]), {"image": str(found["id"])})
