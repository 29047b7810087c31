"""A team that locks a system: a package made of Debian packages, an image of a registry, machines
that share nothing but files, and a Debian mirror that moves on."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from compos.cli.main import main
from compos.image.store import Store
from tests.images import AMD64, ARM64, Member, make_index, put_image
from tests.package.debian.archive_of import Archive, Key, Server
from tests.registry import FakeRegistry

__all__ = ["Machine", "Team"]

RECIPE = """
image: tool
org: test
tag: v1
arches: [amd64, arm64]
debian: {packages: [tool], keep: [usr/bin/tool, usr/lib/data]}
files: [{path: etc/tool.conf, source: tool.conf, mode: "0644"}]
"""


class Team:
    """What all machines can reach: a registry with the image `web:1`, and a Debian mirror."""

    def __init__(self, folder: Path, server: Server, registry: FakeRegistry) -> None:
        self.folder = folder
        self.server = server
        self.registry = registry
        self.debian = Archive(folder / "srv/debian", Key())
        self.debian.add_deb("tool", {"usr/bin/tool": b"#!1"}, depends="lib", source="tools (1)")
        self.debian.add_deb("lib", {"usr/lib/data": b"1"}, homepage="https://example.org/lib")
        self.debian.write_all()
        self.keyring = self.debian.key.keyring(folder / "keyring")
        self.publish("one")

    def publish(self, text: str) -> None:
        """Another image under the tag `web:1`; the earlier one stays at the registry."""
        store = Store(self.folder / "published")
        children = {
            platform: put_image(
                store, layers=[[Member("page", content=f"{text} {platform}")]], platform=platform
            )[0]
            for platform in (AMD64, ARM64)
        }
        name = "docker.io/library/web:1"
        make_index(store, name, children)
        self.registry.load(store, name, "web", "1")

    def move_on(self, kind: str = "updates") -> None:
        """The mirror has a newer `lib` in the suite's `kind`, and the old file is gone."""
        suite = self.debian.beside(kind)
        suite.add_deb("lib", {"usr/lib/data": b"2"}, "2")
        suite.write()
        (self.debian.root / "pool/main/lib_1.deb").unlink()

    def keep_snapshot(self, date: str) -> None:
        """An archive of the past has the mirror as it is now."""
        shutil.copytree(self.debian.root, self.folder / f"srv/archive/debian/{date}")

    def machine(self, name: str, *, lock: Machine | None = None) -> Machine:
        """A machine with the team's files, and the lock of another one."""
        made = Machine(self, self.folder / name)
        if lock:
            shutil.copy(lock.lock, made.lock)
        return made


class Machine:
    """A checkout of the team's files, a store, and nothing else."""

    def __init__(self, team: Team, folder: Path) -> None:
        self.team = team
        self.folder = folder / "work" / ("x" * (len(folder.name) % 7)) / "files"
        self.store = folder / "store"
        (self.folder / "tool").mkdir(parents=True)
        (self.folder / "tool/build.yml").write_text(RECIPE)
        (self.folder / "tool/tool.conf").write_text("conf")
        self.system(f"init: ['@pkg:tool', '{team.registry.host}/web:1']\n")

    @property
    def lock(self) -> Path:
        return self.folder / "os.lock"

    def system(self, text: str) -> None:
        (self.folder / "os.yml").write_text(text)

    def run(self, verb: str, *options: str) -> int:
        mirror = ("--debian-mirror", f"{self.team.server.url}/debian")
        return main(
            [verb, "--cache", str(self.store), *mirror, *options, str(self.folder / "os.yml")]
        )

    def build(self, *options: str) -> str:
        """SHA-256 of the system; empty when there is none."""
        output = self.folder / "os.tar"
        output.unlink(missing_ok=True)
        if self.run("build", "--o", str(output), *options):
            assert not output.exists()
            return ""
        return hashlib.sha256(output.read_bytes()).hexdigest()
