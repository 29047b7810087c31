"""What a session says and does before there is a guest; guests are in tests/boot/test_dev.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from compos.api.composed import InspectOptions
from compos.api.options import ImageOptions
from compos.cli.main import main
from compos.develop.guest import ServiceState
from compos.develop.system import Source
from compos.develop.watch import Watched
from compos.errors import ComposError


def made_of(path: Path) -> list[tuple[Watched, bool]]:
    """What is told of the parts of the system at `path`."""
    told: list[tuple[Watched, bool]] = []
    options = InspectOptions(images=ImageOptions(cache=path.parent / "store"))
    source = Source(path, options, lambda found, whole: told.append((found, whole)))
    with pytest.raises(ComposError):
        source.compose()
    return told


def test_what_a_system_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The YAML, what it includes, files, packages, images of this machine; told before the first
    image is looked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "build.yml").write_text("image: pkg\norg: acme\n")
    (tmp_path / "image").mkdir()
    (tmp_path / "more.yml").write_text("files: [{path: b, source: given}]\n")
    (tmp_path / "os.yml").write_text(
        "include: [more.yml]\ninit: ['@pkg:pkg']\n"
        "services: [{name: a, image: 'oci:image'}]\n"
        "files: [{path: a, source: absent, optional: true}, {path: c, contents: x}]\n"
    )
    [(found, whole)] = made_of(tmp_path / "os.yml")
    assert whole
    assert {path.name for path in found.files} == {"os.yml", "more.yml", "given", "absent"}
    assert {path.name for path in found.folders} == {"pkg", "image"}


def test_yaml_with_an_error_says_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "os.yml").write_text("include: [absent.yml]\n")
    [(found, whole)] = made_of(tmp_path / "os.yml")
    assert not whole
    assert {path.name for path in found.files} == {"os.yml", "absent.yml"}


def test_without_the_extra_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    (tmp_path / "os.yml").write_text("init: []\n")
    assert main(["dev", str(tmp_path / "os.yml")]) == 1
    said = capsys.readouterr().err
    assert "error[extra-missing]" in said
    assert "pip install 'compos-linux[dev]'" in said


HOSTILE: tuple[object, ...] = (
    None,
    [],
    {},
    {"name": "a"},
    {"name": "a", "state": "b", "health": None, "pid": [], "restarts": 0, "exit": 0, "since": 0},
    {"name": "a", "state": "b", "health": None, "pid": 0, "restarts": 0, "exit": 0, "since": "x"},
)


@pytest.mark.parametrize("value", HOSTILE)
def test_states_that_are_none(value: object) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        ServiceState.of(value)


def test_a_state() -> None:
    value = {"name": "n" * 10_000, "state": "running", "health": None, "pid": 3, "restarts": 1}
    state = ServiceState.of({**value, "exit": None, "since": 1.5})
    assert (state.state, state.health, state.pid, state.exit) == ("running", "-", 3, None)
    assert len(state.name) < 5_000
