"""The commands in the page about CI, those of its part about the cache, run in their order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from compos.cli.main import main
from tests.image.conftest import StartRegistry, docker_registry
from tests.remote.site import Site
from tests.trust.pairs import require_cryptography

__all__ = ["docker_registry"]

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.slow
def test_commands(
    docker_registry: StartRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    require_cryptography()
    site = Site(tmp_path, docker_registry())
    monkeypatch.chdir(tmp_path)
    Path("os.yml").write_text(site.yaml())
    cached = (DOCS / "ci.md").read_text().partition("\n## Cached\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", cached, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) == 3
    made = []
    for number, line in enumerate(lines):
        monkeypatch.setenv("COMPOS_CACHE", str(tmp_path / f"store{number}"))
        program, *arguments = shlex.split(
            line.replace("registry.example", site.host), comments=True
        )
        assert program == "compos"
        extra = ["--arch", "amd64"] if arguments[0] == "build" else []
        assert main([*arguments, *extra]) == 0, (line, capsys.readouterr().err)
        said = capsys.readouterr().err
        assert "WARNING" not in said
        if extra:
            made.append(Path("os-initrd.img").read_bytes())
    assert made[0] == made[1]
    assert "results" in said
