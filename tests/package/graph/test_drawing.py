"""Graphs as text, JSON and DOT; Graphviz reads the last."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from compos.cli.main import main
from compos.image.platform import Platform
from compos.package.graph.drawing import Drawing, Verdict, to_dot, to_text
from compos.package.graph.model import Graph, Key, Need, Package
from compos.package.recipe import load_recipe
from tests.package.graph.trees import ORG, recipe, write

HOST = Platform.host()


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_text_shows_what_is_built_from_what_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packages = write(tmp_path / "pkg")
    store = ("--cache", tmp_path / "store")
    said(capsys, "pkg", "build", *store, packages / "low")
    text = said(capsys, "pkg", "graph", *store, packages)
    assert text.replace(f"{ORG}/", "").replace(f" {HOST}", "") == (
        "alone:v1  build: it is not in the store\n"
        "both:v1  build: it is not in the store\n"
        "├── app:v1  build: it is not in the store  (Dockerfile)\n"
        "│   └── low:v1  current  (Dockerfile)\n"
        "└── web:v1  build: it is not in the store  (Dockerfile)\n"
        "    └── lib:v1  build: it is not in the store  (Dockerfile)\n"
    )
    (packages / "low/build.yml").write_text(recipe("low", "two"))
    text = said(capsys, "pkg", "graph", *store, packages / "low")
    assert text == (
        f"{ORG}/low:v1 {HOST}  build: its build.yml, or a file that this names, has changed\n"
    )


def test_what_was_shown_above_is_named_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree: dict[str, str | None] = {
        "top": f"FROM {ORG}/a:v1\nCOPY --from={ORG}/b:v1 /x /\nCOPY --from=alpine:3 /x /\n",
        "a": f"FROM {ORG}/low:v1\n",
        "b": f"FROM {ORG}/low:v1\n",
        "low": f"FROM {ORG}/lowest:v1\n",
        "lowest": None,
    }
    store = ("--cache", tmp_path / "store")
    text = said(capsys, "pkg", "graph", *store, write(tmp_path / "pkg", tree))
    assert text.count("lowest:v1") == 1
    assert text.count("low:v1") == 2
    assert "low:v1 linux/amd64  (see above)" in text.replace(str(HOST), "linux/amd64")
    assert f"└── docker.io/library/alpine:3 {HOST}  not in the store  (Dockerfile)" in text


def test_a_system_is_shown_with_its_packages_and_other_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packages = write(tmp_path / "pkg")
    (tmp_path / "os.yml").write_text(
        "services:\n"
        "  - {name: app, image: '@pkg:pkg/app'}\n"
        f"  - {{name: web, image: {ORG}/web:v1}}\n"
        "  - {name: other, image: 127.0.0.1:1/x/other:v1}\n"
    )
    store = ("--cache", tmp_path / "store")
    text = said(capsys, "pkg", "graph", *store, tmp_path / "os.yml")
    assert text.replace(f"{ORG}/", "").replace(f" {HOST}", "") == (
        f"{tmp_path / 'os.yml'}\n"
        "├── app:v1  build: it is not in the store  (services[0])\n"
        "│   └── low:v1  build: it is not in the store  (Dockerfile)\n"
        "├── web:v1  build: it is not in the store  (services[1])\n"
        "│   └── lib:v1  build: it is not in the store  (Dockerfile)\n"
        "└── 127.0.0.1:1/x/other:v1  not in the store  (services[2])\n"
    )
    document = json.loads(said(capsys, "pkg", "graph", *store, "--json", tmp_path / "os.yml"))
    assert [one["name"] for one in document["packages"]] == [
        f"{ORG}/{name}:v1" for name in ("low", "app", "lib", "web")
    ]
    assert [need["package"] for need in document["system"]["needs"]] == [True, True, False]
    app = document["packages"][1]
    assert app["folder"] == str(packages / "app")
    assert (app["made_by"], app["state"]) == ("Dockerfile", "build")
    assert app["needs"] == [
        {
            "name": f"{ORG}/low:v1",
            "platform": str(HOST),
            "how": "Dockerfile",
            "place": f"{packages / 'app/Dockerfile'}:1",
            "package": True,
            "digest": None,
        }
    ]


def graphviz(text: str) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """What Graphviz reads: the rest of their labels by the first two lines of nodes, and arrows."""
    done = subprocess.run(
        ["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=True, timeout=60
    )
    assert not done.stderr
    nodes, names, arrows = {}, {}, set()
    space = "{http://www.w3.org/2000/svg}"
    for group in ElementTree.fromstring(done.stdout).iter(f"{space}g"):
        title = group.findtext(f"{space}title") or ""
        if group.get("class") == "node":
            name, platform, *rest = (one.text or "" for one in group.iter(f"{space}text"))
            names[title] = f"{name} {platform}"
            nodes[names[title]] = "\n".join(rest)
        elif group.get("class") == "edge":
            start, _, end = title.partition("->")
            arrows.add((names[start], names[end]))
    return nodes, arrows


def test_graphviz_reads_the_same_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packages = write(tmp_path / "pkg")
    store = ("--cache", tmp_path / "store")
    nodes, arrows = graphviz(said(capsys, "pkg", "graph", *store, "--dot", packages))

    def node(name: str) -> str:
        return f"{ORG}/{name}:v1 {HOST}"

    names = ("low", "lib", "app", "web", "both", "alone")
    assert set(nodes) == {node(name) for name in names}
    assert nodes[node("low")].splitlines() == ["build", "it is not in the store"]
    pairs = (("app", "low"), ("web", "lib"), ("both", "app"), ("both", "web"))
    assert arrows == {(node(one), node(other)) for one, other in pairs}


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    made_of = load_recipe(write(tmp_path, {"low": None}) / "low")
    key = Key('a"];b->c;\\', HOST)
    need = Need(Key("x\\n\\", HOST), "x", '"\\', "<b>", None)
    drawing = Drawing(
        Graph({key: Package(key, made_of, (need,))}, (key,)),
        {key: Verdict("build", ('why" [', "\\"))},
        {},
    )
    nodes, arrows = graphviz("\n".join(to_dot(drawing)))
    assert set(nodes) == {str(key), str(need.key)}
    assert len(arrows) == 1


def test_a_chain_may_be_long(tmp_path: Path) -> None:
    made_of = load_recipe(write(tmp_path, {"low": None}) / "low")
    keys = [Key(f"p{number}", HOST) for number in range(2000)]
    packages = {
        key: Package(key, made_of, (Need(keys[number + 1], "", "x", "", made_of),))
        for number, key in enumerate(keys[:-1])
    }
    packages[keys[-1]] = Package(keys[-1], made_of, ())
    current = {key: Verdict("current", ()) for key in keys}
    lines = list(to_text(Drawing(Graph(packages, (keys[0],)), current, {})))
    assert len(lines) == 2000
    assert lines[-1] == f"{'    ' * 1998}└── p1999 {HOST}  current  (x)"


def test_flags_that_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packages = write(tmp_path / "pkg")
    (tmp_path / "os.yml").write_text("services: []\n")
    for wrong in (
        ("--json", "--dot", packages),
        (packages, tmp_path / "os.yml"),
        ("--platforms", "linux/amd64", tmp_path / "os.yml"),
    ):
        assert main(["pkg", "graph", *map(str, wrong)]) == 1
        assert "error[usage]" in capsys.readouterr().err
