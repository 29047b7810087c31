"""The simulation of fleets: nothing is sent that nobody receives, and nobody is forgotten."""

from __future__ import annotations

import pytest

from scripts.fleet import (
    ADAPTIVE,
    DAY,
    DOWN,
    EVERY,
    HOUR,
    LOOK,
    SCENARIOS,
    SITE,
    UP,
    Scenario,
    simulate,
)

MACHINES = 2_000


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[one.name for one in SCENARIOS])
def test_every_byte_is_one_that_somebody_gets(scenario: Scenario) -> None:
    outcome = simulate(scenario, MACHINES)
    assert outcome.done[-1] == MACHINES
    assert outcome.done == sorted(outcome.done)
    fetched = MACHINES // SITE if scenario.cached else MACHINES
    looks = MACHINES * LOOK / EVERY * len(outcome.done)
    assert outcome.total == pytest.approx(fetched * scenario.size + looks)
    assert max(outcome.sent) <= UP * 1.001 + MACHINES * LOOK / EVERY
    assert outcome == simulate(scenario, MACHINES)


def test_waves_come_one_after_the_other() -> None:
    waves = ((0, 100), (DAY, 1_000), (3 * DAY, 10_000))
    outcome = simulate(Scenario("waves", waves=waves), MACHINES)
    assert outcome.done[DAY - 1] == pytest.approx(MACHINES * 0.01, rel=0.4)
    assert outcome.done[3 * DAY - 1] == pytest.approx(MACHINES * 0.1, rel=0.2)
    assert DAY * 3 < len(outcome.done) <= DAY * 4 + 5


def test_a_window_is_kept() -> None:
    outcome = simulate(Scenario("window", window=(2 * HOUR, HOUR)), MACHINES)
    assert outcome.done[2 * HOUR - 1] == 0
    assert len(outcome.done) <= 3 * HOUR + 5


def test_a_machine_alone_is_as_fast_as_its_line() -> None:
    outcome = simulate(Scenario("alone", DOWN * 3, together=True), 1)
    assert outcome.minutes(1) == 2
    crowd = simulate(Scenario("crowd", ADAPTIVE * 40, together=True), MACHINES)
    assert len(crowd.done) >= MACHINES * ADAPTIVE * 40 / UP
