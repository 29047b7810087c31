"""Trees of packages."""

from __future__ import annotations

from pathlib import Path

from compos.image.platform import Platform
from compos.package.bricks import own_name
from compos.package.graph.model import Graph, Key, graph_of
from compos.package.graph.needs import Needs
from compos.package.graph.tree import PackageTree, package_folders

__all__ = ["ORG", "TREE", "graph", "recipe", "write"]

ORG = "127.0.0.1:1/team"

TREE = {
    "low": None,
    "lib": None,
    "app": f"FROM {ORG}/low:v1\nCOPY mark /app\n",
    "web": f"FROM {ORG}/lib:v1\nCOPY mark /web\n",
    "both": f"FROM {ORG}/app:v1\nCOPY --from={ORG}/web:v1 /web /both\n",
    "alone": "FROM scratch\nCOPY mark /alone\n",
}
"""Two recipes, three Dockerfiles upon them, of which the last has both for parents, and one that
needs nothing."""


def recipe(name: str, contents: str = "one") -> str:
    return (
        f"image: {name}\norg: {ORG}\ntag: v1\nfiles: [{{path: {name}, contents: '{contents}'}}]\n"
    )


def write(folder: Path, tree: dict[str, str | None] = TREE) -> Path:
    """Packages below `folder`: by name a Dockerfile, or None for a recipe."""
    for name, dockerfile in tree.items():
        package = folder / name
        package.mkdir(parents=True)
        if dockerfile is None:
            (package / "build.yml").write_text(recipe(name))
            continue
        (package / "build.yml").write_text(f"image: {name}\norg: {ORG}\ntag: v1\n")
        (package / "Dockerfile").write_text(dockerfile)
        (package / "mark").write_text(name)
    return folder


def graph(folder: Path, platform: Platform | None = None, *, bricks: bool = True) -> Graph:
    """The graph of all packages below `folder`."""
    tree = PackageTree()
    folders = package_folders(folder)
    tree.add(folders)
    recipes = [tree.at(path) for path in folders]
    return graph_of(
        [(Key(own_name(one), platform or Platform.host()), one) for one in recipes],
        Needs(tree, bricks=bricks),
    )
