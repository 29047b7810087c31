"""A report's page: nothing in it comes from elsewhere, no name becomes markup, and it fits."""

from __future__ import annotations

import json
import os
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from compos.cli.main import main
from compos.report.map import map_of
from compos.report.page import MAX_PAGE, report_json, report_page
from compos.report.timeline import Stage, boot_stages
from tests.compose.systems import World
from tests.report.systems import HOSTILE, fact, hostile, large

YAML = """
kernel: {image: 'acme/kernel:1', cmdline: console=ttyS0}
init: ['acme/init:1']
services:
  - {name: one, image: 'acme/app:1'}
  - {name: two, image: 'acme/app:1', depends_on: {one: {condition: service_healthy}}}
"""
CONSOLE = """\
[    0.000000] Linux version 6.12
[    1.25] Trying to unpack rootfs image as initramfs...
[    2.500000] Freeing initrd memory: 35432K\r
[    3.000000] Run /init as init process
compos: boot done at 4.00 s
compos: onboot 000-dhcpcd done at 5.50 s
compos: containerd ready at 5.60 s
noise compos: service web started at 7.00 s
compos: service db started at 6.75 s
compos: service \x1b[31m started at 99999999999999999999 s
compos: services started (2 of 2) at 7.00 s
"""


class Elements(HTMLParser):
    """The elements of a page as a browser would see them, and the data in it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.data: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][1].get("id") == "data":
            self.data.append(data)


def data_of(page: bytes) -> dict[str, Any]:
    elements = Elements()
    elements.feed(page.decode("ascii"))
    found: dict[str, Any] = json.loads(elements.data[0])
    return found


def test_no_name_becomes_markup() -> None:
    plain, evil = Elements(), Elements()
    plain.feed(report_page(large(1)).decode("ascii"))
    page = report_page(hostile())
    evil.feed(page.decode("ascii"))
    assert [tag for tag, _ in evil.found] == [tag for tag, _ in plain.found]
    assert page.count(b"<script") == 2
    data = data_of(page)
    assert data["name"] == HOSTILE[0]
    text = json.dumps(data, ensure_ascii=False)
    for letter in ("\u202e", "\u2028", "\x1b", "\udcff", "\x00"):
        assert letter not in text


def test_nothing_comes_from_elsewhere() -> None:
    page = report_page(large(3)).decode("ascii")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    without_namespace = page.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]+\.[a-z]|@import|url\(|<link|src=", without_namespace)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", page)


@pytest.mark.slow
def test_a_thousand_services_fit() -> None:
    report = large(1000)
    start = time.process_time()
    page = report_page(report)
    assert time.process_time() - start < 20
    assert len(page) <= MAX_PAGE
    data = data_of(page)
    assert len(data["parts"]) + data["parts left out"] == 1000
    assert data["parts left out"] < 1000
    assert data["map"][1] == sum(one.size for one in report.files.values())
    everything = json.loads(report_json(report))
    assert len(everything["files"]) == 50_000
    assert len(everything["packages"]) == 1000


def total(node: list[Any]) -> tuple[int, int]:
    """Bytes and files below a node, counted from the leaves."""
    if node[0] is None:
        return node[1], node[2]
    if len(node) == 2:
        return node[1], 1
    sums = [total(child) for child in node[2]]
    assert sum(size for size, _ in sums) == node[1]
    return node[1], sum(count for _, count in sums)


@pytest.mark.parametrize("room", [300, 3000, 10**6])
def test_the_map_has_every_byte(room: int) -> None:
    files = {
        f"a{number % 7}/b{number % 3}/{'c/' * (number % 40)}{number}": fact(
            number * number % 977 + 1
        )
        for number in range(500)
    }
    made = map_of(files, {"root": "from"}, str, room)
    assert len(json.dumps(made, separators=(",", ":"))) <= room
    assert total(made) == (sum(one.size for one in files.values()), 500)
    assert made[2][0][0] == "root from"


def test_a_path_of_two_thousand_folders() -> None:
    made = map_of({"d/" * 2000 + "x": fact(5), "y": fact(1)}, {}, lambda name: name[:50], 10**6)
    assert total(made) == (6, 2)
    json.dumps(made)


def test_an_empty_system() -> None:
    assert map_of({}, {}, str, 100) == ["", 0]


def test_the_stages_of_a_boot() -> None:
    assert boot_stages(CONSOLE) == (
        Stage("kernel", 0, 1.25),
        Stage("unpacking of the initrd", 1.25, 2.5),
        Stage("rest of the kernel", 2.5, 3),
        Stage("init: mounts, drivers, containerd", 3, 4),
        Stage("onboot: 000-dhcpcd", 4, 5.5),
        Stage("service web started", 5.5, 7),
        Stage("service db started", 5.5, 6.75),
    )
    assert boot_stages("") == ()
    assert len(boot_stages("compos: service x started at 1 s\n" * 5000)) == 2000


def require_found_boot(world: World, source: str, page: Path) -> None:
    """The record of the last boot is found without a flag; updates are looked for with one."""
    flags = ("report", *world.flags, "--updates", "--o", str(page), source)
    assert main([*flags]) == 0
    data = data_of(page.read_bytes())
    assert (data["boot"], data["updates"]) == ([], [])  # these images are no bricks
    for number, name in enumerate(("os-state", "os-test-state")):
        place = world.folder / name / "console.log"
        place.parent.mkdir()
        place.write_text(CONSOLE.replace("done at 4.00", f"done at 4.{number}0"))
        os.utime(place, (number + 1, number + 1))
    assert main([*flags]) == 0
    assert 4.1 in [stage[2] for stage in data_of(page.read_bytes())["boot"]]


def test_a_report_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    (tmp_path / "os.yml").write_text(YAML)
    (tmp_path / "old.yml").write_text(YAML.replace("ttyS0", "ttyS1"))
    (tmp_path / "console").write_text(CONSOLE)
    page = tmp_path / "page.html"
    arguments = [
        *("report", *world.flags, "--since", str(tmp_path / "old.yml")),
        *("--boot", str(tmp_path / "console"), str(tmp_path / "os.yml")),
    ]
    for _ in range(2):
        assert main([*arguments, "--o", str(page)]) == 0
        data = data_of(page.read_bytes())
    assert data["name"] == "os.yml"
    assert ["services", "two", "acme/app:1", [["one", "healthy"]]] in data["containers"]
    assert data["changed settings"] == [["kernel.cmdline", "console=ttyS1", "console=ttyS0"]]
    assert len(data["boot"]) == 7
    first = page.read_bytes()
    assert main([*arguments, "--o", str(page)]) == 0
    assert page.read_bytes() == first, "the same system has the same page"
    require_found_boot(world, arguments[-1], page)
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["files"]["boot/cmdline"]["part"] == "kernel"
    assert {one["location"] for one in found["powers"]} == {"services[one]", "services[two]"}
