"""One stanza as a package."""

from __future__ import annotations

import pytest

from compos.errors import PackageError
from compos.package.debian.package import parse_package
from tests.package.debian.archive_of import stanza


def test_defaults() -> None:
    package = parse_package(stanza("a", "2", description="x\n y\n"), "trixie")
    assert (package.source, package.source_version, package.homepage, package.priority) == (
        "a",
        "2",
        "",
        3,
    )
    assert (*package.depends, *package.conflicts, *package.provides) == ()
    assert str(package) == "a 2"


@pytest.mark.parametrize(
    "text",
    [
        stanza("a").replace("SHA256", "MD5sum"),
        stanza("a", sha256="../../etc/passwd"),
        stanza("a", size="many"),
        stanza("a", size="-5"),
        stanza("a", size="9" * 5000),
        stanza("a", filename="../../etc/passwd"),
        stanza("a", filename="pool/../../x.deb"),
        stanza("a", filename="/etc/passwd"),
        stanza("a", filename="https://other.test/x.deb"),
        stanza("a", filename="pool//x.deb"),
        stanza("a", filename="pool/a b.deb"),
        stanza("a", filename="pool\\x.deb"),
        stanza("a", filename="pool/x\0.deb"),
        stanza("a", version="1:" + "9" * 5000),
        stanza("a", version="1 2"),
        stanza("a", version="\u0661"),
        stanza("a", architecture="amd64&x=y"),
        stanza("a b"),
        stanza("a", source="b (1 2)"),
        stanza("a", depends="b (>= " + "9" * 5000 + ")"),
        stanza("a") + "Filename: pool/other.deb\n",
        stanza("a", depends="b (is 1)"),
        "Package: a\n",
    ],
)
def test_unreadable(text: str) -> None:
    with pytest.raises(PackageError) as caught:
        parse_package(text, "trixie")
    assert caught.value.id == "debian-index"
    assert "\0" not in str(caught.value)


def test_what_other_archives_have() -> None:
    package = parse_package(stanza("a", priority="urgent", filename="./a.deb"), "trixie")
    assert (package.priority, package.filename) == (4, "./a.deb")
