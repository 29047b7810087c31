"""Images of Compute Engine: an archive in a bucket, and the image that is made of it.

May touch: Cloud Storage and Compute Engine, the file to push.

Sources: Compute Engine API v1 (images.get, insert, list, deprecate, delete; globalOperations.get),
cloud.google.com/compute/docs/reference/rest/v1/images; Cloud Storage JSON API v1, "Resumable
uploads", cloud.google.com/storage/docs/performing-resumable-uploads.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from compos.cloud.gcp.session import Google
from compos.cloud.model import DIGEST, NAME, Image, Made, Pushed, resource_name
from compos.cloud.rest import Answer
from compos.errors import (
    CloudConflict,
    CloudError,
    CloudMissing,
    CloudQuota,
)
from compos.progress import Task, task

__all__ = ["GcpImages", "GcpOptions", "finished"]

CHUNK = 16 << 20
"""Bytes of one request of an upload; a multiple of 256 KiB."""

LABEL = 63
"""Characters of a label's value: one fewer than a SHA-256 has."""

OPERATION_SECONDS = 1200
PAUSE = 2

_ARCHITECTURES = {"amd64": "X86_64", "arm64": "ARM64"}
_FEATURES = {"GVNIC": "gve", "VIRTIO_SCSI_MULTIQUEUE": "virtio_scsi"}
"""Guest OS features and the drivers that they stand for."""

_NESTED = "projects/vm-options/global/licenses/enable-vmx"


class GcpOptions(NamedTuple):
    """LinuxKit's flags. Older images of the `family` are deprecated. With `public`, the archive
    stays in the bucket, and everybody can read it."""

    bucket: str = ""
    name: str = ""
    family: str = ""
    public: bool = False
    nested: bool = False
    uefi: bool = False


class GcpImages:
    """Images of one project."""

    def __init__(self, google: Google, options: GcpOptions) -> None:
        self._google = google
        self._rest = google.rest
        self._options = options

    def find(self, image: Image) -> Pushed | None:
        """The image of this name, if it is of the same file. One in the making is waited for."""
        url = self._url(image)
        try:
            found = self._rest("GET", url, answer={})
        except CloudMissing:
            return None
        if not found:
            return None
        if found.get("labels", {}).get(DIGEST) != image.digest[:LABEL]:
            raise CloudConflict(
                "cloud-conflict",
                f"the image {self._name(image)} exists, of another file",
                place=url,
                hint="Give this one another name with --img-name, or delete that one.",
            )
        self._rest.calls.until(
            lambda: self._rest("GET", url, answer={"status": "READY"})["status"] != "PENDING",
            seconds=OPERATION_SECONDS,
            pause=PAUSE,
        )
        found = self._rest("GET", url, answer={"status": "READY"})
        if found["status"] == "READY":
            return self._pushed(image)
        self._delete(url)
        return None

    def send(self, image: Image) -> Pushed:
        """The archive, the image, and the end of the older ones of its family."""
        if not self._options.bucket:
            raise CloudError(
                "cloud-option",
                "an image is made of an archive in a bucket, and none is named",
                hint="Name one with --bucket, or set CLOUDSDK_IMAGE_BUCKET.",
            )
        self._upload(image)
        query = f"?requestId={uuid.uuid4()}"
        try:
            begun = self._rest(
                "POST",
                f"{self._google.compute}/global/images{query}",
                self._description(image),
                answer={"status": "DONE"},
            )
            finished(self._google, begun)
        except CloudConflict:
            # Another machine was faster, or the answer to our own call was lost.
            if self.find(image) is None:
                raise
        if self._options.family:
            self._deprecate(image)
        if not self._options.public:
            self._delete(self._object(image))
        return self._pushed(image)

    def abandon(self, image: Image) -> None:
        """Delete the archive, unless it is to stay."""
        if self._options.bucket and not (self._options.public and self.find(image)):
            self._delete(self._object(image))

    def made(self) -> Iterator[Made]:
        """Images with compos's label."""
        for one in self._list(f"labels.{DIGEST}:*"):
            labels = one.get("labels", {})
            yield Made(
                "image",
                str(one["name"]),
                labels.get(NAME, ""),
                labels.get(DIGEST, ""),
                datetime.fromisoformat(one["creationTimestamp"]),
                complete=one.get("status") == "READY",
            )

    def remove(self, made: Made) -> None:
        """Delete an image."""
        self._delete(f"{self._google.compute}/global/images/{made.id}")

    def _name(self, image: Image) -> str:
        return self._options.name or resource_name(image.full_name)

    def _url(self, image: Image) -> str:
        return f"{self._google.compute}/global/images/{self._name(image)}"

    def _object(self, image: Image) -> str:
        name = quote(self._object_name(image), safe="")
        return f"{self._google.storage}/storage/v1/b/{self._options.bucket}/o/{name}"

    def _object_name(self, image: Image) -> str:
        return f"{self._name(image)}.img.tar.gz"

    def _pushed(self, image: Image) -> Pushed:
        name = self._name(image)
        ids = {"image": name, "project": self._google.project}
        if self._options.public:
            ids["object"] = f"gs://{self._options.bucket}/{self._object_name(image)}"
        return Pushed(name, ids)

    def _description(self, image: Image) -> dict[str, Any]:
        """The body of images.insert."""
        options = self._options
        features = [
            feature
            for feature, driver in _FEATURES.items()
            if image.drivers is not None and driver in image.drivers
        ]
        if options.uefi or "efi" in image.firmware:
            features.append("UEFI_COMPATIBLE")
        source = f"https://storage.googleapis.com/{options.bucket}/{self._object_name(image)}"
        return {
            "name": self._name(image),
            "description": f"compos sha256:{image.digest}",
            "labels": {DIGEST: image.digest[:LABEL], NAME: resource_name(image.name)},
            "rawDisk": {"source": source},
            "architecture": _ARCHITECTURES[image.architecture],
            "guestOsFeatures": [{"type": feature} for feature in sorted(features)],
            **({"family": options.family} if options.family else {}),
            **({"licenses": [_NESTED]} if options.nested else {}),
        }

    def _upload(self, image: Image) -> None:
        """Put the archive into the bucket, unless it is there. An upload that does not reach its
        end leaves no object."""
        try:
            there = self._rest("GET", self._object(image), answer={})
        except CloudMissing:
            there = {}
        if there.get("metadata", {}).get(DIGEST) == image.digest:
            return
        if there:
            self._delete(self._object(image))
        session = self._begun(image)
        with task(f"send {image.path.name}", image.length) as progress:
            try:
                self._chunks(image, session, progress)
            except (CloudConflict, CloudMissing):
                # Another machine was faster, or the answer to the last chunk was lost.
                there = self._rest("GET", self._object(image), answer={})
                if there.get("metadata", {}).get(DIGEST) != image.digest:
                    raise

    def _begun(self, image: Image) -> str:
        """The address of a new upload. It is a permission to write, and is shown nowhere."""
        acl = "&predefinedAcl=publicRead" if self._options.public else ""
        url = (
            f"{self._google.storage}/upload/storage/v1/b/{self._options.bucket}/o"
            f"?uploadType=resumable&ifGenerationMatch=0{acl}"
        )
        import json

        document = {
            "name": self._object_name(image),
            "contentType": "application/gzip",
            "metadata": {DIGEST: image.digest},
            "crc32c": _checksum(image),
        }
        found = self._rest.exchange(
            "POST",
            url,
            headers={
                "Content-Type": "application/json; charset=UTF-8",
                "X-Upload-Content-Length": str(image.length),
            },
            body=json.dumps(document).encode(),
            answer=Answer(200, {"location": "UPLOAD"}, b""),
            shown=document,
        )
        address = found.headers.get("location", "")
        if not address:
            raise CloudError("cloud-refused", "the bucket begins no upload", place=url)
        return address

    def _chunks(self, image: Image, session: str, progress: Task) -> None:
        """Send the file from where the upload stands, until it is whole."""
        at = 0
        while at < image.length:
            with image.path.open("rb", buffering=0) as stream:
                stream.seek(at)
                data = stream.read(CHUNK)
            end = at + len(data)
            try:
                found = self._put(session, f"bytes {at}-{end - 1}/{image.length}", data)
            except CloudError as error:
                if isinstance(error, (CloudConflict, CloudQuota, CloudMissing)):
                    raise
                # What arrived before the failure is known to the other side alone.
                found = self._put(session, f"bytes */{image.length}", b"")
            if found.status != 308:
                progress.advance(image.length - at)
                return
            stands = found.headers.get("range", "")
            now = int(stands.rpartition("-")[2]) + 1 if stands else 0
            if now <= at and now != end:
                raise CloudError("cloud-refused", "the upload does not advance", place="upload")
            progress.advance(now - at)
            at = now

    def _put(self, session: str, content_range: str, data: bytes) -> Answer:
        headers = {"Content-Range": content_range}
        if self._rest.calls.dry:
            return self._rest.exchange(
                "PUT", session, headers={}, body=None, answer=Answer(200, {}, b""),
                shown={"Content-Range": content_range, "bytes": len(data)},
            )  # fmt: skip
        return self._rest.exchange(
            "PUT", session, headers=headers, body=data, answer=Answer(200, {}, b""),
            accepted=(308,),
        )  # fmt: skip

    def _deprecate(self, image: Image) -> None:
        """Deprecate the images of the family that compos has made before."""
        own = self._name(image)
        for one in self._list(f"(family={self._options.family}) (labels.{DIGEST}:*)"):
            state = one.get("deprecated", {}).get("state")
            if one["name"] != own and state is None:
                begun = self._rest(
                    "POST",
                    f"{self._google.compute}/global/images/{one['name']}/deprecate",
                    {"state": "DEPRECATED", "replacement": self._url(image)},
                    answer={"status": "DONE"},
                )
                finished(self._google, begun)

    def _list(self, wanted: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self._rest(
                "GET",
                f"{self._google.compute}/global/images?filter={quote(wanted)}{token}",
                answer={"items": []},
            )
            found += page.get("items", [])
            if not page.get("nextPageToken"):
                return found
            token = f"&pageToken={quote(page['nextPageToken'])}"

    def _delete(self, url: str) -> None:
        try:
            begun = self._rest("DELETE", url, answer={"status": "DONE"})
        except CloudMissing:
            return
        if "kind" in begun:
            finished(self._google, begun)


def finished(google: Google, operation: dict[str, Any]) -> None:
    """Wait for an operation of Compute Engine. Raises `CloudError` if it fails."""
    found = operation

    def done() -> bool:
        nonlocal found
        if found.get("status") != "DONE":
            found = google.rest("GET", found["selfLink"], answer={"status": "DONE"})
        return bool(found.get("status") == "DONE")

    if not google.rest.calls.until(done, seconds=OPERATION_SECONDS, pause=PAUSE):
        raise CloudError("cloud-slow", "an operation has not ended", place=str(found.get("name")))
    errors = found.get("error", {}).get("errors", [])
    if errors:
        code, message = str(errors[0].get("code", "")), str(errors[0].get("message", ""))
        kind = CloudQuota if "QUOTA" in code else CloudError
        id = "cloud-quota" if "QUOTA" in code else "cloud-refused"
        raise kind(id, f"the operation has failed: {code}: {message}"[:300])


def _checksum(image: Image) -> str:
    """CRC-32C of the file, as Cloud Storage writes it: it refuses an upload with another one."""
    import google_crc32c

    total = 0
    with image.path.open("rb", buffering=0) as stream:
        while data := stream.read(1 << 20):
            total = google_crc32c.extend(total, data)
    return base64.b64encode(total.to_bytes(4, "big")).decode()
