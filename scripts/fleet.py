"""How a fleet takes an update: `make fleet` writes docs/fleet.md's table and its picture.

A simulation, minute by minute, of machines that look for updates as the brick `update` does, and of
the server that they ask. Assumptions, all of them:

- MACHINES machines look every EVERY minutes, each at a minute of its own; all are switched on, and
  all take the update at the first look at which the rollout has come to them.
- Which machines are the first is decided as on the machines (`scripts.rollout`).
- A look costs LOOK bytes. An update costs ADAPTIVE bytes (docs/update-bundles.md: measured with a
  changed line) or WHOLE bytes (a machine that has no block of the new images).
- A machine receives at most at DOWN bytes a minute, a server sends at most UP, and shares that
  evenly among its transfers. Latency, lost packets and failed updates cost nothing.
- A site of SITE machines with a cache between them and the server fetches each byte once.
- A window is the same hours for all machines, each of which chooses a minute of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.rollout import WHOLE as EVERYBODY
from scripts.rollout import place

__all__ = ["SCENARIOS", "Outcome", "Scenario", "main", "simulate"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "fleet.md"
PICTURE = PAGE.with_name("fleet.svg")
START = "<!-- The table is written by `make fleet`. -->\n"

MACHINES = 100_000
HOUR, DAY = 60, 1440
"""Minutes."""
EVERY = DAY
LOOK = 1_000
ADAPTIVE = 1_850_000
WHOLE = 75_000_000
MBIT = 125_000 * 60
"""Bytes in a minute of a megabit a second."""
DOWN = 20 * MBIT
UP = 1_000 * MBIT
SITE = 50
VERSION = "1.5.0"
LIMIT = 30 * DAY


class Scenario(NamedTuple):
    """What is done. `waves` are shares of the machines, in ten thousandths, and the minutes from
    which they take the version; `window` the first minute of a day and how many."""

    name: str
    size: int = ADAPTIVE
    waves: tuple[tuple[int, int], ...] = ((0, EVERYBODY),)
    window: tuple[int, int] | None = None
    servers: int = 1
    cached: bool = False
    together: bool = False
    """All look at the same minute, as machines without a random moment would."""


class Outcome(NamedTuple):
    """What comes of it. `done` has the number of machines that have the version after each minute;
    `sent` the bytes that each server has sent in it."""

    done: list[int]
    sent: list[float]
    most: int
    """Transfers of one server in a minute."""
    total: float
    """Bytes that all servers have sent, those of looks included."""

    def minutes(self, share: float) -> int:
        """Until that share of the machines has the version."""
        wanted = share * self.done[-1]
        return next(minute for minute, count in enumerate(self.done) if count >= wanted)


_WAVES = ((0, 100), (DAY, 1_000), (3 * DAY, EVERYBODY))
_NIGHT = (2 * HOUR, 3 * HOUR)

SCENARIOS = (
    Scenario("all at the same minute, whole images", WHOLE, together=True),
    Scenario("all at the same minute", together=True),
    Scenario("each at its own minute, whole images", WHOLE),
    Scenario("each at its own minute", cached=False),
    Scenario("in a window of three hours", window=_NIGHT),
    Scenario("1 %, a day later 10 %, two days later all", waves=_WAVES),
    Scenario("the same, in the window", waves=_WAVES, window=_NIGHT),
    Scenario("the same, from four mirrors", waves=_WAVES, window=_NIGHT, servers=4),
    Scenario("the same, with a cache at each site", waves=_WAVES, window=_NIGHT, cached=True),
)


def simulate(scenario: Scenario, machines: int = MACHINES) -> Outcome:
    """Play a scenario to its end."""
    starts = _starts(scenario, machines)
    fetching = _fetching(scenario, starts)
    looks = machines * LOOK / EVERY / scenario.servers
    active: list[tuple[float, int]] = []
    """Transfers at one server: bytes that each of a group still has to receive, and how many."""
    done: list[int] = []
    sent: list[float] = []
    finished, most = machines - sum(starts.values()), 0
    for minute in range(LIMIT):
        if count := fetching.get(minute):
            active.append((float(scenario.size), count))
        # What a site's cache has, its other machines receive in no time.
        finished += starts.get(minute, 0) - fetching.get(minute, 0)
        number = sum(count for _, count in active)
        most = max(most, number)
        rate = min(DOWN, UP / number * scenario.servers) if number else 0.0
        moved = sum(min(left, rate) * count for left, count in active)
        finished += sum(count for left, count in active if left <= rate)
        active = [(left - rate, count) for left, count in active if left > rate]
        done.append(finished)
        sent.append(moved / scenario.servers + looks)
        if finished == machines:
            break
    total = sum(sent) * scenario.servers
    return Outcome(done, sent, -(-most // scenario.servers), total)


def _starts(scenario: Scenario, machines: int) -> dict[int, int]:
    """How many machines begin at each minute."""
    found: dict[int, int] = {}
    for number in range(machines):
        minute = _start(scenario, f"machine-{number}")
        found[minute] = found.get(minute, 0) + 1
    return dict(sorted(found.items()))


def _start(scenario: Scenario, machine: str) -> int:
    """The first of a machine's looks at which its wave has come."""
    own = place(machine, VERSION)
    opened = next(minute for minute, share in scenario.waves if own < share)
    first, length = scenario.window or (0, EVERY)
    phase = place(machine, "its moment") * length // EVERYBODY
    look = first if scenario.together else first + phase
    return look + -(-max(0, opened - look) // EVERY) * EVERY


def _fetching(scenario: Scenario, starts: dict[int, int]) -> dict[int, int]:
    """How many of them fetch from a server. Which machines are at one site has nothing to do with
    when they begin, so of `n` that have begun, sites * (1 - (1 - 1/sites)^n) have a first one."""
    if not scenario.cached:
        return starts
    sites = max(1, sum(starts.values()) // SITE)
    found, begun, known = {}, 0, 0
    for minute, count in starts.items():
        begun += count
        now = min(sites, round(sites * (1 - (1 - 1 / sites) ** begun)))
        found[minute] = min(count, now - known)
        known += found[minute]
    return found


def _hours(minutes: int) -> str:
    if minutes >= 2 * DAY:
        return f"{minutes / DAY:.1f} d"
    return f"{minutes / HOUR:.1f} h" if minutes >= HOUR else f"{max(1, minutes)} min"


def row(scenario: Scenario, outcome: Outcome) -> str:
    """A line of the table."""
    cells = (
        scenario.name,
        f"{outcome.total / 1e12:.1f} TB"
        if outcome.total > 1e12
        else f"{outcome.total / 1e9:.0f} GB",
        f"{max(outcome.sent) / MBIT:,.0f} Mbit/s",
        f"{outcome.most:,}",
        _hours(outcome.minutes(0.5)),
        _hours(outcome.minutes(1)),
    )
    return f"| {' | '.join(cells)} |"


_COLOURS = ("#c0392b", "#2471a3", "#229954", "#b9770e")


def picture(curves: Sequence[tuple[str, Outcome]]) -> str:
    """Shares of the machines that have the version, by hours."""
    width, height, left, top = 640, 300, 50, 20
    hours = max(len(outcome.done) for _, outcome in curves) / HOUR
    parts = [*_frame(width, height, left, top, hours)]
    for (name, outcome), colour in zip(curves, _COLOURS, strict=True):
        points = [
            (minute / HOUR / hours * width, height - count / outcome.done[-1] * height)
            for minute, count in enumerate(outcome.done)
            if minute % 20 == 0 or minute == len(outcome.done) - 1
        ]
        text = " ".join(f"{left + x:.1f},{top + y:.1f}" for x, y in [*points, (width, 0)])
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{text}"/>')
        at = top + height + 50 + 18 * _COLOURS.index(colour)
        parts.append(f'<text x="{left + 24}" y="{at}">{name}</text>')
        parts.append(f'<path d="M{left} {at - 4}h18" stroke="{colour}" stroke-width="2"/>')
    size = f"{width + left + 20} {top + height + 50 + 18 * len(curves)}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" '
    head += 'font-family="sans-serif" font-size="12" role="img">'
    title = "<title>Share of machines that have the new version, by hours</title>"
    return "\n".join([head, title, *parts, "</svg>"]) + "\n"


def _frame(width: int, height: int, left: int, top: int, hours: float) -> Iterator[str]:
    box = f'x="{left}" y="{top}" width="{width}" height="{height}"'
    yield f'<rect {box} fill="#fff" stroke="#888"/>'
    for share in (0, 25, 50, 75, 100):
        y = top + height - share * height // 100
        yield f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{share} %</text>'
    for hour in range(0, int(hours) + 1, 24):
        x = left + hour / hours * width
        yield f'<text x="{x:.1f}" y="{top + height + 16}" text-anchor="middle">{hour} h</text>'


def main() -> int:
    """Write the table and the picture."""
    outcomes = [(scenario, simulate(scenario)) for scenario in SCENARIOS]
    head = (
        "| how | sent in all | busiest minute of a server | transfers in that minute | half of the "
    )
    head += "machines after | all after |\n|---|---|---|---|---|---|\n"
    table = head + "".join(f"{row(scenario, outcome)}\n" for scenario, outcome in outcomes)
    text = PAGE.read_text()
    before, _, behind = text.partition(START)
    rest = behind[behind.index("\n\n", 1) :]
    PAGE.write_text(before + START + "\n" + table.rstrip("\n") + rest)
    drawn = [(one.name, outcome) for one, outcome in outcomes if not one.together]
    PICTURE.write_text(picture([drawn[number] for number in (0, 1, 3, 4)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
