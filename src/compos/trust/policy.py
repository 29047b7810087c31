"""Policies: what must hold for an image before it is used, as containers-policy.json(5) has it.

May touch: the policy's file (reading). As skopeo and podman, which read the same file, it refuses
what it does not understand: an unknown or repeated key would otherwise be a requirement that nobody
checks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from compos.errors import ImageError
from compos.image.json_document import parse_json
from compos.trust.identity import MATCH_REPO_DIGEST_OR_EXACT, SignedIdentity, signed_identity

__all__ = [
    "Accept",
    "Certified",
    "Policy",
    "Reject",
    "Requirement",
    "Signed",
    "Unsupported",
    "read_policy",
]

MAX_POLICY = 4 << 20
"""Bytes of a policy's file."""

ACCEPT_TYPE, REJECT_TYPE = "insecureAcceptAnything", "reject"

_KEYS = ("keyPath", "keyPaths", "keyData", "keyDatas")
_REKOR = (
    "rekorPublicKeyPath",
    "rekorPublicKeyPaths",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
)


class Accept(NamedTuple):
    """Anything is accepted, signed or not. Its `type` is there because empty tuples are equal."""

    type: str = ACCEPT_TYPE


class Reject(NamedTuple):
    """Nothing is accepted."""

    type: str = REJECT_TYPE


class Unsupported(NamedTuple):
    """A requirement that cannot be checked here, so that nothing satisfies it."""

    reason: str


class Material(NamedTuple):
    """Something in PEM: `path` of its file, or `data` itself, and where the policy says so."""

    path: str = ""
    data: bytes = b""
    place: str = ""


class Certified(NamedTuple):
    """Who must have been certified as the signer (keyless): certificates of an authority, the
    issuer of the identity, and the identity itself, of which `subject_pattern` is a regular
    expression that the whole must match."""

    authority: tuple[Material, ...] = ()
    issuer: str = ""
    subject: str = ""
    subject_pattern: str = ""
    trusted_root: Material | None = None
    """Sigstore's `trusted_root.json`, in place of `authority` and the log's keys."""


class Signed(NamedTuple):
    """A signature in sigstore's formats: by one of `keys`, or by one of those `certified`. With
    `logs`, an entry in a transparency log that is signed by one of these keys is required."""

    keys: tuple[Material, ...] = ()
    certified: tuple[Certified, ...] = ()
    logs: tuple[Material, ...] = ()
    identity: SignedIdentity = SignedIdentity(MATCH_REPO_DIGEST_OR_EXACT)


Requirement = Accept | Reject | Unsupported | Signed


class Policy(NamedTuple):
    """Requirements by transport and scope; all of a scope's requirements must hold.

    `place` is where the policy stands. `explicit` says that the user named it for compos: what it
    accepts without a signature is then reported. `revoked` are digests of images that nobody may
    use, whoever signed them.
    """

    default: tuple[Requirement, ...]
    transports: Mapping[str, Mapping[str, tuple[Requirement, ...]]]
    place: str
    explicit: bool = True
    revoked: frozenset[str] = frozenset()

    def requirements(self, transport: str, scopes: Iterable[str]) -> tuple[Requirement, ...]:
        """Those of the first of `scopes` that the policy has, else the transport's default, else
        the policy's."""
        known = self.transports.get(transport)
        if known is None:
            return self.default
        for scope in (*scopes, ""):
            if scope in known:
                return known[scope]
        return self.default

    @property
    def accepts_all(self) -> bool:
        """Whether the policy accepts every image, whatever its name."""
        listed = [
            self.default,
            *(one for scopes in self.transports.values() for one in scopes.values()),
        ]
        return not self.revoked and all(
            isinstance(one, Accept) for requirements in listed for one in requirements
        )


def read_policy(path: Path, *, explicit: bool = True) -> Policy:
    """The policy in a containers-policy.json(5) file. Raises `ImageError` (`policy-unreadable`,
    `policy-invalid`)."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_POLICY + 1)
    except OSError as error:
        raise ImageError(
            "policy-unreadable",
            f"the policy cannot be read: {error.strerror}",
            place=str(path),
            hint="Without its policy no image is used: make it readable, or name another one "
            "with --policy.",
        ) from error
    try:
        return _policy(_document(data), str(path), explicit=explicit)
    except ValueError as error:
        raise ImageError(
            "policy-invalid",
            f"the policy is not valid: {error}",
            place=str(path),
            hint="See containers-policy.json(5); no image is used until it is corrected.",
        ) from error


def _document(data: bytes) -> Any:
    parse_json(data, limit=MAX_POLICY)
    # Once more, for keys that stand twice: the parser keeps the last one.
    return json.loads(data, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice")
    return found


def _policy(plain: Any, place: str, *, explicit: bool) -> Policy:
    document = _object(plain, "the document", ("default", "transports"))
    if "default" not in document:
        raise ValueError("it has no default")
    transports = {
        transport: {
            scope: _requirements(listed, f"transports: {transport}: {scope or '(default)'}")
            for scope, listed in _object(scopes, f"transports: {transport}").items()
        }
        for transport, scopes in _object(document.get("transports", {}), "transports").items()
    }
    return Policy(_requirements(document["default"], "default"), transports, place, explicit)


def _requirements(plain: Any, where: str) -> tuple[Requirement, ...]:
    if not isinstance(plain, list) or not plain:
        raise ValueError(f"{where}: a list with at least one requirement is expected")
    return tuple(_requirement(one, f"{where}[{number}]") for number, one in enumerate(plain))


def _requirement(plain: Any, where: str) -> Requirement:
    kind = _object(plain, where).get("type")
    if kind == ACCEPT_TYPE:
        _object(plain, where, ("type",))
        return Accept()
    if kind == REJECT_TYPE:
        _object(plain, where, ("type",))
        return Reject()
    if kind == "signedBy":
        return Unsupported("signedBy requires a GPG signature, which compos does not check")
    if kind == "sigstoreSigned":
        return _sigstore(plain, where)
    raise ValueError(f"{where}: the type {str(kind)[:80]!r} is unknown")


def _sigstore(plain: Any, where: str) -> Requirement:
    allowed = ("type", *_KEYS, *_REKOR, "fulcio", "pki", "signedIdentity")
    known = _object(plain, where, allowed)
    ways = [key for key in (*_KEYS, "fulcio", "pki") if key in known]
    if len(ways) != 1:
        raise ValueError(
            f"{where}: exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio "
            "and pki is expected"
        )
    if sum(key in known for key in _REKOR) > 1:
        raise ValueError(f"{where}: only one kind of rekorPublicKey may be given")
    identity = (
        signed_identity(known["signedIdentity"], f"{where}: signedIdentity")
        if "signedIdentity" in known
        else SignedIdentity(MATCH_REPO_DIGEST_OR_EXACT)
    )
    if "pki" in known:
        return Unsupported("pki requires certificates of one's own, which compos does not check")
    logs = _materials(known, _REKOR, where)
    if "fulcio" not in known:
        return Signed(_materials(known, _KEYS, where), (), logs, identity)
    if not logs:
        raise ValueError(f"{where}: fulcio requires a rekorPublicKey")
    return Signed((), (_fulcio(known["fulcio"], f"{where}: fulcio"),), logs, identity)


def _fulcio(plain: Any, where: str) -> Certified:
    allowed = ("caPath", "caData", "oidcIssuer", "subjectEmail")
    known = _object(plain, where, allowed)
    authority = _materials(known, ("caPath", "caData"), where)
    if len(authority) != 1:
        raise ValueError(f"{where}: exactly one of caPath and caData is expected")
    issuer, subject = (_text(known, key, where) for key in ("oidcIssuer", "subjectEmail"))
    return Certified(authority, issuer, subject)


def _materials(known: Mapping[str, Any], keys: Sequence[str], where: str) -> tuple[Material, ...]:
    """What `keys` name: paths, or base64 of what would be in the files."""
    found: list[Material] = []
    for key in keys:
        if key not in known:
            continue
        texts = known[key] if key.endswith("s") else [known[key]]
        if not isinstance(texts, list) or not texts:
            raise ValueError(f"{where}: {key}: a list that is not empty is expected")
        for text in texts:
            if not isinstance(text, str) or not text:
                raise ValueError(f"{where}: {key}: text is expected")
            place = f"{where}: {key}"
            found.append(
                Material(data=_base64(text, place), place=place)
                if "Data" in key
                else Material(path=text)
            )
    return tuple(found)


def _base64(text: str, where: str) -> bytes:
    import base64
    import binascii

    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{where}: it is not base64") from error


def _text(known: Mapping[str, Any], key: str, where: str) -> str:
    found = known.get(key)
    if not isinstance(found, str) or not found:
        raise ValueError(f"{where}: {key} is missing")
    return found


def _object(plain: Any, where: str, allowed: Sequence[str] | None = None) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise ValueError(f"{where}: an object is expected")
    for key in plain:
        if allowed is not None and key not in allowed:
            raise ValueError(f"{where}: the key {key[:80]!r} is unknown")
    return plain
