"""What Debian has newer than in the store's bricks: updates, security updates, kernels with new
names; and what CI sees."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.http.client import Client
from compos.image.names import Origin, bind
from compos.image.platform import Platform
from compos.image.store import REF_NAME, Store
from compos.package.build import Builder
from compos.package.debian.mirror import Mirror
from compos.package.outdated import Newer, Outdated, bricks_of, outdated
from compos.package.recipe import load_recipe, named
from tests.package.debian.archive_of import Archive, Key

AMD64 = Platform("linux", "amd64")
RECIPE = "image: tool\norg: test\ntag: v1\ndebian: {packages: [tool]}\n"


class Debian:
    """A suite with the packages `tool` and `lib`, both of version 1, and a brick made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "store")
        self.archive = Archive(folder / "debian", Key())
        self.archive.add_deb("tool", {"usr/bin/tool": b"1"}, depends="lib, empty")
        self.archive.add_deb("lib", {"usr/lib/data": b"1"})
        self.archive.add_deb("empty", {})
        self.archive.write_all()
        self.keyring = self.archive.key.keyring(folder / "keyring")
        (folder / "tool").mkdir()
        self.recipe(RECIPE)

    def recipe(self, text: str) -> None:
        (self.folder / "tool/build.yml").write_text(text)

    def publish(self, kind: str, name: str, version: str) -> None:
        """A newer package in the suite's `updates` or `security` updates, or in the suite
        itself."""
        suite = self.archive.beside(kind) if kind else self.archive
        depends = "lib, empty" if name == "tool" else ""
        suite.add_deb(name, {f"usr/lib/{name}": version.encode()}, version, depends=depends)
        suite.write()

    def builder(self, **options: str) -> Builder:
        client = Client(wait=lambda _: None)
        mirror = Mirror(self.archive.root.as_uri(), self.keyring, client, **options)  # type: ignore[arg-type]
        return Builder(self.store, lambda: mirror)

    def build(self) -> str:
        recipe = load_recipe(self.folder / "tool")
        return self.builder().build(recipe, AMD64, named(recipe)).digest

    def outdated(self) -> list[Outdated]:
        recipes = [load_recipe(self.folder / "tool")]
        return [
            outdated(self.store, self.builder().indexes, brick)
            for brick in bricks_of(self.store, recipes)
        ]

    def run(self, *flags: str) -> int:
        mirrors = ("--debian-mirror", self.archive.root.as_uri())
        return main(
            [
                "pkg",
                "outdated",
                "--cache",
                str(self.store.root),
                *mirrors,
                *flags,
                str(self.folder / "tool"),
            ]
        )


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Debian:
    made = Debian(tmp_path)
    monkeypatch.setenv("COMPOS_DEBIAN_KEYRING", str(made.keyring))
    return made


def test_nothing_newer(debian: Debian) -> None:
    debian.build()
    (found,) = debian.outdated()
    assert (found.newer, found.security, found.packages) == (False, False, ())


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        (
            [("updates", "lib", "2")],
            Newer("lib", "1", "lib", "2", "trixie-updates", security=False),
        ),
        (
            [("security", "lib", "1+deb13u1")],
            Newer("lib", "1", "lib", "1+deb13u1", "trixie-security", security=True),
        ),
        # A security update stays one when something newer, or the next point release, has overtaken
        # it.
        (
            [("security", "lib", "2"), ("updates", "lib", "3")],
            Newer("lib", "1", "lib", "3", "trixie-updates", security=True),
        ),
        (
            [("security", "lib", "2"), ("", "lib", "2")],
            Newer("lib", "1", "lib", "2", "trixie", security=True),
        ),
    ],
)
def test_newer(debian: Debian, published: Sequence[tuple[str, str, str]], expected: Newer) -> None:
    before = debian.build()
    for one in published:
        debian.publish(*one)
    (found,) = debian.outdated()
    assert found.packages == (expected,)
    assert (found.newer, found.security) == (True, expected.security)
    # Built anew, the brick has it.
    assert debian.build() != before
    (found,) = debian.outdated()
    assert not found.newer


def test_a_brick_from_a_registry(debian: Debian) -> None:
    """It may have a security update, too; that of an archive is somebody else's image."""
    debian.build()
    (entry,) = debian.store.entries()
    debian.publish("security", "lib", "2")
    for kind, listed in (("registry", 1), ("archive", 0)):
        bind(debian.store, entry.annotations[REF_NAME], entry, Origin(kind, "x.example"))
        found = debian.outdated()
        assert [one.security for one in found] == [True] * listed


def test_what_is_older_elsewhere_is_no_update(debian: Debian) -> None:
    debian.publish("security", "lib", "1~rc1")
    debian.build()
    assert not debian.outdated()[0].newer


def test_a_package_of_which_nothing_is_in_the_brick(debian: Debian) -> None:
    debian.build()
    debian.publish("security", "empty", "2")
    assert not debian.outdated()[0].newer


def test_a_kernel_has_another_name_with_each_version(debian: Debian) -> None:
    debian.archive.add_deb(
        "linux-image-6.12.9+deb13-amd64", {"boot/vmlinuz": b"9"}, "6.12.9-1", source="linux"
    )
    debian.archive.add_meta("linux-image-amd64", "6.12.9-1", "linux-image-6.12.9+deb13-amd64")
    debian.archive.write()
    debian.recipe("image: tool\norg: test\ntag: v1\ndebian: {packages: [linux-image-amd64]}\n")
    debian.build()
    security = debian.archive.beside("security")
    security.add_deb(
        "linux-image-6.12.10+deb13-amd64", {"boot/vmlinuz": b"10"}, "6.12.10-1", source="linux"
    )
    security.add_meta("linux-image-amd64", "6.12.10-1", "linux-image-6.12.10+deb13-amd64")
    security.write()
    (found,) = debian.outdated()
    assert found.packages == (
        Newer(
            "linux-image-6.12.9+deb13-amd64",
            "6.12.9-1",
            "linux-image-6.12.10+deb13-amd64",
            "6.12.10-1",
            "trixie-security",
            security=True,
        ),
    )


def test_another_recipe(debian: Debian) -> None:
    debian.build()
    debian.recipe(RECIPE + "cmd: [tool]\n")
    (found,) = debian.outdated()
    assert (found.brick.changed, found.newer, found.security, found.packages) == (
        True,
        True,
        False,
        (),
    )


def test_what_ci_sees(debian: Debian, capsys: pytest.CaptureFixture[str]) -> None:
    assert debian.run() == 0
    assert "docker.io/test/tool:v1 is not in the store" in capsys.readouterr().err
    debian.build()
    assert debian.run() == 0
    debian.publish("updates", "tool", "1.1")
    assert debian.run("--security") == 0
    assert capsys.readouterr().out == ""
    assert debian.run() == 100
    debian.publish("security", "lib", "1+deb13u1")
    assert debian.run() == 100
    heading, *rows = capsys.readouterr().out.splitlines()[-3:]
    assert heading.split() == ["IMAGE", "PLATFORM", "PACKAGE", "VERSION", "NEWER", "FROM"]
    start = ["docker.io/test/tool:v1", "linux/amd64"]
    assert [row.split() for row in rows] == [
        [*start, "lib", "1", "1+deb13u1", "trixie-security", "(security)"],
        [*start, "tool", "1", "1.1", "trixie-updates"],
    ]
    assert debian.run("--security", "--json") == 100
    (brick,) = json.loads(capsys.readouterr().out)["bricks"]
    assert (brick["name"], brick["outdated"], brick["security"]) == (
        "docker.io/test/tool:v1",
        True,
        True,
    )
    assert [one["package"] for one in brick["packages"] if one["security"]] == ["lib"]
    assert debian.run("--security", "--rebuild") == 0
    assert debian.run() == 0


def test_a_mirror_without_security_updates(
    debian: Debian, capsys: pytest.CaptureFixture[str]
) -> None:
    (debian.archive.beside("security").root / "dists/trixie-security/InRelease").unlink()
    build = [
        "pkg",
        "build",
        "--cache",
        str(debian.store.root),
        "--debian-mirror",
        debian.archive.root.as_uri(),
    ]
    assert main([*build, str(debian.folder / "tool")]) == 1
    said = capsys.readouterr().err
    assert "error[debian-no-security]" in said
    assert "--debian-security-mirror" in said
    assert debian.store.entries() == []
    assert main([*build, "--debian-security-mirror", "none", str(debian.folder / "tool")]) == 0
    assert "without the security updates of trixie-security" in capsys.readouterr().err
    other = Archive(debian.folder / "elsewhere", debian.archive.key, "trixie-security")
    other.add_deb("lib", {"usr/lib/data": b"2"}, "2")
    other.write()
    named = ("--debian-security-mirror", other.root.as_uri())
    assert main(["pkg", "outdated", *build[2:], *named, str(debian.folder / "tool")]) == 100
    assert "trixie-security (security)" in capsys.readouterr().out


def test_a_mirror_without_updates_is_noticed(
    debian: Debian, capsys: pytest.CaptureFixture[str]
) -> None:
    (debian.archive.root / "dists/trixie-updates/InRelease").unlink()
    build = [
        "pkg",
        "build",
        "--cache",
        str(debian.store.root),
        "--debian-mirror",
        debian.archive.root.as_uri(),
    ]
    assert main([*build, str(debian.folder / "tool")]) == 0
    assert "trixie-updates is not used" in capsys.readouterr().err


def test_a_recipe_can_keep_to_its_suite(debian: Debian) -> None:
    debian.recipe("image: tool\norg: test\ntag: v1\ndebian: {packages: [tool], updates: false}\n")
    debian.publish("security", "lib", "2")
    debian.build()
    assert not debian.outdated()[0].newer
    shutil.rmtree(debian.archive.beside("security").root)
    assert debian.build()


def test_another_organisation(
    debian: Debian, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(debian.folder / "tool")
    assert main(["pkg", "show-tag", "--org", "flag", folder]) == 0
    monkeypatch.setenv("LINUXKIT_PKG_ORG", "variable")
    assert main(["pkg", "show-tag", folder]) == 0
    assert main(["pkg", "show-tag", "--canonical", "--org", "flag", folder]) == 0
    names = ["flag/tool:v1", "variable/tool:v1", "docker.io/flag/tool:v1"]
    assert capsys.readouterr().out.split() == names
    build = [
        "pkg",
        "build",
        "--cache",
        str(debian.store.root),
        "--debian-mirror",
        debian.archive.root.as_uri(),
    ]
    assert main([*build, folder]) == 0
    assert debian.store.resolve("docker.io/variable/tool:v1") is not None
    assert debian.run("--org", "no/../where") == 1
    assert "error[package-image]" in capsys.readouterr().err
