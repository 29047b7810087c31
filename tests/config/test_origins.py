"""`compos config`: what is printed means the same when read again, and every value's place is
right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from compos.config.dump import resolved_json, resolved_yaml
from compos.config.load import load
from compos.config.origins import origins
from compos.config.variables import Variable

ROOT = Path(__file__).parents[2]
SYSTEMS = [*sorted((ROOT / "examples").glob("*.yml"))]

BASE = """\
variables: {TAG: v1}
kernel:
  image: k:${TAG}
  cmdline: console=${CONSOLE:-ttyS0}
init: [i]
arch:
  arm64:
    kernel: {cmdline: console=ttyAMA0}
"""
OS = """\
include: [base.yml]
services:
  - name: web
    image: w
    readonly: false
    binds: []
    sysctl: {a.b: "1"}
    mounts:
      - {type: bind, source: /a, destination: /b, options: [ro]}
    resources: {memory: {limit: 5}}
files:
  - path: etc/x
    contents: |
      a
      # not a comment
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "base.yml").write_text(BASE)
    (tmp_path / "os.yml").write_text(OS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_places(folder: Path) -> None:
    config = load(["os.yml"], architecture="arm64", variables={"TAG": Variable("v2", "--set")})
    text = resolved_yaml(config, with_origins=True)
    assert text.splitlines() == [
        "kernel:",
        "  image: k:v2  # base.yml:3 (TAG from --set)",
        "  cmdline: console=ttyAMA0  # base.yml:8",
        "init:",
        "- i  # base.yml:5",
        "services:",
        "- name: web  # os.yml:3",
        "  image: w  # os.yml:4",
        "  mounts:",
        "  - destination: /b  # os.yml:9",
        "    type: bind  # os.yml:9",
        "    source: /a  # os.yml:9",
        "    options:",
        "    - ro  # os.yml:9",
        "  binds: []  # os.yml:6",
        "  readonly: false  # os.yml:5",
        "  resources:",
        "    memory:",
        "      limit: 5  # os.yml:10",
        "  sysctl:",
        '    a.b: "1"  # os.yml:7',
        "files:",
        "- path: etc/x  # os.yml:12",
        "  contents: |  # os.yml:13",
        "    a",
        "    # not a comment",
    ]


def test_defaults_of_variables_are_told(folder: Path) -> None:
    text = resolved_yaml(load(["os.yml"]), with_origins=True)
    assert "console=ttyS0  # base.yml:4 (CONSOLE by default)" in text
    assert "k:v1  # base.yml:3 (TAG from base.yml:1)" in text


@pytest.mark.parametrize("path", SYSTEMS, ids=[path.name for path in SYSTEMS])
@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_what_is_printed_means_the_same(path: Path, architecture: str, tmp_path: Path) -> None:
    config = load([str(path)], architecture=architecture)
    for number, text in enumerate(
        (resolved_yaml(config, with_origins=True), resolved_json(config))
    ):
        again = tmp_path / f"{number}.yml"
        again.write_text(text)
        assert load([str(again)]) == config
    # Another reader takes the comments for comments, too.
    assert yaml.safe_load(resolved_yaml(config, with_origins=True)) == json.loads(
        resolved_json(config)
    )


def test_every_printed_value_has_a_place(folder: Path) -> None:
    config = load(["os.yml"])
    places = origins(config)
    for line in resolved_yaml(config, with_origins=True).splitlines():
        if not line.endswith(":") and ": " in line and "comment" not in line:
            assert "  # " in line, line
    assert str(places["services[0].mounts[0].options[0]"]).startswith("os.yml:9:")


def test_odd_file_names_cannot_break_out_of_the_comment(tmp_path: Path) -> None:
    path = tmp_path / "a\nkernel: {}\n.yml"
    path.write_text("init: [i]")
    text = resolved_yaml(load([str(path)]), with_origins=True)
    assert len(text.splitlines()) == 2


def test_an_empty_system_is_yaml_too() -> None:
    text = resolved_yaml(load(["-"], stdin=lambda: b"variables: {A: b}"), with_origins=True)
    assert load(["-"], stdin=text.encode) == load(["-"], stdin=lambda: b"{}")
