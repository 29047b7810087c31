"""`compos push vcenter` and `compos run vcenter`."""

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


@click.command("vcenter")
@click.option(
    "--url",
    metavar="URL",
    envvar="VCURL",
    default="",
    help="Address of vCenter [VCURL]; user and password are VCUSER and VCPASSWORD.",
)
@click.option(
    "--library",
    metavar="NAME",
    default="compos",
    show_default=True,
    help="Content library; it is made on the datastore if it is not there.",
)
@click.option("--datastore", metavar="NAME", envvar="VCDATASTORE", default="", help="[VCDATASTORE]")
@click.option(
    "--img-name",
    metavar="NAME",
    default="",
    help="Exact name of the item [the file's name and 12 digits of its digest].",
)
@push_options
def push(
    *,
    push: PushOptions,
    command: PushCommand,
    url: str,
    library: str,
    datastore: str,
    img_name: str,
) -> None:
    """Put an OVA into a content library of vCenter, and print the item's id.

    LinuxKit copies an ISO to a datastore, over SOAP and with any certificate; compos uses the REST
    API of vSphere 7 and later, and trusts the system's certificates and those of --cert-file.
    """
    if not url and not command.dry_run:
        raise click.UsageError("missing --url [VCURL]")

    def connect(notes: Path) -> Provider:
        from compos.cloud.vcenter.image import VcenterOptions
        from compos.cloud.vcenter.session import connect as to_vcenter

        return to_vcenter(
            VcenterOptions(library, datastore, img_name),
            url=url,
            certificates=push.build.images.certificates,
            show=command.show,
        )

    push_to("vcenter", push, command, connect)


@click.command("vcenter")
@click.option(
    "--url",
    metavar="URL",
    envvar="VCURL",
    default="",
    help="Address of vCenter [VCURL]; user and password are VCUSER and VCPASSWORD.",
)
@click.option(
    "--library", metavar="NAME", default="compos", show_default=True, help="Content library."
)
@click.option(
    "--datacenter",
    metavar="NAME",
    envvar="VCDATACENTER",
    default="",
    help="Datacenter [VCDATACENTER].",
)
@click.option(
    "--datastore",
    metavar="NAME",
    envvar="VCDATASTORE",
    default="",
    help="Datastore for the disks [VCDATASTORE].",
)
@click.option(
    "--network", metavar="NAME", envvar="VCNETWORK", default="", help="Network [VCNETWORK]."
)
@click.option(
    "--hostname",
    "host",
    metavar="NAME",
    envvar="VCHOST",
    default="",
    help="Host to run it [VCHOST].",
)
@click.option("--vmfolder", "vm_folder", metavar="NAME", default="", help="Folder of machines.")
@click.option("--cpus", type=click.IntRange(1), metavar="N", help="CPUs [1].")
@click.option("--mem", type=click.IntRange(4), metavar="MIB", help="Memory [1024].")
@click.option("--wait-for-ip", "--waitForIP", is_flag=True, help="Wait for VMware's tools.")
@click.option("--powerOn", "power_on", is_flag=True, hidden=True, help="For LinuxKit's sake.")
@run_options(size="", size_flag="", zone_flag="", certified=True)
def run(
    *,
    request: MachineRequest,
    command: RunCommand,
    url: str,
    library: str,
    datacenter: str,
    datastore: str,
    network: str,
    host: str,
    vm_folder: str,
    cpus: int | None,
    mem: int | None,
    wait_for_ip: bool,
    power_on: bool,
    certificates: tuple[str, ...],
) -> None:
    """Run a machine of IMAGE: an item's name in the content library, or the newest that was pushed
    under a name.

    Its address is what VMware's tools report, if the system has them. vCenter does not tell what a
    machine prints.
    """
    from compos.cloud.vcenter.machine import VmOptions
    from compos.cloud.vcenter.session import connect_machines

    if not url and not command.dry_run:
        raise click.UsageError("missing --url [VCURL]")
    options = VmOptions(
        library, datacenter, datastore, network, host, vm_folder, cpus or 0, mem or 0, wait_for_ip
    )
    run_on(
        "vcenter",
        connect_machines(options, url=url, certificates=certificates, show=command.show),
        request,
        command,
    )
