"""`trust:` of the YAML as a policy. Pure, but for links in the paths of local images."""

from __future__ import annotations

import os
from collections.abc import Iterable

from compos.config.model import Identity, Trust, TrustRule
from compos.config.trust_keys import LOCAL_SCHEMES, is_pem
from compos.errors import ConfigError
from compos.image.reference import HUB, Reference
from compos.progress import notice
from compos.trust.identity import (
    ANY_NAME,
    MATCH_REPO_DIGEST_OR_EXACT,
    MATCH_REPOSITORY,
    SignedIdentity,
    expanded,
)
from compos.trust.policy import Accept, Certified, Material, Policy, Reject, Requirement, Signed

__all__ = ["yaml_policy"]

_NAMES = {
    "repository": MATCH_REPOSITORY,
    "exact": MATCH_REPO_DIGEST_OR_EXACT,
    "any": ANY_NAME,
}

_FOLDERS = ("oci", "oci-archive")
"""Schemes whose scopes are paths."""


def yaml_policy(trust: Trust) -> list[Policy]:
    """The policy that `trust` says; none if it only has LinuxKit's lists, for which nothing could
    be checked. Raises `ImageError` (`image-reference`) for a name in them that is none, and
    `ConfigError` (`config-trust`)."""
    rules = [*(trust.images or ())]
    if trust.keys or trust.identities:
        rules += [TrustRule(match) for match in _old_lists(trust)]
    elif trust.org or trust.image:
        notice(
            f"{trust.mark}: org and image have no effect without keys: Docker Content Trust, which "
            "they asked for, has ended"
        )
    signers = bool(trust.keys or trust.identities)
    if not (rules or signers or trust.default or trust.revoked):
        return []
    transports: dict[str, dict[str, tuple[Requirement, ...]]] = {}
    for rule in rules:
        scheme, _, scope = rule.match.partition(":")
        if not rule.match.startswith(LOCAL_SCHEMES):
            scheme, scope = "docker", rule.match
        elif scope:
            scope = os.path.realpath(scope) if scheme in _FOLDERS else scope
        scopes = transports.setdefault(scheme, {})
        # Two rules for one scope: both hold.
        scopes[scope] = (*scopes.get(scope, ()), _requirement(rule, trust))
    default: Requirement = Accept() if trust.default == "accept" else Reject()
    if not rules and trust.default is None:
        # Keys alone are for every image; revoked digests alone leave the others as they are.
        default = _requirement(TrustRule("every image"), trust) if signers else Accept()
    transports.setdefault("docker-daemon", transports.get("docker", {}))
    return [
        Policy(
            (default,),
            transports,
            str(trust.mark),
            revoked=frozenset(trust.revoked or ()),
        )
    ]


def _old_lists(trust: Trust) -> Iterable[str]:
    """LinuxKit's lists as scopes."""
    for name in trust.image or ():
        reference = expanded(Reference.parse(name))
        tag = f":{reference.tag}" if reference.tag else ""
        yield f"{reference.domain}/{reference.path}{tag}"
    for name in trust.org or ():
        first = name.partition("/")[0]
        is_host = "." in first or ":" in first or first == "localhost"
        yield name if is_host else f"{HUB}/{name}"


def _requirement(rule: TrustRule, trust: Trust) -> Requirement:
    if rule.reject:
        return Reject()
    if rule.unsigned:
        return Accept()
    keys, identities = rule.keys, rule.identities
    if not keys and not identities:
        keys, identities = trust.keys, trust.identities
    if not keys and not identities:
        raise ConfigError(
            "config-trust",
            f"the rule for {rule.match} does not say who must have signed",
            place=str(trust.mark),
            hint="Add keys or identities to it or to trust, or unsigned: true.",
        )
    root = _material(trust.trusted_root) if trust.trusted_root else None
    authorities = tuple(_material(one) for one in trust.authorities or ())
    return Signed(
        tuple(_material(one) for one in keys or ()),
        tuple(_certified(one, authorities, root) for one in identities or ()),
        tuple(_material(one) for one in trust.log_keys or ()),
        SignedIdentity(_NAMES[rule.signed_name or "repository"]),
    )


def _certified(
    identity: Identity, authorities: tuple[Material, ...], root: Material | None
) -> Certified:
    return Certified(
        authorities,
        identity.issuer,
        identity.subject or "",
        identity.subject_pattern or "",
        root,
    )


def _material(text: str) -> Material:
    """A file, or what would be in it."""
    if is_pem(text):
        return Material(data=text.encode(), place="trust")
    return Material(path=text)
