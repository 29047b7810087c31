"""`compos config --images`: what containers get in the end says the same as their `config.json`,
and where it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.cli.main import main
from compos.compose.effective import effective_config
from compos.config.dump import resolved_yaml
from tests.compose.systems import World

LABEL = """
capabilities: [CAP_CHOWN, CAP_KILL]
binds: ['/l:/l']
net: host
uid: 5
resources: {memory: {limit: 7}}
sysctl: {a.b: '1'}
mounts: [{type: bind, source: /x, destination: /y}]
runtime: {mkdir: [/made]}
"""
YAML = """\
services:
  - name: app
    image: labelled/app:1
    capabilities.add: [CAP_SYS_ADMIN, CAP_KILL]
    uid: 0
    env: [A=1]
    binds: []
"""


def test_values_and_origins(world: World) -> None:
    world.label("labelled/app:1", LABEL, Cmd=["/run", "me"], Env=["B=2"], WorkingDir="/w")
    name = world.images["labelled/app:1"].name
    text = resolved_yaml(effective_config(world.config(YAML), world.images), with_origins=True)
    file = world.folder / "os.yml"
    assert text.splitlines() == [
        "services:",
        f"- name: app  # {file}:2",
        f"  image: labelled/app:1  # {file}:3",
        "  capabilities:",
        f"  - CAP_CHOWN  # label of {name}",
        f"  - CAP_KILL  # label of {name}",
        f"  - CAP_SYS_ADMIN  # {file}:4",
        "  mounts:",
        f"  - destination: /y  # label of {name}",
        f"    type: bind  # label of {name}",
        f"    source: /x  # label of {name}",
        f"  binds: []  # {file}:7",
        "  command:",
        f"  - /run  # image {name}",
        f"  - me  # image {name}",
        "  env:",
        f"  - A=1  # {file}:6",
        f"  cwd: /w  # image {name}",
        f"  net: host  # label of {name}",
        f"  uid: 0  # {file}:5",
        "  resources:",
        "    memory:",
        f"      limit: 7  # label of {name}",
        "  sysctl:",
        f'    a.b: "1"  # label of {name}',
        "  runtime:",
        "    mkdir:",
        f"    - /made  # label of {name}",
    ]


def test_building_what_is_printed_gives_the_same_containers(world: World) -> None:
    world.label("labelled/app:1", LABEL, Cmd=["/run", "me"], Env=["B=2"], WorkingDir="/w")
    before = world.nodes(YAML)
    printed = resolved_yaml(effective_config(world.config(YAML), world.images), with_origins=True)
    after = world.nodes(printed)
    for document in ("config.json", "runtime.json"):
        path = f"containers/services/app/{document}"
        assert world.text(after[path]) == world.text(before[path])


def test_the_verb(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world.label("labelled/app:1", LABEL)
    (tmp_path / "os.yml").write_text(YAML)
    flags = ["--arch", "amd64", "--cache", str(world.store.root)]
    assert main(["config", *flags, str(tmp_path / "os.yml")]) == 0
    assert "label of" not in capsys.readouterr().out
    assert main(["config", "--images", *flags, str(tmp_path / "os.yml")]) == 0
    assert "net: host  # label of docker.io/labelled/app:1" in capsys.readouterr().out
