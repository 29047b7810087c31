"""Object storage that speaks S3, of clouds that fetch images from there: a file goes up, is read by
the cloud, and is removed again. boto3 signs.

May touch: the network, the file to push, boto3's files and variables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

from compos.arithmetic import ceil_div
from compos.cloud.aws.session import Clients, s3_clients
from compos.cloud.blocks import Block, send_blocks
from compos.cloud.calls import Calls
from compos.cloud.model import Image
from compos.errors import CloudMissing
from compos.extras import load_extra

__all__ = ["Bucket", "bucket_at"]

PART = 16 << 20
MAX_PARTS = 10_000
AT_ONCE = 4
SIGNED_SECONDS = 6 * 3600
"""How long a cloud may take to begin with an import."""


class Bucket(NamedTuple):
    """A bucket, and the door of its calls."""

    clients: Clients
    name: str

    def key(self, image: Image) -> str:
        """Where the file of `image` is: content decides."""
        return f"compos/{image.digest}{image.path.suffix}"

    def upload(self, image: Image) -> str:
        """Send the file, in parts if it is long; returns its key."""
        key = self.key(image)
        place = {"Bucket": self.name, "Key": key}
        if image.length <= PART:
            body = image.path.read_bytes()
            self.clients.call("s3", "put_object", **place, Body=body, answer={})
            return key
        self._in_parts(image, place)
        return key

    def _in_parts(self, image: Image, place: dict[str, str]) -> None:
        call = self.clients.call
        begun = call("s3", "create_multipart_upload", **place, answer={"UploadId": "UPLOAD"})
        upload = {**place, "UploadId": begun["UploadId"]}
        size = max(PART, ceil_div(image.length, MAX_PARTS))
        etags: dict[int, str] = {}

        def put(block: Block) -> None:
            number = block.number + 1
            part = call(
                "s3",
                "upload_part",
                **upload,
                PartNumber=number,
                Body=block.data,
                answer={"ETag": f"PART{number}"},
            )
            etags[number] = str(part["ETag"])

        def parts() -> object:
            with image.path.open("rb", buffering=0) as stream:
                for number in range(ceil_div(image.length, size)):
                    yield Block(number, stream.read(size))

        try:
            send_blocks(
                f"send {image.path.name}",
                parts(),  # type: ignore[arg-type]
                put,
                total=image.length,
                at_once=1 if self.clients.calls.dry else AT_ONCE,
            )
            listed = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
            call(
                "s3",
                "complete_multipart_upload",
                **upload,
                MultipartUpload={"Parts": listed},
                answer={},
            )
        except BaseException:
            call("s3", "abort_multipart_upload", **upload, answer={})
            raise

    def address(self, image: Image) -> str:
        """A URL with a signature, for a while, under which the file can be read."""
        if self.clients.calls.dry:
            return "SIGNED-URL"
        make = cast("Callable[..., str]", self.clients.services["s3"].generate_presigned_url)
        parameters = {"Bucket": self.name, "Key": self.key(image)}
        return make("get_object", Params=parameters, ExpiresIn=SIGNED_SECONDS)

    def remove(self, image: Image) -> None:
        """Delete the file, if it is there."""
        try:
            self.clients.call(
                "s3", "delete_object", Bucket=self.name, Key=self.key(image), answer={}
            )
        except CloudMissing:
            return


def bucket_at(
    name: str,
    endpoint: str,
    region: str,
    keys: tuple[str, str],
    *,
    extra: str,
    show: Callable[[str], None] | None = None,
    wait: Callable[[float], None] | None = None,
) -> Bucket:
    """The bucket `name` at `endpoint`, with an access key and its secret; without a name, one that
    nothing is sent to. Raises `ExtraMissing`."""
    if not name:
        return Bucket(Clients(Calls(lambda error: None, show=show), region, {}), name)
    load_extra("boto3", extra)
    return Bucket(s3_clients(endpoint, region, keys, show=show, wait=wait), name)
