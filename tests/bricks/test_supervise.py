"""How init moves services from state to state (`services/supervise.c`), without containers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_driver

pytestmark = pytest.mark.slow

PARTS = (
    *("services/supervise", "services/service", "services/state", "containers/bundle"),
    *("boot/plan", "machine/link", "machine/machine", "machine/mount"),
    *("base/console", "base/failure", "base/files", "base/process", "base/sealed"),
)
HEADER = "compos-plan\t1\nstage\tservices\n"

Run = Callable[..., list[str]]


def service(name: str, *lines: str) -> str:
    return "".join(f"{line}\n" for line in (f"container\t{name}\t/{name}\t", *lines))


@pytest.fixture(scope="module")
def program() -> Path:
    return compile_driver("supervise", parts=PARTS)


@pytest.fixture
def run(program: Path, tmp_path: Path) -> Run:
    """The states of all services after each command."""

    def run(plan: str, *commands: str) -> list[str]:
        (tmp_path / "plan").write_text(HEADER + plan)
        done = subprocess.run(
            [program, tmp_path / "plan", *commands],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stdout.splitlines() if not line.startswith("compos: ")]
        assert [line.partition(":")[0] for line in lines] == list(commands)
        return [line.partition(": ")[2] for line in lines]

    return run


WEB = service("web")
ALWAYS = service("web", "restart\talways\t0")
FOLLOWER = service("db") + service("web", "after\tdb\tstarted\trestart")


def test_stop_and_start(run: Run) -> None:
    commands = ("begin", "stop web", "stop web", "start web", "start web", "restart web")
    states = ["running", "stopped", "stopped", "running", "running", "running"]
    assert run(WEB, *commands) == states


def test_an_end_by_itself(run: Run) -> None:
    assert run(WEB, "begin", "end web", "start web") == ["running", "failed", "running"]
    assert run(ALWAYS, "begin", "end web") == ["running", "running"]


def test_what_cannot_be_created_is_tried_again_as_its_policy_says(run: Run) -> None:
    assert run(WEB, "fail web", "mend web", "start web") == ["failed", "failed", "running"]
    policy = service("web", "restart\ton-failure\t2")
    assert run(policy, "fail web", "mend web", "start web") == ["failed", "failed", "running"]


def test_a_service_that_does_not_listen_is_stopping_until_it_ends(run: Run) -> None:
    commands = ("stubborn web", "stop web", "start web", "kill web")
    assert run(WEB, *commands) == ["running", "stopping", "stopping", "running"]
    assert run(WEB, "stubborn web", "stop web", "kill web") == ["running", "stopping", "stopped"]


def test_a_follower_comes_up_again_however_often_the_other_is_restarted(run: Run) -> None:
    commands = ("stubborn web", "follow web", "follow web", "kill web")
    assert run(FOLLOWER, *commands) == [
        "running running",
        "running stopping",
        "running stopping",
        "running running",
    ]


def test_a_stopped_follower_is_not_started(run: Run) -> None:
    commands = ("stubborn web", "stop web", "follow web", "kill web", "follow web")
    assert run(FOLLOWER, *commands)[2:] == [
        "running stopping",
        "running stopped",
        "running stopped",
    ]


def test_who_waits_in_vain_goes_on_when_that_comes(run: Run) -> None:
    plan = (
        service("db")
        + service("web", "after\tdb\thealthy\t")
        + service("app", "after\tdb\trunning\t")
    )
    commands = ("fail db", "mend db", "start db")
    assert run(plan, *commands) == [
        "failed waiting waiting",
        "failed waiting waiting",
        "running waiting running",
    ]


def test_a_broken_service_answers_no_request(run: Run) -> None:
    plan = service("web", "stop\t99\t0") + service("app", "after\tweb\trunning\t")
    commands = ("begin", "start web", "restart web", "stop web", "shutdown")
    assert run(plan, *commands) == [*["failed waiting"] * 4, "failed stopped"]


def test_all_end_at_shutdown_each_after_those_that_need_it(run: Run) -> None:
    commands = ("stubborn web", "shutdown", "kill web")
    assert run(FOLLOWER, *commands) == ["running running", "running stopping", "stopped stopped"]
    assert run(ALWAYS, "begin", "shutdown") == ["running", "stopped"]


@pytest.mark.parametrize("before", ["begin", "stubborn web", "stop web", "end web"])
def test_a_service_becomes_what_another_plan_says(run: Run, tmp_path: Path, before: str) -> None:
    """Wherever it stands; then it has the other's restart policy."""
    (tmp_path / "plan.next").write_text(HEADER + ALWAYS)
    commands = ("begin", before, "replace web", "replace web", "kill web", "end web")
    assert run(WEB, *commands)[-1] == "running"


BROKEN = {
    "no plan": "",
    "no service": HEADER,
    "a line that is none": HEADER + service("web", "nonsense"),
    "a container of another stage": "compos-plan\t1\nstage\tonboot\n" + WEB,
    "a line in front": HEADER + "disks\n" + WEB,
    "a bad value": HEADER + service("web", "restart\tsometimes\t0"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_it_stays_what_it_is_if_that_cannot_be_used(run: Run, tmp_path: Path, case: str) -> None:
    (tmp_path / "plan.next").write_text(BROKEN[case])
    assert run(WEB, "begin", "replace web", "end web") == ["running", "running", "failed"]


def test_services_come_and_go(run: Run, tmp_path: Path) -> None:
    """What is gone is not found, and comes back in its old place; there is room for one more."""
    (tmp_path / "plan.next").write_text(HEADER + service("db"))
    commands = ("begin", "add db", "drop db", "start db", "add db", "end db", "drop web", "drop db")
    assert run(ALWAYS, *commands) == [
        *("running", "running running", "running", "running", "running running"),
        *("running failed", "failed", ""),
    ]


def test_one_that_is_added_is_replaced_and_waits_as_others(run: Run, tmp_path: Path) -> None:
    (tmp_path / "plan.next").write_text(HEADER + service("db", "after\tweb\tcompleted\t"))
    commands = ("begin", "add db", "replace db", "end web", "drop web", "restart db", "drop db")
    assert run(WEB, *commands) == [
        *("running", "running waiting", "running waiting", "failed waiting"),
        *("running", "running", ""),
    ]


@pytest.mark.parametrize("before", ["begin", "stubborn web", "stop web", "end web", "fail web"])
def test_a_service_is_dropped_wherever_it_stands(run: Run, before: str) -> None:
    states = run(ALWAYS, "begin", before, "drop web", "kill web", "shutdown")
    assert states[-1] in ("", "stopped")
