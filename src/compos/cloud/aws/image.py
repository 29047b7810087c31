"""Images of EC2 (AMIs): a snapshot, written block by block by the EBS direct APIs or imported from
S3, and its registration.

May touch: EC2, EBS and S3, the file to push, and notes about blocks sent, below the store.

Sources: Amazon EC2 API reference (DescribeImages, RegisterImage, ImportSnapshot), EBS direct APIs
(StartSnapshot, PutSnapshotBlock, CompleteSnapshot).
"""

from __future__ import annotations

import base64
import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from compos.arithmetic import ceil_div
from compos.cloud.aws.session import AT_ONCE, Clients, filters, tags
from compos.cloud.blocks import Block, data_blocks, send_blocks
from compos.cloud.model import DIGEST, NAME, Image, Made, Pushed, creation_time
from compos.errors import CloudConflict, CloudDenied, CloudError, CloudMissing

__all__ = ["AwsImages", "AwsOptions"]

BLOCK = 512 << 10
"""Bytes of a block of a snapshot ("Concepts for EBS direct APIs")."""

GIB = 1 << 30
STALLED_MINUTES = 60
"""After which EBS gives up a snapshot that nothing is written to: StartSnapshot's default."""

SNAPSHOT_SECONDS = 3600
PAUSE = 5

_ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}


class AwsOptions(NamedTuple):
    """LinuxKit's flags. `name` is the image's exact name; `bucket` is where the disk is uploaded to
    if the EBS direct APIs are refused, or `by_bucket` is set. `tpm` gives instances a TPM 2.0;
    `ena` and `sriov` say what the image's drivers can do, in place of what is found in it."""

    name: str = ""
    bucket: str = ""
    by_bucket: bool = False
    ena: bool | None = None
    sriov: str = ""
    uefi: bool = False
    tpm: bool = False


class AwsImages:
    """AMIs of the user's account in one region; `notes` is a folder below the store."""

    def __init__(self, clients: Clients, options: AwsOptions, notes: Path) -> None:
        self._clients = clients
        self._call = clients.call
        self._options = options
        self._notes = notes
        self._begun: list[str] = []
        """Snapshots that this process has written to."""

    def find(self, image: Image) -> Pushed | None:
        """The AMI of this name, if it is of the same file and settings."""
        found = self._call(
            "ec2",
            "describe_images",
            Owners=["self"],
            Filters=filters(name=self._name(image)),
            answer={"Images": []},
        )["Images"]
        if not found:
            return None
        one = found[0]
        if one.get("Description") != self._description(image):
            raise CloudConflict(
                "cloud-conflict",
                f"the image {self._name(image)} exists, of another file or with other settings",
                place=str(one["ImageId"]),
                hint="Give this one another name with --img-name, or deregister that one.",
            )
        self._tag(one, image)
        snapshots = [
            mapping["Ebs"]["SnapshotId"]
            for mapping in one.get("BlockDeviceMappings", ())
            if mapping.get("Ebs", {}).get("SnapshotId")
        ]
        ids = {"image": str(one["ImageId"])}
        return Pushed(ids["image"], {**ids, **({"snapshot": snapshots[0]} if snapshots else {})})

    def send(self, image: Image) -> Pushed:
        """A snapshot that is complete, and the AMI."""
        snapshot = self._snapshot(image)
        try:
            registered = self._call("ec2", "register_image", **self._registration(image, snapshot))
        except CloudConflict:
            # Another machine was faster, or the answer to our own call was lost.
            found = self.find(image)
            if found is None:
                raise
            if found.ids.get("snapshot", snapshot) != snapshot:
                self._delete_snapshot(snapshot)
            return found
        # The second look sees to the tags.
        found = None if self._clients.calls.dry else self.find(image)
        id = found.id if found else str(registered["ImageId"])
        return Pushed(id, {"image": id, "snapshot": snapshot})

    def abandon(self, image: Image) -> None:
        """Delete the snapshots that were begun here and that no image has."""
        if self._clients.calls.dry or self.find(image) is not None:
            return
        for snapshot in self._begun:
            self._delete_snapshot(snapshot)
        self._note(image).unlink(missing_ok=True)

    def made(self) -> Iterator[Made]:
        """AMIs and snapshots with compos's tag; of the snapshots those that no AMI stands for."""
        images = self._call(
            "ec2",
            "describe_images",
            Owners=["self"],
            Filters=filters(tag_key=DIGEST),
            answer={"Images": []},
        )["Images"]
        for one in images:
            yield _made("image", one["ImageId"], one, _time(one.get("CreationDate")))
        used = {_tags(one).get(DIGEST) for one in images}
        for one in self._tagged_snapshots(filters(tag_key=DIGEST)):
            if _tags(one).get(DIGEST) not in used:
                yield _made("snapshot", one["SnapshotId"], one, one["StartTime"], complete=False)

    def remove(self, made: Made) -> None:
        """Deregister an AMI and delete its snapshots, or delete a snapshot."""
        if made.kind == "image":
            _gone_is_fine(lambda: self._call("ec2", "deregister_image", ImageId=made.id, answer={}))
            if any(one.digest == made.digest for one in self.made() if one.kind == "image"):
                return
            for one in self._tagged_snapshots(filters(**{f"tag__{DIGEST}": made.digest})):
                self._delete_snapshot(one["SnapshotId"])
        else:
            self._delete_snapshot(made.id)

    def _name(self, image: Image) -> str:
        return self._options.name or image.full_name

    def _description(self, image: Image) -> str:
        """What the AMI was made of and with: the same everywhere, and readable in the console."""
        words = [f"{key}={value}" for key, value in sorted(self._settings(image).items())]
        return f"compos sha256:{image.digest} {' '.join(words)}"

    def _settings(self, image: Image) -> dict[str, Any]:
        """What RegisterImage is told of the disk's abilities."""
        options = self._options
        ena = options.ena
        if ena is None:
            ena = image.drivers is not None and "ena" in image.drivers
        uefi = options.uefi or options.tpm or "bios" not in image.firmware
        modes = {frozenset({"bios", "efi"}): "uefi-preferred"}
        mode = "uefi" if uefi else modes.get(image.firmware, "legacy-bios")
        return {
            "Architecture": _ARCHITECTURES[image.architecture],
            "BootMode": mode,
            "EnaSupport": ena,
            "ImdsSupport": "v2.0",
            "VirtualizationType": "hvm",
            **({"SriovNetSupport": options.sriov} if options.sriov else {}),
            **({"TpmSupport": "v2.0"} if options.tpm else {}),
        }

    def _registration(self, image: Image, snapshot: str) -> dict[str, Any]:
        return {
            "Name": self._name(image),
            "Description": self._description(image),
            "RootDeviceName": "/dev/sda1",
            "BlockDeviceMappings": [
                {
                    "DeviceName": "/dev/sda1",
                    "Ebs": {
                        "SnapshotId": snapshot,
                        "DeleteOnTermination": True,
                        "VolumeType": "gp3",
                    },
                }
            ],
            "TagSpecifications": [{"ResourceType": "image", "Tags": tags(_own_tags(image))}],
            **self._settings(image),
            "answer": {"ImageId": "IMAGE"},
        }

    def _tag(self, found: Mapping[str, Any], image: Image) -> None:
        """Tag an AMI that has none: some endpoints do not know RegisterImage's tags."""
        if _tags(found).get(DIGEST) != image.digest:
            self._call(
                "ec2",
                "create_tags",
                Resources=[found["ImageId"]],
                Tags=tags(_own_tags(image)),
                answer={},
            )

    def _snapshots(self, image: Image) -> list[Mapping[str, Any]]:
        return self._tagged_snapshots(filters(**{f"tag__{DIGEST}": image.digest}))

    def _tagged_snapshots(self, wanted: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._call(
            "ec2",
            "describe_snapshots",
            OwnerIds=["self"],
            Filters=wanted,
            answer={"Snapshots": []},
        )["Snapshots"]
        return sorted(found, key=lambda one: (str(one.get("StartTime")), one["SnapshotId"]))

    def _delete_snapshot(self, snapshot: str) -> None:
        _gone_is_fine(lambda: self._call("ec2", "delete_snapshot", SnapshotId=snapshot, answer={}))

    def _snapshot(self, image: Image) -> str:
        """The id of a complete snapshot: one that is there, is continued, or is made."""
        for one in self._snapshots(image):
            if one["State"] == "completed":
                return str(one["SnapshotId"])
            if one["State"] == "error":
                self._delete_snapshot(one["SnapshotId"])
            elif not self._options.by_bucket:
                return self._written(image, str(one["SnapshotId"]))
        if self._options.by_bucket:
            return self._imported(image)
        try:
            return self._written(image, self._started(image))
        except CloudDenied as error:
            if not self._options.bucket or error.place != "ebs StartSnapshot":
                raise
        return self._imported(image)

    def _started(self, image: Image) -> str:
        started = self._call(
            "ebs",
            "start_snapshot",
            VolumeSize=ceil_div(image.size, GIB),
            Description=f"compos sha256:{image.digest}",
            Tags=tags(_own_tags(image)),
            Timeout=STALLED_MINUTES,
            ClientToken=str(uuid.uuid4()),
            answer={"SnapshotId": "SNAPSHOT"},
        )
        return str(started["SnapshotId"])

    def _written(self, image: Image, snapshot: str) -> str:
        """Put the blocks that `snapshot` lacks, and complete it, unless another machine does."""
        self._begun.append(snapshot)
        try:
            self._write(image, snapshot)
        except CloudError:
            if not self._is_complete(snapshot):
                raise
        if not self._clients.calls.until(
            lambda: self._is_complete(snapshot), seconds=SNAPSHOT_SECONDS, pause=PAUSE
        ):
            raise CloudError("cloud-slow", "the snapshot is still not complete", place=snapshot)
        self._note(image).unlink(missing_ok=True)
        return snapshot

    def _write(self, image: Image, snapshot: str) -> None:
        note = self._note(image)
        sent = _sent_blocks(note, snapshot)
        checksums: dict[int, bytes] = {}

        def missing() -> Iterator[Block]:
            for block in data_blocks(image.path, BLOCK, limit=image.size):
                checksums[block.number] = hashlib.sha256(block.data).digest()
                if block.number not in sent:
                    yield block

        if self._clients.calls.dry:
            count = sum(1 for _ in missing())
            shown = {"SnapshotId": snapshot, "blocks": count, "bytes": count * BLOCK}
            self._call("ebs", "put_snapshot_block", **shown, answer={})
        else:
            with _opened(note) as descriptor:
                if not note.stat().st_size:
                    os.write(descriptor, f"{snapshot}\n".encode())

                def put(block: Block) -> None:
                    self._put(snapshot, block, checksums[block.number])
                    # Threads write whole lines: the file is open for appending.
                    os.write(descriptor, f"{block.number}\n".encode())

                send_blocks(
                    f"send {image.path.name}",
                    missing(),
                    put,
                    total=image.path.stat().st_blocks * 512,
                    at_once=AT_ONCE,
                )
        self._complete(snapshot, checksums)

    def _put(self, snapshot: str, block: Block, checksum: bytes) -> None:
        self._call(
            "ebs",
            "put_snapshot_block",
            SnapshotId=snapshot,
            BlockIndex=block.number,
            BlockData=block.data,
            DataLength=BLOCK,
            Checksum=base64.b64encode(checksum).decode(),
            ChecksumAlgorithm="SHA256",
            answer={},
        )

    def _complete(self, snapshot: str, checksums: Mapping[int, bytes]) -> None:
        """Seal the snapshot, with the digest of its blocks' digests in their order ("LINEAR")."""
        total = hashlib.sha256(b"".join(checksums[index] for index in sorted(checksums)))
        self._call(
            "ebs",
            "complete_snapshot",
            SnapshotId=snapshot,
            ChangedBlocksCount=len(checksums),
            Checksum=base64.b64encode(total.digest()).decode(),
            ChecksumAlgorithm="SHA256",
            ChecksumAggregationMethod="LINEAR",
            answer={},
        )

    def _is_complete(self, snapshot: str) -> bool:
        found = self._call(
            "ec2",
            "describe_snapshots",
            SnapshotIds=[snapshot],
            answer={"Snapshots": [{"State": "completed"}]},
        )["Snapshots"]
        state = found[0]["State"] if found else "error"
        if state == "error":
            text = found[0].get("StateMessage", "") if found else "it is gone"
            raise CloudError("cloud-snapshot", f"the snapshot has failed: {text}", place=snapshot)
        return bool(state == "completed")

    def _imported(self, image: Image) -> str:
        """By S3 and ImportSnapshot, which needs the role `vmimport`."""
        from compos.cloud.aws.bucket import import_snapshot

        return import_snapshot(self._clients, image, self._options, _own_tags(image))

    def _note(self, image: Image) -> Path:
        return self._notes / f"aws-{image.digest}.blocks"


@contextmanager
def _opened(note: Path) -> Iterator[int]:
    note.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sent_blocks(note: Path, snapshot: str) -> set[int]:
    """The blocks that an earlier attempt has put into `snapshot`: one index a line, behind the
    snapshot's id. A line that a killed process has not ended does not count."""
    if not note.exists():
        return set()
    head, *lines = note.read_text().split("\n")
    if head != snapshot:
        note.unlink()
        return set()
    return {int(line) for line in lines[:-1] if line.isdecimal()}


def _own_tags(image: Image) -> dict[str, str]:
    return {DIGEST: image.digest, NAME: image.name, "Name": image.full_name}


def _tags(found: Mapping[str, Any]) -> dict[str, str]:
    listed: Iterable[Mapping[str, str]] = found.get("Tags") or ()
    return {one["Key"]: one["Value"] for one in listed}


def _made(
    kind: str, id: str, found: Mapping[str, Any], created: datetime, *, complete: bool = True
) -> Made:
    own = _tags(found)
    return Made(kind, str(id), own.get(NAME, ""), own.get(DIGEST, ""), created, complete)


def _time(text: object) -> datetime:
    """EC2's times: those of images are texts."""
    return text if isinstance(text, datetime) else creation_time(str(text))


def _gone_is_fine(call: Callable[[], object]) -> None:
    try:
        call()
    except CloudMissing:
        return
