"""`make docs`: the documentation as a site, in `build/site`, from the Markdown of the repository.

The pages are written for GitHub's Markdown and read there, too. They are copied into one tree of
sources, `build/docs-source`, where links between them lead to the copies; Sphinx makes the site of
it, offline, and every warning is an error. The same commit makes the same bytes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["NAVIGATION", "ROOT", "SITE", "build_site", "linked", "main", "site_page"]

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "build" / "site"
LANDING = "README.md"

NAVIGATION: dict[str, dict[str, str]] = {
    "Tutorials": {
        "docs/tutorials/README.md": "Before you begin",
        "docs/tutorials/first-hour.md": "The first hour",
        "docs/tutorials/web-server.md": "A web server in ten minutes",
        "docs/tutorials/dockerfile.md": "From Dockerfile to disk image",
        "docs/tutorials/edge-device.md": "An edge device with a data disk",
        "docs/tutorials/brick.md": "A brick of your own in ten minutes",
        "docs/tutorials/netboot.md": "Booting from the network",
    },
    "Guides": {
        "docs/examples.md": "Examples",
        "docs/yaml.md": "Writing the YAML",
        "docs/running.md": "Running systems",
        "docs/dev.md": "While you edit",
        "docs/testing.md": "Testing systems",
        "docs/insight.md": "Looking inside",
        "docs/services.md": "Services",
        "docs/confinement.md": "Confinement",
        "docs/bricks.md": "Bricks",
        "docs/packages.md": "Packages",
        "docs/package-trees.md": "Packages from packages",
        "docs/kernels.md": "Kernels",
        "docs/registries.md": "Registries",
        "docs/settings.md": "Settings file",
        "docs/lock.md": "Locks",
        "docs/trust.md": "Trust in images",
        "docs/ci.md": "Builds in CI",
        "docs/secure.md": "Secured systems",
        "docs/install.md": "Installing on a disk",
        "docs/update.md": "Updates",
        "docs/clouds.md": "Clouds",
        "docs/secure-boot.md": "Secure Boot",
        "docs/measured-boot.md": "Measured boot",
        "docs/attestation.md": "Attestation",
        "docs/update-bundles.md": "Update bundles",
        "docs/fleet.md": "Fleets",
        "docs/store.md": "The store",
        "docs/sbom.md": "SBOM",
        "docs/large-systems.md": "Very large systems",
        "SECURITY.md": "Security",
    },
    "The bricks": {
        str(page.relative_to(ROOT)): page.parent.name
        for page in sorted(ROOT.glob("bricks/*/README.md"))
    },
    "Reference": {
        "docs/cli.md": "Command line",
        "docs/yaml-reference.md": "Keys of the YAML",
        "docs/formats.md": "Output formats",
        "docs/boot-matrix.md": "What boots where",
        "docs/brick-table.md": "Table of bricks",
        "docs/power-cuts.md": "Power cuts",
        "docs/library.md": "Python library",
        "docs/linuxkit.md": "LinuxKit compatibility",
        "docs/linuxkit-examples.md": "LinuxKit's examples",
        "docs/linuxkit-tests.md": "LinuxKit's test cases",
        "docs/layers.md": "Layers",
        "CHANGELOG.md": "Changelog",
    },
    "Internals": {
        "docs/architecture.md": "Architecture",
        "docs/plan-format.md": "Boot plan",
        "tests/conformance/rules.md": "Conformance tests",
        "docs/benchmarks.md": "Benchmarks: builds",
        "docs/benchmarks-formats.md": "Benchmarks: formats",
        "docs/benchmarks-boot.md": "Benchmarks: boot",
        "docs/benchmarks-cache.md": "Benchmarks: remote cache",
        "docs/benchmarks-updates.md": "Benchmarks: updates",
        "docs/benchmarks-clouds.md": "Benchmarks: clouds",
        "docs/benchmarks-dev.md": "Benchmarks: dev",
        "docs/benchmarks-secure.md": "Benchmarks: security",
        "CONTRIBUTING.md": "Contributing",
        "docs/releasing.md": "Releasing",
    },
}
"""The site's sections: each page's path in the repository, and its title in the navigation."""

_TITLES = {page: title for pages in NAVIGATION.values() for page, title in pages.items()}
_PAGES = (LANDING, *_TITLES)
_FENCE = re.compile(r"```")
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")
_NAMED_PAGE = re.compile(r"(?<!\[)`(?P<path>[\w./-]+\.md)`")


def main() -> int:
    """Build the site; returns Sphinx's exit status."""
    status = build_site(SITE)
    if status == 0:
        print(f"{(SITE / 'index.html').relative_to(ROOT)} is the documentation")
    return status


def build_site(folder: Path) -> int:
    """Replace `folder` by the site; its sources and Sphinx's state stand beside it.

    Returns Sphinx's exit status.
    """
    source, state = folder.with_name("docs-source"), folder.with_name("docs-state")
    for old in (folder, source, state):
        shutil.rmtree(old, ignore_errors=True)
    _write_sources(source)
    command = [sys.executable, "-m", "sphinx", "--builder", "html", "--conf-dir", "docs/site"]
    command += ["--fail-on-warning", "--nitpicky", "--quiet"]
    command += ["--doctree-dir", str(state), str(source), str(folder)]
    # The clock must not get into the pages, nor the language of whoever builds them.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0", "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def site_page(page: str) -> str:
    """The path within the site's sources of a page, or of a file that a page shows or links to."""
    if page == LANDING:
        return "index.md"
    path = PurePosixPath(page)
    if path.name == LANDING:
        path = path.with_name("index.md")
    if path.is_relative_to("docs"):
        path = path.relative_to("docs")
    return str(path)


def _write_sources(folder: Path) -> None:
    for page in _PAGES:
        path = folder / site_page(page)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(_lines(page, folder))
        path.write_text(text + _contents() if page == LANDING else text)


def _lines(page: str, folder: Path) -> Iterator[str]:
    """The page's lines, their links as in `folder`; code blocks are not touched."""
    fenced = False
    for line in (ROOT / page).read_text().splitlines(keepends=True):
        fence = _FENCE.match(line.lstrip())
        fenced = fenced != bool(fence)
        yield line if fenced or fence or line.startswith("    ") else linked(line, page, folder)


def linked(line: str, page: str, folder: Path) -> str:
    """`line` with links to the copies; the site has no folders to link to. Where a page is called
    by its file's name, which the site does not show, the link bears its title."""

    def link(match: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath(page).parent / match["path"])
        text = match["text"]
        if (ROOT / target).is_dir():
            return text
        if target not in _PAGES:
            _copy(target, folder)
        if text.strip("`") in (target, PurePosixPath(target).name):
            text = _TITLES.get(target, text)
        return f"[{text}]({_relative(page, target)}{match['anchor'] or ''})"

    def named(match: re.Match[str]) -> str:
        title = _TITLES.get(match["path"]) if match["path"] != page else None
        return f"[{title}]({_relative(page, match['path'])})" if title else match[0]

    return _NAMED_PAGE.sub(named, _LINK.sub(link, line))


def _copy(path: str, folder: Path) -> None:
    """A picture, or a file to download. What does not exist is left for Sphinx to report."""
    if (ROOT / path).is_file():
        copy = folder / site_page(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, copy)


def _relative(page: str, target: str) -> str:
    start = PurePosixPath(site_page(page)).parent
    return os.path.relpath(site_page(target), start)


def _contents() -> str:
    """The navigation, as Sphinx reads it at the end of the landing page."""
    blocks = []
    for section, pages in NAVIGATION.items():
        entries = "".join(
            f"{title} <{site_page(page).removesuffix('.md')}>\n" for page, title in pages.items()
        )
        blocks.append(f"\n```{{toctree}}\n:hidden:\n:caption: {section}\n\n{entries}```\n")
    return "".join(blocks)


if __name__ == "__main__":
    sys.exit(main())
