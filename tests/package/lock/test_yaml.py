"""YAML from URLs in locks: the same text on every machine, whatever the server has by then."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from compos.cli.main import main
from tests.image.conftest import StartRegistry
from tests.package.lock.team import Machine, Team

pytestmark = pytest.mark.slow


def page(team: Team, text: str, name: str = "base.yml") -> str:
    """The URL of a page with `text`."""
    (team.folder / "srv" / name).write_text(text)
    return f"{team.server.url}/{name}"


def including(machine: Machine, *urls: str) -> None:
    """The machine's system is what `urls` have, and an image."""
    included = "".join(f"- {url}\n" for url in urls)
    machine.system(f"include:\n{included}init: ['{machine.team.registry.host}/web:1']\n")


def base(text: str) -> str:
    """A system with a file that has `text`."""
    return f"files: [{{path: etc/base, contents: {text}}}]\n"


def sources(machine: Machine) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(machine.lock.read_text())["sources"]
    return found


def test_the_same_text_after_the_server_has_another(
    team: Team, docker_registry: StartRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    url = page(team, base("one"))
    first = team.machine("first")
    including(first, url)
    mirror = f"{docker_registry()}/team/parts"
    assert first.run("lock", "--mirror-to", mirror) == 0
    text = base("one").encode()
    assert sources(first) == {
        url: {"digest": f"sha256:{hashlib.sha256(text).hexdigest()}", "size": len(text)}
    }
    built = first.build("--locked")
    page(team, base("two"))
    team.server.requests.clear()
    assert first.build("--locked") == built
    assert team.server.paths() == []
    # Another machine has it from the mirror of the lock, without asking the server.
    second = team.machine("second", lock=first)
    including(second, url)
    assert second.build("--locked") == built
    assert team.server.paths() == []
    # Without a mirror, the URL must still have it.
    third = team.machine("third", lock=first)
    including(third, url)
    capsys.readouterr()
    assert third.build("--locked", "--mirror-from", f"{mirror}-of-nobody") == ""
    error = capsys.readouterr().err
    assert "error[lock-source]" in error
    assert f"place: {url}" in error or url in error
    page(team, base("one"))
    assert third.build("--locked", "--mirror-from", f"{mirror}-of-nobody") == built


def test_a_mirror_that_lies(team: Team, docker_registry: StartRegistry) -> None:
    """What it sends under the digest is something else: the URL is asked."""
    url = page(team, base("one"))
    first = team.machine("first")
    including(first, url)
    registry = docker_registry()
    assert first.run("lock", "--mirror-to", f"{registry}/team/parts") == 0
    built = first.build("--locked")
    digest = str(sources(first)[url]["digest"]).removeprefix("sha256:")
    (blob,) = team.folder.parent.rglob(f"{digest}/data")
    blob.write_text(base("bad"))
    second = team.machine("second", lock=first)
    including(second, url)
    assert second.build("--locked") == built


def test_a_system_from_a_url(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock is in the current folder, where its outputs are; what it includes is in it."""
    machine = team.machine("one")
    page(team, base("common"), "common.yml")
    url = page(team, f"include: [common.yml]\ninit: ['{team.registry.host}/web:1']\n", "os.yml")
    monkeypatch.chdir(machine.folder)
    cache = ("--cache", str(machine.store))
    secret = url.replace("http://", "http://user:hunter2@")
    assert main(["lock", *cache, secret]) == 0
    assert "hunter2" not in machine.lock.read_text()
    assert [*sources(machine)] == [url.replace("os.yml", "common.yml"), url]
    build = ["build", "--locked", *cache, "-f", "tar", url]
    assert main(build) == 0
    built = Path("os.tar").read_bytes()
    assert (main(build), Path("os.tar").read_bytes() == built) == (0, True)


def test_check_and_update(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = page(team, base("one")), page(team, "files: []\n", "two.yml")
    machine = team.machine("one")
    including(machine, one, two)
    assert machine.run("lock") == 0
    assert machine.run("lock", "--check") == 0
    before = sources(machine)
    page(team, base("changed"))
    capsys.readouterr()
    assert machine.run("lock", "--check") == 100
    out = capsys.readouterr().out
    assert re.fullmatch(rf"{one}\n  the server has sha256:[0-9a-f]{{64}}\n", out)
    # What is locked stays, unless it is to be updated.
    assert machine.run("lock") == 0
    assert sources(machine) == before
    assert machine.run("lock", f"--update={two}") == 0
    assert sources(machine) == before
    assert machine.run("lock", f"--update={one}") == 0
    assert sources(machine) != before
    page(team, base("again"))
    assert machine.run("lock", "--update") == 0
    assert machine.run("lock", "--check") == 0
    # What is not included any more leaves the lock.
    including(machine, two)
    capsys.readouterr()
    assert machine.run("lock", "--check") == 100
    assert capsys.readouterr().out == f"{one}\n  not in the system any more\n"
    assert machine.run("lock") == 0
    assert [*sources(machine)] == [two]
    including(machine, one, two)
    assert machine.run("lock", "--check") == 100
    assert capsys.readouterr().out.endswith(f"{one}\n  not locked\n")


@pytest.mark.parametrize("query", ["?one", "?two", "#two"])
def test_urls_that_a_lock_cannot_tell_apart(
    team: Team, capsys: pytest.CaptureFixture[str], query: str
) -> None:
    url = page(team, base("one"))
    machine = team.machine("one")
    including(machine, f"{url}?one", f"{url}{query}")
    page(team, base("one"), "base.yml?one")
    assert machine.run("lock") == (0 if query == "?one" else 1)
    assert ("error[lock-source-twice]" in capsys.readouterr().err) == (query != "?one")


def test_a_url_that_is_not_locked(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    machine = team.machine("one")
    assert machine.run("lock") == 0
    including(machine, page(team, base("one")))
    team.server.requests.clear()
    assert machine.build("--locked") == ""
    assert "error[lock-entry-missing]" in capsys.readouterr().err
    # It is not even fetched.
    assert team.server.paths() == []
