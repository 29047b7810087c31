"""Disks with a machine's metadata, as cloud-init and our own brick `metadata` look for them:
NoCloud's, and OpenStack's config drive.

May touch: nothing but the file that it is asked to write.

Sources: docs.cloud-init.io, reference/datasources/nocloud and configdrive; OpenStack Nova's user
guide, "Metadata": labels, paths and names of keys.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from compos.errors import RunError
from compos.filesystem.fat import fat_image
from compos.filesystem.iso9660 import IsoLayout
from compos.output.place import put_file
from compos.tree.node import EPOCH, Hole, Piece, Tree, directory, file

__all__ = ["FORMS", "SOURCES", "Instance", "write_datasource"]

FORMS = ("iso", "fat")
MAX_USER_DATA = 4 << 20
"""Bytes that the brick `metadata` reads; clouds take less: 16 KiB AWS, 64 KiB OpenStack."""
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\0-\x1f\x7f]*)?")


class Instance(NamedTuple):
    """What a machine is told. `keys` are lines of authorized_keys; `network` is in the data
    source's own form. Without an `id`, it follows from all the others: cloud-init does again what
    it does once for an instance when something has changed."""

    user_data: bytes = b""
    hostname: str = ""
    keys: tuple[str, ...] = ()
    network: bytes = b""
    vendor_data: bytes = b""
    id: str = ""


class Source(NamedTuple):
    """A data source: its name for people, the volume's label, and the files of an instance."""

    title: str
    label: str
    files: Callable[[Instance], dict[str, bytes]]


def write_datasource(instance: Instance, source: str, form: str, path: Path) -> None:
    """Write the disk of a data source (a row of `SOURCES`) as `iso` or `fat`, for the user alone:
    metadata holds keys and passwords. Raises `RunError` (`metadata-*`) and `OutputError`."""
    _check(instance)
    row = SOURCES[source]
    put_file(path, b"".join(map(_bytes, _image(row, form, _named(instance)))), secret=True)


def _image(row: Source, form: str, instance: Instance) -> Iterable[Piece]:
    tree: Tree = {}
    for path, content in row.files(instance).items():
        if content:
            tree[path] = file(content, 0o644, EPOCH)
            for parent in Path(path).parents[:-1]:
                tree[str(parent)] = directory(0o755, EPOCH)
    entries = sorted(tree.items())
    if form == "fat":
        serial = int.from_bytes(_digest(instance)[:4], "little")
        return fat_image(entries, serial=serial, label=row.label.upper()).pieces
    return IsoLayout(entries, volume=row.label).pieces()


def _nocloud(instance: Instance) -> dict[str, bytes]:
    """`user-data` and `meta-data` have to be there, even if there is nothing in them."""
    meta = [f"instance-id: {json.dumps(instance.id)}"]
    meta += [f"local-hostname: {json.dumps(instance.hostname)}"] if instance.hostname else []
    # JSON's strings are YAML's quoted ones.
    meta += ["public-keys:"] if instance.keys else []
    meta += [f"- {json.dumps(key)}" for key in instance.keys]
    return {
        "meta-data": "".join(f"{line}\n" for line in meta).encode(),
        "user-data": instance.user_data or b"\n",
        "network-config": instance.network,
        "vendor-data": instance.vendor_data,
    }


def _config_drive(instance: Instance) -> dict[str, bytes]:
    meta: dict[str, object] = {"uuid": instance.id}
    if instance.hostname:
        meta |= {"hostname": instance.hostname, "name": instance.hostname.partition(".")[0]}
    if instance.keys:
        meta["public_keys"] = {f"key-{n}": key for n, key in enumerate(instance.keys)}
    for name, content in (
        ("network data", instance.network),
        ("vendor data", instance.vendor_data),
    ):
        _require_json(name, content)
    return {
        "openstack/latest/meta_data.json": json.dumps(meta, indent=1).encode() + b"\n",
        "openstack/latest/user_data": instance.user_data,
        "openstack/latest/network_data.json": instance.network,
        "openstack/latest/vendor_data.json": instance.vendor_data,
    }


SOURCES = {
    "nocloud": Source("NoCloud", "cidata", _nocloud),
    "config-drive": Source("config drive", "config-2", _config_drive),
}


def _named(instance: Instance) -> Instance:
    return (
        instance
        if instance.id
        else instance._replace(id=str(UUID(bytes=_digest(instance)[:16], version=5)))
    )


def _digest(instance: Instance) -> bytes:
    parts = (
        instance.user_data,
        instance.hostname.encode(),
        *(key.encode() for key in instance.keys),
        b"",
        instance.network,
        instance.vendor_data,
    )
    lengths = b"".join(len(part).to_bytes(8, "little") for part in parts)
    return hashlib.sha256(lengths + b"".join(parts)).digest()


def _check(instance: Instance) -> None:
    if len(instance.user_data) > MAX_USER_DATA:
        raise _invalid("size", f"there are more than {MAX_USER_DATA >> 20} MiB of user data")
    if instance.hostname and (
        len(instance.hostname) > 253 or not _HOST_NAME.fullmatch(instance.hostname)
    ):
        raise _invalid("hostname", f"{instance.hostname!r} is not a host name")
    if instance.id and not _ID.fullmatch(instance.id):
        raise _invalid("id", f"{instance.id!r} is not an instance's id")
    for key in instance.keys:
        if not _KEY.fullmatch(key):
            raise _invalid("key", "an SSH key is not a line of authorized_keys, without options")


def _require_json(name: str, content: bytes) -> None:
    try:
        valid = not content or isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        valid = False
    if not valid:
        raise _invalid("json", f"the {name} of a config drive has to be a JSON object")


def _invalid(kind: str, reason: str) -> RunError:
    return RunError(
        f"metadata-{kind}", reason, hint="See compos metadata --help and bricks/metadata/README.md."
    )


def _bytes(piece: Piece) -> bytes:
    if isinstance(piece, Hole):
        return bytes(piece.size)
    if isinstance(piece, bytes):
        return piece
    raise TypeError("metadata is not in a store")
