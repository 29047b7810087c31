"""`make bricks`: a table of all bricks, and the page docs/brick-table.md with what of it depends on
the checkout alone.

May touch: the store, in which missing bricks are built, and the Debian mirror. `page()` reads only
the checkout: recipes, examples and tests.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from compos.api.access import Access
from compos.api.options import ImageOptions
from compos.image.platform import Platform
from compos.package.bricks import own_name
from compos.package.linuxkit import brick_for
from compos.package.outdated import Outdated, bricks_of, outdated, packages_in
from compos.package.recipe import Recipe, load_recipe

__all__ = ["PAGE", "Row", "brick_folders", "linuxkits", "main", "page", "test_of"]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "brick-table.md"
TESTS = ROOT / "tests"

LINUXKIT = (
    *("acpid", "auditd", "binfmt", "bpftrace", "ca-certificates", "cadvisor", "containerd"),
    *("dhcpcd", "dm-crypt", "dummy", "extend", "firmware", "firmware-all", "format", "getty"),
    *("host-timesync-daemon", "init", "ip", "kernel", "kernel-bcc", "kernel-perf", "kmsg"),
    *("logwrite", "losetup", "memlogd", "metadata", "mkimage", "modprobe", "mount"),
    *("node_exporter", "open-vm-tools", "openntpd", "poweroff", "qemu-ga", "rngd", "runc"),
    *("sshd", "swap", "sysctl", "sysfs", "trim-after-delete", "tss"),
    *("vpnkit-expose-port", "vpnkit-forwarder", "vsudd"),
)
"""LinuxKit's packages, and its kernel."""

CHOSEN = {
    **dict.fromkeys(("containerd", "init", "runc"), "tests/boot/test_services.py"),
    **dict.fromkeys(("efi-stub", "kernel"), "tests/boot/test_matrix.py"),
    "dev": "tests/boot/test_dev.py",
    "dhcpcd": "tests/boot/test_web.py",
    "docker": "tests/boot/test_docker.py",
    "escrow": "tests/boot/sealed_boots.py",
    "installer": "tests/boot/test_installer.py",
    "nginx": "tests/boot/test_examples.py",
    "ip": "tests/boot/test_networks.py",
    "redis": "tests/boot/test_examples.py",
    "rpi3": "tests/output/test_formats.py",
    "update": "tests/boot/test_updates.py",
}
"""Tests of bricks that most systems name, or none: formats name the tools of the build."""

HEAD = """\
# Table of bricks

What each brick takes from Debian (by name; libraries that it needs come along), the test that shows
what it is for, and the package of LinuxKit that it stands for (`--bricks-for linuxkit`). `make
bricks` prints the same with sizes, exact versions and security updates. This page is written by
`make bricks`; [bricks.md](bricks.md) says what each brick is for.
"""


class Row(NamedTuple):
    """A brick in the table that `make bricks` prints; `size` is in bytes, of the uncompressed
    layer."""

    brick: str
    platform: str
    size: int
    security: str
    test: str
    linuxkit: str
    packages: tuple[str, ...]


def main() -> int:
    """Print the table, and write the page."""
    PAGE.write_text(page())
    rows = [*_rows()]
    cells = [("BRICK", "PLATFORM", "MB", "SECURITY", "TEST", "LINUXKIT", "DEBIAN PACKAGES")]
    cells += [
        (
            row.brick,
            row.platform,
            f"{row.size / 1e6:.1f}",
            row.security,
            row.test or "none",
            row.linuxkit or "-",
            " ".join(row.packages) or "-",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        shown = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(shown).rstrip())
    total = sum(row.size for row in rows)
    print(f"{len(rows)} bricks, {total / 1e6:.0f} MB; {PAGE.relative_to(ROOT)} is written")
    return 0


def page() -> str:
    """docs/brick-table.md."""
    lines = [HEAD, "| brick | Debian packages | test | LinuxKit's |", "|---|---|---|---|"]
    for recipe in map(load_recipe, brick_folders()):
        name = recipe.folder.name
        packages = " ".join(f"`{one}`" for one in _named_packages(recipe)) or "none"
        equals = " ".join(f"`{one}`" for one in linuxkits(name)) or "none"
        test = test_of(name)
        tested = f"[{test}](../{test})" if test else "none"
        lines.append(f"| {name} | {packages} | {tested} | {equals} |")
    missing = [f"`{one}`" for one in LINUXKIT if not brick_for(one)]
    lines += ["", f"No brick stands for LinuxKit's {', '.join(missing)}.", ""]
    return "\n".join(lines)


def brick_folders() -> list[Path]:
    """The folders of all bricks, by name."""
    return sorted(path.parent for path in (ROOT / "bricks").glob("*/build.yml"))


def linuxkits(brick: str) -> tuple[str, ...]:
    """LinuxKit's packages that a brick stands for."""
    return tuple(package for package in LINUXKIT if brick_for(package) == brick)


def test_of(brick: str) -> str:
    """The test that shows what a brick is for, relative to the checkout: the module that names the
    fewest others. A guest's is preferred; empty if there is none."""
    if brick in CHOSEN:
        return CHOSEN[brick]
    for tests in (_guests(), _others()):
        found = [(len(names), path) for path, names in tests.items() if brick in names]
        if found:
            return min(found)[1]
    return ""


@cache
def _guests() -> Mapping[str, frozenset[str]]:
    """Which bricks the systems of each boot test name, the examples that it boots included."""
    examples = {path.stem: path.read_text() for path in (ROOT / "examples").glob("*.yml")}
    found = {}
    for path in (TESTS / "boot").glob("test_*.py"):
        text = path.read_text()
        systems = [
            yaml for stem, yaml in examples.items() if re.search(rf'["/]{stem}(?:\.yml)?"', text)
        ]
        names = re.findall(r"compos/([\w-]+)[:\"]", "\n".join([text, *systems]))
        found[str(path.relative_to(ROOT))] = frozenset(names)
    return found


@cache
def _others() -> Mapping[str, frozenset[str]]:
    """Which bricks each other test names, by image or by folder: tools of the build, and programs
    whose tests need no guest."""
    names = "|".join(sorted((path.name for path in brick_folders()), key=len, reverse=True))
    folders = [
        path
        for path in TESTS.rglob("test_*.py")
        if "bricks" in path.parts or "output" in path.parts
    ]
    return {
        str(path.relative_to(ROOT)): frozenset(re.findall(rf'["/]({names})["/:]', path.read_text()))
        for path in folders
    }


def _named_packages(recipe: Recipe) -> list[str]:
    """The Debian packages that a recipe names, for whatever architecture."""
    if recipe.debian is None:
        return []
    names = (name for arch in recipe.arches for name in recipe.debian.names(arch))
    return [*dict.fromkeys(names)]


def _rows() -> Iterator[Row]:
    """The bricks for this machine, or for the first architecture that they are for; those that the
    store lacks are built."""
    access = Access(ImageOptions())
    builder = access.builder
    for recipe in map(load_recipe, brick_folders()):
        host = Platform.host()
        architecture = host.architecture if host.architecture in recipe.arches else recipe.arches[0]
        found = [
            brick
            for brick in bricks_of(builder.store, [recipe])
            if brick.platform.architecture == architecture and not brick.changed
        ]
        if not found:
            builder.build(recipe, Platform("linux", architecture), own_name(recipe))
            found = [
                brick
                for brick in bricks_of(builder.store, [recipe])
                if brick.platform.architecture == architecture
            ]
        state = outdated(builder.store, builder.indexes, found[0])
        name = recipe.folder.name
        yield Row(
            name,
            str(found[0].platform),
            sum(layer.size for layer in found[0].image.layers),
            _security(state),
            test_of(name),
            " ".join(linuxkits(name)),
            tuple(f"{one}={version}" for one, version in packages_in(builder.store, found[0])),
        )


def _security(state: Outdated) -> str:
    """What Debian has for a brick that it lacks."""
    if state.unknown:
        return "unknown"
    updates = _names(one.package for one in state.packages if one.security)
    if updates:
        return f"security updates: {updates}"
    newer = _names(one.package for one in state.packages)
    return f"newer: {newer}" if newer else "up to date"


def _names(packages: Iterable[str]) -> str:
    return ", ".join(sorted(packages))


if __name__ == "__main__":
    sys.exit(main())
