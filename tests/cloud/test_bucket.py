"""A snapshot by way of S3, where the EBS direct APIs are refused: moto's S3, and answers of
ImportSnapshot as its documentation has them, for moto does not know it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from compos.cloud.aws.bucket import import_snapshot
from compos.cloud.aws.image import AwsOptions
from compos.cloud.aws.session import connect
from compos.errors import CloudDenied, CloudError
from tests.cloud.disks import small_image
from tests.cloud.proxy import Fault, Refusal
from tests.cloud.worlds import OPENERS, World, require

pytestmark = pytest.mark.slow


def xml(name: str, inner: str) -> Refusal:
    text = f"<{name}Response><requestId>1</requestId>{inner}</{name}Response>"
    return Refusal(200, text.encode(), {"Content-Type": "text/xml"})


def tasks(status: str) -> Refusal:
    detail = f"<status>{status}</status><snapshotId>snap-0123456789abcdef0</snapshotId>"
    item = f"<importTaskId>import-snap-1</importTaskId><snapshotTaskDetail>{detail}"
    return xml(
        "DescribeImportSnapshotTasks",
        f"<importSnapshotTaskSet><item>{item}</snapshotTaskDetail></item></importSnapshotTaskSet>",
    )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    require("aws")
    with OPENERS["aws"](tmp_path) as found:
        for key, value in found.environment.items():
            monkeypatch.setenv(key, value)
        started = "<importTaskId>import-snap-1</importTaskId>"
        found.proxy.answers["ImportSnapshot"] = xml("ImportSnapshot", started)
        found.proxy.answers["DescribeImportSnapshotTasks"] = tasks("completed")
        found.proxy.answers["CreateTags"] = xml("CreateTags", "<return>true</return>")
        import boto3

        place = {"LocationConstraint": "eu-west-1"}
        client = boto3.client("s3")
        # moto's servers of one process share their state.
        with suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket="images", CreateBucketConfiguration=place)
        yield found


def imported(world: World, folder: Path, bucket: str = "images") -> str:
    image = small_image(folder, "aws", "raw")
    clients = connect(wait=lambda seconds: None)
    return import_snapshot(clients, image, AwsOptions(bucket=bucket), {"Name": "x"})


def objects() -> list[str]:
    import boto3

    client = boto3.client("s3")
    return [
        *(one["Key"] for one in client.list_objects_v2(Bucket="images").get("Contents", ())),
        *(one["Key"] for one in client.list_multipart_uploads(Bucket="images").get("Uploads", ())),
    ]


def test_the_object_goes_when_the_snapshot_is_there(world: World, tmp_path: Path) -> None:
    # A task of an earlier push that still runs would be taken over; this one has ended.
    assert imported(world, tmp_path) == "snap-0123456789abcdef0"
    assert "ImportSnapshot" in world.proxy.calls
    assert world.proxy.body_bytes > 64 << 20, "the whole disk is sent"
    assert objects() == []


def test_an_import_that_runs_is_waited_for(world: World, tmp_path: Path) -> None:
    world.proxy.answers["DescribeImportSnapshotTasks"] = tasks("active")

    def ends(seconds: float) -> None:
        world.proxy.answers["DescribeImportSnapshotTasks"] = tasks("completed")

    image = small_image(tmp_path, "aws", "raw")
    found = import_snapshot(connect(wait=ends), image, AwsOptions(bucket="images"), {"Name": "x"})
    assert found == "snap-0123456789abcdef0"
    assert "ImportSnapshot" not in world.proxy.calls, "another push has begun it"


def test_an_import_that_fails_is_an_error(world: World, tmp_path: Path) -> None:
    """LinuxKit would wait for it for ever."""
    world.proxy.answers["DescribeImportSnapshotTasks"] = tasks("error")
    with pytest.raises(CloudError, match="the import has failed"):
        imported(world, tmp_path)
    assert objects() == []


def test_half_an_upload_is_aborted(world: World, tmp_path: Path) -> None:
    world.proxy.expect(Fault("PUT /images/compos/*", world.refusals["403"], once=False))
    with pytest.raises(CloudDenied):
        imported(world, tmp_path)
    assert objects() == []


def test_a_bucket_has_to_be_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(CloudError, match="none is named"):
        imported(world, tmp_path, "")
