"""Builds on machines that have nothing: without a remote cache, with one, and with one after one
service has changed.

A command: `make bench-remote-cache`. Prints a table and writes it to docs/benchmarks-cache.md. The
images of examples/web.yml are in Debian's docker-registry on loopback, behind a proxy that counts;
each build is a process with a store and a home of its own. Processor time is compared within one
run.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from compos.config.images import image_references  # noqa: E402
from compos.config.load import load  # noqa: E402
from compos.image.digest import digest_of  # noqa: E402
from compos.image.model import LAYER_TAR, Descriptor  # noqa: E402
from compos.image.reference import Reference  # noqa: E402
from compos.image.registries.push import push, push_root  # noqa: E402
from compos.image.registries.registry import Registry  # noqa: E402
from compos.image.store import Store  # noqa: E402
from compos.remote.key import make_key_pair  # noqa: E402
from tests.image.conftest import started_registries  # noqa: E402
from tests.images import as_json, layer_tar  # noqa: E402
from tests.remote.proxy import CountingProxy  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

SYSTEM = ROOT / "examples/web.yml"
FORMATS = {"kernel+initrd": (), "raw-efi": ("--root", "erofs")}
FETCHED = (
    ("kernel+initrd",),
    ("kernel+initrd", "--compress", "gzip"),
    ("kernel+initrd", "--compress", "max"),
    ("kernel+squashfs",),
    ("kernel+erofs",),
    ("kernel+iso",),
    ("iso-efi",),
    ("uki",),
    ("raw-efi", "--root", "initrd"),
    ("raw-efi", "--root", "erofs"),
    ("raw-efi", "--root", "squashfs"),
    ("qcow2-efi", "--root", "erofs"),
    ("vmdk", "--root", "erofs"),
    ("gcp", "--root", "erofs"),
    ("tar",),
    ("oci",),
)
"""What the second table has a row of."""
CHANGED = 2 << 20
"""Bytes of the file that the service gets."""

HEAD = """\
# What a remote cache saves

`make bench-remote-cache` builds the web example on machines that have nothing: each build is a
process with a store and a home of its own, and all images come from a registry on loopback, through
a proxy that counts. Processor time is that of the process, as a ratio to the first row of its
format. In the rows "changed", the image of nginx has got a layer of 2 MiB since the cache was
filled.

| format | build | fetched, MB | requests | processor time | stored, MB |
|---|---|---|---|---|---|
"""
EACH = """
## What each format fetches

In megabytes: without a cache, with one that has all results, and with one after nginx has changed.
A format that compresses all together needs the contents of all images then.

| format | no cache | cache | cache, changed |
|---|---|---|---|
"""


class Measured(NamedTuple):
    """One build: megabytes fetched, requests, seconds of processor time, megabytes in its store,
    and the outputs' digests."""

    fetched: float
    requests: int
    seconds: float
    stored: float
    outputs: dict[str, str]


def main() -> None:
    """Print and write the tables."""
    rows = []
    fetched = []
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name, ExitStack() as stack:
        folder = Path(name)
        start = stack.enter_context(contextmanager(started_registries)(folder))
        proxy = stack.enter_context(CountingProxy(start()))
        make_key_pair(folder / "key")
        for form, flags in FORMATS.items():
            _publish(proxy.host)
            machines = _Machines(folder / form, proxy, ["--format", form, *flags])
            cache = f"{proxy.host}/team/{form.replace('+', '-')}"
            key = ("--cache-key", str(folder / "key"))
            share = ("--cache-to", cache, *key)
            use = ("--cache-from", cache, "--cache-key", str(folder / "key.pub"))
            plain = machines.build("plain")
            found = {
                "no cache": plain,
                "no cache, filling one": machines.build("filling", *share),
                "cache": machines.build("cached", *use),
            }
            _change(proxy.host)
            found["no cache, changed"] = machines.build("plain changed")
            found["cache, changed"] = machines.build("cached changed", *use)
            assert found["cache"].outputs == plain.outputs
            assert found["cache, changed"].outputs == found["no cache, changed"].outputs
            for what, one in found.items():
                rows.append(
                    f"| {form} {' '.join(flags)} | {what} | {one.fetched:.1f} | {one.requests} | "
                    f"{one.seconds / plain.seconds:.2f} | {one.stored:.0f} |"
                )
                sys.stdout.write(f"{rows[-1]}\n")
        for form, *more in FETCHED:
            _publish(proxy.host)
            name = "-".join((form, *more)).replace("+", "-")
            machines = _Machines(folder / name, proxy, ["--format", form, *more])
            cache = f"{proxy.host}/each/{name}"
            key = ("--cache-key", str(folder / "key"))
            use = ("--cache-from", cache, "--cache-key", str(folder / "key.pub"))
            filling = machines.build("filling", "--cache-to", cache, *key)
            unchanged = machines.build("cached", *use)
            assert unchanged.outputs == filling.outputs
            _change(proxy.host)
            changed = machines.build("changed", *use)
            cells = " | ".join(f"{one.fetched:.1f}" for one in (filling, unchanged, changed))
            fetched.append(f"| {' '.join((form, *more))} | {cells} |")
            sys.stdout.write(f"{fetched[-1]}\n")
            sys.stdout.flush()
            shutil.rmtree(folder / name)
    text = HEAD + "\n".join(rows) + "\n" + EACH + "\n".join(fetched) + "\n"
    (ROOT / "docs/benchmarks-cache.md").write_text(text)


class _Machines:
    def __init__(self, folder: Path, proxy: CountingProxy, flags: Sequence[str]) -> None:
        self._folder = folder
        self._proxy = proxy
        self._flags = flags

    def build(self, name: str, *flags: str) -> Measured:
        """Build on a new machine."""
        home = self._folder / name
        home.mkdir(parents=True)
        self._proxy.forget()
        command = [sys.executable, "-m", "compos", "build", str(SYSTEM), "--arch", "amd64"]
        command += ["--cache", str(home / "store"), "--dir", str(home), *self._flags, *flags]
        command += ["--bricks", f"{self._proxy.host}/bricks", "--quiet"]
        environment = {**os.environ, "HOME": str(home), "PYTHONPATH": f"{ROOT / 'src'}"}
        process = subprocess.Popen(command, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{name}: the build failed")
        outputs = {path.name: path for path in home.glob("web*")}
        store = sum(path.stat().st_blocks for path in (home / "store").rglob("*")) * 512
        return Measured(
            self._proxy.received / 1e6,
            len(self._proxy.paths),
            usage.ru_utime + usage.ru_stime,
            store / 1e6,
            {name: digest_of(path.read_bytes()) for name, path in outputs.items()},
        )


def _bricks() -> list[Reference]:
    names = [*image_references(load([str(SYSTEM)])), "compos/efi-stub:v1"]
    return [Reference.parse(name) for name in names]


def _publish(host: str) -> None:
    """Put the images into the registry."""
    store = Store(ROOT / "build/test-store")
    for reference in _bricks():
        name = reference.path.rpartition("/")[2]
        target = f"{host}/bricks/{name}:{reference.tag}"
        push(store, str(reference), registry=Registry(), target=target)


def _change(host: str) -> None:
    """Push nginx with another layer under its old name."""
    target = Reference.parse(f"{host}/bricks/nginx:v1")
    data = random.Random(0).randbytes(CHANGED)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        store = Store(Path(folder))
        registry = Registry()
        _, index = registry.manifest(target)
        entry = next(
            one
            for one in json.loads(index)["manifests"]
            if one["platform"]["architecture"] == "amd64"
        )
        _, text = registry.manifest(target._replace(tag="", digest=entry["digest"]))
        manifest = json.loads(text)
        for part in (manifest["config"], *manifest["layers"]):
            registry.download(target, Descriptor.from_json(part), store)
        config = json.loads(store.read(manifest["config"]["digest"]))
        tar = layer_tar([("srv/changed", "file", 0o644, data)])
        config["rootfs"]["diff_ids"].append(digest_of(tar))
        manifest["layers"].append(store.put(tar, LAYER_TAR).to_json())
        made = store.put(as_json(config), manifest["config"]["mediaType"])
        manifest["config"] = made.to_json()
        changed = store.put(as_json(manifest), entry["mediaType"])
        push_root(store, changed, registry=registry, target=str(target))


if __name__ == "__main__":
    main()
