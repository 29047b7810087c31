"""A sigstore instance of the test's own: an authority that certifies identities for minutes, and a
transparency log that signs entries. There is no Fulcio and no Rekor here; cosign judges what this
makes (test_keyless.py)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

__all__ = ["ISSUER", "SUBJECT", "Certificate", "Instance"]

ISSUER = "https://issuer.example"
SUBJECT = "dev@team.example"
SHA256 = hashes.SHA256()
MINUTES = timedelta(minutes=10)


class Certificate(NamedTuple):
    """A signer's certificate, with those above, in PEM, and the key."""

    leaf: x509.Certificate
    chain: list[x509.Certificate]
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.leaf.public_bytes(Encoding.PEM).decode()

    @property
    def chain_pem(self) -> str:
        return "".join(one.public_bytes(Encoding.PEM).decode() for one in self.chain)


class Instance:
    """`age` is how long ago its certificates for signers were issued."""

    def __init__(self, folder: Path, age: timedelta = timedelta(days=30)) -> None:
        self.folder = folder
        self.now = datetime.now(UTC).replace(microsecond=0) - age
        self.root, self.root_key = self._authority("root", None, None)
        self.inner, self.inner_key = self._authority("intermediate", self.root, self.root_key)
        self.log_key = ec.generate_private_key(ec.SECP256R1())
        self.log = self.log_key.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def log_pem(self) -> bytes:
        return self.log_key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def authority_pem(self) -> bytes:
        return b"".join(one.public_bytes(Encoding.PEM) for one in (self.inner, self.root))

    def trusted_root(self, *timestamp_authorities: dict[str, Any]) -> Path:
        """Sigstore's description of this instance."""
        start = {"start": (self.now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}
        chain = [{"rawBytes": _base64(one.public_bytes(Encoding.DER))} for one in (self.inner, self.root)]  # fmt: skip
        document = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [
                {
                    "baseUrl": "https://log.example",
                    "hashAlgorithm": "SHA2_256",
                    "publicKey": {
                        "rawBytes": _base64(self.log),
                        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                        "validFor": start,
                    },
                    "logId": {"keyId": _base64(hashlib.sha256(self.log).digest())},
                }
            ],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "team", "commonName": "root"},
                    "uri": "https://authority.example",
                    "certChain": {"certificates": chain},
                    "validFor": start,
                }
            ],
            "ctlogs": [],
            "timestampAuthorities": [*timestamp_authorities],
        }
        path = self.folder / "trusted_root.json"
        path.write_text(json.dumps(document))
        return path

    def certificate(
        self,
        *,
        subject: str = SUBJECT,
        issuer: str = ISSUER,
        usage: ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
        by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
    ) -> Certificate:
        """A certificate for `subject`, which `issuer` identified."""
        key = ec.generate_private_key(ec.SECP256R1())
        above, signer = by or (self.inner, self.inner_key)
        text = issuer.encode()
        name: x509.GeneralName = (
            x509.UniformResourceIdentifier(subject) if "://" in subject else x509.RFC822Name(subject)
        )  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(above.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now)
            .not_valid_after(self.now + MINUTES)
            .add_extension(_usage(sign=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(_other("1.3.6.1.4.1.57264.1.1", text), critical=False)
            .add_extension(
                _other("1.3.6.1.4.1.57264.1.8", bytes((12, len(text))) + text), critical=False
            )
        )
        chain = [*([above] if by else []), self.inner, self.root]
        return Certificate(builder.sign(signer, SHA256), chain, key)

    def entry(
        self,
        signature: bytes,
        signed: bytes,
        certificate_pem: str,
        *,
        after: timedelta = timedelta(minutes=1),
    ) -> dict[str, Any]:
        """What the log returns for a signature that it took in some time `after` the certificate
        was issued: cosign's annotation."""
        body = _json(
            {
                "apiVersion": "0.0.1",
                "kind": "hashedrekord",
                "spec": {
                    "data": {
                        "hash": {"algorithm": "sha256", "value": hashlib.sha256(signed).hexdigest()}
                    },
                    "signature": {
                        "content": _base64(signature),
                        "publicKey": {"content": _base64(certificate_pem.encode())},
                    },
                },
            }
        )
        payload = {
            "body": _base64(body),
            "integratedTime": int((self.now + after).timestamp()),
            "logIndex": 7,
            "logID": hashlib.sha256(self.log).hexdigest(),
        }
        promise = self.log_key.sign(_json(payload), ec.ECDSA(SHA256))
        return {"SignedEntryTimestamp": _base64(promise), "Payload": payload}

    def bundle(
        self,
        certificate: Certificate,
        envelope: dict[str, Any],
        *,
        after: timedelta = timedelta(minutes=1),
        without: str = "",
        version: int = 1,
        timestamps: Sequence[bytes] = (),
        checkpoint_by: ec.EllipticCurvePrivateKey | None = None,
    ) -> bytes:
        """A sigstore bundle of an envelope: with the certificate, and the log's entry of type
        dsse, promised and included in a tree of five. Version 2 of the log promises nothing."""
        payload = base64.b64decode(envelope["payload"])
        body = (_body_v2 if version == 2 else _body)(certificate, envelope, payload)
        promised = {
            "body": _base64(body),
            "integratedTime": int((self.now + after).timestamp()),
            "logID": hashlib.sha256(self.log).hexdigest(),
            "logIndex": 2,
        }
        promise = self.log_key.sign(_json(promised), ec.ECDSA(SHA256))
        entry = {
            "logIndex": "2",
            "logId": {"keyId": _base64(hashlib.sha256(self.log).digest())},
            "kindVersion": {"kind": "dsse", "version": f"0.0.{version}"},
            "integratedTime": str(promised["integratedTime"]),
            "inclusionPromise": {"signedEntryTimestamp": _base64(promise)},
            "inclusionProof": self._proof(body, checkpoint_by or self.log_key),
            "canonicalizedBody": _base64(body),
        }
        if version == 2:
            del entry["integratedTime"], entry["inclusionPromise"]
        entry.pop(without, None)
        stamps = [{"signedTimestamp": _base64(one)} for one in timestamps]
        der = certificate.leaf.public_bytes(Encoding.DER)
        return _json(
            {
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "verificationMaterial": {
                    "certificate": {"rawBytes": _base64(der)},
                    "tlogEntries": [entry],
                    **(
                        {"timestampVerificationData": {"rfc3161Timestamps": stamps}}
                        if stamps
                        else {}
                    ),
                },
                "dsseEnvelope": envelope,
            }
        )

    def _proof(self, body: bytes, signer: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
        """That `body` is the third of five leaves (RFC 9162, 2.1)."""
        leaves = [_hash(b"\0", b"leaf %d" % number) for number in range(5)]
        leaves[2] = _hash(b"\0", body)
        first = _hash(b"\1", leaves[0], leaves[1])
        second = _hash(b"\1", leaves[2], leaves[3])
        root = _hash(b"\1", _hash(b"\1", first, second), leaves[4])
        note = f"log.example - 1\n5\n{_base64(root)}\n"
        hint = hashlib.sha256(self.log).digest()[:4]
        made = _base64(hint + signer.sign(note.encode(), ec.ECDSA(SHA256)))
        return {
            "logIndex": "2",
            "rootHash": _base64(root),
            "treeSize": "5",
            "hashes": [_base64(one) for one in (leaves[3], first, leaves[4])],
            "checkpoint": {"envelope": f"{note}\n— log.example {made}\n"},
        }

    def _authority(
        self,
        name: str,
        above: x509.Certificate | None,
        above_key: ec.EllipticCurvePrivateKey | None,
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "team"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(above.subject if above else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(days=1))
            .not_valid_after(self.now + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )  # fmt: skip
        return builder.sign(above_key or key, SHA256), key


def _body(certificate: Certificate, envelope: dict[str, Any], payload: bytes) -> bytes:
    """An entry of type dsse, version 0.0.1."""
    return _json(
        {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {
                    "algorithm": "sha256",
                    "value": hashlib.sha256(_json(envelope)).hexdigest(),
                },
                "payloadHash": {
                    "algorithm": "sha256",
                    "value": hashlib.sha256(payload).hexdigest(),
                },
                "signatures": [
                    {
                        "signature": envelope["signatures"][0]["sig"],
                        "verifier": _base64(certificate.pem.encode()),
                    }
                ],
            },
        }
    )


def _body_v2(certificate: Certificate, envelope: dict[str, Any], payload: bytes) -> bytes:
    """Likewise, version 0.0.2."""
    der = certificate.leaf.public_bytes(Encoding.DER)
    return _json(
        {
            "apiVersion": "0.0.2",
            "kind": "dsse",
            "spec": {
                "dsseV002": {
                    "payloadHash": {
                        "algorithm": "SHA2_256",
                        "digest": _base64(hashlib.sha256(payload).digest()),
                    },
                    "signatures": [
                        {
                            "content": envelope["signatures"][0]["sig"],
                            "verifier": {
                                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                                "x509Certificate": {"rawBytes": _base64(der)},
                            },
                        }
                    ],
                }
            },
        }
    )


def _hash(prefix: bytes, *parts: bytes) -> bytes:
    return hashlib.sha256(prefix + b"".join(parts)).digest()


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(sign, False, False, False, False, not sign, not sign, False, False)


def _other(oid: str, value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(ObjectIdentifier(oid), value)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
