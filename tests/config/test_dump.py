"""Printing: docs/linuxkit.md#2.5 and #3.8, docs/linuxkit.md#N9. PyYAML, which reads YAML 1.1, is
the second reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compos.config.dump import metadata_document, to_yaml
from compos.config.emit import yaml_text
from compos.config.load import load
from compos.config.model import Config, Kernel
from tests.config.reading import config

EVERYTHING = """\
kernel: {image: k, cmdline: 'a=b  "c" # d', tar: ''}
init: [a, b]
onboot:
- name: one
  image: b
  capabilities: [all]
  capabilities.add: [CAP_CHOWN]
  mounts: [{type: bind, source: vol, destination: /a, options: []}]
  binds: []
  devices: [{path: /dev/a, type: c, major: 1, minor: 2, mode: '0666'}]
  command: [sh, -c, "a\\nb\\n", '0o17', '1e3', 'yes', '', ' ', '1:30', '2001-01-01', "x\\ty", "\\x7f\\u2028\\U0001F600", '<&>']
  env: []
  cwd: ''
  readonly: false
  uid: 0
  additionalGids: [1, one]
  oomScoreAdj: 0
  resources: {memory: {limit: -1, disableOOMKiller: false}, hugepageLimits: [{pageSize: 2MB, limit: 1}], pids: {}}
  sysctl: {b: '1', a: 'true', 'x y': ''}
  uidMappings: [{hostID: 1, containerID: 2, size: 3}]
  annotations: {}
  runtime: {mkdir: [/a], interfaces: [{name: a}], bindNS: {net: /a}, mounts: [{source: /a, destination: /b, options: []}]}
files:
- {path: a, contents: "  x\\n\\n y\\n"}
- {path: b, metadata: yaml, mode: '0600', optional: true}
volumes: [{name: vol, format: oci, platforms: [linux/amd64], image: i}]
trust: {org: [a]}
"""

PRINTED = """\
kernel:
    image: a
init: []
onboot: []
onshutdown: []
services:
    - name: b
      image: c
      mounts:
        - destination: /x
          type: bind
          source: /y
          options: []
          uidmappings: []
          gidmappings: []
      command:
        - sh
        - "-c"
      runtime:
        mkdir:
            - /a
        bindNS:
            net: /n
files:
    - path: d
      directory: false
      contents: |
        e

        f
      optional: false
volumes: []
"""

METADATA = """\
kernel:
  image: docker.io/library/a
init: []
onboot: []
onshutdown: []
services:
- name: b
  image: c
  mounts:
  - destination: /x
    type: bind
    source: /y
    options: []
    uidmappings: []
    gidmappings: []
  command:
  - sh
  - "-c"
  runtime:
    mkdir:
    - /a
    bindNS:
      net: /n
files:
- path: d
  directory: false
  contents: |
    e

    f
  optional: false
volumes: []
"""


def test_everything_can_be_read_again() -> None:
    found = config(EVERYTHING)
    metadata = metadata_document(found, "yaml").decode()
    # A system need not know whom its builder trusted.
    for text, expected in ((to_yaml(found), found), (metadata, found._replace(trust=None))):
        assert config(text) == expected
        yaml.safe_load(text)


def test_dry_run() -> None:
    assert to_yaml(config(PRINTED)) == PRINTED


def test_metadata_as_yaml() -> None:
    assert (
        metadata_document(config(PRINTED), "yaml", {"a": "docker.io/library/a"}).decode()
        == METADATA
    )


def test_metadata_as_json() -> None:
    text = metadata_document(config(EVERYTHING), "json").decode()
    assert "<" not in text
    assert ">" not in text
    assert "&" not in text
    document = json.loads(text)
    assert list(document) == [
        "kernel",
        "init",
        "onboot",
        "onshutdown",
        "services",
        "files",
        "volumes",
    ]
    # LinuxKit writes empty sections of the JSON form as null.
    assert document["onshutdown"] is None
    assert config(text.replace(": null", ": []")) == config(EVERYTHING)._replace(trust=None)
    assert '\n    "kernel": {\n        "image": "k",\n' in text


def test_only_containers_and_the_kernel_get_canonical_names() -> None:
    names = {name: f"full/{name}" for name in "abciko"}
    document = yaml.safe_load(metadata_document(config(EVERYTHING), "yaml", names))
    assert document["kernel"]["image"] == "full/k"
    assert document["init"] == ["full/a", "full/b"]
    assert document["onboot"][0]["image"] == "full/b"
    assert document["volumes"][0]["image"] == "i"


def test_a_system_without_kernel() -> None:
    assert to_yaml(Config()).startswith('kernel:\n    image: ""\n')
    assert config(to_yaml(Config())) == Config(Kernel(""))


def test_order_of_keys() -> None:
    """3.8, whatever the order in the YAML."""
    text = "services: [{runtime: {}, annotations: {}, pid: a, net: b, tmpfs: [/a], devices: [], uid: 1, image: b, name: a}]"
    document = yaml.safe_load(to_yaml(config(text)))
    order = ["name", "image", "devices", "tmpfs", "net", "pid", "uid", "annotations", "runtime"]
    assert list(document["services"][0]) == order


TEXT = st.one_of(
    st.text(),
    st.text("ab \n\t:#-'\"|>&*!%@`,[]{}?~0123456789.eExXoO_+=<", max_size=12),
    st.sampled_from(
        [
            "yes",
            "No",
            "null",
            "~",
            "0o17",
            "0x1F",
            "1e3",
            ".inf",
            "1_0",
            "08",
            "2001-01-01",
            "1:30",
            "<<",
            "=",
            "---",
        ]
    ),
).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))
VALUES = st.recursive(
    st.one_of(TEXT, st.booleans(), st.integers(-(2**63), 2**64)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)


def normal(value: Any) -> Any:
    """Lists of lists do not occur in our YAML, and are not printed."""
    if isinstance(value, list):
        return [normal(item) for item in value if not isinstance(item, list)]
    return (
        {key: normal(inner) for key, inner in value.items()} if isinstance(value, dict) else value
    )


@pytest.mark.slow
@given(st.dictionaries(TEXT, VALUES.map(normal), min_size=1, max_size=4), st.booleans())
@settings(max_examples=300, deadline=None)
def test_other_readers_read_the_same(document: dict[str, Any], indented: bool) -> None:
    text = yaml_text(document, indent=4 if indented else 2, dashes_indented=indented)
    assert yaml.safe_load(text) == document


WITHOUT_NUL = TEXT.filter(lambda text: "\0" not in text)


@pytest.mark.slow
@given(
    st.lists(WITHOUT_NUL, max_size=4), st.dictionaries(WITHOUT_NUL, WITHOUT_NUL, max_size=3), TEXT
)
@settings(max_examples=300, deadline=None)
def test_whatever_strings_there_are_they_can_be_read_again(
    command: list[str], sysctl: dict[str, str], contents: str
) -> None:
    document = {
        "services": [{"name": "a", "image": "b", "command": command, "sysctl": sysctl}],
        "files": [{"path": "x", "contents": contents}],
    }
    found = config(yaml.safe_dump(document, default_style='"'))
    assert found.services[0].settings.command == tuple(command)
    assert found.services[0].settings.sysctl == sysctl
    for text in (to_yaml(found), metadata_document(found, "yaml").decode()):
        assert load(["-"], stdin=text.encode).services == found.services
        assert config(text).files == found.files


@pytest.mark.parametrize(
    "value",
    [
        "a: b",
        "a #b",
        "#",
        "- a",
        "a:",
        ":a",
        "'",
        '"',
        "@a",
        "%a",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "?",
        "[a",
        "{a",
    ],
)
def test_strings_with_a_meaning_are_quoted(value: str) -> None:
    assert yaml.safe_load(
        yaml_text({"k": [value], value: "v"}, indent=2, dashes_indented=False)
    ) == {
        "k": [value],
        value: "v",
    }
