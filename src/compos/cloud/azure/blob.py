"""Page blobs: a fixed VHD in a storage account, of which only pages are sent that are not zeros.

May touch: Blob Storage, the file to push.

Source: Azure Storage REST API, "Put Blob", "Put Page", "Get Page Ranges", "Set Blob Metadata",
learn.microsoft.com/rest/api/storageservices.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from compos.arithmetic import ceil_div
from compos.cloud.blocks import Block, data_runs, send_blocks
from compos.cloud.calls import Calls
from compos.cloud.model import DIGEST, NAME, Image
from compos.errors import CloudConflict, CloudError, CloudMissing
from compos.extras import load_extra

__all__ = ["COMPLETE", "PageBlob"]

AT_ONCE = 8
PAGE = 64 << 10
"""Bytes that are looked at for zeros at once; Azure's pages have 512."""

MOST = 4 << 20
"""Bytes of one Put Page."""

COMPLETE = "compos_complete"
"""The metadata that a blob gets when all pages are there."""


def _key(name: str) -> str:
    """Names of metadata are identifiers of C#."""
    return name.replace("-", "_")


class PageBlob:
    """The blob of one image."""

    def __init__(self, calls: Calls, endpoint: str, key: str, container: str, name: str) -> None:
        self._calls = calls
        self._place = f"{endpoint.rstrip('/')}/{container}/{name}"
        self._client: Any = None
        self._container: Any = None
        if not calls.dry:
            blob = load_extra("azure.storage.blob", "azure")
            service = blob.BlobServiceClient(
                endpoint, credential=key, retry_total=0, connection_timeout=20, read_timeout=120
            )
            self._client = service.get_blob_client(container, name)
            self._container = service.get_container_client(container)

    @property
    def address(self) -> str:
        """The blob's URL, without permissions."""
        return self._place

    def _call(
        self, name: str, perform: Callable[[], Any], answer: Any = None, **shown: object
    ) -> Any:
        return self._calls(f"{name} {self._place}", perform, answer=answer, shown=shown)

    def is_complete(self, image: Image) -> bool:
        """Whether the blob has all of `image`."""
        return (self._metadata() or {}).get(COMPLETE) == image.digest

    def send(self, image: Image) -> int:
        """Put the pages that the blob lacks; returns how many bytes were sent."""
        metadata = self._metadata()
        if (metadata or {}).get(COMPLETE) == image.digest:
            return 0
        own = {_key(DIGEST): image.digest, _key(NAME): image.name}
        have: set[int] = set()
        if metadata is not None and metadata.get(_key(DIGEST)) == image.digest:
            have = self._pages()
        elif metadata is None or (_key(DIGEST) in metadata and COMPLETE not in metadata):
            self._create(image, own, metadata)
            have = self._pages()
        else:
            raise CloudConflict(
                "cloud-conflict",
                "a blob with this name exists, of another file",
                place=self._place,
                hint="Give the image another name with --img-name, or delete the blob.",
            )
        runs = (run for run in data_runs(image.path, PAGE, MOST) if not _has(have, run))
        if self._calls.dry:
            lengths = [len(run.data) for run in runs]
            self._call("Put Page", lambda: None, requests=len(lengths), bytes=sum(lengths))
            sent = sum(lengths)
        else:
            sent = send_blocks(
                f"send {image.path.name}",
                runs,
                self._put,
                total=image.path.stat().st_blocks * 512,
                at_once=AT_ONCE,
            )
        self._require_all(image)
        done = {**own, COMPLETE: image.digest}
        self._call("Set Blob Metadata", lambda: self._client.set_blob_metadata(done), metadata=done)
        return sent

    def delete(self) -> None:
        """Delete the blob; none is no error."""
        try:
            self._call("Delete Blob", lambda: self._client.delete_blob())
        except CloudMissing:
            return

    def _metadata(self) -> dict[str, str] | None:
        """The blob's metadata; None without a blob."""
        if self._calls.dry:
            self._call("Get Blob Properties", lambda: None)
            return None
        try:
            found = self._call(
                "Get Blob Properties", lambda: self._client.get_blob_properties().metadata, {}
            )
        except CloudMissing:
            return None
        return dict(found or {})

    def _create(
        self, image: Image, metadata: dict[str, str], earlier: dict[str, str] | None
    ) -> None:
        """Make an empty blob; one that another machine has made in the meantime stays."""
        with suppress(CloudConflict):
            self._call("Create Container", lambda: self._container.create_container())
        if earlier is not None:
            # Half a blob of another file.
            self.delete()

        def put() -> None:
            missing = load_extra("azure.core", "azure").MatchConditions.IfMissing
            self._client.create_page_blob(image.length, metadata=metadata, match_condition=missing)

        with suppress(CloudConflict):
            self._call("Put Blob", put, size=image.length, metadata=metadata)

    def _require_all(self, image: Image) -> None:
        """See that nobody has emptied the blob while it was filled."""
        if self._calls.dry:
            return
        have = self._pages()
        if not all(_has(have, run) for run in data_runs(image.path, PAGE, MOST)):
            raise CloudError(
                "cloud-damaged",
                "pages of the blob are missing again: somebody else writes to it",
                place=self._place,
                hint="Push again.",
            )

    def _pages(self) -> set[int]:
        """Numbers of pages (of `PAGE` bytes) that are there as a whole."""
        listed = self._call(
            "Get Page Ranges",
            lambda: [(one.start, one.end) for one in self._client.list_page_ranges()],
            [],
        )
        found: set[int] = set()
        for start, end in listed:
            # The last page of a file may be a short one.
            found.update(range(ceil_div(start, PAGE), ceil_div(end + 1, PAGE)))
        return found

    def _put(self, run: Block) -> None:
        self._call(
            "Put Page",
            lambda: self._client.upload_page(
                run.data, offset=run.number * PAGE, length=len(run.data), validate_content=True
            ),
        )


def _has(have: set[int], run: Block) -> bool:
    count = ceil_div(len(run.data), PAGE)
    return bool(have) and all(number in have for number in range(run.number, run.number + count))
