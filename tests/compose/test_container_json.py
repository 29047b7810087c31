"""The JSON of bundles: as json.dumps indents it, and LinuxKit's escapes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compos.compose.container import json_document

TEXT = st.text(max_size=12)
LEAVES = st.none() | st.booleans() | st.integers() | TEXT
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=16,
)


@pytest.mark.slow
@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_documents_are_indented_as_json_does_it(value: dict[str, object]) -> None:
    expected = json.dumps(value, indent=4, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        expected = expected.replace(character, f"\\u{ord(character):04x}")
    assert json_document(value) == expected.encode()


def test_empty_and_nested_values() -> None:
    value = {"a": {}, "b": [], "c": [{"d": [1, None]}], "e": {"f": "<\u2028\n"}, "g": ()}
    expected = json.dumps(value, indent=4, ensure_ascii=False)
    expected = expected.replace("<", "\\u003c").replace("\u2028", "\\u2028")
    assert json_document(value) == expected.encode()
