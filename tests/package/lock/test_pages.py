"""The commands in the pages about locks, run in their order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from compos.cli.main import main
from tests.image.conftest import StartRegistry
from tests.package.lock.team import Team

DOCS = Path(__file__).resolve().parents[3] / "docs"
SYSTEM = "init: ['@pkg:tool', 'nginx:1']\n"


def commands(text: str) -> list[str]:
    """The commands in its blocks of shell commands."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.mark.slow
def test_commands(
    team: Team,
    docker_registry: StartRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for key, document in list(team.registry.documents.items()):
        team.registry.documents["library/nginx", key[1]] = document
    machine = team.machine("one")
    monkeypatch.chdir(machine.folder)
    for name, value in {
        "COMPOS_CACHE": str(machine.store),
        "COMPOS_DEBIAN_MIRROR": f"{team.server.url}/debian",
        "LINUXKIT_MIRROR": f"docker.io={team.registry.url}",
    }.items():
        monkeypatch.setenv(name, value)
    host = docker_registry()
    locked = (DOCS / "ci.md").read_text().partition("## Locked\n")[2].partition("\n## ")[0]
    lines = [*commands((DOCS / "lock.md").read_text()), *commands(locked)]
    assert len(lines) == 12
    for line in lines:
        # The archive of the test has packages for one architecture only.
        several = "--arch" in line
        machine.system("init: ['nginx:1']\n" if several else SYSTEM)
        real = line.replace("registry.example", host).replace(
            "https://snapshot.example", team.server.url
        )
        program, *arguments = shlex.split(real, comments=True)
        assert program == "compos"
        assert main(arguments) == 0, (line, capsys.readouterr().err)
        if several:
            machine.system(SYSTEM)
            assert main(["lock", "os.yml"]) == 0
    assert (machine.folder / "os-initrd.img").exists()


def test_every_error_is_explained() -> None:
    """Those of a locked build; what `compos lock` refuses says enough by itself."""
    listed = set(re.findall(r"`(lock-[a-z-]+)`", (DOCS / "lock.md").read_text()))
    sources = Path(__file__).resolve().parents[3] / "src/compos/package/lock"
    raised = {
        name
        for module in ("document", "packages", "sources", "yaml_sources")
        for name in re.findall(r'"(lock-[a-z-]+)"', (sources / f"{module}.py").read_text())
    }
    assert raised - {"lock-unreadable", "lock-package-twice"} <= listed
