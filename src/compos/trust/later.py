"""Signatures that are made elsewhere, while no build waits: what is to be signed goes into a folder
as files, and the next build finds the signatures beside them.

May touch: that folder. `ROLE-DIGEST.tbs` is what the key of ROLE is to sign (RSASSA-PKCS1-v1_5 with
SHA-256), `ROLE-DIGEST.sig` the bare signature. Digests make names, so a signature is never taken
for another system's, and the files of several builds can be in one folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from compos.errors import OutputError
from compos.trust.roles import PCR, PREVIOUS

if TYPE_CHECKING:
    from compos.trust.key_set import KeySet

__all__ = ["Later", "SignatureAwaited", "sign_awaited"]

MAX_SIGNATURE = 2048
MAX_SIGNED = 4096
"""Bytes; attributes of a program have about a hundred, a policy's digest 32."""
NAME = re.compile(r"(db|pcr|previous|update)-[0-9a-f]{64}\.tbs")


class SignatureAwaited(Exception):
    """A signature is not there yet."""


class Later:
    """A folder for what is to be signed. `awaited` counts the signatures that were asked for, and
    are not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.awaited: set[str] = set()

    def sign(self, role: str, data: bytes) -> bytes:
        """The signature of `data` by the key of `role`. Raises `SignatureAwaited`, and
        `OutputError` (`signatures-folder`)."""
        name = f"{role}-{hashlib.sha256(data).hexdigest()}"
        try:
            with (self.folder / f"{name}.sig").open("rb") as stream:
                return stream.read(MAX_SIGNATURE)
        except FileNotFoundError:
            self._ask(self.folder / f"{name}.tbs", data)
        except OSError as error:
            raise _unusable(self.folder, error) from error
        self.awaited.add(name)
        raise SignatureAwaited(name)

    def require(self) -> None:
        """Raise `OutputError` (`signatures-awaited`) when signatures are not there yet."""
        if self.awaited:
            raise OutputError(
                "signatures-awaited",
                f"signatures are awaited: {len(self.awaited)}",
                place=str(self.folder),
                hint="Sign what is there with `compos keys sign DIR FOLDER`, or each ROLE-….tbs "
                "with `openssl dgst -sha256 -sign ROLE.key -out ROLE-….sig ROLE-….tbs`; then run "
                "the same build again.",
            )

    def _ask(self, path: Path, data: bytes) -> None:
        try:
            self.folder.mkdir(exist_ok=True)
            with suppress(FileExistsError), path.open("xb") as stream:
                stream.write(data)
        except OSError as error:
            raise _unusable(self.folder, error) from error


def sign_awaited(keys: KeySet, folder: Path) -> list[Path]:
    """Sign what builds have left in `folder`, and return the new signatures.

    Nothing but what builds ask for is signed, so that a hostile file gets no signature of something
    else. Raises `OutputError` (`signatures-folder`, `signatures-foreign`), and as
    `KeySet.certified` does.
    """
    made = []
    try:
        for path in sorted(folder.iterdir()):
            signature = path.with_suffix(".sig")
            if path.suffix == ".tbs" and not signature.exists():
                signature.write_bytes(_signed(keys, path))
                made.append(signature)
    except OSError as error:
        raise _unusable(folder, error) from error
    return made


def _signed(keys: KeySet, path: Path) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(MAX_SIGNED)
    role = path.name.partition("-")[0]
    known = NAME.fullmatch(path.name) and hashlib.sha256(data).hexdigest() in path.name
    if not known or not _EXPECTED[role](data):
        raise OutputError(
            "signatures-foreign",
            "the file is not what a build wants to have signed",
            place=str(path),
            hint="Remove it, and run the build again.",
        )
    if role in (PCR, PREVIOUS):
        key = keys.policy_key(role)
        if key is None:
            raise OutputError(
                "keys-missing",
                "the set of keys has none for PCR policies",
                place=str(keys.folder),
                hint="Sign with the set whose certificates the build has.",
            )
        return key.sign(data)
    return keys.certified(role).sign(data)


INDIRECT_DATA = bytes.fromhex("060a2b060104018237020104")
"""SpcIndirectDataContent (1.3.6.1.4.1.311.2.1.4): the object identifier in DER."""
DATA_ATTRIBUTES = bytes.fromhex(
    # RFC 5652, 11.1 and 11.2: the content type (id-data), and a digest of 32 bytes.
    "314b 301806092a864886f70d010903310b06092a864886f70d010701302f06092a864886f70d01090431220420"
)

_EXPECTED: Mapping[str, Callable[[bytes], bool]] = {
    # A policy's digest; the attributes of a statement about a program; those of a manifest.
    PCR: lambda data: len(data) == 32,
    PREVIOUS: lambda data: len(data) == 32,
    "db": lambda data: data[:1] == b"\x31" and INDIRECT_DATA in data,
    "update": lambda data: data[:-32] == DATA_ATTRIBUTES,
}


def _unusable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        "signatures-folder",
        f"the folder for signatures cannot be used: {error.strerror}",
        place=str(folder),
        hint="Name a folder, or one that does not exist yet in one that does.",
    )
