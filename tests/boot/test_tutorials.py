"""Every tutorial of the documentation is followed to its end, in an empty folder, as its reader
would: the files are written, the commands run, the guests booted, and what is printed compared."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.boot.conftest import ROOT
from tests.docs.tutorial import TUTORIALS, Commands, Console, File, Output, pattern, steps
from tests.guest import Guest, free_port
from tests.machine import leave_out

pytestmark = [
    pytest.mark.boot,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.xdist_group("boot"),
]

PAGES = {
    "brick": (),
    "dockerfile": ("buildah", "curl"),
    "edge-device": (),
    "first-hour": (),
    "netboot": ("curl", "dnsmasq"),
    "web-server": ("curl",),
}
"""Each page, and the programs besides QEMU that its reader installs."""
LONG = ("edge-device", "netboot")
"""Those of `make wide`."""

BOOT = "compos run qemu "
PUBLISHED = "8080"
"""The tutorials' port, in whose place the test takes one that is free."""


class Reader:
    """Somebody who follows a tutorial in `folder`, with one terminal for the guest's console and
    one for commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tutorial"
        self.folder.mkdir()
        self._state = folder
        self._port = str(free_port())
        self._environment = _environment(folder)
        self._printed = ""
        self._booted = False
        self._guests: list[Guest] = []
        self._background: list[int] = []

    def take(self, step: File | Commands | Console | Output) -> None:
        """Take one step; fails where the page does not say what happens."""
        match step:
            case File():
                path = self.folder / step.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(step.contents)
            case Commands():
                self._run(step.text.replace(PUBLISHED, self._port))
            case Console():
                self._type(step)
            case Output():
                self._compare(step.text)

    def leave(self) -> None:
        """End the guest that runs, if any, as by ctrl-a x."""
        for guest in self._guests:
            guest.__exit__(None, None, None)
        self._guests.clear()

    def end(self) -> None:
        """Leave, and end what commands have left in the background."""
        self.leave()
        for group in self._background:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)

    def _run(self, text: str) -> None:
        """Shell commands; a guest that they boot comes last."""
        commands, boots, guest = text.partition(BOOT)
        # Fetching is repeated: a service that has just started may not listen yet, and nobody types
        # that fast. Later blocks have the variables that earlier ones have exported.
        script = (
            "set -e\n"
            "curl() { command curl --silent --show-error --retry 30 --retry-delay 1"
            ' --retry-all-errors "$@"; }\n'
            f"{commands}\n"
            f"export -p > '{self._state}/variables'\n"
        )
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        if commands.rstrip().endswith("&"):
            self._background.append(shell.pid)
        self._printed = shell.communicate()[0]
        assert shell.returncode == 0, f"{commands}\n{self._printed}"
        self._environment["BASH_ENV"] = f"{self._state}/variables"
        self._booted = bool(boots)
        if boots:
            self._boot(shlex.split(guest))

    def _boot(self, arguments: list[str]) -> None:
        self.leave()
        *options, path = arguments
        state = ("--state", str(self._state / "state"))
        log = self._state / "console.log"
        self._guests.append(Guest(path, *options, *state, log=log, folder=self.folder))

    def _type(self, step: Console) -> None:
        (guest,) = self._guests
        guest.prompt()
        if step.command == "poweroff":
            assert guest.power_off() == 0
            self.leave()
        elif step.command == "reboot":
            guest.type("reboot\n")
        else:
            printed = guest.run(step.command)
            assert re.search(pattern(step.output), printed), f"{step}\n{printed}"

    def _compare(self, shown: str) -> None:
        if self._booted:
            self._guests[0].expect(pattern(shown), 180)
        else:
            assert re.search(pattern(shown), self._printed), f"{shown}\n{self._printed}"


def _environment(folder: Path) -> dict[str, str]:
    """This process's, with this checkout's `compos` in the path, and Buildah's images in
    `folder`."""
    programs = folder / "bin"
    programs.mkdir()
    plugin = "-p compos.testing.pytest_plugin"  # wherever this checkout is not installed
    for name, module in (("compos", "compos"), ("pytest", f"pytest {plugin}")):
        command = programs / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        command.chmod(0o755)
    storage = folder / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    )
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([f"{ROOT}/src", os.environ.get("PYTHONPATH", "")]),
        "CONTAINERS_STORAGE_CONF": str(storage),
    }


@pytest.mark.root  # Buildah as an ordinary user needs ranges of user ids
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.wide if page in LONG else ()) for page in PAGES],
)
def test_tutorial(page: str, tmp_path: Path) -> None:
    for tool in PAGES[page]:
        if shutil.which(tool) is None:
            leave_out(f"tools: {tool} is not installed (make packages)")
    reader = Reader(tmp_path)
    try:
        for step in steps((TUTORIALS / f"{page}.md").read_text()):
            reader.take(step)
    finally:
        reader.end()


def test_every_tutorial_is_followed() -> None:
    assert set(PAGES) == {path.stem for path in TUTORIALS.glob("*.md")} - {"README"}
