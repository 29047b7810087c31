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


SLOTS = "slots: {}\n"
TAKES = "compatible: a, version: 1.4.0, keyring: keys/update.crt"


def test_a_system_that_takes_updates() -> None:
    source = "https://updates.example/os.raucb"
    keys = f"{TAKES}, source: '{source}', every: 24h, restart: true"
    found = config(f"{SLOTS}update: {{{keys}}}")
    (service,) = found.services
    assert (service.name, service.image) == ("update", "compos/update:v1")
    assert (service.settings.restart, service.settings.pid) == ("always", "host")
    keyring, system, terms = found.files
    assert (keyring.path, keyring.source) == ("etc/update/keyring.pem", "keys/update.crt")
    assert terms.contents == (
        f"version\t1.4.0\ncompatible\ta\nsource\t{source}\nevery\t86400\nrestart\tyes\n"
    )
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


def test_without_slots_the_next_version_goes_to_memory() -> None:
    (_, system, terms) = config(f"update: {{{TAKES}}}").files
    assert (terms.contents or "").splitlines()[-1] == "kexec\tyes"
    parser = ConfigParser()
    parser.read_string(system.contents or "")
    assert parser["handlers"]["bootloader-custom-backend"] == "/usr/bin/update-kexec"
    assert [name for name in parser if name.startswith("slot.")] == ["slot.boot.0", "slot.boot.1"]
    for more, added in (("", ("CAP_SYS_BOOT",)), (SLOTS, None)):
        (service,) = config(f"{more}update: {{{TAKES}}}").services
        assert service.settings.capabilities_add == added


def test_what_is_printed_of_it_means_the_same() -> None:
    once = config(f"update: {{{TAKES}}}")
    assert once.update == Update("a", "1.4.0")
    again = config(to_yaml(once))
    assert (again.services, again.files, again.update) == (once.services, once.files, once.update)


def test_only_when_asked() -> None:
    found = config(f"{SLOTS}update: {{{TAKES}}}")
    assert found.services[0].settings.pid is None
    assert found.files[2].contents == "version\t1.4.0\ncompatible\ta\n"
    assert found.onboot == ()


SOURCES = "[stick, 'oci://registry.example:5000/acme/gateway:stable', /var/lib/data/os.raucb]"


def test_several_sources_and_when() -> None:
    more = f"source: {SOURCES}, every: 1h, window: '23:30-01:00+02:00'"
    text = f"update: {{{TAKES}, {more}}}\nkernel: {{image: a, modules: [vfat]}}"
    found = config(text)
    lines = (found.files[2].contents or "").splitlines()
    assert [line.split("\t")[1] for line in lines if line.startswith("source")] == [
        "stick",
        "oci://registry.example:5000/acme/gateway:stable",
        "/var/lib/data/os.raucb",
    ]
    # 21:30 in UTC, an hour and a half.
    assert "window\t77400 5400" in lines
    assert found.kernel is not None
    assert found.kernel.modules == ("vfat", "nls_cp437", "nls_ascii", "exfat", "isofs")


def test_a_stick_may_restart_the_machine() -> None:
    found = config(f"{SLOTS}update: {{{TAKES}, source: stick, restart: true}}")
    assert found.files[2].contents == (
        "version\t1.4.0\ncompatible\ta\nsource\tstick\nrestart\tyes\n"
    )


HAWKBIT = "server: 'https://hawkbit.example', folder: /var/lib/data"
TARGET = "target_token: /var/lib/data/hawkbit-token"


def test_hawkbit() -> None:
    found = config(f"{SLOTS}update: {{{TAKES}, hawkbit: {{{HAWKBIT}, {TARGET}}}, restart: true}}")
    assert found.files[2].contents == (
        "version\t1.4.0\ncompatible\ta\nsource\thawkbit\n"
        "hawkbit\thttps://hawkbit.example/DEFAULT\n"
        "hawkbit-scheme\tTargetToken\nhawkbit-token\thawkbit-token\nrestart\tyes\n"
    )
    assert found.services[0].settings.binds_add == (
        "/var/lib/data:/var/lib/hawkbit",
        "/var/lib/data:/etc/hawkbit:ro",
    )
    again = config(to_yaml(found))
    assert (again.services, again.update) == (found.services, found.update)
    more = "tenant: acme, controller: 'gw:7', gateway_token: /run/config/token"
    text = f"{SLOTS}update: {{{TAKES}, source: stick, {DATA}, hawkbit: {{{HAWKBIT}, {more}}}}}"
    lines = (config(text).files[2].contents or "").splitlines()
    assert "hawkbit\thttps://hawkbit.example/acme" in lines
    assert "hawkbit-controller\tgw:7" in lines
    assert "hawkbit-scheme\tGatewayToken" in lines
    assert [line for line in lines if line.startswith("source")] == [
        "source\thawkbit",
        "source\tstick",
    ]


@pytest.mark.parametrize(
    "given",
    [
        HAWKBIT,
        f"{HAWKBIT}, {TARGET}, gateway_token: /a/b",
        f"folder: /d, {TARGET}",
        f"server: 'https://h', {TARGET}",
        f"server: 'https://h/path', folder: /d, {TARGET}",
        f"server: 'ftp://h', folder: /d, {TARGET}",
        f"server: 'https://user@h', folder: /d, {TARGET}",
        f'server: "https://h\\nsource\\tx", folder: /d, {TARGET}',
        f"{HAWKBIT}, target_token: token",
        f"{HAWKBIT}, target_token: /token",
        f"{HAWKBIT}, target_token: '/a/b c'",
        f"{HAWKBIT}, target_token: '/a:b/c'",
        f"{HAWKBIT}, {TARGET}, tenant: 'a/b'",
        f"{HAWKBIT}, {TARGET}, controller: '../x'",
        f"{HAWKBIT}, {TARGET}, controller: {'x' * 201}",
    ],
)
def test_mistakes_about_hawkbit(given: str) -> None:
    assert errors(f"update: {{{TAKES}, hawkbit: {{{given}}}}}")


DATA = "data: {folder: /var/lib/data, reads: [1, 2], writes: 2}"


def test_versions_of_data() -> None:
    found = config(f"{SLOTS}update: {{{TAKES}, {DATA}}}")
    assert found.files[2].contents == ("version\t1.4.0\nreads\t1 2\nwrites\t2\ncompatible\ta\n")
    (check,) = found.onboot
    assert (check.settings.command, check.settings.on_failure) == (
        ("/usr/bin/update", "data"),
        "halt",
    )
    assert check.settings.binds_add == found.services[0].settings.binds_add
    assert check.settings.binds_add == ("/var/lib/data:/srv",)
    again = config(to_yaml(found))
    assert (again.onboot, again.update) == (found.onboot, found.update)


@pytest.mark.parametrize(
    "data",
    [
        "{folder: /d, reads: [1], writes: 2}",
        "{folder: /d, reads: [], writes: 1}",
        f"{{folder: /d, reads: {[*range(1, 18)]}, writes: 1}}",
        "{folder: 'd', reads: [1], writes: 1}",
        "{folder: '/d:/e', reads: [1], writes: 1}",
        "{folder: /, reads: [1], writes: 1}",
        "{reads: [1], writes: 1}",
        "{folder: /d, reads: [0], writes: 0}",
    ],
)
def test_mistakes_in_versions_of_data(data: str) -> None:
    assert errors(f"update: {{compatible: a, version: 1.0.0, data: {data}}}")


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
        "keyring: k, source: 'https://a/b', window: '01:00-02:00'",
        "keyring: k, source: 'https://a/b', every: 1h, window: '01:00-01:00'",
        "keyring: k, source: 'https://a/b', every: 1h, window: '1:00-2:00'",
        "keyring: k, source: 'https://a/b', every: 1h, window: '01:00-24:00'",
        "keyring: k, source: []",
        f"keyring: k, source: {['https://a/b'] * 9}",
        "keyring: k, source: [stick, sticks]",
        "keyring: k, source: 'oci://a'",
        "keyring: k, source: 'oci://a/B:c'",
        "keyring: k, source: 'https://a/b', every: sometimes",
    ],
)
def test_mistakes(more: str) -> None:
    found = errors(f"update: {{compatible: a, version: 1.4.0, {more}}}")
    assert [error.id for error in found] in (["config-update"], ["config-duration"]), found
