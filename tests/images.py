"""Small synthetic OCI images, put straight into a store: any members, compression, platform and
media types."""

from __future__ import annotations

import gzip
import io
import json
import stat
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from compos.image.digest import digest_of
from compos.image.model import (
    CONFIG,
    INDEX,
    LAYER_GZIP,
    LAYER_TAR,
    LAYER_ZSTD,
    MANIFEST,
    Descriptor,
    Image,
    ImageConfig,
)
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.store import Store
from compos.zstd import zstd

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")

Kind = Literal["file", "dir", "symlink", "hardlink", "char", "block", "fifo"]
Compression = Literal["gzip", "zstd", "plain"]

_TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}
_MEDIA_TYPES = {"gzip": LAYER_GZIP, "zstd": LAYER_ZSTD, "plain": LAYER_TAR}
_DOCKER = "application/vnd.docker."


@dataclass(frozen=True)
class Member:
    """One member of a layer; `content` is a file's bytes, a link's target, or a device's (major,
    minor)."""

    name: str
    kind: Kind = "file"
    mode: int = 0o644
    content: bytes | str | tuple[int, int] = b""
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    xattrs: Mapping[str, str] = field(default_factory=dict)


Members = Iterable["Member | tuple[Any, ...]"]


def layer_tar(members: Members) -> bytes:
    """The members as an uncompressed PAX tar, in the given order; tuples are the arguments of
    `Member`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for given in members:
            member = given if isinstance(given, Member) else Member(*given)
            info = tarfile.TarInfo(member.name)
            info.type = _TYPES[member.kind]
            info.mode = stat.S_IMODE(member.mode)
            info.uid, info.gid, info.mtime = member.uid, member.gid, member.mtime
            info.pax_headers = {
                f"SCHILY.xattr.{name}": value for name, value in member.xattrs.items()
            }
            data = b""
            if isinstance(member.content, tuple):
                info.devmajor, info.devminor = member.content
            elif member.kind in ("symlink", "hardlink"):
                info.linkname = (
                    member.content if isinstance(member.content, str) else member.content.decode()
                )
            else:
                data = (
                    member.content.encode() if isinstance(member.content, str) else member.content
                )
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def compress(data: bytes, compression: Compression) -> bytes:
    """`data` compressed, always to the same bytes."""
    if compression == "gzip":
        return gzip.compress(data, mtime=0)
    if compression == "zstd":
        return zstd.compress(data)
    return data


def as_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def put_image(
    store: Store,
    *,
    layers: Sequence[Members] = (),
    config: Mapping[str, Any] | None = None,
    platform: Platform = AMD64,
    compression: Compression = "gzip",
    docker: bool = False,
) -> tuple[Descriptor, Descriptor, list[Descriptor]]:
    """Blobs of one image, without a name: descriptors of manifest, config and layers."""
    tars = [layer_tar(members) for members in layers]
    layer_type = f"{_DOCKER}image.rootfs.diff.tar.gzip" if docker else _MEDIA_TYPES[compression]
    blobs = [store.put(compress(tar, compression), layer_type) for tar in tars]
    document = {
        **platform.to_json(),
        "config": dict(config or {}),
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
    }
    settings = store.put(
        as_json(document), f"{_DOCKER}container.image.v1+json" if docker else CONFIG
    )
    media_type = f"{_DOCKER}distribution.manifest.v2+json" if docker else MANIFEST
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": settings.to_json(),
        "layers": [blob.to_json() for blob in blobs],
    }
    return store.put(as_json(manifest), media_type), settings, blobs


def make_image(
    store: Store,
    name: str,
    layers: Sequence[Members] = (),
    config: Mapping[str, Any] | None = None,
    *,
    platform: Platform = AMD64,
    compression: Compression = "gzip",
    docker: bool = False,
) -> Image:
    """An image of one manifest under `name`; `config` holds Docker's keys (`Cmd`, `Env`, `Labels`,
    ...)."""
    manifest, settings, blobs = put_image(
        store,
        layers=layers,
        config=config,
        platform=platform,
        compression=compression,
        docker=docker,
    )
    canonical = str(Reference.parse(name))
    store.tag(canonical, manifest)
    return Image(
        canonical,
        manifest.digest,
        ImageConfig.from_bytes(store.read(settings.digest)),
        tuple(blobs),
        settings.digest,
    )


def make_index(
    store: Store,
    name: str,
    manifests: Mapping[Platform, Descriptor],
    *,
    attestation: Descriptor | None = None,
) -> Descriptor:
    """An index under `name` over manifests from `put_image`; an attestation stands in it as
    BuildKit writes it."""
    children = [
        {**Descriptor(child.media_type, child.digest, child.size, platform=platform).to_json()}
        for platform, child in manifests.items()
    ]
    if attestation:
        children.append(
            {**attestation.to_json(), "platform": {"architecture": "unknown", "os": "unknown"}}
        )
    index = store.put(
        as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}), INDEX
    )
    store.tag(str(Reference.parse(name)), index)
    return index
