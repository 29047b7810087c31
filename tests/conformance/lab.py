"""Builds for the conformance tests: images in a registry of the test's own, YAML, and the tar that
comes out.

Images go through the registry and the command line, and the tar is read by Python's `tarfile`, the
last of equal paths winning, so that nothing of the product judges itself.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compos.cli.main import main
from compos.image.store import Store
from tests.images import Compression, Member, layer_tar, make_image
from tests.registry import FakeRegistry

T = 1492533000
"""The time of everything that the build makes (3.1)."""

LABEL = "org.mobyproject.config"
APP = [Member("bin", "dir", 0o755), Member("bin/app", mode=0o755, content="app")]
KERNEL_TAR = layer_tar(
    [Member("lib", "dir", 0o755, mtime=5), Member("lib/modules/m.ko", content="module", mtime=5)]
)
KERNEL = [
    Member("kernel", mode=0o640, content="KERNEL", mtime=7),
    Member("kernel.tar", content=KERNEL_TAR),
    Member("ucode.bin", mode=0o600, content="UCODE"),
    Member("deep/vmlinuz", mode=0o755, content="DEEP"),
    Member("other.tar", content=layer_tar([Member("other", content="o")])),
    Member("System.map", content="not wanted"),
]
KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.LNKTYPE: "hardlink",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.DIRTYPE: "dir",
    tarfile.FIFOTYPE: "fifo",
}


@dataclass(frozen=True)
class Entry:
    """One path of the built system."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime: float
    link: str
    content: bytes
    device: tuple[int, int]
    records: Mapping[str, str]

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def origin(self) -> tuple[str | None, str | None]:
        """The two records that say where a member comes from."""
        return self.records.get("LINUXKIT.source"), self.records.get("LINUXKIT.location")


@dataclass
class Built:
    """The root filesystem that a build describes."""

    tree: dict[str, Entry]

    def json(self, path: str) -> Any:
        return json.loads(self.tree[path].content)

    def below(self, folder: str) -> set[str]:
        """Paths in `folder`, relative to it."""
        return {
            path.removeprefix(f"{folder}/") for path in self.tree if path.startswith(f"{folder}/")
        }


@dataclass
class Lab:
    """Images by short names, and builds that name them as `@NAME`."""

    folder: Path
    registry: FakeRegistry
    count: int = 0
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.image("kernel", [KERNEL])
        self.image(
            "init",
            [[Member("init", mode=0o755, content="#!"), Member("etc", "dir", 0o750, mtime=3)]],
        )
        self.image("app", [APP], {"Entrypoint": ["/bin/app"]})

    def image(
        self,
        name: str,
        layers: Sequence[Any],
        config: Mapping[str, Any] | None = None,
        label: str | None = None,
        compression: Compression = "gzip",
    ) -> str:
        """Publish an image; gives the reference under which it is asked for."""
        settings = dict(config or {})
        if label is not None:
            settings["Labels"] = {LABEL: label}
        # A tag of its own: the build's store keeps what it has under a name.
        self.count += 1
        tag = f"{name}:{self.count}"
        # A store of its own, too: an index of all images would be written for each.
        self.published = Store(self.folder / "published" / str(self.count))
        make_image(self.published, tag, layers, settings, compression=compression)
        self.names[name] = self.registry.load(
            self.published, f"docker.io/library/{tag}", name, str(self.count)
        )
        return self.names[name]

    def run(self, yaml: str, *flags: str, files: Mapping[str, str] | None = None) -> int:
        """Build `yaml`, in which `@NAME` stands for an image; the exit status."""
        for name in sorted(self.names, key=len, reverse=True):
            yaml = yaml.replace(f"@{name}", f'"{self.names[name]}"')
        sources = []
        for name, text in {"os.yml": yaml, **(files or {})}.items():
            for image in sorted(self.names, key=len, reverse=True):
                text = text.replace(f"@{image}", f'"{self.names[image]}"')
            (self.folder / name).write_text(text)
            sources.append(str(self.folder / name))
        flags = flags or ("--o", str(self.folder / "out.tar"))
        return main(
            [
                "build",
                "--cache",
                str(self.folder / "store"),
                "--arch",
                "amd64",
                "--no-sbom",
                *flags,
                *sources,
            ]
        )

    def build(
        self, yaml: str, files: Mapping[str, str] | None = None, confinement: str = ""
    ) -> Built:
        """What a tar of `yaml` (and of further `files`, merged) holds; `confinement` is the key's
        value, if any."""
        head = f"confinement: {confinement}\n" if confinement else ""
        assert self.run(head + yaml, files=files) == 0
        return Built(read_tree(self.folder / "out.tar"))


def read_tree(path: Path) -> dict[str, Entry]:
    """The tar at `path` as it would be unpacked: hard links have their target's content."""
    tree: dict[str, Entry] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isreg() or member.islnk() else None
            tree[member.name] = Entry(
                KINDS[member.type],
                member.mode,
                member.uid,
                member.gid,
                member.mtime,
                member.linkname,
                stream.read() if stream else b"",
                (member.devmajor, member.devminor),
                dict(member.pax_headers),
            )
    return tree
