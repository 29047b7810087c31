"""What must not creep: what a build imports, how long that takes, how much memory it needs. `make
bench` measures times."""

from __future__ import annotations

import marshal
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from compos.image.derived_kinds import DerivedKind
from compos.image.digest import Digest
from compos.image.store import Store
from compos.tree import record
from compos.tree.node import Node, Slice, Tree
from tests.compose.systems import World
from tests.images import Member
from tests.output.systems import WEB

MEMORY = "next(int(line.split()[1]) // 1024 for line in open('/proc/self/status') if line.startswith('VmHWM'))"
CODE = f"import sys; from compos.cli.main import main; assert main(sys.argv[1:]) == 0; print({MEMORY}, *sys.modules)"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """60 MB in 2,000 files and two large ones, half of it noise."""
    made = World(tmp_path)
    noise = random.Random(1)
    members = [
        Member(f"lib/{number}", mode=0o644, content=noise.randbytes(5000) + bytes(5000))
        for number in range(2000)
    ]
    members += [
        Member(f"bin/{name}", mode=0o755, content=noise.randbytes(10 << 20) + bytes(10 << 20))
        for name in "ab"
    ]
    made.image("acme/app:1", [members], {"Entrypoint": ["/bin/a"]})
    (tmp_path / "os.yml").write_text(WEB)
    return made


def build(world: World, *options: str) -> tuple[int, set[str]]:
    """A build in an interpreter of its own: its peak memory in MiB, and the modules that it has
    imported."""
    arguments = ["build", "-q", *world.flags, "--dir", str(world.folder)]
    line = [sys.executable, "-c", CODE, *arguments, *options, str(world.folder / "os.yml")]
    memory, *modules = subprocess.run(
        line, capture_output=True, text=True, check=True
    ).stdout.split()
    return int(memory), set(modules)


@pytest.mark.slow
def test_a_build_stays_small(world: World) -> None:
    memory, _ = build(world)
    assert memory < 150
    memory, modules = build(world)
    assert memory < 60
    # What has not changed needs no composing, no registry, no threads, no writer of file systems.
    needless = {
        "compos.compose.system",
        "compos.image.registries.registry",
        "urllib3",
        "ssl",
        "concurrent.futures",
        "logging",
        "rich",
        "compos.image.removal",
        "array",
        "random",
        "shutil",
        "tempfile",
        "dataclasses",
        "compos.config.dump",
        "compos.package.lock",
    }
    assert needless & modules == set()
    (world.folder / "os.yml").write_text(WEB.replace("hello", "hallo"))
    memory, modules = build(world)
    assert memory < 60
    needless -= {"compos.compose.system", "compos.image.removal", "array"}
    assert (
        needless | {"compos.filesystem.erofs", "compos.filesystem.squashfs", "tarfile"}
    ) & modules == set()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["kernel+initrd", "tar", "kernel+squashfs", "kernel+erofs"])
def test_formats_stay_small(world: World, form: str) -> None:
    world.image(
        "acme/app:1",
        [[Member("bin/app", mode=0o755, content=bytes(200 << 20))]],
        {"Entrypoint": ["/bin/app"]},
    )
    memory, _ = build(world, "-f", form)
    assert memory < 150


FILES = 25_000
"""A twentieth of the system in docs/large-systems.md."""

LIMITS = {
    (
        "kernel+initrd",
        "initrd",
    ): 48,  # as a small system's, with the larger tables of zstd's level 9
    ("kernel+erofs", "erofs"): 52,
    ("kernel+squashfs", "squashfs"): 52,
    ("firecracker", "ext4"): 56,
}
"""MiB of a build whose layers are read. Where nodes or inodes are kept as objects, it takes 10 to
30 more."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Many small files in one image, whose layer is read; the store has what makes roots."""
    made = World(tmp_path_factory.mktemp("many"))
    members = [
        Member(
            f"usr/share/package-{number % 2000:04}/folder/some-file-{number:06}.txt",
            mode=0o644,
            content=f"{number}\n",
        )
        for number in range(FILES)
    ]
    made.image("acme/app:1", [members], {"Entrypoint": ["/bin/a"]})
    (made.folder / "os.yml").write_text(WEB)
    build(made, "-f", "kernel+initrd,kernel+erofs")
    return made


@pytest.mark.slow
@pytest.mark.parametrize(("form", "root"), LIMITS)
def test_many_files_take_little_memory(many: World, form: str, root: str) -> None:
    (many.folder / "os.yml").write_text(WEB.replace("hello", f"hello {form}"))
    memory, _ = build(many, "-f", form, "--root", root)
    assert memory < LIMITS[form, root]


@pytest.mark.slow
def test_importing_is_quick() -> None:
    """All that a build of what has not changed imports, in processor time, the best of several
    rounds, above the bare interpreter."""
    wanted = "compos.cli.build, compos.config.load, compos.api.build, compos.image.source, compos.output.build"
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }

    def best(code: str) -> float:
        times = []
        for _ in range(9):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code], check=True, env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(times)

    assert best(f"import {wanted}") < best("pass") + 0.2


def work(read: Callable[[], object]) -> int:
    """Instructions of Python and calls of C functions that `read` takes.

    Unlike processor time, they are the same on any machine and in any build of an interpreter.
    """
    done = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal done
        frame.f_trace_opcodes = True
        done += event == "opcode"
        return trace

    def profile(_: FrameType, event: str, __: object) -> None:
        nonlocal done
        done += event == "c_call"

    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        read()
    finally:
        sys.setprofile(None)
        sys.settrace(None)
    return done


def test_records_are_read_with_little_more_work_than_marshal_does(tmp_path: Path) -> None:
    """marshal is what they were: it checks nothing, so that its work is that of making nodes at
    all."""
    store = Store(tmp_path / "store")
    source = Digest.parse(store.put(bytes(1 << 20), "text/plain").digest).path
    nodes = [
        (
            f"usr/lib/package{number // 20:03}/file{number:04}",
            Node("f", 0o644, 0, 0, number, 9, (Slice(source, number, 9),)),
        )
        for number in range(3_000)
    ]
    record.save_nodes(tmp_path / "record", DerivedKind.TREE, nodes)
    plain = marshal.dumps(
        [(name, (*node[:6], tuple(map(tuple, node.content)), *node[7:])) for name, node in nodes]
    )

    def unchecked() -> Tree:
        made = {}
        for name, fields in marshal.loads(plain):
            node = Node(*fields)
            made[name] = node._replace(content=tuple(Slice(*piece) for piece in node.content))
        return made

    def checked() -> Tree:
        tree = record.load_tree(tmp_path / "record", DerivedKind.TREE, store)
        return dict(tree.items()) if tree else {}

    assert checked() == unchecked() == dict(nodes)
    assert work(checked) < 1.5 * work(unchecked)
