"""All kinds of results that a store keeps of what builds have made of its images: one table. Pure.

A result lies at `derived/FOLDER/KEY`. Its key is made of everything that went in, so that equal
keys mean equal results, whichever image, system or build they are for (but for `OUTPUT`, one file
that is written anew). Where the code has a say in what is made, the kind's version is in the key or
in the result's head: whoever changes that code raises the version, and what the old code made is no
longer found. `tests/output/test_versions.py` compares what is made.

What is the same for all kinds is no column. None is synced: its seal holds until the machine is
started anew, then the result is read once (`seal`), so losing power harms none. When all take more
than the store may have, those that were used least recently go first (`removal`).
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["FOLDER", "DerivedKind", "is_derived_slice"]

FOLDER = "derived"
"""Where all of them lie, below a store's root."""

Form: TypeAlias = Literal["bytes", "record", "note"]
"""What a result is: bytes that nodes and outputs slice; columns (`tree.record`); a few words of
text."""

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=+@-]*")


class _Row(NamedTuple):
    """One kind: its `folder`; what a result is, `content` and `key` in words of the documentation;
    its `form`.

    `version` is 0 where the key alone decides the bytes. `label` is the name that stands beside the
    version in keys and in the heads of records; empty: the folder's. With `of_blob` keys begin with
    a blob's digest, and results are removed with that blob; what is `lasting` stays until then,
    because nobody may have it any more.
    """

    folder: str
    content: str
    key: str
    form: Form
    version: int = 0
    label: str = ""
    of_blob: bool = False
    lasting: bool = False


class DerivedKind(_Row, Enum):
    """A kind of derived result. There are no others: results are made and found by these only."""

    LAYER = _Row(
        folder="layer",
        content="a compressed layer as a plain tar (a plain layer is used where it is)",
        key="the blob's digest",
        form="bytes",
        of_blob=True,
    )
    LAYER_INDEX = _Row(
        folder="layer-index",
        content="what is in a layer",
        key="the blob's digest, version",
        form="record",
        version=3,
        label="layer",
        of_blob=True,
    )
    TREE = _Row(
        folder="tree",
        content="an image's layers as one tree",
        key="the manifest's digest, version",
        form="record",
        version=4,
        of_blob=True,
    )
    PARTIAL = _Row(
        folder="partial",
        content="the parts of a plain layer that builds read",
        key="the layer's file, the parts' places, version",
        form="record",
        version=1,
    )
    KERNEL_TAR = _Row(
        folder="kernel-tar",
        content="what is in a kernel image's `kernel.tar`",
        key="the manifest's digest, the file's name, version",
        form="record",
        version=4,
        of_blob=True,
    )
    KERNEL = _Row(
        folder="kernel",
        content="a decompressed kernel",
        key="the kernel's contents, version",
        form="bytes",
        version=3,
    )
    KERNEL_GZIP = _Row(
        folder="kernel-gzip",
        content="a kernel compressed as U-Boot unpacks it",
        key="the kernel's contents, compressor with version and level",
        form="bytes",
    )
    LOCAL = _Row(
        folder="local",
        content="which image an archive of this machine holds",
        key="reference, platform, path, inode, size and time of the file, version",
        form="note",
        version=3,
    )
    ENGINE = _Row(
        folder="engine",
        content="which image the Docker engine has exported",
        key="the image's id",
        form="note",
        of_blob=True,
    )
    SIGNATURES = _Row(
        folder="signatures",
        content="signatures of an image",
        key="the manifest's or index's digest",
        form="note",
        of_blob=True,
        lasting=True,
    )
    INPUT = _Row(
        folder="input",
        content="a copy of an input tar",
        key="its digest",
        form="bytes",
    )
    HOST = _Row(
        folder="host",
        content="a large file of this machine that the YAML names",
        key="its digest",
        form="bytes",
    )
    SBOM = _Row(
        folder="sbom",
        content="an SBOM document",
        key="its digest",
        form="bytes",
    )
    CONTENTS = _Row(
        folder="contents",
        content="digests of files that several images may share",
        key="the files' slices",
        form="record",
        version=2,
    )
    SEGMENT = _Row(
        folder="segment",
        content="a compressed cpio archive",
        key="all nodes, version, compressor with version and level",
        form="bytes",
        version=1,
    )
    EROFS = _Row(
        folder="image",
        content="a compressed EROFS",
        key="all nodes, version, compressor",
        form="bytes",
        version=1,
        label="erofs",
    )
    SQUASHFS = _Row(
        folder="image",
        content="a squashfs",
        key="all nodes, version, compressor",
        form="bytes",
        version=1,
        label="squashfs",
    )
    QCOW2 = _Row(
        folder="image",
        content="a qcow2 with compressed clusters",
        key="the disk's pieces, version, compressor",
        form="bytes",
        version=4,
        label="qcow2",
    )
    VMDK = _Row(
        folder="image",
        content="what a VMDK adds to slices of other files",
        key="the disk's pieces, version, compressor",
        form="bytes",
        version=4,
        label="vmdk",
    )
    GZIP_TAR = _Row(
        folder="image",
        content="what Google's archive adds to slices of other files",
        key="the disk's pieces, version, compressor",
        form="bytes",
        version=4,
        label="gzip tar",
    )
    SPOOL = _Row(
        folder="image",
        content="how one of the last two lies between these slices",
        key="as that one, with `.pieces`",
        form="record",
        version=2,
        label="spool",
    )
    RESULT = _Row(
        folder="result",
        content="a build's outputs as pieces",
        key="every input, version",
        form="record",
        version=12,
    )
    OUTPUT = _Row(
        folder="output",
        content="which files are outputs as builds wrote them since the machine was started",
        key="one for all, the newest 2,048",
        form="record",
        version=1,
        label="written files",
    )
    DEB = _Row(
        folder="deb",
        content="a Debian package's files as a plain tar",
        key="the package's digest",
        form="bytes",
    )
    DEB_INDEX = _Row(
        folder="deb-index",
        content="what is in a Debian package",
        key="the package's digest, version",
        form="record",
        version=2,
        label="deb",
    )
    PACKAGE = _Row(
        folder="package",
        content="a package of a brick's folder: its payload, decompressed",
        key="the package's digest",
        form="bytes",
    )
    PACKAGE_INDEX = _Row(
        folder="package-index",
        content="what is in such a package",
        key="the package's digest, version",
        form="record",
        version=1,
    )
    KERNEL_TAR_FILE = _Row(
        folder="kernel-tar-file",
        content="a brick's `kernel.tar`: decompressed modules with their indexes",
        key="the modules' nodes, version",
        form="bytes",
        version=4,
    )
    TRAVEL = _Row(
        folder="travel",
        content="what a plain layer is at a registry: digest and size of the compressed one",
        key="the blob's digest, compressor with version and level",
        form="note",
        of_blob=True,
    )
    ACCEL = _Row(
        folder="accel",
        content="whether KVM works",
        key="the host's kernel, CPU, QEMU, and start of the machine",
        form="note",
    )

    @property
    def title(self) -> str:
        """Label and version, as records have them in their heads."""
        return f"{self.label or self.folder} {self.version}"

    def stored_name(self, key: str) -> str:
        """The path of the result `key` below a store's root, whether or not it is there. Raises
        `ValueError` when no file can be called so."""
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a file name: {key!r}")
        return f"{FOLDER}/{self.folder}/{key}"


_SLICED = frozenset(kind.folder for kind in DerivedKind if kind.form == "bytes")


def is_derived_slice(name: str) -> bool:
    """Whether `name` is the path below a store's root of a result that can be sliced."""
    top, _, rest = name.partition("/")
    folder, _, key = rest.partition("/")
    return top == FOLDER and folder in _SLICED and _KEY.fullmatch(key) is not None
