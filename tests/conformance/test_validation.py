"""What is refused, with which id, always with status 1 and nothing written (1.0, 2.4, 6.2 N15 to
N22)."""

from __future__ import annotations

import pytest

from tests.conformance.lab import Lab

ENTRY = "services: [{name: a, image: @app, %s}]"

WRONG = {
    # 1.0 and 2.4: syntax, keys, types
    "empty input": ("", "yaml-empty"),
    "comments only": ("# nothing\n", "yaml-empty"),
    "no YAML": ("a: [", "yaml-syntax"),
    "duplicate key": ("init: []\ninit: []", "yaml-duplicate-key"),
    "a list on top": ("[a]", "config-type"),
    "a scalar on top": ("text", "config-type"),
    "a key that is no string (N17)": ("1: x", "config-unknown-key"),
    "unknown section": ("inti: []", "config-unknown-key"),
    "unknown kernel key": ("kernel: {img: x}", "config-unknown-key"),
    "unknown entry key": (ENTRY % "comand: [x]", "config-unknown-key"),
    "unknown file key": ("files: [{path: a, content: x}]", "config-unknown-key"),
    "unknown volume key": ("volumes: [{name: a, ro: true}]", "config-unknown-key"),
    "unknown resource key": (ENTRY % "resources: {mem: {}}", "config-unknown-key"),
    "unknown runtime key": (ENTRY % "runtime: {interface: []}", "config-unknown-key"),
    "key in other case": ("Init: []", "config-unknown-key"),
    "null section": ("files:", "config-type"),
    "null field": ("kernel: {cmdline: }", "config-type"),
    "yes is no boolean (M12)": (ENTRY % "readonly: yes", "config-type"),
    "unquoted mode (M12)": ("files: [{path: a, contents: x, mode: 0644}]", "config-type"),
    "unquoted device mode": (ENTRY % "devices: [{path: /dev/x, type: c, mode: 0600}]", "config-type"),
    "number for a string": ("kernel: {cmdline: 5}", "config-type"),
    "fraction for a number": (ENTRY % "oomScoreAdj: 1.5", "config-type"),
    "infinity": (ENTRY % "oomScoreAdj: .inf", "config-type"),
    "integer in sysctl": (ENTRY % "sysctl: {a: 1}", "config-type"),
    "a string for a list": (ENTRY % "command: ls", "config-type"),
    "a float for an id": (ENTRY % "uid: 1.0", "config-type"),
    "negative id (N26)": (ENTRY % "uid: -1", "config-range"),
    "id beyond 32 bits (N26)": (ENTRY % "gid: 4294967296", "config-range"),
    "negative unsigned": (ENTRY % "resources: {cpu: {shares: -1}}", "config-range"),
    "missing name": ("services: [{image: @app}]", "config-missing"),
    "missing image": ("onboot: [{name: a}]", "config-missing"),
    "missing path": ("files: [{contents: x}]", "config-missing"),
    "volume format": ("volumes: [{name: a, format: zip}]", "config-value"),
    "metadata kind": ("files: [{path: a, metadata: xml}]", "config-value"),
    # names and references
    "duplicate service": ("services: [{name: a, image: @app}, {name: a, image: @app}]", "config-duplicate-name"),
    "duplicate volume": ("volumes: [{name: a}, {name: a}]", "config-duplicate-name"),
    "volume name": ("volumes: [{name: A}]", "config-volume"),
    "empty volume name (N19)": ("volumes: [{name: ''}]", "config-volume"),
    "container name leaves its folder (N16)": ("services: [{name: ../a, image: @app}]", "config-name"),
    "container name is empty": ("services: [{name: '', image: @app}]", "config-name"),
    "image with a scheme": ("init: ['https://x/y']", "config-image"),
    "empty image": ("init: ['']", "config-image"),
    "image that is no name": ("init: ['A/b']", "image-reference"),
    "unknown template (N15)": ("init: ['@foo:x']", "config-template"),
    "package that is not there (N15)": ("init: ['@pkg:none']", "package-missing"),
    # settings
    "unknown capability": (ENTRY % "capabilities: [CAP_FOO]", "config-capability"),
    "capability without prefix": (ENTRY % "capabilities: [KILL]", "config-capability"),
    "capability in lower case": (ENTRY % "ambient: [cap_kill]", "config-capability"),
    "none with others": (ENTRY % "capabilities: [none, CAP_KILL]", "config-capability"),
    "bind without destination": (ENTRY % "binds: [/a]", "config-mount"),
    "bind with four parts": (ENTRY % "binds: ['a:b:c:d']", "config-mount"),
    "tmpfs with three parts": (ENTRY % "tmpfs: ['a:b:c']", "config-mount"),
    "mount without type": (ENTRY % "mounts: [{destination: /a, source: /b}]", "config-mount"),
    "mount without destination": (ENTRY % "mounts: [{type: ext4, source: /b}]", "config-mount"),
    "unknown volume in binds": (ENTRY % "binds: ['v:/v']", "config-volume"),
    "unknown volume in mounts": (ENTRY % "mounts: [{type: bind, source: v, destination: /v}]", "config-volume"),
    "read-only volume bound writable": ("volumes: [{name: v, readonly: true}]\n" + ENTRY % "binds: ['v:/v']", "config-volume"),
    "read-only volume with more than ro": ("volumes: [{name: v, readonly: true}]\n" + ENTRY % "binds: ['v:/v:ro,rshared']", "config-volume"),
    "read-only volume mounted rw": ("volumes: [{name: v, readonly: true}]\n" + ENTRY % "mounts: [{type: bind, source: v, destination: /v, options: [rw, ro]}]", "config-volume"),
    "rlimit of two parts": (ENTRY % "rlimits: ['core,1']", "config-rlimit"),
    "unknown rlimit (N22)": (ENTRY % "rlimits: ['foo,1,2']", "config-rlimit"),
    "rlimit that is no number": (ENTRY % "rlimits: ['core,1,x']", "config-rlimit"),
    "unknown id": (ENTRY % "uid: nobody", "config-id"),
    "numeric string as id": (ENTRY % "uid: '100'", "config-id"),
    "unknown id in files": ("files: [{path: a, contents: x, gid: nobody}]", "config-id"),
    "device without mode": (ENTRY % "devices: [{path: /dev/x, type: c}]", "config-mode"),
    "device mode that is not octal": (ENTRY % "devices: [{path: /dev/x, type: c, mode: '0689'}]", "config-mode"),
    "platform of four parts": ("volumes: [{name: a, image: @app, format: oci, platforms: [a/b/c/d]}]", "config-platform"),
    # files
    "empty path": ("files: [{path: '', contents: x}]", "config-file"),
    "root path": ("files: [{path: /, directory: true}]", "config-file"),
    "path that leaves (N16)": ("files: [{path: a/../../b, contents: x}]", "config-file"),
    "file path with a slash": ("files: [{path: a/, contents: x}]", "config-file"),
    "nothing to put": ("files: [{path: a}]", "config-file"),
    "source and metadata": ("files: [{path: a, source: x, metadata: yaml}]", "config-file"),
    "source and contents": ("files: [{path: a, source: x, contents: y}]", "config-file"),
    "metadata and directory": ("files: [{path: a, directory: true, metadata: yaml}]", "config-file"),
    "directory and contents": ("files: [{path: a, directory: true, contents: y}]", "config-file"),
    "mode that is not octal": ("files: [{path: a, contents: x, mode: '0888'}]", "config-mode"),
    "missing source": ("files: [{path: a, source: /none/at/all}]", "files-source"),
    "a folder as source": ("files: [{path: a, source: /etc, optional: true}]", "files-source"),
}  # fmt: skip

LABELS = {
    "a list": ("[a]", "config-type"),
    "a scalar": ("text", "config-type"),
    "null": ("null", "config-type"),
    "no YAML": ("{", "yaml-syntax"),
    "name": ("{name: x}", "config-unknown-key"),
    "image": ("{image: x}", "config-unknown-key"),
    "unknown key": ("{comand: []}", "config-unknown-key"),
    "type": ("{command: ls}", "config-type"),
    "unknown capability": ("{capabilities: [CAP_FOO]}", "config-capability"),
}


@pytest.mark.parametrize("rule", WRONG)
def test_refused(lab: Lab, rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    yaml, error = WRONG[rule]
    before = set(lab.folder.glob("*.tar"))
    assert lab.run(yaml, "--o", str(lab.folder / "wrong.tar")) == 1
    captured = capsys.readouterr()
    assert f"error[{error}]" in captured.err
    assert captured.out == ""
    assert set(lab.folder.glob("*.tar")) == before


@pytest.mark.parametrize("rule", LABELS)
def test_labels_that_are_refused(lab: Lab, rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    """1.6.2."""
    label, error = LABELS[rule]
    lab.image("labelled", [[]], label=label)
    assert lab.run("services: [{name: a, image: @labelled}]") == 1
    said = capsys.readouterr().err
    assert f"error[{error}]" in said
    assert "org.mobyproject.config" in said
    assert "labelled" in said


def test_all_mistakes_at_once(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        lab.run(
            "inti: []\nkernel: {cmdline: 5}\nfiles: [{path: a}]\nservices: [{name: a, image: @app, net: 5}]"
        )
        == 1
    )
    assert capsys.readouterr().err.count("error[") == 4


@pytest.mark.parametrize(
    "yaml", ["{}", "null", "trust: {image: [a], org: [b]}", "init: []\n---\nother: document"]
)
def test_accepted(lab: Lab, yaml: str) -> None:
    """1.1."""
    assert lab.build(yaml).tree == {}


def test_same_names_in_different_sections(lab: Lab) -> None:
    """2.2."""
    built = lab.build(
        "onboot: [{name: a, image: @app}, {name: a, image: @app}]\nonshutdown: [{name: a, image: @app}]\nservices: [{name: a, image: @app}]\nvolumes: [{name: a}]"
    )
    assert {
        "containers/onboot/000-a",
        "containers/onboot/001-a",
        "containers/onshutdown/000-a",
        "containers/services/a",
        "containers/volumes/a",
    } <= set(built.tree)


def test_anchors_and_merge_keys(lab: Lab) -> None:
    """1.0."""
    built = lab.build(
        "services:\n- &base {name: a, image: @app, env: [A=1]}\n- {<<: *base, name: b}\n"
    )
    assert built.json("containers/services/b/config.json")["process"]["env"] == ["A=1"]
