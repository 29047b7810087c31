"""Libraries that are installed as extras, imported when a verb needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from compos.errors import ExtraMissing

__all__ = ["load_extra"]


def load_extra(module: str, extra: str, *, otherwise: str = "") -> Any:
    """The module `module` of the extra `extra`; typed by what its users say that they need of it.

    Raises `ExtraMissing` (`extra-missing`) if it is not installed; `otherwise` is what can be done
    without it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        choice = f", or {otherwise}" if otherwise else ""
        raise ExtraMissing(
            "extra-missing",
            f"the extra {extra} of compos is not installed: {error}",
            hint=f"Run `pip install 'compos-linux[{extra}]'`{choice}.",
        ) from error
