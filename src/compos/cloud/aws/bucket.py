"""Snapshots by way of S3, as LinuxKit makes them: for accounts and endpoints without the EBS direct
APIs.

May touch: S3 and EC2, the file to push.

Sources: VM Import/Export user guide, "Import a disk as a snapshot" (which needs the role
`vmimport`); Amazon EC2 API reference (ImportSnapshot, DescribeImportSnapshotTasks); Amazon S3 API
reference (CreateMultipartUpload and what belongs to it).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compos.arithmetic import ceil_div
from compos.cloud.aws.session import AT_ONCE, Clients, filters, tags
from compos.cloud.blocks import Block, send_blocks
from compos.cloud.model import DIGEST, Image
from compos.errors import CloudError, CloudImport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compos.cloud.aws.image import AwsOptions

__all__ = ["import_snapshot"]

MAX_PARTS = 10_000
SMALLEST_PART = 8 << 20
"""Bytes; S3 takes 5 MiB and more, but for the last part."""

PAUSE = 15
IMPORT_SECONDS = 7200


def import_snapshot(
    clients: Clients, image: Image, options: AwsOptions, own_tags: Mapping[str, str]
) -> str:
    """The id of a complete snapshot of the disk; the object in S3 is deleted again.

    Raises `CloudError`: `cloud-option` without a bucket, `cloud-import` if the import fails.
    """
    if not options.bucket:
        raise CloudError(
            "cloud-option",
            "a disk is imported from a bucket of S3, and none is named",
            hint="Name one with --bucket.",
        )
    key = f"compos/{image.digest}.raw"
    task = _running(clients, image)
    if not task:
        _upload(clients, image, options.bucket, key)
        started = clients.call(
            "ec2",
            "import_snapshot",
            Description=f"compos sha256:{image.digest}",
            ClientToken=str(uuid.uuid4()),
            DiskContainer={
                "Description": image.full_name,
                "Format": "raw",
                "UserBucket": {"S3Bucket": options.bucket, "S3Key": key},
            },
            TagSpecifications=[
                {"ResourceType": "import-snapshot-task", "Tags": tags({DIGEST: image.digest})}
            ],
            answer={"ImportTaskId": "TASK"},
        )
        task = str(started["ImportTaskId"])
    try:
        snapshot = _awaited(clients, task)
        clients.call("ec2", "create_tags", Resources=[snapshot], Tags=tags(own_tags), answer={})
    finally:
        clients.call("s3", "delete_object", Bucket=options.bucket, Key=key, answer={})
    return snapshot


def _running(clients: Clients, image: Image) -> str:
    """An import of this file that another attempt has begun."""
    found = clients.call(
        "ec2",
        "describe_import_snapshot_tasks",
        Filters=filters(**{f"tag__{DIGEST}": image.digest}),
        answer={"ImportSnapshotTasks": []},
    )["ImportSnapshotTasks"]
    return next(
        (
            str(one["ImportTaskId"])
            for one in found
            if one["SnapshotTaskDetail"].get("Status") in ("active", "pending")
        ),
        "",
    )


def _awaited(clients: Clients, task: str) -> str:
    found: dict[str, Any] = {}

    def ready() -> bool:
        nonlocal found
        listed = clients.call(
            "ec2",
            "describe_import_snapshot_tasks",
            ImportTaskIds=[task],
            answer={
                "ImportSnapshotTasks": [
                    {"SnapshotTaskDetail": {"Status": "completed", "SnapshotId": "SNAPSHOT"}}
                ]
            },
        )["ImportSnapshotTasks"]
        found = listed[0]["SnapshotTaskDetail"]
        if found.get("Status") in ("deleted", "deleting", "error"):
            raise CloudImport(
                "cloud-import",
                f"the import has failed: {found.get('StatusMessage', 'nobody says why')}",
                place=task,
                hint="The role vmimport must be able to read the bucket.",
            )
        return bool(found.get("Status") == "completed")

    if not clients.calls.until(ready, seconds=IMPORT_SECONDS, pause=PAUSE):
        raise CloudError("cloud-slow", "the import has not ended", place=task)
    return str(found["SnapshotId"])


def _upload(clients: Clients, image: Image, bucket: str, key: str) -> None:
    """The whole file, in parts, several at a time: an object of S3 has no holes."""
    left = clients.call("s3", "list_multipart_uploads", Bucket=bucket, Prefix=key, answer={})
    for one in left.get("Uploads", ()):
        name = {"Bucket": bucket, "Key": one["Key"], "UploadId": one["UploadId"]}
        clients.call("s3", "abort_multipart_upload", **name, answer={})
    begun = clients.call(
        "s3", "create_multipart_upload", Bucket=bucket, Key=key, answer={"UploadId": "UPLOAD"}
    )
    name = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
    size = max(SMALLEST_PART, ceil_div(image.size, MAX_PARTS))
    etags: dict[int, str] = {}

    def put(block: Block) -> None:
        number = block.number + 1
        answer = clients.call(
            "s3",
            "upload_part",
            **name,
            PartNumber=number,
            Body=block.data,
            answer={"ETag": f"PART{number}"},
        )
        etags[number] = str(answer["ETag"])

    try:
        send_blocks(
            f"send {image.path.name}",
            _parts(image, size),
            put,
            total=image.size,
            at_once=1 if clients.calls.dry else AT_ONCE // 4,
        )
        parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        clients.call(
            "s3", "complete_multipart_upload", **name, MultipartUpload={"Parts": parts}, answer={}
        )
    except BaseException:
        clients.call("s3", "abort_multipart_upload", **name, answer={})
        raise


def _parts(image: Image, size: int) -> Iterator[Block]:
    with image.path.open("rb", buffering=0) as stream:
        for index in range(ceil_div(image.size, size)):
            data = stream.read(size)
            yield Block(index, data)
