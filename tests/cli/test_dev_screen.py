"""The screen of `compos dev`: keys, hostile text, and the picture in the documentation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from compos.cli.dev_lines import sentences
from compos.cli.dev_screen import DevScreen
from compos.develop import session as events
from compos.develop.decision import Decision
from compos.develop.guest import ServiceState
from compos.errors import ConfigError
from docs.dev_screen import EVENTS, PICTURE, Player, picture

HOSTILE = "\x1b]0;owned\x07\x1b[2J[red]not markup[/red] \u202e \x9b31m"


def on_screen(
    told: tuple[events.Event, ...],
    look: Callable[[DevScreen, Player, Pilot[Any]], Coroutine[Any, Any, None]],
) -> None:
    async def run() -> None:
        players: list[Player] = []

        def start(tell: Callable[[events.Event], None]) -> Player:
            players.append(Player(tell, told))
            return players[0]

        screen = DevScreen(Path("os.yml"), start)
        async with screen.run_test(size=(128, 30)) as pilot:
            try:
                await until(pilot, lambda: bool(screen.selected))
                await look(screen, players[0], pilot)
                await pilot.press("q")
                await pilot.pause(0.1)
            finally:
                # Its thread would be waited for, without an end.
                for player in players:
                    player.close()

    asyncio.run(run())


async def until(pilot: Pilot[Any], holds: Callable[[], bool]) -> None:
    """Wait until something holds, as long as a busy machine may take."""
    for _ in range(600):
        if holds():
            return
        await pilot.pause(0.05)


def shown(screen: DevScreen) -> str:
    return screen.export_screenshot()


@pytest.mark.slow
def test_keys_ask_the_session() -> None:
    async def look(screen: DevScreen, player: Player, pilot: Pilot[Any]) -> None:
        assert screen.selected == "web"
        await pilot.press("r", "down", "r", "b")
        await until(pilot, lambda: len(player.asked) == 3)
        assert player.asked == ["restart web", "restart clock", "rebuild"]

    on_screen(EVENTS, look)


@pytest.mark.slow
def test_what_the_guest_says_is_text() -> None:
    """In names of services, states, on the console, in errors: no escape, no markup."""
    told = (
        events.ConsoleLines((HOSTILE, f"compos: {HOSTILE} at 1.00 s")),
        events.Failed(ConfigError("config-test", HOSTILE, place=HOSTILE, hint=HOSTILE)),
        events.Changed((HOSTILE,)),
        events.Services((ServiceState(HOSTILE, HOSTILE, HOSTILE, 1, 2, 3, 4.0),)),
    )

    async def look(screen: DevScreen, player: Player, pilot: Pilot[Any]) -> None:
        for tab in ("changes", "console", "log"):
            screen.query_one("TabbedContent").active = f"tab-{tab}"  # type: ignore[attr-defined]
            await pilot.pause(0.1)
            text = shown(screen)
            for letter in ("\x1b", "\x07", "\x9b", "\u202e"):
                assert letter not in text
        await until(pilot, lambda: "[red]not" in shown(screen).replace("&#160;", " "))
        assert "[red]not" in shown(screen).replace("&#160;", " ")
        for widget in screen.query("RichLog"):
            for line in widget.lines:  # type: ignore[attr-defined]
                assert "\x1b" not in line.text

    on_screen(told, look)


def test_lines_are_text() -> None:
    decision = Decision((), {HOSTILE: (HOSTILE,)}, (HOSTILE,), {HOSTILE: (HOSTILE,)})
    told: tuple[events.Event, ...] = (
        events.Changed((HOSTILE,)),
        events.Decided(decision, 1.0),
        events.Decided(Decision((HOSTILE,)), 1.0),
        events.FilesPut((HOSTILE,), (HOSTILE,), 1.0),
        events.Replaced(HOSTILE, 1, 1.0),
        events.Removed(HOSTILE, 1.0),
        events.Services((ServiceState(HOSTILE, HOSTILE, HOSTILE, 1, 2, 3, 4.0),)),
    )
    for event in told:
        found = sentences(event, Path("/"))
        assert found
        assert all(line.isprintable() for line in found), found


def test_each_event_has_its_sentence() -> None:
    said = [line for event in EVENTS for line in sentences(event, Path.cwd())]
    assert said == [
        "booting: kernel 11.7 MB, initrd.img 27.8 MB",
        "services started 3.09 s after the kernel (4.57 s)",
        "changed: index.html",
        "restart web: sees /srv/www/index.html (0.06 s)",
        "in place: /srv/www/index.html, web restarted (0.48 s)",
        "changed: os.yml",
        "replace clock: settings (0.07 s)",
        "clock runs as its new version: 3190 bytes sent (0.71 s)",
        "services: web running, clock running",
    ]
    assert sentences(events.Ended(), Path())[0].startswith("the guest has ended")
    assert sentences(events.Rebooted(), Path()) == ["the guest has booted anew by itself"]
    assert "console=ttyAMA0" in sentences(events.Silent("ttyAMA0"), Path())[0]
    assert sentences(events.Unchanged(0.1), Path()) == ["nothing to do (0.10 s)"]


@pytest.mark.slow
def test_the_picture_is_what_its_script_makes() -> None:
    """`python docs/dev_screen.py` writes it."""
    assert asyncio.run(picture()) == PICTURE.read_text()
