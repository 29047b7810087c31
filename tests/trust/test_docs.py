"""docs/trust.md: each of its commands does what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from compos.cli.main import main
from tests.trust.cosign import Cosign
from tests.trust.team import Team

PAGE = Path(__file__).resolve().parents[2] / "docs" / "trust.md"
COMMANDS = re.findall(r"^    ((?:compos|cosign|openssl) .*)$", PAGE.read_text(), re.MULTILINE)


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.xdist_group("debian-mirror")
def test_every_command(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(team.folder)
    monkeypatch.setenv("COMPOS_CACHE", str(team.folder / "signer"))
    team.push("team/app")
    team.system(team.name("team/app"))
    team.build()
    (team.folder / "sbom.json").write_text('{"spdxVersion": "SPDX-2.3"}')
    policy = re.search(r"^    \{\n(?:    .*\n)+", PAGE.read_text(), re.MULTILINE)
    assert policy
    text = policy[0].replace("/etc/containers", str(team.folder))
    (team.folder / "policy.json").write_text(text.replace("registry.example.com", team.host))
    cosign = Cosign(team.folder)
    for command in COMMANDS:
        program, *arguments = shlex.split(command.replace("registry.example.com", team.host))
        if program == "compos":
            assert main(arguments) == 0, command
        elif program == "cosign":
            (cosign.folder / "team.pub").write_bytes((team.folder / "team.pub").read_bytes())
            cosign.registry(*arguments)
        else:
            subprocess.run([program, *arguments], check=True, capture_output=True)
    assert len(COMMANDS) > 10
