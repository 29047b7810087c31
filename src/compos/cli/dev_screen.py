"""The screen of `compos dev`: services, the boot, what has changed, the console, services' logs.

What comes from the guest is shown as text, letter by letter: neither markup nor anything that moves
a cursor.
"""

from __future__ import annotations

import re
import webbrowser
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Protocol

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import DataTable, Footer, RichLog, Static, TabbedContent, TabPane

from compos import progress
from compos.cli.dev_lines import sentences
from compos.cli.exec import run_in_guest
from compos.cli.text import visible
from compos.develop import session as events
from compos.develop.guest import DevGuest, ServiceState
from compos.errors import CombinedError, ComposError

__all__ = ["DevScreen", "Followed"]

COLUMNS = ("service", "state", "health", "restarts", "exit", "since")
COLOURS = {"running": "green", "failed": "red", "backing-off": "yellow", "starting": "cyan"}
LINES = 5_000
"""Lines of the console and of changes that are kept."""
ASK = 2.0
"""Seconds between looks at the log that is shown."""
STEP = re.compile(r"compos: (.{1,60}?) at ([\d.]+) s$")
STEPS = 12
"""Steps of the boot that are shown: the last ones."""
MARKS = {
    events.Failed: "red",
    events.Decided: "yellow",
    events.Replaced: "green",
    events.Removed: "green",
    events.FilesPut: "green",
    events.Booted: "green",
}


class Followed(Protocol):
    """What the screen drives: a session."""

    @property
    def guest(self) -> DevGuest:
        """The guest."""

    def run(self) -> None:
        """Go on until `close` is called."""

    def close(self) -> None:
        """End `run`."""

    def rebuild(self) -> None:
        """Build and boot anew."""

    def restart(self, service: str) -> None:
        """Restart a service."""


class Told(Message):
    """An event of the session's."""

    def __init__(self, event: events.Event) -> None:
        super().__init__()
        self.event = event


class DevScreen(App[ComposError | None]):
    """The screen; it returns the error that has ended the session, if one has. `start` makes the
    session, which tells its events to the function that it gets; `address` is what `o` opens."""

    TITLE = "compos dev"
    CSS = """
    #left { width: 52; }
    #services { height: 1fr; border: round $primary; }
    #boot { height: auto; max-height: 50%; border: round $primary; padding: 0 1; }
    #status { height: 1; padding: 0 1; background: $panel; }
    TabbedContent { width: 1fr; }
    RichLog { scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "restart_service", "Restart"),
        Binding("s", "shell", "Shell"),
        Binding("b", "rebuild", "Rebuild"),
        Binding("o", "open", "Open"),
        Binding("q", "leave", "Quit"),
        Binding("ctrl+c", "leave", "Quit", show=False),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self,
        source: Path,
        start: Callable[[Callable[[events.Event], None]], Followed],
        address: str = "",
    ) -> None:
        super().__init__()
        self._source = source
        self._folder = source.parent.absolute()
        self._address = address
        self._session = start(self.tell)
        self._steps: deque[tuple[str, str]] = deque(maxlen=STEPS)
        self._sizes: dict[str, int] = {}
        self._states: tuple[ServiceState, ...] = ()
        self._leaving = False

    def tell(self, event: events.Event) -> None:
        """Take an event, from any thread."""
        self.post_message(Told(event))

    def compose(self) -> ComposeResult:
        """The widgets."""
        yield Static(id="status", markup=False)
        with Horizontal():
            with Vertical(id="left"):
                table: DataTable[Text] = DataTable(id="services", cursor_type="row")
                table.add_columns(*COLUMNS)
                yield table
                yield Static(id="boot", markup=False)
            with TabbedContent():
                for name in ("changes", "console", "log"):
                    with TabPane(name, id=f"tab-{name}"):
                        yield RichLog(id=name, max_lines=LINES, wrap=True, markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin."""
        self._status("building")
        self.set_interval(ASK, self._ask_log)
        self.run_worker(self._follow, thread=True, exit_on_error=False, name="session")

    def _follow(self) -> None:
        error = None
        try:
            # The terminal is the screen's: what is told of progress would be printed into it.
            with progress.listening(progress.Silent()):
                self._session.run()
        except ComposError as found:
            error = found
        self.call_from_thread(self.exit, error)

    def on_told(self, told: Told) -> None:
        """Show an event."""
        event = told.event
        match event:
            case events.ConsoleLines(lines):
                self._console(lines)
            case events.Services(states):
                self._services(states)
            case events.Booting(sizes):
                self._steps.clear()
                self._sizes = sizes
                self._services(())
                self._boot()
                self._status("booting")
                self._pane("changes").write(self._sentence(event))
            case events.Failed(error):
                self._status("an error; the guest goes on")
                for text in _error_lines(error):
                    self._pane("changes").write(Text(text, style="red"))
            case _:
                self._pane("changes").write(self._sentence(event))
                if isinstance(event, events.Changed):
                    self._status("building")
                elif isinstance(event, events.Ended):
                    self._status("the guest has ended")
                elif not isinstance(event, events.Decided):
                    self._status("running")

    def _sentence(self, event: events.Event) -> Text:
        style = MARKS.get(type(event), "")
        return Text("\n".join(sentences(event, self._folder)), style=style)

    def _pane(self, name: str) -> RichLog:
        return self.query_one(f"#{name}", RichLog)

    def _status(self, text: str) -> None:
        shown = [visible(self._source.name), text, self._address]
        self.query_one("#status", Static).update(
            Text(" · ".join(filter(None, shown)), style="bold")
        )

    def _console(self, lines: tuple[str, ...]) -> None:
        log = self._pane("console")
        for line in map(visible, lines):
            log.write(Text(line, style="bold" if line.startswith("compos: ") else ""))
            if found := STEP.search(line):
                self._steps.append((found[2], found[1]))
                self._boot()

    def _boot(self) -> None:
        lines = [f"{name}: {size / 1e6:.1f} MB" for name, size in self._sizes.items()]
        lines += [f"{seconds:>7} s  {what}" for seconds, what in self._steps]
        self.query_one("#boot", Static).update(Text("\n".join(lines)))

    def _services(self, states: tuple[ServiceState, ...]) -> None:
        self._states = states
        table = self.query_one("#services", DataTable)
        row = table.cursor_row
        table.clear()
        for one in states:
            code = "" if one.exit is None else str(one.exit)
            cells = (one.name, one.state, one.health, str(one.restarts), code, f"{one.since:.1f} s")
            style = COLOURS.get(one.state, "")
            texts = [Text(visible(cell).replace("\n", " ")[:40]) for cell in cells]
            texts[1].stylize(style)
            table.add_row(*texts)
        table.move_cursor(row=min(row, max(len(states) - 1, 0)))

    @property
    def selected(self) -> str:
        """The service under the cursor; empty without any."""
        row = self.query_one("#services", DataTable).cursor_row
        return self._states[row].name if 0 <= row < len(self._states) else ""

    def _ask_log(self) -> None:
        if self.query_one(TabbedContent).active == "tab-log" and (name := self.selected):
            self.run_worker(lambda: self._read_log(name), thread=True, exclusive=True, group="log")

    def _read_log(self, name: str) -> None:
        with suppress(ComposError, OSError):
            text = self._session.guest.log(name)
            self.call_from_thread(self._show_log, name, text)

    def _show_log(self, name: str, text: str) -> None:
        log = self._pane("log")
        log.clear()
        log.write(Text(visible(name), style="bold"))
        log.write(Text(visible(text)))

    def action_restart_service(self) -> None:
        """Restart the service under the cursor."""
        if self.selected:
            self._session.restart(self.selected)

    def action_rebuild(self) -> None:
        """Build and boot anew."""
        self._status("building")
        self._session.rebuild()

    def action_open(self) -> None:
        """Open what the guest publishes in the browser."""
        if self._address:
            webbrowser.open(self._address)
        else:
            self.notify("Publish a port to open it: --publish 8080:80")

    def action_shell(self) -> None:
        """A shell in the service under the cursor, on the whole terminal."""
        if not self.selected:
            return
        with self.suspend():
            try:
                guest = self._session.guest.guest
                run_in_guest(guest, ("/bin/sh",), service=self.selected, terminal=True)
            except ComposError as error:
                print(visible(str(error)))  # noqa: T201  the screen is away
                input("enter: ")

    def action_leave(self) -> None:
        """End the guest, and the screen when that has ended."""
        if not self._leaving:
            self._leaving = True
            self._status("ending")
            self._session.close()


def _error_lines(error: ComposError) -> list[str]:
    lines = []
    for one in error.errors if isinstance(error, CombinedError) else (error,):
        lines.append(visible(f"error[{one.id}]: {one.message}"))
        lines += [visible(f"  --> {one.place}")] if one.place else []
        lines += [visible(one.excerpt.rstrip("\n"))] if one.excerpt else []
        lines += [visible(f"hint: {one.hint}")] if one.hint else []
    return lines
