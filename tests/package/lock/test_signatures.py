"""Images that a policy wants signed, on a machine that reaches nothing but the lock's parts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from compos.cli.main import main
from tests.image.conftest import StartRegistry
from tests.trust.team import Team

REFUSES = ("--debian-mirror", "http://127.0.0.1:1/debian")


@pytest.mark.slow
def test_signatures_travel_with_the_parts(
    tmp_path: Path, docker_registry: StartRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are judged again where they arrive: another key's policy refuses them."""
    team = Team(tmp_path, docker_registry(), capsys)
    team.push("app")
    team.sign("app")
    system = team.system(team.name("app"))
    policy = ("--policy", str(team.policy(team.signed_by())))
    store = ("--cache", str(tmp_path / "first"))
    parts = ("--mirror-to", f"{team.host}/parts")
    assert main(["lock", *store, *policy, *REFUSES, *parts, str(system)]) == 0, team.printed().err
    shutil.rmtree(tmp_path / "registry/docker/registry/v2/repositories/app")
    assert "error[" not in team.build("--locked", *policy, store="second")
    assert "error[" not in team.build("--locked", *policy, store="second")
    other = team.policy(team.signed_by("stranger"))
    assert "[image-signature]" in team.build("--locked", "--policy", str(other), store="second")
    assert "[image-signature]" in team.build("--locked", "--policy", str(other), store="third")
