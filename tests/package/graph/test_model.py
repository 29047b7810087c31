"""What is built from what."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.errors import ComposError, PackageError
from compos.image.platform import Platform
from compos.package.graph.model import Key, Need, graph_of
from compos.package.recipe import Recipe, load_recipe
from tests.package.graph.trees import ORG, graph, write

HOST = Platform.host()
OTHER = Platform("linux", "riscv64")


def needs(folder: Path, tree: dict[str, str | None], name: str = "app") -> list[str]:
    found = graph(write(folder, tree), OTHER)
    package = found.packages[Key(f"{ORG}/{name}:v1", OTHER)]
    return [
        f"{need.key.name} {need.key.platform.architecture}{' package' if need.recipe else ''}"
        for need in package.needs
    ]


def test_packages_stand_behind_those_that_they_are_built_from(tmp_path: Path) -> None:
    found = graph(write(tmp_path))
    order = [key.name.rpartition("/")[2].removesuffix(":v1") for key in found.packages]
    assert sorted(order) == sorted(("alone", "app", "both", "lib", "low", "web"))
    for before, behind in (("low", "app"), ("lib", "web"), ("app", "both"), ("web", "both")):
        assert order.index(before) < order.index(behind)
    both = found.packages[Key(f"{ORG}/both:v1", HOST)]
    assert [need.place.rpartition("/")[2] for need in both.needs] == [
        "Dockerfile:1",
        "Dockerfile:2",
    ]
    assert found.needs[both.key] == [Key(f"{ORG}/app:v1", HOST), Key(f"{ORG}/web:v1", HOST)]


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        ("FROM scratch\n", []),
        ("FROM alpine:3\n", ["docker.io/library/alpine:3 riscv64"]),
        ("FROM alpine\n", ["docker.io/library/alpine:latest riscv64"]),
        (f"from {ORG}/low:v1\n", [f"{ORG}/low:v1 riscv64 package"]),
        (f"FROM {ORG}/low:v1 AS low\nFROM low\n", [f"{ORG}/low:v1 riscv64 package"]),
        (f"FROM \\\n  # low\n  {ORG}/low:v1\n", [f"{ORG}/low:v1 riscv64 package"]),
        (f"# escape=`\nFROM `\n{ORG}/low:v1\n", [f"{ORG}/low:v1 riscv64 package"]),
        (f"ARG V=v1\nFROM {ORG}/low:${{V}}\n", [f"{ORG}/low:v1 riscv64 package"]),
        (f"ARG V=v2\nFROM {ORG}/low:$V\n", [f"{ORG}/low:v2 riscv64"]),
        (
            f"FROM scratch\nCOPY --from={ORG}/low:v1 /low /\n",
            [f"{ORG}/low:v1 riscv64 package"],
        ),
        (
            f'FROM scratch\nCOPY --from="{ORG}/low:v1" /low /\n',
            [f"{ORG}/low:v1 riscv64 package"],
        ),
        (
            f"FROM scratch\nRUN --mount=type=bind,from={ORG}/low:v1 true\n",
            [f"{ORG}/low:v1 riscv64 package"],
        ),
        (
            f"FROM --platform=$BUILDPLATFORM {ORG}/low:v1\n",
            [f"{ORG}/low:v1 {HOST.architecture} package"],
        ),
        (f"FROM scratch\nRUN <<END\nFROM {ORG}/low:v1\nEND\n", []),
        (f"FROM scratch\n# FROM {ORG}/low:v1\n", []),
        ("FROM scratch\nCOPY --from=0 /x /\n", []),
        (
            f"FROM {ORG}/low:v1\nCOPY --from={ORG}/low:v1 /low /\n",
            [f"{ORG}/low:v1 riscv64 package"],
        ),
        (
            f"FROM {ORG}/low:v1@sha256:{'0' * 64}\n",
            [f"{ORG}/low:v1@sha256:{'0' * 64} riscv64"],
        ),
        ("FROM compos/base:v1\n", ["docker.io/compos/base:v1 riscv64 package"]),
    ],
)
def test_what_a_dockerfile_is_built_from(
    tmp_path: Path, dockerfile: str, expected: list[str]
) -> None:
    if "compos/base" in dockerfile:
        name = next(
            path.parent
            for path in sorted((Path(__file__).parents[3] / "bricks").glob("*/build.yml"))
            if "tag: v1" in path.read_text()
        ).name
        dockerfile = dockerfile.replace("base", name)
        expected = [text.replace("base", name) for text in expected]
    assert needs(tmp_path, {"app": dockerfile, "low": None}) == expected


def test_build_arguments_of_the_recipe_count(tmp_path: Path) -> None:
    tree: dict[str, str | None] = {"app": f"ARG V=v2\nFROM {ORG}/low:$V\n", "low": None}
    write(tmp_path, tree)
    with (tmp_path / "app/build.yml").open("a") as stream:
        stream.write("buildArgs: [V=v1]\n")
    found = graph(tmp_path)
    assert found.needs[Key(f"{ORG}/app:v1", HOST)] == [Key(f"{ORG}/low:v1", HOST)]


@pytest.mark.parametrize(
    ("tree", "circle"),
    [
        ({"a": "a"}, "a is built from itself"),
        ({"a": "b", "b": "a"}, "a → b → a"),
        ({"x": "a", "a": "b", "b": "c", "c": "a"}, "a → b → c → a"),
    ],
)
def test_a_circle_is_named(tmp_path: Path, tree: dict[str, str], circle: str) -> None:
    write(tmp_path, {name: f"FROM {ORG}/{of}:v1\n" for name, of in tree.items()})
    with pytest.raises(PackageError) as caught:
        graph(tmp_path)
    assert caught.value.id == "package-cycle"
    assert circle in caught.value.message.replace(f"{ORG}/", "").replace(":v1", "")
    assert str(caught.value.place).endswith("Dockerfile:1")


def test_a_chain_may_be_long(tmp_path: Path) -> None:
    low = load_recipe(write(tmp_path, {"low": None}) / "low")
    keys = [Key(f"{ORG}/p{number}:v1", HOST) for number in range(2000)]

    def needs_of(recipe: Recipe, _: Platform) -> list[Need]:
        place = keys.index(Key(recipe.org, HOST))
        return [
            Need(key, key.name, "", "", low._replace(org=key.name))
            for key in keys[place + 1 : place + 2]
        ]

    found = graph_of([(keys[0], low._replace(org=keys[0].name))], needs_of)
    assert list(found.packages) == keys[::-1]


@pytest.mark.parametrize(
    ("dockerfile", "identity"),
    [
        ("", "dockerfile-image"),
        ("FROM $NOTHING\n", "dockerfile-image"),
        ("FROM ../x\n", "image-reference"),
        ("FROM a\nCOPY --from=UPPER /x /\n", "image-reference"),
    ],
)
def test_mistakes_have_their_place(tmp_path: Path, dockerfile: str, identity: str) -> None:
    with pytest.raises(ComposError) as caught:
        graph(write(tmp_path, {"app": dockerfile}))
    assert caught.value.id == identity
    assert str(tmp_path / "app/Dockerfile") in str(caught.value.place)


def test_packages_that_build_arguments_name_come_first(tmp_path: Path) -> None:
    """`@lkt:pkg:`, as a base image, and as a value alone; `@lkt:pkgs:` with several."""
    tree: dict[str, str | None] = {"low": None, "lib": None, "other": None}
    write(tmp_path, {**tree, "app": "ARG BASE\nFROM ${BASE}\n"})
    with (tmp_path / "app/build.yml").open("a") as stream:
        stream.write("buildArgs: ['BASE=@lkt:pkg:../low', 'WITH_%=@lkt:pkgs:../{lib,other}']\n")
    found = graph(tmp_path)
    app = found.packages[Key(f"{ORG}/app:v1", HOST)]
    hows = {need.key.name.rpartition("/")[2]: need.how for need in app.needs}
    prefix = f"WITH_{ORG.upper().replace('/', '_')}"
    assert hows == {
        "low:v1": "Dockerfile",
        "lib:v1": f"build argument {prefix}_LIB",
        "other:v1": f"build argument {prefix}_OTHER",
    }
    assert len(app.packages) == 3
    assert [*found.packages][-1] == app.key


def test_images_that_are_needed_as_files_are_shown(tmp_path: Path) -> None:
    write(tmp_path, {"app": "FROM scratch\n"})
    image = f"alpine:3@sha256:{'1' * 64}"
    with (tmp_path / "app/build.yml").open("a") as stream:
        stream.write(f"depends: {{docker-images: {{list: ['{image}'], target: images.tar}}}}\n")
    (app,) = graph(tmp_path).packages.values()
    assert [(need.key.name, need.how, need.recipe) for need in app.needs] == [
        (f"docker.io/library/{image}", "depends", None)
    ]
