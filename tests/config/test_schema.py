"""The published JSON schema says what the decoder says: judged by the `jsonschema` package."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compos.cli.main import main
from compos.config.fields import CONFIG
from compos.config.kinds import Flag, Identity, ListOf, MapOf, Number, Record, Text, Words
from compos.config.schema import json_schema
from tests.config.reading import mistakes

# One worker imports jsonschema, which compiles grammars for a second.
pytestmark = pytest.mark.xdist_group("jsonschema")

ROOT = Path(__file__).parents[2]


@cache
def validator() -> Any:
    """Importing it takes two seconds of processor time: only who runs these tests spends them."""
    import jsonschema

    return jsonschema.Draft202012Validator(json_schema())


SYSTEMS = [path.read_text() for path in sorted((ROOT / "examples").glob("*.yml"))]
SYSTEMS += [
    text
    for page in sorted((ROOT / "docs").glob("*.md"))
    for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    if "debian:" not in text and not re.search("^image:", text, re.MULTILINE)  # packages
]


def test_the_verb_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json_schema()
    validator().check_schema(printed)


@pytest.mark.parametrize("text", SYSTEMS, ids=range(len(SYSTEMS)))
def test_examples_and_documentation_are_valid(text: str) -> None:
    validator().validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "inti: []",
        "kernel: {cmdline: 5}",
        "services: [{name: a}]",
        "services: [{name: a, image: b, readonly: 'yes'}]",
        "services: [{name: a, image: b, uid: -1}]",
        "services: [{name: a, image: b, command: ls}]",
        "files: [{path: a, contents: x, mode: 0644}]",
        "files: [{path: a, contents: x, mode: '0888'}]",
        "volumes: [{name: a, format: zip}]",
        "volumes: [{name: A}]",
        "arch: {x86: {}}",
        "arch: {arm64: {include: [x]}}",
        "variables: {A: 5}",
        "files:",
    ],
)
def test_what_the_decoder_refuses_is_invalid(text: str) -> None:
    assert mistakes(text)
    assert not validator().is_valid(yaml.safe_load(text))


def test_variables_may_stand_for_anything() -> None:
    text = (
        "services: [{name: a, image: 'b:${T}', readonly: '${RO}', uid: '${U}', oomScoreAdj: '${S:-5}'}]\n"
        "files: [{path: a, contents: x, mode: '${M}'}]\nvolumes: [{name: '${V}', format: '${F}'}]"
    )
    validator().validate(yaml.safe_load(text))


def values(kind: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that the tables allow, as far as types go."""
    if isinstance(kind, Record):
        fields = {
            key: values(field.kind, depth + 1)
            for key, field in kind.fields.items()
            if depth < 4 or field.required
        }
        required = {key for key, field in kind.fields.items() if field.required}
        return st.fixed_dictionaries(
            {key: fields[key] for key in required},
            optional={key: one for key, one in fields.items() if key not in required},
        )
    if isinstance(kind, ListOf):
        return st.lists(values(kind.item, depth + 1), max_size=2)
    if isinstance(kind, Words):
        return st.lists(st.just("a"), max_size=2) | st.just("a")
    if isinstance(kind, MapOf):
        return st.dictionaries(
            st.sampled_from(["a", "b"]), values(kind.item, depth + 1), max_size=2
        )
    if isinstance(kind, Flag):
        return st.booleans()
    if isinstance(kind, (Number, Identity)):
        return st.integers(kind.least, kind.most)
    if isinstance(kind, Text):
        if kind.choices:
            return st.sampled_from(kind.choices)
        return (
            st.from_regex(kind.pattern, fullmatch=True)
            if kind.pattern
            else st.sampled_from(["a", "b/c", "x y"])
        )
    return st.dictionaries(st.sampled_from(["a", "b"]), st.just("c"), max_size=2)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(values(CONFIG))
def test_types_mean_the_same_to_both(document: dict[str, Any]) -> None:
    """What is valid has no mistakes of type, key or range; other rules are the decoder's own."""
    assert validator().is_valid(document)
    kinds = {id for id, _ in mistakes(json.dumps(document))}
    assert not kinds & {
        "config-type",
        "config-unknown-key",
        "config-missing",
        "config-range",
        "config-value",
        "yaml-syntax",
    }
