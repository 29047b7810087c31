"""Which mirror is chosen, from apt's configuration in both formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.errors import PackageError
from compos.package.debian.mirror import Mirror, default_mirror

DEB822 = """\
# the main archive
Types: deb deb-src
URIs: {uri}
Suites: bookworm bookworm-updates
Components: main
Signed-By: {key}
"""
ARCHIVE_KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "keyrings").mkdir()
    (tmp_path / "keyrings/debian-archive-keyring.gpg").write_bytes(b"")
    return tmp_path


def chosen(
    machine: Path, url: str | None = None, security: str | None = None, **environment: str
) -> Mirror:
    return default_mirror(
        url, security, environment=environment, apt=machine / "apt", keyrings=machine / "keyrings"
    )


def security_of(mirror: Mirror) -> str:
    return mirror.address("trixie-security", "").rstrip("/")


def sources(machine: Path, name: str, text: str) -> None:
    (machine / "apt" / name).write_text(text)


def test_precedence(machine: Path) -> None:
    sources(
        machine,
        "sources.list.d/debian.sources",
        DEB822.format(uri="http://apt.test/debian/", key=ARCHIVE_KEY),
    )
    assert chosen(machine).url == "http://apt.test/debian"
    assert (
        chosen(machine, COMPOS_DEBIAN_MIRROR="http://variable.test/d").url
        == "http://variable.test/d"
    )
    both = chosen(machine, "file:///srv/debian", COMPOS_DEBIAN_MIRROR="http://variable.test/d")
    assert both.url == "file:///srv/debian"
    assert both.keyring == machine / "keyrings/debian-archive-keyring.gpg"


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("deb http://a.test/debian trixie main contrib", "http://a.test/debian"),
        (
            "deb [arch=amd64 signed-by=/k.gpg] https://a.test/debian trixie main # why",
            "https://a.test/debian",
        ),
        (
            "deb-src http://a.test/debian trixie main\ndeb http://b.test/debian trixie main",
            "http://b.test/debian",
        ),
        (
            "deb http://a.test/s bookworm-security main\ndeb http://b.test/d bookworm main",
            "http://b.test/d",
        ),
        ("deb cdrom:[disc]/ bookworm main\ndeb http://b.test/d bookworm main", "http://b.test/d"),
        (
            "#deb http://a.test/debian trixie main\ndeb http://b.test/debian trixie main",
            "http://b.test/debian",
        ),
    ],
)
def test_one_line_format(machine: Path, line: str, url: str) -> None:
    sources(machine, "sources.list", line)
    assert chosen(machine).url == url


def test_third_parties_are_passed_over(machine: Path) -> None:
    sources(
        machine, "sources.list.d/a.sources", DEB822.format(uri="https://vendor.test/", key="/k.gpg")
    )
    sources(
        machine,
        "sources.list.d/b.sources",
        DEB822.format(uri="https://other.test/debian", key="/k.gpg"),
    )
    assert chosen(machine).url == "https://other.test/debian"
    sources(
        machine,
        "sources.list.d/c.sources",
        DEB822.format(uri="https://real.test/copy", key=ARCHIVE_KEY),
    )
    assert chosen(machine).url == "https://real.test/copy"
    disabled = "Enabled: no\n" + DEB822.format(uri="https://real.test/copy", key=ARCHIVE_KEY)
    sources(machine, "sources.list.d/c.sources", disabled)
    assert chosen(machine).url == "https://other.test/debian"


@pytest.mark.parametrize(
    "text",
    ["", "deb http://a.test/ubuntu noble main", "deb http://a.test/s trixie-security main", "deb"],
)
def test_no_mirror(machine: Path, text: str) -> None:
    sources(machine, "sources.list", text)
    with pytest.raises(PackageError) as caught:
        chosen(machine)
    assert caught.value.id == "debian-no-mirror"
    assert "--debian-mirror" in str(caught.value.hint)
    assert "COMPOS_DEBIAN_MIRROR" in str(caught.value.hint)


@pytest.mark.parametrize(
    "url",
    [
        "debian",
        "ftp://a.test/debian",
        "http://",
        "http://u:secret@[/",
        "http://a.test/d?x=1",
        "http://a.test/d#x",
        "http://a.test:99999999/d",
        "http://a.test:-1/d",
        "http://a b/d",
        "http://a.test/d\n",
        "http://\udcff/d",
        "file:relative",
        "file://host/path",
        "file:///a\0b",
    ],
)
def test_unusable_url(machine: Path, url: str) -> None:
    with pytest.raises(PackageError) as caught:
        chosen(machine, url)
    assert caught.value.id == "debian-mirror-url"
    assert "secret" not in f"{caught.value} {caught.value.hint}"


def test_keyring(machine: Path) -> None:
    (machine / "keyrings/debian-archive-keyring.gpg").rename(
        machine / "keyrings/debian-archive-keyring.pgp"
    )
    assert chosen(machine, "http://a.test/d").keyring.suffix == ".pgp"
    other = machine / "own.gpg"
    other.write_bytes(b"")
    assert chosen(machine, "http://a.test/d", COMPOS_DEBIAN_KEYRING=str(other)).keyring == other
    other.unlink()
    with pytest.raises(PackageError) as caught:
        chosen(machine, "http://a.test/d", COMPOS_DEBIAN_KEYRING=str(other))
    assert caught.value.id == "debian-no-keyring"


@pytest.mark.parametrize(
    ("suite", "path", "url"),
    [
        ("trixie", "pool/a_1%3a2+b~1.deb", "http://a.test/debian/pool/a_1%253a2+b~1.deb"),
        ("trixie-updates", "x", "http://a.test/debian/x"),
        ("trixie-security", "x", "http://a.test/debian-security/x"),
    ],
)
def test_address(suite: str, path: str, url: str) -> None:
    assert Mirror("http://a.test/debian", Path("k")).address(suite, path) == url


@pytest.mark.parametrize(
    ("url", "security"),
    [
        ("http://a.test/debian", "http://a.test/debian-security"),
        ("http://a.test/debian/", "http://a.test/debian-security"),
        ("http://a.test/debian/of/debian", "http://a.test/debian/of/debian-security"),
        (
            "http://a.test/archive/debian/20260520T000000Z",
            "http://a.test/archive/debian-security/20260520T000000Z",
        ),
        ("file:///srv/mirror", "file:///srv/mirror-security"),
        ("http://a.test/debian-security", "http://a.test/debian-security"),
    ],
)
def test_security_beside_the_mirror(url: str, security: str) -> None:
    assert security_of(Mirror(url, Path("k"))) == security


APT_SECURITY = """\
Types: deb
URIs: http://apt.test/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://security.test/sec/
Suites: bookworm-security
Components: main
Check-Valid-Until: no
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list.d/debian.sources", APT_SECURITY),
        (
            "sources.list",
            """deb http://apt.test/debian trixie main
            deb http://[ trixie main
            deb [check-valid-until=no] http://security.test/sec/ trixie-security main""",
        ),
    ],
)
def test_security_archive(machine: Path, name: str, text: str) -> None:
    sources(machine, name, text)
    assert security_of(chosen(machine)) == "http://security.test/sec"
    # apt's belongs to apt's mirror.
    assert security_of(chosen(machine, "http://a.test/debian")) == "http://a.test/debian-security"
    variable = "http://variable.test/s"
    assert security_of(chosen(machine, COMPOS_DEBIAN_SECURITY_MIRROR=variable)) == variable
    assert (
        security_of(chosen(machine, None, "file:///s", COMPOS_DEBIAN_SECURITY_MIRROR=variable))
        == "file:///s"
    )
    assert chosen(machine, COMPOS_DEBIAN_SECURITY_MIRROR="none").security == ""
    with pytest.raises(PackageError) as caught:
        chosen(machine, None, "somewhere")
    assert caught.value.id == "debian-mirror-url"


def test_old_indexes_are_accepted_by_name(machine: Path) -> None:
    line = "deb [{}] http://apt.test/debian trixie main"
    sources(machine, "sources.list", line.format("arch=amd64"))
    assert not chosen(machine).expired
    assert not chosen(machine, COMPOS_DEBIAN_EXPIRED="0").expired
    assert chosen(machine, COMPOS_DEBIAN_EXPIRED="1").expired
    sources(machine, "sources.list", line.format("check-valid-until=no"))
    assert chosen(machine).expired
    assert not chosen(machine, "http://a.test/debian").expired
