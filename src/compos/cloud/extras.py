"""SDKs that are installed as extras, imported when a verb needs them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from compos.errors import CloudError

__all__ = ["sdk"]


def sdk(module: str, extra: str) -> Any:
    """The module `module` of the extra `extra`; typed by what its users say that they need of it.

    Raises `CloudError` (`cloud-extra`) if it is not installed.
    """
    try:
        found: ModuleType = import_module(module)
    except ImportError as error:
        raise CloudError(
            "cloud-extra",
            f"the SDK for {extra} is not installed: {error}",
            hint=f"Run `pip install 'compos-linux[{extra}]'`.",
        ) from error
    return found
