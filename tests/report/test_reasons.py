"""Why something is in a system: the chain from a file, a module or a package to the YAML's line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.package.debian.chain import dependency_chain
from compos.package.debian.package import Package, parse_package
from tests.compose.systems import World
from tests.images import Member, layer_tar, make_image

YAML = """\
kernel:
  image: acme/kernel:2
  cmdline: console=ttyS0
  modules: [auto, "spare*"]
init:
  - acme/init:1
services:
  - name: web
    image: acme/web:1
files:
  - {path: etc/motd, contents: hello}
volumes:
  - {name: data, image: "acme/web:1"}
"""
DEPENDS = """\
kernel/one.ko: kernel/two.ko
kernel/two.ko: kernel/three.ko
kernel/three.ko:
kernel/spare-part.ko:
kernel/other.ko:
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("why"))
    names = ("one", "two", "three", "spare-part", "other")
    modules = [Member(f"lib/modules/6.1/kernel/{name}.ko", content=name) for name in names]
    tar = [
        Member("lib/modules/6.1/modules.dep", content=DEPENDS),
        Member("lib/modules/6.1/modules.builtin", content="kernel/fs/solid-rock.ko\n"),
        *modules,
    ]
    kernel = [Member("kernel", content="K"), Member("kernel.tar", content=layer_tar(tar))]
    make_image(world.store, "acme/kernel:2", [kernel])
    layers = [
        [Member("bin/app", mode=0o755, content="old"), Member("etc/conf", content="c")],
        [Member("bin/app", mode=0o755, content="new")],
    ]
    make_image(world.store, "acme/web:1", layers, {"Labels": {"org.compos.modules": "one"}})
    (world.folder / "os.yml").write_text(YAML)
    return world


def asked(world: World, capsys: pytest.CaptureFixture[str], name: str) -> list[list[str]]:
    """Each reason as lines: the name, then the steps with their places."""
    capsys.readouterr()
    assert main(["why", "--json", *world.flags, name, str(world.folder / "os.yml")]) == 0
    found = json.loads(capsys.readouterr().out)
    folder = f"{world.folder}/"
    return [
        [
            one["name"],
            *(
                " @ ".join(filter(None, (step["what"], step["place"].replace(folder, ""))))
                for step in one["steps"]
            ),
        ]
        for one in found
    ]


def test_a_module_is_needed_by_others(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    ((*lines, image, modules, entry),) = asked(world, capsys, "three")
    assert lines == [
        "three",
        "/lib/modules/6.1/kernel/three.ko, 5 bytes",
        "needed by two",
        "needed by one",
    ]
    assert image == "declared by docker.io/acme/web:1 @ os.yml:13:25: volumes[0].image"
    assert modules == "chosen by kernel.modules @ os.yml:4:12: kernel.modules"
    assert entry == "the YAML's kernel @ os.yml:2:10: kernel.image"


@pytest.mark.parametrize("name", ["spare_part", "spare-part", "spare-part.ko"])
def test_a_module_that_the_yaml_names(
    world: World, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    ((found, _, why, *_),) = asked(world, capsys, name)
    assert (found, why) == ("spare_part", "kernel.modules: spare*")


def test_a_module_in_the_kernel(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    ((found, why, *_),) = asked(world, capsys, "solid_rock")
    assert (found, why) == ("solid_rock", "built into the kernel")


def test_a_path_in_a_container_and_a_volume(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = asked(world, capsys, "/bin/app")
    assert one[0] == "/containers/services/web/lower/bin/app"
    assert one[2].startswith("in layer 2 of 2 of docker.io/acme/web:1 (sha256:")
    assert one[3] == "the YAML's services[web] @ os.yml:9:12: services[0].image"
    assert two[0] == "/containers/volumes/data/lower/bin/app"
    conf = asked(world, capsys, "/etc/conf")
    assert [lines[2].partition(" of ")[0] for lines in conf] == ["in layer 1", "in layer 1"]


def test_what_the_build_and_the_yaml_make(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    ((_, _, *steps),) = asked(world, capsys, "etc/motd")
    assert steps == ["made by an entry of files", "the YAML's files[0] @ os.yml:11:5: files[0]"]
    ((_, _, made, _),) = asked(world, capsys, "/containers/services/web/config.json")
    assert made == "made by the build for the image docker.io/acme/web:1"
    (exact,) = asked(world, capsys, "config.json")
    assert exact[0] == "/containers/services/web/config.json"


def test_what_is_not_there(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", *world.flags, "threee", str(world.folder / "os.yml")]) == 1
    printed = capsys.readouterr().err
    assert "why-nothing" in printed
    assert "'three'" in printed


def test_names_are_shown_as_escapes(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_image(world.store, "acme/evil:1", [[Member("a\x1b[31mb", content="x")]])
    (tmp_path / "evil.yml").write_text("init: ['acme/evil:1']\n")
    assert main(["why", *world.flags, "/a\x1b[31mb", str(tmp_path / "evil.yml")]) == 0
    assert "/a\\x1b[31mb" in capsys.readouterr().out


def package(name: str, depends: str = "", provides: str = "") -> Package:
    fields = {
        "Package": name, "Version": "1", "Architecture": "amd64", "Filename": f"pool/{name}.deb",
        "Size": "1", "SHA256": "0" * 64, "Depends": depends, "Provides": provides,
    }  # fmt: skip
    return parse_package(
        "\n".join(f"{key}: {value}" for key, value in fields.items() if value), "s"
    )


PACKAGES = (
    package("server", "server-common, libc6 (>= 1)"),
    package("server-common", "mail-agent | perl"),
    package("postfix", "libssl", "mail-agent"),
    package("libssl", "libc6"),
    package("libc6"),
    package("alone"),
)


@pytest.mark.parametrize(
    ("wanted", "name", "expected"),
    [
        (["server"], "server", ["server"]),
        (["server"], "libc6", ["server", "libc6"]),
        (["server"], "libssl", ["server", "server-common", "postfix", "libssl"]),
        (["alone", "libssl"], "libc6", ["libssl", "libc6"]),
        (["server"], "alone", []),
        (["nothing"], "libc6", []),
    ],
)
def test_the_shortest_chain_of_dependencies(
    wanted: Sequence[str], name: str, expected: Sequence[str]
) -> None:
    assert [one.name for one in dependency_chain(PACKAGES, wanted, name)] == expected
