"""Sigstore's `trusted_root.json`: the authorities and logs of a sigstore instance, in one file.

Pure. Source: sigstore's protobuf specifications, `sigstore_trustroot.proto`. Validity of log keys
and of authorities that certify identities is checked by the certificates' own dates.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any, NamedTuple

from compos.errors import ImageError, NoSupport
from compos.image.json_document import parse_json
from compos.trust.certificates import Authority, authority_of, read_certificates
from compos.trust.keys import PublicKey
from compos.trust.timestamps import TimestampAuthority

__all__ = ["TrustedRoot", "read_trusted_root"]


class TrustedRoot(NamedTuple):
    """The certificates of its authorities, the keys of its transparency logs, and who signs
    timestamps."""

    authority: Authority
    logs: tuple[PublicKey, ...]
    timestamps: tuple[TimestampAuthority, ...] = ()


def read_trusted_root(data: bytes) -> TrustedRoot:
    """The instance that the JSON describes. Raises `ValueError`."""
    plain = parse_json(data)
    try:
        certificates = [
            _block("CERTIFICATE", one["rawBytes"])
            for authority in plain.get("certificateAuthorities") or ()
            for one in authority["certChain"]["certificates"]
        ]
        keys = [_block("PUBLIC KEY", one["publicKey"]["rawBytes"]) for one in plain["tlogs"]]
        authority = authority_of(read_certificates(b"".join(certificates)))
        return TrustedRoot(
            authority,
            tuple(PublicKey(key, "tlogs") for key in keys),
            tuple(map(_timestamp_authority, plain.get("timestampAuthorities") or ())),
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{error} is missing or of another type") from error
    except NoSupport:
        raise
    except ImageError as error:
        raise ValueError(error.message) from error


def _timestamp_authority(plain: Any) -> TimestampAuthority:
    pem = [_block("CERTIFICATE", one["rawBytes"]) for one in plain["certChain"]["certificates"]]
    certificates = read_certificates(b"".join(pem))
    authority = authority_of(certificates)
    if not authority.roots:
        raise ValueError("a timestamp authority has no root certificate")
    valid = plain.get("validFor") or {}
    begins, ends = (_time(valid[key]) if valid.get(key) else None for key in ("start", "end"))
    return TimestampAuthority(certificates, authority, begins, ends)


def _time(text: str) -> datetime:
    """RFC 3339, as JSON of protocol buffers has it: in UTC. Raises `ValueError`."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no time zone")
    return found


def _block(kind: str, text: Any) -> bytes:
    """Base64 as a block of PEM."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
    lines = base64.encodebytes(data).decode()
    return f"-----BEGIN {kind}-----\n{lines}-----END {kind}-----\n".encode()
