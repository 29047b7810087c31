"""Indexes at registries: what stays of one when another is pushed (docs/linuxkit.md#cli-2.9)."""

from __future__ import annotations

import pytest

from compos.image.digest import digest_of
from compos.image.model import MANIFEST, REFERENCE_DIGEST, Descriptor, ImageIndex
from compos.image.platform import Platform
from compos.image.registries.tags import merge


def entry(text: str) -> Descriptor:
    """`NAME linux/ARCH`, `NAME of OTHER` for an attestation, or `NAME` for what has no platform."""
    name, _, rest = text.partition(" ")
    digest = digest_of(name.encode())
    if rest.startswith("of "):
        about = {REFERENCE_DIGEST: digest_of(rest[3:].encode())}
        return Descriptor(MANIFEST, digest, 1, about, Platform("unknown", "unknown"))
    return Descriptor(MANIFEST, digest, 1, {}, Platform.parse(rest) if rest else None)


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        ("a linux/amd64", "", "a"),
        ("a linux/amd64", "b linux/arm64", "a b"),
        ("a linux/amd64", "b linux/amd64", "a"),
        ("a linux/amd64,x of a", "b linux/amd64,y of b", "a x"),
        ("a linux/amd64,x of a", "b linux/arm64,y of b,z of gone", "a x b y"),
        ("a linux/amd64", "a linux/amd64,x of a", "a x"),
        ("a linux/arm64", "b linux/arm64/v8,c linux/arm/v7", "a c"),
        ("a linux/arm/v6", "b linux/arm/v7", "a b"),
        ("a linux/amd64", "b,c unknown/unknown", "a b c"),
        ("a linux/amd64,b linux/arm64", "c linux/riscv64,d windows/amd64", "a b c d"),
    ],
)
def test_merge(ours: str, theirs: str, merged: str) -> None:
    index = ImageIndex(tuple(map(entry, theirs.split(",")))) if theirs else None
    found = merge([entry(text) for text in ours.split(",")], index)
    assert {one.digest for one in found} == {digest_of(name.encode()) for name in merged.split()}
    assert len(found) == len(merged.split())
