"""`compos push aws` and `compos run aws`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.providers.options import (
    PushCommand,
    RunCommand,
    push_options,
    push_to,
    run_on,
    run_options,
)

if TYPE_CHECKING:
    from compos.api.push import PushOptions
    from compos.cloud.machine import MachineRequest
    from compos.cloud.model import Provider

__all__ = ["push", "run"]


@click.command("aws")
@click.option(
    "--bucket",
    metavar="NAME",
    envvar=("AWS_BUCKET", "CLOUDSDK_IMAGE_BUCKET"),
    default="",
    help="Bucket of S3 to import the disk from, if the EBS direct APIs are refused [AWS_BUCKET, "
    "CLOUDSDK_IMAGE_BUCKET].",
)
@click.option("--import", "by_bucket", is_flag=True, help="Import from the bucket in any case.")
@click.option(
    "--timeout",
    type=click.IntRange(0),
    default=0,
    metavar="SECONDS",
    help="Time for the upload [600]; for LinuxKit's sake: uploads that advance go on.",
    hidden=True,
)
@click.option(
    "--img-name",
    metavar="NAME",
    envvar="CLOUDSDK_IMAGE_NAME",
    default="",
    help="Exact name of the image [the file's name and 12 digits of its digest].",
)
@click.option(
    "--ena/--no-ena",
    default=None,
    help="Whether the image has a driver for ENA [what the disk has].",
)
@click.option("--sriov", metavar="TEXT", default="", help="Value for sriovNetSupport, as simple.")
@click.option("--uefi", is_flag=True, help="Start the image by UEFI.")
@click.option("--tpm", is_flag=True, help="Give instances a TPM 2.0; requires UEFI.")
@push_options
def push(
    *,
    push: PushOptions,
    command: PushCommand,
    bucket: str,
    by_bucket: bool,
    timeout: int,
    img_name: str,
    ena: bool | None,
    sriov: str,
    uefi: bool,
    tpm: bool,
) -> None:
    """Register a disk as an AMI, and print its id.

    Region and credentials are AWS's own: AWS_REGION, AWS_PROFILE, ~/.aws, the instance's role. The
    snapshot is written by the EBS direct APIs: only the blocks that are not zeros.
    """
    if by_bucket and not bucket:
        raise click.UsageError("--import requires --bucket")

    def connect(notes: Path) -> Provider:
        from compos.cloud.aws.image import AwsImages, AwsOptions
        from compos.cloud.aws.session import connect as to_aws

        options = AwsOptions(img_name, bucket, by_bucket, ena, sriov, uefi, tpm)
        return AwsImages(to_aws(show=command.show), options, notes)

    push_to("aws", push._replace(uefi=uefi or tpm), command, connect)


@click.command("aws")
@click.option(
    "--disk-size",
    type=click.IntRange(0),
    default=0,
    envvar="AWS_DISK_SIZE",
    metavar="GB",
    help="One more disk of this size [AWS_DISK_SIZE].",
)
@click.option(
    "--disk-type",
    default="gp3",
    show_default=True,
    envvar="AWS_DISK_TYPE",
    metavar="TYPE",
    help="Type of further disks [AWS_DISK_TYPE].",
)
@click.option("--security-group", metavar="ID", default="", help="Security group.")
@click.option("--key", metavar="NAME", default="", help="Key pair of EC2.")
@run_options(size="t3.micro", variables=("AWS_MACHINE", "AWS_ZONE"))
def run(
    *,
    request: MachineRequest,
    command: RunCommand,
    disk_size: int,
    disk_type: str,
    security_group: str,
    key: str,
) -> None:
    """Run an instance of IMAGE: an AMI's id or name, or the newest that was pushed under a name.

    Zones are letters: a, b.
    """
    from compos.cloud.aws.machine import AwsMachines, InstanceOptions
    from compos.cloud.aws.session import connect as to_aws

    disks = (*request.disks, *((disk_size,) if disk_size else ()))
    run_on(
        "aws",
        AwsMachines(to_aws(show=command.show), InstanceOptions(disk_type, security_group)),
        request._replace(disks=disks, key=key),
        command,
    )
