"""Build arguments and labels against LinuxKit's rules (docs/linuxkit.md#cli-2.6): its own test cases
030, 031 and 056 look for these values."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compos.errors import ComposError, PackageError
from compos.package.arguments import build_arguments, presets
from compos.package.labels import image_labels
from compos.package.naming import Naming
from compos.package.recipe import load_recipe
from compos.package.tag import Version
from compos.version import __version__

COMMIT = "c" * 40
OUTSIDE = Version("")
CLEAN = Version("ab12", False, COMMIT, "v0.0.0-20260102030405-cccccccccccc")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Packages `main`, `one` and `two-three`, whose tags are `v1` and that of no git."""
    for name, text in (
        ("main", "image: main\norg: ours\n"),
        ("parts/one", "image: one\norg: reg.example/team\ntag: v1\n"),
        ("parts/two-three", "image: two-three\n"),
        ("parts/.hidden", "image: [\n"),
    ):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "build.yml").write_text(text)
    (tmp_path / "parts/README").write_text("no package\n")
    return tmp_path


def arguments(
    tree: Path, *lines: str, files: dict[str, str] | None = None, version: Version = OUTSIDE
) -> dict[str, str]:
    """The build arguments of `main` with `buildArgs: [lines]` and files by their paths."""
    items = "".join(f"- {line!r}\n" for line in lines)
    (tree / "main/build.yml").write_text(
        "image: main\norg: ours\n" + (f"buildArgs:\n{items}" if lines else "")
    )
    for path, text in (files or {}).items():
        (tree / path).parent.mkdir(exist_ok=True)
        (tree / path).write_text(text)
    naming = Naming(argument_files=tuple(tree / path for path in files or ()))
    return dict(build_arguments(load_recipe(tree / "main", naming), version))


def test_presets(tree: Path) -> None:
    """031_fixed_build_args."""
    recipe = load_recipe(tree / "main")._replace(gitrepo="https://git.example/x")
    assert presets(recipe, CLEAN) == {
        "SOURCE": "https://git.example/x",
        "REVISION": COMMIT,
        "GOPKGVERSION": CLEAN.go,
        "PKG_HASH": "ab12",
        "PKG_IMAGE": "ours/main",
    }
    assert presets(recipe._replace(gitrepo=""), Version("")) == {"PKG_IMAGE": "ours/main"}
    assert "REVISION" not in presets(recipe, CLEAN._replace(dirty=True))


def test_whose_packages_come_from_linuxkit(tree: Path) -> None:
    """Only those of its organisation, unless build.yml says so."""
    two = tree / "parts/two-three"
    assert load_recipe(two).gitrepo == "https://github.com/linuxkit/linuxkit"
    assert load_recipe(tree / "main").gitrepo == ""
    assert load_recipe(two, Naming(org="ours")).gitrepo == ""
    (two / "build.yml").write_text("image: two\ngitrepo: ''\n")
    assert load_recipe(two).gitrepo == ""


def test_precedence(tree: Path) -> None:
    """030_build_args, 056_build_args/000 to 002: a file over build.yml over the preset; of several
    files the last."""
    found = arguments(
        tree,
        "PKG_IMAGE=mine",
        "A=1",
        "B= 1=2 ",
        files={"f": "A=2\n\n# comment\n  C = 3 \n", "g": "C=4"},
        version=CLEAN,
    )
    assert (found["PKG_IMAGE"], found["A"], found["B"], found["C"]) == ("mine", "2", " 1=2 ", "4")
    assert found["PKG_HASH"] == "ab12"


def test_the_name_of_a_package(tree: Path) -> None:
    """056_build_args/005: the folder is relative to whatever says it."""
    found = arguments(
        tree, "ONE=@lkt:pkg:../parts/one", files={"args/f": "TWO=@lkt:pkg:../parts/two-three\n"}
    )
    assert found["ONE"] == "reg.example/team/one:v1"
    assert found["TWO"] == "linuxkit/two-three:latest"


def test_names_of_packages(tree: Path) -> None:
    """056_build_args/006 and 010: one argument each; files and hidden folders are no packages. A dot
    stays, and lists in braces work as LinuxKit's documentation has it."""
    one, two = "reg.example/team/one:v1", "linuxkit/two-three:latest"
    every = {"X_REG.EXAMPLE_TEAM_ONE_Y": one, "X_LINUXKIT_TWO_THREE_Y": two}
    for pattern in (
        "../parts/*",
        "../parts/{one,two-three}",
        "../parts/[ot]*",
        "../parts/???{,-*}",
    ):
        found = arguments(tree, f"X_%_Y=@lkt:pkgs:{pattern}")
        assert {name: found[name] for name in found if name.startswith("X_")} == every, pattern
    found = arguments(tree, files={"f": "%=@lkt:pkgs:parts/o*\n"})
    assert found["REG.EXAMPLE_TEAM_ONE"] == one


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("A=@lkt:other:x", "'@lkt:other:x' is not known"),
        ("A=@lkt:pkgs:parts/*", "the name 'A' has no %"),
        ("A%=@lkt:pkgs:none*", "no folder matches 'none*'"),
        ("A%=@lkt:pkgs:parts/.h*", "no folder matches"),
        ("A%=@lkt:pkgs:" + "{a,b,c,d}" * 9, "too many lists in braces"),
        ("A%=@lkt:pkgs:*", "the folder has no build.yml"),
        ("A=@lkt:pkg:parts/none", "the folder has no build.yml"),
        ("A=@lkt:pkg:parts/.hidden", "f:3: "),
        ("A", "'A' is not NAME=VALUE"),
        ("=b", "'=b' is not NAME=VALUE"),
        ("A=b\0c", "is not NAME=VALUE"),
    ],
)
def test_mistakes_in_a_file(tree: Path, line: str, words: str) -> None:
    with pytest.raises(ComposError) as caught:
        arguments(tree, files={"f": f"X=1\n\n{line}\n"})
    error = caught.value
    assert words in f"{error.place} {error.message}"
    assert (error.place or "").startswith(f"{tree}/f:3")


def test_files_that_cannot_be_read(tree: Path) -> None:
    (tree / "binary").write_bytes(b"A=\xff\n")
    (tree / "large").write_bytes(b"#" * (1 << 20) + b"\n")
    os.mkfifo(tree / "pipe")
    for name in ("none", "parts", "binary", "large", "pipe"):
        with pytest.raises(PackageError) as caught:
            load_recipe(tree / "main", Naming(argument_files=(tree / name,)))
        assert caught.value.id == "package-build-arg"
        assert caught.value.place == str(tree / name)


def test_labels(tree: Path) -> None:
    """What build.yml says counts; the commit is named only if it has what is built."""
    (tree / "main/build.yml").write_text(
        "image: main\ngitrepo: https://git.example/x\nlabels: {a: b}\n"
        "config: {binds: ['/a:/b'], net: host, runtime: {mkdir: [/c]}}\n"
    )
    recipe = load_recipe(tree / "main")
    config = '{"binds":["/a:/b"],"net":"host","runtime":{"mkdir":["/c"]}}'
    always = {
        "a": "b",
        "org.mobyproject.config": config,
        "org.mobyproject.linuxkit.version": f"compos {__version__}",
    }
    source = {"org.opencontainers.image.source": "https://git.example/x"}
    revision = {"org.opencontainers.image.revision": COMMIT}
    assert image_labels(recipe, Version("")) == always
    assert image_labels(recipe, CLEAN) == {**always, **source, **revision}
    assert image_labels(recipe, CLEAN._replace(dirty=True)) == {**always, **source}


def test_what_is_said_beside_build_yml_makes_another_package(tree: Path) -> None:
    (tree / "f").write_text("A=1\n")
    (tree / "main/Dockerfile").write_text("FROM scratch\n")
    (tree / "main/Other").write_text("FROM scratch\n")
    plain = load_recipe(tree / "main")
    other = load_recipe(tree / "main", Naming(dockerfile="Other"))
    one = load_recipe(tree / "main", Naming(argument_files=(tree / "f",)))
    (tree / "f").write_text("A=2\n")
    two = load_recipe(tree / "main", Naming(argument_files=(tree / "f",)))
    assert other.dockerfile == "Other"
    assert len({recipe.digest("amd64") for recipe in (plain, other, one, two)}) == 4


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        ("../Dockerfile", "is not in the package's folder"),
        ("/etc/passwd", "is not in the package's folder"),
        ("none", "the Dockerfile 'none' is missing"),
    ],
)
def test_another_dockerfile(tree: Path, dockerfile: str, words: str) -> None:
    """055_dockerfiles: over that of build.yml, and inside of the package."""
    (tree / "Dockerfile").write_text("FROM scratch\n")
    (tree / "main/Mine").write_text("FROM scratch\n")
    (tree / "main/build.yml").write_text("image: main\ndockerfile: Mine\n")
    assert load_recipe(tree / "main").dockerfile == "Mine"
    with pytest.raises(PackageError) as caught:
        load_recipe(tree / "main", Naming(dockerfile=dockerfile))
    assert (caught.value.id, caught.value.place) == ("package-dockerfile", "--dockerfile")
    assert words in caught.value.message
