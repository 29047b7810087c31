"""`build.yml`: what is read, and what is refused by name."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from compos.config.kinds import ListOf, Record
from compos.errors import CombinedError, ConfigError, PackageError
from compos.package.bricks import bricks_folder
from compos.package.recipe import load_recipe
from compos.package.recipe_fields import RECIPE


def recipe(folder: Path, text: str) -> Path:
    (folder / "build.yml").write_text(text)
    return folder


def test_defaults_and_names(tmp_path: Path) -> None:
    found = load_recipe(recipe(tmp_path, "image: foo\n"))
    assert (found.name, found.arches, found.debian) == (
        "linuxkit/foo:latest",
        ("amd64", "arm64", "riscv64"),
        None,
    )


def test_the_label_is_compact_json(tmp_path: Path) -> None:
    found = load_recipe(recipe(tmp_path, "image: foo\nconfig: {pid: host, binds: ['/a:/b']}\n"))
    assert json.loads(found.settings.labels["org.mobyproject.config"]) == {
        "pid": "host",
        "binds": ["/a:/b"],
    }


def test_packages_by_architecture(tmp_path: Path) -> None:
    text = "image: k\ndebian: {packages: [aa, {amd64: bb, riscv64: cc}]}\n"
    debian = load_recipe(recipe(tmp_path, text)).debian
    assert debian is not None
    assert [debian.names(arch) for arch in ("amd64", "arm64", "riscv64")] == [
        ("aa", "bb"),
        ("aa",),
        ("aa", "cc"),
    ]


@pytest.mark.parametrize(
    ("text", "id", "place", "hint"),
    [
        ("image: [}", "yaml-syntax", ":1:9", ""),
        ("- a", "config-type", ":1:1", ""),
        ("org: x", "config-missing", ":1:1", "image"),
        ("image: x\nimge: y", "config-unknown-key", ":2:1", "image"),
        ("image: 5", "config-type", ":1:8", "'5'"),
        ("image: x\nimage: y", "yaml-duplicate-key", ":2:1", "line 1"),
        ("image: x\ndebian: {packages: []}", "config-missing", ":2:20", ""),
        ("image: x\ndebian: {suite: trixie}", "config-missing", ":2:9", "packages"),
        ("image: x\ndebian: {pakages: [a]}", "config-unknown-key", ":2:10", "packages"),
        ("image: x\ndebian: {packages: [a b]}", "recipe-name", "debian.packages[0]", ""),
        (
            "image: x\ndebian: {packages: [{amd46: aa}]}",
            "config-unknown-key",
            "debian.packages[0]",
            "amd64",
        ),
        ("image: x\ndebian: {packages: [5]}", "config-type", "debian.packages[0]", ""),
        (
            "image: x\ndebian: {packages: [aa], suite: ../../x}",
            "recipe-name",
            "debian.suite",
            "trixie",
        ),
        (
            "image: x\ndebian: {packages: [aa], components: [../x]}",
            "recipe-name",
            "debian.components[0]",
            "",
        ),
        (
            "image: x\ndebian: {packages: [aa], move: {usr: ../x}}",
            "recipe-path",
            "debian.move.usr",
            "",
        ),
        ("image: x\ndebian: {packages: [aa], move: {../usr: x}}", "recipe-path", "debian.move", ""),
        ("image: x\ndebian: {packages: [aa], move: [a]}", "config-type", "debian.move", ""),
        (
            "image: x\ndebian: {packages: [aa], keep: ['a/*********/b***']}",
            "recipe-path",
            "debian.keep[0]",
            "",
        ),
        ("image: x\nfiles: [{contents: y}]", "config-missing", "files[0]", "path"),
        ("image: x\nfiles: [{path: ../y, contents: y}]", "config-file", "files[0].path", ""),
        ('image: x\nfiles: [{path: "y\\0", contents: y}]', "config-value", "files[0].path", ""),
        (
            f"image: x\nfiles: [{{path: {'y' * 256}, contents: y}}]",
            "recipe-path",
            "files[0].path",
            "255",
        ),
        (
            f"image: x\nfiles: [{{path: {'y/' * 2048}y, contents: y}}]",
            "recipe-path",
            "files[0].path",
            "4095",
        ),
        (
            f"image: x\nfiles: [{{path: y, symlink: {'y' * 4096}}}]",
            "recipe-path",
            "files[0].symlink",
            "4095",
        ),
        ("image: x\nfiles: [{path: y, source: ../y}]", "recipe-source", "files[0].source", ""),
        (
            f"image: x\nfiles: [{{path: y, source: {'y' * 5000}}}]",
            "recipe-path",
            "files[0].source",
            "4095",
        ),
        (f"image: x\ndockerfile: {'y' * 256}", "recipe-path", "dockerfile", "255"),
        (
            "image: x\nfiles: [{path: y, source: /etc/passwd}]",
            "recipe-source",
            "files[0].source",
            "",
        ),
        (
            "image: x\nfiles: [{path: y, metadata: json}]",
            "config-unknown-key",
            "files[0].metadata",
            "",
        ),
        (
            "image: x\nfiles: [{path: y, contents: z, mode: 0644}]",
            "config-type",
            "files[0].mode",
            "'0644'",
        ),
        ("image: x\nfiles: [{path: y, contents: z, uid: -1}]", "config-range", "files[0].uid", ""),
        ("image: x\nconcatenate: [{path: x}]", "config-missing", "concatenate[0]", "sources"),
        ("image: x\nconcatenate: [{sources: [a]}]", "config-missing", "concatenate[0]", "path"),
        (
            "image: x\nconcatenate: [{path: x, sources: []}]",
            "config-missing",
            "concatenate[0].sources",
            "",
        ),
        (
            "image: x\nconcatenate: [{path: x, sources: a}]",
            "config-type",
            "concatenate[0].sources",
            "[a]",
        ),
        ("image: x\nconcatenate: {}", "config-type", "concatenate", ""),
        ("image: x\nlinks: [a]", "config-type", "links", ""),
        ("image: x\nlinks: {a: b}", "config-type", "links.a", "[b]"),
        ("image: x\nlinks: {a: [..]}", "recipe-path", "links.a[0]", ""),
        ("image: x\nlinks: {1: [a]}", "config-type", "links", ""),
        ("image: x\nkernel: {a: b}", "config-unknown-key", "kernel.a", ""),
        ("image: x\narches: [x86]", "config-value", "arches[0]", ""),
        ("image: x\nenv: [PATH]", "recipe-variable", "env[0]", ""),
        ("image: x\nlabels: {a: 5}", "config-type", "labels.a", "'5'"),
        ("image: x\nconfig: {bind: ['/a:/b']}", "config-unknown-key", "config.bind", "binds"),
        (
            "image: x\nconfig: {capabilities: [CAP_NOTHING]}",
            "config-capability",
            "config.capabilities[0]",
            "",
        ),
        (
            "image: x\nconfig: {pid: host}\nlabels: {org.mobyproject.config: '{}'}",
            "recipe-label",
            "labels",
            "",
        ),
        ("image: x\nnetwork: 5", "config-type", "network", ""),
        ("image: x\ndockerfile: ../D", "recipe-source", "dockerfile", ""),
        ("image: x\nextra-sources: [a]", "package-extra-source", "extra-sources[0]", ""),
        ("image: x\nfiles: []\ndockerfile: D", "recipe-dockerfile", "dockerfile", ""),
        ("image: x\nfiles: []\nbuildArgs: [A=1]", "recipe-dockerfile", "buildArgs", ""),
        (
            f"image: x\nfiles: []\ndepends: {{docker-images: {{list: ['a@sha256:{'0' * 64}']}}}}",
            "recipe-dockerfile",
            "depends",
            "",
        ),
        (
            "image: x\ndepends: {docker-images: {list: ['a:v1'], target: t}}",
            "recipe-depends",
            "depends.docker-images.list[0]",
            "",
        ),
        (
            "image: x\ndepends: {docker-images: {target: a, target-dir: b}}",
            "recipe-depends",
            "depends.docker-images.target-dir",
            "",
        ),
    ],
)
def test_mistakes(tmp_path: Path, text: str, id: str, place: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(recipe(tmp_path, text))
    assert caught.value.id == id
    assert str(caught.value.place).startswith(str(tmp_path / "build.yml:"))
    assert place in str(caught.value.place)
    assert hint in (caught.value.hint or "")
    assert caught.value.excerpt


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    with pytest.raises(CombinedError) as caught:
        load_recipe(recipe(tmp_path, "image: x\nimge: y\nconcatenate: [{}, {path: 5}]\nlinks: 5\n"))
    assert [error.id for error in caught.value.errors] == [
        "config-unknown-key",
        *["config-missing"] * 2,
        "config-missing",
        "config-type",
        "config-type",
    ]


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("", "package-image"),
        ("image: ''", "package-image"),
        ("image: x\norg: ''", "package-image"),
        ("image: ../../x\norg: y", "package-image"),
        ("image: x\norg: a/UPPER", "package-image"),
        ("image: x\ntag: 'a b'", "package-image"),
        (f"image: x\ntag: '{'a' * 129}'", "package-image"),
        ("image: x\ntag: '{{.Else}}'", "package-tag"),
        ("image: x\ndockerfile: Dockerfile.arm", "package-dockerfile"),
    ],
)
def test_what_cannot_be_a_package(tmp_path: Path, text: str, id: str) -> None:
    with pytest.raises(PackageError) as caught:
        load_recipe(recipe(tmp_path, text))
    assert caught.value.id == id


@pytest.mark.parametrize("word", ["yes", "on", "true", "No", "off"])
def test_linuxkits_own_keys_and_booleans(tmp_path: Path, word: str) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    text = f"image: x\nnetwork: {word}\ndisable-cache: {word}\ngitrepo: https://x.test/\narches: [amd64, s390x]\n"
    text += "buildArgs: [A=1]\nextra-sources: [../c:/c]\ndepends: {docker-images: {from-file: f, target-dir: t}}\n"
    assert load_recipe(recipe(tmp_path, text)).dockerfile


@pytest.mark.parametrize(
    ("debian", "suites"),
    [
        ("", ("trixie", "trixie-updates", "trixie-security")),
        ("suite: bookworm", ("bookworm", "bookworm-updates", "bookworm-security")),
        ("suite: trixie, updates: false", ("trixie",)),
        ("suite: sid", ("sid",)),
        ("suite: trixie-backports", ("trixie-backports",)),
    ],
)
def test_a_suite_comes_with_its_updates(
    tmp_path: Path, debian: str, suites: tuple[str, ...]
) -> None:
    found = load_recipe(recipe(tmp_path, f"image: x\ndebian: {{packages: [aa], {debian}}}\n"))
    assert found.debian is not None
    assert found.debian.suites == suites


def keys(table: Record, start: str = "") -> set[str]:
    """The keys of `table` and, dotted, those of the tables in it, but for those of a system's
    YAML."""
    found = set()
    for name, field in table.fields.items():
        found.add(start + name)
        kind = field.kind.item if isinstance(field.kind, ListOf) else field.kind
        if isinstance(kind, Record):
            found |= keys(kind, f"{start}{name}.")
    return found


def test_the_documentation_knows_every_key_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs/bricks.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert rows
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == keys(RECIPE)


def test_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(PackageError) as caught:
        load_recipe(tmp_path)
    assert caught.value.id == "package-missing"


def test_a_changed_source_changes_the_digest(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("1")
    found = load_recipe(recipe(tmp_path, "image: x\nfiles: [{path: f, source: f}]\n"))
    first = found.digest("amd64")
    (tmp_path / "f").write_text("2")
    assert found.digest("amd64") != first
    (tmp_path / "f").unlink()
    with pytest.raises(PackageError) as caught:
        found.digest("amd64")
    assert caught.value.id == "brick-source"


def test_sources_stay_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "real").write_text("real")
    (folder / "out").symlink_to("../secret")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "in").symlink_to("real")
    os.mkfifo(folder / "fifo")
    found = load_recipe(recipe(folder, "image: x\n"))
    assert found.source("in", "amd64").read_text() == "real"
    for name in ("out", "zero", "fifo", "."):
        with pytest.raises(PackageError) as caught:
            found.source(name, "amd64")
        assert caught.value.id == "brick-source"


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in bricks_folder().glob("*/build.yml"))
)
def test_our_bricks(name: str) -> None:
    found = load_recipe(bricks_folder() / name)
    assert found.name == f"compos/{name}:v1"
    for entry in found.files:
        if entry.source and "bin/" not in entry.source:
            assert found.source(entry.source, "amd64").is_file()
