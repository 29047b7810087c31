"""Signed timestamps (RFC 3161): when a signature was there, as an authority says that the policy
names. Logs that sign no times of their own (Rekor version 2) need them.

Pure. Tokens are read and checked by the package `rfc3161-client`, as sigstore's own client does,
which is a part of the same extra as `cryptography`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from compos.errors import NoSupport
from compos.trust.certificates import Authority, may_issue
from compos.trust.keys import EXTRA

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["MAX_TIMESTAMPS", "Stamped", "TimestampAuthority", "stamped"]

MAX_TIMESTAMPS = 8
"""Of one signature; more are not looked at."""

MAX_TOKEN = 64 << 10
"""Bytes of a timestamp; with its chain of certificates it has 2 to 6 KB."""


class TimestampAuthority(NamedTuple):
    """An authority: its certificates, the first one of which may be the one that signs timestamps;
    and between which times it is believed (None: always)."""

    certificates: tuple[Any, ...]
    authority: Authority
    begins: datetime | None = None
    ends: datetime | None = None


class Stamped(NamedTuple):
    """When a signature was there, in seconds since 1970, each as one authority says; and why other
    timestamps do not count."""

    times: tuple[int, ...]
    reason: str


def stamped(
    tokens: Iterable[bytes], signature: bytes, authorities: Sequence[TimestampAuthority]
) -> Stamped:
    """What timestamps (TimeStampResp, DER) of `signature` say. Raises `ImageError`
    (`signature-support`) without the package that reads them."""
    times = []
    reason = "it has no signed timestamp"
    for token in tokens:
        if not authorities:
            return Stamped((), "the trusted root names no timestamp authority")
        for authority in authorities:
            found = _time(token, signature, authority)
            if isinstance(found, int):
                times.append(found)
                break
            reason = found
    return Stamped(tuple(times), "" if times else reason)


def _time(token: bytes, signature: bytes, authority: TimestampAuthority) -> int | str:
    """The time in a token, or why it does not count."""
    library = _library()
    if len(token) > MAX_TOKEN:
        return "its timestamp is too long"
    try:
        response = library.decode_timestamp_response(token)
        when: datetime = response.tst_info.gen_time
        _verifier(library, authority).verify_message(response, signature)
    except library.VerificationError as error:
        return f"its timestamp is not one of the authority's: {error}"
    except Exception:
        # Whatever a stranger's token does to the parser, there is no time.
        return "its timestamp cannot be read"
    if (authority.begins and when < authority.begins) or (authority.ends and when > authority.ends):
        return f"its timestamp, {when:%Y-%m-%dT%H:%M:%SZ}, is not of the authority's time"
    return int(when.timestamp())


def _verifier(library: ModuleType, authority: TimestampAuthority) -> Any:
    signer = authority.certificates[0] if authority.certificates else None
    return library.VerifierBuilder(
        tsa_certificate=None if signer is None or may_issue(signer) else signer,
        # Copies: the builder keeps the lists.
        intermediates=[one for one in authority.authority.intermediates if one != signer],
        roots=[*authority.authority.roots],
    ).build()


def _library() -> ModuleType:
    from importlib import import_module

    try:
        return import_module("rfc3161_client")
    except ImportError as error:
        raise NoSupport(
            "signature-support",
            "signed timestamps need the Python package rfc3161-client, which is not installed",
            hint=f"Install it: pip install 'compos-linux[{EXTRA}]'.",
        ) from error
