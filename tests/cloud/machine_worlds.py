"""Clouds that run machines in tests: moto, or a fake of the documented calls, behind a proxy; each
has an image called `web`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from compos.cloud.machine import MachineRequest, Machines
from tests.cloud import fake_digitalocean, fake_hetzner, fake_scaleway, fake_vcenter
from tests.cloud.fakes import FakeArm, FakeCompute, FakeNova
from tests.cloud.proxy import Proxy, Refusal
from tests.cloud.worlds import (
    arm_error,
    each_process,
    glance_error,
    google_error,
    no_wait,
    query_error,
)

__all__ = ["MACHINE_WORLDS", "MachineWorld", "request_for"]

TIME = "2026-11-29T02:00:00+00:00"


class MachineWorld(NamedTuple):
    """One cloud.

    `environment` is what a user sets; `connect` gives what runs machines there, which never waits.
    `left` names all that there is but the image, `clear` removes it. A machine's `address` and
    `console` are known beforehand, empty if there is none; `stop` has all machines power
    themselves off. `refusals` are the cloud's answers by the name of a fault.
    """

    name: str
    size: str
    proxy: Proxy
    environment: dict[str, str]
    connect: Callable[[], Machines]
    left: Callable[[], list[str]]
    clear: Callable[[], None]
    stop: Callable[[], None]
    refusals: dict[str, Refusal]
    address: str = ""
    console: str = ""


def request_for(world: MachineWorld, image: str = "web") -> MachineRequest:
    """A machine with one more disk."""
    return MachineRequest(image, "test", world.size, data=b"hello", disks=(10,))


def _without(resources: dict[str, Any], kept: tuple[str, ...]) -> Callable[[], None]:
    """What removes all resources but those."""

    def clear() -> None:
        for path in [one for one in resources if one not in kept]:
            del resources[path]

    return clear


@contextmanager
def aws(folder: Path) -> Iterator[MachineWorld]:
    """moto's EC2, which is made to know a client token again."""
    from moto.ec2.models import ec2_backends
    from moto.server import ThreadedMotoServer

    from compos.cloud.aws.machine import AwsMachines, InstanceOptions
    from compos.cloud.aws.session import connect

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    ec2 = ec2_backends["123456789012"]["eu-west-2"]
    image = ec2.register_image("web", "a disk")
    run, tokens = ec2.run_instances, dict[str, Any]()

    def once(*arguments: Any, **named: Any) -> Any:
        token = named["client_token"]
        if token not in tokens:
            tokens[token] = run(*arguments, **named)
        return tokens[token]

    def instances() -> list[Any]:
        return [one for group in ec2.all_reservations() for one in group.instances]

    def stop() -> None:
        for one in instances():
            if one.state != "terminated":
                one._state.name = "stopped"

    ec2.run_instances = once
    with Proxy() as proxy:
        environment = {
            "AWS_ENDPOINT_URL": proxy.to(host, port),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "aws-secret-word",
            "AWS_REGION": "eu-west-2",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        clients = each_process(lambda: connect(wait=no_wait))
        try:
            yield MachineWorld(
                "aws", "t3.micro", proxy, environment,
                lambda: AwsMachines(clients(), InstanceOptions()),
                lambda: [one.id for one in instances() if one.state != "terminated"],
                lambda: ec2.reservations.clear(),
                stop,
                {
                    "429": query_error(503, "RequestLimitExceeded"),
                    "403": query_error(403, "UnauthorizedOperation"),
                    "quota": query_error(400, "InstanceLimitExceeded"),
                    "expired": query_error(400, "ExpiredToken"),
                },
                console="Linux version 2.6.16-xenU",
            )  # fmt: skip
        finally:
            del ec2.run_instances
            ec2.reservations.clear()
            del ec2.amis[image.id]
            server.stop()


@contextmanager
def azure(folder: Path) -> Iterator[MachineWorld]:
    """A fake of the Resource Manager."""
    from compos.cloud.azure.machine import AzureMachines, VmOptions
    from compos.cloud.azure.session import connect

    with FakeArm("", "") as arm, Proxy() as proxy:
        image = "/subscriptions/one/resourceGroups/g/providers/Microsoft.Compute/images/web-1"
        group = "/subscriptions/one/resourceGroups/group"
        tags = {"compos-name": "web"}
        arm.resources[image] = {"id": image, "name": "web-1", "tags": tags, "properties": {}}
        arm.resources[group] = {"id": group, "name": "group", "properties": {}}
        environment = {
            "AZURE_RESOURCE_MANAGER_ENDPOINT": proxy.to("127.0.0.1", arm.port),
            "AZURE_SUBSCRIPTION_ID": "one",
            "AZURE_TENANT_ID": "00000000-0000-0000-0000-000000000002",
            "AZURE_CLIENT_ID": "00000000-0000-0000-0000-000000000003",
            "AZURE_CLIENT_SECRET": "azure-secret-word",
        }
        clients = each_process(lambda: connect(wait=no_wait))
        yield MachineWorld(
            "azure", "Standard_B1s", proxy, environment,
            lambda: AzureMachines(clients(), VmOptions("group")),
            lambda: [one for one in arm.resources if one.startswith(f"{group}/")],
            _without(arm.resources, (image, group)),
            lambda: None,
            {
                "429": arm_error(429, "TooManyRequests"),
                "403": arm_error(403, "AuthorizationFailed"),
                "quota": arm_error(409, "QuotaExceeded", "Operation exceeds the quota"),
                "expired": arm_error(401, "ExpiredAuthenticationToken"),
            },
            "192.0.2.7",
            "Welcome to LinuxKit",
        )  # fmt: skip


@contextmanager
def gcp(folder: Path) -> Iterator[MachineWorld]:
    """A fake of Compute Engine."""
    from compos.cloud.gcp.machine import GcpMachines, VmOptions
    from compos.cloud.gcp.session import connect

    with FakeCompute(lambda bucket, name: True) as compute, Proxy() as proxy:
        compute.base = proxy.to("127.0.0.1", compute.port)
        image = "/compute/v1/projects/p/global/images/web-1"
        compute.resources[image] = {
            "name": "web-1",
            "labels": {"compos-name": "web"},
            "creationTimestamp": "2026-11-29T02:00:00.000-08:00",
        }
        environment = {
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": compute.base,
            "STORAGE_EMULATOR_HOST": compute.base,
        }

        def left() -> list[str]:
            return [one for one in compute.resources if "/instances/" in one]

        def stop() -> None:
            for path in left():
                compute.resources[path]["status"] = "TERMINATED"

        clients = each_process(lambda: connect(project="p", keys="", wait=no_wait))
        yield MachineWorld(
            "gcp", "g1-small", proxy, environment,
            lambda: GcpMachines(clients(), "europe-west1-d", VmOptions()),
            left,
            _without(compute.resources, (image,)),
            stop,
            {
                "429": google_error(429, "rateLimitExceeded"),
                "403": google_error(403, "forbidden"),
                "quota": google_error(403, "quotaExceeded"),
                "expired": google_error(401, "authError"),
            },
            "192.0.2.8",
            "Welcome to LinuxKit",
        )  # fmt: skip


@contextmanager
def openstack(folder: Path) -> Iterator[MachineWorld]:
    """A fake of Nova."""
    from compos.cloud.openstack.machine import NovaMachines, ServerOptions
    from compos.cloud.openstack.session import connect

    with FakeNova() as nova, Proxy() as proxy:
        nova.base = proxy.to("127.0.0.1", nova.port)
        values = {
            "AUTH_URL": f"{nova.base}/v3", "USERNAME": "u", "PASSWORD": "hidden-password",
            "PROJECT_NAME": "p", "USER_DOMAIN_ID": "default", "PROJECT_DOMAIN_ID": "default",
            "REGION_NAME": "one",
        }  # fmt: skip
        clients = each_process(lambda: connect(wait=no_wait))
        yield MachineWorld(
            "openstack", "m1.tiny", proxy,
            {f"OS_{name}": value for name, value in values.items()},
            lambda: NovaMachines(clients(), ServerOptions()),
            lambda: list(nova.resources),
            nova.resources.clear,
            lambda: None,
            {
                "429": glance_error(429, "Too many requests"),
                "403": glance_error(403, "Forbidden"),
                "quota": glance_error(403, "Quota exceeded for instances"),
                "expired": glance_error(401, "Authentication required"),
            },
            "192.0.2.9",
            "Welcome to LinuxKit",
        )  # fmt: skip


@contextmanager
def digitalocean(folder: Path) -> Iterator[MachineWorld]:
    """A fake."""
    from compos.cloud.digitalocean.session import connect_machines

    with fake_digitalocean.FakeDigitalOcean(lambda key: None) as fake, Proxy() as proxy:
        image = "/v2/images/900"
        fake.resources[image] = {
            "id": 900, "name": "web-1", "tags": ["compos", "compos-name:web"],
            "status": "available", "regions": ["fra1"], "created_at": TIME,
        }  # fmt: skip

        def stop() -> None:
            for path, one in fake.resources.items():
                if "/droplets/" in path:
                    one["status"] = "off"

        environment = {
            "DIGITALOCEAN_TOKEN": "dop_v1_hidden",
            "DIGITALOCEAN_API_URL": proxy.to("127.0.0.1", fake.port),
        }
        machines = each_process(lambda: connect_machines(wait=no_wait))
        yield MachineWorld(
            "digitalocean", "s-1vcpu-1gb", proxy, environment, machines,
            lambda: [one for one in fake.resources if one != image],
            _without(fake.resources, (image,)),
            stop,
            {
                "429": fake_digitalocean.refusal(429, "too_many_requests"),
                "403": fake_digitalocean.refusal(403, "forbidden"),
                "quota": Refusal(
                    422,
                    b'{"id": "unprocessable_entity", "message": "this will exceed your limit"}',
                ),
                "expired": fake_digitalocean.refusal(401, "unauthorized"),
            },
            "192.0.2.10",
        )  # fmt: skip


@contextmanager
def hetzner(folder: Path) -> Iterator[MachineWorld]:
    """A fake."""
    from compos.cloud.hetzner.machine import ServerOptions
    from compos.cloud.hetzner.session import connect_machines

    with fake_hetzner.FakeHetzner(folder) as fake, Proxy() as proxy:
        image = "/images/900"
        fake.resources[image] = {
            "id": 900, "description": "web-1", "status": "available", "created": TIME,
            "labels": {"compos-name": "web"}, "name": None,
        }  # fmt: skip

        def stop() -> None:
            for path, one in fake.resources.items():
                if path.startswith("/servers/"):
                    one["status"] = "off"

        environment = {
            "HCLOUD_TOKEN": "hidden-token-of-hetzner",
            "HCLOUD_ENDPOINT": proxy.to("127.0.0.1", fake.port),
        }
        machines = each_process(lambda: connect_machines(ServerOptions(), wait=no_wait))
        yield MachineWorld(
            "hetzner", "cx23", proxy, environment, machines,
            lambda: [one for one in fake.resources if one != image],
            _without(fake.resources, (image,)),
            stop,
            {
                "429": fake_hetzner.refusal(429, "rate_limit_exceeded"),
                "403": fake_hetzner.refusal(403, "forbidden"),
                "quota": fake_hetzner.refusal(403, "resource_limit_exceeded"),
                "expired": fake_hetzner.refusal(401, "unauthorized"),
            },
            "192.0.2.",
        )  # fmt: skip


@contextmanager
def scaleway(folder: Path) -> Iterator[MachineWorld]:
    """A fake."""
    from compos.cloud.scaleway.session import connect_machines

    with fake_scaleway.FakeScaleway(lambda key: None) as fake, Proxy() as proxy:
        image = f"/{fake_scaleway.INSTANCE}/images/00000000-0000-4000-8000-000000000900"
        fake.resources[image] = {
            "id": image.rpartition("/")[2], "name": "web-1", "tags": ["compos-name=web"],
            "creation_date": TIME, "root_volume": {"id": "snapshot"},
        }  # fmt: skip

        def stop() -> None:
            for path, one in fake.resources.items():
                if "/servers/" in path:
                    one["state"] = "stopped in place"

        environment = {
            "SCW_ACCESS_KEY": "SCWXXXXXXXXXXXXXXXXX",
            "SCW_SECRET_KEY": "11111111-2222-3333-4444-555555555555",
            "SCW_DEFAULT_PROJECT_ID": "project",
            "SCW_CONFIG_PATH": str(folder / "none"),
            "SCW_API_URL": proxy.to("127.0.0.1", fake.port),
        }
        machines = each_process(lambda: connect_machines(wait=no_wait))
        yield MachineWorld(
            "scaleway", "DEV1-S", proxy, environment, machines,
            lambda: [one for one in fake.resources if one != image],
            _without(fake.resources, (image,)),
            stop,
            {
                "429": fake_scaleway.refusal(429, "too_many_requests"),
                "403": fake_scaleway.refusal(403, "permissions_denied"),
                "quota": fake_scaleway.refusal(403, "quotas_exceeded"),
                "expired": fake_scaleway.refusal(401, "denied_authentication"),
            },
            "192.0.2.11",
        )  # fmt: skip


@contextmanager
def vcenter(folder: Path) -> Iterator[MachineWorld]:
    """A fake."""
    from compos.cloud.vcenter.machine import VmOptions
    from compos.cloud.vcenter.session import connect_machines

    with fake_vcenter.FakeVcenter() as fake, Proxy() as proxy:
        fake.library = "library"
        item = f"{fake_vcenter.ITEM}/item"
        fake.resources[item] = {
            "id": "item", "library_id": "library", "name": "web-1", "size": 1,
            "description": f"compos sha256:{'0' * 64} by:host/1 name:web", "creation_time": TIME,
        }  # fmt: skip
        url = proxy.to("127.0.0.1", fake.port)

        def stop() -> None:
            for one in fake.resources.values():
                if "power" in one:
                    one["power"] = "POWERED_OFF"

        environment = {"VCURL": url, "VCUSER": "administrator", "VCPASSWORD": "hidden-password"}
        options = VmOptions(
            datacenter="dc", datastore="store", network="VM Network", cpus=2, memory=2048,
            wait_for_address=True,
        )  # fmt: skip
        machines = each_process(lambda: connect_machines(options, url=url, wait=no_wait))
        yield MachineWorld(
            "vcenter", "", proxy, environment, machines,
            lambda: [one for one in fake.resources if one != item],
            _without(fake.resources, (item,)),
            stop,
            {
                "429": fake_vcenter.refusal(429, "TOO_MANY_REQUESTS"),
                "403": fake_vcenter.refusal(403, "UNAUTHORIZED"),
                "quota": fake_vcenter.refusal(400, "RESOURCE_QUOTA_EXCEEDED"),
                "expired": fake_vcenter.refusal(401, "UNAUTHENTICATED"),
            },
            "192.0.2.12",
        )  # fmt: skip


MACHINE_WORLDS: dict[str, Callable[[Path], AbstractContextManager[MachineWorld]]] = {
    "aws": aws,
    "azure": azure,
    "gcp": gcp,
    "openstack": openstack,
    "digitalocean": digitalocean,
    "hetzner": hetzner,
    "scaleway": scaleway,
    "vcenter": vcenter,
}
"""By the name of the provider."""
