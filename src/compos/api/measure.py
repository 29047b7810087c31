"""`compos.api.measure`: the PCRs that a machine will have which boots an output.

May touch: the output (reading).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from compos.errors import OutputError

if TYPE_CHECKING:
    from compos.boot.measurements import Measured

__all__ = ["measurements", "opened"]


def measurements(file: Path, cmdline: str | None = None) -> tuple[Measured, ...]:
    """Expected PCRs of a unified kernel image, or of a raw disk that has one where UEFI looks for
    it; with `cmdline`, where the machine gives it this command line. Raises `OutputError`
    (`measure-image`, `uki-stub`)."""
    from compos.boot.boot_program import boot_program
    from compos.boot.measurements import measured

    with opened(file) as stream:
        return measured(boot_program(stream), cmdline)


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """A built file, which errors name as their place. Raises `OutputError` (`measure-image`)."""
    try:
        with file.open("rb") as stream:
            yield stream
    except OutputError as error:
        error.place = error.place or str(file)
        raise
    except OSError as error:
        raise OutputError(
            "measure-image",
            f"the file cannot be read: {error.strerror}",
            place=str(file),
            hint="Name an output of the format uki (NAME.efi), or a raw disk that boots with UEFI.",
        ) from error
