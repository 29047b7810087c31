"""Images of Glance.

May touch: Glance, the file to push.

Source: Image service API v2, docs.openstack.org/api-ref/image/v2: "Create image", "Upload binary
image data", "List images", "Show image", "Delete image"; docs.openstack.org/glance/latest/admin,
"Useful image properties".
"""

from __future__ import annotations

import hashlib
import platform
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from compos.arithmetic import ceil_div
from compos.cloud.model import DIGEST, NAME, Image, Made, Pushed
from compos.cloud.openstack.session import OpenStack
from compos.cloud.rest import Answer
from compos.errors import CloudConflict, CloudError, CloudMissing
from compos.progress import Task, task

__all__ = ["GlanceImages", "GlanceOptions"]

CHUNK = 1 << 20
GIB = 1 << 30
HOST = "compos-host"
"""The property that says which machine uploads an image."""

SETTLE = 2
"""Seconds after which all images that became active in the same second are seen: Glance's times
have no fractions."""

ACTIVE_SECONDS = 600
PAUSE = 2

_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}
_FORMATS = {
    "qcow2": "qcow2", "raw": "raw", "iso": "iso", "vmdk": "vmdk", "vhdx": "vhdx",
    "vhd": "vhd", "dynamic-vhd": "vhd",
}  # fmt: skip
"""Glance's words for containers (`disk_format`)."""


class GlanceOptions(NamedTuple):
    """`name` is the image's exact name; `uefi` asks Nova to start it by UEFI."""

    name: str = ""
    uefi: bool = False


class GlanceImages:
    """Images of the user's project. Names are not unique there, so digests decide."""

    def __init__(self, cloud: OpenStack, options: GlanceOptions) -> None:
        self._rest = cloud.image
        self._options = options

    def find(self, image: Image) -> Pushed | None:
        """The first active image of this file and name."""
        found = self._listed(image, "active")
        return _pushed(found[0]) if found else None

    def send(self, image: Image) -> Pushed:
        """Create, upload, and keep the first if several machines have done so at once."""
        self.abandon(image)
        id = str(uuid.uuid4())
        try:
            self._rest("POST", "/images", self._description(image, id), answer={"id": id})
        except CloudConflict:
            # The answer to our first attempt was lost: nobody else has this id.
            self._rest("GET", f"/images/{id}", answer={"id": id})
        self._upload(image, id)
        if not self._rest.calls.until(
            lambda: self._is_active(id), seconds=ACTIVE_SECONDS, pause=PAUSE
        ):
            raise CloudError("cloud-slow", "the image has not become active", place=id)
        return self._settled(image, id)

    def abandon(self, image: Image) -> None:
        """Delete what this machine has not finished; others may be uploading theirs."""
        for status in ("queued", "saving", "killed"):
            for one in self._listed(image, status):
                if one.get(HOST) == platform.node():
                    self._delete(one["id"])

    def made(self) -> Iterator[Made]:
        """Images with compos's property."""
        for one in self._pages({"owner": ""}):
            if DIGEST in one:
                yield Made(
                    "image",
                    str(one["id"]),
                    one.get(NAME, ""),
                    one[DIGEST],
                    _time(one["created_at"]),
                    complete=one["status"] == "active",
                )

    def remove(self, made: Made) -> None:
        """Delete an image."""
        self._delete(made.id)

    def _name(self, image: Image) -> str:
        return self._options.name or image.full_name

    def _listed(self, image: Image, status: str) -> list[dict[str, Any]]:
        wanted = {"name": self._name(image), DIGEST: image.digest, "status": status}
        return sorted(self._pages(wanted), key=lambda one: (one.get("updated_at", ""), one["id"]))

    def _pages(self, wanted: dict[str, str]) -> Iterator[dict[str, Any]]:
        query = urlencode({key: value for key, value in wanted.items() if value})
        url = f"/images?{query}"
        while url:
            page = self._rest("GET", url, answer={"images": []})
            yield from page["images"]
            # "/v2/images?marker=…", where our paths begin behind the version.
            url = "/images" + str(page["next"]).partition("/images")[2] if "next" in page else ""

    def _description(self, image: Image, id: str) -> dict[str, Any]:
        """The body of "Create image"."""
        uefi = self._options.uefi or "bios" not in image.firmware
        return {
            "id": id,
            "name": self._name(image),
            "container_format": "bare",
            "disk_format": _FORMATS[image.container],
            "visibility": "private",
            "min_disk": ceil_div(image.size, GIB),
            "architecture": _ARCHITECTURES[image.architecture],
            "os_type": "linux",
            "hw_disk_bus": "virtio",
            "hw_vif_model": "virtio",
            **({"hw_firmware_type": "uefi"} if uefi and image.firmware else {}),
            DIGEST: image.digest,
            NAME: image.name,
            HOST: platform.node(),
        }

    def _upload(self, image: Image, id: str) -> None:
        """Send the file, and compare what Glance has computed of it."""
        sha512 = hashlib.sha512()

        with task(f"send {image.path.name}", image.length) as progress:

            def chunks() -> Iterator[bytes]:
                nonlocal sha512
                sha512 = hashlib.sha512()
                yield from _read(image, sha512, progress)

            try:
                self._rest.exchange(
                    "PUT",
                    f"/images/{id}/file",
                    headers={"Content-Type": "application/octet-stream"},
                    body=chunks,
                    answer=Answer(204, {}, b""),
                    shown={"bytes": image.length},
                )
            except CloudConflict:
                # The answer to an attempt was lost, but not its data: the digest tells.
                if not self._is_active(id):
                    raise
        found = self._rest("GET", f"/images/{id}", answer={})
        wanted = (image.length, sha512.hexdigest())
        known = found.get("os_hash_algo") == "sha512"
        arrived = (found.get("size"), found.get("os_hash_value") if known else wanted[1])
        if found and arrived != wanted:
            raise CloudError("cloud-damaged", "the image arrived with other contents", place=id)

    def _is_active(self, id: str) -> bool:
        found = self._rest("GET", f"/images/{id}", answer={"status": "active"})
        if found["status"] in ("killed", "deleted", "pending_delete"):
            raise CloudError("cloud-refused", f"the image is {found['status']}", place=id)
        return bool(found["status"] == "active")

    def _settled(self, image: Image, id: str) -> Pushed:
        """The image that counts of those that several machines have uploaded at once: the one that
        was changed first. Whoever was later sees it, and deletes the own one."""
        if self._rest.calls.dry:
            return Pushed(id, {"image": id})
        self._rest.calls.wait(SETTLE)
        found = self.find(image)
        if found is None:
            raise CloudMissing("cloud-missing", "the image is gone again", place=id)
        if id != found.id:
            self._delete(id)
        return found

    def _delete(self, id: str) -> None:
        try:
            self._rest("DELETE", f"/images/{id}", answer={})
        except CloudMissing:
            return


def _read(image: Image, hasher: Any, progress: Task) -> Iterator[bytes]:
    with image.path.open("rb", buffering=0) as stream:
        while data := stream.read(CHUNK):
            hasher.update(data)
            progress.advance(len(data))
            yield data


def _pushed(found: dict[str, Any]) -> Pushed:
    return Pushed(str(found["id"]), {"image": str(found["id"])})


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
