"""The picture of `compos dev`'s screen in docs/dev.md: events of a session, as the screen shows
them.

`python docs/dev_screen.py` writes docs/dev.svg; a test compares it.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from pathlib import Path

from compos.cli.dev_screen import DevScreen
from compos.develop import session as events
from compos.develop.decision import Decision
from compos.develop.guest import DevGuest, ServiceState
from compos.errors import RunError

__all__ = ["EVENTS", "PICTURE", "Player", "picture"]

PICTURE = Path(__file__).with_name("dev.svg")
SIZE = (128, 30)

PAGE = "srv/www/index.html"
CONSOLE = """\
compos: boot done at 1.92 s
compos: onboot 000-dhcpcd done at 2.61 s
compos: service clock started at 3.02 s
compos: service web started at 3.09 s
compos: services started (2 of 2) at 3.09 s
"""

EVENTS: tuple[events.Event, ...] = (
    events.Booting({"kernel": 11_700_000, "initrd.img": 27_800_000}),
    events.ConsoleLines(tuple(CONSOLE.splitlines())),
    events.Booted(3.09, 4.57),
    events.Changed(("index.html",)),
    events.Decided(
        Decision((), {}, ("srv/www/index.html",), {"web": ("/srv/www/index.html",)}), 0.06
    ),
    events.FilesPut((PAGE,), ("web",), 0.48),
    events.Changed(("os.yml",)),
    events.Decided(Decision((), {"clock": ("settings",)}), 0.07),
    events.Replaced("clock", 3_190, 0.71),
    events.Services(
        (
            ServiceState("web", "running", "-", 301, 0, None, 21.4),
            ServiceState("clock", "running", "-", 322, 0, None, 42.8),
        )
    ),
)
"""What a session with the system of docs/dev.md tells."""


class Player:
    """Tells events in place of a session."""

    def __init__(
        self, tell: Callable[[events.Event], None], told: tuple[events.Event, ...] = EVENTS
    ) -> None:
        self._tell = tell
        self._told = told
        self._ended = threading.Event()
        self.asked: list[str] = []
        """What was asked of it."""

    @property
    def guest(self) -> DevGuest:
        """There is none."""
        raise RunError("guest-ended", "this is played without a guest")

    def run(self) -> None:
        """Tell all of it, and wait."""
        for event in self._told:
            self._tell(event)
        self._ended.wait()

    def close(self) -> None:
        """End `run`."""
        self._ended.set()

    def rebuild(self) -> None:
        """Note it."""
        self.asked.append("rebuild")

    def restart(self, service: str) -> None:
        """Note it."""
        self.asked.append(f"restart {service}")


async def picture() -> str:
    """The screen after all events, as SVG."""
    screen = DevScreen(Path("os.yml"), Player, "http://127.0.0.1:8080/")
    async with screen.run_test(size=SIZE) as pilot:
        for _ in range(100):
            await pilot.pause(0.05)
            if screen.selected:
                break
        await pilot.pause(0.3)
        found = screen.export_screenshot(title="compos dev")
        await pilot.press("q")
    # Pages load nothing from elsewhere, fonts neither.
    return re.sub(r"\s*@font-face \{.*?\}", "", found, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(asyncio.run(picture()))
