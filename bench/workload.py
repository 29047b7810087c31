"""What `make bench` builds: systems of many sizes, images made for them, and a registry on loopback
to pull them from.

May touch: the store that it is given, and a folder of its own.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from compos.image.model import INDEX, Descriptor
from compos.image.platform import Platform
from compos.image.store import Store
from compos.package.assemble import assemble
from compos.package.recipe import ImageSettings
from compos.tree.node import Tree, directory, file

__all__ = ["LARGE", "SMALL", "large_system", "many_services", "registry", "small_image"]

PLATFORM = Platform.host()
LARGE = (20, 5000, 20_000)
"""Images, files in each, bytes in each: 2 GB in 100,000 files."""

SMALL = "docker.io/bench/small:1"


def _contents(seed: int, size: int) -> bytes:
    """Bytes that compress to three quarters, as programs that are packed already and texts together
    do."""
    noise = random.Random(seed).randbytes(size * 3 // 4)
    return (noise + bytes(size - len(noise)))[:size]


def _put(store: Store, name: str, tree: Tree) -> None:
    _, manifest = assemble(store, name, tree, PLATFORM, ImageSettings(cmd=("/bin/program",)))
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest.to_json()]}
    data = json.dumps(index).encode()
    described = store.put(data, INDEX)
    store.tag(name, Descriptor(INDEX, described.digest, described.size))


def small_image(store: Store, version: int) -> None:
    """An image of 20 files and 2 MB as `SMALL`; another `version` has other contents in one of
    them."""
    tree: Tree = {"bin": directory(0o755, 0)}
    for number in range(20):
        seed = 1000 + number + (version << 20 if number == 0 else 0)
        tree[f"bin/{'program' if number == 0 else number}"] = file(
            _contents(seed, 100_000), 0o755, 0
        )
    _put(store, SMALL, tree)


def make_large(root: str) -> None:
    """The images of the 2 GB set, in the store at `root`, where it has none."""
    store = Store(Path(root))
    images, files, size = LARGE
    for number in range(images):
        name = f"docker.io/bench/large{number}:1"
        if store.resolve(name) is not None:
            continue
        tree: Tree = {}
        for one in range(files):
            tree.setdefault(f"d{one % 100}", directory(0o755, 0))
            tree[f"d{one % 100}/f{one}"] = file(_contents(number * files + one, size), 0o644, 0)
        _put(store, name, dict(sorted(tree.items())))


def large_system(store: Store) -> str:
    """YAML of a system with the 2 GB set."""
    # In a process of its own: the kernel counts this one's memory as that of the builds that it
    # starts.
    subprocess.run([sys.executable, __file__, str(store.root)], check=True)
    services = [
        f"  - {{name: s{one}, image: docker.io/bench/large{one}:1, command: [/x]}}"
        for one in range(LARGE[0])
    ]
    return "\n".join(
        ["kernel: {image: compos/kernel:v1}", "init: [compos/init:v1]", "services:", *services, ""]
    )


def many_services(count: int) -> str:
    """YAML of `count` services of one image."""
    services = [
        f"  - {{name: s{number}, image: {SMALL}, env: [N={number}]}}" for number in range(count)
    ]
    return "\n".join(
        ["kernel: {image: compos/kernel:v1}", "init: [compos/init:v1]", "services:", *services, ""]
    )


@contextmanager
def registry(folder: Path, store: Path, names: Sequence[str]) -> Iterator[str]:
    """Debian's docker-registry on loopback with `names` (canonical) in gzip layers; gives its
    host."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": host, "secret": "bench"},
    }
    (folder / "registry.yml").write_text(json.dumps(settings))
    server = subprocess.Popen(
        ["docker-registry", "serve", str(folder / "registry.yml")], stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(1)
        for name in names:
            target = f"docker://{host}/{name.partition('/')[2]}"
            options = ["--quiet", "--dest-compress-format", "gzip", "--dest-tls-verify=false"]
            subprocess.run(["skopeo", "copy", *options, f"oci:{store}:{name}", target], check=True)
        yield host
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    make_large(sys.argv[1])
