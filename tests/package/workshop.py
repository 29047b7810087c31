"""A brick built from a small signed archive."""

from __future__ import annotations

from pathlib import Path

from compos.image.model import Image
from compos.image.platform import Platform
from compos.image.store import Store
from compos.package.build import Builder
from compos.package.recipe import load_recipe, named
from tests.package.debian.archive_of import Archive, Key

__all__ = ["AMD64", "Workshop"]

AMD64 = Platform("linux", "amd64")
BUILD = """
image: tool
org: compos
tag: v1
cmd: [/usr/bin/tool]
config: {pid: host}
debian:
  packages: [tool]
  keep: [usr/bin/tool]
  move: {usr/bin/tool: opt/tool}
concatenate:
  - {path: etc/all.pem, sources: ['usr/share/certs/*.pem']}
links:
  opt/tool: [bin/a, usr/local/bin/b]
files:
  - {path: etc/tool.conf, source: tool.conf, mode: "0600"}
  - {path: data, directory: true, mode: "0755"}
"""


class Workshop:
    """A signed archive with one tool, and a brick made of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archive = Archive(folder / "archive", Key())
        files = {
            "bin/tool": b"#!tool",
            "usr/share/certs/b.pem": b"B\n",
            "usr/share/certs/a.pem": b"A\n",
        }
        self.archive.add_deb("tool", files, depends="lib")
        self.archive.add_deb("lib", {"usr/lib/unused": b"x"})
        self.archive.write_all()
        self.brick = folder / "bricks" / "tool"
        self.brick.mkdir(parents=True)
        (self.brick / "build.yml").write_text(BUILD)
        (self.brick / "tool.conf").write_text("conf")

    def builder(self, store: Store) -> Builder:
        return Builder(store, lambda: self.archive.mirror(self.folder / "keyring"))

    def build(self, store: Store) -> Image:
        recipe = load_recipe(self.brick)
        return self.builder(store).build(recipe, AMD64, named(recipe))
