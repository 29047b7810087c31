"""Every call of every start and end of a machine can fail, in every way: there is one machine then,
or none, and what a killed process leaves is found by its tag and removed.

moto and two fakes take part in every run, the others in `make clouds`, which sets COMPOS_CLOUDS.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from compos.cloud.machine import Machine
from compos.errors import CloudDenied, CloudError, CloudQuota
from tests.cloud.machine_worlds import MACHINE_WORLDS, MachineWorld, request_for
from tests.cloud.proxy import Fault
from tests.cloud.test_faults import ALL, ATTEMPTS, KILLS, PASSING, forked_until_killed
from tests.cloud.worlds import require

pytestmark = pytest.mark.slow

REFUSALS = {"403": CloudDenied, "expired": CloudDenied, "quota": CloudQuota, "before": CloudError}
ESSENTIAL = "403", "before"
"""Kinds that a run without COMPOS_CLOUDS has."""

UNTAGGED = (("action=deploy", "after"), ("action=attach", "before"))
"""Where a machine of vCenter has no tag yet: tags are given by another call."""


def chosen() -> list[str]:
    """The clouds that take part."""
    named = os.environ.get("COMPOS_CLOUDS", "").split(",")
    few = ["aws", "hetzner", "scaleway"]
    return [name for name in named if name in MACHINE_WORLDS] or (
        list(MACHINE_WORLDS) if ALL else few
    )


@pytest.fixture(scope="module", params=chosen())
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MachineWorld]:
    require(request.param)
    folder = tmp_path_factory.mktemp("machines")
    with pytest.MonkeyPatch.context() as patch, MACHINE_WORLDS[request.param](folder) as found:
        for key, value in found.environment.items():
            patch.setenv(key, value)
        yield found


def clear(world: MachineWorld) -> None:
    """Nothing is there, and nothing goes wrong."""
    world.proxy.expect(None)
    world.clear()
    world.proxy.expect(None)


def start(world: MachineWorld) -> Machine:
    return world.connect().start(request_for(world))


def end(world: MachineWorld, machine: Machine) -> None:
    world.connect().remove(machine.id)


def collect(world: MachineWorld) -> None:
    """As `compos clouds gc --machines --older 0m`."""
    world.proxy.expect(None)
    machines = world.connect()
    for made in list(machines.made()):
        machines.remove(made.id)


def calls_of(world: MachineWorld, act: Callable[[], object]) -> list[str]:
    """The calls that `act` makes, each once."""
    world.proxy.expect(None)
    act()
    return list(dict.fromkeys(world.proxy.calls))


def calls_of_a_start(world: MachineWorld) -> tuple[list[str], int]:
    """The calls, and how many things are there then."""
    for _ in range(2):
        # The first one also logs in.
        clear(world)
        calls = calls_of(world, lambda: start(world))
    return calls, len(world.left())


def test_a_failure_that_passes_is_not_noticed(world: MachineWorld) -> None:
    calls, count = calls_of_a_start(world)
    for call in calls:
        for kind in PASSING:
            clear(world)
            world.proxy.expect(Fault(call, world.refusals.get(kind, kind)))
            machine = start(world)
            assert world.proxy.hits == 1, (call, kind)
            assert len(world.left()) == count, (call, kind)
            end(world, machine)
            assert world.left() == [], (call, kind)


@pytest.mark.parametrize("kind", REFUSALS if ALL else ESSENTIAL)
def test_a_failure_that_lasts_leaves_no_machine(world: MachineWorld, kind: str) -> None:
    calls, count = calls_of_a_start(world)
    for call in calls:
        clear(world)
        world.proxy.expect(Fault(call, world.refusals.get(kind, kind), once=False))
        try:
            start(world)
        except REFUSALS[kind] as error:
            check_no_secret(world, error)
            hits = world.proxy.hits
            if hits <= (ATTEMPTS if kind == "before" else 1):
                # The calls that clean up were none of those that failed.
                assert world.left() == [], call
            collect(world)
            assert world.left() == [], call
        else:
            # One whose answer nobody needs.
            assert len(world.left()) == count, call


def check_no_secret(world: MachineWorld, error: CloudError) -> None:
    text = repr((error.message, error.place, error.hint, str(error)))
    for key, value in world.environment.items():
        if any(word in key for word in ("SECRET", "PASSWORD", "TOKEN")):
            assert value not in text


def test_a_killed_start_is_collected(world: MachineWorld) -> None:
    calls, _ = calls_of_a_start(world)
    for call in calls:
        for kind in KILLS:
            clear(world)
            assert forked_until_killed(world.proxy, call, kind, lambda: start(world)), call
            collect(world)
            if (call.rpartition(" ")[2], kind) in UNTAGGED:
                assert len(world.left()) == 1
                continue
            assert world.left() == [], (call, kind)


def test_an_end_that_fails_is_ended_again(world: MachineWorld) -> None:
    clear(world)
    first = start(world)
    for call in calls_of(world, lambda: end(world, first)):
        for kind in PASSING:
            clear(world)
            machine = start(world)
            world.proxy.expect(Fault(call, world.refusals.get(kind, kind)))
            end(world, machine)
            assert world.left() == [], (call, kind)
        for kind in KILLS:
            clear(world)
            machine = start(world)
            forked_until_killed(world.proxy, call, kind, lambda: end(world, machine))  # noqa: B023
            collect(world)
            assert world.left() == [], (call, kind)
        clear(world)
        machine = start(world)
        world.proxy.expect(Fault(call, world.refusals["403"], once=False))
        with suppress(CloudDenied):
            end(world, machine)
        collect(world)
        assert world.left() == [], call
