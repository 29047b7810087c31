"""Variables: where they come from, where they are put in, and where a `$` is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compos.config.dump import resolved_json, resolved_yaml
from compos.config.load import load
from compos.config.model import Config
from compos.config.variables import Variable, given_variables
from compos.errors import CombinedError, ComposError, ConfigError
from tests.config.reading import errors


def read(text: str, **given: str) -> Config:
    variables = {name: Variable(value, "--set") for name, value in given.items()}
    return load(["-"], stdin=text.encode, variables=variables)


def wrong(text: str, **given: str) -> tuple[ComposError, ...]:
    with pytest.raises(ComposError) as caught:
        read(text, **given)
    return caught.value.errors if isinstance(caught.value, CombinedError) else (caught.value,)


@pytest.mark.parametrize(
    ("written", "given", "meant"),
    [
        ("web:${TAG}", {"TAG": "v2"}, "web:v2"),
        ("web:${TAG:-v1}", {}, "web:v1"),
        ("web:${TAG:-v1}", {"TAG": "v2"}, "web:v2"),
        ("web:${TAG:-v1}", {"TAG": ""}, "web:v1"),
        ("web${TAG-:v1}", {"TAG": ""}, "web"),
        ("${ORG:-o}/${NAME:-n}:${TAG:-t}", {"NAME": "x"}, "o/x:t"),
        ("web:${TAG?which}", {"TAG": "v3"}, "web:v3"),
        ("web$TAG", {"TAG": "v3"}, "web$TAG"),
    ],
)
def test_values(written: str, given: dict[str, str], meant: str) -> None:
    assert read(f"init: ['{written}']", **given).init == (meant,)


def test_unquoted_values_get_their_type_after_substitution() -> None:
    config = read(
        "services: [{name: a, image: i, uid: 1, oomScoreAdj: 0}]\n"
        "onboot:\n- name: b\n  image: i\n  uid: ${ID:-1000}\n  readonly: ${RO}\n  gid: "
        "'${ID:-a}'\n",
        RO="true",
    )
    settings = config.onboot[0].settings
    assert (settings.uid, settings.readonly, settings.gid) == (1000, True, "a")


def test_scripts_keep_what_nobody_has_declared() -> None:
    script = "echo ${HOME:-/root} ${PORT:-80} $${PORT} $$ ${1} ${#x} ${x%%y}"
    text = (
        f"files: [{{path: a, contents: '{script}'}}]\nservices: "
        f"[{{name: a, image: i, command: [sh, '{script}']}}]"
    )
    config = read(text)
    assert config.files[0].contents == script
    config = read(text, PORT="8080")
    meant = (
        script.replace("${PORT:-80}", "8080")
        .replace("$8080", "${PORT}")
        .replace("$${PORT}", "${PORT}")
    )
    assert config.files[0].contents == meant
    assert (config.services[0].settings.command or ())[1] == meant


def test_declared_variables_hold_in_scripts_too() -> None:
    text = "variables: {PORT: '80'}\nfiles: [{path: a, contents: 'listen ${PORT}'}]"
    assert read(text).files[0].contents == "listen 80"
    assert read(text, PORT="81").files[0].contents == "listen 81"


def test_files_without_variables_keep_what_looks_like_one() -> None:
    """LinuxKit knows none: its users' YAML means what it says."""
    text = (
        "kernel: {image: k, cmdline: 'a=${b} $${c} ${} ${d:-e}'}\nonboot: [{name: a, image: i, "
        "env: ['PATH=${PATH}:/x']}]"
    )
    config = read(text)
    assert config.kernel is not None
    assert config.kernel.cmdline == "a=${b} $${c} ${} e"
    assert config.onboot[0].settings.env == ("PATH=${PATH}:/x",)
    assert [error.id for error in wrong(text, OTHER="x")] == ["config-variable"] * 3


def test_escapes_and_repetition_through_aliases() -> None:
    config = read(
        "variables: {Y: '2'}\nkernel: {image: k, cmdline: 'a=$${b}'}\n"
        "onboot: [{name: a, image: i, env: &e ['X=${X:-1}']}, {name: b, image: i, env: *e}]"
    )
    assert config.kernel is not None
    assert config.kernel.cmdline == "a=${b}"
    assert config.onboot[0].settings.env == config.onboot[1].settings.env == ("X=1",)


def test_mistakes_are_told_together_with_their_places() -> None:
    errors = wrong(
        "init:\n- a:${VERSOIN}\n- b:${}\n- 'c:${X:?say which}'\n- 'd:${Y'\n", VERSION="v"
    )
    assert [error.id for error in errors] == ["config-variable"] * 4
    assert [(error.place or "").split(":")[1:3] for error in errors] == [
        ["2", "3"],
        ["3", "3"],
        ["4", "3"],
        ["5", "3"],
    ]
    assert "VERSION" in (errors[0].hint or "")
    assert "say which" in errors[2].message


def test_values_cannot_make_structure() -> None:
    errors = wrong("init: ['${X}']", X="a\n- b")
    assert [error.id for error in errors] == ["config-image"]


def test_flags_win_over_files_and_later_files_over_earlier(tmp_path: Path) -> None:
    one, two = tmp_path / "one.env", tmp_path / "two.env"
    one.write_text("# comment\n\nA=1\nexport B='b c'\nC=\"\"\n")
    two.write_text("A=2\nD=x=y # not a comment\n")
    given = given_variables(["B=flag"], [str(one), str(two)])
    assert {name: variable.value for name, variable in given.items()} == {
        "A": "2",
        "B": "flag",
        "C": "",
        "D": "x=y # not a comment",
    }
    assert given["A"].source == f"{two}:1"


@pytest.mark.parametrize("setting", ["A", "1A=x", "=x", "A B=x"])
def test_flags_that_are_no_assignments(setting: str) -> None:
    with pytest.raises(ConfigError, match="NAME=VALUE") as caught:
        given_variables([setting], [])
    assert caught.value.id == "variable-syntax"


def test_env_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        given_variables([], [str(tmp_path / "none.env")])
    assert caught.value.id == "variable-file"
    bad = tmp_path / "bad.env"
    bad.write_text("A=1\nsecret value\n")
    with pytest.raises(ConfigError) as caught:
        given_variables([], [str(bad)])
    assert (caught.value.id, caught.value.place) == ("variable-syntax", f"{bad}:2")
    assert "secret" not in str(caught.value)


def test_an_empty_section_says_that_variables_are_in_use() -> None:
    assert [error.id for error in wrong("variables: {}\ninit: ['a:${TAG}']")] == ["config-variable"]


@pytest.mark.parametrize(
    "value", ["${A}", "${A:-b}", "$${A}", "$$${A:?b}", "${}", "${ x", "$${", "a${", "$A ${A}${B}"]
)
def test_what_is_left_is_escaped_when_it_is_printed(value: str) -> None:
    text = json.dumps({"kernel": {"cmdline": value}, "files": [{"path": "a", "contents": value}]})
    config = read(text)
    for printed in (resolved_yaml(config, with_origins=True), resolved_json(config)):
        assert read(printed) == config


@pytest.mark.slow
def test_values_grow_to_a_bound_together() -> None:
    """A megabyte a use: a short file must not ask for gigabytes."""
    uses = "\n".join("- '${A}x'" for _ in range(100))
    found = errors(f"variables: {{A: {'a' * 1_000_000}}}\ninit:\n{uses}\n")
    assert {error.id for error in found} == {"config-variable"}
    assert "the values in this file expand to more than 16777216 characters" in found[0].message
