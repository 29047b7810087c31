"""The system that most tests of outputs build, and its build."""

from __future__ import annotations

import shutil

from compos.cli.main import main
from tests.compose.systems import World

__all__ = ["WEB", "build"]

WEB = """
kernel: {image: 'acme/kernel:1', cmdline: console=ttyS0}
init: ['acme/init:1']
onboot:
  - {name: one, image: 'acme/app:1'}
services:
  - {name: web, image: 'acme/app:1', command: [/bin/app, serve]}
files:
  - {path: etc/motd, contents: hello, mode: '0644'}
"""


def build(
    world: World, *options: str, yaml: str = WEB, out: str = "out", name: str = "os.yml"
) -> dict[str, bytes]:
    """Run `compos build`; returns the outputs by name."""
    folder = world.folder / out
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (world.folder / name).write_text(yaml)
    arguments = ["build", *world.flags, "--dir", str(folder), *options]
    assert main([*arguments, str(world.folder / name)]) == 0
    return {path.name: path.read_bytes() for path in folder.iterdir()}
