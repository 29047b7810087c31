"""What shells offer for guests, services, images, formats and files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import CompletionItem, ShellComplete

from compos.cli.main import cli
from compos.errors import RunError
from compos.image.store import Store
from compos.run.guests import Guest, take_slot
from tests.images import make_image
from tests.run.records import record


def offered(*words: str) -> list[CompletionItem]:
    """For the last word, behind the others."""
    shell = ShellComplete(cli, {}, "compos", "_COMPOS_COMPLETE")
    return shell.get_completions([*words[:-1]], words[-1])


def values(*words: str) -> list[str]:
    return [one.value for one in offered(*words)]


@pytest.fixture
def guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two that run, as far as their locks say."""
    monkeypatch.setenv("COMPOS_RUNTIME", str(tmp_path / "run"))
    slots = [take_slot(name, name) for name in ("web", "other")]
    for slot in slots:
        slot.write(record(slot.name))
    yield
    for slot in slots:
        slot.give_up()


@pytest.mark.usefixtures("guests")
def test_guests() -> None:
    for verb in ("console", "logs", "stop", "screenshot", "exec"):
        assert values(verb, "") == ["other", "web"]
        assert values(verb, "w") == ["web"]


@pytest.mark.usefixtures("guests")
def test_services(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(guest: Guest, path: str) -> bytes:
        if guest.record.name == "other":
            raise RunError("guest-ended", "it does not answer")
        return json.dumps([{"name": "nginx"}, {"name": "ntpd"}, {"name": "sshd"}]).encode()

    monkeypatch.setattr("compos.run.remote.read_file", read)
    assert values("exec", "--service", "n") == ["nginx", "ntpd"]


def test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOS_CACHE", str(tmp_path))
    store = Store(tmp_path)
    make_image(store, "docker.io/compos/init:v1")
    make_image(store, "docker.io/library/busybox:1")
    make_image(store, "registry.example/init:v2")
    for verb in ("rm", "export", "push", "pull"):
        assert values("cache", verb, "") == [
            *("busybox:1", "compos/init:v1", "registry.example/init:v2")
        ]
    assert values("cache", "rm", "docker.io/c") == ["docker.io/compos/init:v1"]
    (tmp_path / "index.json").write_text("damaged")
    assert values("cache", "rm", "") == []


def test_formats() -> None:
    assert {"raw-bios", "raw-efi"} <= set(values("build", "-f", "raw"))
    assert "iso-bios,raw-efi" in values("build", "-f", "iso-bios,raw")
    assert "iso-bios,iso-bios" not in values("build", "-f", "iso-bios,iso")
    assert values("inspect", "--format", "squ") == []
    assert "kernel+squashfs" in values("inspect", "--format", "kernel+")


@pytest.mark.parametrize(
    "words", [("build",), ("run", "qemu"), ("test",), ("dev",), ("report",), ("diff",)]
)
def test_files(words: tuple[str, ...]) -> None:
    assert [one.type for one in offered(*words, "os")] == ["file"]
