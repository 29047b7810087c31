"""`trust:` in the YAML: rules, LinuxKit's lists, files that are merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compos.config.load import load
from compos.errors import ComposError
from compos.image.reference import Reference
from compos.trust.identity import name_scopes
from compos.trust.policy import Accept, Policy, Reject, Signed
from compos.trust.yaml_rules import yaml_policy
from tests.config.reading import errors
from tests.trust.team import Team

PEM = "-----BEGIN PUBLIC KEY-----"


def policy(tmp_path: Path, *documents: dict[str, Any]) -> Policy | None:
    """What several files say together."""
    paths = []
    for number, document in enumerate(documents):
        paths.append(tmp_path / f"{number}.yml")
        paths[-1].write_text(json.dumps({"trust": document}))
    trust = load([*map(str, paths)]).trust
    assert trust
    found = yaml_policy(trust)
    return found[0] if found else None


def verdict(found: Policy | None, name: str, transport: str = "docker") -> str:
    """Keys and default in one word each."""
    if found is None:
        return "none"
    scopes = name_scopes(Reference.parse(name)) if transport == "docker" else [name]
    words = {Accept(): "accept", Reject(): "reject"}
    return " ".join(
        ",".join(key.path for key in one.keys) if isinstance(one, Signed) else words[one]
        for one in found.requirements(transport, scopes)
    )


RULES: dict[str, Any] = {
    "keys": ["k"],
    "images": [
        {"match": "r.example"},
        {"match": "r.example/team", "keys": ["t"]},
        {"match": "r.example/team/app:v1", "unsigned": True},
        {"match": "docker.io/library/nginx", "reject": True},
        {"match": "*.example.com", "keys": ["s"]},
        {"match": "oci:", "unsigned": True},
    ],
}


@pytest.mark.parametrize(
    ("document", "name", "expected"),
    [
        (RULES, "r.example/other/app:v1", "k"),
        (RULES, "r.example/team/app:v2", "t"),
        (RULES, "r.example/team/app:v1", "accept"),
        (RULES, "nginx", "reject"),
        (RULES, "a.b.example.com:5000/app", "s"),
        (RULES, "example.com/app", "reject"),
        ({**RULES, "default": "accept"}, "example.com/app", "accept"),
        ({"keys": ["k"]}, "any.example/app", "k"),
        ({"keys": ["k"], "default": "accept"}, "any.example/app", "accept"),
        ({"default": "reject"}, "any.example/app", "reject"),
        ({"revoked": [f"sha256:{'a' * 64}"]}, "any.example/app", "accept"),
        # LinuxKit's lists.
        ({"org": ["linuxkit"], "image": ["nginx"]}, "linuxkit/init:v1", "none"),
        ({"org": ["linuxkit"], "keys": ["k"]}, "linuxkit/init:v1", "k"),
        ({"org": ["linuxkit"], "keys": ["k"]}, "other/init:v1", "reject"),
        ({"org": ["r.example/team"], "keys": ["k"]}, "r.example/team/x:1", "k"),
        ({"image": ["nginx"], "keys": ["k"]}, "nginx:1", "k"),
        ({"image": ["nginx:1"], "keys": ["k"]}, "nginx:2", "reject"),
        ({}, "any.example/app", "none"),
    ],
)
def test_rules(tmp_path: Path, document: dict[str, Any], name: str, expected: str) -> None:
    assert verdict(policy(tmp_path, document), name) == expected


def test_files_add_up(tmp_path: Path) -> None:
    base = {"keys": ["k"], "images": [{"match": "r.example"}], "default": "reject"}
    over = {"images": [{"match": "r.example", "keys": ["o"]}], "default": "accept"}
    found = policy(tmp_path, base, over)
    assert verdict(found, "r.example/app") == "k o"
    assert verdict(found, "s.example/app") == "accept"


def test_images_of_this_machine(tmp_path: Path) -> None:
    found = policy(tmp_path, {"images": [{"match": f"oci:{tmp_path}/x/../y", "unsigned": True}]})
    assert verdict(found, f"{tmp_path}/y", "oci") == "accept"
    assert verdict(found, f"{tmp_path}/x", "oci") == "reject"


def test_linuxkits_lists_say_that_they_have_no_effect(team: Team) -> None:
    team.push("team/app")
    team.system(team.name("team/app"), more=f"trust: {{org: ['{team.host}/team']}}\n")
    assert "org and image have no effect without keys" in team.build()
    more = f"trust: {{org: ['{team.host}/team'], keys: ['{team.key()[1]}']}}\n"
    team.system(team.name("team/app"), more=more)
    assert "error[image-signature]" in team.build()
    team.sign("team/app")
    team.build()


def test_keys_in_the_yaml_itself(team: Team) -> None:
    team.push("team/app")
    team.sign("team/app")
    for key in ("team", "stranger"):
        pem = json.dumps(team.key(key)[1].read_text())
        team.system(team.name("team/app"), more=f"trust: {{keys: [{pem}]}}\n")
        assert ("error[image-signature]" in team.build()) == (key == "stranger")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"match": "nginx"}, "does not begin with a registry"),
        ({"match": "r.example", "keys": ["k"], "unsigned": True}, "or unsigned, or reject"),
        ({"match": "r.example", "identities": [{"issuer": "i"}]}, "either a subject or"),
        (
            {"match": "r.example", "identities": [{"issuer": "i", "subjectPattern": "("}]},
            "not a regular expression",
        ),
        (
            {
                "match": "r.example",
                "identities": [{"issuer": "i", "subjectPattern": "(" * 5000 + ")" * 5000}],
            },
            "not a regular expression",
        ),
        ({"match": "r.example", "key": "k"}, "unknown key"),
    ],
)
def test_rules_that_are_none(rule: dict[str, Any], words: str) -> None:
    found = errors(json.dumps({"trust": {"images": [rule]}}))
    assert any(words in str(one) for one in found), found


def test_a_rule_without_keys(tmp_path: Path) -> None:
    with pytest.raises(ComposError, match="does not say who must have signed") as caught:
        policy(tmp_path, {"images": [{"match": "r.example"}]})
    assert caught.value.id == "config-trust"
    assert policy(tmp_path, {"images": [{"match": "r.example"}]}, {"keys": [PEM]})
