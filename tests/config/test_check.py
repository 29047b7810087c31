"""Syntax inside strings, and keys that need or cannot be combined: docs/linuxkit.md#1.4, 1.8 to
1.13, 2.4, 3.7.

Defects put right: N15, N16, N18, N19, N22.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from compos.cli import show
from compos.config.check import CAPABILITIES, is_template
from compos.config.fields import CONFIG
from compos.config.kinds import Identity, ListOf, MapOf, Record, Text, TextMap, Words
from compos.progress import Silent, listen
from tests.config.reading import config, errors, ids, mistakes


def test_the_capabilities_are_the_kernel_s() -> None:
    """util-linux (essential in Debian) names those of the running kernel in the order of their
    numbers."""
    listed = subprocess.run(
        ["setpriv", "--list-caps"], capture_output=True, text=True, check=True
    ).stdout.split()
    known = [f"CAP_{name.upper()}" for name in listed]
    assert len(CAPABILITIES) == 41
    assert list(CAPABILITIES)[: len(known)] == known[:41]


ACCEPTED = [
    *(f"capabilities: [{name}]" for name in (*CAPABILITIES, "all", "ALL", "None")),
    "capabilities: [all, CAP_CHOWN]",
    "capabilities.add: [all]",
    "capabilities: []",
    *(
        f"rlimits: ['{text}']"
        for text in (
            "nofile,1,2",
            "RLIMIT_NOFILE, 1 , 2",
            "core,unlimited,UNLIMITED",
            "as,0,18446744073709551615",
        )
    ),
    "binds: ['/a:/b', '/a:/b:ro,rshared', '/a:b']",
    "tmpfs: ['/a', '/a:', '/a:x,y']",
    "mounts: [{type: tmpfs, destination: /a}]",
    (
        "mounts: [{type: proc}, {source: sysfs}, {source: cgroup}, {type: mqueue}, {type: devpts}, "
        "{destination: /dev}]"
    ),
    "runtime: {mounts: [{source: /a, destination: /b, options: [bind]}, {destination: /c}]}",
    "devices: [{path: all, type: a}, {path: /dev/a, type: p, mode: '0'}]",
]


@pytest.mark.parametrize("fields", ACCEPTED)
def test_accepted(fields: str) -> None:
    assert ids(fields) == []


@pytest.mark.parametrize(
    ("fields", "id", "path"),
    [
        ("capabilities: [cap_chown]", "config-capability", "capabilities[0]"),
        ("capabilities: [CAP_CHOWN, CHOWN]", "config-capability", "capabilities[1]"),
        ("capabilities: [none, CAP_CHOWN]", "config-capability", "capabilities"),
        ("capabilities.add: [all, none]", "config-capability", "capabilities.add"),
        ("ambient: [CAP_NOTHING]", "config-capability", "ambient[0]"),
        *(
            (f"rlimits: ['{text}']", "config-rlimit", "rlimits[0]")
            for text in (
                "nofile",
                "nofile,1",
                "nofile,1,2,3",
                "files,1,2",
                "nofile,-1,2",
                "nofile,1,many",
                "nofile,,1",
                "nofile,0x1,2",
                "nofile,18446744073709551616,1",
                "nofile,٣,1",
            )
        ),
        *(
            (f"binds: ['{text}']", "config-mount", "binds[0]")
            for text in ("/a", "/a:/b:ro:x", "/a:", ":/b", "", ":")
        ),
        ("binds.add: ['/a']", "config-mount", "binds.add[0]"),
        *((f"tmpfs: ['{text}']", "config-mount", "tmpfs[0]") for text in ("", ":x", "/a:x:y")),
        ("mounts: [{source: /a, destination: /b}]", "config-mount", "mounts[0]"),
        ("mounts: [{type: bind, source: /a}]", "config-mount", "mounts[0]"),
        ("mounts: [{}]", "config-mount", "mounts[0]"),
        ("devices: [{path: /dev/a, type: c}]", "config-mode", "devices[0]"),
        ("devices: [{path: /dev/a, type: c, mode: '9'}]", "config-mode", "devices[0].mode"),
        ("devices: [{path: /dev/a, type: c, mode: '77777'}]", "config-mode", "devices[0].mode"),
        ("devices: [{path: /dev/a, type: x, mode: '0'}]", "config-device", "devices[0].type"),
        ("devices: [{path: /dev/a, type: a, mode: '0'}]", "config-device", "devices[0].type"),
        ("devices: [{type: c, mode: '0'}]", "config-device", "devices[0]"),
    ],
)
def test_refused(fields: str, id: str, path: str) -> None:
    found = errors(f"services: [{{name: a, image: b, {fields}}}]")
    assert [error.id for error in found] == [id]
    assert (found[0].place or "").endswith(f": services[0].{path}")
    assert found[0].hint


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "/", "a\\0b", "a\\nb"])
def test_container_names_stay_in_their_folder(name: str) -> None:
    assert mistakes(f'onboot: [{{image: b, name: "{name}"}}]') == [
        ("config-name", "1:27: onboot[0].name")
    ]


@pytest.mark.parametrize("name", ["", "A", "a.b", "a/b", "ä", "a b"])
def test_volume_names(name: str) -> None:
    assert mistakes(f"volumes: [{{name: '{name}'}}]") == [
        ("config-volume", "1:18: volumes[0].name")
    ]


@pytest.mark.parametrize("text", ["linux/arm/v7/x", "linux/", "", "/"])
def test_platforms(text: str) -> None:
    assert mistakes(f"volumes: [{{name: a, platforms: ['{text}']}}]") == [
        ("config-platform", "1:33: volumes[0].platforms[0]")
    ]


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("@pkg:./x", None),
        ("@pkg:", "config-template"),
        ("@foo:x", "config-template"),
        ("@", "config-template"),
        ("@PKG:x", "config-template"),
        ("https://x/y", "config-image"),
        ("a b", "config-image"),
        ("a\\nb", "config-image"),
        ("", "config-image"),
        ("a/b:c@sha256:d", None),
    ],
)
@pytest.mark.parametrize(
    "text", ['init: ["{}"]', 'kernel: {{image: "{}"}}', 'services: [{{name: a, image: "{}"}}]']
)
def test_image_names(name: str, id: str | None, text: str) -> None:
    expected = [] if id is None or (not name and "kernel" in text) else [id]
    assert [error.id for error in errors(text.format(name))] == expected


def test_templates_are_left_as_they_are_elsewhere() -> None:
    """LinuxKit empties every string that begins with an at sign (N15)."""
    assert errors("services: [{name: a, image: b, command: ['@foo', '@pkg:x']}]") == []
    assert is_template("@pkg:x")
    assert not is_template("a@pkg:x")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("path: a, contents: ''", None),
        ("path: a, directory: true, symlink: /b", None),
        ("path: a, symlink: /b, contents: c", None),
        ("path: a/, directory: true", None),
        ("path: a, source: b, contents: ~", "config-type"),
        ("path: a, source: b, optional: true, mode: '0644'", None),
        ("path: a, source: '', metadata: yaml", None),
        ("path: a..b, contents: c", None),
        ("path: ''", "config-file"),
        ("path: /, directory: true", "config-file"),
        ("path: a", "config-file"),
        ("path: a, symlink: ''", "config-file"),
        ("path: a, metadata: ''", "config-file"),
        ("path: a, source: b, metadata: yaml", "config-file"),
        ("path: a, contents: b, source: c", "config-file"),
        ("path: a, directory: true, metadata: yaml", "config-file"),
        ("path: a, symlink: /b, source: c", "config-file"),
        ("path: a, directory: true, contents: b", "config-file"),
        ("path: ../a, contents: b", "config-file"),
        ("path: a/../../b, contents: b", "config-file"),
        ("path: a/, contents: b", "config-file"),
        ("path: a, contents: b, mode: rwx", "config-mode"),
        ("path: a, contents: b, mode: '-644'", "config-mode"),
        ("path: a, contents: b, mode: '0o644'", "config-mode"),
        ("path: a, contents: b, mode: ''", None),
    ],
)
def test_files(entry: str, expected: str | None) -> None:
    found = errors(f"files: [{{{entry}}}]")
    assert {error.id for error in found} == ({expected} if expected else set())
    assert all(error.hint for error in found)


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ("capabilities: [net_admin]", "Did you mean 'CAP_NET_ADMIN'?"),
        ("capabilities: [CAP_SYSADMIN]", "Did you mean 'CAP_SYS_ADMIN'?"),
        ("capabilities: [CAP_NET_BIND]", "Did you mean 'CAP_NET_BIND_SERVICE'?"),
        ("capabilities: [xyz]", "Use a name from capabilities(7), all or none."),
        ("binds: [/a]", "Write '/a:/a:ro'."),
        ("rlimits: ['nofiles,1,2']", "Did you mean 'NOFILE'?"),
    ],
)
def test_hints(fields: str, hint: str) -> None:
    assert [error.hint for error in errors(f"services: [{{name: a, image: b, {fields}}}]")] == [
        hint
    ]


def test_an_unknown_limit_is_named() -> None:
    """docs/linuxkit.md#N22."""
    assert "'files'" in errors("services: [{name: a, image: b, rlimits: ['files,1,2']}]")[0].message


@pytest.mark.parametrize(
    ("limits", "places"),
    [
        ("['nofile,1,2', 'nproc,1,2']", []),
        ("['nofile,1,2', 'nofile,1,2']", ["rlimits[1]"]),
        ("['nofile,1,2', 'NOFILE,3,4', 'RLIMIT_NOFILE,5,6']", ["rlimits[1]", "rlimits[2]"]),
        ("[' rlimit_core , 0, 0', 'Core,0,0']", ["rlimits[1]"]),
    ],
)
def test_a_limit_that_stands_twice_is_said(
    limits: str, places: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    show.install(1)
    try:
        assert not errors(f"services: [{{name: a, image: b, rlimits: {limits}}}]")
    finally:
        listen(Silent())
    said = capsys.readouterr().err
    assert said.count("is repeated") == len(places)
    assert all(f"services[0].{place}:" in said for place in places)


@pytest.mark.parametrize(
    ("fields", "id"),
    [
        ("healthcheck: {test: x, interval: NINESs}", "config-duration"),
        ("healthcheck: {test: x, interval: 1e308h}", "config-duration"),
        ("stop_grace_period: NINESh", "config-duration"),
        ("logging: {options: {max-size: NINESk}}", "config-logging"),
        ("logging: {options: {max-file: 'NINES'}}", "config-logging"),
        ("restart: 'on-failure:NINES'", "config-restart"),
        ("stop_signal: 'NINES'", "config-signal"),
        ("stop_signal: RTMIN+NINES", "config-signal"),
        ("rlimits: ['nofile,NINES,1']", "config-rlimit"),
    ],
)
def test_numbers_of_thousands_of_digits(fields: str, id: str) -> None:
    assert set(ids(fields.replace("NINES", "9" * 5000))) == {id}


@pytest.mark.slow
def test_services_may_wait_for_each_other_in_a_long_row() -> None:
    rows = [
        f"- {{name: s{number}, image: a, depends_on: [s{number + 1}]}}" for number in range(3000)
    ]
    text = "services:\n" + "\n".join(rows)
    assert not errors(f"{text}\n- {{name: s3000, image: a}}\n")
    (error,) = errors(f"{text}\n- {{name: s3000, image: a, depends_on: [s2999]}}\n")
    assert error.message.endswith(": s2999 → s3000 → s2999")


@pytest.mark.parametrize(
    "name", ["a" * 241, "ä" * 121, "\u202e", "a\u2028b", "../../x", "a/b", "..", "\x7f"]
)
def test_names_that_cannot_be_folders(name: str) -> None:
    document = json.dumps({"services": [{"name": name, "image": "b"}]})
    assert [error.id for error in errors(document)] == ["config-name"]


@pytest.mark.parametrize("name", ["a" * 241, "", "A", "a/b", "..", ".", "a b", "ä"])
def test_names_that_cannot_be_volumes(name: str) -> None:
    assert [error.id for error in errors(json.dumps({"volumes": [{"name": name}]}))] == [
        "config-volume"
    ]


@pytest.mark.parametrize("name", ["a" * 65, "a b", "a\nb", "\x1b[31m", "ä" * 33])
def test_names_that_cannot_be_hosts(name: str) -> None:
    document = json.dumps({"services": [{"name": "a", "image": "b", "hostname": name}]})
    assert [error.id for error in errors(document)] == ["config-hostname"]


def texts(kind: Any, value: str = "a") -> Iterator[Any]:
    """Values of a kind of the tables, each with `value` at one place where a string may stand."""
    if isinstance(kind, Text | Identity):
        yield value
    elif isinstance(kind, ListOf):
        yield from ([inner] for inner in texts(kind.item, value))
    elif isinstance(kind, Words):
        yield from (value, [value])
    elif isinstance(kind, TextMap):
        yield from ({value: "x"}, {"x": value})
    elif isinstance(kind, MapOf):
        yield from ({value: {}}, [value])
        yield from ({"x": inner} for inner in texts(kind.item, value))
    elif isinstance(kind, Record):
        for field in kind.fields.values():
            if field.key not in ("arch", "include", "contents"):
                yield from ({field.key: inner} for inner in texts(field.kind, value))


def test_nul_ends_every_string_in_linux() -> None:
    """By the tables: a key that somebody adds is tried, too. Contents of files may hold
    anything."""
    tried = list(texts(CONFIG, "a\0b"))
    assert len(tried) > 100
    for document in tried:
        found = errors(json.dumps(document))
        assert found, document
        assert all("\0" not in error.message for error in found), document
    assert config('files: [{path: a, contents: "a\\0b"}]').files[0].contents == "a\0b"
