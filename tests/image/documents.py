"""Images whose documents say what nobody expects: an index, a manifest and a config as JSON texts,
served by every door.

A document is a template: `@layer`, `@config` and `@manifest` stand for the digests, `@layer.size`
and so on for the sizes of what they name, so that a change in one of them leaves the others right.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from compos.image.store import Store
from tests.images import layer_tar
from tests.registry import FakeRegistry

LAYER = layer_tar([("etc", "dir", 0o755), ("etc/x", "file", 0o644, "x")])

_OCI = "application/vnd.oci.image."
CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "variant": "",
    "config": {
        "Entrypoint": ["/x"],
        "Cmd": ["a"],
        "Env": ["A=b"],
        "WorkingDir": "/",
        "User": "root",
        "StopSignal": "SIGTERM",
        "Labels": {
            "org.mobyproject.config": '{"binds": ["/dev:/dev"]}',
            "org.compos.modules": "ext4",
        },
        "Volumes": {"/data": {}},
    },
    "rootfs": {"type": "layers", "diff_ids": ["@layer"]},
    "history": [{"created_by": "x"}],
}
MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": f"{_OCI}manifest.v1+json",
    "config": {"mediaType": f"{_OCI}config.v1+json", "digest": "@config", "size": "@config.size"},
    "layers": [
        {
            "mediaType": f"{_OCI}layer.v1.tar",
            "digest": "@layer",
            "size": "@layer.size",
            "annotations": {"a": "b"},
            "urls": ["http://127.0.0.1:9/x"],
        }
    ],
    "annotations": {"a": "b"},
}
INDEX: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": f"{_OCI}index.v1+json",
    "manifests": [
        {
            "mediaType": f"{_OCI}manifest.v1+json",
            "digest": "@manifest",
            "size": "@manifest.size",
            "platform": {
                "os": "linux",
                "architecture": "amd64",
                "variant": "v1",
                "os.features": ["x"],
            },
            "annotations": {"org.opencontainers.image.ref.name": "x.example/app:1"},
        }
    ],
}
SAVED: list[Any] = [
    {"Config": "config.json", "RepoTags": ["x.example/app:1"], "Layers": ["layer.tar"]}
]
DOCUMENTS: dict[str, Any] = {"config": CONFIG, "manifest": MANIFEST, "index": INDEX, "saved": SAVED}
"""What there is to change; `saved` is the manifest.json of `docker save`."""


class Made:
    """The four documents as bytes, with the digests filled in."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.blobs: dict[str, bytes] = {}
        self._digests: dict[str, str] = {}
        self._add("layer", LAYER)
        for name in ("config", "manifest", "index"):
            self._add(name, self._filled(texts[name]))
        self.saved = self._filled(texts["saved"])

    def _filled(self, text: str) -> bytes:
        for name, digest in self._digests.items():
            text = text.replace(f'"@{name}.size"', str(len(self.blobs[digest])))
            text = text.replace(f"@{name}", digest)
        return text.encode("utf-8", "surrogateescape")

    def _add(self, name: str, data: bytes) -> None:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._digests[name] = digest
        self.blobs[digest] = data

    def __getitem__(self, name: str) -> bytes:
        return self.blobs[self._digests[name]]

    def digest(self, name: str) -> str:
        return self._digests[name]

    def layout(self, folder: Path) -> Path:
        """An OCI layout whose index.json is the index."""
        blobs = folder / "blobs/sha256"
        blobs.mkdir(parents=True)
        for digest, data in self.blobs.items():
            (blobs / digest.removeprefix("sha256:")).write_bytes(data)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (folder / "index.json").write_bytes(self["index"])
        return folder

    def archive(self, path: Path) -> Path:
        """What `docker save` once wrote."""
        with tarfile.open(path, "w") as archive:
            members = {
                "config.json": self["config"],
                "layer.tar": LAYER,
                "manifest.json": self.saved,
            }
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, BytesIO(data))
        return path

    def publish(self, registry: FakeRegistry, root: str = "index") -> str:
        """The image in a registry; its name there."""
        registry.blobs.update(self.blobs)
        for name in ("index", "manifest"):
            media_type = f"{_OCI}{'index' if name == 'index' else 'manifest'}.v1+json"
            registry.documents["app", self.digest(name)] = (media_type, self[name])
            if name == root:
                registry.documents["app", "1"] = (media_type, self[name])
        return f"{registry.host}/app:1"

    def store(self, store: Store) -> Store:
        """A store that another tool has filled: its index.json is the index."""
        store.put(b"", "")
        for data in self.blobs.values():
            store.put(data, "")
        (store.root / "index.json").write_bytes(self["index"])
        return Store(store.root)


def changed(name: str, values: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """For each place in the document `name` and each of the JSON texts `values`: what was changed,
    and all four texts."""
    texts = {key: json.dumps(value) for key, value in DOCUMENTS.items()}
    for place, put in _places(DOCUMENTS[name]):
        for what, text in values.items():
            yield f"{name}{place} is {what}", {**texts, name: put(text)}


def _places(document: Any) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Every place in a JSON document, with what puts a JSON text there."""
    mark = "the place that is changed"

    def walk(
        value: Any, place: str, whole: Callable[[Any], Any]
    ) -> Iterator[tuple[str, Callable[[str], str]]]:
        text = json.dumps(whole(mark))
        yield place, lambda new: text.replace(json.dumps(mark), new)
        inside = (
            value.items()
            if isinstance(value, dict)
            else enumerate(value)
            if isinstance(value, list)
            else ()
        )
        for key, inner in inside:
            at = f".{key}" if isinstance(value, dict) else f"[{key}]"
            yield from walk(inner, place + at, partial(_with, whole, value, key))

    yield from walk(document, "", lambda new: new)


def _with(whole: Callable[[Any], Any], value: Any, key: Any, new: Any) -> Any:
    """The whole document with `new` for what `value` has under `key`."""
    copy = value.copy()
    copy[key] = new
    return whole(copy)
