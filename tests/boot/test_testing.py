"""`compos test` and the plugin of pytest's on a guest each: what holds, and what a failure shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.guest import COMPOS

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()


def block(language: str, name: str) -> str:
    """The page's file `name`."""
    found = re.search(rf"```{language}\n# {re.escape(name)}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


FAILING_SERVICE = """
  - {name: fails, image: "compos/busybox:v1", command: [/bin/sh, -c, "echo why it failed; exit 3"]}
"""
SECOND = """\
kernel: {image: "compos/kernel:v1", cmdline: "console=ttyS0", modules: auto}
init: ["compos/init:v1", "compos/crun:v1"]
services:
  - {name: only, image: "compos/busybox:v1", command: [/bin/sleep, 1d]}
test:
  - {service: only}
  - {metric: memory_peak, within: only, most: 1k}
"""
"""Tested beside the first one."""
SYSTEM = block("yaml", "os.yml").replace("\nfiles:", f"{FAILING_SERVICE}files:")
FAILING = "  - {name: goodbye, http: 80/, contains: goodbye, timeout: 2s}"

FAILING_TEST = """

def test_change(booted):
    booted.exec(["/bin/sh", "-c", "echo goodbye > /srv/www/index.html"], service="web")
    assert booted.http(80).text == "goodbye\\n"


def test_that_fails(booted, compos_boot):
    assert booted is compos_boot("os.yml", memory=512, snapshots=True)
    with pytest.raises(AssertionError, match="no service nobody"):
        booted.service("nobody").running(timeout=1)
    assert booted.http(80).text == "goodbye"
"""


def test_the_pages_commands_are_these() -> None:
    assert re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL) == [
        "compos test os.yml",
        "pytest test_os.py",
    ]


@pytest.mark.wide
def test_expectations(tmp_path: Path) -> None:
    (tmp_path / "os.yml").write_text(f"{SYSTEM}{FAILING}\n")
    (tmp_path / "second.yml").write_text(SECOND)
    flags = ("--accel", "tcg", "--junit", "junit.xml", "--github", "--parallel", "2")
    done = subprocess.run(
        [*COMPOS, "test", *flags, "os.yml", "second.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    marks = re.findall(r"^(ok|fail) +os\.yml: ", done.stdout, re.MULTILINE)
    assert marks == ["ok"] * 13 + ["fail"], done.stdout
    marks = re.findall(r"^(ok|fail) +second\.yml: ", done.stdout, re.MULTILINE)
    assert marks == ["ok", "fail"], done.stdout
    assert re.search("memory peak in only at most 1k: it is [0-9,]+\n", done.stdout)
    assert "14 of 16 as expected" in done.stdout
    assert "'goodbye' is not in: hello from the guest" in done.stdout
    line = len(SYSTEM.splitlines()) + 1
    assert f"::error file=os.yml,line={line},title=goodbye::not within 2 s" in done.stdout
    assert "\nconsole of os\n" in done.stdout
    assert "\nconsole of second\n" in done.stdout
    assert "why it failed" in done.stdout  # the log of the service that does not run
    suite, second = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("14", "1")
    assert (second.get("name"), second.get("tests"), second.get("failures")) == ("second", "2", "1")
    evidence = suite[-1].findtext("system-out") or ""
    assert "why it failed" in evidence
    assert "compos: services started" in evidence  # the console
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("junit.xml", "os.yml", "second.yml")
    ]


def test_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "os.yml").write_text(SYSTEM)
    (tmp_path / "test_os.py").write_text(block("python", "test_os.py") + FAILING_TEST)
    """Two workers, each with a guest that is put back for each test."""
    plugin = ["-p", "compos.testing.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *plugin,
            "--compos-accel",
            "tcg",
            "--strict-markers",
            *("-n", "2"),
            "test_os.py",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert "1 failed, 5 passed" in done.stdout, done.stdout + done.stderr
    assert "FAILED test_os.py::test_that_fails" in done.stdout
    # The second guest of a name has a number.
    assert re.search(r"-+ console of os(-2)? -+\n", done.stdout)
    assert re.search(r"-+ log of fails of os(-2)? -+\n.*why it failed", done.stdout)
    left = subprocess.run([*COMPOS, "ps"], capture_output=True, text=True, check=True)
    assert "os" not in re.findall(r"^\S+", left.stdout, re.MULTILINE)


def test_it_costs_nothing_where_nobody_asks(tmp_path: Path) -> None:
    """Every pytest of an environment with compos imports the plugin."""
    code = (
        "import sys, pytest; before = set(sys.modules)\n"
        "import compos.testing.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = [name for name in done.stdout.split() if name.startswith("compos")]
    assert set(ours) == {
        *("compos", "compos._version", "compos.version"),
        *("compos.testing", "compos.testing.pytest_plugin"),
    }
