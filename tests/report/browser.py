"""Chromium without a window, spoken to by its own protocol over pipes: no driver, no port.

Source: Chrome DevTools Protocol, --remote-debugging-pipe: messages in JSON, each ended by a NUL, are
read by the browser from descriptor 3 and written to descriptor 4.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["CHROMIUM", "Browser", "browser"]

CHROMIUM = shutil.which("chromium") or ""
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
)
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    """One page. `events` has what the browser has told: exceptions, messages, requests."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session = ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method. Raises `AssertionError` for its error."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer)
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._reader, 1 << 16)
            assert data, "the browser has ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found

    def open(self, path: Path) -> None:
        """Open a file, and wait until its script has run."""
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        for _ in range(400):
            if self.value("document.documentElement?.dataset.ready || ''") == "yes":
                return
            self.value("new Promise((done) => setTimeout(done, 50))")
        raise AssertionError(f"the page is not ready: {self.events}")

    def value(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def look(self, width: int, height: int, *, dark: bool = False, media: str = "") -> None:
        """Have a window of this size, a scheme of colours, and a medium (`print`)."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.value("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")

    def key(self, name: str) -> None:
        """Press a key."""
        code = KEYS[name]
        text = {"text": "\r"} if name == "Enter" else {}
        common = {"key": name, "code": name, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of an element."""
        x, y = self.value(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect(); return [box.left + box.width / 2, box.top + 9]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        """Write what the window shows."""
        found = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(found["data"]))

    def complaints(self) -> list[dict[str, Any]]:
        """Exceptions, and messages of the console and the browser, so far."""
        self.value("0")
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [one for one in self.events if one.get("method") in kinds]

    def requests(self) -> list[str]:
        """Addresses that the page has asked for, so far."""
        return [
            one["params"]["request"]["url"]
            for one in self.events
            if one.get("method") == "Network.requestWillBeSent"
        ]


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with its files in `folder`."""
    to_it, ours_out = os.pipe()
    ours_in, from_it = os.pipe()

    def place() -> None:
        # Beyond the numbers that they shall have: one may have the other's.
        first, second = (
            fcntl.fcntl(to_it, fcntl.F_DUPFD, 10),
            fcntl.fcntl(from_it, fcntl.F_DUPFD, 10),
        )
        os.dup2(first, 3)
        os.dup2(second, 4)

    line = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            line, preexec_fn=place, close_fds=False, stdout=log, stderr=log, start_new_session=True
        )
    os.close(to_it)
    os.close(from_it)
    try:
        yield Browser(ours_in, ours_out)
    finally:
        process.kill()
        process.wait()
        os.close(ours_in)
        os.close(ours_out)
