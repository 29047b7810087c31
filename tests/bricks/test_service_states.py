"""The states of a service in init (`services/state.c`): every state with every event, and every
request in every state."""

from __future__ import annotations

import itertools
import subprocess

import pytest

from tests.bricks.compiler import compile_driver

Transitions = dict[tuple[str, str], str]
Goals = dict[tuple[str, str, str], str]

TRANSITIONS = """
event       waiting   blocked   starting  running   stopping  cleaning  pausing   exited    broken
blocked     blocked   -         -         -         -         -         -         -         -
unblocked   -         waiting   -         -         -         -         -         -         -
start       starting  starting  -         -         -         -         -         -         -
created     -         -         running   -         -         -         -         -         -
stop        -         -         -         stopping  -         -         -         -         -
ended       -         -         cleaning  cleaning  cleaning  -         -         -         -
again       -         -         -         -         -         waiting   waiting   waiting   -
pause       pausing   pausing   -         -         -         pausing   -         -         -
rest        exited    exited    -         -         -         exited    -         -         -
break       broken    -         -         -         -         -         -         -         -
"""

# What a request makes of the goal `run`; `=` leaves the goal as it is, whichever it is.
GOALS = """
request     waiting   blocked   starting  running   stopping  cleaning  pausing   exited    broken
start       run       run       run       run       restart   restart   restart   restart   -
stop        stop      stop      stop      stop      stop      stop      stop      stop      -
restart     run       run       restart   restart   restart   restart   restart   restart   -
follow      =         =         =         restart   =         =         =         =         -
"""


def cells(table: str) -> Transitions:
    """By state and row."""
    (_, *states), *rows = (line.split() for line in table.strip().splitlines())
    return {
        (state, row[0]): cell for row in rows for state, cell in zip(states, row[1:], strict=True)
    }


@pytest.fixture(scope="module")
def tables() -> tuple[Transitions, Goals]:
    program = compile_driver("state", parts=("services/state",))
    done = subprocess.run([program], capture_output=True, text=True, check=True, timeout=30)
    transitions: Transitions = {}
    goals: Goals = {}
    for line in done.stdout.splitlines():
        match line.split():
            case [state, event, to]:
                transitions[state, event] = to
            case [state, goal, request, to]:
                goals[state, goal, request] = to
    return transitions, goals


def test_every_state_with_every_event(tables: tuple[Transitions, Goals]) -> None:
    assert tables[0] == cells(TRANSITIONS)


def test_every_request_in_every_state(tables: tuple[Transitions, Goals]) -> None:
    expected: Goals = {}
    for (state, request), cell in cells(GOALS).items():
        for goal in ("run", "stop", "restart"):
            expected[state, goal, request] = goal if cell == "=" else cell
    # What somebody has stopped is not restarted by what it follows.
    expected["running", "stop", "follow"] = "stop"
    assert tables[1] == expected


def test_every_service_can_end_without_anybodys_help(tables: tuple[Transitions, Goals]) -> None:
    """At shutdown init asks for nothing but an end: from each state there is a way to `exited`
    on which it starts nothing."""
    ways = {
        state: {to for (at, event), to in tables[0].items() if at == state and event != "start"}
        for state, _ in tables[0]
    }
    for state in ways.keys() - {"broken"}:
        reached = {state}
        while more := set().union(*(ways[at] for at in reached)) - reached - {"-"}:
            reached |= more
        assert "exited" in reached, state


def test_a_broken_service_stays_so(tables: tuple[Transitions, Goals]) -> None:
    transitions, goals = tables
    assert {to for (state, _), to in transitions.items() if state == "broken"} == {"-"}
    assert {to for (state, *_), to in goals.items() if state == "broken"} == {"-"}


def test_no_state_is_out_of_reach(tables: tuple[Transitions, Goals]) -> None:
    transitions = tables[0]
    reached = {"waiting"}
    for _ in transitions:
        reached |= {to for (state, _), to in transitions.items() if state in reached} - {"-"}
    assert reached == {state for state, _ in transitions}


def test_a_second_restart_of_what_a_service_follows_changes_nothing(
    tables: tuple[Transitions, Goals],
) -> None:
    """It is on its way down, to come up again: it is not left down."""
    goals = tables[1]
    assert goals["running", "run", "follow"] == "restart"
    for state, request in itertools.product(("stopping", "cleaning"), ("follow", "restart")):
        assert goals[state, "restart", request] == "restart"
