"""The plugin of pytest's: the fixture `booted` is a running guest, one for all tests of a system.

    @pytest.mark.compos("os.yml", memory=512)
    def test_page(booted):
        assert "Hello" in booted.http(80).text

Whatever fails gets the end of the console, the services, and their logs. Imported by every pytest
of an environment that has compos: it imports nothing more until a test asks for a guest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from compos.testing.booted import Booted, Snapshot

__all__: list[str] = []

_USED = pytest.StashKey[list["Booted"]]()
"""The guests that a test has used."""
_STATES = pytest.StashKey[dict["Booted", "Snapshot"]]()
"""The state of each guest of fresh tests after its boot."""
_FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--compos-keep`, `--compos-accel` and `compos_system`."""
    group = parser.getgroup("compos", "systems of compos's")
    group.addoption(
        "--compos-keep",
        action="store_true",
        help="leave guests running if a test has failed, to look around (compos ps)",
    )
    group.addoption("--compos-accel", default="", help="QEMU's accelerator for guests")
    parser.addini("compos_system", "the system of tests that name none", default="")


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line(
        "markers",
        "compos(system, **machine): the YAML or built system that the fixture `booted` boots; "
        "fields of compos.testing.Machine; fresh=True puts it back into its state after the boot "
        "before each test",
    )


@pytest.fixture(scope="session")
def compos_boot(request: pytest.FixtureRequest) -> Iterator[Callable[..., Booted]]:
    """Boots a system with fields of `Machine`; asked again for the same, gives the same guest."""
    from compos.testing.booted import Machine, boot

    config = request.config
    guests: dict[str, Booted] = {}

    def keep() -> bool:
        return bool(config.getoption("--compos-keep")) and config.stash.get(_FAILED, False)

    with ExitStack() as stack:

        def booted(system: str | Path, **machine: Any) -> Booted:
            path = Path(config.rootpath, system)
            key = repr((path, sorted(machine.items())))
            if key not in guests or not guests[key].guest.is_running():
                machine.setdefault("accelerator", config.getoption("--compos-accel"))
                if config.getoption("--compos-keep"):
                    # Workers of pytest-xdist have guests of their own.
                    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
                    folder = "-".join([path.stem, "test-state", *([worker] if worker else [])])
                    machine.setdefault("state", path.with_name(folder))
                guests[key] = stack.enter_context(boot(path, Machine(**machine), keep=keep))
            return guests[key]

        yield booted


@pytest.fixture
def booted(request: pytest.FixtureRequest, compos_boot: Callable[..., Booted]) -> Booted:
    """The guest of the marker `compos`, or of the setting `compos_system`; with `fresh=True` in the
    state in which it was when all services had been started."""
    marker = request.node.get_closest_marker("compos")
    system = marker.args[0] if marker and marker.args else request.config.getini("compos_system")
    if not system:
        pytest.fail('no system: use @pytest.mark.compos("os.yml"), or set compos_system', False)
    machine = dict(marker.kwargs) if marker else {}
    fresh = machine.pop("fresh", False)
    guest = compos_boot(system, **machine, **({"snapshots": True} if fresh else {}))
    if fresh:
        _refresh(request, guest)
    request.node.stash.setdefault(_USED, []).append(guest)
    return guest


def _refresh(request: pytest.FixtureRequest, guest: Booted) -> None:
    """Put a guest back into the state that the first test of it found."""
    states = request.session.stash.setdefault(_STATES, {})
    if guest in states:
        guest.restore(states[guest])
    else:
        guest.started()
        states[guest] = guest.snapshot()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what its guest has said."""
    report = yield
    if report.failed and call.when == "call":
        for guest in item.stash.get(_USED, []):
            item.config.stash[_FAILED] = True
            for title, text in guest.evidence().items():
                report.sections.append((f"{title} of {guest.name}", text))
    return report
