"""Small systems for tests: images in a store, YAML text, and the composed result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compos.compose.host_files import read_sources
from compos.compose.inputs import Inputs
from compos.compose.system import System, compose_system
from compos.config.load import load
from compos.config.model import Config
from compos.image.layout import ImageLayout
from compos.image.model import Image
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.node import Node
from tests.images import Member, layer_tar, make_image

KERNEL_TAR = layer_tar(
    [Member("lib", "dir", 0o755), Member("lib/modules/6.1/a.ko", content="module")]
)


class World:
    """A store with images, and systems composed of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "store")
        self.images: dict[str, Image] = {}
        self.layouts: dict[str, ImageLayout] = {}
        self.image(
            "acme/kernel:1",
            [[Member("kernel", content="KERNEL"), Member("kernel.tar", content=KERNEL_TAR)]],
        )
        self.image(
            "acme/init:1",
            [[Member("init", mode=0o755, content="#!"), Member("sbin", "dir", 0o755)]],
        )
        self.image(
            "acme/app:1",
            [[Member("bin/app", mode=0o755, content="app")]],
            {"Entrypoint": ["/bin/app"]},
        )

    @property
    def flags(self) -> tuple[str, ...]:
        """For the command line: this store, and the architecture that its images are for."""
        return ("--cache", str(self.store.root), "--arch", "amd64")

    def image(
        self, name: str, layers: Sequence[Any], config: Mapping[str, Any] | None = None
    ) -> None:
        self.images[name] = make_image(self.store, name, layers, config)

    def label(self, name: str, label: object, **config: Any) -> None:
        """An image with LinuxKit's label."""
        text = label if isinstance(label, str) else json.dumps(label)
        labels = {"org.mobyproject.config": text}
        self.image(
            name, [[Member("bin/app", mode=0o755, content=name)]], {"Labels": labels, **config}
        )

    def config(self, yaml: str) -> Config:
        path = self.folder / "os.yml"
        path.write_text(yaml)
        return load([str(path)])

    def compose(self, yaml: str, **options: Any) -> System:
        inputs = Inputs(self.images, self.layouts)
        config = self.config(yaml)
        sources = read_sources(self.store, config.files)
        return compose_system(
            self.store, config, inputs, lambda form: form.encode(), sources=sources, **options
        )

    def nodes(self, yaml: str) -> dict[str, Node]:
        """Path → node of everything, `boot/` included."""
        return {path: node for path, node, _ in self.compose(yaml).with_boot()}

    def text(self, node: Node) -> str:
        with Contents(self.store.root) as contents:
            return b"".join(contents.chunks(node.content)).decode()

    def spec(self, entry: str, section: str = "services") -> dict[str, Any]:
        """`config.json` of one entry, whose YAML (below `image`) is given."""
        return self.document(entry, "config.json", section)

    def document(self, entry: str, name: str, section: str = "services") -> dict[str, Any]:
        base = (
            "containers/services/app" if section == "services" else f"containers/{section}/000-app"
        )
        nodes = self.nodes(f"{section}:\n  - name: app\n    image: acme/app:1\n{entry}")
        value: dict[str, Any] = json.loads(self.text(nodes[f"{base}/{name}"]))
        return value
