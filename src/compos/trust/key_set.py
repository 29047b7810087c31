"""A folder of keys with which systems are signed: what `compos keys new` makes and `--keys` names.

May touch: that folder. Each role has a private key in PEM, readable by its owner only, and what
others need of it: a certificate or, for PCR values, the public key. A private key can be elsewhere:
in a token, whose PKCS #11 URI is then in the file ROLE.uri, or behind a command.
docs/secure-boot.md says what each is for and who should hold it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from compos.errors import OutputError
from compos.trust.certified import KEY_SIZES, CertifiedKey, RsaKey, Sign, command_signer
from compos.trust.key_sources import signing_key
from compos.trust.keys import PrivateKey, cryptography_module, read_file
from compos.trust.later import Later
from compos.trust.roles import PCR, PREVIOUS

__all__ = ["CERTIFIED", "BootKeys", "KeySet", "exchange_policy_key", "make_keys"]

CERTIFIED = {
    "PK": "platform key",
    "KEK": "key exchange key",
    "db": "signature key for boot programs",
    "update": "signature key for updates",
}
"""Roles with a certificate, and what it is called in it. The first three are the firmware's (UEFI
specification 2.10, 32.3)."""
KINDS = ("pub", "key", "uri")
"""What a bare key can consist of: its public half; the private one, or where that is."""
OWNER = "owner.guid"

OTHERS = "others.esl"
MAX_OTHERS = 32 << 10
"""Bytes; firmware has about as much for all variables."""

EXPONENT = 65537
VARIABLE = "COMPOS_KEYS_PASSWORD"
"""The variable with the private keys' password."""


class KeySet(NamedTuple):
    """A folder of keys; nothing of it is read before it is needed. With a `command`, which reads
    what is to be signed and writes the signature, no private key needs to be there, and none is
    used when signatures come `later`."""

    folder: Path
    command: str = ""
    later: Later | None = None

    def owner(self) -> UUID:
        """Who enrols these keys. Raises `OutputError` (`keys-missing`)."""
        path = self.folder / OWNER
        try:
            return UUID(path.read_text("ascii")[:64].strip())
        except (OSError, ValueError) as error:
            raise _missing(path) from error

    def others(self) -> bytes:
        """Signature lists of others' certificates, which are enrolled in `db` beside the set's."""
        try:
            with (self.folder / OTHERS).open("rb") as stream:
                return stream.read(MAX_OTHERS)
        except FileNotFoundError:
            return b""

    def prepared(self, names: Sequence[str]) -> dict[str, bytes]:
        """Public files of the set that belong together, by their names: all of them, or none where
        none is there. Raises `OutputError` (`keys-missing`), and `ImageError` (`signature-key`)."""
        paths = {name: self.folder / name for name in names}
        there = [path for path in paths.values() if path.is_file()]
        if there and len(there) < len(paths):
            raise _missing(next(path for path in paths.values() if path not in there))
        return {name: read_file(path) for name, path in paths.items()} if there else {}

    def certified(self, role: str) -> CertifiedKey:
        """The key of a role of `CERTIFIED`. Raises `OutputError` (`keys-missing`,
        `signing-certificate`), and `ImageError` (`signature-key`)."""
        certificate = self.folder / f"{role}.crt"
        if not certificate.is_file():
            raise _missing(certificate)
        if self.later:
            return CertifiedKey(certificate, partial(self.later.sign, role))
        command = command_signer(self.command, role) if self.command else None
        return CertifiedKey(certificate, command or self._private(role))

    def policy_key(self, role: str = PCR) -> RsaKey | None:
        """The key that signs PCR policies, or the `PREVIOUS` one; None if the set has no public key
        for it. Raises `OutputError` (`keys-missing`, `signing-policy-key`), and `ImageError`
        (`signature-key`)."""
        public = self.folder / f"{role}.pub"
        if not public.is_file():
            return None
        if self.later:
            return RsaKey(public, partial(self.later.sign, role))
        here = any((self.folder / f"{role}.{kind}").is_file() for kind in ("key", "uri"))
        command = command_signer(self.command, role) if self.command and not here else None
        return RsaKey(public, command or self._private(role))

    def _private(self, role: str) -> Sign:
        """What signs with a private key that is here, or in a token."""
        uri, key = self.folder / f"{role}.uri", self.folder / f"{role}.key"
        if uri.is_file():
            return signing_key(read_file(uri).decode("ascii", "replace").strip()).sign
        if not key.is_file():
            raise _missing(key)
        return PrivateKey.read(key, os.environ.get(VARIABLE)).sign


class BootKeys(NamedTuple):
    """Who signs what a machine starts: `program` the UEFI programs, `policy` (if any) that PCR
    11 may be what is expected in each of `phases`, as `previous` does, if machines are to change
    from that key to the new one; `update` (if one is made) the update. `enrolment` are files that
    an installer gives to firmware: the certificate `db.der`, and signed updates of variables."""

    program: CertifiedKey
    policy: RsaKey | None
    phases: tuple[str, ...]
    later: Later | None = None
    update: CertifiedKey | None = None
    previous: RsaKey | None = None
    enrolment: tuple[tuple[str, bytes], ...] = ()

    @property
    def identity(self) -> tuple[str, ...]:
        """What of it goes into a system."""
        certificate = hashlib.sha256(self.program.certificate).hexdigest()
        update = hashlib.sha256(self.update.certificate).hexdigest() if self.update else ""
        policy = (self.policy.fingerprint, *self.phases) if self.policy else ()
        previous = (self.previous.fingerprint,) if self.previous else ()
        enrolment = (hashlib.sha256(data).hexdigest() for _, data in self.enrolment)
        return (certificate, update, *policy, *previous, *enrolment)


def make_keys(
    folder: Path, organisation: str, *, bits: int, days: int, now: datetime, others: bytes = b""
) -> KeySet:
    """Make a set of keys in `folder`, which is created and must not have anything in it yet.

    The keys are RSA with `bits` bits; certificates are valid for `days` days from `now` on. With
    COMPOS_KEYS_PASSWORD set, private keys are encrypted with it. `others` are signature lists for
    `db`. Raises `OutputError`
    (`keys-folder`, `keys-size`).
    """
    if bits not in KEY_SIZES:
        raise OutputError(
            "keys-size",
            f"firmware does not take RSA keys of {bits} bits",
            hint=f"Use one of {', '.join(map(str, KEY_SIZES))}.",
        )
    rsa = cryptography_module("hazmat.primitives.asymmetric.rsa")
    _create(folder)
    for role, meaning in CERTIFIED.items():
        key: Any = rsa.generate_private_key(EXPONENT, bits)
        _put(folder / f"{role}.key", _private(key), secret=True)
        name = f"{organisation} {meaning}"
        _put(folder / f"{role}.crt", _certificate(key, organisation, name, days, now))
    # TPMs verify signatures of RSA with 2048 bits everywhere, longer ones hardly anywhere.
    key = rsa.generate_private_key(EXPONENT, KEY_SIZES[0])
    _put(folder / f"{PCR}.key", _private(key), secret=True)
    _put(folder / f"{PCR}.pub", _public(key))
    _put(folder / OWNER, f"{uuid4()}\n".encode())
    if others:
        _put(folder / OTHERS, others)
    return KeySet(folder)


def exchange_policy_key(keys: KeySet) -> None:
    """A new key signs PCR policies from now on; the old one becomes the `PREVIOUS` one. Raises
    `OutputError` (`keys-missing`, `keys-previous`)."""
    public, others = keys.folder / f"{PCR}.pub", [f"{PREVIOUS}.{kind}" for kind in KINDS]
    if not public.is_file():
        raise _missing(public)
    if any((keys.folder / name).exists() for name in others):
        raise OutputError(
            "keys-previous",
            "the set of keys has a previous PCR key already",
            place=str(keys.folder),
            hint=f"When all machines have started a version that was made since, remove "
            f"{', '.join(others)}; then exchange the key again.",
        )
    rsa = cryptography_module("hazmat.primitives.asymmetric.rsa")
    key = rsa.generate_private_key(EXPONENT, KEY_SIZES[0])
    for kind in KINDS:
        old = keys.folder / f"{PCR}.{kind}"
        if old.exists():
            old.rename(keys.folder / f"{PREVIOUS}.{kind}")
    _put(keys.folder / f"{PCR}.key", _private(key), secret=True)
    _put(public, _public(key))


def _create(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise OutputError(
            "keys-folder",
            f"the folder for keys cannot be used: {error.strerror}",
            place=str(folder),
            hint="Name a folder that does not exist yet, in one that does.",
        ) from error
    if taken:
        raise OutputError(
            "keys-folder",
            "the folder for keys is not empty",
            place=str(folder),
            hint="Keys are never overwritten: name a new folder.",
        )


def _put(path: Path, data: bytes, *, secret: bool = False) -> None:
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600 if secret else 0o644
    )
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _private(key: Any) -> bytes:
    serialization = cryptography_module("hazmat.primitives.serialization")
    password = os.environ.get(VARIABLE)
    made: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption(),
    )
    return made


def _public(key: Any) -> bytes:
    serialization = cryptography_module("hazmat.primitives.serialization")
    made: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return made


def _certificate(key: Any, organisation: str, name: str, days: int, now: datetime) -> bytes:
    x509 = cryptography_module("x509")
    hashes = cryptography_module("hazmat.primitives.hashes")
    serialization = cryptography_module("hazmat.primitives.serialization")
    attributes = [
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organisation),
        x509.NameAttribute(x509.NameOID.COMMON_NAME, name),
    ]
    subject = x509.Name(attributes)
    made: Any = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem: bytes = made.public_bytes(serialization.Encoding.PEM)
    return pem


def _missing(path: Path) -> OutputError:
    return OutputError(
        "keys-missing",
        "a file of the set of keys is missing",
        place=str(path),
        hint="Make a set of keys with `compos keys new DIR`, or name its folder.",
    )
