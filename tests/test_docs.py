"""The documentation is true: its YAML builds, its picture and reference are their scripts', its
links lead somewhere."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compos.cli.main import main
from compos.compose.plan import LABEL as PLAN_LABEL
from compos.config.service_keys import SERVICE_KEYS
from compos.image.platform import Platform
from compos.image.store import Store
from compos.output.formats import FORMATS
from tests.escrow import pair
from tests.images import Member, layer_tar, make_index, put_image
from tests.registry import FakeRegistry

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
"""Followed step by step in tests/boot/test_tutorials.py."""

EXAMPLES = sorted((ROOT / "examples").glob("*.yml"))


def fragments() -> list[tuple[Path, int, str]]:
    """Page, number and text of every YAML in the documentation; `# NAME` in the first line gives it
    a file name."""
    found = []
    for page in PAGES:
        for number, text in enumerate(
            re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        ):
            found.append((page, number, text))
    return found


def file_name(number: int, text: str) -> str:
    named = re.match(r"# ([\w./-]+\.yml)\n", text)
    return named[1] if named else f"{number}.yml"


SYSTEMS = [one for one in fragments() if Path(file_name(one[1], one[2])).name != "build.yml"]


class Anything(dict[tuple[str, str], tuple[str, bytes]]):
    """Documents of `any:1` under whatever repository and tag."""

    def get(self, key: tuple[str, str], default: Any = None) -> Any:
        version = key[1] if key[1].startswith("sha256:") else "1"
        return super().get(("any", version), default)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeRegistry]:
    """A registry that has every image of the documentation and the examples: each is a whole little
    system of its own."""
    store = Store(tmp_path_factory.mktemp("images"))
    modules = layer_tar([Member("lib", "dir", 0o755), Member("lib/modules/m.ko", content="module")])
    members = [
        Member("kernel", content="KERNEL"),
        Member("kernel.tar", content=modules),
        Member("init", mode=0o755),
    ]
    children = {
        platform: put_image(
            store,
            layers=[[*members, Member("arch", content=str(platform))]],
            config={"Labels": {PLAN_LABEL: "1"}},
            platform=platform,
        )[0]
        for platform in (Platform("linux", name) for name in ("amd64", "arm64", "riscv64"))
    }
    make_index(store, "any:1", children)
    with FakeRegistry() as registry:
        registry.documents = Anything()
        registry.load(store, "docker.io/library/any:1", "any", "1")
        yield registry


def build(mirror: FakeRegistry, path: Path, folder: Path) -> int:
    mirrors = ["--mirror", mirror.url, "--bricks", mirror.host]
    flags = ["--cache", str(folder / "store"), *mirrors, "--dir", str(folder), "--name", "built"]
    return main(["build", *flags, str(path)])


@pytest.mark.parametrize(
    ("page", "number", "text"), SYSTEMS, ids=[f"{page.name}-{n}" for page, n, _ in SYSTEMS]
)
def test_yaml_fragments_build(
    mirror: FakeRegistry,
    tmp_path: Path,
    page: Path,
    number: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The page that docs/dev.md edits.
    (tmp_path / "index.html").write_text("first")
    for other, other_number, other_text in fragments():
        if other == page:
            (tmp_path / file_name(other_number, other_text)).write_text(other_text)
    # What `compos keys new keys` has made there.
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "update.crt").write_text("certificate")
    if "escrow.pem" in text:
        pair(tmp_path)[1].rename(tmp_path / "escrow.pem")
    monkeypatch.chdir(tmp_path)
    assert build(mirror, tmp_path / file_name(number, text), tmp_path) == 0
    assert list(tmp_path.glob("built-*"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_build(mirror: FakeRegistry, tmp_path: Path, example: Path) -> None:
    """With images of no contents; `tests/boot` builds and boots them with the real ones."""
    assert build(mirror, example, tmp_path) == 0
    assert (tmp_path / "built-initrd.img").stat().st_size > 0


@pytest.mark.parametrize(
    ("script", "page"),
    [
        ("yaml_reference.py", "yaml-reference.md"),
        ("cli_reference.py", "cli.md"),
        ("plan_format.py", "plan-format.md"),
    ],
)
def test_references_are_what_their_scripts_write(script: str, page: str) -> None:
    written = runpy.run_path(str(ROOT / "docs" / script))["page"]()
    # Not compared in the assertion: pytest would show thousands of lines, and no remedy.
    is_current = (ROOT / "docs" / page).read_text() == written
    assert is_current, f"docs/{page} is outdated: run .venv/bin/python docs/{script}"


def test_the_picture_is_what_its_script_draws() -> None:
    drawn = runpy.run_path(str(ROOT / "docs/picture.py"))["picture"]()
    assert (ROOT / "docs/compose.svg").read_text() == drawn
    for path, text in runpy.run_path(str(ROOT / "docs/report_pictures.py"))["pictures"]().items():
        assert path.read_text() == text, f"outdated: run python docs/report_pictures.py ({path})"


def test_links_and_paths_exist() -> None:
    for page in [*PAGES, *TUTORIALS]:
        text = page.read_text()
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
        for target in re.findall(r"`((?:docs|examples|bricks|src|tests)/[\w./-]+)`", text):
            assert (ROOT / target).exists(), f"{page.name}: {target}"


def test_the_readme_names_what_the_makefile_has() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_example_is_listed() -> None:
    text = (ROOT / "docs" / "examples.md").read_text()
    listed = re.findall(r"\(\.\./examples/([\w-]+)\.yml\)", text)
    assert sorted(listed) == sorted(path.stem for path in EXAMPLES)


def test_every_brick_is_listed() -> None:
    listed = re.findall(r"^\| \[?([\w-]+)[^|]*\| [^|]+ \|$", _all_bricks(), re.MULTILINE)
    folders = sorted(path.parent.name for path in ROOT.glob("bricks/*/build.yml"))
    assert listed == sorted(folders)


def test_every_format_is_listed() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs/formats.md").read_text(), re.MULTILINE)
    missing = set(FORMATS) - set(re.findall(r"`([^`]+)`", " ".join(rows)))
    assert not missing, "add a row to the first table of docs/formats.md"


def test_every_key_of_services_is_explained() -> None:
    text = (ROOT / "docs/services.md").read_text()
    missing = {row.key for row in SERVICE_KEYS if f"`{row.key}`" not in text}
    assert not missing, "add a row to the table of docs/services.md"


def _all_bricks() -> str:
    text = (ROOT / "docs" / "bricks.md").read_text()
    return text[text.index("## All bricks") :].partition("|---|---|\n")[2]
