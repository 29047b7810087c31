"""Included files and parts for one architecture: order, relative names, circles, what a remote file
may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.config.load import load
from compos.config.sources import joined
from compos.config.variables import Variable
from compos.errors import CombinedError, ComposError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".yml").write_text(text)


def wrong(*sources: str) -> tuple[ComposError, ...]:
    with pytest.raises(ComposError) as caught:
        load(sources)
    return caught.value.errors if isinstance(caught.value, CombinedError) else (caught.value,)


def test_included_files_lie_below_the_file_that_names_them(folder: Path) -> None:
    write(
        folder,
        os="include: [base/kernel.yml, base/init.yml]\nkernel: {cmdline: own}\ninit: [three]",
        base__kernel="kernel: {image: k, cmdline: theirs, tar: none}",
        base__init="include: [../deep/one.yml]\ninit: [two]",
        deep__one="init: [one]",
    )
    config = load(["os.yml"])
    assert config.init == ("one", "two", "three")
    assert config.kernel is not None
    assert (config.kernel.image, config.kernel.cmdline, config.kernel.tar) == ("k", "own", "none")
    assert str(config.init_marks[0]) == "deep/one.yml:1:8: init[0]"
    assert str(config.kernel.mark.at("image")) == "base/kernel.yml:1:17: kernel.image"


def test_a_file_that_several_include_counts_once(folder: Path) -> None:
    write(
        folder,
        os="include: [a.yml, b.yml]",
        a="include: [common.yml]\ninit: [a]",
        b="include: [./common.yml]\ninit: [b]",
        common="services: [{name: s, image: i}]",
    )
    config = load(["os.yml"])
    assert [entry.name for entry in config.services] == ["s"]
    assert config.init == ("a", "b")


@pytest.mark.parametrize(
    "circle", [{"os": "include: [os.yml]"}, {"os": "include: [a.yml]", "a": "include: [os.yml]"}]
)
def test_circles(folder: Path, circle: dict[str, str]) -> None:
    write(folder, **circle)
    (error,) = wrong("os.yml")
    assert error.id == "config-include"
    assert "includes itself" in error.message
    assert error.excerpt is not None


def test_missing_files_and_nonsense_are_told_together(folder: Path) -> None:
    write(folder, os="include: [none.yml, '', 5]\nint: [a]")
    assert sorted(error.id for error in wrong("os.yml")) == [
        "config-include",
        "config-source",
        "config-type",
        "config-unknown-key",
    ]


def test_variables_of_the_outer_file_win(folder: Path) -> None:
    write(
        folder,
        os="variables: {TAG: outer, BOARD: b}\ninclude: ['${BOARD}.yml']\ninit: ['own:${TAG}']",
        b="variables: {TAG: inner, X: '1'}\ninit: ['theirs:${TAG}', 'x:${X}']",
    )
    assert load(["os.yml"]).init == ("theirs:outer", "x:1", "own:outer")
    assert load(["os.yml"], variables={"TAG": Variable("flag", "--set")}).init == (
        "theirs:flag",
        "x:1",
        "own:flag",
    )
    assert load(["b.yml"]).init == ("theirs:inner", "x:1")


def test_parts_for_one_architecture(folder: Path) -> None:
    write(
        folder,
        os="kernel: {image: k, cmdline: console=ttyS0}\ninit: [a]\narch:\n"
        "  arm64: {kernel: {cmdline: console=ttyAMA0}, init: [b]}\n  riscv64: {init: [c]}",
        more="init: [d]",
    )
    arm = load(["os.yml", "more.yml"], architecture="arm64")
    assert arm.kernel is not None
    assert (arm.kernel.image, arm.kernel.cmdline, arm.init) == (
        "k",
        "console=ttyAMA0",
        ("a", "b", "d"),
    )
    assert str(arm.init_marks[1]) == "os.yml:4:54: arch.arm64.init[0]"
    assert str(arm.kernel.mark.at("cmdline")).endswith("arch.arm64.kernel.cmdline")
    assert load(["os.yml"], architecture="amd64").init == ("a",)
    assert load(["os.yml"]).init == ("a",)


def test_parts_for_every_architecture_are_checked(folder: Path) -> None:
    write(folder, os="arch: {x86: {}, arm64: {init: 5, arch: {}}}")
    errors = wrong("os.yml")
    assert [error.id for error in errors] == [
        "config-unknown-key",
        "config-type",
        "config-unknown-key",
    ]


@pytest.mark.parametrize(
    ("source", "name", "meant"),
    [
        ("os.yml", "a/b.yml", "a/b.yml"),
        ("x/os.yml", "../b.yml", "b.yml"),
        ("/x/os.yml", "b.yml", "/x/b.yml"),
        ("x/os.yml", "/y/b.yml", "/y/b.yml"),
        ("-", "b.yml", "b.yml"),
        ("os.yml", "http://h.example/b.yml", "http://h.example/b.yml"),
        ("http://h.example/a/os.yml?x=1", "b.yml", "http://h.example/a/b.yml"),
        ("http://h.example/a/os.yml", "/etc/passwd", "http://h.example/etc/passwd"),
        ("https://h.example/a/os.yml", "../../../b.yml", "https://h.example/b.yml"),
    ],
)
def test_what_names_mean_from_where(source: str, name: str, meant: str) -> None:
    assert joined(source, name) == meant


@pytest.mark.parametrize("name", ["file:///etc/passwd", "ftp://h.example/x"])
def test_a_fetched_file_includes_nothing_of_this_machine(name: str) -> None:
    with pytest.raises(ComposError) as caught:
        joined("http://h.example/os.yml", name)
    assert caught.value.id == "config-include"


def test_included_files_are_bounded(tmp_path: Path) -> None:
    for number in range(1100):
        (tmp_path / f"{number}.yml").write_text("init: [a]\n")
    (tmp_path / "os.yml").write_text(
        "include:\n" + "".join(f"- {number}.yml\n" for number in range(1100))
    )
    with pytest.raises(ComposError) as caught:
        load([str(tmp_path / "os.yml")])
    assert caught.value.id == "config-include"
