"""One stanza as a package."""

from __future__ import annotations

import pytest

from compos.errors import PackageError
from compos.package.debian.package import parse_package
from tests.package.debian.archive_of import stanza


def test_defaults() -> None:
    package = parse_package(stanza("a", "2", description="x\n y\n"), "trixie")
    assert (package.source, package.source_version, package.homepage, package.priority) == ("a", "2", "", 3)
    assert (*package.depends, *package.conflicts, *package.provides) == ()
    assert str(package) == "a 2"


@pytest.mark.parametrize(
    "text",
    [
        stanza("a").replace("SHA256", "MD5sum"),
        stanza("a", sha256="../../etc/passwd"),
        stanza("a", size="many"),
        stanza("a", priority="urgent"),
        stanza("a", depends="b (is 1)"),
        "Package: a\n",
    ],
)
def test_unreadable(text: str) -> None:
    with pytest.raises(PackageError) as caught:
        parse_package(text, "trixie")
    assert caught.value.id == "debian-index"
