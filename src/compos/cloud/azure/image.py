"""Images of Azure: a page blob, and the managed image or the gallery's version that is made of it.

May touch: Blob Storage and the Resource Manager, the file to push.

Sources: Azure REST API, "Images - Create Or Update", "Gallery Images", "Gallery Image Versions",
"Storage Accounts - List Keys", learn.microsoft.com/rest/api/compute and /rest/api/storagerp.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from compos.cloud.azure.blob import PageBlob
from compos.cloud.azure.session import Azure
from compos.cloud.model import DIGEST, NAME, Image, Made, Pushed, creation_time
from compos.errors import CloudConflict, CloudError, CloudMissing

__all__ = ["AzureImages", "AzureOptions", "provisioned"]

COMPUTE = "2024-07-01"
GALLERY = "2024-03-03"
STORAGE = "2023-05-01"
"""The versions of the APIs."""

SECONDS = 3600
PAUSE = 5

_ARCHITECTURES = {"amd64": "x64", "arm64": "Arm64"}


class AzureOptions(NamedTuple):
    """LinuxKit's flags `group` and `account`, both of which exist. The image becomes a version of
    `gallery`'s image `definition`, if they are named. With `blob_only`, it stays a blob, as
    LinuxKit has it."""

    group: str = ""
    account: str = ""
    container: str = "compos"
    name: str = ""
    gallery: str = ""
    definition: str = ""
    version: str = ""
    blob_only: bool = False


class AzureImages:
    """Images of one resource group."""

    def __init__(self, azure: Azure, options: AzureOptions) -> None:
        self._azure = azure
        self._rest = azure.rest
        self._options = options
        self._account: dict[str, Any] = {}
        self._key = ""

    def find(self, image: Image) -> Pushed | None:
        """The image of this name, if it is of the same file and whole."""
        if self._options.blob_only:
            blob = self._blob(image)
            return _pushed_blob(blob) if blob.is_complete(image) else None
        url = self._url(image)
        try:
            found = self._rest("GET", url, answer={})
        except CloudMissing:
            return None
        if not found:
            return None
        if found.get("tags", {}).get(DIGEST) != image.digest:
            raise CloudConflict(
                "cloud-conflict",
                f"the image {self._name(image)} exists, of another file",
                place=url,
                hint="Give this one another name or version, or delete that one.",
            )
        try:
            self._wait(url)
        except CloudMissing:
            return None
        except CloudError:
            self._delete(url)
            return None
        return self._pushed(found)

    def send(self, image: Image) -> Pushed:
        """The blob, and the image that is made of it; then the blob goes."""
        account = self._storage()
        blob = self._blob(image)
        blob.send(image)
        if self._options.blob_only:
            return _pushed_blob(blob)
        url = self._url(image)
        location = str(account.get("location", "LOCATION"))
        if self._options.gallery:
            self._define(image, location)
            document = self._version(image, location, blob.address)
        else:
            document = self._managed(image, location, blob.address)
        found = self._rest("PUT", url, document, answer={"id": "IMAGE"})
        self._wait(url)
        blob.delete()
        return self._pushed(found)

    def abandon(self, image: Image) -> None:
        """Delete the blob, unless it is to stay."""
        if not (self._options.blob_only and self.find(image)):
            self._blob(image).delete()

    def made(self) -> Iterator[Made]:
        """Managed images and versions of galleries with compos's tag, in the whole subscription."""
        compute = f"{self._azure.subscription}/providers/Microsoft.Compute"
        base = self._azure.subscription.partition("/subscriptions/")[0]
        for one in self._listed(f"{compute}/images?api-version={COMPUTE}"):
            if DIGEST in one.get("tags", {}):
                yield _made("image", one)
        for gallery in self._listed(f"{compute}/galleries?api-version={GALLERY}"):
            for own in self._listed(f"{base}{gallery['id']}/images?api-version={GALLERY}"):
                if NAME not in own.get("tags", {}):
                    continue
                for one in self._listed(f"{base}{own['id']}/versions?api-version={GALLERY}"):
                    if DIGEST in one.get("tags", {}):
                        yield _made("version", one)

    def remove(self, made: Made) -> None:
        """Delete an image, or a version; the gallery's image that it belongs to stays."""
        base = self._azure.subscription.partition("/subscriptions/")[0]
        version = COMPUTE if made.kind == "image" else GALLERY
        self._delete(f"{base}{made.id}?api-version={version}")

    def _listed(self, url: str) -> Iterator[dict[str, Any]]:
        """What a list has, page by page."""
        while url:
            page = self._rest("GET", url, answer={"value": []})
            yield from page["value"]
            url = str(page.get("nextLink", ""))

    def _name(self, image: Image) -> str:
        return self._options.name or image.full_name

    def _provider(self, path: str) -> str:
        return f"{self._azure.group(self._options.group)}/providers/{path}"

    def _url(self, image: Image) -> str:
        options = self._options
        if options.gallery:
            definition = f"{options.gallery}/images/{options.definition or image.name}"
            return self._provider(
                f"Microsoft.Compute/galleries/{definition}/versions/{options.version or '1.0.0'}"
                f"?api-version={GALLERY}"
            )
        return self._provider(f"Microsoft.Compute/images/{self._name(image)}?api-version={COMPUTE}")

    def _storage(self) -> dict[str, Any]:
        """The storage account."""
        if not self._account:
            name = self._options.account
            path = self._provider(f"Microsoft.Storage/storageAccounts/{name}")
            self._account = self._rest("GET", f"{path}?api-version={STORAGE}", answer={"id": path})
        return self._account

    def _blob(self, image: Image) -> PageBlob:
        account = self._storage()
        if not self._key:
            path = self._provider(f"Microsoft.Storage/storageAccounts/{self._options.account}")
            keys = self._rest(
                "POST",
                f"{path}/listKeys?api-version={STORAGE}",
                answer={"keys": [{"value": "KEY"}]},
            )["keys"]
            self._key = str(keys[0]["value"])
        endpoint = account.get("properties", {}).get("primaryEndpoints", {}).get("blob")
        return PageBlob(
            self._rest.calls,
            str(endpoint or f"https://{self._options.account}.blob.core.windows.net/"),
            self._key,
            self._options.container,
            f"{self._name(image)}.vhd",
        )

    def _tags(self, image: Image) -> dict[str, str]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {DIGEST: image.digest, NAME: image.name, "compos-created": now}

    def _managed(self, image: Image, location: str, blob: str) -> dict[str, Any]:
        """The body of "Images - Create Or Update"."""
        disk = {"osType": "Linux", "osState": "Generalized", "blobUri": blob}
        return {
            "location": location,
            "tags": self._tags(image),
            "properties": {
                "hyperVGeneration": _generation(image),
                "storageProfile": {"osDisk": {**disk, "caching": "ReadWrite"}},
            },
        }

    def _define(self, image: Image, location: str) -> None:
        """The gallery's image, which versions belong to: one that is there stays."""
        options = self._options
        name = options.definition or image.name
        url = self._provider(
            f"Microsoft.Compute/galleries/{options.gallery}/images/{name}?api-version={GALLERY}"
        )
        try:
            if self._rest("GET", url, answer={}):
                return
        except CloudMissing:
            pass
        document = {
            "location": location,
            "tags": {NAME: image.name},
            "properties": {
                "osType": "Linux",
                # No agent of Azure's is asked to prepare the machine.
                "osState": "Specialized",
                "hyperVGeneration": _generation(image),
                "architecture": _ARCHITECTURES[image.architecture],
                "identifier": {"publisher": "compos", "offer": "compos", "sku": name},
            },
        }
        self._rest("PUT", url, document, answer={})
        self._wait(url)

    def _version(self, image: Image, location: str, blob: str) -> dict[str, Any]:
        """The body of "Gallery Image Versions - Create Or Update"."""
        source = {"storageAccountId": self._storage().get("id"), "uri": blob}
        return {
            "location": location,
            "tags": self._tags(image),
            "properties": {"storageProfile": {"osDiskImage": {"source": source}}},
        }

    def _wait(self, url: str) -> None:
        provisioned(self._rest, url)

    def _delete(self, url: str) -> None:
        try:
            self._rest("DELETE", url, answer={})
        except CloudMissing:
            return

    def _pushed(self, found: dict[str, Any]) -> Pushed:
        return Pushed(str(found["id"]), {"image": str(found["id"])})


def provisioned(rest: Any, url: str) -> None:
    """Wait until the resource at `url` is there ("Track asynchronous Azure operations":
    provisioningState). Raises `CloudError` if it fails."""
    state = ""

    def ended() -> bool:
        nonlocal state
        found = rest("GET", url, answer={"properties": {"provisioningState": "Succeeded"}})
        state = str(found.get("properties", {}).get("provisioningState", "Succeeded"))
        return state in ("Succeeded", "Failed", "Canceled")

    if not rest.calls.until(ended, seconds=SECONDS, pause=PAUSE):
        raise CloudError(
            "cloud-slow", "the resource is still not there", place=url.partition("?")[0]
        )
    if state != "Succeeded" and not rest.calls.dry:
        raise CloudError("cloud-refused", f"the resource is {state}", place=url.partition("?")[0])


def _made(kind: str, one: dict[str, Any]) -> Made:
    tags = one["tags"]
    state = one.get("properties", {}).get("provisioningState")
    created = creation_time(tags.get("compos-created", ""))
    name, digest = tags.get(NAME, ""), tags[DIGEST]
    return Made(kind, str(one["id"]), name, digest, created, complete=state == "Succeeded")


def _generation(image: Image) -> str:
    return "V2" if "efi" in image.firmware else "V1"


def _pushed_blob(blob: PageBlob) -> Pushed:
    return Pushed(blob.address, {"blob": blob.address})
