"""What lists each cloud's things, with the environment's region, project or subscription.

May touch: the cloud, when something is listed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from compos.cloud.garbage import Lister
from compos.cloud.machine import Machines
from compos.cloud.model import Made, Provider

__all__ = ["listers"]


def listers(provider: str, *, machines: bool) -> list[Lister]:
    """For images, and for `machines` before them. Raises `CloudError`."""
    images, running = _PROVIDERS[provider]()
    found = [Lister(images.made, images.remove)]
    if machines:
        found.insert(0, Lister(running.made, lambda made: _remove(running, made)))
    return found


def _remove(machines: Machines, made: Made) -> None:
    machines.remove(made.id)


def _aws() -> tuple[Provider, Machines]:
    from compos.cloud.aws.image import AwsImages, AwsOptions
    from compos.cloud.aws.machine import AwsMachines, InstanceOptions
    from compos.cloud.aws.session import connect

    clients = connect()
    return AwsImages(clients, AwsOptions(), Path()), AwsMachines(clients, InstanceOptions())


def _azure() -> tuple[Provider, Machines]:
    from compos.cloud.azure.image import AzureImages, AzureOptions
    from compos.cloud.azure.machine import AzureMachines, VmOptions
    from compos.cloud.azure.session import connect

    azure = connect()
    return AzureImages(azure, AzureOptions()), AzureMachines(azure, VmOptions(""))


def _gcp() -> tuple[Provider, Machines]:
    from compos.cloud.gcp.image import GcpImages, GcpOptions
    from compos.cloud.gcp.machine import GcpMachines, VmOptions
    from compos.cloud.gcp.session import connect

    google = connect(
        project=os.environ.get("CLOUDSDK_CORE_PROJECT", ""),
        keys=os.environ.get("CLOUDSDK_COMPUTE_KEYS", ""),
    )
    zone = os.environ.get("CLOUDSDK_COMPUTE_ZONE", "europe-west1-d")
    return GcpImages(google, GcpOptions()), GcpMachines(google, zone, VmOptions())


def _openstack() -> tuple[Provider, Machines]:
    from compos.cloud.openstack.image import GlanceImages, GlanceOptions
    from compos.cloud.openstack.machine import NovaMachines, ServerOptions
    from compos.cloud.openstack.session import connect

    cloud = connect()
    return GlanceImages(cloud, GlanceOptions()), NovaMachines(cloud, ServerOptions())


def _digitalocean() -> tuple[Provider, Machines]:
    from compos.cloud.digitalocean.session import connect, connect_machines

    return connect(), connect_machines()


def _hetzner() -> tuple[Provider, Machines]:
    from compos.cloud.hetzner.image import HetznerOptions
    from compos.cloud.hetzner.machine import ServerOptions
    from compos.cloud.hetzner.session import connect, connect_machines

    return connect(HetznerOptions()), connect_machines(ServerOptions())


def _scaleway() -> tuple[Provider, Machines]:
    from compos.cloud.scaleway.session import connect, connect_machines

    return connect(), connect_machines()


def _vcenter() -> tuple[Provider, Machines]:
    from compos.cloud.vcenter.image import VcenterOptions
    from compos.cloud.vcenter.machine import VmOptions
    from compos.cloud.vcenter.session import connect, connect_machines

    url = os.environ.get("VCURL", "")
    return connect(VcenterOptions(), url=url), connect_machines(VmOptions(), url=url)


_PROVIDERS: dict[str, Callable[[], tuple[Provider, Machines]]] = {
    "digitalocean": _digitalocean,
    "hetzner": _hetzner,
    "scaleway": _scaleway,
    "vcenter": _vcenter,
    "aws": _aws,
    "azure": _azure,
    "gcp": _gcp,
    "openstack": _openstack,
}
