"""The commands of docs/packages.md, run as they stand there: with buildah, an engine's BuildKit at the
daemon's address, and a registry in the place of the example's."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.platform import Platform
from tests.engines import Engine, buildkit_socket
from tests.image.conftest import StartRegistry
from tests.package.builders.test_builders import use

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.xdist_group("docker"),
]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "packages.md"
ADDRESS = "unix:///run/buildkit/buildkitd.sock"
REGISTRY = "registry.example.com"


def commands() -> Iterator[str]:
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            yield line.partition("  #")[0].strip()


@pytest.fixture
def ssh_agent(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "agent.sock"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    yield str(path)
    agent.terminate()
    agent.wait()


def test_every_command(
    engine_of_trixie: Engine,
    docker_registry: StartRegistry,
    ssh_agent: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry = docker_registry()
    folder = tmp_path / "tree"
    (folder / "hello").mkdir(parents=True)
    (folder / "hello" / "build.yml").write_text(
        f"image: hello\norg: {registry}/team\narches: [{Platform.host().architecture}]\n"
    )
    (folder / "hello" / "Dockerfile").write_text("FROM scratch\nCOPY build.yml /etc/hello\n")
    (folder / "os.yml").write_text('init: ["@pkg:./hello"]\n')
    for step in ("init -q", "add .", "-c user.name=x -c user.email=x commit -qm x"):
        subprocess.run(["git", *step.split()], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    isolation = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
    settings = {"COMPOS_CACHE": str(tmp_path / "store"), "COMPOS_BUILDER": "buildah"}
    use(monkeypatch, {**engine_of_trixie.environment, **isolation, **settings})
    use(monkeypatch, {"TOKEN": "x", "SSH_AUTH_SOCK": ssh_agent, "DOCKER_HOST": "unix:///nowhere"})
    found = list(commands())
    assert len(found) > 8
    with buildkit_socket(engine_of_trixie, tmp_path / "b.sock") as address:
        for line in found:
            run = line.replace(ADDRESS, address).replace(REGISTRY, registry)
            program, *arguments = shlex.split(run)
            assert program == "compos", line
            if "--builder" in arguments:
                arguments.append("--force")
            assert main(arguments) == 0, f"{line}\n{capsys.readouterr().err}"
