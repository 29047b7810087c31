"""Machines that share a cache: images in a registry, a system of them, and builds with stores of
their own."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Literal

import compos
from compos import progress
from compos.image.reference import Reference
from compos.image.registries.push import push
from compos.image.registries.registry import Registry
from compos.image.store import Store
from tests.images import Member, layer_tar, make_image
from tests.output.bootable import bzimage
from tests.trust.pairs import key_pair

__all__ = ["Machine", "Notices", "Site"]

SERVICES = ("web", "mail", "chat")
LIBRARY = Member("lib/libshared.so", mode=0o755, content=random.Random(0).randbytes(300_000))


def noise(seed: str, size: int) -> bytes:
    """Bytes that nothing compresses, the same ones for the same seed."""
    return random.Random(seed).randbytes(size)


class Notices(progress.Silent):
    """A listener that remembers what it was told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)

    def warnings(self) -> list[str]:
        return [text for text in self.texts if text.startswith("WARNING")]


class Site:
    """Images of a system at the registry `host`, whose services have half a megabyte each, and the
    keys of a cache."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder
        self.host = host
        self.cache = f"{host}/team/cache"
        self.private, self.public = key_pair(folder, "ED25519")
        self._store = Store(folder / "published")
        modules = layer_tar([Member("lib", "dir", 0o755), Member("lib/modules/6.1/a.ko")])
        kernel = [Member("kernel", content=bzimage()), Member("kernel.tar", content=modules)]
        extra = Member("doc/unused", content=noise("kernel", 400_000))
        self.publish("kernel", [[*kernel, extra]])
        self.publish("init", [[Member("init", mode=0o755, content="#!"), LIBRARY]])
        for name in SERVICES:
            self.service(name, "1")

    def publish(self, name: str, layers: list[list[Member]], **config: object) -> None:
        """Push an image of these layers under `name`:1."""
        target = f"{self.host}/acme/{name}:1"
        make_image(self._store, target, layers, config)
        push(self._store, target, registry=Registry())

    def service(self, name: str, version: str) -> None:
        """Push a version of a service, which keeps its tag."""
        passwd = Member("etc/passwd", content="app:x:7:7::/:/bin/sh\n")
        base = [LIBRARY, passwd, Member("lib/base", content=noise("base", 200_000))]
        program = Member(f"bin/{name}", mode=0o755, content=noise(f"{name} {version}", 500_000))
        self.publish(name, [base, [program]], Entrypoint=[f"/bin/{name}"], User="app")

    def layers(self, name: str) -> set[str]:
        """The digests of the layers that an image has now."""
        from compos.image.model import Manifest, parse_document

        root = self._store.named(str(Reference.parse(f"{self.host}/acme/{name}:1")))
        _, document = parse_document(self._store.read(root.digest))
        assert isinstance(document, Manifest)
        return {layer.digest for layer in document.layers}

    def yaml(self, host: str = "") -> str:
        acme = f"{host or self.host}/acme"
        services = "".join(f"  - {{name: {name}, image: '{acme}/{name}:1'}}\n" for name in SERVICES)
        return (
            f"kernel: {{image: '{acme}/kernel:1', cmdline: quiet}}\n"
            f"init: ['{acme}/init:1']\nservices:\n{services}"
        )


class Machine:
    """A machine that has nothing yet."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self.folder = site.folder / name
        self.folder.mkdir()
        self.store = Store(self.folder / "store")
        self.notices = Notices()

    def build(
        self,
        *,
        cache_from: tuple[str, ...] = (),
        cache_to: str | None = None,
        key: Path | None = None,
        host: str = "",
        formats: tuple[str, ...] = ("kernel+initrd",),
        lock: Path | None = None,
        compression: Literal["zstd", "max"] = "zstd",
        root: str = "auto",
    ) -> dict[str, str]:
        """Build the site's system; returns the outputs' digests by name."""
        yaml = self.folder / "os.yml"
        yaml.write_text(self._site.yaml(host))
        self.notices = Notices()
        remote = compos.RemoteOptions(
            cache_from, cache_to, str(key) if key and (cache_from or cache_to) else None
        )
        options = compos.BuildOptions(
            compos.LoadOptions("amd64"),
            compos.ImageOptions(self.store.root),
            formats,
            self.folder,
            compression=compression,
            root=root,
            remote=remote,
            lock=lock,
        )
        outputs = compos.build([yaml], options, listener=self.notices)
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in outputs}
