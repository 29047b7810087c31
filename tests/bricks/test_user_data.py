"""The metadata brick's program with user data and discs, also such as mean harm: whatever they hold
ends in a line or two and a status of 0, and nothing is written outside /run/config."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_brick
from tests.bricks.metadata_runs import KEY, Outcome, run


@pytest.fixture(scope="module")
def program() -> Path:
    return compile_brick("metadata")


@pytest.fixture(scope="module")
def disc_program() -> Path:
    return compile_brick("metadata", driver="disc")


def files_of(program: Path, data: str) -> Outcome:
    return run(program, "file=/run/given", files={"/run/given": data})


@pytest.mark.root
def test_user_data_as_files(program: Path) -> None:
    data = json.dumps(
        {
            "ssh": {
                "perm": "0700",
                "entries": {"authorized_keys": {"perm": "0600", "content": KEY}},
            },
            "motd": {"content": 'caf\u00e9 "\U0001f600"\n\0\\'},
            "closed": {"perm": "0500", "entries": {"in": {"entries": {}}}},
            "empty": {"content": ""},
        }
    )
    outcome = files_of(program, data)
    assert outcome.said == "metadata: found /run/given\n"
    del outcome.files["given"], outcome.files["config"]
    text = 'caf\u00e9 "\U0001f600"\n\0\\'.encode().decode("latin-1")
    assert outcome.files == {
        "config/provider": ["644", "/run/given"],
        "config/userdata": ["644", data],
        "config/ssh": ["700", "directory"],
        "config/ssh/authorized_keys": ["600", KEY],
        "config/motd": ["644", text],
        "config/closed": ["500", "directory"],
        "config/closed/in": ["755", "directory"],
        "config/empty": ["644", ""],
    }


BAD_ENTRIES = {
    "content and entries": '{"a": {"content": "", "entries": {}}}',
    "neither": '{"a": {}}',
    "no object": '{"a": 1}',
    "content that is no string": '{"a": {"content": 1}}',
    "entries that are no object": '{"a": {"entries": []}}',
    "a mode that is none": '{"a": {"perm": "0999", "content": ""}}',
    "a mode that is a number": '{"a": {"perm": 420, "content": ""}}',
    "setuid": '{"a": {"perm": "4755", "content": ""}}',
    "a path": '{"a/b": {"content": ""}}',
    "an absolute path": '{"/etc/passwd": {"content": ""}}',
    "the parent": '{"..": {"content": ""}}',
    "the parent's entries": '{"..": {"entries": {"x": {"content": ""}}}}',
    "itself": '{".": {"entries": {"x": {"content": ""}}}}',
    "nothing": '{"": {"content": ""}}',
    "a zero byte": '{"a\\u0000b": {"content": ""}}',
    "a long name": json.dumps({"x" * 300: {"content": ""}}),
    "a file that is a directory": '{"provider": {"entries": {"x": {"content": ""}}}}',
}


@pytest.mark.root
@pytest.mark.parametrize("data", BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_an_entry_that_is_invalid(program: Path, data: str) -> None:
    """It alone is left out."""
    data = f'{{"provider": {{"content": ""}}, {data[1:-1]}, "good": {{"content": "x"}}}}'
    outcome = files_of(program, data)
    assert outcome.status == 0
    assert outcome.said.count("\n") == 2, outcome.said
    assert outcome.said.startswith("metadata: found /run/given\nmetadata: user data: ")
    assert set(outcome.files) == {
        "given",
        *("config", "config/provider", "config/userdata", "config/good"),
    }


NO_JSON = {
    "cut": '{"a": ',
    "a comma": '{"a": {"content": ""},}',
    "more": "{} {}",
    "many brackets": '{"a":' + "[" * 100000,
    "many objects": '{"a":' * 100000,
    "many values": '{"a": [' + "0," * 200000 + "0]}",
    "a control character": '{"a": "\n"}',
    "an escape that is none": r'{"a": "\x"}',
    "half an escape": r'{"a": "\u12',
    "a number that is none": '{"a": 01}',
    "a name that is none": "{a: 1}",
}


@pytest.mark.root
@pytest.mark.parametrize("data", NO_JSON.values(), ids=NO_JSON)
def test_what_begins_like_json(program: Path, data: str) -> None:
    outcome = files_of(program, data)
    assert outcome.status == 0
    lines = outcome.said.splitlines()
    assert lines[1].startswith("metadata: user data: no valid JSON, and so no files of it: ")
    assert len(lines) == 2
    assert outcome.files["config/userdata"][1] == data
    assert set(outcome.files) == {"given", "config", "config/provider", "config/userdata"}


@pytest.mark.root
def test_links_are_not_followed(program: Path, tmp_path: Path) -> None:
    """Of an earlier run, or of whoever else writes there."""
    script = (
        "mkdir -p /run/config /run/other; ln -s /run/other /run/config/ssh;"
        'ln -s /run/other/made /run/config/motd; exec "$0" file=/run/given'
    )
    data = '{"ssh": {"entries": {"x": {"content": "1"}}}, "motd": {"content": "2"}}'
    task_files = {"/run/given": data}
    outcome = run(Path("/bin/sh"), "-c", script, str(program), files=task_files)
    assert "metadata: user data: ssh: " in outcome.said
    assert outcome.files["config/motd"] == ["644", "2"]
    assert not [path for path in outcome.files if path.startswith("other/")]


CLOUD_CONFIG = """#cloud-config
# a comment
hostname: 'it''s'  # refused: no host name
users:
  - default
  - name: me
    ssh_authorized_keys:
    - ssh-rsa A me
  - name: "you"
    ssh_authorized_keys:
      - "ssh-rsa B \\"you\\""

ssh_authorized_keys:
- ssh-rsa C
write_files:
- path: /etc/motd
  content: |
    line one

      line two # no comment
    \u00e9
  permissions: '0600'
- {0}path: /etc/deep/er/key
  encoding: b64
  content: Zm9yIHlvdQ==
- content: |-
    no end
  path: /a
- path: /kept
  content: |+
    end

packages:
  - vim
runcmd: []x
"""


@pytest.mark.root
def test_cloud_config(program: Path) -> None:
    text = CLOUD_CONFIG.replace("{0}", "").replace("[]x", "none")
    data = text.encode().decode("latin-1")
    outcome = files_of(program, data)
    assert outcome.status == 0
    assert outcome.said == (
        "metadata: found /run/given\n"
        "metadata: /run/given: its host name is no host name\n"
        "metadata: #cloud-config: not carried out: users (--users), packages, runcmd (--commands)\n"
    )
    del outcome.files["given"], outcome.files["config"], outcome.files["config/files"]
    motd = "line one\n\n  line two # no comment\n\u00e9\n".encode().decode("latin-1")
    assert outcome.files == {
        "config/provider": ["644", "/run/given"],
        "config/userdata": ["644", data],
        "config/ssh": ["755", "directory"],
        "config/ssh/authorized_keys": ["600", 'ssh-rsa C\nssh-rsa A me\nssh-rsa B "you"\n'],
        "config/files/etc": ["755", "directory"],
        "config/files/etc/motd": ["600", motd],
        "config/files/etc/deep": ["755", "directory"],
        "config/files/etc/deep/er": ["755", "directory"],
        "config/files/etc/deep/er/key": ["644", "for you"],
        "config/files/a": ["644", "no end"],
        "config/files/kept": ["644", "end\n\n"],
    }
    named = files_of(program, "#cloud-config\r\nhostname: web-1\r\n")
    assert named.hostname == "web-1"
    assert named.said == "metadata: found /run/given\n"


BAD_FILES = {
    "a relative path": "path: a",
    "the parent": "path: /../a",
    "the parent in the middle": "path: /a/../../../../b",
    "no path": "content: a",
    "a directory": "path: /",
    "too many directories": "path: " + "/a" * 40,
    "too long": "path: " + "/a" * 2000,
    "a long name": "path: /" + "a" * 300,
    "permissions that are none": "path: /a\n  permissions: rwx",
    "setuid": "path: /a\n  permissions: '4755'",
    "no base64": "path: /a\n  encoding: b64\n  content: '!'",
    "an unknown encoding": "path: /a\n  encoding: gz",
}


@pytest.mark.root
@pytest.mark.parametrize("entry", BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_of_cloud_config_that_is_refused(program: Path, entry: str) -> None:
    data = f"#cloud-config\nwrite_files:\n- {entry}\n- path: /good\n  content: x\n"
    outcome = files_of(program, data)
    assert outcome.said.startswith(
        "metadata: found /run/given\nmetadata: #cloud-config: write_files: "
    )
    assert outcome.said.count("\n") == 2
    written = [path for path, (_, text) in outcome.files.items() if text != "directory"]
    assert sorted(written) == ["config/files/good", "config/provider", "config/userdata", "given"]


BAD_YAML = {
    "a tab": "a:\tb",
    "a zero byte": "a: \0",
    "an anchor": "a: &x b",
    "an alias": "a: *x",
    "a tag": "a: !!str b",
    "a block with an indicator": "a: |2\n  b",
    "a flow sequence without an end": "a: [b,",
    "a flow mapping without values": "a: {b}",
    "more behind a flow sequence": "a: [b] c",
    "two documents": "a: b\n---\nc: d",
    "a key twice": "a: b\na: c",
    "no colon": "just text",
    "a sequence": "- a",
    "a colon within": "a: b: c",
    "too far in": "a: b\n  c: d",
    "not far enough in": "a:\n    b: c\n  d: e",
    "the first too far in": "  a: b",
    "an open string": 'a: "b',
    "another open string": "a: 'b",
    "more behind a string": "a: 'b' c",
    "an unknown escape": 'a: "\\q"',
    "an escape of zero": 'a: "\\u0000"',
    "half a character": 'a: "\\ud83d\\ude00"',
    "half an escape": 'a: "\\',
    "a block that steps back": "a: |\n    b\n  c",
    "many levels": "".join(" " * i + "a:\n" for i in range(1000)),
    "many dashes": "a:\n" + "- " * 5000 + "b",
    "many values": "a:\n" + "- b\n" * 100000,
}


@pytest.mark.root
@pytest.mark.parametrize("text", BAD_YAML.values(), ids=BAD_YAML)
def test_yaml_that_is_refused(program: Path, text: str) -> None:
    data = f"#cloud-config\n{text}\n"
    outcome = files_of(program, data)
    assert outcome.status == 0
    lines = outcome.said.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("metadata: #cloud-config: ")
    assert lines[1].endswith("; it is saved, and not carried out")
    assert outcome.files["config/userdata"][1] == data
    assert set(outcome.files) == {"given", "config", "config/provider", "config/userdata"}


def read_disc(program: Path, folder: Path) -> Outcome:
    return run(program, str(folder))


@pytest.mark.root
def test_discs(disc_program: Path, tmp_path: Path) -> None:
    linuxkit = tmp_path / "linuxkit"
    linuxkit.mkdir()
    (linuxkit / "config").write_text("for you")
    assert read_disc(disc_program, linuxkit).config() == {"provider": "disc", "userdata": "for you"}
    cloud = tmp_path / "cloud"
    cloud.mkdir()
    (cloud / "user-data").write_text("for you")
    (cloud / "config").write_text("not this")
    (cloud / "meta-data").write_text(
        "instance-id: 'i-7'\r\nlocal-hostname: \"web-1\"  \n"
        "public-keys:\n  one: [ssh-rsa A]\n  two: |\n    ssh-rsa B\n    ssh-rsa C\n"
    )
    outcome = read_disc(disc_program, cloud)
    assert outcome.config() == {
        "provider": "disc",
        "userdata": "for you",
        "hostname": "web-1",
        "instance_id": "i-7",
        "ssh/authorized_keys": "ssh-rsa A\nssh-rsa B\nssh-rsa C\n",
    }
    assert outcome.hostname == "web-1"
    stack = tmp_path / "stack" / "openstack" / "latest"
    stack.mkdir(parents=True)
    (stack / "user_data").write_text("for you")
    metadata = {
        "hostname": "node.local",
        "uuid": "u-1",
        "availability_zone": "nova",
        "public_keys": {"one": f"{KEY}\n", "two": "ssh-rsa B"},
    }
    (stack / "meta_data.json").write_text(json.dumps(metadata))
    assert read_disc(disc_program, tmp_path / "stack").config() == {
        "provider": "disc",
        "userdata": "for you",
        "hostname": "node.local",
        "instance_id": "u-1",
        "availability_zone": "nova",
        "ssh/authorized_keys": f"{KEY}\nssh-rsa B\n",
    }


@pytest.mark.root
def test_a_hostile_disc(disc_program: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not for you")
    disc = tmp_path / "disc"
    disc.mkdir()
    (disc / "user-data").symlink_to(secret)
    assert read_disc(disc_program, disc).files == {}
    (disc / "user-data").unlink()
    (disc / "user-data").mkdir()
    (disc / "meta-data").symlink_to("user-data")
    (disc / "openstack").symlink_to(tmp_path)
    outcome = read_disc(disc_program, disc)
    assert outcome.files == {}
    assert "user-data: Invalid argument" in outcome.said
    (disc / "user-data").rmdir()
    with (disc / "user-data").open("wb") as huge:
        huge.truncate(1 << 40)
    assert "user-data: File too large" in read_disc(disc_program, disc).said


@pytest.mark.root
def test_which_volumes_are_looked_at(disc_program: Path, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.mkdir()
    (content / "user-data").write_text("for you")
    cd = tmp_path / "cd.iso"
    subprocess.run(
        ["xorriso", "-as", "mkisofs", "-quiet", "-V", "cidata", "-J", "-R", "-o", cd, content],
        check=True,
        capture_output=True,
    )
    images = {cd: "iso9660 'cidata'\n"}
    for bits, size in ((12, 1 << 20), (16, 16 << 20), (32, 64 << 20)):
        image = tmp_path / f"fat{bits}"
        with image.open("wb") as file:
            file.truncate(size)
        command = ["mkfs.fat", "-F", str(bits), "-n", "CIDATA", str(image)]
        subprocess.run(command, check=True, capture_output=True)
        images[image] = "vfat 'CIDATA'\n"
    udf = ["genisoimage", "-quiet", "-udf", "-V", "x", "-o", f"{tmp_path}/both.iso", str(content)]
    subprocess.run(udf, check=True, capture_output=True)
    both = (tmp_path / "both.iso").read_bytes()
    (tmp_path / "udf.iso").write_bytes(both.replace(b"CD001", b"CDW02"))
    images.update({tmp_path / "both.iso": "iso9660 'x'\n", tmp_path / "udf.iso": "udf ''\n"})
    for name, bytes_ in {"empty": b"", "short": b"x" * 600, "zero": bytes(40000)}.items():
        (tmp_path / name).write_bytes(bytes_)
        images[tmp_path / name] = "neither\n"
    for image, wanted in images.items():
        assert run(disc_program, str(image)).said == wanted
