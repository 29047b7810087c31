"""`make docs`: the site has every page, no link that leads nowhere, nothing from other hosts, and
the same bytes each time."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from scripts.documentation import NAVIGATION, ROOT, SITE, linked, site_page

# The site is built once, in a folder of the checkout.
pytestmark = pytest.mark.xdist_group("site")

LOADED = {
    "audio": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "script": "src",
    "source": "src",
    "video": "src",
}
"""Elements whose attribute names something that a browser fetches by itself."""


def test_every_page_has_its_place_in_the_navigation() -> None:
    """Add a new page to NAVIGATION in scripts/documentation.py."""
    listed = [page for section in NAVIGATION.values() for page in section]
    written = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}
    assert written <= set(listed)
    assert len(listed) == len(set(listed)) == len({site_page(page) for page in listed})
    for page in listed:
        assert (ROOT / page).is_file(), page


@pytest.mark.parametrize(
    ("page", "line", "expected"),
    [
        ("README.md", "[the keys](docs/yaml.md#a-b)", "[the keys](yaml.md#a-b)"),
        ("docs/yaml.md", "[layers.md](layers.md)", "[Layers](layers.md)"),
        ("docs/tutorials/README.md", "[YAML](../yaml.md)", "[YAML](../yaml.md)"),
        (
            "docs/yaml.md",
            "[rules](../tests/conformance/rules.md)",
            "[rules](tests/conformance/rules.md)",
        ),
        (
            "CONTRIBUTING.md",
            "`docs/cli.md` and `docs/cli.py`",
            "[Command line](cli.md) and `docs/cli.py`",
        ),
        ("docs/cli.md", "`docs/cli.md`", "`docs/cli.md`"),
        ("docs/tutorials/web-server.md", "[first](README.md)", "[first](index.md)"),
        (
            "README.md",
            "[elsewhere](https://example.org/docs/yaml.md)",
            "[elsewhere](https://example.org/docs/yaml.md)",
        ),
        (
            "README.md",
            "[here](#use-it), `bin/[` [x](docs/sbom.md)",
            "[here](#use-it), `bin/[` [x](sbom.md)",
        ),
    ],
)
def test_links(tmp_path: Path, page: str, line: str, expected: str) -> None:
    assert linked(line, page, tmp_path) == expected


def test_a_file_that_is_linked_to_comes_along(tmp_path: Path) -> None:
    line = linked("![picture](docs/compose.svg) [no](docs/no.svg)", "README.md", tmp_path)
    assert line == "![picture](compose.svg) [no](no.svg)"
    assert [path.name for path in tmp_path.iterdir()] == ["compose.svg"]


class Page(HTMLParser):
    """What a page loads, where it leads to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if value := given.get(LOADED.get(tag, "")):
            self.loaded.append(value)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.anchors.update(given[name] for name in ("id", "name") if name in given)


@pytest.fixture(scope="module")
def pages() -> dict[Path, Page]:
    """The pages of the site, built as a user builds it."""
    make_docs()
    return {path: Page(path.read_text()) for path in SITE.rglob("*.html")}


def make_docs() -> None:
    done = subprocess.run(
        ["make", "--silent", "docs", f"PYTHON={sys.executable}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.network
@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(pages: dict[Path, Page]) -> None:
    assert SITE / "index.html" in pages
    for path, page in pages.items():
        assert page.loaded, path
        for address in page.loaded:
            assert not urlsplit(address).netloc, f"{path}: {address}"
            assert (path.parent / urlsplit(address).path).exists(), f"{path}: {address}"
    for style in SITE.rglob("*.css"):
        assert not re.search(r"@import|url\(\s*[\"']?(https?:)?//", style.read_text()), style


@pytest.mark.network
@pytest.mark.slow
def test_no_link_leads_nowhere(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for address in page.links:
            target = urlsplit(address)
            if target.scheme:
                continue
            file = (path.parent / unquote(target.path)).resolve() if target.path else path
            assert file.exists(), f"{path}: {address}"
            if file in pages:
                assert unquote(target.fragment) in pages[file].anchors, f"{path}: {address}"


@pytest.mark.wide
@pytest.mark.network
@pytest.mark.slow
def test_the_same_pages_make_the_same_site(pages: dict[Path, Page]) -> None:
    def digests() -> dict[str, str]:
        return {
            str(path.relative_to(SITE)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in SITE.rglob("*")
            if path.is_file()
        }

    before = digests()
    assert len(before) > len(pages)
    make_docs()
    assert digests() == before
