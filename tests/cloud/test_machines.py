"""Machines of clouds from their start to their end: moto, and fakes of the documented calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from compos.cloud.machine import Machine, MachineRequest, Machines, run_machine
from compos.cloud.model import Made
from compos.errors import CloudError, CloudMissing
from tests.cloud.fakes import FakeArm, FakeCompute, FakeNova
from tests.cloud.worlds import require


class Bench(NamedTuple):
    machines: Machines
    left: Callable[[], int]
    address: str
    console: str


def no_wait(seconds: float) -> None:
    """Time that nobody has."""


@contextmanager
def aws(patch: pytest.MonkeyPatch, folder: Path) -> Iterator[Bench]:
    from moto.ec2.models import ec2_backends
    from moto.server import ThreadedMotoServer

    from compos.cloud.aws.machine import AwsMachines, InstanceOptions
    from compos.cloud.aws.session import connect

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    patch.setenv("AWS_ACCESS_KEY_ID", "testing")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    patch.setenv("AWS_REGION", "eu-west-2")
    ec2 = ec2_backends["123456789012"]["eu-west-2"]
    ec2.register_image("web", "a disk")
    clients = connect(wait=no_wait)

    class Stopping(AwsMachines):
        """moto's instances do not power themselves off."""

        def console(self, machine: Machine) -> str:
            ec2.get_instance(machine.id)._state.name = "stopped"
            return super().console(machine)

    def left() -> int:
        found = [one for group in ec2.all_reservations() for one in group.instances]
        return len([one for one in found if one.state != "terminated"])

    try:
        console = "Linux version 2.6.16-xenU"
        yield Bench(Stopping(clients, InstanceOptions()), left, "", console)
    finally:
        server.stop()


@contextmanager
def azure(patch: pytest.MonkeyPatch, folder: Path) -> Iterator[Bench]:
    from compos.cloud.azure.machine import AzureMachines, VmOptions
    from compos.cloud.azure.session import connect

    with FakeArm("", "") as arm:
        patch.setenv("AZURE_RESOURCE_MANAGER_ENDPOINT", f"http://127.0.0.1:{arm.port}")
        patch.setenv("AZURE_SUBSCRIPTION_ID", "one")
        image = "/subscriptions/one/resourceGroups/g/providers/Microsoft.Compute/images/web-1"
        tags = {"compos-name": "web"}
        arm.resources[image] = {"id": image, "name": "web-1", "tags": tags, "properties": {}}
        machines = AzureMachines(connect(wait=no_wait), VmOptions("group"))

        def left() -> int:
            return len([one for one in arm.resources if "/group/" in one])

        yield Bench(machines, left, "192.0.2.7", "Welcome to LinuxKit")


@contextmanager
def gcp(patch: pytest.MonkeyPatch, folder: Path) -> Iterator[Bench]:
    from compos.cloud.gcp.machine import GcpMachines, VmOptions
    from compos.cloud.gcp.session import connect

    with FakeCompute(lambda bucket, name: True) as compute:
        compute.base = f"http://127.0.0.1:{compute.port}"
        patch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", compute.base)
        patch.setenv("STORAGE_EMULATOR_HOST", compute.base)
        images = "/compute/v1/projects/p/global/images"
        compute.resources[f"{images}/web-1"] = {
            "name": "web-1",
            "labels": {"compos-name": "web"},
            "creationTimestamp": "2026-11-29T02:00:00.000-08:00",
        }
        google = connect(project="p", keys="", wait=no_wait)

        class Stopping(GcpMachines):
            """The fake's instances do not power themselves off."""

            def console(self, machine: Machine) -> str:
                path = machine.id.removeprefix(compute.base)
                compute.resources[path]["status"] = "TERMINATED"
                return super().console(machine)

        def left() -> int:
            return len([one for one in compute.resources if "/instances/" in one])

        machines = Stopping(google, "europe-west1-d", VmOptions())
        yield Bench(machines, left, "192.0.2.8", "Welcome to LinuxKit")


@contextmanager
def openstack(patch: pytest.MonkeyPatch, folder: Path) -> Iterator[Bench]:
    from compos.cloud.openstack.machine import NovaMachines, ServerOptions
    from compos.cloud.openstack.session import connect

    with FakeNova() as nova:
        for name, value in {
            "AUTH_URL": f"http://127.0.0.1:{nova.port}/v3",
            "USERNAME": "u",
            "PASSWORD": "p",
            "PROJECT_NAME": "p",
            "USER_DOMAIN_ID": "default",
            "PROJECT_DOMAIN_ID": "default",
            "REGION_NAME": "one",
        }.items():
            patch.setenv(f"OS_{name}", value)
        machines = NovaMachines(connect(wait=no_wait), ServerOptions())
        yield Bench(machines, lambda: len(nova.resources), "192.0.2.9", "Welcome to LinuxKit")


CLOUDS: dict[str, Callable[..., AbstractContextManager[Bench]]] = {
    "aws": aws,
    "azure": azure,
    "gcp": gcp,
    "openstack": openstack,
}
SIZES = {"aws": "t3.micro", "azure": "Standard_B1s", "gcp": "g1-small", "openstack": "m1.tiny"}


@pytest.fixture(params=CLOUDS)
def bench(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[str, Bench]]:
    require(request.param)
    with CLOUDS[request.param](monkeypatch, tmp_path) as found:
        yield request.param, found


def request_for(name: str, image: str = "web") -> MachineRequest:
    return MachineRequest(image, "test", SIZES[name], data=b"hello", disks=(10,))


def listed(machines: Machines) -> list[Made]:
    return list(machines.made())


def test_a_machine_runs_and_stays(bench: tuple[str, Bench]) -> None:
    name, found = bench
    shown: list[Machine] = []
    machine = run_machine(
        found.machines, request_for(name), show=shown.append, print_console=lambda text: None
    )
    assert shown == [machine]
    assert machine.name == "test"
    assert machine.address == found.address or name == "aws"
    assert [one.name for one in listed(found.machines)] == ["test"]
    found.machines.remove(machine.id)
    found.machines.remove(machine.id)
    assert found.left() == 0


def test_a_machine_is_followed_and_deleted(bench: tuple[str, Bench]) -> None:
    name, found = bench
    printed: list[str] = []
    run_machine(
        found.machines,
        request_for(name),
        show=lambda machine: None,
        print_console=printed.append,
        until_stopped=True,
        remove=True,
    )
    assert found.console in "".join(printed)
    assert found.left() == 0


def test_an_interrupt_deletes_it(bench: tuple[str, Bench]) -> None:
    name, found = bench

    def interrupted(machine: Machine) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_machine(
            found.machines,
            request_for(name),
            show=interrupted,
            print_console=lambda text: None,
            remove=True,
        )
    assert found.left() == 0


def test_an_image_that_is_not_there(bench: tuple[str, Bench]) -> None:
    name, found = bench
    with pytest.raises(CloudMissing):
        found.machines.start(request_for(name, "nothing"))
    assert found.left() == 0


def test_a_machine_that_does_not_start_is_deleted(
    bench: tuple[str, Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong once it exists: here the wait for it."""
    name, found = bench
    calls = {
        "aws": "compos.cloud.aws.machine.AwsMachines._runs",
        "azure": "compos.cloud.azure.machine.AzureMachines._address",
        "gcp": "compos.cloud.gcp.machine.finished",
        "openstack": "compos.cloud.openstack.machine.NovaMachines._runs",
    }
    hits: list[object] = []

    def fails(*_: object, **__: object) -> None:
        hits.append(1)
        if len(hits) == 1:
            raise CloudError("cloud-refused", "no")

    monkeypatch.setattr(calls[name], fails)
    with pytest.raises(CloudError):
        found.machines.start(request_for(name))
    assert found.left() == 0
