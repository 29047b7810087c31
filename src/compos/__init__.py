"""compos builds minimal, immutable, bootable Linux systems from container images.

    import compos

    compos.build(["os.yml"], compos.BuildOptions(formats=("qcow2-efi",)))

`build`, `load` and `inspect` take the paths of YAML files and frozen options, and raise
`ComposError` (`compos.errors` defines the family). docs/library.md is the guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compos.version import __version__

if TYPE_CHECKING:
    from compos.api.build import BuildOptions, build
    from compos.api.inspect import Inspection, InspectOptions, inspect
    from compos.api.load import Description, load
    from compos.api.options import ImageOptions, LoadOptions
    from compos.errors import ComposError

__all__ = [
    "BuildOptions",
    "ComposError",
    "Description",
    "ImageOptions",
    "InspectOptions",
    "Inspection",
    "LoadOptions",
    "__version__",
    "build",
    "inspect",
    "load",
]

_HOMES = {
    "BuildOptions": "compos.api.build",
    "ComposError": "compos.errors",
    "Description": "compos.api.load",
    "ImageOptions": "compos.api.options",
    "InspectOptions": "compos.api.inspect",
    "Inspection": "compos.api.inspect",
    "LoadOptions": "compos.api.options",
    "build": "compos.api.build",
    "inspect": "compos.api.inspect",
    "load": "compos.api.load",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: every start of the command line imports this
    package."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
