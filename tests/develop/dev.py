"""`compos dev` in a process of its own, with files that somebody edits."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tests.guest import COMPOS, free_port

__all__ = ["PAGE", "SYSTEM", "Dev", "block"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "dev.md").read_text()
PATIENCE = 300.0
"""Seconds: an emulated guest on a busy machine takes its time."""


def block(language: str, name: str) -> str:
    """The page's file `name`."""
    found = re.search(rf"```{language}\n# {re.escape(name)}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


SYSTEM = block("yaml", "os.yml")


class Dev:
    """`compos dev --plain` on `system` in `folder`; its port 80 is at `port`."""

    def __init__(
        self, folder: Path, *options: str, name: str = "dev-test", system: str = SYSTEM
    ) -> None:
        self.folder = folder
        self.name = name
        self.port = free_port()
        (folder / "os.yml").write_text(system)
        (folder / "index.html").write_text("first\n")
        self.log = folder / "dev.log"
        command = [*COMPOS, "dev", "--plain", "--accel", "tcg", "--mem", "512", "--name", name]
        command += ["--publish", f"{self.port}:80", *options, "os.yml"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self._seen = 0

    def __enter__(self) -> Dev:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> int:
        """Ask it to end, as a terminal that is closed does; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    @property
    def text(self) -> str:
        """What it has said."""
        return self.log.read_text(errors="replace")

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until it says `pattern` behind what was expected before."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            runs = self.process.poll() is None
            text = self.text
            if found := re.compile(pattern).search(text, self._seen):
                self._seen = found.end()
                return found
            if not runs:
                break
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} was not said:\n{text[self._seen :][-3000:]}")

    def edit(self, before: str, after: str, name: str = "os.yml") -> None:
        """Replace text in a file, as an editor saves it: by a new file."""
        path = self.folder / name
        text = path.read_text()
        assert before in text, text
        new = path.with_name(f".{name}.new")
        new.write_text(text.replace(before, after))
        new.replace(path)

    def page(self, wanted: str) -> None:
        """Wait until the guest serves the page."""
        deadline = time.monotonic() + PATIENCE
        found = ""
        while time.monotonic() < deadline:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
                connection.request("GET", "/")
                found = connection.getresponse().read(1000).decode(errors="replace")
                connection.close()
            except (OSError, http.client.HTTPException) as error:
                found = repr(error)
            if wanted in found:
                return
            time.sleep(0.01)
        raise AssertionError(f"{wanted!r} is not served, but: {found}\n{self.text[-2000:]}")

    def exec(self, *words: str, service: str = "") -> str:
        """What a command in the guest says, or in a service of its."""
        where = ["--service", service] if service else []
        done = subprocess.run(
            [*COMPOS, "exec", *where, self.name, *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        return done.stdout
