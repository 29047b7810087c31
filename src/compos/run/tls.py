"""What a server proves its name with.

May touch: the files of the certificate and its key (reading).
"""

from __future__ import annotations

import ssl
from pathlib import Path

from compos.errors import RunError

__all__ = ["server_context"]


def server_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """TLS with the `certificate` (PEM, with those between it and the root) and its `key`, which may
    be in the same file. Raises `RunError` (`serve-certificate`)."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except _Encrypted:
        raise _unusable(
            key or certificate, "the key is encrypted", "Decrypt it into a file of yours."
        ) from None
    except ssl.SSLError:
        raise _unusable(
            certificate,
            "the file has no certificate in PEM, or its key is not there or another one's",
            "Name both: --tls-cert CERT.pem --tls-key KEY.pem.",
        ) from None
    except OSError as error:
        raise _unusable(
            key if key and certificate.is_file() else certificate,
            f"the file cannot be read: {(error.strerror or str(error)).lower()}",
            "Name both: --tls-cert CERT.pem --tls-key KEY.pem.",
        ) from error
    return context


class _Encrypted(Exception):
    """OpenSSL asks for a password."""


def _no_password() -> str:
    # OpenSSL would ask at the terminal.
    raise _Encrypted


def _unusable(path: Path, reason: str, hint: str) -> RunError:
    return RunError("serve-certificate", reason, place=str(path), hint=hint)
