"""`update`: what may be said, and what is said of mistakes."""

from __future__ import annotations

from configparser import ConfigParser

import pytest

from compos.config.dump import to_yaml
from compos.config.model import Update
from tests.config.reading import config, errors


def test_what_it_says() -> None:
    text = "update: {compatible: acme-gateway, version: 2.0.0-rc.1+7, downgrade: true}"
    assert config(text).update == Update("acme-gateway", "2.0.0-rc.1+7", downgrade=True)


@pytest.mark.parametrize("version", ["1", "1.4", "2026.11.29", "1.0.0-alpha.1", "0.0.0+x"])
def test_versions(version: str) -> None:
    assert config(f"update: {{compatible: a, version: '{version}'}}").update == Update("a", version)


@pytest.mark.parametrize("name", ["''", "a b", "'a;b'", "-a", "a" * 65, '"a\\n"'])
def test_no_compatible(name: str) -> None:
    (error,) = errors(f"update: {{compatible: {name}, version: 1.0.0}}")
    assert error.id == "config-update"


@pytest.mark.parametrize(
    "version", ["", "v1", "1.02", "1.0.0.0", "1.0-", "1;", "1\\n", "9999999999", "1" + "0" * 64]
)
def test_no_version(version: str) -> None:
    (error,) = errors(f'update: {{compatible: a, version: "{version}"}}')
    assert error.id == "config-update"


TAKES = "compatible: a, version: 1.4.0, keyring: keys/update.crt"


def test_a_system_that_takes_updates() -> None:
    source = "https://updates.example/os.raucb"
    found = config(f"update: {{{TAKES}, source: '{source}', every: 24h, restart: true}}")
    (service,) = found.services
    assert (service.name, service.image) == ("update", "compos/update:v1")
    assert (service.settings.restart, service.settings.pid) == ("always", "host")
    keyring, system, terms = found.files
    assert (keyring.path, keyring.source) == ("etc/update/keyring.pem", "keys/update.crt")
    assert terms.contents == f"version\t1.4.0\nsource\t{source}\nevery\t86400\nrestart\tyes\n"
    parser = ConfigParser()
    parser.read_string(system.contents or "")
    assert parser["system"]["compatible"] == "a"
    assert parser["system"]["bundle-formats"] == "verity"
    slots = {name: dict(parser[name]) for name in parser if name.startswith("slot.")}
    assert slots["slot.boot.1"]["bootname"] == "B"
    assert slots["slot.system.1"] == {
        "device": "/dev/disk/by-partlabel/system-b",
        "type": "raw",
        "parent": "boot.1",
    }


def test_what_is_printed_of_it_means_the_same() -> None:
    once = config(f"update: {{{TAKES}}}")
    assert once.update == Update("a", "1.4.0")
    again = config(to_yaml(once))
    assert (again.services, again.files, again.update) == (once.services, once.files, once.update)


def test_only_when_asked() -> None:
    found = config(f"update: {{{TAKES}}}")
    assert found.services[0].settings.pid is None
    assert found.files[2].contents == "version\t1.4.0\n"


@pytest.mark.parametrize(
    "more",
    [
        "source: 'https://a/b'",
        f"{TAKES[len('compatible: a, version: 1.4.0, ') :]}, every: 24h",
        "keyring: k, source: 'https://a/b', restart: true",
        "keyring: k, source: 'ftp://a/b'",
        "keyring: k, source: 'https://a/b c'",
        'keyring: k, source: "https://a/b\\nevery\\t1"',
        "keyring: k, source: 'https://a/b', every: 59s",
        "keyring: k, source: 'https://a/b', every: sometimes",
    ],
)
def test_mistakes(more: str) -> None:
    found = errors(f"update: {{compatible: a, version: 1.4.0, {more}}}")
    assert [error.id for error in found] in (["config-update"], ["config-duration"])
