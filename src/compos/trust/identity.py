"""Names: which scopes of a policy an image's name lies in, and whether the name that was signed is
the one that was asked for. Pure. Source: containers-policy.json(5), "Supported transports and their
scopes", "signedIdentity".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from compos.image.reference import HUB, HUB_HOSTS, Reference

__all__ = [
    "ANY_NAME",
    "MATCH_REPOSITORY",
    "MATCH_REPO_DIGEST_OR_EXACT",
    "SignedIdentity",
    "expanded",
    "folder_scopes",
    "name_scopes",
    "signed_identity",
]

MATCH_EXACT = "matchExact"
MATCH_REPO_DIGEST_OR_EXACT = "matchRepoDigestOrExact"
MATCH_REPOSITORY = "matchRepository"
ANY_NAME = "any"
"""Only of compos: whatever name was signed, or none."""

_VALUES = {
    MATCH_EXACT: (),
    MATCH_REPO_DIGEST_OR_EXACT: (),
    MATCH_REPOSITORY: (),
    "exactReference": ("dockerReference",),
    "exactRepository": ("dockerRepository",),
    "remapIdentity": ("prefix", "signedPrefix"),
}


class SignedIdentity(NamedTuple):
    """A rule for the name in a signature; `values` are a kind's own."""

    kind: str
    values: tuple[str, ...] = ()

    def holds(self, asked: Reference | None, signed: str) -> bool:
        """Whether what was asked for (None for an image of this machine) may have been signed under
        the name `signed`, which is empty if the signature has none."""
        if self.kind == ANY_NAME:
            return True
        found = Reference.find(signed) if signed else None
        if found is None:
            return False
        found = expanded(found)
        if self.kind == "exactReference":
            return _is_whole(found) and str(found) == str(_named(self.values[0]))
        if self.kind == "exactRepository":
            return _repository(found) == _repository(_named(self.values[0]))
        if asked is None:
            return False
        if self.kind == "remapIdentity":
            remapped = _remapped(asked, *self.values)
            return remapped is not None and _exact_or_digest(remapped, found)
        if self.kind == MATCH_REPOSITORY:
            return _repository(found) == _repository(asked)
        if self.kind == MATCH_EXACT:
            return _is_whole(found) and bool(asked.tag) and str(found) == str(asked)
        return _exact_or_digest(asked, found)


def signed_identity(plain: Any, where: str) -> SignedIdentity:
    """The rule of a policy's JSON. Raises `ValueError`."""
    kind = plain.get("type") if isinstance(plain, dict) else None
    if not isinstance(kind, str) or kind not in _VALUES:
        raise ValueError(f"{where}: its type is unknown")
    keys = _VALUES[kind]
    if sorted(plain) != sorted(("type", *keys)):
        raise ValueError(f"{where}: {kind} has the keys {', '.join(('type', *keys))}")
    values = tuple(plain[key] for key in keys)
    for key, value in zip(keys, values, strict=True):
        if not isinstance(value, str) or not value:
            raise ValueError(f"{where}: {key}: text is expected")
        if kind != "remapIdentity" and Reference.find(value) is None:
            raise ValueError(f"{where}: {key}: {value[:80]!r} is not an image's name")
    return SignedIdentity(kind, values)


def expanded(reference: Reference) -> Reference:
    """The name with the public registry and its `library/` spelled out, as others spell it."""
    host, path = reference.origin
    return reference._replace(domain=HUB if host in HUB_HOSTS else host, path=path)


def name_scopes(reference: Reference) -> Iterator[str]:
    """The scopes that a name lies in, the narrowest first: the name, its repository, the namespaces
    above, the registry, `*.` and each domain above it."""
    name = expanded(reference)
    repository = _repository(name)
    yield f"{repository}@{name.digest}" if name.digest else f"{repository}:{name.tag or 'latest'}"
    while repository:
        yield repository
        repository = repository.rpartition("/")[0]
    domain = name.domain.partition(":")[0]
    while "." in domain:
        domain = domain.partition(".")[2]
        yield f"*.{domain}"


def folder_scopes(path: str) -> Iterator[str]:
    """The scopes of a file or folder of this machine, whose `path` is absolute: itself and the
    folders above, without the root."""
    found = PurePosixPath(path)
    while found.parent != found:
        yield str(found)
        found = found.parent


def _repository(reference: Reference) -> str:
    return f"{reference.domain}/{reference.path}"


def _is_whole(reference: Reference) -> bool:
    return bool(reference.tag or reference.digest)


def _named(text: str) -> Reference:
    return expanded(Reference.parse(text))


def _exact_or_digest(asked: Reference, found: Reference) -> bool:
    if not _is_whole(found):
        return False
    if asked.digest:
        return _repository(found) == _repository(asked)
    return str(found) == str(asked)


def _remapped(asked: Reference, prefix: str, signed_prefix: str) -> Reference | None:
    """What `asked` is called where the first prefix stands for the second; itself outside of
    it."""
    repository = _repository(asked)
    if repository != prefix and not repository.startswith(f"{prefix}/"):
        return asked
    mapped = Reference.find(f"{signed_prefix}{repository.removeprefix(prefix)}")
    if mapped is None:
        return None
    return expanded(mapped)._replace(tag=asked.tag, digest=asked.digest)
