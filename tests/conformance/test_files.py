"""The `files` section: what is made, with which mode and owner, with which parents; and what is
refused (1.3, 3.7, M9)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml as pyyaml

from tests.conformance.lab import APP, Lab, T
from tests.images import Member

FILES = {
    "contents": ("{path: f, contents: hello}", "f", ("file", 0o600, 0, 0, "hello")),
    "empty contents": ("{path: f, contents: ''}", "f", ("file", 0o600, 0, 0, "")),
    "mode": ("{path: f, contents: x, mode: '0644'}", "f", ("file", 0o644, 0, 0, "x")),
    "mode with special bits": ("{path: f, contents: x, mode: '4755'}", "f", ("file", 0o4755, 0, 0, "x")),
    "an empty mode is the default": ("{path: f, contents: x, mode: ''}", "f", ("file", 0o600, 0, 0, "x")),
    "ids": ("{path: f, contents: x, uid: 5, gid: 6}", "f", ("file", 0o600, 5, 6, "x")),
    "ids by container": ("{path: f, contents: x, uid: app, gid: root}", "f", ("file", 0o600, 100, 0, "x")),
    "a leading slash": ("{path: /f, contents: x}", "f", ("file", 0o600, 0, 0, "x")),
    "a directory": ("{path: d, directory: true}", "d", ("dir", 0o700, 0, 0, "")),
    "a directory with mode and ids": ("{path: d, directory: true, mode: '1777', uid: 1, gid: 2}", "d", ("dir", 0o1777, 1, 2, "")),
    "a directory with a slash": ("{path: d/, directory: true, mode: '0755'}", "d", ("dir", 0o755, 0, 0, "")),
    "a symlink": ("{path: l, symlink: ../x/y}", "l", ("symlink", 0o600, 0, 0, "../x/y")),
    "a symlink with mode": ("{path: l, symlink: /x, mode: '0777', uid: 3}", "l", ("symlink", 0o777, 3, 0, "/x")),
    "directory wins over symlink": ("{path: d, directory: true, symlink: x}", "d", ("dir", 0o700, 0, 0, "")),
    "symlink wins over contents": ("{path: l, symlink: x, contents: y}", "l", ("symlink", 0o600, 0, 0, "x")),
    "a source": ("{path: f, source: HERE/plain}", "f", ("file", 0o600, 0, 0, "plain file")),
    "a source that is a link": ("{path: f, source: HERE/link, mode: '0640'}", "f", ("file", 0o640, 0, 0, "plain file")),
    "an optional source that is there": ("{path: f, source: HERE/plain, optional: true}", "f", ("file", 0o600, 0, 0, "plain file")),
    "non-ASCII contents": ("{path: ü, contents: \"ö\\n\"}", "ü", ("file", 0o600, 0, 0, "ö\n")),
}  # fmt: skip


@pytest.fixture(scope="module")
def here(lab: Lab) -> Path:
    folder = lab.folder / "host"
    folder.mkdir()
    (folder / "plain").write_text("plain file")
    (folder / "plain").chmod(0o755)
    (folder / "link").symlink_to("plain")
    (folder / "large").write_bytes(bytes(range(256)) * 4096)
    return folder


@pytest.mark.parametrize("rule", FILES)
def test_files(lab: Lab, here: Path, rule: str) -> None:
    entry, path, expected = FILES[rule]
    built = lab.build(
        f"services: [{{name: app, image: @app}}]\nfiles: [{entry.replace('HERE', str(here))}]"
    )
    found = built.tree[path]
    assert (found.kind, found.mode, found.uid, found.gid, found.link or found.text) == expected
    assert found.mtime == T
    assert found.origin == ("linuxkit.files", "files[0]")


def test_a_source_in_the_home_folder_and_in_the_working_folder(
    lab: Lab, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.chdir(here)
    built = lab.build(
        "files: [{path: a, source: ~/plain}, {path: b, source: plain}, {path: c, source: large}]"
    )
    assert built.tree["a"].text == built.tree["b"].text == "plain file"
    assert built.tree["c"].content == (here / "large").read_bytes()


def test_a_missing_optional_source_leaves_nothing(lab: Lab) -> None:
    assert lab.build("files: [{path: a/b, source: /none/at/all, optional: true}]").tree == {}


PARENTS = {
    "no mode": ("", 0o700),
    "0600": ("mode: '0600'", 0o700),
    "0644": ("mode: '0644'", 0o755),
    "0444": ("mode: '0444'", 0o555),
    "0640": ("mode: '0640'", 0o750),
    "0004": ("mode: '0004'", 0o005),
    "4644": ("mode: '4644'", 0o4755),
}


@pytest.mark.parametrize("rule", PARENTS)
def test_parents_have_the_entry_s_mode_and_owner(lab: Lab, rule: str) -> None:
    """M9."""
    mode, expected = PARENTS[rule]
    built = lab.build(f"files: [{{path: a/b/c, contents: x, uid: 1, gid: 2, {mode}}}]")
    for path in ("a", "a/b"):
        entry = built.tree[path]
        assert (entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime) == (
            "dir",
            expected,
            1,
            2,
            T,
        )


def test_parents_are_made_once_a_section(lab: Lab) -> None:
    built = lab.build(
        "files: [{path: a/b, contents: x, mode: '0644'}, {path: a/c, contents: y, mode: '0600', uid: 9}, {path: d, directory: true, mode: '0711'}, {path: d/e, contents: z}]"
    )
    assert (built.tree["a"].mode, built.tree["a"].uid) == (0o755, 0)
    assert built.tree["d"].mode == 0o711
    assert built.tree["a/c"].origin[1] == "files[1]"


def test_explicit_entries_are_made_again(lab: Lab) -> None:
    built = lab.build(
        "files: [{path: a/b, contents: x}, {path: a, directory: true, mode: '0755', uid: 4}, {path: a/b, contents: y, mode: '0444'}]"
    )
    assert (built.tree["a"].mode, built.tree["a"].uid) == (0o755, 4)
    assert (built.tree["a/b"].text, built.tree["a/b"].mode) == ("y", 0o444)


def test_folders_of_images_keep_their_mode(lab: Lab) -> None:
    """3.7.5, M9: `etc/x` without a mode would make /etc 0700 in LinuxKit, and `tmp/x` close
    /tmp."""
    lab.image("tmp", [[Member("tmp", "dir", 0o1777, uid=3)]])
    built = lab.build(
        "init: [@init, @tmp]\nfiles: [{path: etc/x, contents: x}, {path: tmp/x, contents: x, mode: '0644'}]"
    )
    assert built.tree["etc"].mode == 0o750
    assert (built.tree["tmp"].mode, built.tree["tmp"].uid) == (0o1777, 3)
    assert built.tree["init"].text == "#!"
    built = lab.build(
        "init: [@init, @tmp]\nfiles: [{path: tmp, directory: true, mode: '0711', uid: 4}]"
    )
    assert (built.tree["tmp"].mode, built.tree["tmp"].uid) == (0o711, 4)


def test_files_inside_containers(lab: Lab) -> None:
    built = lab.build(
        "services: [{name: a, image: @app}]\nfiles: [{path: containers/services/a/lower/bin/app, contents: mine, mode: '0755'}]"
    )
    assert built.tree["containers/services/a/lower/bin/app"].text == "mine"


def test_files_through_links_of_images(lab: Lab) -> None:
    lab.image(
        "usr", [[Member("usr/lib", "dir", 0o755), Member("lib", "symlink", 0o777, "usr/lib"), *APP]]
    )
    entries = "{path: lib/x, contents: x}, {path: lib/new/y, contents: y, mode: '0644'}, {path: lib, directory: true, mode: '0750'}"
    built = lab.build(f"init: [@usr]\nfiles: [{entries}]")
    assert (built.tree["lib"].kind, built.tree["lib"].link) == ("symlink", "usr/lib")
    assert (built.tree["usr/lib/x"].text, built.tree["usr/lib/new/y"].text) == ("x", "y")
    assert (built.tree["usr/lib"].mode, built.tree["usr/lib/new"].mode) == (0o750, 0o755)


def test_files_through_links_in_containers_stay_there(lab: Lab) -> None:
    lab.image(
        "hostile",
        [
            [
                Member("run", "symlink", 0o777, "/etc"),
                Member("up", "symlink", 0o777, "../../../../etc"),
                *APP,
            ]
        ],
    )
    base = "containers/services/a/lower"
    entries = f"{{path: {base}/run/x, contents: x}}, {{path: {base}/up/y, contents: y}}"
    built = lab.build(
        f"init: [@init]\nservices: [{{name: a, image: @hostile}}]\nfiles: [{entries}]"
    )
    assert (built.tree[f"{base}/etc/x"].text, built.tree[f"{base}/etc/y"].text) == ("x", "y")
    assert not {"etc/x", "etc/y"} & set(built.tree)


LIMITS = {
    "a NUL": ('{path: "a\\0b", contents: x}', "NUL"),
    "a long name": (f"{{path: {'n' * 256}, contents: x}}", "NAME_MAX"),
    "a long path": (f"{{path: {'n/' * 2048}x, contents: x}}", "PATH_MAX"),
    "a NUL in a link": ('{path: l, symlink: "a\\0b"}', "NUL"),
    "a long link": (f"{{path: l, symlink: {'n' * 4096}}}", "4,095"),
    "a user of 33 bits": ("{path: f, contents: x, uid: 4294967296}", "user id"),
    "a negative group": ("{path: f, contents: x, gid: -1}", "group id"),
    "the root": ("{path: /, contents: x}", "root"),
}


@pytest.mark.parametrize("rule", LIMITS)
def test_what_linux_cannot_have(lab: Lab, rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    entry, reason = LIMITS[rule]
    assert lab.run(f"files: [{entry}]") == 1
    said = capsys.readouterr().err
    assert "error[files-limit]" in said or "error[config-" in said
    assert reason in said or "error[config-" in said


YAML = """
kernel: {image: @kernel, cmdline: "a b", tar: none}
init: [@init]
onboot: [{name: one, image: @app, binds: ["v:/v"], resources: {memory: {kernelTCP: 1}}, uidMappings: [{hostID: 1, containerID: 2, size: 3}]}]
services: [{name: web, image: @app, "capabilities.add": [CAP_KILL], mounts: [{type: bind, source: /a, destination: /b}]}]
volumes: [{name: v, image: @app}]
files:
  - {path: etc/x, contents: "<a&b>", mode: "0644"}
  - {path: etc/os, metadata: FORM, mode: "0600"}
"""


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_metadata(lab: Lab, form: str) -> None:
    """3.7.8, 3.8, N9."""
    built = lab.build(YAML.replace("FORM", form))
    entry = built.tree["etc/os"]
    assert (entry.kind, entry.mode, entry.mtime) == ("file", 0o600, T)
    document = (json.loads if form == "json" else pyyaml.safe_load)(entry.text)
    assert list(document) == [
        "kernel",
        "init",
        "onboot",
        "onshutdown",
        "services",
        "files",
        "volumes",
    ]
    assert document["kernel"] == {"image": lab.names["kernel"], "cmdline": "a b", "tar": "none"}
    assert document["init"] == [lab.names["init"]]
    assert document["onshutdown"] == (None if form == "json" else [])
    one, web = document["onboot"][0], document["services"][0]
    assert list(one) == ["name", "image", "binds", "resources", "uidMappings"]
    assert (one["image"], one["binds"], one["resources"]) == (
        lab.names["app"],
        ["v:/v"],
        {"memory": {"kernelTCP": 1}},
    )
    assert one["uidMappings"] == [{"hostID": 1, "containerID": 2, "size": 3}]
    assert list(web) == ["name", "image", "capabilities.add", "mounts"]
    assert web["mounts"] == [
        {
            "destination": "/b",
            "type": "bind",
            "source": "/a",
            "options": [],
            "uidmappings": [],
            "gidmappings": [],
        }
    ]
    assert document["files"][0] == {
        "path": "etc/x",
        "directory": False,
        "contents": "<a&b>",
        "optional": False,
        "mode": "0644",
    }
    assert document["volumes"][0]["name"] == "v"
    if form == "json":
        assert "\\u003ca\\u0026b\\u003e" in entry.text
        assert entry.text.startswith('{\n    "kernel": {\n        "image": ')


def test_metadata_of_images_without_host(lab: Lab) -> None:
    """3.8: names are canonical, but those of volumes."""
    text = lab.folder / "docker.yml"
    text.write_text("x")
    lab.image("lib", [APP])
    mirror = ("--mirror", f"docker.io={lab.registry.url}", "--o", str(lab.folder / "out.tar"))
    lab.registry.load(
        lab.published,
        f"docker.io/library/lib:{lab.names['lib'].rpartition(':')[2]}",
        "library/short",
        "1",
    )
    assert (
        lab.run(
            "init: ['short:1']\nvolumes: [{name: v, image: 'short:1'}]\nfiles: [{path: m, metadata: yaml}]",
            *mirror,
        )
        == 0
    )
    from tests.conformance.lab import read_tree

    document = pyyaml.safe_load(read_tree(lab.folder / "out.tar")["m"].text)
    assert document["init"] == ["docker.io/library/short:1"]
    assert document["volumes"][0]["image"] == "short:1"
