"""The settings file: what it stands for, who comes before it, and files that are refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.cli.settings_file import ROWS, apply_settings
from compos.errors import ComposError

PAGE = Path(__file__).resolve().parents[2] / "docs/settings.md"

WHOLE = """\
cache:
  folder: store
  limit: 20G
  from: [registry.example.com/team/cache, registry.example.com/other/cache]
  to: registry.example.com/team/cache
  key: ~/cache.key
builder: unix:///run/buildkit/buildkitd.sock
builders: {linux/arm64: farm, linux/riscv64: "tcp://10.0.0.1:1234"}
packages: [pkg, /srv/pkg]
mirrors: [docker.io=https://mirror.example.com]
insecure-registries: [10.0.0.0/8]
bricks: {registry: registry.example.com/bricks, key: bricks.pub}
policy: policy.json
debian:
  mirror: https://debian.example.com/debian
  security-mirror: none
  snapshot: https://snapshot.example.com/archive
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def variables(text: str, home: Path, **environment: str) -> dict[str, str]:
    """What is set by a file of `text`, besides what is set already."""
    path = write(home / "conf/settings.yml", text)
    found = {"COMPOS_SETTINGS": str(path), **environment}
    apply_settings(found)
    return {name: value for name, value in found.items() if name != "COMPOS_SETTINGS"}


def test_every_key_stands_for_a_variable(home: Path) -> None:
    conf = home / "conf"
    assert variables(WHOLE, home) == {
        "COMPOS_CACHE": f"{conf}/store",
        "COMPOS_CACHE_LIMIT": "20G",
        "COMPOS_CACHE_FROM": "registry.example.com/team/cache registry.example.com/other/cache",
        "COMPOS_CACHE_TO": "registry.example.com/team/cache",
        "COMPOS_CACHE_KEY": f"{home}/cache.key",
        "COMPOS_BUILDER": "unix:///run/buildkit/buildkitd.sock",
        "LINUXKIT_BUILDERS": "linux/arm64=farm,linux/riscv64=tcp://10.0.0.1:1234",
        "COMPOS_PACKAGES": f"{conf}/pkg:/srv/pkg",
        "LINUXKIT_MIRROR": "docker.io=https://mirror.example.com",
        "COMPOS_INSECURE_REGISTRIES": "10.0.0.0/8",
        "COMPOS_BRICKS": "registry.example.com/bricks",
        "COMPOS_BRICKS_KEY": f"{conf}/bricks.pub",
        "COMPOS_POLICY": f"{conf}/policy.json",
        "COMPOS_DEBIAN_MIRROR": "https://debian.example.com/debian",
        "COMPOS_DEBIAN_SECURITY_MIRROR": "none",
        "COMPOS_DEBIAN_SNAPSHOT": "https://snapshot.example.com/archive",
    }
    assert {row.variables[0] for row in ROWS} == set(variables(WHOLE, home))


def test_a_variable_comes_first_even_if_it_is_empty(home: Path) -> None:
    text = "cache: {folder: store, from: a.example/c, to: a.example/c, key: k}"
    given = {"LINUXKIT_CACHE": "/mine", "COMPOS_CACHE_TO": "", "COMPOS_CACHE_FROM": "b.example/c"}
    assert variables(text, home, **given) == {**given, "COMPOS_CACHE_KEY": f"{home}/conf/k"}


def test_a_key_may_be_the_key_itself_and_a_list_one_word(home: Path) -> None:
    pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    indented = pem.replace("\n", "\n    ")
    found = variables(f"cache:\n  from: a.example/c\n  key: |\n    {indented}", home)
    assert found == {"COMPOS_CACHE_FROM": "a.example/c", "COMPOS_CACHE_KEY": pem}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "cache: {}\n"])
def test_a_file_may_say_nothing(text: str, home: Path) -> None:
    assert variables(text, home) == {}


def test_the_users_file_comes_before_the_machines(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's is in /etc, which tests leave alone: both are in one list."""
    from compos.cli import settings_file

    mine = write(home / ".config/compos/settings.yml", "builder: buildah\n")
    machine = write(home / "etc/settings.yml", "builder: buildx\npolicy: /etc/policy.json\n")
    assert settings_file._files({})[0] == str(mine)
    monkeypatch.setattr(settings_file, "_files", lambda _: [str(mine), str(machine)])
    found: dict[str, str] = {}
    apply_settings(found)
    assert found == {"COMPOS_BUILDER": "buildah", "COMPOS_POLICY": "/etc/policy.json"}


def test_where_the_users_file_is(home: Path) -> None:
    mine = write(home / ".config/compos/settings.yml", "builder: buildah\n")
    other = write(home / "xdg/compos/settings.yml", "builder: buildx\n")
    for environment, expected in (
        ({}, "buildah"),
        ({"XDG_CONFIG_HOME": f"{home}/xdg"}, "buildx"),
        ({"XDG_CONFIG_HOME": "xdg"}, "buildah"),
        ({"COMPOS_SETTINGS": ""}, None),
        ({"COMPOS_SETTINGS": "/dev/null"}, None),
        ({"COMPOS_SETTINGS": str(other)}, "buildx"),
    ):
        found = dict(environment)
        apply_settings(found)
        assert found.get("COMPOS_BUILDER") == expected, environment
    mine.unlink()
    found = {}
    apply_settings(found)
    assert found == {}


BAD = {
    "cahce: {}": ("config-unknown-key", "settings.yml:1:1"),
    "cache: {form: a.example/c}": ("config-unknown-key", "settings.yml:1:9"),
    "cache: store": ("config-type", "settings.yml:1:8"),
    "cache: {from: [a b]}": ("config-value", "settings.yml:1:15"),
    "cache: {from: 'a.example/c,b'}": ("config-value", "settings.yml:1:15"),
    "cache: {key: ''}": ("config-value", "settings.yml:1:14"),
    "cache: {folder: }": ("config-type", "settings.yml:1:17"),
    "builder: [a]": ("config-type", "settings.yml:1:10"),
    "builder: 7": ("config-type", "settings.yml:1:10"),
    'policy: "a\\0b"': ("config-value", "settings.yml:1:9"),
    "builder: a\nbuilder: b": ("yaml-duplicate-key", "settings.yml:2:1"),
    "builder: [": ("yaml-syntax", "settings.yml"),
    "- cache": ("config-type", "settings.yml:1:1"),
    "a": ("config-type", "settings.yml:1:1"),
    "\x81": ("yaml-syntax", "settings.yml"),
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_is_said_with_its_place(text: str, home: Path) -> None:
    with pytest.raises(ComposError) as raised:
        variables(text, home)
    id, place = BAD[text]
    assert raised.value.id == id
    assert place in (raised.value.place or "")


def test_a_file_that_is_named_must_be_there(home: Path) -> None:
    with pytest.raises(ComposError) as raised:
        apply_settings({"COMPOS_SETTINGS": f"{home}/none.yml"})
    assert raised.value.id == "settings-missing"
    with pytest.raises(ComposError) as raised:
        apply_settings({"COMPOS_SETTINGS": str(home)})
    assert raised.value.id == "config-source"


def _writable(path: Path) -> None:
    path.chmod(0o666)


def _writable_folder(path: Path) -> None:
    path.parent.chmod(0o777)


def _foreign(path: Path) -> None:
    os.chown(path, 4242, 4242)


def _link(path: Path) -> None:
    """A link of ours to a file that anybody can write to."""
    real = path.rename(path.with_name("real"))
    real.chmod(0o622)
    path.symlink_to(real)


@pytest.mark.parametrize(
    "expose",
    [_writable, _writable_folder, _link, pytest.param(_foreign, marks=pytest.mark.root)],
)
def test_a_file_that_others_can_write_to_is_refused(
    expose: Callable[[Path], None], home: Path
) -> None:
    path = write(home / "conf/settings.yml", "builder: buildah\n")
    expose(path)
    found = {"COMPOS_SETTINGS": str(path)}
    with pytest.raises(ComposError) as raised:
        apply_settings(found)
    assert raised.value.id == "settings-unsafe"
    assert "COMPOS_BUILDER" not in found


@pytest.mark.slow
def test_the_command_line_reads_it(home: Path) -> None:
    """Flags come before variables, and these before the file."""
    write(home / ".config/compos/settings.yml", "cache: {folder: ~/from-file}\n")
    for name in ("from-variable", "from-file"):
        write(home / name / "index.json", f'{{"{name}')
    unset = ("COMPOS_SETTINGS", "COMPOS_CACHE", "LINUXKIT_CACHE", "XDG_CONFIG_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(home)}

    def complaint(*arguments: str, **others: str) -> str:
        """What is said of the store that is used: nothing of one that does not exist."""
        result = subprocess.run(
            [sys.executable, "-m", "compos", "cache", "ls", *arguments],
            capture_output=True,
            check=False,
            text=True,
            env={**environment, **others},
        )
        assert result.returncode == bool(result.stderr)
        return result.stderr

    assert f"{home}/from-file" in complaint()
    assert f"{home}/from-variable" in complaint(COMPOS_CACHE=f"{home}/from-variable")
    assert complaint("--cache", f"{home}/flag", COMPOS_CACHE=f"{home}/from-variable") == ""
    assert complaint(COMPOS_CACHE="") == ""
    assert complaint(COMPOS_SETTINGS="") == ""


def test_the_page_has_every_key() -> None:
    text = PAGE.read_text()
    for row in ROWS:
        names = " or ".join(f"`{name}`" for name in row.variables)
        assert re.search(rf"^\| `{re.escape(row.key)}` \|.*\| {re.escape(names)} \|", text, re.M), (
            row.key
        )
