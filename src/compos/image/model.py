"""What an image is: descriptors, manifests, indexes and configs as values, read strictly from their
JSON.

Pure; touches nothing. Field names and media types are those of the OCI image specification 1.1
("Content Descriptors", "Image Manifest", "Image Index", "Image Configuration") and of Docker's
"Image Manifest V 2, Schema 2".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from compos.errors import ImageError
from compos.image.digest import Digest
from compos.image.json_document import parse_json
from compos.image.platform import Platform

__all__ = [
    "ATTESTATION",
    "CONFIG",
    "EMPTY",
    "INDEX",
    "INDEX_TYPES",
    "LAYER_GZIP",
    "LAYER_TAR",
    "LAYER_ZSTD",
    "MANIFEST",
    "MANIFEST_TYPES",
    "REFERENCE_DIGEST",
    "REFERENCE_TYPE",
    "TITLE",
    "Descriptor",
    "Image",
    "ImageConfig",
    "ImageIndex",
    "Manifest",
    "parse_document",
    "unverifiable",
    "wrong_platform",
]

_OCI = "application/vnd.oci.image."
_DOCKER = "application/vnd.docker."

MANIFEST = f"{_OCI}manifest.v1+json"
INDEX = f"{_OCI}index.v1+json"
CONFIG = f"{_OCI}config.v1+json"
LAYER_TAR = f"{_OCI}layer.v1.tar"
LAYER_GZIP = f"{LAYER_TAR}+gzip"
LAYER_ZSTD = f"{LAYER_TAR}+zstd"

EMPTY = "application/vnd.oci.empty.v1+json"
"""The config of artifacts, which is `{}` ("Guidance for an Empty Descriptor")."""
TITLE = "org.opencontainers.image.title"
"""The annotation with a file's name, for clients that unpack artifacts."""

MANIFEST_TYPES = (MANIFEST, f"{_DOCKER}distribution.manifest.v2+json")
INDEX_TYPES = (INDEX, f"{_DOCKER}distribution.manifest.list.v2+json")
_SCHEMA1_TYPES = (
    f"{_DOCKER}distribution.manifest.v1+json",
    f"{_DOCKER}distribution.manifest.v1+prettyjws",
)
_FOREIGN = ("nondistributable", "foreign")

REFERENCE_TYPE = "vnd.docker.reference.type"
REFERENCE_DIGEST = "vnd.docker.reference.digest"
ATTESTATION = "attestation-manifest"
"""How an index says which manifest another one attests (BuildKit, "Image Attestation Storage")."""

MAX_SIZE = 1 << 63
"""What a descriptor's `size` is below (descriptor.md: int64)."""

MAX_SHOWN = 12
"""Platforms that an error names."""

_Value = TypeVar("_Value")


class Descriptor(NamedTuple):
    """A reference to a blob: `size` is in bytes. An entry that nobody needs may have a digest of
    any algorithm.

    `artifact_type` is what an entry of an index is that is no container image (`artifactType`).
    """

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = MappingProxyType({})
    platform: Platform | None = None
    artifact_type: str = ""

    def __hash__(self) -> int:
        return hash(self.digest)

    @classmethod
    def from_json(cls, value: object) -> Descriptor:
        """Read a descriptor; raises `ImageError` (`image-malformed`)."""
        plain = _object(value, "descriptor")
        digest = Digest.parse(plain.get("digest"))
        size = plain.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < MAX_SIZE:
            raise _malformed("the size of a descriptor is not a number of bytes")
        platform = plain.get("platform")
        return cls(
            _text(plain.get("mediaType"), "mediaType"),
            digest,
            size,
            _texts_by_name(plain.get("annotations"), "annotations"),
            Platform.from_json(_object(platform, "platform")) if platform is not None else None,
            str(plain.get("artifactType") or ""),
        )

    @property
    def plain(self) -> Descriptor:
        """Where the bytes are, without what an index says of them."""
        return Descriptor(self.media_type, self.digest, self.size)

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this descriptor, keys in the specification's order."""
        plain: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.platform:
            plain["platform"] = self.platform.to_json()
        if self.annotations:
            plain["annotations"] = dict(sorted(self.annotations.items()))
        if self.artifact_type:
            plain["artifactType"] = self.artifact_type
        return plain


class ImageConfig(NamedTuple):
    """The parts of an image's config blob that a build needs; absent texts are empty."""

    architecture: str
    os: str
    variant: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    stop_signal: str = ""
    labels: Mapping[str, str] = MappingProxyType({})
    diff_ids: tuple[Digest, ...] = ()
    user: str = ""

    @classmethod
    def from_bytes(cls, data: bytes) -> ImageConfig:
        """Read a config blob; raises `ImageError` (`image-malformed`)."""
        plain = _json(data, "config")
        run = _object(plain.get("config") or {}, "config")
        rootfs = _object(plain.get("rootfs") or {}, "rootfs")
        platform = Platform.from_json(plain)
        return cls(
            architecture=platform.architecture,
            os=platform.os,
            variant=platform.variant,
            entrypoint=_words(run.get("Entrypoint"), "Entrypoint"),
            cmd=_words(run.get("Cmd"), "Cmd"),
            env=_texts(run.get("Env"), "Env"),
            working_dir=_text(run.get("WorkingDir") or "", "WorkingDir"),
            stop_signal=_text(run.get("StopSignal") or "", "StopSignal"),
            labels=_texts_by_name(run.get("Labels"), "Labels"),
            diff_ids=_list(rootfs.get("diff_ids"), "diff_ids", Digest.parse),
            # Nothing but a notice depends on it.
            user=str(run.get("User") or ""),
        )

    @property
    def platform(self) -> Platform:
        """The platform that the image says it is for."""
        return Platform(self.os, self.architecture, self.variant)


class Image(NamedTuple):
    """One platform's image, complete in the store; layers lie from the lowest to the highest.

    `attestations` are the manifests that its index lists for it (an SBOM, provenance); the store
    may lack them.
    """

    name: str
    digest: str
    config: ImageConfig
    layers: tuple[Descriptor, ...]
    config_digest: str
    attestations: tuple[Descriptor, ...] = ()


class Manifest(NamedTuple):
    """An image manifest: its config and its layers.

    One with a `subject` is about another manifest: a signature, an attestation (image-spec,
    manifest.md). `artifact_type` is what it is: its `artifactType`, else its config's media type.
    """

    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = MappingProxyType({})

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """All that the manifest points to, each digest once."""
        return tuple({blob.digest: blob for blob in (self.config, *self.layers)}.values())

    def foreign_layer(self) -> Descriptor | None:
        """A layer that lies outside registries (Windows base layers), if there is one."""
        return next(
            (layer for layer in self.layers if any(word in layer.media_type for word in _FOREIGN)),
            None,
        )

    def require_usable(self, name: str) -> None:
        """Raise `ImageError` (`image-media-type`, `image-digest`) when a blob cannot be had, or not
        be verified."""
        if layer := self.foreign_layer():
            raise ImageError(
                "image-media-type",
                f"the layer {layer.digest} is foreign ({layer.media_type}): registries do not "
                "store it",
                place=name,
                hint="Use an image that has all of its layers in the registry.",
            )
        for blob in self.blobs:
            if not blob.digest.is_verifiable:
                raise unverifiable(name, blob)


class ImageIndex(NamedTuple):
    """An image index (Docker: manifest list): one manifest a platform, and attestations."""

    manifests: tuple[Descriptor, ...]

    def best(self, wanted: Platform) -> Descriptor | None:
        """The manifest that serves best for `wanted`; of equals the first (image-index.md, "Image
        Index")."""
        found: Descriptor | None = None
        rank = (9, 0)
        for manifest in self.manifests:
            if manifest.platform and manifest.media_type in MANIFEST_TYPES:
                mine = manifest.platform.rank(wanted)
                if mine is not None and mine < rank:
                    found, rank = manifest, mine
        return found

    def unnamed(self) -> tuple[Descriptor, ...]:
        """Manifests of images of which only their configs say what platform they are for."""
        return tuple(
            one
            for one in self.manifests
            if one.media_type in MANIFEST_TYPES
            and not (one.platform and one.platform.os)
            and not one.artifact_type
            and REFERENCE_TYPE not in one.annotations
        )

    def images(self) -> tuple[Descriptor, ...]:
        """Its manifests, attestations included; entries of types that nobody knows are left out."""
        return tuple(one for one in self.manifests if one.media_type in MANIFEST_TYPES)

    def inner(self) -> tuple[Descriptor, ...]:
        """The indexes inside of this one."""
        return tuple(one for one in self.manifests if one.media_type in INDEX_TYPES)

    def platforms(self) -> list[Platform]:
        """What its manifests are for, as far as it says."""
        return [manifest.platform for manifest in self.manifests if manifest.platform]

    def attestations(self, digest: str) -> tuple[Descriptor, ...]:
        """The attestation manifests of the manifest `digest`, as BuildKit lists them."""
        wanted = {REFERENCE_TYPE: ATTESTATION, REFERENCE_DIGEST: digest}.items()
        return tuple(
            manifest
            for manifest in self.manifests
            if wanted <= manifest.annotations.items() and manifest.media_type in MANIFEST_TYPES
        )


def unverifiable(name: str, blob: Descriptor) -> ImageError:
    """The error for a blob that is needed, and whose digest is of an algorithm that is not computed
    here."""
    return ImageError(
        "image-digest",
        f"the digest {blob.digest[:80]} cannot be verified: only SHA-256 is supported",
        place=name,
        hint="Push the image with SHA-256 digests.",
    )


def wrong_platform(name: str, wanted: Platform, there: Sequence[Platform]) -> ImageError:
    """The error for an image that exists, but not for the `wanted` platform."""
    # Attestations stand in an index as unknown/unknown.
    names = list(
        dict.fromkeys(str(platform) for platform in there if platform.os not in ("", "unknown"))
    )
    shown = [
        *names[:MAX_SHOWN],
        *([f"and {len(names) - MAX_SHOWN} others"] if len(names) > MAX_SHOWN else []),
    ]
    have = f"only for {', '.join(shown)}" if names else "for no platform that it lists"
    return ImageError(
        "image-platform",
        f"the image is not available for {wanted}, {have}",
        place=name,
        hint="Choose another --arch, or an image that is published for this platform.",
    )


def parse_document(data: bytes, *, media_type: str = "") -> tuple[str, Manifest | ImageIndex]:
    """Read a manifest or an index; returns its media type and its value.

    The document's own `mediaType` is believed before `media_type` (from a header or a descriptor).
    Raises `ImageError` (`image-media-type`) for what is neither, schema 1 by name, and
    (`image-malformed`) for bad JSON.
    """
    plain = _json(data, "manifest")
    declared = plain.get("mediaType") or media_type
    kind = declared if isinstance(declared, str) else ""
    if kind in _SCHEMA1_TYPES or plain.get("schemaVersion") == 1:
        raise ImageError(
            "image-media-type",
            "the image is in Docker's obsolete format (image manifest version 2, schema 1)",
            hint="Push the image again with a current tool.",
        )
    if "manifests" in plain and ("layers" in plain or "config" in plain):
        raise _malformed("the document is both a manifest and an index")
    if kind in INDEX_TYPES or ("manifests" in plain and kind not in MANIFEST_TYPES):
        kind = kind if kind in INDEX_TYPES else INDEX
        return kind, ImageIndex(_list(plain.get("manifests"), "manifests", Descriptor.from_json))
    if kind in MANIFEST_TYPES or ("config" in plain and "layers" in plain):
        kind = kind if kind in MANIFEST_TYPES else MANIFEST
        return kind, _manifest(plain)
    raise ImageError(
        "image-media-type",
        f"neither an image manifest nor an image index: {kind[:100] or 'no media type'}",
        hint="Use a container image; charts, signatures and other artifacts are not supported.",
    )


def _manifest(plain: Mapping[str, Any]) -> Manifest:
    config = Descriptor.from_json(plain.get("config"))
    subject = plain.get("subject")
    return Manifest(
        config,
        _list(plain.get("layers"), "layers", Descriptor.from_json),
        Descriptor.from_json(subject) if subject is not None else None,
        str(plain.get("artifactType") or config.media_type),
        _texts_by_name(plain.get("annotations"), "annotations"),
    )


def _json(data: bytes, what: str) -> dict[str, Any]:
    try:
        return _object(parse_json(data), what)
    except ValueError as error:
        raise _malformed(f"the {what} is not JSON") from error


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(f"{what} is not a JSON object")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise _malformed(f"{what} is not a string")
    return value


def _list(value: object, what: str, read: Callable[[object], _Value]) -> tuple[_Value, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _malformed(f"{what} is not a list")
    return tuple(read(item) for item in value)


def _texts(value: object, what: str) -> tuple[str, ...]:
    return _list(value, what, lambda item: _text(item, what))


def _texts_by_name(value: object, what: str) -> dict[str, str]:
    plain = _object(value, what) if value is not None else {}
    # Go reads null as an empty text.
    return {
        name: "" if text is None else _text(text, f"{what}: {name[:80]}")
        for name, text in plain.items()
    }


def _words(value: object, what: str) -> tuple[str, ...]:
    """A list of texts, or one text that stands for itself, as Docker takes it."""
    return (value,) if isinstance(value, str) else _texts(value, what)


def _malformed(message: str) -> ImageError:
    return ImageError("image-malformed", message, hint="Build and push the image again.")
