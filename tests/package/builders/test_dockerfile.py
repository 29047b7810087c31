"""Which images a Dockerfile uses, by the rules of the Dockerfile reference. What builders make of the
same files is in test_builders.py."""

from __future__ import annotations

from contextlib import suppress

import pytest

from compos.errors import PackageError
from compos.image.platform import Platform
from compos.package.builders.dockerfile import images_used, renamed

ARM64 = Platform("linux", "arm64")
AMD64 = Platform("linux", "amd64")
DIGEST = "sha256:" + "0" * 64


def used(text: str, **arguments: str) -> list[str]:
    return [use.image for use in images_used(text, arguments, ARM64, AMD64, "Dockerfile")]


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM a/b:c", ["a/b:c"]),
        ("from a as b\nFrom B\nfrom c", ["a", "c"]),
        ("FROM scratch\nCOPY --from=x:1 / /\nCOPY --chown=1 --from=y / /", ["x:1", "y"]),
        ("FROM a AS b\nFROM b\nCOPY --from=0 / /\nCOPY --from=b / /", ["a"]),
        # A stage hides the image of its name, but not from its own FROM.
        ("FROM busybox AS busybox\nFROM busybox\nCOPY --from=busybox a b", ["busybox"]),
        (f"FROM a:b@{DIGEST}", [f"a:b@{DIGEST}"]),
        ("# FROM no\n\n  FROM a\n#FROM no", ["a"]),
        ("FROM \\\n  # a comment\n\n  a \\\n  AS b", ["a"]),
        ("# escape=`\nFROM `\n a\nRUN x \\\nFROM b", ["a", "b"]),
        ("#syntax=docker/dockerfile:1\n# escape = `\nFROM `\na", ["a"]),
        # No directive is one after anything else.
        ("# words\n# escape=`\nFROM a`b", ["a`b"]),
        ("FROM a\nRUN <<EOF\nFROM b\nEOF\nFROM c", ["a", "c"]),
        ("FROM a\nRUN <<-'E' x <<F\nFROM b\n\tE\nFROM c\nF\nFROM d", ["a", "d"]),
        ("FROM a\nRUN <<EOF\nFROM b", ["a", "b"]),
        (
            "FROM a\nRUN --mount=type=bind,from=m,target=/x --mount=type=cache,target=/y z",
            ["a", "m"],
        ),
        ("FROM a\nRUN echo --from=b COPY --from=c", ["a"]),
        ("FROM a\nLABEL x=1 \\\n  FROM=b\nUSER FROM", ["a"]),
        ("\ufeffFROM a".removeprefix("\ufeff"), ["a"]),
        ("FROM a\r\nCOPY --from=b x y\r\n", ["a", "b"]),
    ],
)
def test_images(text: str, images: list[str]) -> None:
    assert used(text) == images


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("ARG V=1\nFROM a:$V", ["a:1"]),
        ("ARG V=1 W='2'\nFROM a:${V}-${W}", ["a:1-2"]),
        ('ARG A="x/y"\nFROM "$A"', ["x/y"]),
        ("ARG GIVEN=no\nFROM a:$GIVEN", ["a:yes"]),
        ("ARG GIVEN\nFROM a:$GIVEN", ["a:yes"]),
        # Not declared: it does not count.
        ("FROM a:x$GIVEN", ["a:x"]),
        ("ARG A=1\nARG B=${A}2\nFROM a:$B", ["a:12"]),
        ("FROM a:${V:-d}", ["a:d"]),
        ("ARG V=\nFROM a:${V:-d}${V-e}", ["a:d"]),
        ("ARG V=1\nFROM a:${V:+s}${W:+t}", ["a:s"]),
        ("FROM a AS x\nARG V=1\nFROM b:x$V", ["a", "b:x"]),
        ("FROM a-$TARGETARCH-$BUILDARCH", ["a-arm64-amd64"]),
    ],
)
def test_arguments(text: str, images: list[str]) -> None:
    assert used(text, GIVEN="yes") == images


def test_platforms() -> None:
    text = "FROM --platform=$BUILDPLATFORM a AS x\nFROM --platform=linux/riscv64 b\nFROM c"
    uses = images_used(text, {}, ARM64, AMD64, "Dockerfile")
    assert [(use.image, str(use.platform), use.line) for use in uses] == [
        ("a", "linux/amd64", 1),
        ("b", "linux/riscv64", 2),
        ("c", "linux/arm64", 3),
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "D"),
        ("RUN x", "D"),
        ("ARG V\nFROM $V", "D:2"),
        ("FROM", "D:1"),
        ("FROM a b c", "D:1"),
    ],
)
def test_no_image(text: str, place: str) -> None:
    with pytest.raises(PackageError) as caught:
        images_used(text, {}, ARM64, AMD64, "D")
    assert (caught.value.id, caught.value.place) == ("dockerfile-image", place)


def test_hostile_text_takes_no_time() -> None:
    for text in (
        "FROM " + "a" * 100_000,
        "FROM " + "${" * 50_000,
        "FROM a\nRUN " + "<<E " * 20_000,
        "ARG " + "'" * 100_000 + "\nFROM a",
        "FROM a\nRUN " + "--mount=" * 50_000,
        "FROM " + "--x " * 50_000 + "\x00",
        "\\\n" * 200_000,
        "FROM a AS " + " " * 200_000 + "x",
    ):
        with suppress(PackageError):
            used(text)


def test_renamed() -> None:
    text = (
        "ARG V=1\r\n"
        "FROM busybox:$V \\\n  # busybox:$V\n  AS busybox\n"
        "FROM --platform=linux/arm64 busybox\n"
        "COPY --from=busybox busybox /busybox\n"
        "COPY --from=other:2 other:2 /other:2\n"
        "RUN --mount=from=other:2,target=/x echo other:2"
    )
    uses = images_used(text, {}, ARM64, AMD64, "D")
    assert renamed(text, {use: f"host:1/{use.image}" for use in uses}) == (
        "ARG V=1\r\n"
        "FROM host:1/busybox:1 \\\n  # busybox:$V\n  AS busybox\n"
        "FROM --platform=linux/arm64 busybox\n"
        "COPY --from=busybox busybox /busybox\n"
        "COPY --from=host:1/other:2 other:2 /other:2\n"
        "RUN --mount=from=host:1/other:2,target=/x echo other:2"
    )
    assert renamed(text, {}) == text
