"""A set of keys as firmware takes it: files that enrol it, and a virtual machine's variable store
that has it already. Pure, but for reading the keys.

Source: UEFI specification 2.10, 32.3: PK signs changes of KEK, KEK those of db.
"""

from __future__ import annotations

from compos.boot.efi_signatures import (
    ATTRIBUTES,
    DB,
    KEK,
    PK,
    Variable,
    certificates_of,
    signature_list,
    signed_contents,
    signed_update,
)
from compos.boot.variable_store import CUSTOM_MODE, SECURE_BOOT_ENABLE, Stored, with_variables
from compos.errors import OutputError
from compos.trust.key_set import KeySet

__all__ = ["enrolled", "prepared_updates", "updates"]

ROLES: tuple[tuple[Variable, str], ...] = ((DB, "KEK"), (KEK, "PK"), (PK, "PK"))
"""Variables in the order in which they are enrolled, and who signs their contents. The last one
ends the firmware's setup mode."""

BOOT_SERVICES = 0x03
"""EFI_VARIABLE_NON_VOLATILE, BOOTSERVICE_ACCESS."""


def updates(keys: KeySet) -> dict[str, bytes]:
    """`db.auth`, `KEK.auth`, `PK.auth`. Raises as `KeySet.certified` does."""
    made = {}
    for variable, role in ROLES:
        own, signer = keys.certified(variable.name), keys.certified(role)
        data = _contents(variable, own.certificate, keys)
        made[f"{variable.name}.auth"] = signed_update(variable, data, own.begins, signer)
    return made


def prepared_updates(keys: KeySet) -> dict[str, bytes]:
    """What `updates` has made, as the set's folder has it: all three, or none where there are none.
    With them, firmware starts what the set's `db` signs.

    Raises `OutputError` (`keys-missing`, `keys-update`), and as `KeySet.certified` does.
    """
    made = keys.prepared([f"{variable.name}.auth" for variable, _ in ROLES])
    for name, data in made.items():
        variable = name.removesuffix(".auth")
        try:
            held = [certificate for _, certificate in certificates_of(signed_contents(data))]
        except ValueError as error:
            raise _unfit(keys, name, f"the update of a variable cannot be used: {error}") from error
        if variable == DB.name and keys.certified(variable).certificate not in held:
            raise _unfit(keys, name, "the update does not have the certificate in db.crt")
    return made


def _unfit(keys: KeySet, name: str, message: str) -> OutputError:
    return OutputError(
        "keys-update",
        message,
        place=str(keys.folder / name),
        hint="Take the file from where `compos keys new` has made it, or remove all three: "
        + ", ".join(f"{variable.name}.auth" for variable, _ in ROLES)
        + ". Nothing is enrolled then.",
    )


def enrolled(template: bytes, keys: KeySet) -> bytes:
    """The variable store `template` with these keys, which checks what it starts. Raises
    `ValueError` for a template of another form, and as `KeySet.certified` does."""
    stored = []
    for variable, _ in ROLES:
        own = keys.certified(variable.name)
        data = _contents(variable, own.certificate, keys)
        stored.append(Stored(variable, ATTRIBUTES, data, own.begins))
    stored.append(Stored(SECURE_BOOT_ENABLE, BOOT_SERVICES, b"\1"))
    stored.append(Stored(CUSTOM_MODE, BOOT_SERVICES, b"\0"))
    return with_variables(template, stored)


def _contents(variable: Variable, certificate: bytes, keys: KeySet) -> bytes:
    """Signature lists of the set's certificate and, in `db`, of those that it has of others."""
    others = keys.others() if variable == DB else b""
    return signature_list(certificate, keys.owner()) + others
