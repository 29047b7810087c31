"""Names as users write them: the rules of LinuxKit, one row each."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compos.errors import ImageError
from compos.image.reference import HUB, HUB_HOSTS, Reference

DIGEST = "sha256:" + "0123456789abcdef" * 4

# text → canonical string, host that is contacted, repository there, version asked for
CASES = {
    "alpine": (f"{HUB}/library/alpine", HUB_HOSTS[0], "library/alpine", "latest"),
    "alpine:3.20": (f"{HUB}/library/alpine:3.20", HUB_HOSTS[0], "library/alpine", "3.20"),
    "a/b": (f"{HUB}/a/b", HUB_HOSTS[0], "a/b", "latest"),
    "a/b/c": ("a/b/c", HUB_HOSTS[0], "a/b/c", "latest"),
    "a/b/c:t": ("a/b/c:t", HUB_HOSTS[0], "a/b/c", "t"),
    f"{HUB}/alpine": (f"{HUB}/alpine", HUB_HOSTS[0], "library/alpine", "latest"),
    f"{HUB_HOSTS[1]}/a/b": (f"{HUB_HOSTS[1]}/a/b", HUB_HOSTS[1], "a/b", "latest"),
    "h.example/xy": ("h.example/xy", "h.example", "xy", "latest"),
    "h:5000/xy": ("h:5000/xy", "h:5000", "xy", "latest"),
    "h:5000/x/y:t": ("h:5000/x/y:t", "h:5000", "x/y", "t"),
    "localhost/foo": ("localhost/foo", "localhost", "foo", "latest"),
    "[::1]:5000/xy": ("[::1]:5000/xy", "[::1]:5000", "xy", "latest"),
    "h:5000//x/./y": ("h:5000/x/y", "h:5000", "x/y", "latest"),
    f"alpine@{DIGEST}": (f"{HUB}/library/alpine@{DIGEST}", HUB_HOSTS[0], "library/alpine", DIGEST),
    f"h:1/xy:t@{DIGEST}": (f"h:1/xy:t@{DIGEST}", "h:1", "xy", DIGEST),
}

NONSENSE = [
    "",
    "/",
    ":tag",
    "@" + DIGEST,
    "Alpine",
    "h.example/X",
    "h.example/x",
    "a b",
    "alpine:",
    "alpine:-x",
    "alpine:" + "x" * 129,
    "alpine@sha256:12",
    "alpine@sha512:" + "0" * 128,
    "alpine@",
    f"alpine@{DIGEST.upper()}",
    "h.example/../x",
    "h.example/" + "x" * 256,
    "https://h.example/xy",
    "user@h.example/xy",
    "h:port/xy",
    "-h.example/xy",
    "@pkg:./foo",
    "xy\n",
    "ä/b",
]


@pytest.mark.parametrize("text", CASES)
def test_parse(text: str) -> None:
    canonical, host, repository, version = CASES[text]
    reference = Reference.parse(text)
    assert str(reference) == canonical
    assert reference.origin == (host, repository)
    assert reference.version == version


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense(text: str) -> None:
    with pytest.raises(ImageError) as caught:
        Reference.parse(text)
    assert caught.value.id == "image-reference"
    assert caught.value.hint


@settings(deadline=None)
@given(st.text(alphabet="ab.:/@-_0A[] ", max_size=24))
def test_canonical_names_stay_as_they_are(text: str) -> None:
    try:
        canonical = str(Reference.parse(text))
    except ImageError:
        return
    assert str(Reference.parse(canonical)) == canonical
