"""compos builds minimal, immutable, bootable Linux systems from container images.

    import compos

    compos.build(["os.yml"], compos.BuildOptions(formats=("qcow2-efi",)))

`build`, `load`, `inspect`, `diff`, `why`, `lock` and `check_lock` take the paths of YAML files and
frozen options, and raise `ComposError` (`compos.errors` defines the family). docs/library.md is the
guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compos.version import __version__

if TYPE_CHECKING:
    from compos.api.build import BuildOptions, build
    from compos.api.composed import InspectOptions
    from compos.api.diff import diff
    from compos.api.inspect import Inspection, inspect
    from compos.api.load import Description, load
    from compos.api.lock import LockOptions, check_lock, lock
    from compos.api.options import ImageOptions, LoadOptions, RemoteOptions
    from compos.api.why import why
    from compos.errors import ComposError

__all__ = [
    "BuildOptions",
    "ComposError",
    "Description",
    "ImageOptions",
    "InspectOptions",
    "Inspection",
    "LoadOptions",
    "LockOptions",
    "RemoteOptions",
    "__version__",
    "build",
    "check_lock",
    "diff",
    "inspect",
    "load",
    "lock",
    "why",
]

_HOMES = {
    "BuildOptions": "compos.api.build",
    "ComposError": "compos.errors",
    "Description": "compos.api.load",
    "ImageOptions": "compos.api.options",
    "InspectOptions": "compos.api.composed",
    "Inspection": "compos.api.inspect",
    "LoadOptions": "compos.api.options",
    "LockOptions": "compos.api.lock",
    "RemoteOptions": "compos.api.options",
    "build": "compos.api.build",
    "check_lock": "compos.api.lock",
    "diff": "compos.api.diff",
    "inspect": "compos.api.inspect",
    "load": "compos.api.load",
    "lock": "compos.api.lock",
    "why": "compos.api.why",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: every start of the command line imports this
    package."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
