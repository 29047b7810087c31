"""Everything that goes into a build has its part in the result's key: each input is changed in
turn, and the output changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.compose.systems import KERNEL_TAR, World
from tests.images import Member, layer_tar
from tests.output.systems import WEB, build


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def results(world: World) -> set[str]:
    return {path.name for path in (world.store.root / "derived/result").iterdir()}


OPTIONS: Mapping[str, tuple[str, ...]] = {
    "compression": ("--compress", "gzip"),
    "strongest": ("--compress", "max"),
    "no SBOM": ("--no-sbom",),
    "another SBOM": ("--sbom-format", "cyclonedx"),
    "its place": ("--sbom-output", "s.json"),
    "its date": ("--sbom-current-time",),
    "format": ("-f", "tar"),
    "formats": ("-f", "kernel+initrd,kernel+squashfs"),
    "root": ("--root", "squashfs"),
    "size": ("--size", "64M"),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_has_a_result_of_its_own(
    world: World, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    first = build(world)
    before = results(world)
    second = build(world, *OPTIONS[option])
    assert results(world) > before
    assert build(world) == first
    assert build(world, *OPTIONS[option]) == second


SYSTEM = (
    WEB.replace("serve]", "serve, '${GREETING:-hello}']")
    + """
  - {path: etc/from-host, source: FOLDER/host, mode: '0644'}
  - {path: etc/perhaps, source: FOLDER/perhaps, optional: true, mode: '0644'}
volumes:
  - {name: data, image: 'acme/data:1'}
"""
)

TAR = layer_tar([Member("lib", "dir", 0o755), Member("lib/modules/6.1/a.ko", content="another")])


def kernel(*, image: str = "KERNEL", tar: bytes = KERNEL_TAR) -> Callable[[World], None]:
    members = [Member("kernel", content=image), Member("kernel.tar", content=tar)]
    return lambda world: world.image("acme/kernel:1", [members])


def app(content: str, **config: object) -> Callable[[World], None]:
    return lambda world: world.image(
        "acme/app:1", [[Member("bin/app", mode=0o755, content=content)]], config
    )


def host(name: str, content: str) -> Callable[[World], None]:
    return lambda world: [(world.folder / name).write_text(content)].clear()


INPUTS: Mapping[str, Callable[[World], None]] = {
    "the kernel": kernel(image="KERNAL"),
    "its modules": kernel(tar=TAR),
    "the init image": lambda world: world.image(
        "acme/init:1", [[Member("init", mode=0o755, content="#?")]]
    ),
    "a file of an image": app("apq", Entrypoint=["/bin/app"]),
    "an image's environment": app("app", Entrypoint=["/bin/app"], Env=["A=1"]),
    "an image's label": app("app", Labels={"org.mobyproject.config": '{"readonly": true}'}),
    "a volume's image": lambda world: world.image("acme/data:1", [[Member("x", content="2")]]),
    "a host file": host("host", "two"),
    "an optional host file that appears": host("perhaps", "now"),
}


@pytest.mark.parametrize("changed", INPUTS)
def test_every_input_changes_the_output(world: World, changed: str) -> None:
    world.image("acme/data:1", [[Member("x", content="1")]])
    (world.folder / "host").write_text("one")
    yaml = SYSTEM.replace("FOLDER", str(world.folder))
    first = build(world, yaml=yaml)
    INPUTS[changed](world)
    second = build(world, yaml=yaml)
    assert second != first
    assert build(world, yaml=yaml) == second


def test_variables_and_included_files_change_the_output(world: World) -> None:
    world.image("acme/data:1", [[Member("x", content="1")]])
    (world.folder / "host").write_text("one")
    (world.folder / "more.yml").write_text("files: [{path: etc/more, contents: one}]")
    yaml = "include: [more.yml]\n" + SYSTEM.replace("FOLDER", str(world.folder))
    first = build(world, yaml=yaml)
    from_flag = build(world, "--set", "GREETING=hi", yaml=yaml)
    (world.folder / "env").write_text("GREETING=ho\n")
    from_file = build(world, "--env-file", str(world.folder / "env"), yaml=yaml)
    (world.folder / "more.yml").write_text("files: [{path: etc/more, contents: two}]")
    included = build(world, yaml=yaml)
    found = [first, from_flag, from_file, included]
    assert all(found[one] != found[other] for one in range(4) for other in range(one))
