"""The library as a program uses it: what it returns, what it raises, who is told of progress."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import compos
from compos import progress
from compos.errors import ConfigError, ImageError, OutputError
from tests.compose.systems import World

ROOT = Path(__file__).resolve().parents[2]
YAML = """
kernel: {image: 'acme/kernel:1', cmdline: console=ttyS0}
init: ['acme/init:1']
services: [{name: web, image: 'acme/app:1'}]
"""


class Recorder(progress.Silent):
    """A listener that remembers."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.tasks: list[str] = []

    def start(self, name: str, total: int | None) -> progress.Task:
        self.tasks.append(name)
        return self

    def notice(self, text: str) -> None:
        self.notices.append(text)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "os.yml").write_text(YAML)
    return World(tmp_path)


def options(world: World, folder: str = "out") -> compos.BuildOptions:
    out = world.folder / folder
    out.mkdir(exist_ok=True)
    images = compos.ImageOptions(cache=world.store.root)
    load = compos.LoadOptions(architecture="amd64")
    return compos.BuildOptions(load, images, folder=out)


def test_importing_it_imports_next_to_nothing() -> None:
    code = "import compos, sys; print(*(name for name in sys.modules if name.startswith('compos')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"compos", "compos.version", "compos._version"}


def test_all_that_it_names_is_there() -> None:
    for name in compos.__all__:
        assert getattr(compos, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'bild'"):
        compos.bild  # noqa: B018


def test_a_build_returns_the_paths_of_what_the_command_line_writes(world: World) -> None:
    from compos.cli.main import main

    written = compos.build([world.folder / "os.yml"], options(world))
    assert [path.name for path in written] == ["os-kernel", "os-cmdline", "os-initrd.img"]
    other = world.folder / "other"
    other.mkdir()
    arguments = [*world.flags, "--dir", str(other)]
    assert main(["build", *arguments, str(world.folder / "os.yml")]) == 0
    assert {path.name: path.read_bytes() for path in written} == {
        path.name: path.read_bytes() for path in other.iterdir()
    }


def test_one_output_goes_to_a_file_or_an_open_one(world: World) -> None:
    path, stream = world.folder / "a.tar", world.folder / "b.tar"
    wanted = options(world)._replace(formats=("tar",))
    assert compos.build([world.folder / "os.yml"], wanted._replace(output=path)) == [path]
    with stream.open("wb") as opened:
        assert (
            compos.build([world.folder / "os.yml"], wanted._replace(output=opened.fileno())) == []
        )
    assert path.read_bytes() == stream.read_bytes()


def test_variables_are_plain_texts(world: World) -> None:
    path = world.folder / "variables.yml"
    path.write_text("variables: {NAME: old}\nfiles: [{path: f, contents: '${NAME}'}]\n")
    described = compos.load([path], compos.LoadOptions(variables={"NAME": "new"}))
    assert described.config.files[0].contents == "new"


def test_it_raises_classes(world: World) -> None:
    source = world.folder / "os.yml"
    with pytest.raises(OutputError, match="output-folder"):
        compos.build([source], options(world)._replace(folder=world.folder / "none"))
    source.write_text("kernel: 7\n")
    with pytest.raises(ConfigError):
        compos.load([source])
    source.write_text("init: ['compos/none:v1']\n")
    with pytest.raises(ImageError, match="brick-unknown"):
        compos.build([source], options(world))


def test_an_inspection_has_parts(world: World) -> None:
    images = compos.ImageOptions(cache=world.store.root)
    load = compos.LoadOptions(architecture="amd64")
    found = compos.inspect([world.folder / "os.yml"], compos.InspectOptions(load, images))
    assert {"kernel", "init[0]", "services[web]"} <= {part.location for part in found.parts}
    assert found.kept == ()


def test_a_listener_holds_for_one_call_and_its_threads(world: World) -> None:
    """Two builds at once, each in a thread of its own and with threads of its own."""
    listeners = [Recorder(), Recorder()]
    outside = Recorder()
    barrier = threading.Barrier(2)

    def run(number: int) -> None:
        barrier.wait()
        compos.build(
            [world.folder / "os.yml"],
            options(world, f"out{number}")._replace(name=f"n{number}"),
            listener=listeners[number],
        )

    with progress.listening(outside), ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
        progress.notice("mine")
    assert outside.notices == ["mine"]
    for number, listener in enumerate(listeners):
        names = [line for line in listener.notices if "n0-" in line or "n1-" in line]
        assert len(names) == 3
        assert all(f"n{number}-" in line for line in names)


def test_threads_report_to_whoever_made_them() -> None:
    listener = Recorder()
    with progress.listening(listener), progress.threads(2) as pool:
        list(pool.map(progress.notice, ["a", "b", "c"]))
    assert sorted(listener.notices) == ["a", "b", "c"]


def test_the_page_about_it_is_true(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its program runs, and its table names the classes and functions that there are."""
    page = (ROOT / "docs/library.md").read_text()
    program = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    (world.folder / "out").mkdir()
    (world.folder / "os.yml").write_text("variables: {PORT: '80'}\n" + YAML)
    monkeypatch.chdir(world.folder)
    exec(compile(program, "docs/library.md", "exec"), {})
    names = {path.name for path in (world.folder / "out").iterdir()}
    assert {"os-kernel", "os-initrd.img", "os-squashfs.img"} < names
    from compos import errors

    for name in re.findall(r"`(\w+Error|[A-Z]\w+)`", page.partition("## Errors")[2]):
        assert hasattr(errors, name) or name in ("Listener",), name
