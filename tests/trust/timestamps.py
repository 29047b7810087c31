"""A timestamp authority (RFC 3161) that a test runs: openssl signs its timestamps."""

from __future__ import annotations

import base64
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["StampingAuthority"]

CONFIG = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/signer.pem
signer_key = {folder}/signer.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.57264.2
digests = sha256, sha512
ess_cert_id_alg = sha256
"""
YEAR = timedelta(days=365)


class StampingAuthority:
    """A root, and what signs timestamps, whose certificate ends at `ends`."""

    def __init__(self, folder: Path, *, ends: datetime | None = None) -> None:
        self._folder = folder
        folder.mkdir()
        now = datetime.now(UTC)
        root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = _certificate("root", None, root_key, root_key, now - YEAR, now + YEAR)
        self.signer = _certificate(
            "signer", self.root, key, root_key, now - YEAR, ends or now + YEAR
        )
        for name, one in (("root", self.root), ("signer", self.signer)):
            (folder / f"{name}.pem").write_bytes(one.public_bytes(Encoding.PEM))
        (folder / "signer.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        (folder / "tsa.conf").write_text(CONFIG.format(folder=folder))
        (folder / "serial").write_text("01\n")

    def stamp(self, data: bytes, algorithm: str = "sha256", *, certificates: bool = True) -> bytes:
        """A timestamp of `data`, now; with the `certificates` that it takes to check it."""
        (self._folder / "data").write_bytes(data)
        query = ["ts", "-query", "-data", "data", f"-{algorithm}", "-out", "query"]
        self._openssl(*query, *(["-cert"] if certificates else []))
        self._openssl("ts", "-reply", "-queryfile", "query", "-config", "tsa.conf", "-out", "reply")
        return (self._folder / "reply").read_bytes()

    def accepts(self, reply: bytes, data: bytes) -> bool:
        """Whether openssl takes a timestamp of `data` for one of this authority."""
        (self._folder / "data").write_bytes(data)
        (self._folder / "reply").write_bytes(reply)
        checked = ["ts", "-verify", "-data", "data", "-in", "reply", "-CAfile", "root.pem"]
        done = subprocess.run(
            ["openssl", *checked, "-untrusted", "signer.pem"],
            cwd=self._folder,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def described(self, **valid: datetime) -> dict[str, Any]:
        """As an entry of sigstore's trusted root."""
        chain = [
            {"rawBytes": base64.b64encode(one.public_bytes(Encoding.DER)).decode()}
            for one in (self.signer, self.root)
        ]
        times = {"start": datetime.now(UTC) - YEAR, **valid}
        return {
            "subject": {"organization": "team", "commonName": "signer"},
            "uri": "https://timestamps.example",
            "certChain": {"certificates": chain},
            "validFor": {key: f"{one:%Y-%m-%dT%H:%M:%SZ}" for key, one in times.items()},
        }

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)


def _certificate(
    name: str,
    above: x509.Certificate | None,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    begins: datetime,
    ends: datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.subject if above else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=not above, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    usage = x509.KeyUsage(
        bool(above), False, False, False, False, not above, not above, False, False
    )
    builder = builder.add_extension(usage, critical=True)
    if above:
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(purposes, critical=True)
    return builder.sign(by, hashes.SHA256())
