"""What UEFI programs are made with, where it comes from files of the user.

May touch: these files (reading).
"""

from __future__ import annotations

from pathlib import Path

from compos.boot.sbat import MAX_SBAT
from compos.boot.uki import pe_machine
from compos.errors import OutputError
from compos.output.job import UefiStub

__all__ = ["read_stub"]

MAX_STUB = 4 << 20


def read_stub(stub: Path | None, sbat: Path | None, architecture: str) -> UefiStub:
    """The stub in a file, if it is one, and entries for `.sbat`. Raises `OutputError` (`uki-stub`,
    `sbat-invalid`)."""
    program = _read(stub, MAX_STUB, "uki-stub") if stub else b""
    if stub and pe_machine(program) != architecture:
        raise OutputError(
            "uki-stub",
            f"the file is no UEFI stub for {architecture}",
            place=str(stub),
            hint="Name systemd's: linuxx64.efi.stub or linuxaa64.efi.stub.",
        )
    entries = _read(sbat, MAX_SBAT + 1, "sbat-invalid") if sbat else b""
    return UefiStub(program, entries, str(sbat or ""))


def _read(path: Path, limit: int, id: str) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(limit)
    except OSError as error:
        raise OutputError(
            id,
            f"the file cannot be read: {error.strerror}",
            place=str(path),
            hint="Name a file that is there.",
        ) from error
