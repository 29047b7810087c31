"""What a system may have at most: a build that has more fails, and names the largest reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compos.cli.main import main
from compos.config.load import load
from compos.config.model import Budget
from compos.testing.booted import Booted
from compos.testing.expectations import check_boot
from tests.compose.systems import World
from tests.images import Member, make_image

YAML = """
kernel: {image: 'acme/kernel:1', cmdline: console=ttyS0}
init: ['acme/init:1', 'acme/large:1']
services:
  - name: web
    image: acme/app:1
    capabilities: [CAP_NET_BIND_SERVICE]
  - name: mighty
    image: acme/mighty:1
"""
SIZES = {"large": 300_000, "larger": 500_000, "small": 10, "middle": 100_000}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    import random

    noise = random.Random(1)
    world = World(tmp_path_factory.mktemp("budget"))
    files = [Member(f"lib/{name}", content=noise.randbytes(size)) for name, size in SIZES.items()]
    make_image(world.store, "acme/large:1", [files])
    world.label("acme/mighty:1", {"capabilities": ["CAP_SYS_ADMIN", "CAP_NET_BIND_SERVICE"]})
    return world


def built(
    world: World, capsys: pytest.CaptureFixture[str], budget: str, name: str = "os.yml"
) -> str:
    """Nothing if the system is built, else what is said of it."""
    path = world.folder / name
    path.write_text(f"{YAML}budget:\n  {budget}\n")
    capsys.readouterr()
    line = ["build", *world.flags, "--dir", str(world.folder), str(path)]
    status = main(line)
    printed = capsys.readouterr()
    assert bool(status) == ("error[" in printed.err)
    return printed.err if status else ""


@pytest.mark.parametrize(
    "budget",
    [
        "total: 2m",
        "unpacked: 2m",
        'components: {"init[1]": 900k, kernel: 1m}',
        "boot: 1ms",
        "capabilities: [CAP_SYS_ADMIN, CAP_NET_BIND_SERVICE]",
        "capabilities: [all]",
    ],
)
def test_a_system_within_its_budget(
    world: World, capsys: pytest.CaptureFixture[str], budget: str
) -> None:
    assert built(world, capsys, budget) == ""


@pytest.mark.parametrize("key", ["total", "unpacked"])
def test_the_three_largest_parts_are_named(
    world: World, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    for _ in range(2):  # what failed is not remembered as if it had passed
        error = built(world, capsys, f"{key}: 500k")
        assert "error[budget-exceeded]: the system has 0." in error
        assert "more than its budget of 500k" in error
        assert f"os.yml:11:{len(key) + 5}: budget.{key}" in error
        lines = error.splitlines()
        start = next(number for number, line in enumerate(lines) if "MiB  init[1]" in line)
        assert "docker.io/acme/large:1" in lines[start]
        assert "os.yml:3:23: init[1]" in lines[start]
        assert sum("MiB  " in line for line in lines) == 3


def test_the_largest_files_of_a_part_are_named(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    error = built(world, capsys, 'components: {"init[1]": 500k}')
    assert "init[1] has 0.86 MiB compressed" in error
    named = [line.split()[2] for line in error.splitlines() if "unpacked" in line]
    assert named == ["'/lib/larger',", "'/lib/large',", "'/lib/middle',"]


def test_capabilities_beyond_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    error = built(world, capsys, "capabilities: [CAP_NET_BIND_SERVICE]")
    assert "one container has capabilities beyond the budget" in error
    assert "services[mighty]: CAP_SYS_ADMIN" in error
    assert "services[web]" not in error
    error = built(world, capsys, "capabilities: [none]")
    assert "2 containers have" in error
    assert "services[web]: CAP_NET_BIND_SERVICE" in error
    assert "os.yml:7:19: services[0].capabilities" in error


def test_everything_that_is_exceeded_is_said(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    error = built(world, capsys, "total: 1k\n  unpacked: 1k\n  capabilities: [none]")
    assert error.count("error[budget-exceeded]") == 3


def test_a_part_that_is_not_there(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    error = built(world, capsys, 'components: {"services[wep]": 1m}')
    assert "error[budget-component]" in error
    assert "Did you mean 'services[web]'?" in error


@pytest.mark.parametrize(
    "budget",
    ["total: much", "unpacked: 0", 'components: {"init[0]": 1x}', "boot: soon",
     "capabilities: [CAP_NONE_SUCH]", "totel: 1m"],
)  # fmt: skip
def test_what_is_no_budget(world: World, capsys: pytest.CaptureFixture[str], budget: str) -> None:
    assert "error[config-" in built(world, capsys, budget)


def test_a_later_file_changes_single_limits(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("budget: {total: 60m, boot: 5s}\n")
    (tmp_path / "b.yml").write_text("budget: {total: 50m}\n")
    found = load([str(tmp_path / "a.yml"), str(tmp_path / "b.yml")]).budget
    assert found is not None
    assert (found.total, found.boot) == ("50m", "5s")
    assert found.mark.at("boot").file.endswith("a.yml")
    assert found.mark.at("total").file.endswith("b.yml")


def test_the_system_is_the_same(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Its budget is in no file of it."""
    metadata = "files: [{path: etc/os.yml, metadata: yaml}]\nbudget:"
    (world.folder / "plain.yml").write_text(f"{YAML}{metadata} {{}}\n")
    (world.folder / "budget.yml").write_text(f"{YAML}{metadata} {{total: 9m}}\n")
    outputs = []
    for name in ("plain", "budget"):
        line = ["build", *world.flags, "-f", "tar", "--dir", str(world.folder)]
        assert main([*line, str(world.folder / f"{name}.yml")]) == 0
        outputs.append((world.folder / f"{name}.tar").read_bytes())
    assert outputs[0] == outputs[1]


class Guest(Booted):
    """A booted system whose services are as they are."""

    def __init__(self, **services: tuple[str, float]) -> None:
        self._states = services

    def services(self) -> dict[str, Any]:
        return {
            name: {"state": state, "since": since, "pid": int(state == "running")}
            for name, (state, since) in self._states.items()
        }

    def eventually(self, look: Any, timeout: float = 0) -> Any:
        return look()

    def evidence(self) -> dict[str, str]:
        return {}


@pytest.mark.parametrize(
    ("services", "reason"),
    [
        ({"a": ("running", 1.5), "b": ("exited", 1.9)}, ""),
        ({"a": ("running", 2.5), "b": ("running", 1)}, "after more than 2s: a 2.50 s, b 1.00 s"),
        ({"a": ("running", 1), "b": ("waiting", 0.5)}, "not started: b"),
        ({"a": ("failed", 1)}, "failed: a"),
        ({}, "not started: no service"),
    ],
)
def test_the_time_of_a_boot(services: dict[str, tuple[str, float]], reason: str) -> None:
    outcome = check_boot(Guest(**services), Budget(boot="2s"))
    assert outcome.name == "boot within 2s"
    assert reason in outcome.reason
    assert bool(outcome.reason) == bool(reason)
