"""Machines of clouds from their start to their end: moto, and fakes of the documented calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.cloud.machine import Machine, run_machine
from compos.errors import CloudConflict, CloudError, CloudMissing
from tests.cloud.machine_worlds import MACHINE_WORLDS, MachineWorld, request_for
from tests.cloud.worlds import require

pytestmark = pytest.mark.slow


@pytest.fixture(params=MACHINE_WORLDS)
def world(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[MachineWorld]:
    require(request.param)
    with MACHINE_WORLDS[request.param](tmp_path) as found:
        for key, value in found.environment.items():
            monkeypatch.setenv(key, value)
        yield found


UNIQUE = ("azure", "gcp", "hetzner", "vcenter")
"""Clouds whose machines have names of their own."""


def silent(text: object) -> None:
    """Nobody looks at it."""


def test_a_machine_runs_and_stays(world: MachineWorld) -> None:
    machines = world.connect()
    shown: list[Machine] = []
    machine = run_machine(machines, request_for(world), show=shown.append, print_console=silent)
    assert shown == [machine]
    assert machine.name == "test"
    assert machine.address.startswith(world.address)
    assert [(one.kind, one.name) for one in machines.made()] == [("machine", "test")]
    machines.remove(machine.id)
    machines.remove(machine.id)
    assert world.left() == []


def test_a_machine_is_followed_and_deleted(world: MachineWorld) -> None:
    printed: list[str] = []
    run_machine(
        world.connect(),
        request_for(world),
        show=lambda machine: world.stop(),
        print_console=printed.append,
        until_stopped=True,
        remove=True,
    )
    assert world.console in "".join(printed)
    assert world.left() == []


def test_an_interrupt_deletes_it(world: MachineWorld) -> None:
    def interrupted(machine: Machine) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_machine(
            world.connect(),
            request_for(world),
            show=interrupted,
            print_console=silent,
            remove=True,
        )
    assert world.left() == []


def test_an_image_that_is_not_there(world: MachineWorld) -> None:
    with pytest.raises(CloudMissing):
        world.connect().start(request_for(world, "nothing"))
    assert world.left() == []


def test_an_image_by_its_exact_name(world: MachineWorld) -> None:
    name = "web" if world.name == "aws" else "web-1"
    world.connect().start(request_for(world, name))
    assert world.left()


def test_a_second_machine_does_not_harm_the_first(world: MachineWorld) -> None:
    """Whether the cloud takes two of one name or not."""
    machines = world.connect()
    machines.start(request_for(world))
    before = world.left()
    if world.name in UNIQUE:
        with pytest.raises(CloudConflict) as caught:
            machines.start(request_for(world))
        assert "--name" in str(caught.value.hint)
        assert world.left() == before
    else:
        machines.start(request_for(world))
        assert set(world.left()) > set(before)


def test_a_machine_that_does_not_start_is_deleted(
    world: MachineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong once it exists: here the wait for it."""
    calls = {
        "aws": "compos.cloud.aws.machine.AwsMachines._runs",
        "azure": "compos.cloud.azure.machine.AzureMachines._address",
        "gcp": "compos.cloud.gcp.machine.finished",
        "openstack": "compos.cloud.openstack.machine.NovaMachines._runs",
        "digitalocean": "compos.cloud.digitalocean.machine.DigitalOceanMachines._runs",
        "hetzner": "compos.cloud.hetzner.machine.HetznerMachines._runs",
        "scaleway": "compos.cloud.scaleway.machine.ScalewayMachines._runs",
        "vcenter": "compos.cloud.vcenter.machine.VcenterMachines._state",
    }
    hits: list[object] = []

    def fails(*_: object, **__: object) -> None:
        hits.append(1)
        if len(hits) == 1:
            raise CloudError("cloud-refused", "no")

    monkeypatch.setattr(calls[world.name], fails)
    with pytest.raises(CloudError):
        world.connect().start(request_for(world))
    assert world.left() == []


COMMANDS = {
    "digitalocean": ("--ssh-key", "1234"),
    "hetzner": ("--ssh-key", "mine"),
    "scaleway": ("--instance-name", "test"),
    "vcenter": ("--cpus", "2"),
}


@pytest.mark.parametrize("world", COMMANDS, indirect=True)
def test_the_commands(
    world: MachineWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As users have them: run, list, remove."""
    modules = ["hetzner.project", *(f"{name}.machine" for name in COMMANDS)]
    for module in modules:
        monkeypatch.setattr(f"compos.cloud.{module}.PAUSE", 0.01)
    flags = ("--name", "test", "--data", "the-word", "--disk", "size=10G", *COMMANDS[world.name])
    assert main(["run", world.name, *flags, "web"]) == 0
    shown = capsys.readouterr()
    (id,) = [one for one in shown.out.splitlines() if one]
    assert f"test runs at {world.address}" in shown.err
    assert main(["clouds", "list", world.name]) == 0
    listed = capsys.readouterr()
    assert f"machine {id} test " in listed.out
    assert main(["clouds", "gc", world.name, "--machines", "--older", "0m", "--dry-run"]) == 0
    assert world.left()
    assert f"machine {id} test " in capsys.readouterr().out
    world.connect().remove(id)
    assert world.left() == []
    for text in (*shown, *listed):
        assert "the-word" not in text
        assert "hidden-password" not in text, "of the fake's machines"
        for key, value in world.environment.items():
            if any(word in key for word in ("SECRET", "TOKEN", "PASSWORD")):
                assert value not in text
